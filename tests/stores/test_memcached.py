import asyncio
import os
import random
import secrets
import socket
import subprocess
import sys
import textwrap
import threading
from contextlib import asynccontextmanager, closing
from datetime import timedelta

import anyio
import flask
import flask_session
import pytest
import quart
import quart_session
from driver import SECRET, Exchange, app_that, scope_for
from pymemcache import serde
from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from services import memcached, proxy
from services.processes import wait_until
from stores.contract import TTL, SessionContract, StoreContract, key

from asgi_flask_session import FlaskSessionASGI, Settings, SettingsError
from asgi_flask_session.errors import StoreUnavailable
from asgi_flask_session.stores.base import open_store
from asgi_flask_session.stores.memcached import MemcachedStore, _exptime

LIMITS = {"timeout": 2, "connect_timeout": 1}
LOOPS = ("asyncio", "trio")


@asynccontextmanager
async def opened(url, **options):
    store = MemcachedStore.from_url(url, **options)
    try:
        yield store
    finally:
        await store.aclose()


def run(loop, url, test, **options):
    async def main():
        async with opened(url, **options) as store:
            return await test(store)

    return anyio.run(main, backend=loop)


class TestMemcachedStore(StoreContract, SessionContract):
    @pytest.fixture(autouse=True)
    def _server(self, memcached_server):
        self.server = memcached_server

    @asynccontextmanager
    async def opened(self, clock):
        async with opened(self.server.url) as store:
            yield store

    async def wait(self, seconds, clock):
        await anyio.sleep(seconds + 0.3)  # its clock ticks once in a second, or a little later


class TestSeveralServers(StoreContract):
    loops = ("asyncio",)
    wait = TestMemcachedStore.wait

    @pytest.fixture(autouse=True)
    def _servers(self, memcached_server, second_server):
        self.url = f"{memcached_server.url},127.0.0.1:{second_server.port}"

    @asynccontextmanager
    async def opened(self, clock):
        async with opened(self.url) as store:
            yield store


@pytest.fixture(scope="module")
def second_server():
    with memcached.running() as server:
        yield server


def test_several_servers_are_shared_out_as_hash_client_does(memcached_server, second_server):
    servers = [("127.0.0.1", memcached_server.port), ("127.0.0.1", second_server.port)]
    client = HashClient(servers, use_pooling=True, default_noreply=False, **LIMITS)
    names = [key() for _ in range(30)]
    for name in names:
        client.set(name, name.encode(), 60)

    async def test(store):
        await store.ping()
        return [await store.get(name) for name in names], await MemcachedStore(client).get(names[0])

    url = f"{memcached_server.url},127.0.0.1:{second_server.port}"
    assert run("asyncio", url, test) == ([name.encode() for name in names], names[0].encode())
    assert {client.hasher.get_node(name) for name in names} == {f"127.0.0.1:{port}" for _, port in servers}
    client.close()


def test_of_several_servers_one_that_is_down_is_never_gone_round(server, memcached_server):
    async def test(store):
        names = [key() for _ in range(20)]
        for name in names:
            await store.create(name, b"x", TTL)
        server.kill()
        for _ in range(3):  # more often than HashClient asks before it takes another server
            down = [name for name in names if await failure(store.get(name))]
        failed = [await failure(call) for name in down for call in (store.create(name, b"y", TTL), store.delete(name))]
        server.start()
        after = [await store.get(name) for name in names]
        return set(down), all(failed), {name for name, value in zip(names, after, strict=True) if value is None}

    down, all_failed, lost = run("asyncio", f"{memcached_server.url},127.0.0.1:{server.port}", test)
    assert 0 < len(down) < 20
    assert all_failed
    assert lost == down


async def failure(call):
    """Return the error of a call; None if it is done."""
    try:
        await call
    except StoreUnavailable as error:
        return error
    return None


# Settings


