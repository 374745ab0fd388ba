"""A websocket of Quart, on real servers: what the handshake carries, and what is kept of what comes after it."""

import json
import socket
from contextlib import ExitStack, contextmanager

import pytest
from frameworks.drive import cookie_of
from peers.quart_side import SAYS_WHAT_IS_READ
from servers.clients import Response, http1
from services import redis
from services.apps import serving
from services.processes import wait_until
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

SERVERS = ("uvicorn-websockets", "uvicorn-wsproto", "hypercorn-asyncio", "hypercorn-trio")
COOKIES = ("cookie", "of-flask", "wrapped")
STORES = ("memory", "sqlite", "redis", "of-flask-in-redis")
DEADLINE = 10  # seconds for one exchange


class Site:
    """What one server serves, and what a browser asks of it."""

    def __init__(self, port):
        self.port = port

    def get(self, path, cookie=None):
        return http1(self.port, path, self._fields(cookie))

    @contextmanager
    def websocket(self, path, cookie=None):
        """Yield an open websocket, and its handshake as a response."""
        with (
            socket.create_connection(("127.0.0.1", self.port), DEADLINE) as wire,
            connect(
                f"ws://localhost:{self.port}{path}", sock=wire, additional_headers=self._fields(cookie)
            ) as connection,
        ):
            yield connection, _response(connection.response)

    def handshake(self, path, cookie=None, *, says=None):
        """Return the handshake, with the first message for a body; one that is denied is a response like another."""
        try:
            with self.websocket(path, cookie) as (connection, answer):
                if says is not None:
                    connection.send(says)
                answer.body = connection.recv(DEADLINE)
                return answer
        except InvalidStatus as refusal:
            return _response(refusal.response)

    @staticmethod
    def _fields(cookie):
        return [] if cookie is None else [("cookie", f"session={cookie}")]


def _response(handshake):
    return Response(handshake.status_code, list(handshake.headers.raw_items()), handshake.body or b"")


