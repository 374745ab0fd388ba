"""Connexion, whose positions for a middleware are not the same for errors."""

import warnings
from copy import deepcopy

import pytest
from driver import SECRET
from frameworks.contract import ACTIONS, BASE, CHANGES, Handled
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # what it does with jsonschema is its own matter
    from connexion import AsyncApp, request
    from connexion.exceptions import Forbidden
    from connexion.lifecycle import ConnexionResponse
    from connexion.middleware import MiddlewarePosition
    from connexion.options import SwaggerUIOptions
    from starlette.responses import StreamingResponse


async def do(action):
    ACTIONS[action](request)
    return "", 200


async def as_dict():
    return dict(request.session)


async def forbidden():
    ACTIONS["write"](request)
    raise Forbidden


async def handled():
    ACTIONS["write"](request)
    raise Handled


async def error():
    ACTIONS["write"](request)
    raise RuntimeError


async def stream(action):
    async def parts():
        yield "one"
        ACTIONS[action](request)
        yield "two"

    ACTIONS["write"](request)
    return StreamingResponse(parts())


def answer_500(request, error):
    return ConnexionResponse(status_code=500, body="sorry", content_type="text/plain")


def operation(function, *parameters):
    return {
        "get": {
            "operationId": f"{function.__module__}.{function.__name__}",
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in parameters
            ],
            "responses": {"200": {"description": "well", "content": {"application/json": {}}}},
        }
    }


FUNCTIONS = {function.__name__: function for function in (do, as_dict, forbidden, handled, error, stream)}


class Resolver:
    """Finds the functions above by their names: pytest imports this module under none."""

    def resolve(self, operation):
        from connexion.resolver import Resolution

        name = operation.operation_id.rpartition(".")[2]
        return Resolution(FUNCTIONS[name], name)


SPECIFICATION = {
    "openapi": "3.0.0",
    "info": {"title": "contract", "version": "1"},
    "paths": {
        "/do/{action}": operation(do, "action"),
        "/sub/do/{action}": operation(do, "action"),
        "/dict": operation(as_dict),
        "/forbidden": operation(forbidden),
        "/handled": operation(handled),
        "/error": operation(error),
        "/stream/{action}": operation(stream, "action"),
    },
}


def make(position=None):
    app = AsyncApp(__name__, swagger_ui_options=SwaggerUIOptions(swagger_ui=False))
    if position is not None:
        app.add_middleware(FlaskSessionASGI, position, secret=SECRET)
    app.add_error_handler(Handled, answer_500)
    app.add_api(deepcopy(SPECIFICATION), resolver=Resolver())
    return app


PLACES = {
    "outermost": lambda: FlaskSessionASGI(make(), SECRET),
    "before its errors": lambda: make(MiddlewarePosition.BEFORE_EXCEPTION),
}


@pytest.fixture(params=PLACES)
def client(request):
    return Client(PLACES[request.param]())


@pytest.mark.parametrize("action", ["write", "delete", "nested", "permanent", "clear", "nothing"])
def test_change_in_place_goes_out_in_one_cookie(client, action):
    answer = client.get(f"/do/{action}", BASE)
    assert (answer.session, answer.vary) == (CHANGES.get(action), [b"Cookie"] if action in CHANGES else [])


@pytest.mark.parametrize("action", ["replace", "none"])
def test_other_session_in_its_copy_of_the_scope_is_not_seen(client, action):
    assert client.get(f"/do/{action}", BASE).session is None


@pytest.mark.parametrize(("path", "status"), [("/forbidden", 403), ("/handled", 500), ("/error", 500)])
def test_change_before_an_error_is_saved(client, path, status):
    answer = client.get(path, BASE)
    assert (answer.status, answer.session) == (status, CHANGES["write"])


@pytest.mark.parametrize("path", ["/forbidden", "/error"])
def test_change_before_an_error_is_lost_at_the_default_place(path):
    client = Client(make(MiddlewarePosition.BEFORE_CONTEXT))
    assert client.get(path, BASE).session is None
    assert client.get("/do/write", BASE).session == CHANGES["write"]


def test_returning_a_dict_of_the_session_sends_its_data_and_vary(client):
    answer = client.get("/dict", BASE)
    assert (answer.json, answer.set_cookies, answer.vary) == (BASE, [], [b"Cookie"])


def test_change_during_a_stream_warns(client, caplog):
    answer = client.get("/stream/delete", BASE)
    assert (answer.body, answer.session) == (b"onetwo", CHANGES["write"])
    assert "/stream/delete" in caplog.text
