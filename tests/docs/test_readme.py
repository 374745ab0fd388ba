"""README.md: every code block runs, prints what it says, and shares its session with Flask, or has a store for it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", TEXT, re.DOTALL)
SECRET = "a-long-random-value-of-yours"
APPS = [code for code, printed in BLOCKS if not printed]

# Asks twice, the second time with the cookie of the first answer, and prints both answers and the cookies.
VISIT = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from block import app

async def visit(path, cookie):
    messages, asked = [], False

    async def receive():
        nonlocal asked
        if asked:
            while not messages or messages[-1].get("more_body", True):
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        messages.append(message)

    headers = [(b"host", b"localhost")] + ([(b"cookie", cookie)] if cookie else [])
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("localhost", 80), "state": {},
    }
    await app(scope, receive, send)
    cookies = [v for k, v in messages[0]["headers"] if k.lower() == b"set-cookie"]
    assert len(cookies) == 1, cookies
    body = json.loads(b"".join(m.get("body", b"") for m in messages[1:]))
    return body, cookies[0].partition(b";")[0]

async def main():
    first, cookie = await visit(sys.argv[2], None)
    second, cookie = await visit(sys.argv[2], cookie)
    print(json.dumps([first, second, cookie.decode()]))

asyncio.run(main())
"""


def run(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=cwd, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_first_block_prints_what_the_readme_says(tmp_path):
    [(code, printed)] = [block for block in BLOCKS if block[1]]
    (tmp_path / "block.py").write_text(code, "utf-8")
    assert run("block.py", cwd=tmp_path) == printed


def paths_of(code):
    return re.findall(r"@(?:\w+\.)?get\(\"(.*?)\"", code) or ["/"]


@pytest.mark.parametrize(
    ("code", "path"),
    [pytest.param(code, path, id=f"{number} {path}") for number, code in enumerate(APPS) for path in paths_of(code)],
)
def test_block_counts_visits_in_a_session_that_flask_reads_or_that_is_in_a_store(code, path, tmp_path):
    (tmp_path / "block.py").write_text(code, "utf-8")
    first, second, cookie = json.loads(run("-c", VISIT, tmp_path, path, cwd=tmp_path))
    assert (first, second) == ({"visits": 1}, {"visits": 2})
    if "store=" in code:
        assert re.fullmatch(r"session=[A-Za-z0-9_-]{43}", cookie)
        return
    flask = Flask("reader")
    flask.secret_key = SECRET
    serializer = SecureCookieSessionInterface().get_signing_serializer(flask)
    assert serializer.loads(cookie.removeprefix("session=")) == {"visits": 2}
