"""Apps of this repository, each served by a real server in a process of its own."""

import os
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from services.processes import Process, accepts, free_port

TESTS = Path(__file__).parents[1]

UVICORN = ("uvicorn", "--factory", "{app}", "--port", "{port}", "--log-level", "error", "--http", "h11")
HYPERCORN = ("hypercorn", "{app}()", "--bind", "127.0.0.1:{port}", "--log-level", "ERROR")
SERVERS = {
    "uvicorn-websockets": (*UVICORN, "--ws", "websockets-sansio"),
    "uvicorn-wsproto": (*UVICORN, "--ws", "wsproto"),
    "hypercorn-asyncio": (*HYPERCORN, "--worker-class", "asyncio"),
    "hypercorn-trio": (*HYPERCORN, "--worker-class", "trio"),
    "werkzeug": ("flask", "--app", "{app}", "run", "--port", "{port}"),  # in threads
}


@contextmanager
def serving(server, app, **environ):
    """Yield a ``Process`` with ``port`` and ``url`` that serves *app*, ``module:function`` of the folder of a test."""
    module, _, factory = app.partition(":")
    folder, _, module = module.rpartition("/")
    port = free_port()
    named = {"app": f"{module}:{factory}", "port": port}
    places = [str(place) for place in (TESTS / folder, TESTS, TESTS.parent)]
    process = Process(
        [sys.executable, "-m", *(part.format(**named) for part in SERVERS[server])],
        ready=lambda: accepts(port),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), **environ},
        start_new_session=True,
    )
    process.port, process.url = port, f"http://127.0.0.1:{port}"
    try:
        yield process
    finally:
        process.stop()
        with suppress(ProcessLookupError):  # whatever it started is in the process group that was made for it
            os.killpg(process.process.pid, signal.SIGKILL)
