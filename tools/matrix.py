"""Show which releases share a session with ours: python tools/matrix.py [--only "quart 0.18"] [--cache FOLDER].

Each release is installed into an environment of its own and served there, by tools/matrix_peer.py; what it exchanges
the session with is served in another process, from this environment. One cookie goes between them over HTTP.
--page writes the table into docs/versions.md, too.
"""

import argparse
import importlib.metadata
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import tomllib
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from matrix_peer import act, data

ROOT = Path(__file__).parents[1]
PEER = Path(__file__).with_name("matrix_peer.py")
PAGE = ROOT / "docs" / "versions.md"
ENVIRONMENT = {**os.environ, "SECRET_KEY": secrets.token_hex()}
LIFETIME = 31 * 24 * 3600

PYTHONS = ("3.13", "3.12", "3.11")
OLDER = (*PYTHONS, "3.10", "3.9", "3.8")


class Release(NamedTuple):
    """A line of a framework; *pins* are what it came with in its time, *pythons* what it is tried on, in this order."""

    name: str
    line: str = "newest"
    pins: tuple[str, ...] = ()
    pythons: tuple[str, ...] = PYTHONS
    reads_tag_likes: bool = True  # dicts whose only key is that of a tag

    @property
    def requirements(self) -> list[str]:
        return [self.name.lower() + ("" if self.line == "newest" else f"=={self.line}.*"), *self.pins]


FLASK_1 = ("werkzeug<2.1", "jinja2<3.1", "itsdangerous<2.1", "markupsafe<2.1")
FLASK_2_0 = ("werkzeug<2.1", "jinja2<3.1", "itsdangerous<2.1")
RELEASES = [
    Release("Flask", "1.1", FLASK_1, OLDER),
    Release("Flask", "1.1", FLASK_1, ("3.8",)),
    Release("Flask", "2.0", FLASK_2_0, OLDER),
    Release("Flask", "2.0", FLASK_2_0, ("3.8",)),
    Release("Flask", "2.2", ("werkzeug<2.3",), OLDER),
    Release("Flask", "2.3", ("werkzeug<3",), OLDER),
    Release("Flask", "3.0", ("werkzeug<3.1",)),
    Release("Flask", "3.1"),
    Release("Quart", "0.18", ("werkzeug<2.3", "hypercorn<0.15"), reads_tag_likes=False),
    Release("Quart", "0.19", ("flask<3.1", "werkzeug<3.1")),
    Release("Quart", "0.20"),
    Release("Quart", "0.21"),
    Release("Quart", "0.22"),
    Release("Quart"),
    *(Release("Starlette", line) for line in ("0.40", "0.45", "0.49", "0.52", "1.0", "1.5", "newest")),
    *(Release("Litestar", line, ("anyio<4.12",)) for line in ("2.8", "2.12", "2.16")),
    *(Release("Litestar", line) for line in ("2.20", "newest")),
    *(Release("Django", line) for line in ("4.2", "5.2", "newest")),
]


class App(NamedTuple):
    """An app of matrix_peer.py, and whose session it has."""

    name: str
    session: str

    @property
    def is_own(self) -> bool:
        return self.name.endswith("_own")


APPS = {
    "Flask": [App("flask_own", "its own"), App("flask_interface", "`adapters.flask`")],
    "Quart": [App("quart_own", "its own"), App("quart_interface", "`quart_plugin`")],
    "Starlette": [App("starlette_around", "`FlaskSessionASGI`"), App("starlette_middleware", "`adapters.starlette`")],
    "Litestar": [App("litestar_around", "`FlaskSessionASGI`"), App("litestar_backend", "`adapters.litestar`")],
    "Django": [
        App("django_around", "`FlaskSessionASGI`"),
        App("django_middleware", "`adapters.django.middleware`"),
        App("django_engine", "`adapters.django.engine`"),
    ],
}
RUNS = {  # whether an interpreter runs a framework, as far as that is its own matter
    "Flask": "import flask; assert flask.Flask('app').test_client().get('/').status_code == 404",
    "Quart": "import quart, hypercorn; quart.Quart('app')",
    "Starlette": "from starlette import applications, middleware, responses, routing",
    "Litestar": "import litestar; litestar.Litestar([])",
    "Django": "from django.core import asgi; from django import http, urls",
}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


