"""What does the session add to a request, beside other middlewares and beside the frameworks' own sessions?

Each number is the median time of a request, less that of the same request where the app finds a plain dict.
Apps are driven by hand, without a server and without an event loop.
"""

import argparse
import contextvars
import json
import platform
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from _sessions import LARGE, LOGIN, OTHER_TOKEN, PERMANENT, SECRET, SMALL, TAGGED
from _timing import interleaved, print_table, run, verdict

from asgi_flask_session import FlaskSessionASGI

App = Callable[[Any, Any, Any], Awaitable[None]]
Call = Callable[[], object]
Headers = list[tuple[bytes, bytes]]

OURS = "ours"
REMEMBERING = "ours, remember"
REFERENCE = "starlette"


# What is measured.


@dataclass(frozen=True)
class Case:
    """What a request brings, what the app does with it, and the most that we aim at, as a share of Starlette's time."""

    name: str
    session: dict[str, Any] | None
    handle: Callable[[Any], None]
    target: float | None = None
    remembering: float | None = None  # the same where cookies are remembered
    forged: bool = False


def nothing(session: Any) -> None:
    pass


def read(session: Any) -> None:
    session.get("_user_id")


def write(session: Any) -> None:
    session["csrf_token"] = OTHER_TOKEN


def read_nested(session: Any) -> None:
    session.get("cart")  # the app could change it in place, so it has to be compared afterwards


CASES = [
    Case("no cookie", None, nothing, target=0.53),
    Case("untouched", SMALL, nothing, target=0.41, remembering=0.27),
    Case("read", SMALL, read, target=0.56, remembering=0.37),
    Case("write", SMALL, write, target=0.69),
    Case("forged", SMALL, nothing, target=0.33, forged=True),
    Case("login read", LOGIN, read, target=0.84, remembering=0.56),
    Case("login write", LOGIN, write, target=0.88),
    Case("large read", LARGE, read, target=1.25, remembering=0.83),
    Case("large write", LARGE, write, target=1.75),  # Flask's bytes: sorted keys, and zlib
    Case("tagged read", TAGGED, read),  # Starlette has no tags
    Case("tagged write", TAGGED, write),
    Case("permanent untouched", PERMANENT, nothing, target=0.8),  # Flask's rule: a new cookie each time
    Case("permanent read", PERMANENT, read, target=1.7),
    Case("nested read", LARGE, read_nested),
]


# Whom it is measured with. A subject makes two calls of a case: the request with the session, and without.

Subject = Callable[[Case], tuple[Call, Call]]


def ours(**settings: Any) -> Subject:
    return asgi(lambda app: FlaskSessionASGI(app, SECRET, **settings), tags=True)


def starlette() -> Subject:
    from starlette.middleware.sessions import SessionMiddleware

    return asgi(lambda app: SessionMiddleware(app, SECRET))


def starlette_flask() -> Subject:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "starlette-flask is archived", FutureWarning)
        from starlette_flask.middleware.sessions import SessionMiddleware  # type: ignore[import-untyped]  # it has no types

    return asgi(lambda app: SessionMiddleware(app, SECRET))


def asgi(wrap: Callable[[App], App], *, tags: bool = False) -> Subject:
    def calls(case: Case) -> tuple[Call, Call]:
        if case.session is TAGGED and not tags:
            raise NotImplementedError
        headers = request_headers(case, lambda data: cookie_written_by(wrap, data))
        app = app_that(case.handle)
        return (
            asgi_request(wrap(app), {"type": "http", "path": "/", "headers": headers}),
            asgi_request(app, {"type": "http", "path": "/", "headers": headers, "session": dict(case.session or {})}),
        )

    return calls


def quart() -> Subject:
    from quart import Quart
    from werkzeug.datastructures import Headers

    app = Quart("benchmark")
    app.secret_key = SECRET
    interface: Any = app.session_interface

    def calls(case: Case) -> tuple[Call, Call]:
        headers = Headers(as_text(request_headers(case, interface.get_signing_serializer(app).dumps)))

        def begin() -> tuple[Any, Any]:
            scope: Any = {"type": "http"}
            request = app.request_class("GET", "http", "/", b"", headers, "", "1.1", scope, send_push_promise=nowhere)
            return request, app.response_class()

        async def with_session() -> None:
            request, response = begin()
            session = await interface.open_session(app, request)
            case.handle(session)
            await interface.save_session(app, session, response)

        async def without() -> None:
            begin()
            case.handle({})

        return lambda: run(with_session()), lambda: run(without())

    return calls


