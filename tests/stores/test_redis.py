import asyncio
import gc
import random
import re
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from datetime import timedelta

import anyio
import coredis
import pytest
import redis.asyncio
from services import proxy
from services import redis as servers
from services.processes import wait_until
from stores.contract import TTL, SessionContract, StoreContract, UsersContract, key

from asgi_flask_session import SessionWarning, SettingsError, StoreUnavailable
from asgi_flask_session.stores.redis import RedisStore
from asgi_flask_session.stores.redis_urls import parse

# coredis leaves the streams of a connection open that was never made, and that of a cluster's layout. Nothing of the
# system is behind them.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")

LOOPS = ("asyncio", "trio")
BRIEF = timedelta(seconds=0.5)  # the limit of a call that is meant to fail


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_for_other_modules():
    yield
    gc.collect()


@pytest.fixture(scope="session")
def redis_cluster():
    with servers.cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def redis_sentinels():
    with servers.sentinel() as sentinels:
        yield sentinels


@pytest.fixture
def server():
    """A server whose settings, or life, a test may take."""
    with servers.running() as server:
        yield server


@pytest.fixture
def network(redis_server):
    """What lies between a store and its server."""
    with proxy.before(redis_server.port) as network:
        network.url = f"redis://127.0.0.1:{network.port}"
        yield network


async def until(condition, seconds=5):
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  # what it waits for is on the other side of a socket
            await anyio.sleep(0.01)


@asynccontextmanager
async def opened(url, **options):
    store = RedisStore.from_url(url, **options)
    try:
        yield store
    finally:
        await store.aclose()


def run(loop, url, test, **options):
    async def main():
        async with opened(url, **options) as store:
            return await test(store)

    return anyio.run(main, backend=loop)


async def failure(call):
    """Return the kind of the client's error; None if the call came to an end."""
    try:
        await call
    except StoreUnavailable as error:
        return type(error.__cause__).__name__
    return None


# The contracts


class Real:
    """The time is the server's, which counts milliseconds."""

    async def wait(self, seconds, clock):
        await anyio.sleep(min(seconds, 1.05))

    @asynccontextmanager
    async def opened(self, clock):
        async with opened(self.url) as store:
            yield store


class TestByUrl(Real, StoreContract, UsersContract, SessionContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.url = redis_server.url


class FiftyWriters(SessionContract):
    """The promise of sessions for which it matters most what the server is made of, less often than by URL."""

    @pytest.mark.parametrize("turn", range(2))
    def test_fifty_requests_at_once_lose_no_write(self, loop, clock, turn):
        super().test_fifty_requests_at_once_lose_no_write(loop, clock, turn)

    test_fifty_increments_under_regenerates_that_keep_them = None
    test_a_logout_during_late_writes_stays_one = None
    test_a_read_writes_nothing = None
    test_an_unknown_id_is_never_adopted = None
    test_a_login_gives_a_new_id_and_the_old_one_is_dead = None


class TestGivenRedisPy(Real, StoreContract, UsersContract, FiftyWriters):
    loops = ("asyncio",)

    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.url = redis_server.url

    @asynccontextmanager
    async def opened(self, clock):
        async with redis_py(self.url) as client:
            yield RedisStore(client)


class TestGivenCoredis(Real, StoreContract, UsersContract):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.url = redis_server.url

    @asynccontextmanager
    async def opened(self, clock):
        async with coredis_client(self.url) as client:
            yield RedisStore(client)


class TestSentinel(Real, StoreContract, UsersContract, FiftyWriters):
    @pytest.fixture(autouse=True)
    def _server(self, redis_sentinels):
        self.url = redis_sentinels.url


class TestCluster(Real, StoreContract, UsersContract, FiftyWriters):
    @pytest.fixture(autouse=True)
    def _server(self, redis_cluster):
        self.url = redis_cluster.url


def redis_py(url, **options):
    retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 3)  # as redis.asyncio.Redis() has one by itself
    options = {"max_connections": 20, "timeout": 2, "retry": retry, **options}
    return redis.asyncio.Redis.from_pool(redis.asyncio.BlockingConnectionPool.from_url(url, **options))


