"""NiceGUI on a FastAPI app, with a session of its own beside ours. An app is for a whole process there."""

import pytest
from driver import SECRET
from fastapi import FastAPI, Request
from frameworks.contract import ACTIONS, BASE, CHANGES
from frameworks.drive import Client
from nicegui import app as nicegui_app
from nicegui import ui
from nicegui.storage import Storage

from asgi_flask_session import FlaskSessionASGI

API = FastAPI()


class Asked:
    def __init__(self, request):
        self.scope, self.session = request.scope, request.scope["flask"]


@ui.page("/do/{action}")
def page(request: Request, action: str):
    if action in ACTIONS:
        ACTIONS[action](Asked(request))
    nicegui_app.storage.user["visits"] = nicegui_app.storage.user.get("visits", 0) + 1
    ui.label(f"visits: {nicegui_app.storage.user['visits']}")


ui.run_with(API, storage_secret="of-nicegui-alone-and-long", session_middleware_kwargs={"session_cookie": "ui"})


@pytest.fixture(autouse=True)
def _files_of_its_own(tmp_path, monkeypatch):
    """What a user of NiceGUI's has is in a file of the working directory otherwise."""
    monkeypatch.setattr(Storage, "path", tmp_path)


@pytest.mark.parametrize("action", ["write", "delete", "nested", "permanent", "clear", "nothing"])
def test_its_session_and_ours_live_side_by_side(action):
    answer = Client(FlaskSessionASGI(API, SECRET, scope_key="flask")).get(f"/do/{action}", BASE)
    assert (answer.status, answer.session, len(answer.lines("ui"))) == (200, CHANGES.get(action), 1)
