"""How long does it take to import the package, beside itsdangerous alone?

Each import is the first thing that a new process does; a round has one of each.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from statistics import median

from _timing import print_table, verdict

TARGET = 1.5
MODULES = ["itsdangerous", "asgi_flask_session"]
TIMED = "from time import process_time_ns as t; a = t(); import {}; print(t() - a)"


ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds_of_import(module: str) -> float:
    command = [sys.executable, "-c", TIMED.format(module)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()

    for module in MODULES:
        seconds_of_import(module)  # which leaves the compiled files that all later ones find
    rounds = [[seconds_of_import(module) for module in MODULES] for _ in range(options.rounds)]
    times = {module: median(seconds[index] for seconds in rounds) for index, module in enumerate(MODULES)}
    share = times["asgi_flask_session"] / times["itsdangerous"]
    if options.json:
        result = {"python": platform.python_version(), "rounds": options.rounds, "seconds": times, "share": share}
        print(json.dumps(result, indent=2))
        return
    print("Milliseconds of processor time for the first import, and ours as a share of itsdangerous'\n")
    print_table(
        [*MODULES, "share", "target", ""],
        [
            [
                *(f"{seconds * 1000:.1f}" for seconds in times.values()),
                f"{share:.2f}",
                *verdict(TARGET, share),
            ]
        ],
    )


if __name__ == "__main__":
    main()
