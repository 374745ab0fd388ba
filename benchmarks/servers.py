"""What does reading the session add to a request that comes through a server, beside Starlette's own session?

A server is asked on many connections at once, and tells the processor time that it took itself. What the same app
takes with a plain dict in place of a session is subtracted.
"""

import argparse
import importlib.util
import json
import os
import platform
import select
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from _sessions import SECRET, SMALL
from _timing import print_table, verdict
from middleware import CASES, App, app_that, cookie_written_by, read, request_headers

from asgi_flask_session import FlaskSessionASGI

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from services.processes import Process, accepts, free_port

TARGET = 0.6
CONNECTIONS = 64
TURNS = 16  # of each subject in a run
CASE = next(case for case in CASES if case.name == "read")
SERVERS = {
    "uvicorn": [
        "uvicorn",
        "--factory",
        "--no-access-log",
        "--log-level=warning",
        "--timeout-keep-alive=600",
        "--port={port}",
    ],
    "granian": ["granian", "--factory", "--no-access-log", "--log-level=warning", "--port={port}", "--interface=asgi"],
}
SUBJECTS = ["bare", "starlette", "ours"]


# What is served


def ours(app: App) -> App:
    return FlaskSessionASGI(app, SECRET)


def starlette(app: App) -> App:
    from starlette.middleware.sessions import SessionMiddleware

    return SessionMiddleware(app, SECRET)


def bare(app: App) -> App:
    async def with_dict(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = dict(SMALL)
        await app(scope, receive, send)

    return with_dict


def served() -> App:
    """Return the app that the server is told of by the environment, and at /cpu the seconds that it has taken."""
    app = {"ours": ours, "starlette": starlette, "bare": bare}[os.environ["SUBJECT"]](app_that(read))

    async def or_cpu(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] != "/cpu":
            await app(scope, receive, send)
            return
        body = str(time.process_time_ns()).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return or_cpu


# How it is asked


class Client:
    """Connections that are kept open."""

    def __init__(self, port: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self._page, self._cpu = (b"GET %b HTTP/1.1\r\n%b\r\n" % (path, lines) for path in (b"/", b"/cpu"))

    def processor_time(self, requests: int) -> float:
        """Return the microseconds of the server's processor time that a request takes."""
        before = self._taken()
        for _ in range(requests // CONNECTIONS):
            self._ask_for_pages()
        return (self._taken() - before) / 1000 / requests

    def _ask_for_pages(self) -> None:
        """Ask on every connection, and read no answer before all have come.

        Nobody waits at a connection while the server writes to it: to wake a client up costs the server more than a
        session does, and only what is slower than the client would pay that.
        """
        for connection in self._sockets:
            connection.sendall(self._page)
        while len(select.select(self._sockets, [], [], 0)[0]) < CONNECTIONS:
            time.sleep(0.0005)
        for connection in self._sockets:
            _body(connection)

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()

    def _taken(self) -> int:
        self._sockets[0].sendall(self._cpu)
        return int(_body(self._sockets[0]))


def _body(connection: socket.socket) -> bytes:
    heard = b""
    while True:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the server hung up")
        heard += more
        head, ended, body = heard.partition(b"\r\n\r\n")
        if ended and (body.endswith(b"0\r\n\r\n") or len(body) == _length(head)):
            return body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return -1


@contextmanager
def server(name: str, subject: str) -> Iterator[Client]:
    port = free_port()
    command = [sys.executable, "-m", *(part.format(port=port) for part in SERVERS[name]), "servers:served"]
    environment = {**os.environ, "SUBJECT": subject}
    process = Process(command, ready=lambda: accepts(port), cwd=Path(__file__).parent, env=environment)
    wrap = {"ours": ours, "starlette": starlette}.get(subject, ours)
    with ExitStack() as stack:
        stack.callback(process.stop)
        client = Client(port, request_headers(CASE, lambda data: cookie_written_by(wrap, data)))
        stack.callback(client.close)
        yield client


# The run, and what it prints


def measure(name: str, runs: int, requests: int) -> dict[str, Any]:
    """Return the median microseconds of each subject, the share of each run and the median share."""
    with ExitStack() as stack:
        clients = {subject: stack.enter_context(server(name, subject)) for subject in SUBJECTS}
        for client in clients.values():
            client.processor_time(requests)
        times = [_run(clients, requests) for _ in range(runs)]
    shares = [(run["ours"] - run["bare"]) / (run["starlette"] - run["bare"]) for run in times]
    medians = {subject: median(run[subject] for run in times) for subject in SUBJECTS}
    return {**medians, "shares": shares, "share": median(shares)}


def _run(clients: dict[str, Client], requests: int) -> dict[str, float]:
    """Return the microseconds of each subject: the lower quartile of its turns, since what goes on beside only adds."""
    turns = [
        {subject: client.processor_time(requests // TURNS) for subject, client in clients.items()} for _ in range(TURNS)
    ]
    return {subject: quantiles((turn[subject] for turn in turns), n=4)[0] for subject in clients}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10_240, help="of each subject in a run")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    options = parser.parse_args()

    found = {name: measure(name, options.runs, options.requests) for name in SERVERS if importlib.util.find_spec(name)}
    if options.json:
        print(json.dumps({"python": platform.python_version(), "runs": options.runs, "servers": found}, indent=2))
        return
    for name in SERVERS.keys() - found.keys():
        print(f"{name} is left out: it is not installed")
    print("Microseconds of the server's processor time for a request, and what ours adds as a share of Starlette's\n")
    print_table(
        ["server", *SUBJECTS, "share", "target", ""],
        [
            [
                name,
                *(f"{times[subject]:.1f}" for subject in SUBJECTS),
                f"{times['share']:.2f}",
                *verdict(TARGET, times["share"]),
            ]
            for name, times in found.items()
        ],
    )


if __name__ == "__main__":
    main()
