"""What is said of a release in several places is one thing in all of them."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import asgi_flask_session

ROOT = Path(__file__).parents[2]
PACKAGES = ("asgi_flask_session", "quart_plugin")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
README = (ROOT / "README.md").read_text("utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def name(path):
    return path.relative_to(ROOT).as_posix()


def test_the_version_is_in_one_place_and_the_changelog_begins_with_it():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"] == {"path": "asgi_flask_session/__init__.py"}
    newest = re.search(r"^## (\S+) \((?:unreleased|\d{4}-\d\d-\d\d)\)$", CHANGELOG, re.MULTILINE)
    assert newest[1] == asgi_flask_session.__version__


def test_what_leads_to_the_changelog_says_the_public_names():
    assert all(f"`{public}`" in CHANGELOG for public in ("FlaskSessionASGI", "Session", "Settings", "StoreUnavailable"))


def versions(text):
    return [tuple(map(int, version.split("."))) for version in re.findall(r"\b3\.\d+\b", text)]


OURS = sorted(
    versions("\n".join(text for text in PROJECT["project"]["classifiers"] if "Python :: 3." in text)), reverse=True
)
PYTHONS = {
    "the README": (re.search(r"^Python (.*?)\.\s", README, re.MULTILINE)[1], [OURS[-1], OURS[0]]),
    "make demo and make test": (re.search(r"needs Python (\S+) or newer", README)[1], OURS[-1:]),
    "requires-python": (PROJECT["project"]["requires-python"], OURS[-1:]),
    "mypy": (PROJECT["tool"]["mypy"]["python_version"], OURS[-1:]),
    "pyright": (PROJECT["tool"]["pyright"]["pythonVersion"], OURS[-1:]),
    "the Makefile": (re.search(r"Python (\S+) or newer", (ROOT / "Makefile").read_text("utf-8"))[1], OURS[-1:]),
    "find-python": (
        re.search(r"for version in \$\{1:-(.*?)\}", (ROOT / "tools" / "find-python").read_text("utf-8"))[1],
        OURS,
    ),
}


@pytest.mark.parametrize(("text", "expected"), PYTHONS.values(), ids=PYTHONS)
def test_the_pythons_are_those_of_the_classifiers(text, expected):
    assert versions(text) == expected


def test_ruff_writes_for_the_oldest_python():
    assert PROJECT["tool"]["ruff"]["target-version"] == "py{}{}".format(*OURS[-1])


def test_the_pythons_are_those_that_are_checked_before_a_change_goes_in():
    path = ROOT / ".ci" / "run"
    if not path.exists():
        pytest.skip("an sdist has no .ci/run")
    assert versions(re.search(r"for version in (.*?); do", path.read_text("utf-8"))[1]) == OURS


def extras_in(path):
    found = re.findall(r"asgi-flask-session\[([a-z,-]+)\]", path.read_text("utf-8"))
    return {extra for extras in found for extra in extras.split(",")}


NAMING = [path for path in [*TEXTS, *CODE, *EXAMPLES] if extras_in(path)]


@pytest.mark.parametrize("path", NAMING, ids=name)
def test_an_extra_that_is_named_is_there(path):
    assert extras_in(path) <= set(PROJECT["project"]["optional-dependencies"])


def test_an_extra_that_is_there_is_named():
    assert set(PROJECT["project"]["optional-dependencies"]) <= set().union(*map(extras_in, TEXTS))


@pytest.mark.parametrize("path", CODE, ids=name)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text("utf-8"))) or not path.stat().st_size


def test_every_command_of_the_package_can_be_loaded():
    for target in PROJECT["project"]["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(__import__(module, fromlist=[function]), function))


# tools/check_dist.py, which .ci/run asks about the wheel and the sdist


@pytest.fixture
def check_dist(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.delitem(sys.modules, "check_dist", raising=False)
    import check_dist

    return check_dist


@pytest.fixture
def contents(check_dist):
    """Return a wheel, an sdist and a tree that belong together."""
    wheel = {f"{package}/{name}" for package in PACKAGES for name in ("__init__.py", "py.typed")}
    tree = wheel | set(check_dist.FILES) | {"tests/test_a.py", "docs/index.md", ".ci/run"}
    return wheel, (tree - {".ci/run"}) | {"PKG-INFO"}, tree


def test_a_whole_wheel_and_sdist_have_no_fault(check_dist, contents):
    assert check_dist.faults(*contents) == []


@pytest.mark.parametrize("left_out", ["asgi_flask_session/py.typed", "quart_plugin/__init__.py"])
def test_a_file_left_out_of_the_wheel_is_a_fault(check_dist, contents, left_out):
    wheel, sdist, tree = contents
    assert check_dist.faults(wheel - {left_out}, sdist, tree) == [f"the wheel lacks {left_out}"]


@pytest.mark.parametrize("left_out", ["docs/index.md", "CHANGELOG.md", "tests/test_a.py"])
def test_a_file_left_out_of_the_sdist_is_a_fault(check_dist, contents, left_out):
    wheel, sdist, tree = contents
    assert check_dist.faults(wheel, sdist - {left_out}, tree) == [f"the sdist lacks {left_out}"]


def test_what_is_not_ours_is_a_fault(check_dist, contents):
    wheel, sdist, tree = contents
    assert check_dist.faults(wheel | {"tests/x.py"}, sdist | {".env"}, tree) == [
        "the wheel has, and should not: tests/x.py",
        "the sdist has, and should not: .env",
    ]