def coredis_client(url, **options):
    options = {"max_connections": 20, "connect_timeout": 1, "stream_timeout": 2, **options}
    return coredis.Redis.from_url(url, **options)


@pytest.mark.parametrize(
    ("make", "backend"), [(redis_py, "asyncio"), (coredis_client, "asyncio"), (coredis_client, "trio")]
)
def test_a_given_client_is_left_open(make, backend, redis_server):
    async def main():
        async with make(redis_server.url) as client:
            store, name = RedisStore(client), key()
            await store.create(name, b"x", TTL)
            await store.aclose()
            return await client.get(name)

    assert anyio.run(main, backend=backend) == b"x"


def test_given_clients_of_a_cluster_and_of_sentinels(redis_cluster, redis_sentinels):
    async def all_of(client):
        store, names = RedisStore(client), [key() for _ in range(9)]
        done = [await store.create(name, b'{"_user_id":"%d"}' % id(store), TTL) for name in names]
        done += [await store.replace(names[0], b"y", TTL, b"x"), await store.touch(names[0], TTL)]
        return done, await store.revoke_user(str(id(store)))

    async def by_redis_py():
        sentinel = redis.asyncio.Sentinel([("127.0.0.1", port) for port in redis_sentinels.ports])
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=redis_cluster.nodes[0].port) as client:
            one = await all_of(client)
        async with sentinel.master_for(servers.SERVICE) as client:
            other = await all_of(client)
        for watcher in sentinel.sentinels:
            await watcher.aclose()
        return one, other

    async def by_coredis():
        limits = {"connect_timeout": 1, "stream_timeout": 2}
        where = coredis.connection.TCPLocation("127.0.0.1", redis_cluster.nodes[0].port)
        async with coredis.RedisCluster(startup_nodes=[where], **limits) as client:
            one = await all_of(client)
        watchers = [coredis.connection.TCPLocation("127.0.0.1", port) for port in redis_sentinels.ports]
        async with (
            coredis.Sentinel(watchers, **limits) as sentinel,
            sentinel.primary_for(servers.SERVICE) as client,
        ):
            return one, await all_of(client)

    expected = [True] * 9 + [False, True], 9
    assert anyio.run(by_redis_py) == (expected, expected)
    for backend in ("asyncio", "trio"):
        assert anyio.run(by_coredis, backend=backend) == (expected, expected)


# What is no client


