"""What does a session cost a whole request of Quart: by its own interface, by ours, and by ours in a store?

The whole requests are less the same request to an app without a session. The interface alone is what it does to open
a session and to save it, for a request and a response that are there already.
"""

import argparse
import asyncio
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter_ns
from typing import Any

from _requests import ask, compared, keep_to_one_processor
from _sessions import LOGIN, OTHER_TOKEN, PERMANENT, SECRET, SMALL
from _timing import print_table
from quart import Quart, session
from quart.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionInterface
from werkzeug.datastructures import Headers

from quart_plugin import FlaskSessionInterface

STOCK, OURS = "Quart's", "ours"


@dataclass(frozen=True)
class Case:
    """What a request brings, what the view does with it, and the share of the time of Quart's own that we aim at."""

    name: str
    data: dict[str, Any]
    handle: Callable[[Any], object] | None
    target: float | None = None


def read(session: Any) -> None:
    session.get("_user_id")


def write(session: Any) -> None:
    session["csrf_token"] = OTHER_TOKEN


CASES = [
    Case("untouched", SMALL, None),
    Case("read", SMALL, read, target=0.25),
    Case("write", SMALL, write, target=0.5),
    Case("login read", LOGIN, read),
    Case("login write", LOGIN, write),
    Case("permanent read", PERMANENT, read),
]


class NoSession(SessionInterface):
    """Gives each request the same data, and writes nothing."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.session = SecureCookieSession(data)

    async def open_session(self, app: Any, request: Any) -> Any:
        return self.session

    async def save_session(self, app: Any, session: Any, response: Any) -> None:
        pass


SUBJECTS: dict[str, Callable[[], Any]] = {
    STOCK: SecureCookieSessionInterface,
    OURS: FlaskSessionInterface,
    "ours, in memory": lambda: FlaskSessionInterface(store="memory:"),
}


def app_for(interface: Any, case: Case) -> Any:
    app = Quart("benchmark")
    app.secret_key = SECRET
    app.session_interface = interface

    @app.get("/")
    async def view() -> str:
        if case.handle is not None:
            case.handle(session)
        return ""

    @app.get("/begin")
    async def begin() -> str:
        session.update(case.data)
        return ""

    return app


async def alone(case: Case, cookies: dict[str, bytes], rounds: int, calls: int) -> dict[str, float]:
    """Return the median microseconds of each interface alone, over rounds that go through all."""
    costs: dict[str, list[float]] = {name: [] for name in names(1)}
    apps = {name: app_for(SUBJECTS[name](), case) for name in names(1)}
    without = app_for(NoSession(case.data), case)
    for done in range(rounds + 1):
        bare = await opened_and_saved(without, case, b"", calls)
        for name, app in apps.items():
            cost = await opened_and_saved(app, case, cookies[name], calls)
            if done:  # the first round warms up
                costs[name].append(cost - bare)
    return {name: median(measured) for name, measured in costs.items()}


async def opened_and_saved(app: Any, case: Case, cookie: bytes, calls: int) -> float:
    """Return the mean microseconds of opening and saving a session, for a request and a response that are there."""
    interface = app.session_interface
    async with app.test_request_context("/", headers={"Cookie": cookie.decode()}) as context:
        response = app.response_class("")
        start = perf_counter_ns()
        for _ in range(calls):
            response.headers = Headers()
            opened = await interface.open_session(app, context.request)
            if case.handle is not None:
                case.handle(opened)
                opened.accessed = True  # as Quart marks it
            await interface.save_session(app, opened, response)
        return (perf_counter_ns() - start) / calls / 1000


async def measure(case: Case, rounds: int, calls: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return what the session costs a whole request, and what the interface alone costs, by subject."""
    apps = {name: app_for(make(), case) for name, make in SUBJECTS.items()}
    cookies = {name: await ask(app, path="/begin") for name, app in apps.items()}
    steps = {name: partial(ask, app, cookies[name]) for name, app in apps.items()}
    shown = await compared(
        {"without": partial(ask, app_for(NoSession(case.data), case), cookies[STOCK]), **steps}, rounds, calls
    )
    interfaces = await alone(case, cookies, rounds, 10 * calls)
    return {name: shown[name] - shown["without"] for name in SUBJECTS}, interfaces


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--calls", type=int, default=20, help="of each app in a round")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_to_one_processor()
    results = {case.name: await measure(case, arguments.rounds, arguments.calls) for case in CASES}
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"Python {platform.python_version()}, microseconds.\n")
    for number, title in enumerate(("Whole requests, beside one without a session", "The interface alone")):
        print(f"{title}\n")
        rows = []
        for case in CASES:
            shown = results[case.name][number]
            share = shown[OURS] / shown[STOCK]
            said = f"{share:.2f}"
            if number and case.target is not None:
                said += f" ({'met' if share <= case.target else 'NOT MET'}: {case.target})"
            rows.append([case.name, *(f"{shown[name]:.0f}" for name in names(number)), said])
        print_table(["", *names(number), f"{OURS} / {STOCK}"], rows)


def names(number: int) -> list[str]:
    """Return the subjects of a table: what a store costs is in whole requests only."""
    return [name for name in SUBJECTS if not number or "memory" not in name]


if __name__ == "__main__":
    asyncio.run(main())
