"""docs/frameworks.md: each example counts its visits, in a session that Flask reads."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

ROOT = Path(__file__).parents[2]
SECRET = "a-long-random-value-of-yours"
PAGE = (ROOT / "docs" / "frameworks.md").read_text("utf-8")
EXAMPLES = dict(re.findall(r"^## ([^\n]*)\n\n```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))

# Asks twice, the second time with the cookie of the first answer, and prints both answers and the cookies.
VISIT = """
import json, re, sys, warnings
sys.path.insert(0, sys.argv[1])
from block import app
warnings.filterwarnings("ignore", "Using `httpx` with")
from starlette.testclient import TestClient

def visit(how, client):
    if how == "websocket":
        with client.websocket_connect("/") as socket:
            lines = [v.decode() for k, v in socket.extra_headers if k == b"set-cookie"]
            client.headers["cookie"] = lines[0].partition(";")[0]  # its jar sees no handshake
            return int(socket.receive_json()["visits"]), lines
    answer = client.post("/", json={"query": "{ visits }"}) if how == "query" else client.get("/")
    return int(re.search(r'visits[": ]*([0-9])', answer.text)[1]), answer.headers.get_list("set-cookie")

client = TestClient(app)
visits = [visit(sys.argv[2], client) for _ in range(2)]
print(json.dumps(visits))
"""

HOW = {"Channels": "websocket", "Strawberry": "query", "Ariadne": "query"}
WITHOUT_VISITS = {"python-socketio"}  # tests/frameworks/test_socketio.py has it


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in WITHOUT_VISITS])
def test_example_counts_visits_in_a_session_that_flask_reads(name, tmp_path):
    (tmp_path / "block.py").write_text(EXAMPLES[name], "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", VISIT, tmp_path, HOW.get(name, "page")],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (first, _), (second, lines) = json.loads(done.stdout.splitlines()[-1])
    assert (first, second, len(lines)) == (1, 2, 1)
    flask = Flask("reader")
    flask.secret_key = SECRET
    value = re.fullmatch(r"session=(.*); HttpOnly; Path=/", lines[0])[1]
    assert flask.session_interface.get_signing_serializer(flask).loads(value) == {"visits": 2}