DECODES = "without decode_responses=True"
REFUSED = {
    "redis.Redis": (redis.Redis, "would block the event loop: write redis.asyncio.Redis"),
    "of Sentinel": (
        lambda: redis.sentinel.Sentinel([("localhost", 1)]).master_for("x"),
        "would block the event loop: write redis.asyncio.Redis",
    ),
    "class": (lambda: redis.RedisCluster, "is no client of Redis"),
    "decodes": (lambda: redis.asyncio.Redis(decode_responses=True), DECODES),
    "cluster decodes": (lambda: redis.asyncio.RedisCluster(host="127.0.0.1", decode_responses=True), DECODES),
    "coredis decodes": (lambda: coredis.Redis(decode_responses=True), DECODES),
    "Sentinel": (lambda: redis.asyncio.Sentinel([("localhost", 1)]), "or what Sentinel.master_for"),
    "pool": (redis.asyncio.ConnectionPool, "is no client of Redis"),
    "URL": (lambda: "redis://localhost", "write RedisStore.from_url"),
    "nothing": (lambda: None, "is no client of Redis"),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_asynchronous_client_is_refused(make, says):
    with pytest.raises(SettingsError, match=says):
        RedisStore(make())


def test_a_client_that_decodes_unseen_is_refused_when_it_shows():
    class Client:
        def get(self, key):
            return answer("text")

        set = eval = expire = delete = ping = get

    async def answer(text):
        return text

    with pytest.raises(SettingsError, match="decode_responses"):
        anyio.run(RedisStore(Client()).get, "session:x")


@pytest.mark.parametrize("limits", [{}, {"connect_timeout": 1}, {"stream_timeout": 1}])
def test_a_client_of_coredis_without_limits_of_time_is_warned_of(limits):
    with pytest.warns(SessionWarning, match="connect_timeout=1, stream_timeout=2"):
        RedisStore(coredis.Redis(**limits))


# URLs


@pytest.mark.parametrize(
    ("url", "addresses", "rest"),
    [
        ("redis://", [("localhost", 6379)], {"db": 0, "tls": False, "login": {}}),
        ("redis://example:1", [("example", 1)], {"kind": ""}),
        ("REDIS://example/7", [("example", 6379)], {"db": 7}),
        ("rediss://[::1]:2/", [("::1", 2)], {"tls": True, "db": 0}),
        ("redis://:a%2Fb%40@h", [("h", 6379)], {"login": {"password": "a/b@"}}),
        ("redis://me:b:c@h", [("h", 6379)], {"login": {"username": "me", "password": "b:c"}}),
        ("redis://h?max_connections=3", [("h", 6379)], {"options": {"max_connections": 3}}),
        ("rediss://h?client_name=a+b%26", [("h", 6379)], {"options": {"client_name": "a b&"}}),
        ("rediss://h?ssl_check_hostname=No", [("h", 6379)], {"options": {"ssl_check_hostname": False}}),
        ("redis+sentinel://a,b:1/name", [("a", 26379), ("b", 1)], {"kind": "sentinel", "service": "name", "db": 0}),
        ("rediss+sentinel://u:p@a/na%20me/3", [("a", 26379)], {"service": "na me", "db": 3, "tls": True}),
        ("redis+cluster://a:1,[::2]:3,c", [("a", 1), ("::2", 3), ("c", 6379)], {"kind": "cluster"}),
    ],
)  # fmt: skip
def test_what_a_url_says(url, addresses, rest):
    target = parse(url)
    assert list(target.addresses) == addresses
    assert {name: getattr(target, name) for name in rest} == rest


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis:localhost", "write redis://"),
        ("redis://h:port", "write redis://"),
        ("redis://h:0x1", "write redis://"),
        ("redis://h:70000", "write redis://"),
        ("redis://:p4ss/word@h", "special characters as %XX"),
        ("redis://:p4ss#word@h", "special characters as %XX"),
        ("redis://:p4ssword@a,b", "write redis://"),
        ("redis://:p4ss[word@h", "write %5B"),
        ("redis://:p4ssword@[::1", "write %5B"),
        ("redis://h/db", "is no number"),
        ("redis://h/-1", "is no number"),
        ("redis://h/1/2", "another form"),
        ("rediss://h/x", "write rediss://"),
        ("redis+sentinel://h", r"write redis\+sentinel://"),
        ("redis+sentinel://h/", r"write redis\+sentinel://"),
        ("redis+sentinel://h/name/x", "is no number"),
        ("redis+sentinel://h/name/1/2", "another form"),
        ("rediss+cluster://h/1", r"has one only: write rediss\+cluster://"),
        ("redis+cluster://a,,b", "write redis"),
        ("redis+unix://h", "none of Redis"),
        ("unix:///run/redis", "none of Redis"),
        ("redis://h?timeout=3", "option 'timeout': write one of max_connections"),
        ("redis://h?max_connections=0", "write a number of 1 or more"),
        ("redis://h?max_connections=many", "write a number of 1 or more"),
        ("rediss://h?ssl_cert_reqs=optional", "write required or none"),
        ("rediss://h?ssl_check_hostname=x", "write true or false"),
        ("rediss://h?ssl_ca_certs=/nowhere", "write the path of a file"),
    ],
)
def test_a_wrong_url_says_what_to_write_and_no_password(url, says):
    with pytest.raises(SettingsError, match=says) as raised:
        RedisStore.from_url(url)
    assert "p4ss" not in str(raised.value)


def test_no_repr_holds_the_password():
    url = "redis+sentinel://name:p4ssword@h/service?sentinel_password=p4ssword&sentinel_username=name"
    assert "p4ssword" not in f"{RedisStore.from_url(url)!r} {parse(url)!r}"


