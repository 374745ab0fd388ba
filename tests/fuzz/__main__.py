"""Look for an input that a target does not hold for: ``make fuzz``, or ``python -m fuzz`` in tests/.

    python -m fuzz cookie --seconds 600         guided by coverage, from the corpus and into it (needs atheris)
    python -m fuzz cookie --count 10000000      as many random inputs, from seeds that are the same each time

What was found, a crash, is to become a file in the corpus, which the tests replay.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

TARGETS = ("cookie", "header", "payload")
CORPUS = Path(__file__).parent / "corpus"
PART = 50_000  # inputs of one seed


def random_inputs(target, count, seed):
    """Go through *count* inputs of one seed, and return those that the target does not hold for."""
    from fuzz.inputs import INPUTS
    from fuzz.targets import TARGETS

    wrong = []
    for data in INPUTS[target](count, seed):
        try:
            TARGETS[target](data)
        except Exception as error:
            wrong.append((data, f"{type(error).__name__}: {error}"[:200]))
    return wrong


def count_inputs(target, count):
    parts = [(target, min(PART, count - start), start // PART) for start in range(0, count, PART)]
    started = time.monotonic()
    wrong = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(random_inputs, *zip(*parts, strict=True)):
            wrong += found
    for data, error in wrong[:20]:
        print(f"{data!r}\n    {error}")
    print(f"{target}: {count:,} inputs in {time.monotonic() - started:.0f} s, {len(wrong)} wrong")
    return 1 if wrong else 0


def guided(target, seconds):
    import atheris
    from fuzz.targets import TARGETS

    atheris.instrument_all()
    atheris.Setup(
        [sys.argv[0], str(CORPUS / target), f"-max_total_time={seconds}", "-max_len=4096", "-print_final_stats=1"],
        TARGETS[target],
    )
    atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("target", choices=TARGETS)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--seconds", type=int)
    how.add_argument("--count", type=int)
    arguments = parser.parse_args()
    if arguments.count:
        return count_inputs(arguments.target, arguments.count)
    return guided(arguments.target, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