@pytest.mark.parametrize(
    "url",
    [
        "memcached:",
        "memcached://",
        "memcached:localhost",
        "memcached:///var/run/memcached.sock",
        "memcached://user:word@localhost",
        "memcached://localhost/0",
        "memcached://localhost?timeout=1",
        "memcached://localhost:0",
        "memcached://localhost:65536",
        "memcached://localhost,",
        "memcached://::1",
    ],
)
def test_a_url_that_is_more_than_servers_is_refused(url):
    with pytest.raises(SettingsError, match="write 'memcached://localhost:11211'") as caught:
        open_store(url)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("memcached://localhost", ("localhost", 11211)),
        ("Memcached://localhost", ("localhost", 11211)),
        ("memcached://cache_1.example:1234/", ("cache_1.example", 1234)),
        ("memcached://[::1]:1234", ("::1", 1234)),
        ("memcached://[::1]", ("::1", 11211)),
    ],
)
def test_the_server_of_a_url(url, server, monkeypatch):
    made = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: made.append(args[:2]) or [])

    async def test(store):
        return await failure(store.ping())

    assert run("asyncio", url, test)
    assert made == [server]


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (Client("localhost", **LIMITS), "write PooledClient"),
        (HashClient(["localhost"], **LIMITS), "use_pooling=True"),
        (HashClient([], use_pooling=True, **LIMITS), "without a server"),
        ("memcached://localhost", "MemcachedStore.from_url"),
        (PooledClient("localhost"), "timeout=2"),
        (PooledClient("localhost", timeout=2), "connect_timeout=1"),
        (PooledClient("localhost", ignore_exc=True, **LIMITS), "ignore_exc"),
        (HashClient(["localhost"], use_pooling=True, ignore_exc=True, **LIMITS), "ignore_exc"),
        (PooledClient("localhost", serde=serde.pickle_serde, **LIMITS), "serde"),
        (PooledClient("localhost", deserializer=lambda key, value, flags: value, **LIMITS), "serde"),
        (HashClient(["localhost"], use_pooling=True, serde=serde.compressed_serde, **LIMITS), "serde"),
    ],
)
def test_a_client_that_cannot_keep_sessions_is_refused(client, message):
    with pytest.raises(SettingsError, match=message):
        MemcachedStore(client)


def test_no_threads_are_refused():
    with pytest.raises(SettingsError, match="write 1 or more"):
        MemcachedStore(PooledClient("localhost", **LIMITS), threads=0)


@pytest.mark.parametrize(
    ("ttl", "now", "told"),
    [
        (0, 1_700_000_000.9, 1),  # never 0, which is for ever
        (-1, 1_700_000_000.9, 1),
        (1, 1_700_000_000.9, 2),
        (30 * 86400 - 1, 1_700_000_000.9, 30 * 86400),
        (30 * 86400, 1_700_000_000.9, 1_702_592_001),
        (31 * 86400, 1_700_000_000.9, 1_702_678_401),
        (2**31 - 1_700_000_002, 1_700_000_000.9, 2**31 - 1),
        (2**31, 1_700_000_000.9, 2**31 - 1),
        (365_000 * 86400, 1_700_000_000.9, 2**31 - 1),
        (31 * 86400, 2**31 - 30 * 86400, 30 * 86400),  # from when on a time of day is nearer than 30 days
        (31 * 86400, 2**31 + 5, 30 * 86400),
        (60, 2**31 + 5, 61),
    ],
)
def test_what_memcached_is_told_of_a_lifetime(ttl, now, told):
    assert _exptime(ttl, now) == told


def test_who_a_user_is_cannot_be_looked_for(memcached_server):
    async def test(store):
        with pytest.raises(NotImplementedError, match="is_revoked"):
            await store.sessions_of("7")
        with pytest.raises(NotImplementedError, match="Redis, SQL"):
            await store.revoke_user("7")

    run("asyncio", memcached_server.url, test)


@pytest.mark.parametrize("name", ["", "a b", "a\r\nflush_all", "a\0", "é", "a" * 251, "\x7f"])
def test_a_key_that_memcached_cannot_have_is_refused(memcached_server, name):
    async def test(store):
        calls = (
            store.get(name),
            store.create(name, b"x", TTL),
            store.replace(name, b"x", TTL, b"y"),
            store.touch(name, TTL),
            store.delete(name),
        )
        return [str(await failure(call)) for call in calls]

    said = run("asyncio", memcached_server.url, test)
    assert set(said) == {"memcached takes keys of up to 250 visible ASCII characters: shorten key_prefix"}


def test_the_longest_key(memcached_server):
    async def test(store):
        name = secrets.token_hex(125)
        return await store.create(name, b"x", TTL), await store.get(name)

    assert run("asyncio", memcached_server.url, test) == (True, b"x")


# A server that cannot


