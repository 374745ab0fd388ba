"""Starts each real server once, in a process of its own, and ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import h11
import pytest
from servers.clients import PROTOCOLS, http1, websocket

TESTS = Path(__file__).parents[1]
APP = "servers.app:app"
DEMO = "servers.demo_app:app"


@dataclass(frozen=True)
class Server:
    """How to start a server, and what is known of it: a test fails when that is no longer so."""

    name: str
    needs: tuple[str, ...]
    command: tuple[str, ...]
    cookie_fields: dict[str, int]  # by protocol: in how many the app gets three cookies that were sent apart
    sends_accept_headers: bool = True


UVICORN = ("uvicorn", APP, "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning")
HYPERCORN = ("hypercorn", APP, "--bind", "127.0.0.1:{port}")
GRANIAN = ("granian", APP, "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}")

SERVERS = [
    Server(
        "uvicorn-h11-websockets",
        needs=("uvicorn", "h11", "websockets"),
        command=(*UVICORN, "--http", "h11", "--ws", "websockets-sansio"),
        cookie_fields={"HTTP/1.1": 3},
    ),
    Server(
        "uvicorn-httptools-wsproto",
        needs=("uvicorn", "httptools", "wsproto"),
        command=(*UVICORN, "--http", "httptools", "--ws", "wsproto"),
        cookie_fields={"HTTP/1.1": 3},
    ),
    Server(
        "hypercorn-asyncio",
        needs=("hypercorn",),
        command=(*HYPERCORN, "--worker-class", "asyncio"),
        cookie_fields={"HTTP/1.1": 3, "HTTP/2": 1},
    ),
    Server(
        "hypercorn-trio",
        needs=("hypercorn", "trio"),
        command=(*HYPERCORN, "--worker-class", "trio"),
        cookie_fields={"HTTP/1.1": 3, "HTTP/2": 1},
    ),
    Server(
        "granian",
        needs=("granian",),
        command=GRANIAN,
        cookie_fields={"HTTP/1.1": 3, "HTTP/2": 3},
        sends_accept_headers=False,
    ),
]

DEMO_SERVERS = [
    replace(server, name=f"{server.name}-demo", command=tuple(DEMO if part == APP else part for part in server.command))
    for server in SERVERS
]


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    server: Server
    port: int

    def get(self, protocol, target, *fields):
        return PROTOCOLS[protocol](self.port, target, list(fields))

    def websocket(self, path, *fields):
        return websocket(self.port, path, list(fields))


@pytest.fixture(scope="session")
def started(tmp_path_factory):
    """Return the function that starts a server, or finds it started; all are ended in the end."""
    running = {}
    with ExitStack() as stack:

        def start(server):
            if server.name not in running:
                log = tmp_path_factory.mktemp(server.name) / "log"
                running[server.name] = stack.enter_context(_run(server, log)), stack.enter_context(log.open())
            return running[server.name]

        yield start


@pytest.fixture
def server(request, started):
    """The server; what it logs during a test is shown with the test if that fails."""
    if missing := [name for name in request.param.needs if find_spec(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    running, log = started(request.param)
    yield running
    sys.stderr.write(log.read())


@pytest.fixture
def demo_server(server):
    """A server of the demo's six apps."""
    return server


def pytest_generate_tests(metafunc):
    """Run a test with every server, and with every protocol that this speaks."""
    if "protocol" in metafunc.fixturenames:
        cases = [(server, protocol) for server in SERVERS for protocol in server.cookie_fields]
        ids = [f"{server.name}-{protocol}" for server, protocol in cases]
        metafunc.parametrize(("server", "protocol"), cases, ids=ids, indirect=["server"])
    elif "demo_server" in metafunc.fixturenames:
        metafunc.parametrize("server", DEMO_SERVERS, ids=lambda server: server.name, indirect=True)
    elif "server" in metafunc.fixturenames:
        metafunc.parametrize("server", SERVERS, ids=lambda server: server.name, indirect=True)


@contextmanager
def _run(server, log):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port) for part in server.command)],
            env={**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(process, port, log)
        yield Running(server, port)
    finally:
        _end(process)


def _wait_until_it_answers(process, port, log):
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, h11.RemoteProtocolError):
            if http1(port, "/nothing", []).status == 200:
                return
        time.sleep(0.05)
    pytest.fail(f"{process.args} does not answer:\n{log.read_text()}")


def _end(process):
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(5)
    # Whatever it started is in the process group that was made for it.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)
