"""Whole requests whose store fails: cut off, down, frozen, slow, full, damaged, or given up by whoever asked.

Whatever happens, the answer is a 503 that promises nothing, or what it says is in the store. It comes in time, and
the next request finds a store that works again, with no connection left over and nobody else's reply on one.
"""

import asyncio
import gc
import http.client
import json
import os
import random
import secrets
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import Any

import anyio
import flask
import pytest
from anyio.to_thread import run_sync
from driver import SECRET, Exchange, respond, scope_for
from services import memcached, postgresql, proxy, redis
from services.processes import Process, accepts, free_port, wait_until

from asgi_flask_session import FlaskSessionASGI, StoreUnavailable
from asgi_flask_session.adapters.flask import FlaskSessionInterface
from asgi_flask_session.background import background_loop
from asgi_flask_session.server_side import ENDED
from asgi_flask_session.stores.base import open_store
from asgi_flask_session.unavailable import UNAVAILABLE_HEADERS, UNAVAILABLE_TEXT

# coredis leaves the streams of a connection open that was never made. Nothing of the system is behind them.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

LIMIT = 1.0  # seconds that a call may take, where something is to take longer
SLACK = 2.0  # seconds that a busy machine may add
PATIENCE = 20.0  # the limit where nothing is to take as long
WHOLE = 30 * 86400  # seconds: less than a session lives
BRIEFLY = 61  # seconds: no longer lives what only its maker knows of


# The servers


@dataclass(frozen=True)
class Backend:
    """A store, and who uses it: an ASGI app on an event loop, or a Flask app under WSGI."""

    name: str
    user: str
    server: Any = None

    def __str__(self):
        return f"{self.name}-{self.user}"

    def url(self, port):
        if self.name == "postgresql":
            return f"postgresql+asyncpg://{postgresql.USER}@127.0.0.1:{port}/postgres"
        return f"{self.name}://127.0.0.1:{port}"

    def run(self, test):
        """Run a test, which is given a store with nothing between it and the server."""

        async def main():
            direct = open_store(self.url(self.server.port), timeout=timedelta(seconds=PATIENCE))
            try:
                return await test(direct)
            finally:
                await direct.aclose()

        return anyio.run(main, backend="trio" if self.user == "trio" else "asyncio")

    async def lifetime(self, key):
        """Return for how many seconds a record lives on."""
        if self.name == "redis":
            return int(redis.ask(self.server.port, "TTL", key).strip(b":\r\n"))
        if self.name == "memcached":
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=5) as connection:
                connection.sendall(f"mg {key} t\r\n".encode())
                return int(connection.recv(100).split()[1].strip(b"t"))
        import asyncpg

        connection = await asyncpg.connect(host="127.0.0.1", port=self.server.port, user=postgresql.USER)
        try:
            left = "SELECT extract(epoch FROM expiry - now() AT TIME ZONE 'utc') FROM sessions WHERE session_id = $1"
            return float(await connection.fetchval(left, key))
        finally:
            await connection.close()


ASGI = [
    Backend("redis", "asyncio"),
    Backend("redis", "trio"),
    Backend("memcached", "asyncio"),
    Backend("memcached", "trio"),
    Backend("postgresql", "asyncio"),
]
ALL = [*ASGI, Backend("redis", "flask")]
REDIS = ASGI[:2]
# Connections of one store; PostgreSQL's ten may each have another one, by which a statement is called off.
MOST = {"redis": 50, "memcached": 16, "postgresql": 20}
SERVICES = {"redis": redis, "memcached": memcached, "postgresql": postgresql}


def over(backends):
    return pytest.mark.parametrize("backend", backends, ids=str, indirect=True)


@pytest.fixture(scope="module")
def servers():
    """Return the function that starts a server of a name, or finds it started."""
    started = {}
    with ExitStack() as stack:

        def start(name):
            if name not in started:
                started[name] = stack.enter_context(SERVICES[name].running())
            return started[name]

        yield start
    gc.collect()  # what is not to be complained of here is not left for other modules


@pytest.fixture
def backend(request, servers):
    return replace(request.param, server=servers(request.param.name))


@pytest.fixture
def network(backend):
    with proxy.before(backend.server.port) as network:
        yield network


def no_connection_is_left(network):
    wait_until(lambda: network.connections == 0, "a connection is left open")


# An app


class Watched:
    """A store, and what one request asks of it. ``before`` is called with the number of each call, ahead of it."""

    def __init__(self, store):
        self.store = store
        self.forget()

    def forget(self, before=None):
        self.calls, self.made, self.before = [], [], before

    def __getattr__(self, method):
        async def call(*arguments):
            number = len(self.calls)
            self.calls.append(method)
            if self.before is not None:
                await self.before(number)
            if method == "create":
                self.made.append(arguments[0].removeprefix("session:"))
            return await getattr(self.store, method)(*arguments)

        return call