def cookie_in(answer):
    """Return the cookie that came; "" for a deletion, None for none."""
    lines = answer.all("set-cookie")
    assert len(lines) <= 1, lines
    return lines[0].partition(";")[0].removeprefix("session=") if lines else None


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Return the function that starts a server, or finds it started."""
    sites = {}
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis.running()).url

        def start(server):
            if server not in sites:
                app = (
                    "quart_plugin/live_apps:on_trio" if server.endswith("trio") else "quart_plugin/live_apps:on_asyncio"
                )
                sqlite = str(tmp_path_factory.mktemp("sqlite") / "sessions.db")
                running = stack.enter_context(serving(server, app, REDIS_URL=redis_url, SQLITE=sqlite))
                sites[server] = Site(running.port)
            return sites[server]

        yield start


@pytest.fixture(params=SERVERS)
def site(request, start):
    return start(request.param)


@pytest.fixture(params=COOKIES)
def place(request):
    """Where a session is kept in a cookie."""
    return request.param


@pytest.fixture(params=STORES)
def store(request):
    return request.param


# Before the accept


@pytest.mark.parametrize(("path", "says"), [("explicit", None), ("implicit-send", None), ("implicit-receive", "hello")])
def test_a_change_before_the_accept_goes_out_with_the_handshake(site, place, path, says):
    answer = site.handshake(f"/{place}/{path}", cookie_of({"a": 1}), says=says)
    assert (answer.status, answer.json, answer.session) == (101, {"a": 1, "n": 1}, {"a": 1, "n": 1})
    assert answer.all("x-own") == (["1"] if path == "explicit" else [])
    assert answer.all("vary") == ["Cookie"]


def test_a_change_before_the_accept_is_in_the_store_when_the_handshake_goes_out(site, store):
    with site.websocket(f"/{store}/implicit-send") as (_, handshake):
        assert site.get(f"/{store}/read", cookie_in(handshake)).json == {"n": 1}


def test_a_log_in_before_two_tasks_that_accept_at_once_is_one(site, store):
    cookie = cookie_in(site.get(f"/{store}/set/a"))
    answer = site.handshake(f"/{store}/two-tasks", cookie, says="hello")
    assert cookie_in(answer) not in (None, cookie)
    assert site.get(f"/{store}/read", cookie_in(answer)).json == {"a": "a", "_user_id": "ada"}


@pytest.mark.parametrize(("path", "vary"), [("untouched", []), ("reads", ["Cookie"])])
def test_a_handshake_that_changes_nothing_carries_no_cookie(site, place, path, vary):
    answer = site.handshake(f"/{place}/{path}", cookie_of({"a": 1}))
    if place == "of-flask" and not SAYS_WHAT_IS_READ:
        vary = []  # what a session of Flask's class was read for, these do not say
    assert (answer.status, answer.all("set-cookie"), answer.all("vary")) == (101, [], vary)


def test_a_session_that_is_cleared_before_the_accept_ends_in_the_browser(site, place):
    assert site.handshake(f"/{place}/clears", cookie_of({"a": 1})).session == {}


def test_a_session_that_is_cleared_before_the_accept_ends_in_the_store(site, store):
    cookie = cookie_in(site.get(f"/{store}/set/a"))
    assert cookie_in(site.handshake(f"/{store}/clears", cookie)) == ""
    assert site.get(f"/{store}/read", cookie).json == {}


@pytest.mark.parametrize(("path", "status"), [("refused", 403), ("fails", 500)])
def test_a_denied_handshake_carries_the_cookie(site, place, path, status):
    answer = site.handshake(f"/{place}/{path}", cookie_of({"a": 1}))
    assert (answer.status, answer.session) == (status, {"a": 1, "n": 1})


def test_what_a_denied_handshake_changed_is_in_the_store(site, store):
    cookie = cookie_in(site.handshake(f"/{store}/refused"))
    assert site.get(f"/{store}/read", cookie).json == {"n": 1}


@pytest.mark.parametrize("cookie", [None, "an-id-of-the-right-form"], ids=["write", "read"])
@pytest.mark.parametrize("path", ["explicit", "implicit-send", "refused"])
def test_where_the_store_is_down_the_handshake_is_denied(site, path, cookie):
    answer = site.handshake(f"/down/{path}", cookie)
    assert (answer.status, answer.all("retry-after"), answer.all("set-cookie")) == (503, ["5"], [])


def test_where_the_store_is_down_a_websocket_that_does_not_need_it_opens(site):
    assert site.handshake("/down/reads").json == {}


# After the accept


@pytest.mark.parametrize(("path", "late"), [("late", "returned"), ("late-until-the-client-goes", "cancelled")])
def test_a_change_after_the_accept_is_saved_in_a_store(site, store, path, late):
    cookie = cookie_in(site.get(f"/{store}/set/a"))
    answer = site.handshake(f"/{store}/{path}", cookie)
    assert (answer.json, answer.all("set-cookie")) == ({"a": "a", "late": late}, [])
    wait_until(lambda: site.get(f"/{store}/read", cookie).json == {"a": "a", "late": late}, "it is not saved", 5)


@pytest.mark.parametrize("store", ["memory", "sqlite", "redis"])  # a class of Flask's has no save()
def test_save_in_an_open_websocket_is_seen_by_others_at_once(site, store):
    cookie = cookie_in(site.get(f"/{store}/set/a"))
    with site.websocket(f"/{store}/saved", cookie) as (connection, _):
        assert json.loads(connection.recv(DEADLINE)) == {"a": "a", "late": "saved"}
        assert site.get(f"/{store}/set/b", cookie).json == {"a": "a", "b": "b", "late": "saved"}
        connection.send("go on")
        assert json.loads(connection.recv(DEADLINE)) == {"a": "a"}
    wait_until(lambda: site.get(f"/{store}/read", cookie).json == {"a": "a", "b": "b"}, "it is not merged", 5)


def said(site, place):
    """Return what we logged since this was last asked."""
    return [message for message in site.get(f"/{place}/said").json if message.startswith("asgi_flask_session")]


def test_a_change_after_the_accept_is_warned_of_once_where_there_is_no_store(site, place):
    said(site, place)
    for path in ("late", "late-until-the-client-goes", "late"):
        answer = site.handshake(f"/{place}/{path}", cookie_of({"a": 1}))
        assert answer.all("set-cookie") == []
    messages = wait_until(lambda: said(site, place), "no warning", 5)
    assert ["the change is lost" in message for message in messages] == [True]


def test_a_session_that_begins_after_the_accept_is_warned_of_with_a_store_too(site, store):
    said(site, store)
    assert site.handshake(f"/{store}/late").all("set-cookie") == []
    messages = wait_until(lambda: said(site, store), "no warning", 5)
    assert ["no cookie can carry its id" in message for message in messages] == [True]
