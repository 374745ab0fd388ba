"""How the benchmarks measure, and how they print."""

import gc
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import median
from time import thread_time_ns
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)

_SAMPLE = 2_000_000  # nanoseconds that one sample should take
_WARM_UP = 200


def interleaved(calls: Mapping[Key, Callable[[], object]], rounds: int) -> dict[Key, float]:
    """Return the median nanoseconds of each call, of one sample in each round.

    Each round measures every call, so that a slow moment of the machine is shared by all of them.
    """
    counts = {key: _calls_in_a_sample(call) for key, call in calls.items()}
    samples: dict[Key, list[float]] = {key: [] for key in calls}
    for done in range(rounds):
        _show_progress(done, rounds)
        gc.collect()
        gc.disable()
        for key, call in calls.items():
            samples[key].append(_time(call, counts[key]))
        gc.enable()
    _show_progress(rounds, rounds)
    return {key: median(times) for key, times in samples.items()}


def run(coroutine: Any) -> Any:
    """Run what never waits, without a loop: a loop would cost more than what is measured."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("it waits for something")


def _calls_in_a_sample(call: Callable[[], object]) -> int:
    _time(call, _WARM_UP)
    return max(1, round(_SAMPLE / _time(call, _WARM_UP)))


def _time(call: Callable[[], object], count: int) -> float:
    start = thread_time_ns()
    for _ in range(count):
        call()
    return (thread_time_ns() - start) / count


def _show_progress(done: int, rounds: int) -> None:
    if sys.stderr.isatty():
        end = "\r" if done < rounds else "\r\033[K"
        print(f"round {done + 1} of {rounds}" if done < rounds else "", end=end, file=sys.stderr, flush=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for row in (head, rule, *rows):
        first, *others = (
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("|", " | ".join([first, *others]), "|")
    print()


def verdict(target: float | None, share: float | None) -> tuple[str, str]:
    """Return the cells that say what a share should be at most, and whether it is."""
    if target is None or share is None:
        return "-", "-"
    return f"{target:.2f}", "met" if share <= target else "NOT MET"
