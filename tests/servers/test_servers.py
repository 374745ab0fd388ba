"""The same over real sockets, on every server: what goes out is what was meant, and what came in is seen."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from servers.clients import session_cookie

BASE = {"a": 1}
APART = [("cookie", "theme=dark"), session_cookie(BASE), ("cookie", "lang=de")]


def test_session_is_read_written_and_cleared(server, protocol):
    first = server.get(protocol, "/set/x")
    assert first.session == {"x": "by ASGI"}
    assert server.get(protocol, "/set/y", session_cookie(first.session)).session == {"x": "by ASGI", "y": "by ASGI"}
    assert server.get(protocol, "/read", session_cookie(BASE)).json == BASE
    assert server.get(protocol, "/clear", session_cookie(BASE)).session == {}


@pytest.mark.parametrize(("path", "vary"), [("/nothing", []), ("/absent", []), ("/read", ["Cookie"])])
def test_request_that_changes_nothing_gets_no_cookie(server, protocol, path, vary):
    """W3, W4."""
    answer = server.get(protocol, path, session_cookie(BASE))
    assert (answer.all("set-cookie"), answer.all("vary")) == ([], vary)


def test_cookies_sent_apart_are_seen_and_arrive_joined(server, protocol):
    """R1, R8."""
    assert server.get(protocol, "/read", *APART).json == BASE
    cookies = server.get(protocol, "/cookies", *APART).json
    assert len(cookies["came"]) == server.server.cookie_fields[protocol]
    assert cookies["arrived"] == ["; ".join(value for _, value in APART)]


def test_error_of_the_app_carries_the_cookie(server, protocol):
    """W11."""
    answer = server.get(protocol, "/error", session_cookie(BASE))
    assert (answer.status, answer.session) == (500, {"a": 1, "error": True})


def test_what_cannot_be_written_is_the_servers_own_error_without_a_cookie(server, protocol):
    """W9."""
    answer = server.get(protocol, "/unwritable", session_cookie(BASE))
    assert (answer.status, answer.all("set-cookie"), answer.all("vary")) == (500, [], [])


def test_stream_carries_what_was_changed_before_it(server, protocol):
    answer = server.get(protocol, "/stream", session_cookie(BASE))
    assert (answer.body, answer.session) == (b"012", {"a": 1, "stream": True})


def test_flask_inside_sees_cookies_that_came_apart(server, protocol):
    """R8: and what it writes holds what was there."""
    assert server.get(protocol, "/flask/read", *APART).json == BASE
    assert server.get(protocol, "/flask/set/f", *APART).session == {"a": 1, "f": "by Flask"}


def test_flask_inside_and_ours_make_one_cookie(server, protocol):
    """W8."""
    answer = server.get(protocol, "/flask/set/f?ours", *APART)
    assert answer.session == {"a": 1, "f": "by Flask", "ours": True}


def test_requests_at_once_keep_their_sessions_apart(server, protocol):
    def visit(number):
        path = ("/set/x", "/flask/set/x?ours", "/stream")[number % 3]
        return server.get(protocol, path, session_cookie({"number": number}))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(visit, range(24)))
    assert [answer.session["number"] for answer in answers] == list(range(24))


def test_handshake_carries_the_cookie(server):
    """W2: where the server sends the headers of the app's accept at all."""
    answer = server.websocket("/set", *APART)
    assert (answer.status, answer.json) == (101, {"a": 1, "handshake": True})
    sent = server.server.sends_accept_headers
    assert (answer.session, answer.all("x-own")) == (answer.json if sent else None, ["1"] if sent else [])


def test_handshake_that_changes_nothing_carries_no_cookie(server):
    """W3."""
    answer = server.websocket("/read", *APART)
    assert (answer.json, answer.all("set-cookie")) == (BASE, [])


def test_denied_handshake_carries_the_cookie(server):
    """W2."""
    answer = server.websocket("/denied", *APART)
    assert (answer.status, answer.session) == (403, {"a": 1, "denied": True})