class Site:
    """An app whose store is reached by *network*; ``direct`` goes round that."""

    def __init__(self, store, network, direct, limit, **settings):
        self.store, self.network, self.direct = Watched(store), network, direct
        self.settings = {"store": self.store, "store_timeout": limit, **settings}
        self.make_app()

    def make_app(self):
        self.app = FlaskSessionASGI(self.serve, SECRET, **self.settings)

    async def serve(self, scope, receive, send):
        seen = scope["act"](scope["session"])
        await respond(send, body=json.dumps(seen).encode())

    async def ask(self, act, cookie=None):
        """Do *act* with the session of a request; its result is the body of the answer."""
        started = time.monotonic()
        exchange = await self.answer(act, cookie)
        exchange.lasted = time.monotonic() - started
        assert [message["type"] for message in exchange.messages] == ["http.response.start", "http.response.body"]
        if exchange.status == 503:
            assert sorted(exchange.headers) == sorted(UNAVAILABLE_HEADERS)  # with Retry-After, without Set-Cookie
            assert body(exchange) == UNAVAILABLE_TEXT
        else:
            assert exchange.status == 200
            assert len(exchange.set_cookies) <= 1
            exchange.seen = json.loads(body(exchange))
        return exchange

    async def answer(self, act, cookie):
        exchange = Exchange(scope=scope_for(cookie, act=act))

        async def send(message):
            exchange.messages.append(message)

        await self.app(exchange.scope, None, send)
        return exchange

    async def put(self, data, ttl=100):
        """Put a record into the store, and return its id."""
        sid = secrets.token_urlsafe(32)
        assert await self.direct.create(f"session:{sid}", json.dumps(data).encode(), ttl)
        return sid

    async def find(self, sid):
        """Return the data of a record; None if it is absent or has ended."""
        record = await self.direct.get(f"session:{sid}") if sid else None
        return None if record is None or record in ENDED.values() else json.loads(record)


class FlaskSite(Site):
    """The same under WSGI, in a thread."""

    def make_app(self):
        self.app = flask.Flask(__name__)
        self.app.secret_key = SECRET
        self.app.session_interface = FlaskSessionInterface(**self.settings)
        self.app.add_url_rule("/", view_func=self.view)

    def view(self):
        return json.dumps(flask.request.environ["act"](flask.session._get_current_object()))

    async def answer(self, act, cookie):
        headers = {"Cookie": f"session={cookie}"} if cookie else {}
        client = self.app.test_client(use_cookies=False)
        response = await run_sync(lambda: client.get("/", headers=headers, environ_overrides={"act": act}))
        sent = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        start = {"type": "http.response.start", "status": response.status_code, "headers": sent}
        return Exchange([start, {"type": "http.response.body", "body": response.data}])


@asynccontextmanager
async def opened(backend, network, limit=PATIENCE):
    """Yield a store that is reached by *network*."""
    store = open_store(backend.url(network.port), timeout=timedelta(seconds=limit))
    try:
        yield store
    finally:
        await on_its_loop(backend, store.aclose())


async def on_its_loop(backend, call):
    """Await a call of a store on the event loop that it is used on."""
    return await (run_sync(background_loop.run, call) if backend.user == "flask" else call)


@asynccontextmanager
async def site(backend, network, direct, limit=PATIENCE, **settings):
    async with opened(backend, network, limit) as store:
        yield site_of(backend, store, network, direct, limit, **settings)


def site_of(backend, *arguments, **settings):
    return (FlaskSite if backend.user == "flask" else Site)(*arguments, **settings)


async def together(*calls):
    """Await all at once, and return what they return."""
    results = [None] * len(calls)

    async def keep(number, call):
        results[number] = await call

    async with anyio.create_task_group() as group:
        for number, call in enumerate(calls):
            group.start_soon(keep, number, call)
    return results


def body(exchange):
    return b"".join(message.get("body", b"") for message in exchange.messages[1:])


# What a request does, and what may be left of it


def read(session):
    return dict(session)


def write(session):
    session["mark"] = "new"


def begin(session):
    session.update(NEW)


def regenerate(session):
    session["mark"] = "new"
    session.regenerate()


def log_in(session):
    session["_user_id"] = "7"


def log_out(session):
    session.clear()


def pop(session):
    session.pop("mark")


OLD, NEW = {"mark": "old", "kept": [1]}, {"mark": "new", "kept": [1]}