def test_the_login_the_database_and_the_name_of_a_url(loop):
    with servers.running("--requirepass", "a/b@c d") as server:
        url = server.url.replace("//", "//:a%2Fb%40c%20d@")

        async def test(store):
            await store.create("session:x", b"x", TTL)
            async with opened(url) as other:
                return await store.get("session:x"), await other.get("session:x")

        async def wrong(store):
            with pytest.raises(StoreUnavailable) as raised:
                await store.get("session:x")
            return str(raised.value)

        assert run(loop, f"{url}/3?client_name=tests", test) == (b"x", None)
        assert run(loop, f"{url.replace('%2F', 'p4ss')}/3", wrong).startswith("Redis failed: ")


def test_tls_is_checked_as_the_url_says(loop):
    async def test(store):
        return await failure(store.ping()) is None

    with servers.tls() as server:
        by_name = server.url.replace("127.0.0.1", "localhost")  # which is not in the certificate
        trusted = f"ssl_ca_certs={server.authority}"
        expected = {
            f"{server.url}?{trusted}": True,
            f"{by_name}?{trusted}&ssl_check_hostname=false": True,
            f"{server.url}?ssl_cert_reqs=none": True,
            f"{by_name}?{trusted}": False,
            server.url: False,
            server.url.replace("rediss", "redis"): False,
        }
        patience = {True: timedelta(seconds=30), False: BRIEF}  # what is refused need not be waited for
        assert {url: run(loop, url, test, timeout=patience[works]) for url, works in expected.items()} == expected


def test_tls_shows_the_certificate_that_the_url_names(loop):
    async def test(store):
        return await failure(store.ping()) is None

    with servers.tls("--tls-auth-clients", "yes") as server:
        place = server.authority.parent
        anonymous = f"{server.url}?ssl_ca_certs={server.authority}"
        shown = f"{anonymous}&ssl_certfile={place / 'server.pem'}&ssl_keyfile={place / 'server.key'}"
        assert run(loop, shown, test, timeout=timedelta(seconds=30))
        assert not run(loop, anonymous, test, timeout=BRIEF)


def test_tls_to_a_cluster_and_by_sentinels(redis_cluster):
    async def test(store):
        names = [key() for _ in range(20)]
        done = [await store.create(name, b"x", TTL) for name in names]
        return done, [await store.get(name) for name in names]

    with servers.sentinel(secure=True) as sentinels:
        for loop in ("asyncio", "trio"):
            for url in (redis_cluster.secure_url, sentinels.url):
                assert run(loop, url, test) == ([True] * 20, [b"x"] * 20)


# What is installed


SCRIPT = """
import sys
for name in {hidden}:
    sys.modules[name] = None
import anyio
from asgi_flask_session.stores import base

async def main():
    store = base.open_store("{url}")
    await store.create("session:installed", b"x", 60)
    await store.delete("session:installed")
    await store.aclose()
    print("used", *(name for name in ("coredis", "redis") if sys.modules.get(name)))

try:
    anyio.run(main, backend="{loop}")
except Exception as error:
    print(type(error).__name__, error, getattr(error.__cause__, "name", None))
"""


@pytest.mark.parametrize(
    ("hidden", "backend", "printed"),
    [
        ([], "asyncio", "used redis"),
        ([], "trio", "used coredis redis"),
        (["coredis"], "asyncio", "used redis"),
        (["redis"], "asyncio", "used coredis"),
        (["redis"], "trio", "used coredis"),
        (["coredis"], "trio", "SettingsError .*on trio needs coredis: pip install asgi-flask-session.redis-trio. None"),
        (["coredis", "redis"], "asyncio", "SettingsError .*needs redis: pip install asgi-flask-session.redis. redis"),
    ],
)
def test_one_of_the_libraries_is_enough(hidden, backend, printed, redis_server):
    code = SCRIPT.format(hidden=hidden, url=redis_server.url, loop=backend)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert re.fullmatch(printed, done.stdout.strip()), done.stdout + done.stderr


# What the server holds


def test_a_key_of_another_type_is_a_damaged_record(loop, redis_server):
    async def test(store):
        name, answers = key(), []
        servers.ask(redis_server.port, "RPUSH", name, "x")
        answers += [
            await store.get(name),
            await store.replace(name, b"y", TTL, b""),
            await store.create(name, b"y", TTL),
        ]
        await store.delete(name)
        return *answers, await store.get(name)

    assert run(loop, redis_server.url, test) == (b"", False, False, None)


