"""Change the code in small ways, and see that a test notices each: `python tools/mutants.py [FILE...]`.

Every function of the files that tools/mutants/ has a list for (all, unless some are named) is changed in one place at a
time, by mutmut's operators. The tests of the list that run the changed line run on it, in a process of their own, until
one fails. What no test notices is a survivor: those that were looked at stand in the list, below the reason, and any
other is printed and ends this with status 1. Messages for people are not changed.
"""

import argparse
import gc
import os
import signal
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import libcst as cst
import pytest
from coverage import Coverage
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

ROOT = Path(__file__).parents[1]
LISTS = ROOT / "tools" / "mutants"
PACKAGES = ["asgi_flask_session", "quart_plugin"]
TO_PEOPLE = {"cast", "TypeVar", "warn", "warn_once", "has_warned", "debug", "warning", "error"}
SURVIVED, NO_TESTS = "survived", "no tests"
SLOW = 5.0  # seconds that a test may take beyond ten times what it took before: a change may make it wait forever


@dataclass(frozen=True)
class Mutant:
    """One change of one file."""

    file: Path  # relative to the root
    text: str  # of the whole file
    lines: range  # of what is changed, by number
    statement: range  # of what it stands in
    name: str  # "module function: `old` -> `new`"


# What is changed


@dataclass
class List:
    """What tools/mutants/ says of a file: the tests to run, and the survivors that it explains."""

    tests: list[str] = field(default_factory=list)
    survivors: set[str] = field(default_factory=set)


def files() -> list[Path]:
    return [Path(*path.stem.split(".")).with_suffix(".py") for path in sorted(LISTS.glob("*.txt"))]


def list_of(file: Path) -> List:
    """Read the list: paths of tests, then lines with a reason, and the changes that it is of behind blanks."""
    found = List()
    for line in (LISTS / f"{'.'.join(file.with_suffix('').parts)}.txt").read_text("utf-8").splitlines():
        if line.startswith("tests/"):
            found.tests += line.split()
        elif line.startswith("    "):
            found.survivors.add(line.strip())
    return found


def mutants_of(file: Path) -> list[Mutant]:
    source = (ROOT / file).read_bytes()
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    finder = _Finder(file, source, wrapper.module)
    wrapper.visit(finder)
    seen: Counter[str] = Counter()
    found = []
    for mutant in {mutant.text: mutant for mutant in finder.found}.values():
        seen[mutant.name] += 1
        number = seen[mutant.name]
        found.append(replace(mutant, name=f"{mutant.name}, number {number}") if number > 1 else mutant)
    return found


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (ByteSpanPositionProvider, PositionProvider, ParentNodeProvider)

    def __init__(self, file: Path, source: bytes, module: cst.Module) -> None:
        super().__init__()
        self.file, self.source, self.module = file, source, module
        self.found: list[Mutant] = []
        self._names: list[str] = []
        self._functions = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.ClassDef | cst.FunctionDef):
            self._names.append(node.name.value)
            self._functions += isinstance(node, cst.FunctionDef)
        if isinstance(node, cst.Annotation | cst.Decorator | cst.Param | cst.FormattedString | cst.ConcatenatedString):
            return False
        if isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString):
            return False  # a docstring
        if isinstance(node, cst.Raise) or (isinstance(node, cst.Call) and _called(node) in TO_PEOPLE):
            return False
        if self._functions:
            self.found += self._changed(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.ClassDef | cst.FunctionDef):
            self._names.pop()
            self._functions -= isinstance(original_node, cst.FunctionDef)

    def _changed(self, node: cst.CSTNode) -> Iterator[Mutant]:
        for kind, operator in mutation_operators:
            if not isinstance(node, kind) or (operator is operator_string and " " in getattr(node, "value", "")):
                continue
            for number, new in enumerate(operator(node)):
                if operator is operator_string and number:
                    continue  # the other ways to spell it tell nothing more
                code = self.module.code_for_node(new).strip()
                span = self.get_metadata(ByteSpanPositionProvider, node)
                old = self.source[span.start : span.start + span.length]
                text = self.source[: span.start] + code.encode() + self.source[span.start + span.length :]
                try:
                    compile(text, str(self.file), "exec", dont_inherit=True)
                except SyntaxError:
                    continue
                yield Mutant(
                    self.file, text.decode(), self._lines(node), self._statement(node),
                    f"{self.file} {'.'.join(self._names)}: `{_line(old.decode())}` -> `{_line(code)}`",
                )  # fmt: skip

    def _lines(self, node: cst.CSTNode) -> range:
        span = self.get_metadata(PositionProvider, node)
        return range(span.start.line, span.end.line + 1)

    def _statement(self, node: cst.CSTNode) -> range:
        while not isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            node = self.get_metadata(ParentNodeProvider, node)
        lines = self._lines(node)
        return lines if isinstance(node, cst.BaseSmallStatement) else range(lines.start, lines.start + 1)


