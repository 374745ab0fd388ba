"""Each example in a process of its own, with real HTTP."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from services import redis
from services.processes import Process, accepts, find_program, free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def started(*command, port, cwd, **environ):
    process = Process(
        [sys.executable, "-m", *command, "--port", port],
        ready=lambda: accepts(port),
        cwd=cwd,
        env={**os.environ, **environ},
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@pytest.fixture(scope="session")
def asgi():
    """Return the function that has uvicorn serve an example, and yields its URL."""

    def asgi(path, *options, cwd, **environ):
        folder, name = path.rsplit("/", 1)
        command = ["uvicorn", f"{name}:app", "--app-dir", EXAMPLES / folder, "--log-level", "warning", *options]
        return started(*command, port=free_port(), cwd=cwd, **environ)

    return asgi


@pytest.fixture(scope="session")
def wsgi():
    """Return the function that has Flask serve an example, in threads, and yields its URL."""

    def wsgi(path, *, cwd, **environ):
        return started("flask", "--app", EXAMPLES / path, "run", port=free_port(), cwd=cwd, **environ)

    return wsgi


@pytest.fixture(scope="session")
def browser():
    """Return the function that yields a client with cookies of its own, for any port of this machine."""

    def browser(url=""):
        return httpx.Client(base_url=url, trust_env=False, timeout=30)

    return browser


@pytest.fixture(scope="session")
def sentinel_example():
    """Return the command that runs the example of Sentinel."""
    for program in ("redis-server", "redis-sentinel"):
        find_program(program)
    return [sys.executable, EXAMPLES / "sentinel"]


@pytest.fixture(scope="session")
def redis_server():
    with redis.running() as server:
        yield server