def test_the_lifetime_is_the_servers(loop, redis_server):
    long = 365_000 * 86400

    async def test(store):
        name = key()
        for call in (
            store.create(name, b"x", 100),
            store.touch(name, 200),
            store.replace(name, b"y", 300, b"x"),
            store.touch(name, long),
        ):
            assert await call
            lifetimes.append(servers.ask(redis_server.port, "TTL", name))

    lifetimes = []
    run(loop, redis_server.url, test)
    assert lifetimes == [b":%d\r\n" % ttl for ttl in (100, 200, 300, long)]


def test_all_records_are_looked_through_whatever_else_is_there(loop, server):
    user = b'{"_user_id":"7"}'
    for number in range(250):
        servers.ask(server.port, "SET", f"session:{number}", user if number % 50 == 0 else b"{}")
    servers.ask(server.port, "RPUSH", "session:list", user)
    servers.ask(server.port, "SET", b"session:\xff", user)
    servers.ask(server.port, "SET", "session:large", user.ljust(3_000_000))

    async def test(store):
        return sorted(await store.sessions_of("7")), await store.revoke_user("7"), await store.sessions_of("7")

    names = sorted(f"session:{number}" for number in range(0, 250, 50))
    assert run(loop, server.url, test) == (names, 5, [])


# What the server refuses


CALLS = {
    "get": lambda store, name: store.get(name),
    "create": lambda store, name: store.create(f"{name}-new", b"new", TTL),
    "replace": lambda store, name: store.replace(name, b"new", TTL, b"old"),
    "touch": lambda store, name: store.touch(name, TTL),
    "delete": lambda store, name: store.delete(name),
    "sessions_of": lambda store, name: store.sessions_of("7"),
    "ping": lambda store, name: store.ping(),
}


async def failing(store, name):
    return [call for call, do in CALLS.items() if await failure(do(store, name))]


@pytest.mark.parametrize(
    ("trouble", "relief", "refused"),
    [
        (["CONFIG SET maxmemory 1"], ["CONFIG SET maxmemory 0"], ["create", "replace"]),
        (
            ["CONFIG SET min-replicas-to-write 1"],
            ["CONFIG SET min-replicas-to-write 0"],
            ["create", "replace", "touch", "delete"],
        ),
        (
            ["CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"],
            ["REPLICAOF NO ONE"],
            list(CALLS),
        ),
        (["REPLICAOF 127.0.0.1 1"], ["REPLICAOF NO ONE"], ["create", "replace", "touch", "delete"]),
        (["ACL SETUSER default -@all"], None, list(CALLS)),
    ],
    ids=["full", "without replicas", "stale", "read only", "forbidden"],
)
def test_what_the_server_refuses_is_a_failure_until_it_does_no_longer(trouble, relief, refused, loop, server):
    async def test(store):
        name = key()
        await store.create(name, b"old", TTL)
        for command in trouble:
            servers.ask(server.port, *command.split())
        during = await failing(store, name)
        if relief is None:
            return during, [], b"old"
        for command in relief:
            servers.ask(server.port, *command.split())
        unharmed = await store.get(name) if "delete" in refused else b"old"
        return during, await failing(store, name), unharmed

    assert run(loop, server.url, test) == (refused, [], b"old")


def test_looking_through_records_that_the_server_does_not_show_is_a_failure(loop, server):
    async def test(store):
        await store.create("session:x", b"x", TTL)
        before = await failure(store.sessions_of("7"))
        servers.ask(server.port, "ACL", "SETUSER", "default", "-getrange")
        return before, await failure(store.sessions_of("7"))

    kind = {"asyncio": "NoPermissionError", "trio": "AuthorizationError"}[loop]  # as either client names it
    assert run(loop, server.url, test) == (None, kind)


def test_where_another_server_became_the_master_it_is_found(loop, server):
    with servers.running() as other, proxy.before(server.port) as network:

        async def test(store):
            await store.create("session:x", b"old", TTL)
            servers.ask(server.port, "REPLICAOF", "127.0.0.1", 1)
            network.behind = other.port  # as a name does that leads to another address from now on
            before = await failure(store.create("session:y", b"y", TTL))
            return before, await store.create("session:z", b"z", TTL), await store.create("session:z", b"z", TTL)

        assert run(loop, f"redis://127.0.0.1:{network.port}", test) == ("ReadOnlyError", True, False)
        assert servers.ask(other.port, "GET", "session:z") == b"$1\r\nz\r\n"


