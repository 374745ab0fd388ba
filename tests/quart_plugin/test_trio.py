"""QuartTrio on hypercorn's trio worker, with Redis: many requests at once, clients that go away, a silent server."""

import random
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count

import h11
import pytest
from servers.clients import http1
from services import proxy, redis
from services.apps import serving
from services.processes import wait_until

MANY = 50
CONNECTIONS = 10  # at most, of the app to Redis


class Site:
    """An app behind hypercorn, Redis behind a network, and what browsers ask of the app."""

    def __init__(self, server, network, store):
        self.server, self.network, self.store = server, network, store

    def get(self, path, cookie=None):
        return http1(self.server.port, path, fields(cookie))

    def leave(self, path, cookie, seconds):
        """Send a request, and go away before or while it is answered."""
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(method="GET", target=path, headers=[("host", "localhost"), *fields(cookie)])
        with closing(socket.create_connection(("127.0.0.1", self.server.port), 10)) as wire:
            wire.sendall(connection.send(request) + connection.send(h11.EndOfMessage()))
            time.sleep(seconds)

    def begin(self, key):
        answer = self.get(f"/set/{key}")
        assert answer.status == 200
        return cookie_in(answer)

    def said(self):
        """Return what was logged, but for a client that was gone when QuartTrio had its response, which it raises."""
        return [message for message in self.get("/said").json if message != "hypercorn.error: Error in ASGI Framework"]

    def is_whole(self, cookies):
        """Hold every session against what was written into it, all at once."""
        answers = at_once(lambda key: self.get("/read", cookies[key]), cookies)
        return [own(answer) for answer in answers] == [{key: key} for key in cookies]


def fields(cookie):
    return [] if cookie is None else [("cookie", f"session={cookie}")]


def cookie_in(answer):
    [line] = answer.all("set-cookie")
    return line.partition(";")[0].removeprefix("session=")


def own(answer):
    """Return what a session holds beside the mark that the extension puts into each; None for another answer."""
    if answer.status != 200:
        return None
    return {key: value for key, value in answer.json.items() if key != "_permanent"}


def at_once(function, *arguments):
    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(function, *arguments))


@pytest.fixture(scope="module")
def redis_server():
    with redis.running() as server:
        yield server


@contextmanager
def served(kind, redis_server):
    with proxy.before(redis_server.port) as network:
        url = f"redis://127.0.0.1:{network.port}?max_connections={CONNECTIONS}"
        with serving("hypercorn-trio", f"quart_plugin/live_apps:{kind}_on_trio", REDIS_URL=url) as server:
            yield Site(server, network, redis_server)


@pytest.fixture(scope="module", params=["interface", "extension"])
def site(request, redis_server):
    with served(request.param, redis_server) as site:
        yield site


@pytest.fixture(scope="module")
def cookies(site):
    """Fifty sessions, each with a key of its own."""
    keys = [f"k{number}" for number in range(MANY)]
    return dict(zip(keys, at_once(site.begin, keys), strict=True))


def test_sessions_of_requests_at_once_are_each_ones_own(site, cookies):
    assert len(set(cookies.values())) == MANY
    for _ in range(4):
        assert site.is_whole(cookies)
    assert site.network.most <= CONNECTIONS


def test_keys_that_requests_at_once_write_into_one_session_are_all_there(site):
    cookie = site.begin("first")
    keys = [f"k{number}" for number in range(MANY)]
    answers = at_once(lambda key: site.get(f"/set/{key}", cookie), keys)
    assert {answer.status for answer in answers} == {200}
    assert own(site.get("/read", cookie)).keys() == {"first", *keys}


def test_clients_that_go_away_take_nothing_from_the_others(site, cookies):
    chance = random.Random(17)
    shared = site.begin("first")
    site.network.delay = lambda: chance.uniform(0, 0.02)
    written, numbers = [], count()

    def visit(key):
        number = next(numbers)
        match number % 4:
            case 0:
                site.leave("/read", cookies[key], chance.uniform(0, 0.1))
            case 1:
                site.leave(f"/set/left{number}", shared, chance.uniform(0, 0.1))
            case 2:
                answer = site.get(f"/set/stayed{number}", shared)
                assert answer.status == 200
                written.append(f"stayed{number}")
            case 3:
                assert own(site.get("/read", cookies[key])) == {key: key}

    for _ in range(3):
        at_once(visit, cookies)
    site.network.delay = 0
    assert {"first", *written} <= own(site.get("/read", shared)).keys()
    assert len(written) > MANY / 2
    assert site.is_whole(cookies)
    wait_until(lambda: site.network.connections <= CONNECTIONS, "a connection is left open", 5)
    assert site.said() == []


def test_a_network_that_drops_its_connections_mixes_up_no_replies(site, cookies):
    chance = random.Random(18)
    site.network.delay = lambda: chance.uniform(0, 0.02)
    over = threading.Event()

    def drop():
        while not over.wait(0.05):
            site.network.drop()

    def visit(key):
        answer = site.get("/read", cookies[key])
        return answer.status == 503 or own(answer) == {key: key}

    dropping = threading.Thread(target=drop)
    dropping.start()
    try:
        right = [answer for _ in range(3) for answer in at_once(visit, cookies)]
    finally:
        over.set()
        dropping.join()
    site.network.delay = 0
    assert all(right)
    assert site.is_whole(cookies)
    wait_until(lambda: site.network.connections <= CONNECTIONS, "a connection is left open", 5)


def test_replies_of_a_server_that_was_frozen_reach_nobody_else(site, cookies):
    assert site.is_whole(cookies)
    some = dict(list(cookies.items())[:20])

    def visit(key):
        if int(key[1:]) % 2:
            site.leave("/read", some[key], 0.3)
            return None
        answer = site.get("/read", some[key])
        return answer.status, answer.all("retry-after")

    site.store.freeze()
    try:
        answers = at_once(visit, some)
    finally:
        site.store.thaw()
    assert answers == [(503, ["5"]), None] * (len(some) // 2)
    wait_until(lambda: site.is_whole(cookies), "it does not work again", 10)
    for _ in range(2):
        assert site.is_whole(cookies)
    wait_until(lambda: site.network.connections <= CONNECTIONS, "a connection is left open", 5)


@pytest.mark.parametrize("kind", ["interface", "extension"])
def test_a_server_that_ends_leaves_no_connection(kind, redis_server):
    with served(kind, redis_server) as site:
        cookie = site.begin("a")
        at_once(lambda _: site.get("/read", cookie), range(MANY))
        assert site.network.connections > 0
        site.server.stop()
        assert site.server.process.returncode == 0
        wait_until(lambda: site.network.connections == 0, "a connection is left open", 5)
