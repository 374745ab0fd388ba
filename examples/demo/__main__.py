"""python -m examples.demo [--check] [--port 8000]: the table, then the page."""

import argparse
import sys
from contextlib import suppress
from errno import EADDRINUSE
from threading import Event

from .check import check
from .server import listen, serving


def main(argv: list[str] | None = None) -> int:
    """Run the demo, and return the exit status: 1 if a cell of the table is wrong."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="Six apps on one session.")
    parser.add_argument("--check", action="store_true", help="stop after the table")
    parser.add_argument("--port", type=port, default=8000, help="8000 unless given; 0 for any free one")
    arguments = parser.parse_args(argv)
    try:
        listener = listen(0 if arguments.check else arguments.port)
    except OSError as error:
        print(cannot_listen(arguments.port, error), file=sys.stderr)
        return 1
    try:
        with serving(listener) as url:
            print("Six apps in one process, on one port, with one secret: one session.")
            print("A row is what was done, a column is who then saw it, over HTTP.")
            right = check(url)
            print("\nEvery cell is right." if right else "\nNot every cell is right.", flush=True)
            if right and not arguments.check:
                print(f"\nThe page is at {url}/ (Ctrl-C ends it).", flush=True)
                wait_for_ctrl_c()
    except KeyboardInterrupt:
        return 130
    return 0 if right else 1


def wait_for_ctrl_c() -> None:
    with suppress(KeyboardInterrupt):
        Event().wait()
    print()


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


def cannot_listen(taken: int, error: OSError) -> str:
    if error.errno != EADDRINUSE:
        return f"Port {taken} of 127.0.0.1 cannot be used: {error.strerror}."
    other = 8001 if taken == 8000 else 8000
    return (
        f"Port {taken} of 127.0.0.1 is taken. Choose another:"
        f" make demo PORT={other}, or python -m examples.demo --port {other}"
    )


if __name__ == "__main__":
    sys.exit(main())