def test_a_record_that_is_too_large_is_refused_and_the_one_before_stays(memcached_server):
    async def test(store):
        name, large = key(), b"x" * 1_100_000
        await store.create(name, b"small", TTL)
        errors = await failure(store.replace(name, large, TTL, b"small")), await failure(store.create(key(), large, 9))
        return errors, await store.get(name), await store.replace(name, b"y" * 900_000, TTL, b"small")

    errors, kept, done = run("asyncio", memcached_server.url, test)
    assert [str(error) for error in errors] == ["memcached failed: MemcacheServerError"] * 2
    assert (kept, done) == (b"small", True)


@pytest.mark.parametrize("options", [(), ("-M",)], ids=["evicts", "refuses"])
def test_a_full_server_drops_the_oldest_records_or_takes_no_more(options):
    async def test(store):
        names = [key() for _ in range(600)]
        errors = [await failure(store.create(name, b"x" * 10_000, TTL)) for name in names]
        return any(errors), [await store.get(name) is None for name in (names[0], names[-1])]

    with memcached.running("-m", "2", *options) as server:
        assert run("asyncio", server.url, test) == ((True, [False, True]) if options else (False, [True, False]))


# Faults


@pytest.fixture
def network(memcached_server):
    """What lies between the store and its server."""
    with proxy.before(memcached_server.port) as network:
        network.url = f"memcached://127.0.0.1:{network.port}"
        yield network


@pytest.fixture
def server():
    """A server that a test may kill."""
    with memcached.running() as server:
        yield server


REPLIES = {  # to the second record
    "get": (lambda store, name: store.get(name), b"VALUE session:%s 0 3\r\nold\r\nEND\r\n"),
    "create": (lambda store, name: store.create(name, b"new", TTL), b"NOT_STORED\r\n"),
    "replace": (
        lambda store, name: store.replace(name, b"new", TTL, b"old"),
        b"VALUE session:%s 0 3 99\r\nold\r\nEND\r\nSTORED\r\n",
    ),
    "touch": (lambda store, name: store.touch(name, TTL), b"TOUCHED\r\n"),
    "delete": (lambda store, name: store.delete(name), b"DELETED\r\n"),
    "ping": (lambda store, name: store.ping(), b"VERSION 1.5\r\n"),
}


@pytest.mark.parametrize("call", REPLIES)
def test_a_reply_cut_at_any_byte_is_a_failure_and_the_next_call_works(loop, network, call):
    do, reply = REPLIES[call]
    length = len(reply.replace(b"%s", b"x" * 43))

    async def test(store):
        other, kept = key(), []
        await store.create(other, b"another", TTL)
        for cut in range(length):
            name = key()
            await store.create(name, b"old", TTL)
            network.cut(to_client=cut)
            error = await failure(do(store, name))
            kept.append((error is not None, await store.get(other), await store.get(name) in {b"old", b"new", None}))
        return set(kept)

    assert run(loop, network.url, test) == {(True, b"another", True)}
    wait_until(lambda: network.connections == 0, "a connection is left open")


@pytest.mark.parametrize(("backend", "how"), [("asyncio", "scope"), ("asyncio", "task"), ("trio", "scope")])
def test_calls_that_are_cancelled_leave_nothing_for_the_next_ones(backend, how, network):
    chance = random.Random(17)

    async def test(store):
        names = [key() for _ in range(200)]
        for name in names:
            await store.create(name, name.encode(), TTL)
        network.delay = 0.003
        wrong, done = [], 0
        for _ in range(3):
            answers = await ask_and_cancel(store, names, chance, how)
            done += len(answers)
            wrong += [name for name, answer in answers.items() if answer != name.encode()]
        network.delay = 0
        return done, wrong, [name for name in names if await store.get(name) != name.encode()]

    done, wrong, wrong_later = run(backend, network.url, test)
    assert 300 <= done < 600
    assert (wrong, wrong_later) == ([], [])
    assert network.most <= 16
    wait_until(lambda: network.connections == 0, "a connection is left open")


