"""What holds for every framework. A test class for one names its app, and takes over what it can do.

Each app has these routes, in its framework's own terms; ``ACTIONS[action](request)`` is all they do to a session.

    /do/{action}         act, answer 200
    /dict                answer with dict(session) as JSON
    /forbidden           write, then the framework's own 403
    /handled             write, then an exception that the app has a handler for: 500
    /error               write, then an exception that nobody handles
    /stream/{action}     write, answer with a stream that acts when it is under way
    /sub/do/{action}     the first, in an app that is mounted
    /background          answer, then write                            (BackgroundContract)
    ws /ws/{action}      act, accept, close                            (WebsocketContract)
    ws /late/{action}    accept, act, close
    ws /denied           write, then refuse the handshake
"""

import pytest
from driver import SECRET
from frameworks.drive import Client

from asgi_flask_session import FlaskSessionASGI, UnwritableSession


def _replace(request):
    request.scope["session"] = {"b": 2}


def _replace_by_none(request):
    request.scope["session"] = None


def _make_permanent(request):
    request.session.permanent = True


ACTIONS = {
    "nothing": lambda request: None,
    "read": lambda request: request.session.get("a"),
    "write": lambda request: request.session.update(user="ada"),
    "delete": lambda request: request.session.pop("a"),
    "nested": lambda request: request.session["list"].append(1),
    "permanent": _make_permanent,
    "clear": lambda request: request.session.clear(),
    "replace": _replace,
    "none": _replace_by_none,
    "unwritable": lambda request: request.session.update(cart={1}),
}

BASE = {"a": 1, "list": []}

CHANGES = {
    "write": {"a": 1, "list": [], "user": "ada"},
    "delete": {"list": []},
    "nested": {"a": 1, "list": [1]},
    "permanent": {"a": 1, "list": [], "_permanent": True},
    "clear": {},
    "replace": {"b": 2},
    "none": {},
}


class Handled(Exception):
    """What every app has a handler for."""