@dataclass(frozen=True)
class Kind:
    """A request, and what may be under the id that it came with and under the one that it made.

    That is the data of *before*, of *after*, or None. A refused one may have been carried out or not, but not half.
    """

    act: Callable[[Any], Any]
    calls: tuple[str, ...]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    served: tuple[Any, Any]
    refused: tuple[tuple[Any, Any], ...]
    sets_cookie: bool = True
    optional: tuple[int, ...] = ()  # the calls that need not be answered


def kinds(**own):
    """Return all kinds of requests, by name, of a visitor with data of *own*."""
    old, new, permanent, user = ({**OLD, **own, **more} for more in ({}, NEW, {"_permanent": True}, {"_user_id": "7"}))

    def new_id(act, after):
        # The browser's id is good, or no id is that anybody may know. Beside a good one, a new one lives briefly.
        refused = (old, None), (old, after), (None, after), (None, None)
        calls = "get", "create", "replace", "touch", "delete"
        return Kind(act, calls, old, after, (None, after), refused, optional=(4,))

    def end(act, before, *calls):
        return Kind(act, ("get", *calls), before, None, (None, None), ((before, None), (None, None)))

    return {
        "read": Kind(read, ("get",), old, old, (old, None), ((old, None),), sets_cookie=False),
        "refresh": Kind(
            read, ("get", "touch"), permanent, permanent, (permanent, None), ((permanent, None),), optional=(1,)
        ),
        "begin": Kind(begin, ("create",), None, NEW, (None, NEW), ((None, None), (None, NEW))),
        "write": Kind(write, ("get", "replace"), old, new, (new, None), ((old, None), (new, None))),
        "regenerate": new_id(regenerate, new),
        "login": new_id(log_in, user),
        "logout": end(log_out, user, "delete"),
        "pop": end(pop, {"mark": "old"}, "replace", "delete"),
    }


KINDS = kinds()
POINTS = [(kind, number) for kind, one in KINDS.items() for number in range(len(one.calls))]


async def outcome(backend, site, kind, sid, exchange):
    """Hold what is left of a request to what may be, and return the id that the browser has now."""
    made = site.store.made[0] if site.store.made else None
    assert len(site.store.made) <= 1
    left = await site.find(sid), await site.find(made)
    if exchange is None or exchange.status == 503:
        assert left in kind.refused or (exchange is None and left == kind.served)
        if None not in left:
            assert await backend.lifetime(f"session:{made}") <= BRIEFLY
        return sid
    assert left == kind.served
    if not kind.sets_cookie or (kind.act is read and exchange.cookie is None):  # a refresh that could not be had
        assert exchange.cookie is None
        return sid
    kept = "" if kind.after is None else sid if left[0] else made
    assert exchange.cookie == kept
    if kept:
        assert await backend.lifetime(f"session:{kept}") > WHOLE
    return kept


async def request_with_a_fault(backend, site, kind, number, *, fault, heal):
    """Send a request, with *fault* ahead of a call of the store, and then one without; say if it was served."""
    sid = kind.before and await site.put(kind.before)
    happened = False

    async def before(call):
        nonlocal happened
        if call == number and not happened:
            happened = True
            await fault()

    site.store.forget(before)
    exchange = await site.ask(kind.act, sid)
    await heal()
    assert happened
    assert exchange.lasted < PATIENCE / 2  # what has ended is not waited for
    await works_again(site, await outcome(backend, site, kind, sid, exchange))
    assert exchange.status == 200 or number not in kind.optional
    return exchange.status == 200


async def works_again(site, sid):
    """Hold a request without a fault to see what is in the store, and not what another visitor asked for."""
    site.store.before = None
    before = await site.find(sid) or {}
    answer = await site.ask(read, sid)
    assert answer.status == 200
    assert answer.seen in (before, await site.find(sid) or {})  # what was on its way may arrive meanwhile


# Cut off


async def lengths(site, kind):
    """Return the number of bytes to and from the server in each call of a good request."""
    many, found, network = 10**6, [], site.network

    def spent():
        with network._lock:
            return {way: many - left for way, left in network._budget.items()}

    async def before(number):
        if number:
            found.append(spent())
        network.cut(to_server=many, to_client=many)

    for _ in range(2):  # the first may open a connection
        found.clear()
        sid = kind.before and await site.put(kind.before)
        site.store.forget(before)
        exchange = await site.ask(kind.act, sid)
        assert (exchange.status, exchange.set_cookie is not None) == (200, kind.sets_cookie)
        found.append(spent())
    assert tuple(site.store.calls) == kind.calls
    network.cut()
    return found


BYTE_BY_BYTE = {"redis-asyncio", "memcached-asyncio"}  # where it takes little time
SHORT = 24  # bytes