async def ask_and_cancel(store, names, chance, how):
    """Get all at once, cancel every other one somewhere on its way, and return what came."""
    answers = {}

    async def ask(name):
        answers[name] = await store.get(name)

    async def ask_within(name, seconds):
        if how == "scope":
            with anyio.move_on_after(seconds):
                await ask(name)
        else:
            task = asyncio.ensure_future(ask(name))
            await asyncio.wait([task], timeout=seconds)
            task.cancel()

    async with anyio.create_task_group() as group:
        for number, name in enumerate(names):
            group.start_soon(ask_within, name, chance.uniform(0, 0.06) if number % 2 else 60)
    return answers


def test_a_frozen_server_is_a_failure_in_time_and_works_when_it_is_back(loop, server):
    async def test(store):
        name, ticks = key(), 0
        await store.create(name, b"x", TTL)
        server.freeze()
        started = anyio.current_time()
        async with anyio.create_task_group() as group:
            errors = []

            async def ask():
                errors.append(await failure(store.get(name)))

            for _ in range(4):
                group.start_soon(ask)
            while len(errors) < 4:
                await anyio.sleep(0.01)
                ticks += 1
        lasted = anyio.current_time() - started
        server.thaw()
        return errors, lasted, ticks, await store.replace(name, b"y", TTL, b"x"), await store.get(name)

    errors, lasted, ticks, replaced, value = run(loop, server.url, test, timeout=timedelta(seconds=0.4))
    assert {str(error) for error in errors} == {"memcached failed: TimeoutError"}
    assert 0.3 < lasted < 4
    assert ticks > 5  # the event loop went on
    assert (replaced, value) == (True, b"y")


def test_callers_that_leave_a_frozen_server_leave_no_more_than_its_threads_behind(loop, server):
    async def test(store):
        names = [key() for _ in range(60)]
        await store.ping()
        server.freeze()
        before = threading.active_count()
        with anyio.move_on_after(0.3):
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(store.create, name, b"x", TTL)
        behind = threading.active_count() - before
        server.thaw()
        made = [name for name in names if await store.get(name)]
        return behind, len(made)

    behind, made = run(loop, server.url, test)
    assert behind < 16
    assert made <= 16  # who had not begun, never does


@pytest.mark.parametrize("system", ["with poll", "without"])
def test_a_server_that_was_killed_works_at_once_when_it_is_back(loop, server, system, monkeypatch):
    if system == "without":
        monkeypatch.delattr("select.poll")

    async def test(store):
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(store.get, key())  # so that there are many connections
        server.kill()
        down = [await failure(call) for call in (store.get(key()), store.create(key(), b"x", TTL), store.ping())]
        server.start()
        async with anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(store.create, key(), b"x", TTL)
        server.kill()
        server.start()  # which no call has noticed
        name = key()
        done = await store.create(name, b"x", TTL), await store.replace(name, b"y", TTL, b"x"), await store.get(name)
        return down, done

    down, done = run(loop, server.url, test)
    assert all(down)
    assert done == (True, True, b"y")


def test_a_frozen_server_takes_no_threads_of_another(server, memcached_server):
    async def test(store):
        names = [key() for _ in range(80)]
        for name in names:
            await store.create(name, b"x", TTL)
        server.kill()
        frozen = [name for name in names if await failure(store.get(name))]
        server.start()
        server.freeze()
        async with anyio.create_task_group() as group:
            for name in frozen:
                group.start_soon(failure, store.get(name))
            await anyio.sleep(0.05)
            with anyio.fail_after(5):
                others = [await store.get(name) for name in names if name not in frozen]
            group.cancel_scope.cancel()
        return len(frozen), set(others)

    url = f"{memcached_server.url},127.0.0.1:{server.port}"
    frozen, others = run("asyncio", url, test, timeout=timedelta(seconds=10))
    assert 16 < frozen < 80
    assert others == {b"x"}


def test_a_server_that_is_not_there_is_a_failure():
    async def test(store):
        return await failure(store.ping())

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = run("asyncio", f"memcached://127.0.0.1:{port}", test)
    assert str(error) == "memcached failed: ConnectionRefusedError"
    assert isinstance(error.__cause__, ConnectionRefusedError)


def test_a_connection_that_is_reset_takes_the_idle_ones_with_it(loop, network):
    """Where the server's machine lost its power, no connection tells its end before it is used."""

    async def test(store):
        network.delay = 0.01
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(store.get, key())
        before = network.connections
        network.cut(to_server=0)
        error = await failure(store.get(key()))
        await anyio.to_thread.run_sync(wait_until, lambda: network.connections == 0, "an idle connection is kept")
        return before, error, await store.get(key())

    before, error, value = run(loop, network.url, test)
    assert before > 1
    assert error is not None
    assert value is None