# A bad network


@pytest.mark.parametrize(("call", "bytes_"), [("get", 9), ("create", 3), ("replace", 3), ("touch", 4), ("delete", 4)])
def test_a_reply_cut_at_any_byte_is_a_failure_and_the_next_call_works(call, bytes_, loop, network):
    async def test(store):
        seen, other = set(), key()
        await store.create(other, b"another", TTL)
        for cut in range(bytes_):
            name = key()
            await store.create(name, b"old", TTL)
            network.cut(to_client=cut)
            failed = await failure(CALLS[call](store, name)) is not None
            seen.add((failed, await store.get(other), await store.get(name) in {b"old", b"new", None}))
        return seen

    assert run(loop, network.url, test) == {(True, b"another", True)}
    wait_until(lambda: network.connections == 0, "a connection is left open")


@pytest.mark.parametrize("call", ["create", "replace", "delete"])
def test_a_command_cut_at_any_byte_changes_nothing(call, loop, network):
    async def test(store):
        seen = set()
        for cut in range(0, 60, 6):
            name = key()
            await store.create(name, b"old", TTL)
            network.cut(to_server=cut)
            failed = await failure(CALLS[call](store, name)) is not None
            seen.add((failed, await store.get(name), await store.get(f"{name}-new")))
        return seen

    assert run(loop, network.url, test) == {(True, b"old", None)}


def test_a_reply_that_comes_too_late_is_nobodys(loop, network):
    async def test(store):
        await store.create("session:late", b"late", TTL)
        await store.delete("session:next")
        network.freeze()
        began = anyio.current_time()
        failed = await failure(store.get("session:late"))
        took = anyio.current_time() - began
        network.thaw()
        return failed, took < 2, [await store.get("session:next") for _ in range(10)], await store.get("session:late")

    assert run(loop, network.url, test, timeout=BRIEF) == ("TimeoutError", True, [None] * 10, b"late")


def by_url(url):
    return opened(f"{url}?max_connections=20")


@asynccontextmanager
async def by_redis_py(url):
    async with redis_py(url) as client:
        yield RedisStore(client)


@asynccontextmanager
async def by_coredis(url):
    async with coredis_client(url) as client:
        yield RedisStore(client)


@pytest.mark.parametrize(
    ("make", "backend", "how"),
    [
        (by_url, "asyncio", "scope"),
        (by_url, "asyncio", "task"),
        (by_url, "trio", "scope"),
        (by_redis_py, "asyncio", "scope"),
        (by_redis_py, "asyncio", "task"),
        (by_coredis, "asyncio", "scope"),
        (by_coredis, "asyncio", "task"),
        (by_coredis, "trio", "scope"),
    ],
)
def test_calls_that_are_cancelled_leave_nothing_for_the_next_ones(make, backend, how, network, redis_server):
    chance = random.Random(17)
    values = {key(): b"value %d" % number for number in range(200)}
    answered, cancelled, wrong = [], [], []

    async def ask(store, name):
        try:
            value = await store.get(name)
        except StoreUnavailable:  # its connection was dropped
            return
        (answered if value == values[name] else wrong).append(name)

    async def ask_for(seconds, store, name):
        with anyio.move_on_after(seconds) as scope:
            await ask(store, name)
        if scope.cancelled_caught:
            cancelled.append(name)

    async def storm_of_scopes(store):
        async with anyio.create_task_group() as group:
            for name in values:
                group.start_soon(ask_for, chance.uniform(0, 0.25), store, name)

    async def storm_of_tasks(store):
        loop = asyncio.get_running_loop()
        tasks = {name: loop.create_task(ask(store, name)) for name in values}
        for task in tasks.values():
            loop.call_later(chance.uniform(0, 0.25), task.cancel)
        await asyncio.wait(tasks.values())
        cancelled.extend(name for name, task in tasks.items() if task.cancelled())

    storm = storm_of_scopes if how == "scope" else storm_of_tasks

    async def main():
        async with opened(redis_server.url) as store:
            for name, value in values.items():
                await store.create(name, value, TTL)
        async with make(network.url) as store:
            network.delay = lambda: chance.uniform(0, 0.03)
            for _ in range(2):
                await storm(store)
                network.drop()  # so that the next calls have to connect
                await anyio.sleep(0.02)
            network.delay = 0
            await until(lambda: network.connections <= 20)
            answered.clear()
            async with anyio.create_task_group() as group:
                for name in values:
                    group.start_soon(ask, store, name)
            return network.connections

    connections = anyio.run(main, backend=backend)
    assert wrong == []
    assert sorted(answered) == sorted(values)
    assert len(cancelled) > 50
    assert 1 <= connections <= 20
    wait_until(lambda: network.connections == 0, "a connection is left open")