@over(ALL)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "login"])  # which is a regenerate
def test_a_request_whose_connection_is_cut_at_any_byte(backend, network, kind):
    kind = KINDS[kind]

    async def test(direct):
        async with site(backend, network, direct) as there:

            async def cut(number, way, count):
                async def fault():
                    network.cut(**{way: count})

                async def heal():
                    network.cut()

                return await request_with_a_fault(backend, there, kind, number, fault=fault, heal=heal)

            served = []
            for number, ways in enumerate(await lengths(there, kind)):
                for way, length in ways.items():
                    every = way == "to_client" and str(backend) in BYTE_BY_BYTE and (kind.act is read or length < SHORT)
                    some = {0, 1, length // 2, length - 1, length}
                    for count in range(length + 1) if every else sorted(some & set(range(length + 1))):
                        good = await cut(number, way, count)
                        if kind.calls[number] == "get" and count < length:
                            served.append(good)
        return served

    assert all(backend.run(test))  # what is to be read is asked for twice
    assert network.most <= 2
    no_connection_is_left(network)


@over(ALL)
def test_a_connection_that_is_cut_while_it_is_made(backend, network):
    async def test(direct):
        async with site(backend, network, direct) as there:
            for way in ("to_server", "to_client"):
                for count in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):

                    async def fault(way=way, count=count):
                        network.drop()
                        network.cut(**{way: count})

                    async def heal():
                        network.cut()

                    await request_with_a_fault(backend, there, KINDS["read"], 0, fault=fault, heal=heal)

    backend.run(test)
    assert network.most <= 2
    no_connection_is_left(network)


# Down


@over(ALL)
def test_a_server_that_is_down_when_the_app_starts(backend, network):
    network.close()

    async def test(direct):
        async with site(backend, network, direct) as there:
            with pytest.raises(StoreUnavailable):
                await on_its_loop(backend, there.store.ping())
            sid = await there.put(OLD)
            there.store.forget()
            assert (await there.ask(read)).seen == {}
            assert there.store.calls == []
            assert (await there.ask(begin)).status == 503
            for act in (read, write, log_out):
                assert (await there.ask(act, sid)).status == 503
            network.open()
            cookie = (await there.ask(begin)).cookie
            assert (await there.ask(read, cookie)).seen == NEW
            assert (await there.ask(read, sid)).seen == OLD

    backend.run(test)


