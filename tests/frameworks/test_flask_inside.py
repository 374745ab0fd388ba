"""Flask mounted inside by each of the three adapters, with ours outside: one cookie, nothing lost, nothing undone.

And the story that this is for: Flask with a live session beside FastAPI.
"""

import warnings

import flask
import pytest
import werkzeug.test
from a2wsgi import ASGIMiddleware
from a2wsgi import WSGIMiddleware as A2wsgiAdapter
from asgiref.wsgi import WsgiToAsgi
from driver import SECRET
from fastapi import FastAPI, Request
from frameworks.drive import Client
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from asgi_flask_session import FlaskSessionASGI, UnwritableSession

with warnings.catch_warnings():
    # It recommends a2wsgi instead; both are in use.
    warnings.filterwarnings("ignore", "starlette.middleware.wsgi is deprecated")
    from starlette.middleware.wsgi import WSGIMiddleware as StarlettesAdapter

ADAPTERS = {"a2wsgi": A2wsgiAdapter, "asgiref": WsgiToAsgi, "starlette": StarlettesAdapter}

BASE = {"v": "old", "keep": 1}


def flask_app():
    app = flask.Flask(__name__)
    app.secret_key = SECRET

    @app.get("/nothing")
    def nothing():
        return ""

    @app.get("/read")
    def read():
        return dict(flask.session)

    @app.get("/set/<key>")
    def set_key(key):
        flask.session[key] = "new"
        return ""

    @app.get("/delete/<key>")
    def delete_key(key):
        del flask.session[key]
        return ""

    @app.get("/clear")
    def clear():
        flask.session.clear()
        return ""

    @app.get("/stream")
    def stream():
        flask.session["v"] = "new"
        return flask.Response(f"{number}\n" for number in range(3))

    @app.get("/fail")
    def fail():
        flask.session["v"] = "new"
        raise RuntimeError

    return app


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS.keys())
def adapted(request):
    """Flask, as an ASGI app."""
    return request.param(flask_app())


def with_change(app, change):
    """Return ours around an app that changes the session, then lets Flask answer."""

    async def outer(scope, receive, send):
        change(scope["session"])
        await app(scope, receive, send)

    return Client(FlaskSessionASGI(outer, SECRET))


def touch_nothing(session):
    pass


def set_outer(session):
    session["outer"] = 1


def set_v(session):
    session["v"] = "ours"


def delete_v(session):
    session.pop("v", None)


def clear(session):
    session.clear()


# What Flask does, what we do, and the one session that goes out.
MERGES = [
    ("/set/v", touch_nothing, {"v": "new", "keep": 1}),
    ("/set/v", set_outer, {"v": "new", "keep": 1, "outer": 1}),
    ("/set/n", set_outer, {**BASE, "n": "new", "outer": 1}),
    ("/set/v", set_v, {"v": "ours", "keep": 1}),
    ("/set/v", delete_v, {"keep": 1}),
    ("/set/n", clear, {"n": "new"}),
    ("/delete/v", set_outer, {"keep": 1, "outer": 1}),
    ("/delete/v", set_v, {"keep": 1}),
    ("/clear", touch_nothing, {}),
    ("/clear", set_outer, {"outer": 1}),
    ("/clear", set_v, {}),
    ("/clear", clear, {}),
    ("/stream", touch_nothing, {"v": "new", "keep": 1}),
    ("/stream", set_outer, {"v": "new", "keep": 1, "outer": 1}),
    ("/fail", set_outer, {"v": "new", "keep": 1, "outer": 1}),
    ("/read", set_outer, {**BASE, "outer": 1}),
    ("/nothing", set_outer, {**BASE, "outer": 1}),
    ("/nothing", clear, {}),
    ("/read", touch_nothing, None),
    ("/nothing", touch_nothing, None),
]


@pytest.mark.parametrize(("path", "change", "session"), MERGES)
def test_flask_inside_and_ours_make_one_cookie(adapted, path, change, session):
    """W8; that it is one, Answer.session asserts."""
    assert with_change(adapted, change).get(path, BASE).session == session


@pytest.mark.parametrize("path", ["/set/v", "/clear", "/stream"])
def test_cookie_of_flask_goes_out_untouched_where_ours_did_not_change(adapted, path):
    """W8: byte for byte what Flask sends without us."""
    ours, alone = (client.get(path, BASE) for client in (with_change(adapted, touch_nothing), Client(adapted)))
    assert ours.set_cookies[0].split(".")[0] == alone.set_cookies[0].split(".")[0]
    assert ours.set_cookies[0].split(";")[1:] == alone.set_cookies[0].split(";")[1:]
    assert ours.body == alone.body


@pytest.mark.parametrize(("path", "session"), [("/clear", {"outer": 1}), ("/set/v", {"v": "new", "outer": 1})])
def test_first_session_of_both_is_one(adapted, path, session):
    """W8: Flask deletes a cookie even where none came."""
    assert with_change(adapted, set_outer).get(path).session == session


