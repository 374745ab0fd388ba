"""FastHTML: without a session of its own, and with ours in that one's place."""

import pytest
from driver import SECRET
from fasthtml.common import FastHTML
from frameworks.contract import ACTIONS, BASE, CHANGES
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.adapters.starlette import SessionMiddleware


class Asked:
    def __init__(self, request, session):
        self.scope, self.session = request.scope, session


def make(sess_cls=None):
    app = FastHTML(sess_cls=sess_cls, secret_key=SECRET, session_cookie="session", max_age=None)

    @app.get("/do/{action}")
    def do(request, session, action: str):
        ACTIONS[action](Asked(request, session))
        return {}

    @app.get("/error")
    def error(session):
        session["user"] = "ada"
        raise RuntimeError

    return app


PLACES = {"outermost": lambda: FlaskSessionASGI(make(), SECRET), "its own": lambda: make(SessionMiddleware)}


@pytest.fixture(params=PLACES)
def place(request):
    return request.param


@pytest.mark.parametrize(("action", "session"), [*CHANGES.items(), ("nothing", None)])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_change_goes_out_in_one_cookie(place, action, session, backend):
    assert Client(PLACES[place](), backend).get(f"/do/{action}", BASE).session == session


def test_change_before_an_unhandled_error_is_saved_by_the_outermost(place):
    answer = Client(PLACES[place]()).get("/error", BASE)
    assert (answer.status, answer.session) == (500, CHANGES["write"] if place == "outermost" else None)