@over(ASGI)
def test_an_app_starts_and_ends_while_the_server_is_down(backend, network):
    network.close()

    async def test(direct):
        async def app(scope, receive, send):
            await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})

        async def send(message):
            sent.append(message["type"])

        sent = []
        await FlaskSessionASGI(app, SECRET, store=backend.url(network.port))({"type": "lifespan"}, None, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    backend.run(test)


@over(ALL)
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_is_killed_at_each_point_of_a_request(backend, network, kind):
    kind = KINDS[kind]

    async def test(direct):
        async with site(backend, network, direct) as there:

            async def kill(number, after):
                async def fault():
                    network.close()
                    if after is None:
                        network.drop()
                    else:
                        network.cut(to_client=after)

                async def heal():
                    network.cut()
                    network.drop()
                    assert (await there.ask(read, secrets.token_urlsafe(32))).status == 503
                    assert (await there.ask(read)).status == 200
                    network.open()

                return await request_with_a_fault(backend, there, kind, number, fault=fault, heal=heal)

            for number, ways in enumerate(await lengths(there, kind)):
                for after in (None, 0, ways["to_client"] // 2, ways["to_client"]):
                    await kill(number, after)

    backend.run(test)
    no_connection_is_left(network)


@over(ALL)
def test_a_server_that_was_restarted_between_requests(backend, network):
    async def test(direct):
        async with site(backend, network, direct) as there:
            for act in (begin, write):
                sids = [await there.put(OLD) if act is write else None for _ in range(5)]
                network.delay = 0.02
                await together(*(there.ask(read, secrets.token_urlsafe(32)) for _ in sids))
                network.delay = 0
                assert 1 < network.connections <= len(sids)
                network.drop()
                await anyio.sleep(0.15)  # no server is back sooner
                assert [answer.status for answer in await together(*(there.ask(act, sid) for sid in sids))] == [200] * 5

    backend.run(test)
    no_connection_is_left(network)


@over(ALL)
def test_fifty_faults_leave_no_connection_behind(backend, network):
    async def test(direct):
        async with site(backend, network, direct) as there:
            sids = [await there.put(OLD) for _ in range(3)]
            for number in range(50):
                network.delay = 0.002
                async with anyio.create_task_group() as group:
                    for sid in sids:
                        group.start_soon(there.ask, (read, write)[number % 2], sid)
                    await anyio.sleep(0.0005 * (number % 10))
                    network.drop()
                network.delay = 0
            await together(*(works_again(there, sid) for sid in sids))
            assert network.connections <= len(sids)

    backend.run(test)
    assert network.accepted >= 50
    no_connection_is_left(network)


# Frozen and slow


@asynccontextmanager
async def never_blocked():
    """Hold the event loop to go on with other tasks meanwhile."""
    longest = 0

    async def tick():
        nonlocal longest
        while True:
            before = time.monotonic()
            await anyio.sleep(0.01)
            longest = max(longest, time.monotonic() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        yield
        group.cancel_scope.cancel()
    assert longest < LIMIT  # a call that blocked the loop would take all of that


class Silence:
    """Requests that wait for each other, each ahead of a call. When all are there, the network falls silent."""

    def __init__(self, network, *, requests):
        self.network, self.missing = network, requests
        self.all_here = None

    def ahead_of(self, number):
        async def before(call):
            if call == number:
                self.all_here = self.all_here or anyio.Event()  # of the loop that the requests are on
                self.missing -= 1
                if not self.missing:
                    self.network.freeze()
                    self.all_here.set()
                await self.all_here.wait()

        return before


@over(ALL)
def test_a_server_that_is_silent_from_each_point_of_a_request_on(backend, network):
    async def test(direct):
        async with opened(backend, network, LIMIT) as store:
            visits = [
                (site_of(backend, store, network, direct, LIMIT), kinds(who=who)[kind], number)
                for who, (kind, number) in enumerate(POINTS)
            ]
            for there, kind, _ in visits:
                assert (await there.ask(kind.act, kind.before and await there.put(kind.before))).status == 200
            silence = Silence(network, requests=len(visits))
            sids = []
            for there, kind, number in visits:
                sids.append(kind.before and await there.put(kind.before))
                there.store.forget(silence.ahead_of(number))
            async with never_blocked():
                answers = await together(
                    *(there.ask(kind.act, sid) for (there, kind, _), sid in zip(visits, sids, strict=True))
                )
            assert not silence.missing
            network.thaw()
            for (_, kind, number), answer in zip(visits, answers, strict=True):
                assert answer.lasted < 1.1 * LIMIT + SLACK
                assert answer.status == (200 if number in kind.optional else 503)
            asked = zip(visits, sids, answers, strict=True)
            kept = [await outcome(backend, there, kind, sid, answer) for (there, kind, _), sid, answer in asked]
            await together(*(works_again(there, sid) for (there, _, _), sid in zip(visits, kept, strict=True)))

    backend.run(test)
    assert network.most <= MOST[backend.name]
    no_connection_is_left(network)


@over(ALL)
def test_a_server_that_stops_and_goes_on(backend, network):
    async def test(direct):
        async with site(backend, network, direct, LIMIT) as there:
            sids = [await there.put({"who": number}) for number in range(20)]

            def ask(act):
                return together(*(there.ask(act, sid) for sid in sids))

            assert [answer.seen for answer in await ask(read)] == [{"who": number} for number in range(20)]
            backend.server.freeze()
            try:
                async with never_blocked():
                    refused = await ask(write)
            finally:
                backend.server.thaw()
            assert {answer.status for answer in refused} == {503}
            assert max(answer.lasted for answer in refused) < 1.1 * LIMIT + SLACK
            for _ in range(3):
                assert [answer.seen["who"] for answer in await ask(read)] == list(range(20))

    backend.run(test)
    no_connection_is_left(network)


@over(ALL)
def test_twenty_requests_to_a_slow_server(backend, network):
    async def test(direct):
        async with site(backend, network, direct) as there:
            sids = [await there.put(OLD) for _ in range(20)]
            network.delay = 0.05
            async with never_blocked():
                answers = await together(*(there.ask(write, sid) for sid in sids))
            network.delay = 0
            assert [answer.cookie for answer in answers] == sids
            assert [await there.find(sid) for sid in sids] == [NEW] * 20

    backend.run(test)
    assert network.most <= MOST[backend.name]


@over([*REDIS, ALL[-1]])  # whose writes are one message each
def test_a_write_that_arrives_late_undoes_nothing(backend, network):
    def change_again(session):
        session["mark"] = "later"

    async def test(direct):
        async with opened(backend, network, LIMIT) as store:
            acts = write, write, regenerate, pop
            sites = [site_of(backend, store, network, direct, LIMIT) for _ in acts]
            silence = Silence(network, requests=len(sites))
            sids = []
            for there, act in zip(sites, acts, strict=True):
                sids.append(await there.put(OLD))
                there.store.forget(silence.ahead_of(2 if act is regenerate else 1))
            asked = zip(sites, acts, sids, strict=True)
            answers = await together(*(there.ask(act, sid) for there, act, sid in asked))
            assert {answer.status for answer in answers} == {503}
            meanwhile = Site(direct, network, direct, PATIENCE)
            for sid in sids[1:]:
                assert (await meanwhile.ask(change_again, sid)).cookie == sid
            network.thaw()
            await run_sync(no_connection_is_left, network)  # with all that was on it
            for _ in range(100):
                if await meanwhile.find(sids[0]) == NEW:
                    break
            assert await meanwhile.find(sids[0]) == NEW  # the first write arrived, and so did the others
            assert [(await meanwhile.find(sid))["mark"] for sid in sids[1:]] == ["later"] * 3

    backend.run(test)


# A server that refuses


TROUBLES = {
    "full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), {"read", "refresh", "logout"}),
    "read-only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), {"read", "refresh"}),
}


@over([*REDIS, ALL[-1]])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_does_not_write(backend, network, trouble):
    begins, ends, served = TROUBLES[trouble]
    port = backend.server.port

    async def test(direct):
        async with site(backend, network, direct) as there:
            for name, kind in KINDS.items():
                sid = kind.before and await there.put(kind.before)
                there.store.forget()
                assert redis.ask(port, *begins) == b"+OK\r\n"
                try:
                    answer = await there.ask(kind.act, sid)
                    assert answer.status == (200 if name in served else 503)
                    assert await there.find(sid) == (kind.after if name in served else kind.before)
                finally:
                    assert redis.ask(port, *ends) == b"+OK\r\n"
                await outcome(backend, there, kind, sid, answer)
                assert (await there.ask(write, sid or None)).status == 200

    backend.run(test)


@over([one for one in ASGI if one.name == "memcached"])
def test_a_session_that_was_dropped_to_make_room(backend):
    async def test(direct):
        with memcached.running("-m", "2") as server:
            async with opened(backend, server) as store:
                there = Site(store, server, store, PATIENCE)
                sid = await there.put({"mark": "x" * 10_000})  # of a kind with those that need the room
                for _ in range(600):
                    await there.put("x" * 10_000)
                assert (await there.ask(read, sid)).seen == {}
                cookie = (await there.ask(begin, sid)).cookie
                assert cookie not in (None, sid)
                assert (await there.ask(read, cookie)).seen == NEW

    backend.run(test)


# Damaged records


VALUES = {
    "tagged": b'{"n":[1,2.5],"u":" \xc3\xa9","x":{" t":[1,{" b":"AA=="}]}}',
    "json": b'{"n":[1,null,true],"u":"\\u00e9"}',
    "msgpack": b"\x83\xaa_permanent\xc3\xa1n\x92\x01\xcb@\x04\x00\x00\x00\x00\x00\x00\xa1u\xa2\xc3\xa9",
}


async def is_no_session(there, sid, caplog):
    """Hold a record to be taken for none, with one warning, and to be left as it is."""
    looked = await there.ask(read, sid)
    assert (looked.seen, looked.set_cookie) == ({}, None)
    cookie = (await there.ask(begin, sid)).cookie
    assert cookie not in (None, "", sid)
    assert (await there.ask(read, cookie)).seen == NEW
    said = [record.getMessage() for record in caplog.records if record.name == "asgi_flask_session"]
    assert len(said) == 1
    assert "no session" in said[0]
    assert not sid or sid not in said[0]


@over(REDIS)
@pytest.mark.parametrize("form", VALUES)
def test_a_record_that_is_cut_off_at_any_byte(backend, form, caplog):
    value = VALUES[form]

    async def test(direct):
        there = Site(direct, None, direct, PATIENCE)
        sid = secrets.token_urlsafe(32)
        await direct.create(f"session:{sid}", value, 100)
        assert (await there.ask(list, sid)).seen[-1] in ("x", "u")
        for length in range(len(value)):
            sid = secrets.token_urlsafe(32)
            await direct.create(f"session:{sid}", value[:length], 100)
            await is_no_session(there, sid, caplog)
            assert await direct.get(f"session:{sid}") == value[:length]

    backend.run(test)


TYPES = {
    "list": ("RPUSH", "a"),
    "set": ("SADD", "a"),
    "hash": ("HSET", "mark", "old"),
    "sorted set": ("ZADD", "1", "a"),
    "stream": ("XADD", "*", "mark", "old"),
}


@over([*REDIS, ALL[-1]])
def test_a_key_that_holds_something_else(backend, network, caplog):
    async def test(direct):
        async with site(backend, network, direct) as there:
            for command, *arguments in TYPES.values():
                sid = secrets.token_urlsafe(32)
                redis.ask(backend.server.port, command, f"session:{sid}", *arguments)
                await is_no_session(there, sid, caplog)
                assert redis.ask(backend.server.port, "TYPE", f"session:{sid}") not in (b"+none\r\n", b"+string\r\n")

    backend.run(test)


@over(REDIS)
def test_a_record_that_is_too_large(backend, caplog):
    async def test(direct):
        there = Site(direct, None, direct, PATIENCE)
        await is_no_session(there, await there.put({"mark": "x" * 2**21}), caplog)

    backend.run(test)


# Clocks


@over(ASGI)
def test_how_long_a_session_lives_is_not_for_the_web_servers_clock_to_say(backend):
    async def test(direct):
        hour = 3600
        ahead, behind = (
            Site(direct, None, direct, PATIENCE, clock=lambda by=by: time.time() + by, permanent_lifetime=100)
            for by in (hour, -hour)
        )
        for one, other in ((ahead, behind), (behind, ahead)):
            cookie = (await one.ask(lambda session: session.update(NEW, _permanent=True))).cookie
            for there in (other, one, other):
                assert 95 <= await backend.lifetime(f"session:{cookie}") <= 101
                answer = await there.ask(read, cookie)
                assert answer.seen == {**NEW, "_permanent": True}
                assert answer.cookie == cookie  # refreshed
                assert (await there.ask(write, cookie)).cookie == cookie

    backend.run(test)


# Given up


async def by_task(call, seconds):
    """Cancel a call as asyncio does it, which no scope of anyio's keeps out."""
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.wait([task])
    return None if task.cancelled() else task.result()


async def by_scope(call, seconds):
    with anyio.move_on_after(seconds):
        return await call


CANCELLED = [(one, by) for one in ASGI for by in (by_task, by_scope) if (one.user, by) != ("trio", by_task)]


@pytest.mark.parametrize(
    ("backend", "give_up"), CANCELLED, ids=lambda one: getattr(one, "__name__", str(one)), indirect=["backend"]
)
def test_requests_that_are_cancelled(backend, network, give_up):
    chance = random.Random(11)

    async def test(direct):
        async with opened(backend, network) as store:
            given_up = 0
            for _ in range(2):
                visits = []
                for number in range(50):
                    kind = kinds(who=number)[chance.choice(("refresh", "write", "regenerate", "logout"))]
                    there = Site(store, network, direct, PATIENCE)
                    visits.append((there, kind, await there.put(kind.before)))
                network.delay = lambda: chance.uniform(0, 0.006)
                seconds = [chance.uniform(0, 0.05) if number % 2 else 60 for number in range(len(visits))]
                answers = await together(
                    *(
                        give_up(there.ask(kind.act, sid), after)
                        for (there, kind, sid), after in zip(visits, seconds, strict=True)
                    )
                )
                network.delay = 0
                given_up += answers.count(None)
                for (there, kind, sid), answer in zip(visits, answers, strict=True):
                    await outcome(backend, there, kind, sid, answer)
                await together(*(works_again(there, sid) for there, _, sid in visits))
            return given_up

    assert 0 < backend.run(test) <= 50
    assert network.most <= 1.2 * MOST[backend.name]  # one that was broken off is closed a moment later
    no_connection_is_left(network)


@over(ASGI)
def test_a_client_that_is_gone_before_the_response(backend):
    async def send(message):
        raise OSError("the client is gone")

    async def test(direct):
        there = Site(direct, None, direct, PATIENCE)
        for act, data in ((write, NEW), (log_out, None)):
            sid = await there.put(OLD)
            with pytest.raises(OSError, match="the client is gone"):
                await there.app(scope_for(sid, act=act), None, send)
            assert await there.find(sid) == data

    backend.run(test)


# Errors that are raised, and websockets


@over(ASGI)
def test_a_store_that_is_down_where_errors_are_raised(backend, network):
    network.close()
    messages = []

    async def send(message):
        messages.append(message)

    async def test(direct):
        async with site(backend, network, direct, on_store_error="raise") as there:
            for act, cookie in ((read, await there.put(OLD)), (begin, None)):
                with pytest.raises(StoreUnavailable):
                    await there.app(scope_for(cookie, act=act), None, send)
            assert (await there.ask(read)).status == 200

    backend.run(test)
    assert messages == []


@over(ASGI)
def test_a_login_that_failed_is_not_made_up_for_under_the_old_id(backend, network):
    messages = []

    async def send(message):
        messages.append(message)

    async def test(direct):
        async with site(backend, network, direct, on_store_error="raise") as there:

            async def before(call):
                if there.store.calls[call] == "create":
                    network.cut(to_server=1)

            sid = await there.put(OLD)
            there.store.forget(before)
            with pytest.raises(StoreUnavailable):
                await there.app(scope_for(sid, act=log_in), None, send)
            assert await there.find(sid) == OLD

    backend.run(test)
    assert messages == []


DENIED = ["websocket.http.response.start", "websocket.http.response.body"]


@over(ASGI)
@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}], ids=["closed", "denied"])
@pytest.mark.parametrize("act", [read, begin])
def test_a_websocket_while_the_store_is_down(backend, network, act, extensions):
    network.close()
    heard, messages = [], []

    async def receive():
        heard.append("websocket.connect")
        return {"type": "websocket.connect"}

    async def send(message):
        messages.append(message)

    async def test(direct):
        async with opened(backend, network) as store:

            async def app(scope, receive, send):
                await receive()
                act(scope["session"])
                await send({"type": "websocket.accept"})
                await send({"type": "websocket.send", "text": "hello"})

            cookie = secrets.token_urlsafe(32) if act is read else None
            scope = scope_for(cookie, type="websocket", extensions=extensions)
            await FlaskSessionASGI(app, SECRET, store=store)(scope, receive, send)

    backend.run(test)
    assert heard == ["websocket.connect"]
    if extensions:
        assert [message["type"] for message in messages] == DENIED
        assert messages[0]["status"] == 503
        assert tuple(messages[0]["headers"]) == UNAVAILABLE_HEADERS
    else:
        assert [(message["type"], message["code"]) for message in messages] == [("websocket.close", 1013)]


