"""Does any Cookie header take time that grows faster than its size, or 50 ms for a MiB?

Each header is given to the whole middleware, at five sizes. The least of several rounds counts: other programs
only ever add to it.
"""

import argparse
import json
import sys
from itertools import pairwise
from math import inf
from time import thread_time_ns
from typing import Any

from _sessions import SECRET
from _timing import print_table, run

from asgi_flask_session import FlaskSessionASGI

KIB = 1024
SIZES = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1024 * KIB]
MOST_MILLISECONDS = 50
MOST_GROWTH = 6  # for four times the size

# What is repeated until the size is reached, between what comes once before and once after it.
SHAPES: dict[str, tuple[bytes, bytes, bytes]] = {
    "semicolons": (b"", b";", b""),
    "semicolons and spaces": (b"", b"; ", b""),
    "spaces": (b"", b" ", b""),
    "tabs": (b"", b"\t", b""),
    "spaces within our value": (b"session=a", b" ", b"b"),
    "spaces within our name": (b"session", b" ", b"x=b"),
    "equal signs": (b"", b"=", b""),
    "equal signs as our value": (b"session=", b"=", b""),
    "commas": (b"", b",", b""),
    "commas in our value": (b"session=", b"a,", b""),
    "quotes": (b"", b'"', b""),
    "quotes as our value": (b"session=", b'"', b""),
    "backslashes": (b"", b"\\", b""),
    "backslashes in quotes": (b'session="', b"\\", b'"'),
    "escaped quotes": (b'session="', b'\\"', b'"'),
    "escaped quotes, unclosed": (b'session="', b'\\"', b""),
    "octal escapes": (b'session="', b"\\101", b'"'),
    "octal escapes, unclosed": (b'session="', b"\\101", b""),
    "octal escapes cut short": (b'session="', b"\\10", b'"'),
    "semicolons in quotes": (b'session="', b";", b'"'),
    "quotes opened once": (b'session="', b"a;", b""),
    "quotes opened with each cookie": (b"", b'a="; ', b""),
    "quotes opened with each of ours": (b"", b'session="; ', b""),
    "quotes opened by an escape": (b"", b'a="\\', b""),
    "quotes closed, then more": (b"", b'session="a"b; ', b""),
    "quoted cookies": (b"", b'a="b"; ', b"session=c"),
    "quoted names": (b"", b'"session"=a; ', b""),
    "plain cookies": (b"", b"a=b; ", b"session=c"),
    "plain cookies, one quote at the end": (b"", b"a=b; ", b'a="'),
    "nameless cookies": (b"", b"=session; ", b""),
    "empty ones of ours": (b"", b"session=; ", b""),
    "ours, malformed": (b"", b"session=a b; ", b""),
    "ours, malformed, and a quote": (b'a="b"; ', b"session=a b; ", b""),
    "our name and no equal sign": (b"", b"session", b""),
    "our name and no equal sign, apart": (b"", b"session; ", b""),
    "our name in one name": (b"", b"session ", b"=a"),
    "our name in one value": (b"a=", b"session", b""),
    "our name in one value, and a quote": (b'a="b"; a=', b"session", b""),
    "our name, one letter more": (b"", b"sessions=a; ", b""),
    "our name, one letter before": (b"", b"xsession=a; ", b""),
    "our name, one letter less": (b"", b"sessio", b""),
    "our name in capitals": (b"", b"SESSION=a; ", b""),
    "high bytes": (b"", b"\xff", b""),
    "high bytes as our value": (b"session=", b"\xc3\xa9", b""),
    "control characters": (b"", b"\x00\r\n\x7f", b""),
    "our value, huge": (b"session=", b"eyJhIjoxfQ", b".ZVPxAA.-Jclp8u_4DxtD4pu4J6PdbsqfHk"),
    "our value, huge, in quotes": (b'session="', b"eyJhIjoxfQ", b'.ZVPxAA.-Jclp8u_4DxtD4pu4J6PdbsqfHk"'),
    "our value, of dots": (b"session=", b".", b""),
}  # fmt: skip

# What is repeated as a field of its own, as HTTP/2 lets clients do with cookies.
FIELDS = {
    "a header for each cookie": (b"cookie", b"a=b"),
    "a header for each of ours": (b"cookie", b"session=a b"),
    "a header for each quote": (b"cookie", b'a="'),
    "empty cookie headers": (b"cookie", b""),
    "other headers": (b"x-a", b"b"),
}

Headers = list[tuple[bytes, bytes]]


def headers_of(shape: str, size: int) -> Headers:
    if shape in FIELDS:
        name, value = FIELDS[shape]
        return [(name, value)] * (size // len(name + value))
    before, repeated, after = SHAPES[shape]
    return [(b"cookie", before + repeated * (size // len(repeated)) + after)]


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


async def nowhere(*_: object) -> None:
    pass


def milliseconds(wrapped: Any, headers: Headers) -> float:
    scope = {"type": "http", "path": "/", "headers": headers}
    start = thread_time_ns()
    run(wrapped(scope, nowhere, nowhere))
    return (thread_time_ns() - start) / 1e6


def measure(wrapped: Any, rounds: int) -> dict[str, list[float]]:
    """Return the least milliseconds of each shape, by size."""
    least = {shape: [inf] * len(SIZES) for shape in (*SHAPES, *FIELDS)}
    for _ in range(rounds):
        for shape, row in least.items():
            for index, size in enumerate(SIZES):
                headers = headers_of(shape, size)
                row[index] = min(row[index], *(milliseconds(wrapped, headers) for _ in range(3)))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="the more, the less a busy machine shows (default 7)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()

    times = measure(FlaskSessionASGI(app, SECRET), options.rounds)
    growth = {shape: max(later / earlier for earlier, later in pairwise(row)) for shape, row in times.items()}
    bad = [name for name, row in times.items() if row[-1] >= MOST_MILLISECONDS or growth[name] > MOST_GROWTH]
    if options.json:
        print(json.dumps({"sizes": SIZES, "milliseconds": times, "growth": growth, "bad": bad}, indent=2))
    else:
        print("Milliseconds for a header of each size, and the largest growth from one size to the next\n")
        print_table(
            ["shape", *(f"{size // KIB} KiB" for size in SIZES), "growth", ""],
            [
                [name, *(f"{time:.3f}" for time in row), f"{growth[name]:.1f}", "TOO SLOW" if name in bad else ""]
                for name, row in times.items()
            ],
        )
        slowest = max(times, key=lambda name: times[name][-1])
        print(f"Slowest: {slowest}, {times[slowest][-1]:.2f} ms for 1 MiB; too slow: {len(bad)} of {len(times)}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
