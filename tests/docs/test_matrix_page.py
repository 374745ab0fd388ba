"""docs/versions.md names what is supported and what tools/matrix.py tries out; and that notices what is wrong."""

import re
import secrets
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "versions.md").read_text("utf-8")


@pytest.fixture(scope="module")
def matrix():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        import matrix

        yield matrix


def test_floors_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    said = re.findall(r"\| (\w+) \| ([\d.]+) \| `asgi-flask-session\[(\w+)\]` \|", PAGE)
    assert {name.lower() for name, _, _ in said} == {"starlette", "fastapi", "litestar", "quart", "django", "flask"}
    assert [extras[extra] for _, _, extra in said] == [[f"{name.lower()}>={floor}"] for name, floor, _ in said]
    pythons = re.findall(r":: Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert f"Python {', '.join(pythons[:-1])} and {pythons[-1]}, " in PAGE


def test_every_release_has_a_row(matrix):
    rows = re.findall(r"^\| (\w+) (\S+) \|", PAGE, re.MULTILINE)
    for release in matrix.RELEASES:
        versions = [version for name, version in rows if name == release.name]
        assert release.line == "newest" or any(f"{version}.".startswith(f"{release.line}.") for version in versions)
        assert versions


@pytest.mark.parametrize(
    "app", ["flask_interface", "quart_own", "starlette_around", "litestar_around", "django_around"]
)
def test_everything_is_shared_with_flask(matrix, app):
    release = matrix.Release("it")
    with matrix.serving(sys.executable, app) as one, matrix.serving(sys.executable, "flask_own") as other:
        assert list(matrix.exchanged(one, other, release)) == []
        assert matrix.alike(one, other) == ("" if app == "quart_own" else "Set-Cookie")


def test_nothing_is_shared_by_those_with_two_secrets(matrix, monkeypatch):
    with matrix.serving(sys.executable, "asgi") as one:
        monkeypatch.setitem(matrix.ENVIRONMENT, "SECRET_KEY", secrets.token_hex())
        with matrix.serving(sys.executable, "flask_own") as other:
            faults = list(matrix.exchanged(one, other, matrix.Release("it")))
            assert matrix.alike(one, other) == ""
    names = ["types", "tag_likes", "change", "refresh", "age"]  # an empty session is cleared too
    assert [fault.partition(" it: ")[0] for fault in faults] == [
        f"{name} {way}" for way in ("from", "to") for name in names
    ]


def test_app_that_does_not_start_is_wrong(matrix):
    with (
        pytest.raises(matrix.Wrong, match="does not start: KeyError: 'no_such_app'"),
        matrix.serving(sys.executable, "no_such_app"),
    ):
        pass