def flask() -> Subject:
    from flask import Flask
    from werkzeug.test import create_environ

    app = Flask("benchmark")
    app.secret_key = SECRET
    interface: Any = app.session_interface
    context = contextvars.copy_context()  # where the serializer finds its app, and only Flask's does
    context.run(app.app_context().push)

    def calls(case: Case) -> tuple[Call, Call]:
        serializer = interface.get_signing_serializer(app)
        environ = create_environ(headers=as_text(request_headers(case, partial(context.run, serializer.dumps))))

        def with_session() -> None:
            request, response = app.request_class(environ.copy()), app.response_class()
            session = interface.open_session(app, request)
            case.handle(session)
            interface.save_session(app, session, response)

        def without() -> None:
            app.request_class(environ.copy()), app.response_class()
            case.handle({})

        return partial(context.run, with_session), partial(context.run, without)

    return calls


SUBJECTS: dict[str, Callable[[], Subject]] = {
    OURS: ours,
    REMEMBERING: lambda: ours(remember=1024),
    REFERENCE: starlette,
    "starlette-flask": starlette_flask,
    "quart (interface)": quart,
    "flask (interface)": flask,
}


# Requests by hand.


def app_that(handle: Callable[[Any], None]) -> App:
    async def app(scope: Any, _receive: Any, send: Any) -> None:
        handle(scope["session"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def asgi_request(app: App, scope: dict[str, Any]) -> Call:
    return lambda: run(app(scope.copy(), nowhere, nowhere))


async def nowhere(*_: object) -> None:
    pass


def request_headers(case: Case, dumps: Callable[[dict[str, Any]], Any]) -> Headers:
    cookies = "theme=dark; consent=1700000000"
    if case.session is not None:
        value = dumps(case.session)
        if case.forged:
            value = value[:-9] + ("A" if value[-9] != "A" else "B") + value[-8:]
        cookies += f"; session={value}"
    return [
        (b"host", b"example.com"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        (b"accept-language", b"en-US,en;q=0.5"),
        (b"accept-encoding", b"gzip, deflate, br"),
        (b"connection", b"keep-alive"),
        (b"cookie", cookies.encode()),
    ]


def as_text(headers: Headers) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in headers]


def cookie_written_by(wrap: Callable[[App], App], data: dict[str, Any]) -> str:
    sent: Headers = []

    async def send(message: Any) -> None:
        sent.extend(message.get("headers", ()))

    app = wrap(app_that(lambda session: session.update(data)))
    run(app({"type": "http", "path": "/", "headers": []}, nowhere, send))
    [line] = (value for name, value in sent if name.lower() == b"set-cookie")
    return line.decode().partition(";")[0].removeprefix("session=")


# The run, and what it prints.


def installed_subjects() -> tuple[dict[str, Subject], dict[str, str]]:
    found, missing = {}, {}
    for name, make in SUBJECTS.items():
        try:
            found[name] = make()
        except ImportError as error:
            missing[name] = str(error)
    return found, missing


def measure(subjects: dict[str, Subject], rounds: int) -> dict[str, dict[str, float]]:
    """Return the nanoseconds added, by subject and case."""
    calls: dict[tuple[str, str, bool], Call] = {}
    for case in CASES:
        for name, subject in subjects.items():
            with suppress(NotImplementedError):
                calls[case.name, name, True], calls[case.name, name, False] = subject(case)
    times = interleaved(calls, rounds)
    return {
        name: {
            case.name: times[case.name, name, True] - times[case.name, name, False]
            for case in CASES
            if (case.name, name, True) in times
        }
        for name in subjects
    }


def shares(added: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return what each subject adds, as a share of what Starlette's adds."""
    reference = added.get(REFERENCE, {})
    return {
        name: {case: time / reference[case] for case, time in times.items() if case in reference}
        for name, times in added.items()
    }


def print_tables(added: dict[str, dict[str, float]]) -> None:
    print("Nanoseconds added to a request\n")
    print_table(
        ["case", *added],
        [[case.name, *(cell(times.get(case.name), "{:,.0f}") for times in added.values())] for case in CASES],
    )
    print(f"As a share of {REFERENCE}'s, and the most that ours should be, without remembering and with it\n")
    share = shares(added)
    print_table(
        ["case", *share, "target", "", "remembering", ""],
        [
            [
                case.name,
                *(cell(times.get(case.name), "{:.2f}") for times in share.values()),
                *verdict(case.target, share[OURS].get(case.name)),
                *verdict(case.remembering, share[REMEMBERING].get(case.name)),
            ]
            for case in CASES
        ],
    )


def cell(number: float | None, form: str) -> str:
    return "-" if number is None else form.format(number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="31 or more for a number to rely on (default 31)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    options = parser.parse_args()

    subjects, missing = installed_subjects()
    added = measure(subjects, options.rounds)
    if options.json:
        targets = {case.name: case.target for case in CASES if case.target is not None}
        result = {"rounds": options.rounds, "python": platform.python_version(), "missing": missing}
        print(json.dumps({**result, "added_ns": added, "shares": shares(added), "targets": targets}, indent=2))
        return
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    print_tables(added)


if __name__ == "__main__":
    main()