class Contract:
    """HTTP; *app* makes the app, with the middleware at its place."""

    backends = ("asyncio", "trio")
    saves_unhandled = True  # False where the error handler lies outside of the middleware
    answers_unwritable = False  # True where the framework has a 500 of its own for what our send raises

    @pytest.mark.parametrize(("action", "session"), CHANGES.items())
    def test_change_goes_out_in_one_cookie(self, client, action, session):
        """W3, W5, W6."""
        answer = client.get(f"/do/{action}", BASE)
        assert (answer.status, answer.session, answer.vary) == (200, session, [b"Cookie"])

    def test_first_write_makes_a_session(self, client):
        assert client.get("/do/write").session == {"user": "ada"}

    @pytest.mark.parametrize("path", ["/do/nothing", "/absent"])
    @pytest.mark.parametrize("session", [None, BASE], ids=["no session", "session"])
    def test_untouched_request_gets_neither_cookie_nor_vary(self, client, path, session):
        """W3."""
        answer = client.get(path, session)
        assert (answer.set_cookies, answer.vary) == ([], [])

    def test_reading_sends_vary_and_no_cookie(self, client):
        """W4."""
        answer = client.get("/do/read", BASE)
        assert (answer.set_cookies, answer.vary) == ([], [b"Cookie"])

    def test_returning_a_dict_of_the_session_sends_its_data_and_vary(self, client):
        """W4."""
        answer = client.get("/dict", BASE)
        assert (answer.json, answer.set_cookies, answer.vary) == (BASE, [], [b"Cookie"])

    @pytest.mark.parametrize(("path", "status"), [("/forbidden", 403), ("/handled", 500)])
    def test_change_before_an_error_that_is_answered_is_saved(self, client, path, status):
        answer = client.get(path, BASE)
        assert (answer.status, answer.session) == (status, CHANGES["write"])

    def test_change_before_an_unhandled_error(self, client):
        """W11: the 500 saves it, as in Flask, unless it is made outside of the middleware."""
        answer = client.get("/error", BASE)
        assert answer.status == 500
        assert answer.session == (CHANGES["write"] if self.saves_unhandled else None)

    def test_change_before_a_stream_is_saved(self, client, caplog):
        answer = client.get("/stream/nothing", BASE)
        assert (answer.body, answer.session) == (b"onetwo", CHANGES["write"])
        assert not _ours(caplog)

    @pytest.mark.parametrize("action", ["delete", "nested", "clear", "replace", "none"])
    def test_change_during_a_stream_warns(self, client, caplog, action):
        """W10."""
        answer = client.get(f"/stream/{action}", BASE)
        assert (answer.body, answer.session) == (b"onetwo", CHANGES["write"])
        assert f"/stream/{action}" in "".join(_ours(caplog))

    @pytest.mark.parametrize("action", ["write", "replace", "nothing"])
    def test_mounted_app_has_the_same_session(self, client, action):
        answer = client.get(f"/sub/do/{action}", BASE)
        assert answer.session == CHANGES.get(action)
        assert all(line.endswith("; HttpOnly; Path=/") for line in answer.set_cookies)

    def test_what_cannot_be_written_is_a_500_without_a_cookie(self, client):
        """W9: where the framework lets the exception out, the 500 is the server's."""
        answer = client.get("/do/unwritable", BASE)
        assert UnwritableSession in answer.causes
        assert answer.status == (500 if self.answers_unwritable else None)
        assert answer.set_cookies == []

    @pytest.mark.parametrize("action", ["write", "clear", "replace", "nothing"])
    def test_wrapped_twice_it_sends_one_cookie(self, client, action):
        """W7."""
        twice = Client(FlaskSessionASGI(client.app, SECRET), client.backend)
        assert twice.get(f"/do/{action}", BASE).session == CHANGES.get(action)

    def test_wrapped_with_another_cookie_each_writes_its_own(self, client, caplog):
        """W7."""

        async def outer(scope, receive, send):
            scope["session"]["outer"] = 1
            await client.app(scope, receive, send)

        both = Client(FlaskSessionASGI(outer, SECRET, cookie_name="other"), client.backend)
        answer = both.get("/do/write", BASE)
        assert answer.session == CHANGES["write"]
        assert [len(answer.lines(name)) for name in ("session", "other")] == [1, 1]
        assert not _ours(caplog)


class BackgroundContract:
    """Tasks that run when the response is out."""

    def test_change_in_a_background_task_warns(self, client, caplog):
        """W10."""
        answer = client.get("/background", BASE)
        assert (answer.status, answer.session) == (200, None)
        assert "/background" in _ours(caplog)[0]


class WebsocketContract:
    """Handshakes."""

    denies_with_a_response = True  # False where all it can do is to close

    @pytest.mark.parametrize(("action", "session"), CHANGES.items())
    def test_change_before_accept_goes_out_with_the_handshake(self, client, action, session):
        """W2."""
        answer = client.websocket(f"/ws/{action}", BASE)
        assert answer.messages[0]["type"] == "websocket.accept"
        assert (answer.session, answer.vary) == (session, [b"Cookie"])

    def test_untouched_handshake_gets_neither_cookie_nor_vary(self, client):
        answer = client.websocket("/ws/nothing", BASE)
        assert (answer.set_cookies, answer.vary) == ([], [])

    def test_change_after_accept_warns(self, client, caplog):
        """W10."""
        assert client.websocket("/late/write", BASE).session is None
        assert "/late/write" in _ours(caplog)[0]

    def test_denied_handshake_carries_the_cookie_where_it_has_headers(self, client):
        """W2."""
        answer = client.websocket("/denied", BASE)
        if self.denies_with_a_response:
            assert (answer.status, answer.session) == (403, CHANGES["write"])
        else:
            assert [message["type"] for message in answer.messages] == ["websocket.close"]


def _ours(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "asgi_flask_session"]
