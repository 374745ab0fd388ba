"""python-socketio, by the example of its page: a connection reads the session of its handshake."""

import json
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from asgi_flask_session.testing import make_cookie

PAGE = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text("utf-8")
EXAMPLE = re.search(r"^## python-socketio\n\n```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)[1]
SECRET = "a-long-random-value-of-yours"


@pytest.fixture
def app():
    namespace = {}
    exec(EXAMPLE, namespace)
    return namespace["app"]


class Connection:
    """Speaks Engine.IO's polling by hand."""

    def __init__(self, client):
        self.client = client
        answer = client.get("/socket.io/?EIO=4&transport=polling")
        self.path = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(answer.text[1:])['sid']}"
        self.send("40")

    def send(self, packet):
        assert self.client.post(self.path, content=packet).text == "OK"

    def receive(self):
        return self.client.get(self.path).text


def test_connection_reads_the_session(app):
    with TestClient(app, headers={"Cookie": f"session={make_cookie({'user': 'ada'}, SECRET)}"}) as client:
        connection = Connection(client)
        assert connection.receive().startswith('40{"sid"')
        connection.send('421["whoami"]')
        assert connection.receive() == '431["ada"]'


def test_connection_without_a_login_is_refused(app):
    with TestClient(app) as client:
        assert Connection(client).receive() == '44{"message":"log in first"}'