@pytest.mark.parametrize(("make", "backend"), [(by_url, "asyncio"), (by_url, "trio"), (by_coredis, "trio")])
def test_many_calls_at_once_wait_for_one_of_the_connections(make, backend, network):
    async def main():
        answers = []

        async def ask(store):
            answers.append(await store.get("session:none"))

        async with make(network.url) as store, anyio.create_task_group() as group:
            for _ in range(300):
                group.start_soon(ask, store)
        return len(answers)

    network.delay = 0.001
    assert anyio.run(main, backend=backend) == 300
    assert network.most <= 20


def test_many_calls_at_once_on_a_cluster(redis_cluster):
    async def test(store):
        answers, most = [], 0

        async def ask(number):
            answers.append(await store.get(f"session:{number}"))

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(ask, number)
            await anyio.sleep(0.02)
            most = max(servers.ask(node.port, "CLIENT", "LIST").count(b"name=bounded") for node in redis_cluster.nodes)
        return len(answers), most <= 4

    assert run("asyncio", f"{redis_cluster.url}?max_connections=4&client_name=bounded", test) == (200, True)


# Servers that fall and rise


def test_a_server_that_was_down_is_used_as_soon_as_it_is_back(loop, server):
    async def test(store):
        answers = []

        async def ask():
            answers.append(await store.create(key(), b"x", TTL))

        async def ask_ten():
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(ask)

        await ask_ten()
        server.kill()
        down = [await failure(call(store, "session:x")) is not None for call in CALLS.values()]
        server.start()
        await ask_ten()
        return set(down), answers

    assert run(loop, server.url, test) == ({True}, [True] * 20)


def test_a_server_that_is_down_at_the_start(loop, server):
    async def test(store):
        down = await failure(store.ping()) is not None
        server.start()
        await store.ping()
        return down

    server.kill()
    assert run(loop, server.url, test) is True


@pytest.mark.parametrize("connected", [True, False])
def test_a_server_that_is_silent_fails_in_time(connected, loop, server):
    async def test(store):
        if connected:
            await store.ping()
        server.freeze()
        kinds, took = [], []
        for call in (CALLS["get"], CALLS["replace"], CALLS["sessions_of"], CALLS["ping"]):
            began = anyio.current_time()
            kinds.append(await failure(call(store, "session:x")) is not None)
            took.append(anyio.current_time() - began)
        server.thaw()
        return set(kinds), max(took) < 2, await store.create("session:x", b"x", TTL)

    assert run(loop, server.url, test, timeout=timedelta(seconds=0.2)) == ({True}, True, True)


def test_a_node_of_a_cluster_that_was_down(loop, redis_cluster):
    node = redis_cluster.nodes[0]

    async def test(store):
        for _ in range(20):
            await store.create(key(), b"x", TTL)
        node.kill()
        node.start()
        for each in redis_cluster.nodes:
            await anyio.to_thread.run_sync(wait_until, lambda port=each.port: servers.is_whole(port), "no cluster")
        return [await store.create(key(), b"x", TTL) for _ in range(20)]

    assert run(loop, redis_cluster.url, test) == [True] * 20