@pytest.mark.parametrize("change", [touch_nothing, set_outer, clear])
def test_refresh_of_a_permanent_session_by_both_is_one(adapted, change):
    """W3, W8: where ours changed, Flask's refresh is no change that could undo it."""
    came = {**BASE, "_permanent": True}
    answer = with_change(adapted, change).get("/nothing", came)
    change(came)
    assert answer.session == came
    assert "Expires=" in answer.set_cookies[0]


def test_response_of_flask_varies_by_cookie_once(adapted):
    """W4."""
    for change in (touch_nothing, set_outer):
        assert with_change(adapted, change).get("/read", BASE).vary == [b"Cookie"]


def test_untouched_request_gets_neither_cookie_nor_vary(adapted):
    """W3."""
    answer = with_change(adapted, touch_nothing).get("/nothing", BASE)
    assert (answer.status, answer.set_cookies, answer.vary) == (200, [], [])


def test_flask_sees_cookies_that_came_apart(adapted):
    """R8: all three join the fields with a comma, which makes one odd cookie of them."""
    headers = [(b"cookie", b"theme=dark"), (b"cookie", b"lang=de")]
    assert with_change(adapted, touch_nothing).get("/read", BASE, headers=headers).json == BASE


def test_what_cannot_be_written_sends_nothing(adapted):
    """W9."""
    answer = with_change(adapted, lambda session: session.update(cart={1})).get("/set/v", BASE)
    assert UnwritableSession in answer.causes
    assert answer.messages == []


# The story: Flask with a live session, FastAPI beside it, one path each.


def both(adapter, place):
    """Return FastAPI with Flask mounted at /old; ours is where *place* says."""
    app = FastAPI()

    @app.get("/nothing")
    async def nothing():
        return None

    @app.get("/read")
    async def read(request: Request):
        return dict(request.session)

    @app.get("/set/{key}")
    async def set_key(key: str, request: Request):
        request.session[key] = "new"

    @app.get("/delete/{key}")
    async def delete_key(key: str, request: Request):
        del request.session[key]

    @app.get("/clear")
    async def clear(request: Request):
        request.session.clear()

    if place == "outermost":
        app.mount("/old", adapter(flask_app()))
        return FlaskSessionASGI(app, SECRET)
    if place == "middleware":
        app.mount("/old", adapter(flask_app()))
        app.add_middleware(FlaskSessionASGI, secret=SECRET)
        return app
    # Both mounted in a third app, ours around FastAPI alone.
    outside = FastAPI()
    outside.mount("/old", adapter(flask_app()))
    outside.mount("/", FlaskSessionASGI(app, SECRET))
    return outside


class Browser:
    """Keeps the session cookie, as a browser does."""

    def __init__(self, app):
        self.client = Client(app)
        self.session = None

    def get(self, path):
        answer = self.client.get(path, self.session)
        assert answer.status == 200
        if answer.session is not None:
            self.session = answer.session or None
        return answer


@pytest.fixture(params=["outermost", "middleware", "beside"])
def browser(request, adapter):
    return Browser(both(adapter, request.param))


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS.keys())
def adapter(request):
    return request.param


@pytest.mark.parametrize(("here", "there"), [("/old", ""), ("", "/old")], ids=["Flask first", "FastAPI first"])
def test_what_one_side_does_the_other_sees(browser, here, there):
    steps = [
        (f"{here}/set/a", {"a": "new"}),
        (f"{there}/set/b", {"a": "new", "b": "new"}),
        (f"{there}/delete/a", {"b": "new"}),
        (f"{here}/delete/b", {}),
        (f"{here}/set/a", {"a": "new"}),
        (f"{there}/clear", {}),
    ]
    for path, session in steps:
        assert len(browser.get(path).set_cookies) == 1, path
        assert browser.get(f"{here}/read").json == browser.get(f"{there}/read").json == session


def test_request_that_touched_nothing_gets_nothing_on_either_side(browser):
    for path in ("/nothing", "/old/nothing", "/set/a", "/nothing", "/old/nothing"):
        answer = browser.get(path)
        if path.endswith("nothing"):
            assert (answer.set_cookies, answer.vary) == ([], [])


def test_reading_on_either_side_gets_vary_and_no_cookie(browser):
    browser.get("/set/a")
    for path in ("/read", "/old/read"):
        answer = browser.get(path)
        assert (answer.set_cookies, answer.vary) == ([], [b"Cookie"])


# The other way round: an ASGI app beside Flask in a WSGI server.


def test_asgi_app_under_wsgi_shares_the_session_with_flask_beside_it():
    flask_alone = flask_app()
    app = DispatcherMiddleware(flask_alone, {"/new": ASGIMiddleware(both(A2wsgiAdapter, "outermost"))})
    browser = werkzeug.test.Client(app)
    browser.get("/set/a")
    browser.get("/new/set/b")
    assert browser.get("/read").json == browser.get("/new/read").json == {"a": "new", "b": "new"}
    assert browser.get("/new/nothing").headers.getlist("Vary") == []