# A real server


APP = """
    import os

    from asgi_flask_session import FlaskSessionASGI

    async def count(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        scope["session"]["n"] = scope["session"].get("n", 0) + 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % scope["session"]["n"]})

    app = FlaskSessionASGI(count, "a-secret-of-the-tests-only", store=os.environ["STORE"], store_timeout=5)
"""


class Visitor(threading.Thread):
    """Counts by requests one after another, and holds each answer to what was confirmed before."""

    def __init__(self, port):
        super().__init__()
        self.port, self.goes_on = port, True
        self.cookie, self.confirmed, self.unknown = None, 0, 0
        self.statuses, self.error = [], None
        self.start()

    def run(self):
        try:
            while self.goes_on:
                self.visit()
        except Exception as error:  # noqa: BLE001  # it is raised again by the test
            self.error = error

    def visit(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/", headers={"Cookie": f"session={self.cookie}"} if self.cookie else {})
        response = connection.getresponse()
        count = response.read()
        connection.close()
        self.statuses.append(response.status)
        cookie = response.headers.get("Set-Cookie")
        if response.status == 503:
            assert cookie is None
            assert response.headers["Retry-After"] == "5"
            self.unknown += self.cookie is not None  # it may have been counted all the same
        else:
            assert self.confirmed < int(count) <= self.confirmed + self.unknown + 1
            self.confirmed, self.unknown = int(count), 0
            self.cookie = self.cookie or cookie.partition(";")[0].partition("=")[2]
            assert cookie.startswith(f"session={self.cookie};")

    def has_seen(self, status, times):
        return self.error is not None or self.statuses[-times:] == [status] * times


def test_a_server_of_real_requests_whose_redis_is_killed_and_started_again(tmp_path):
    (tmp_path / "counting.py").write_text(textwrap.dedent(APP))
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "counting:app", "--port", port, "--log-level", "critical"]
    with redis.running("--appendonly", "yes", "--appendfsync", "always") as server:  # it forgets nothing
        environment = {**os.environ, "STORE": server.url, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        uvicorn = Process(command, ready=lambda: accepts(port), cwd=tmp_path, env=environment)
        visitors = [Visitor(port) for _ in range(4)]
        try:
            for _ in range(2):
                wait_until(lambda: all(one.has_seen(200, 10) for one in visitors), "it does not serve")
                server.kill()
                wait_until(lambda: all(one.has_seen(503, 3) for one in visitors), "it does not notice")
                server.start()
            wait_until(lambda: all(one.has_seen(200, 10) for one in visitors), "it does not recover")
            assert uvicorn.process.poll() is None
        finally:
            for visitor in visitors:
                visitor.goes_on = False
            for visitor in visitors:
                visitor.join()
            uvicorn.stop()
        for visitor in visitors:
            if visitor.error is not None:
                raise visitor.error
            assert [status for status, _ in groupby(visitor.statuses)] == [200, 503, 200, 503, 200]