def test_a_slot_that_moves_to_another_node(loop, redis_cluster):
    async def test(store):
        name = key()
        done = [await store.create(name, b"x", TTL)]
        slot = int(servers.ask(redis_cluster.nodes[0].port, "CLUSTER", "KEYSLOT", name)[1:])
        names = {node: servers.ask(node.port, "CLUSTER", "MYID").split()[1] for node in redis_cluster.nodes}
        owner = next(node for node in names if servers.ask(node.port, "GET", name).startswith(b"$1"))
        other = next(node for node in names if node is not owner)
        for new, old in ((other, owner), (owner, other)):
            await store.delete(name)
            for node in (new, old, *names):
                servers.ask(node.port, "CLUSTER", "SETSLOT", slot, "NODE", names[new])
            answers = []
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(note, answers, store.create, name, b"x", TTL)
            done += [sum(answers), await store.replace(name, b"x", TTL, b"x"), await store.get(name)]
        return done

    assert run(loop, redis_cluster.url, test) == [True, *(1, True, b"x") * 2]


async def note(answers, call, *arguments):
    answers.append(await call(*arguments))


def test_the_replica_takes_over_where_the_master_is_gone():
    """On both loops at once, by one store."""
    with servers.sentinel() as sentinels:
        store = RedisStore.from_url(sentinels.url)
        barrier, given_up = threading.Barrier(3, timeout=30), threading.Event()
        kept = {}

        async def main(loop):
            await store.create(f"session:{loop}", b"x", TTL)
            barrier.wait()
            barrier.wait()  # the master is gone
            failed = await failure(store.touch(f"session:{loop}", TTL)) is not None
            while await failure(store.touch(f"session:{loop}", TTL)) and not given_up.is_set():  # noqa: ASYNC110
                await anyio.sleep(0.05)
            kept[loop] = failed, await store.replace(f"session:{loop}", b"y", TTL, b"x")
            await store.aclose()

        threads = [threading.Thread(target=anyio.run, args=(main, loop), kwargs={"backend": loop}) for loop in LOOPS]
        for thread in threads:
            thread.start()
        barrier.wait()
        for loop in LOOPS:
            wait_until(
                lambda name=f"session:{loop}": sentinels.ask(sentinels.replica.port, "EXISTS", name) == b":1\r\n",
                "the replica does not follow",
            )
        sentinels.master.kill()
        barrier.wait()
        for thread in threads:
            thread.join(20)
        given_up.set()
    assert kept == dict.fromkeys(LOOPS, (True, True))


# Loops


def test_one_store_on_loops_one_after_another_and_at_once(network):
    store, answers = RedisStore.from_url(network.url), []

    async def use():
        name = key()
        await store.create(name, b"x", TTL)
        await anyio.sleep(0.05)
        answers.append(await store.get(name))

    for loop in LOOPS * 2:
        anyio.run(use, backend=loop)  # and ends without store.aclose()
    threads = [threading.Thread(target=anyio.run, args=(use,), kwargs={"backend": loop}) for loop in LOOPS * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [b"x"] * 8
    wait_until(lambda: network.connections == 0, "a connection outlives its loop")
    assert store._links._open == {}


@pytest.mark.parametrize(("here_on", "there"), [LOOPS, LOOPS[::-1]])
def test_closing_on_one_loop_closes_on_all_and_the_store_opens_again(here_on, there, network):
    store, step, counts = RedisStore.from_url(network.url), threading.Barrier(2, timeout=30), []

    async def all_are_here():
        await anyio.to_thread.run_sync(step.wait)

    async def elsewhere():
        for _ in range(2):
            await store.ping()
            await all_are_here()  # and have their connections
            await all_are_here()  # and have none

    async def here():
        for _ in range(2):
            await store.ping()
            await all_are_here()
            counts.append(network.connections)
            await store.aclose()
            await until(lambda: not network.connections)
            await all_are_here()

    thread = threading.Thread(target=anyio.run, args=(elsewhere,), kwargs={"backend": there})
    thread.start()
    anyio.run(here, backend=here_on)
    thread.join(30)
    assert counts == [2, 2]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_was_closed_before_its_tasks_had_ended_is_forgotten(network, caplog):
    store = RedisStore.from_url(network.url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.ping())
    loop.close()
    anyio.run(store.ping)
    assert store._links._open == {}
    del loop
    gc.collect()
    wait_until(lambda: network.connections == 0, "a connection outlives its loop")
    caplog.clear()  # asyncio tells of the task