def test_stores_of_several_event_loops_share_threads_and_connections(network):
    store = MemcachedStore.from_url(network.url)
    network.delay = 0.005
    wrong = []

    async def ask(name):
        await store.create(name, name.encode(), TTL)
        if await store.get(name) != name.encode():
            wrong.append(name)

    async def main():
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(ask, key())

    threads = [threading.Thread(target=anyio.run, args=[main], kwargs={"backend": loop}) for loop in (*LOOPS, *LOOPS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    anyio.run(store.aclose)
    assert wrong == []
    assert network.most <= 16


def test_a_closed_store_has_no_connection_and_opens_one_when_it_is_used(loop, network):
    async def closed():
        await anyio.to_thread.run_sync(wait_until, lambda: network.connections == 0, "a connection is left open")

    async def test(store):
        await store.ping()
        await store.aclose()
        await closed()
        await store.ping()
        network.delay = 0.1
        with anyio.move_on_after(0.05):
            await store.ping()
        await store.aclose()  # while a thread is on it
        await closed()

    run(loop, network.url, test)


def test_no_more_calls_are_made_at_once_than_a_client_has_connections(network):
    client = PooledClient(("127.0.0.1", network.port), max_pool_size=2, **LIMITS)
    store, errors = MemcachedStore(client), []

    async def ask():
        errors.append(await failure(store.get(key())))

    async def main():
        network.delay = 0.005
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(ask)
        await store.aclose()

    anyio.run(main)
    client.close()
    assert errors == [None] * 12
    assert network.most == 2


def test_a_client_that_was_given_is_left_open(network):
    client = PooledClient(("127.0.0.1", network.port), **LIMITS)

    async def main():
        store = MemcachedStore(client)
        await store.ping()
        await store.aclose()

    anyio.run(main)
    assert network.connections == 1
    client.close()


def test_a_failure_names_no_key_and_no_value(server):
    async def test(store):
        await store.create("session:" + "k" * 43, b"value-of-it", TTL)
        server.kill()
        return [
            await failure(store.get("session:" + "k" * 43)),
            await failure(store.create("k" * 43, b"value-of-it", 9)),
        ]

    said = repr(run("asyncio", server.url, test))
    assert "kkk" not in said
    assert "value-of-it" not in said


def test_a_process_of_another_number_opens_connections_of_its_own(network, monkeypatch):
    async def test(store):
        for number in (1, 1, 2):
            monkeypatch.setattr(os, "getpid", lambda: number)  # noqa: B023  # called at once
            await store.ping()
        return network.accepted

    assert run("asyncio", network.url, test) == 2


FORKS = """
    import os, sys, anyio
    from asgi_flask_session.stores.memcached import MemcachedStore

    store = MemcachedStore.from_url(sys.argv[1])
    names = [f"session:{'x' * 40}{number}" for number in range(40)]

    async def ask():
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(store.create, name, name.encode(), 60)
        for _ in range(5):
            async with anyio.create_task_group() as group:
                for name in names:
                    group.start_soon(compare, name)

    async def compare(name):
        assert await store.get(name) == name.encode()

    anyio.run(ask)
    child = os.fork()
    anyio.run(ask)
    if child == 0:
        os._exit(0)
    sys.exit(os.waitpid(child, 0)[1])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_shares_no_connection(memcached_server):
    subprocess.run([sys.executable, "-c", textwrap.dedent(FORKS), memcached_server.url], check=True, timeout=60)


# Beside Flask-Session and Quart-Session


class Ours:
    """Our middleware around an app that does with the session what it is asked to."""

    def __init__(self, store, settings):
        self.app = FlaskSessionASGI(app_that(self.view), settings=settings, store=store)

    def view(self, session):
        self.act(session)

    async def request(self, cookie, act):
        """Return the value of the cookie that is set; "" for a deletion, None for none."""
        self.act, exchange = act, Exchange()

        async def send(message):
            exchange.messages.append(message)

        await self.app(scope_for(cookie), None, send)
        assert exchange.status == 200
        return exchange.cookie


class OfFlaskSession:
    """A Flask app with Flask-Session on the same server, which does the same."""

    def __init__(self, port, **config):
        self.client = Client(("127.0.0.1", port), default_noreply=False, **LIMITS)
        self.app = flask.Flask(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, "SESSION_TYPE": "memcached", "SESSION_MEMCACHED": self.client}
        self.app.config |= config
        flask_session.Session(self.app)
        self.app.add_url_rule("/", view_func=self.view)

    def view(self):
        self.act(flask.session)
        return ""

    async def request(self, cookie, act):
        self.act = act
        response = self.app.test_client(use_cookies=False).get("/", headers=sent(cookie))
        assert response.status_code == 200
        return value_set(response.headers)


class OfQuartSession:
    """A Quart app with Quart-Session on the same server, which does the same."""

    def __init__(self, port):
        aiomcache = pytest.importorskip("aiomcache")  # which Quart-Session does not name
        self.client = aiomcache.Client("127.0.0.1", port)
        self.app = quart.Quart(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, "SESSION_TYPE": "memcached", "SESSION_MEMCACHED": self.client}
        quart_session.Session(self.app)
        self.app.add_url_rule("/", view_func=self.view)

    async def view(self):
        self.act(quart.session)
        return ""

    async def request(self, cookie, act):
        self.act = act
        response = await self.app.test_client(use_cookies=False).get("/", headers=sent(cookie))
        assert response.status_code == 200
        return value_set(response.headers)


def sent(cookie):
    return {} if cookie is None else {"Cookie": f"session={cookie}"}


def value_set(headers):
    return headers["Set-Cookie"].partition(";")[0].partition("=")[2] if "Set-Cookie" in headers else None


async def shared(store, settings, theirs):
    """Yield what each side reads of a session that both write, and that each of them ends."""
    ours, seen = Ours(store, settings), []

    def look(session):
        seen.append({name: value for name, value in session.items() if not name.startswith("_")})

    for writer, other in ((theirs, ours), (ours, theirs)):
        cookie = await writer.request(None, lambda session: session.update(a="é", n=[1, {"b": None}]))
        await other.request(cookie, lambda session: session.update(c=2.5))
        await writer.request(cookie, look)
        await writer.request(cookie, lambda session: session.pop("a"))
        await other.request(cookie, look)
        await other.request(cookie, lambda session: session.clear())
        await writer.request(cookie, look)
    return seen


SHARED = [{"a": "é", "n": [1, {"b": None}], "c": 2.5}, {"n": [1, {"b": None}], "c": 2.5}, {}] * 2


@pytest.mark.parametrize(
    "config",
    [
        {"SESSION_KEY_PREFIX": "shared:"},
        {"SESSION_SERIALIZATION_FORMAT": "json"},
        {"SESSION_USE_SIGNER": True},
        {"PERMANENT_SESSION_LIFETIME": 60},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:The 'use_signer' option is deprecated:DeprecationWarning")
def test_sessions_are_shared_with_flask_session(memcached_server, config):
    async def test(store):
        theirs = OfFlaskSession(memcached_server.port, **config)
        with closing(theirs.client):
            return await shared(store, Settings.from_flask(theirs.app), theirs)

    assert run("asyncio", memcached_server.url, test) == SHARED


def test_sessions_are_shared_with_quart_session(memcached_server):
    async def test(store):
        theirs = OfQuartSession(memcached_server.port)
        try:
            return await shared(store, Settings.from_flask(theirs.app), theirs)
        finally:
            await theirs.client.close()

    assert run("asyncio", memcached_server.url, test) == SHARED


def test_a_record_is_the_one_that_flask_session_writes(memcached_server):
    def act(session):
        session.permanent = True
        session.update(a="é", n=[1, b"\xff"])

    async def test(store):
        theirs, records, lifetimes = OfFlaskSession(memcached_server.port), [], []
        with closing(theirs.client) as client:
            for side in (theirs, Ours(store, Settings.from_flask(theirs.app))):
                cookie = await side.request(None, act)
                done, flags, seconds = client.raw_command(f"mg session:{cookie} f t").split()
                records.append((client.get(f"session:{cookie}"), done, flags))
                lifetimes.append(int(seconds[1:]))
        return records, lifetimes

    records, lifetimes = run("asyncio", memcached_server.url, test)
    assert records[0] == records[1]
    assert records[0][1:] == (b"HD", b"f0")
    assert lifetimes == pytest.approx([31 * 86400] * 2, abs=5)
