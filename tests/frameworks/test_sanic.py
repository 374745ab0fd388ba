"""Sanic, installed into a folder of its own: it wants an older multidict than the others take."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "frameworks.md").read_text("utf-8")
EXAMPLE = re.search(r"^## Sanic\n\n```py\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)[1]

# Beside the example: what fails, and what happens on a websocket.
PROGRAM = f"""
{EXAMPLE}

@api.get("/error")
async def error(request):
    request.transport.scope["session"]["user"] = "ada"
    raise RuntimeError

@api.websocket("/ws")
async def websocket(request, ws):
    session = request.transport.scope["session"]
    await ws.send(str(session["visits"]))
    session["user"] = "ada"

from json import dumps
from asgi_flask_session.testing import read_cookie
from starlette.testclient import TestClient

with TestClient(app) as client:
    pages = [client.get("/") for _ in range(2)]
    error = client.get("/error")
    with client.websocket_connect("/ws") as socket:
        accepted = dict(socket.extra_headers or [])
        sent = socket.receive_text()
found = [[page.json() for page in pages], read_cookie(pages[1].headers["set-cookie"], app.settings)]
found += [error.status_code, read_cookie(error.headers["set-cookie"], app.settings), b"set-cookie" in accepted, sent]
print(dumps(found))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the function that runs a program where Sanic is."""
    folder = tmp_path_factory.mktemp("sanic")
    install = ["-m", "pip", "install", "--quiet", "--target", str(folder), "sanic"]
    installed = subprocess.run([sys.executable, *install], capture_output=True, text=True, check=False)
    if installed.returncode:
        pytest.skip(f"sanic cannot be installed: {installed.stderr.strip()[-300:]}")
    paths = os.pathsep.join(map(str, (folder, ROOT, ROOT / "tests")))

    def run(program):
        return subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_session_is_written_before_the_response_and_read_on_a_websocket(run):
    done = run(PROGRAM)
    assert done.returncode == 0, done.stderr
    pages, cookie, status, cookie_of_error, is_sent_on_accept, sent = json.loads(done.stdout.splitlines()[-1])
    assert (pages, cookie) == ([{"visits": 1}, {"visits": 2}], {"visits": 2})
    assert (status, cookie_of_error) == (500, {"visits": 2, "user": "ada"})
    assert (sent, is_sent_on_accept) == ("2", False)