@cache
def floor(name: str) -> tuple[int, ...]:
    """Return the version from which pyproject.toml supports a framework."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [requirement] = project["optional-dependencies"][name.lower()]
    return numbers(requirement.partition(">=")[2])


# Environments


class Impossible(Exception):
    """Why there is no environment for a release."""


def run(*command: Any) -> str:
    """Return what a command prints, or raise Impossible with the line of its errors that says most."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode != 0:
        raise Impossible(reason(done.stderr))
    return done.stdout.strip()


def reason(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it says nothing"]
    told = [line for line in lines if line.startswith("ERROR: ")] or lines
    return re.sub(r"\S*[/|]\S*", "...", told[-1].removeprefix("ERROR: "))[:120]  # neither paths nor a column more


@cache
def interpreter(version: str) -> str | None:
    find = ["sh", ROOT / "tools" / "find-python", version]
    return subprocess.run(find, capture_output=True, text=True, check=False).stdout.strip() or None


def environment(release: Release, folder: Path, wheel: Path) -> tuple[str, Path]:
    """Return the newest Python that runs *release*, and that of an environment in which it is; raises Impossible."""
    why = f"no Python {', '.join(release.pythons)} is here"
    for version in release.pythons:
        base = interpreter(version)
        if base is None:
            continue
        python = folder / f"{release.name}-{release.line}-{version}".lower() / "bin" / "python"
        try:
            if not python.exists():
                run(base, "-m", "venv", python.parents[1])
            install = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--upgrade"]
            run(*install, *release.requirements)
            run(python, "-c", RUNS[release.name])
        except Impossible as error:
            why = f"Python {version}: {error}"
            continue
        if has_ours(release):
            run(*install, *release.requirements, "uvicorn", wheel)
            run(*install, "--force-reinstall", "--no-deps", wheel)  # whatever was there under its version
        return version, python
    raise Impossible(why)


def has_ours(release: Release) -> bool:
    """Say whether ours is installed beside *release*: an old Flask is pinned to what ours does not run on."""
    wanted = release.line == "newest" or numbers(release.line) >= floor(release.name)
    return wanted or not APPS[release.name][0].is_own


def build_wheel(folder: Path) -> Path:
    run(sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--wheel-dir", folder, ROOT)
    [wheel] = folder.glob("*.whl")
    return wheel


# Apps, and the browser that goes from one to the other


class Wrong(Exception):
    """What was not exchanged as it should be."""


FAULTS = (Wrong, OSError, HTTPException)


@contextmanager
def serving(python: Path | str, app: str) -> Iterator[int]:
    """Serve an app of matrix_peer.py in a process of its own; raises Wrong where it does not start."""
    command = [python, "-I", PEER, app]  # isolated: nothing is imported from anywhere else
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        hangs = threading.Timer(60, process.kill)
        hangs.start()
        try:
            said = process.stdout.readline() if process.stdout else ""
            if not said:
                process.wait()
                errors.seek(0)
                raise Wrong(f"does not start: {reason(errors.read())}")
            yield int(said)
        finally:
            hangs.cancel()
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


class Browser:
    """Keeps one cookie, whoever sets it."""

    def __init__(self) -> None:
        self.cookie: str | None = None

    def ask(self, peer: int, action: str) -> tuple[str, str | None]:
        """Return the text of the response, and the line that sets the cookie if there is one."""
        connection = HTTPConnection("127.0.0.1", peer, timeout=30)
        connection.request("GET", f"/{action}", headers={"Cookie": f"session={self.cookie}"} if self.cookie else {})
        response = connection.getresponse()
        text = response.read().decode()
        lines = [line.strip() for line in response.headers.get_all("Set-Cookie") or ()]
        connection.close()
        expect(response.status == 200, f"status {response.status}")
        expect(len(lines) <= 1, "two cookies")
        if not lines:
            return text, None
        expect(lines[0].startswith("session=") and "; Path=/" in lines[0], "another cookie")
        gone = "Max-Age=0" in lines[0] or " 1970 " in lines[0]
        self.cookie = None if gone else value_of(lines[0])
        return text, lines[0]

    def read(self, peer: int) -> str:
        text, line = self.ask(peer, "read")
        expect(line is None, "a read sets a cookie")
        return text


def expect(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise Wrong(otherwise)


def value_of(line: str) -> str:
    return line.partition(";")[0].partition("=")[2]


def signed_at(cookie: str) -> int:
    return int.from_bytes(urlsafe_b64decode(cookie.split(".")[-2] + "=="), "big")


# What is exchanged: each once with either side as the one that begins


def types(one: int, other: int) -> None:
    browser, session = Browser(), data()
    browser.ask(one, "write")
    expect(browser.read(one) == act(session, "read"), "its writer does not read it")
    expect(browser.read(other) == act(session, "read"), "not read")


def tag_likes(one: int, other: int) -> None:
    browser, session = Browser(), dict[str, Any]()
    browser.ask(one, "write%20like%20a%20tag")
    act(session, "write like a tag")
    expect(browser.read(other) == act(session, "read"), "not read")


def change(one: int, other: int) -> None:
    browser, session = Browser(), data()
    browser.ask(one, "write")
    for peer in (other, one, other):
        browser.ask(peer, "change")
        act(session, "change")
    expect(browser.read(one) == browser.read(other) == act(session, "read"), "lost")


def untouched(one: int, other: int) -> None:
    browser = Browser()
    browser.ask(one, "write")
    expect(browser.ask(other, "nothing")[1] is None, "a cookie is set")


def refresh(one: int, other: int) -> None:
    browser = Browser()
    browser.ask(one, "permanent?ago=60")
    before = browser.cookie or ""
    _, line = browser.ask(other, "nothing")
    expect(line is not None and "expires=" in line.lower(), "not refreshed")
    expect(signed_at(browser.cookie or "") >= signed_at(before) + 60, "signed too early")
    _, line = browser.ask(one, "nothing")
    expect(line is not None, "not read")


def deletion(one: int, other: int) -> None:
    browser = Browser()
    browser.ask(one, "write")
    browser.ask(other, "clear")
    expect(browser.cookie is None, "still there")


def age(one: int, other: int) -> None:
    for seconds, expected in ((LIFETIME - 60, data()), (LIFETIME + 60, {})):
        browser = Browser()
        browser.ask(one, f"write?ago={seconds}")
        expect(browser.read(other) == act(expected, "read"), "too old a cookie is read" if not expected else "not read")


EXCHANGES: list[Callable[[int, int], None]] = [types, tag_likes, change, untouched, refresh, deletion, age]
SAME = ["", "cookie value", "Set-Cookie"]  # what can be the same of what the two write


def exchanged(theirs: int, ours: int, release: Release) -> Iterator[str]:
    """Exchange everything, and yield what goes wrong."""
    for one, other in ((theirs, ours), (ours, theirs)):
        for exchange in EXCHANGES:
            if exchange is tag_likes and one == ours and not release.reads_tag_likes:
                continue
            try:
                exchange(one, other)
            except FAULTS as error:
                yield f"{exchange.__name__} {'from' if one == theirs else 'to'} {release.name}: {error}"


def alike(one: int, other: int) -> str:
    """Return what is the same where both write one session in one second, permanent or not."""
    return min((_alike(one, other, action) for action in ("write", "permanent")), key=SAME.index)


def _alike(one: int, other: int, action: str) -> str:
    found = ""
    for _ in range(10):  # until the two are answered in one second
        first, second = Browser().ask(one, action)[1] or "", Browser().ask(other, action)[1] or ""
        if first == second:
            return "Set-Cookie"
        if value_of(first) == value_of(second):
            found = "cookie value"
    return found


def promised(app: App, version: str) -> str:
    """Return what has to be the same."""
    if app.is_own:
        return "Set-Cookie" if app.name == "flask_own" and numbers(version) >= (3, 1) else ""
    return "cookie value" if app.name == "django_engine" else "Set-Cookie"  # Django itself spells that Set-Cookie


# The table


class Row(NamedTuple):
    """A line of the table, and whether what it says should not be."""

    release: str
    python: str
    session: str
    result: str
    is_wrong: bool = False

    def __str__(self) -> str:
        return "| " + " | ".join(self[:4]) + " |"


HEAD = f"{Row('release', 'Python', 'session, and with whom', 'result')}\n|---|---|---|---|"
TABLE = re.compile(r"As printed on .*:\n\n(?:\|.*\n)+")


def rows(release: Release, folder: Path, wheel: Path) -> list[Row]:
    """Return the lines of one release."""
    try:
        python, path = environment(release, folder, wheel)
    except Impossible as error:
        return [Row(f"{release.name} {release.line}", "", "", f"not installed: {error}")]
    version = run(path, "-c", f"from importlib.metadata import version; print(version({release.name.lower()!r}))")
    apps = APPS[release.name] if has_ours(release) else APPS[release.name][:1]
    return [row(release, version, python, app, path) for app in apps]


def row(release: Release, version: str, python: str, app: App, path: Path) -> Row:
    """Have *app* exchange its session: if it is its own with ours, if it is ours with a Flask of this environment."""
    other = "`FlaskSessionASGI`" if app.is_own else f"Flask {importlib.metadata.version('flask')}"
    begun = Row(f"{release.name} {version}", python, f"{app.session}, with {other}", "")
    try:
        with serving(path, app.name) as theirs, serving(sys.executable, "asgi" if app.is_own else "flask_own") as ours:
            faults = [*exchanged(theirs, ours, release)]
            same = alike(theirs, ours)
            if SAME.index(same) < SAME.index(promised(app, version)):
                faults.append("other bytes")
    except FAULTS as error:
        faults, same = [str(error)], ""
    if not faults:
        but = "" if release.reads_tag_likes else ", but for dicts like a tag"
        return begun._replace(result=f"shared{same and ', same '}{same}{but}")
    if "adapters" in app.session and numbers(version) < floor(release.name):
        return begun._replace(result=f"from {release.name} {'.'.join(map(str, floor(release.name)))} on")
    return begun._replace(result=f"WRONG: {'; '.join(faults)}", is_wrong=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--only", action="append", metavar="NAME", help='as "flask", or "quart 0.18"')
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where the environments are kept")
    parser.add_argument("--page", action="store_true", help="write the table into docs/versions.md")
    asked = parser.parse_args()
    if asked.only and asked.page:
        parser.error("the page shows the whole table: leave out --only")
    chosen = [
        release
        for release in RELEASES
        if not asked.only or f"{release.name} {release.line}".lower().startswith(tuple(map(str.lower, asked.only)))
    ]
    if not chosen:
        parser.error(f"none of {', '.join(sorted({release.name.lower() for release in RELEASES}))} is called that")
    lines, wrong = [HEAD], False
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory() as made, ThreadPoolExecutor(2) as workers:
        wheel = build_wheel(Path(made))
        folder = (asked.cache or Path(made)).resolve()
        for found in workers.map(lambda release: rows(release, folder, wheel), chosen):
            for line in found:
                print(line, flush=True)
                lines.append(str(line))
                wrong = wrong or line.is_wrong
    if asked.page:
        write_page("\n".join(lines))
    return 1 if wrong else 0


def write_page(table: str) -> None:
    today = f"As printed on {datetime.now(UTC):%Y-%m-%d}:\n\n{table}\n"
    text, times = TABLE.subn(lambda _: today, PAGE.read_text("utf-8"))
    if times != 1:
        raise SystemExit(f"no table is in {PAGE}")
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