def _called(call: cst.Call) -> str:
    function = call.func
    return function.attr.value if isinstance(function, cst.Attribute) else getattr(function, "value", "")


def _line(code: str) -> str:
    return " ".join(code.split())


# Whether a test notices


class Trial:
    """A pytest plugin: runs each test once to see which lines it runs, then each mutant's tests on the mutant."""

    def __init__(self, mutants: Sequence[Mutant], budget: float) -> None:
        self.mutants, self.budget = mutants, budget
        self.outcomes: dict[str, str] = {}
        self._failed = False
        self._functions: dict[str, list[FunctionType]] = {}
        self._caches: list[Any] = []
        self._seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Failed(f"{session.testsfailed} errors while the tests were collected")
        tests_by_line = self._run_all(session.items)
        gc.collect()
        self._functions = functions()
        self._caches = [found for found in gc.get_objects() if type(found).__name__ == "_lru_cache_wrapper"]
        gc.freeze()  # so that a process of a mutant's own copies little
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what threads are left do nothing any more
            self._try_all(tests_by_line)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed
        self._seconds[report.nodeid] += report.duration

    def _run_all(self, items: Sequence[pytest.Item]) -> dict[str, dict[int, list[pytest.Item]]]:
        coverage = Coverage(data_file=None, source_pkgs=PACKAGES, concurrency=["thread", "greenlet"], config_file=False)
        coverage.start()
        broken = set()
        for number, item in enumerate(items):
            coverage.switch_context(str(number))
            if not self._passes(item, items[number + 1] if number + 1 < len(items) else None):
                broken.add(number)
                _say(f"left out, since it fails on the code as it is: {item.nodeid}")
        coverage.stop()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that what was imported before is not measured: no test runs that
            data = coverage.get_data()
        found: dict[str, dict[int, list[pytest.Item]]] = {}
        for measured in data.measured_files():
            lines = found[str(Path(measured).relative_to(ROOT))] = {}
            for line, contexts in data.contexts_by_lineno(measured).items():
                numbers = {int(context) for context in contexts if context} - broken
                lines[line] = [items[number] for number in numbers]
        return found

    def _duration(self, item: pytest.Item) -> float:
        return self._seconds[item.nodeid]

    def _passes(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        self._failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return not self._failed

    def _try_all(self, tests_by_line: dict[str, dict[int, list[pytest.Item]]]) -> None:
        for mutant in self.mutants:
            tests = self._tests_of(mutant, tests_by_line.get(str(mutant.file), {}))
            if not tests:
                self.outcomes[mutant.name] = NO_TESTS
                continue
            if (child := os.fork()) == 0:
                self._try(mutant, tests)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            self.outcomes[mutant.name] = {0: SURVIVED, 1: "noticed", -signal.SIGALRM: "waits forever"}.get(
                code, "crashed"
            )

    def _tests_of(self, mutant: Mutant, lines: dict[int, list[pytest.Item]]) -> list[pytest.Item]:
        for of in (mutant.lines, mutant.statement):
            if found := {item for line in of for item in lines.get(line, ())}:
                break
        tests, seconds = [], 0.0
        own = f"test_{mutant.file.stem}.py"
        for item in sorted(found, key=lambda item: (item.path.name != own, self._duration(item))):
            seconds += self._duration(item)
            if self.budget and seconds > self.budget and tests:
                break
            tests.append(item)
        return tests

    def _try(self, mutant: Mutant, tests: Sequence[pytest.Item]) -> None:
        """Run the tests in this process, the mutant's own, and end it."""
        status = 2
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            for cache in self._caches:  # of what functions returned before they were changed
                cache.cache_clear()
            change(mutant, self._functions)
            for item, following in zip(tests, [*tests[1:], None], strict=True):
                signal.setitimer(signal.ITIMER_REAL, SLOW + 10 * self._duration(item))
                if not self._passes(item, following):
                    status = 1
                    break
            else:
                status = 0
        finally:
            os._exit(status)


def functions() -> dict[str, list[FunctionType]]:
    """Return the functions that are there, whoever holds them, by their file."""
    found = defaultdict(list)
    for function in gc.get_objects():
        if type(function) is FunctionType:
            found[function.__code__.co_filename].append(function)
    return found


def change(mutant: Mutant, of_file: dict[str, list[FunctionType]]) -> None:
    """Put the mutant's code into the functions of its file."""
    file = str(ROOT / mutant.file)
    old = _codes(compile((ROOT / mutant.file).read_bytes(), file, "exec", dont_inherit=True))
    new = _codes(compile(mutant.text, file, "exec", dont_inherit=True))
    places = {(code.co_qualname, code.co_firstlineno): place for place, code in old.items()}
    for function in of_file[file]:
        place = places.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if place in new and new[place] != old[place]:
            code = new[place]
            if not code.co_freevars and function.__code__.co_freevars == ("__class__",):  # it calls super() no more
                code = code.replace(co_freevars=("__class__",))
            with suppress(ValueError):  # an inner function that needs other names: the outer one will make it anew
                function.__code__ = code


def _codes(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """Return the code of the functions by name and number: what gets a property and what sets it have one name."""
    found: dict[tuple[str, int], CodeType] = {}
    seen: Counter[str] = Counter()
    inside = [code]
    while inside:
        for constant in inside.pop(0).co_consts:
            if isinstance(constant, CodeType):
                found[constant.co_qualname, seen[constant.co_qualname]] = constant
                seen[constant.co_qualname] += 1
                inside.append(constant)
    return found


def try_all(file: Path, tests: Sequence[str], only: str, budget: float) -> dict[str, str]:
    """Return the outcomes by the names of the mutants of a file; this is done in a process for itself."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    start = time.monotonic()
    trial = Trial([mutant for mutant in mutants_of(file) if only in mutant.name], budget)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    pytest.main(
        [
            "-q",
            "-s",
            "--no-header",
            "--assert=plain",
            "--tb=no",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:cov",
            "-p",
            "no:unraisableexception",
            *tests,
        ],
        plugins=[trial],
    )
    how = ", ".join(f"{count} {outcome}" for outcome, count in sorted(Counter(trial.outcomes.values()).items()))
    _say(f"{file}: {how}, in {time.monotonic() - start:.0f} s")
    return trial.outcomes


# What is said of it


def _say(text: str) -> None:
    print(text, file=sys.__stderr__, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "files", nargs="*", type=Path, help="of the package; all that have a list, unless some are named"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--budget", type=float, default=0, help="seconds of tests for each change; all, unless given")
    parser.add_argument("--tests", nargs="*", help="what pytest runs, in place of what the lists say")
    parser.add_argument("--only", default="", help="only changes whose names have this in them")
    arguments = parser.parse_args()

    chosen = arguments.files or files()
    lists = {file: list_of(file) for file in chosen}
    with ProcessPoolExecutor(arguments.processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        tests = [arguments.tests or lists[file].tests for file in chosen]
        several = len(chosen)
        found = pool.map(try_all, chosen, tests, [arguments.only] * several, [arguments.budget] * several)
        outcomes = dict(zip(chosen, found, strict=True))
    is_bad = False
    counts: dict[str, Counter[str]] = {}
    for file, of_file in outcomes.items():
        survivors = {name for name, outcome in of_file.items() if outcome in (SURVIVED, NO_TESTS)}
        kept = lists[file].survivors
        counts[str(file)] = Counter(
            changes=len(of_file), survivors=len(survivors - kept), explained=len(survivors & kept)
        )
        for name in sorted(survivors - kept):
            print(f"{of_file[name]}: {name}")
        if not arguments.only:
            for name in sorted(kept - survivors):
                print(f"to be taken off the list: {name}")
        is_bad |= not of_file or not survivors <= kept
    print(f"\n{'file':44} changes  noticed  explained  survivors")
    for name, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        noticed = 1 - (count["survivors"] + count["explained"]) / max(1, count["changes"])
        print(f"{name:44}{count['changes']:8}{noticed:9.1%}{count['explained']:11}{count['survivors']:11}")
    return is_bad


if __name__ == "__main__":
    raise SystemExit(main())
