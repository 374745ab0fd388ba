"""The clients of a Redis store: redis-py on asyncio; coredis on trio, and where redis-py is not installed.

No client can be taken from one event loop to another, so a store that was made from a URL has one on each loop that
uses it. A task of its own opens that client and closes it, since whoever enters a client of coredis has to leave it
again. It is closed when the store is, when the loop ends, or when it is given up: after a call that may have cost it
something, such as a place in its pool. Later calls get a new one.
"""

import asyncio
import ssl
from abc import abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import Context
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from math import inf
from random import sample
from typing import Any, Protocol, TypeAlias

from anyio import CancelScope, Event, Semaphore, WouldBlock, current_time, fail_after, move_on_after, to_thread
from anyio.lowlevel import EventLoopToken, current_token

from ..errors import SettingsError
from ..payload import MAX_TEXT
from .redis_urls import CLUSTER, SENTINEL, Target

# Neither library is a plain import, since either will do: where redis-py is missing, coredis serves both loops.
redis_py: Any = None
try:
    import_module("redis")
except ModuleNotFoundError as error:
    if error.name != "redis" or find_spec("coredis") is None:
        raise
else:
    redis_py = import_module("redis.asyncio")

# Compare and set. A key of another type holds no session; whatever else is wrong comes out as the server says it.
_REPLACE = """\
local old = redis.pcall('GET', KEYS[1])
if old == ARGV[1] then return redis.pcall('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
if type(old) == 'table' and not string.find(old.err, 'WRONGTYPE', 1, true) then return old end
return 0
"""

_Tasks: TypeAlias = "set[asyncio.Task[None]]"

_MAX_CONNECTIONS = 50
_PAGE = 100  # keys that are looked through at a time


# How a library spells the commands


class Commands(Protocol):
    """What a store asks of a client."""

    def get(self, key: str) -> Awaitable[Any]: ...
    def create(self, key: str, value: bytes, ttl: int) -> Awaitable[Any]: ...
    def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> Awaitable[Any]: ...
    def touch(self, key: str, ttl: int) -> Awaitable[Any]: ...
    def delete(self, key: str) -> Awaitable[Any]: ...
    def ping(self) -> Awaitable[Any]: ...

    # All keys of the database, some at a time; and their values, b"" for none or one of another type, and at most one
    # byte longer than a record may be.
    def pages(self) -> AsyncGenerator[Sequence[bytes], None]: ...
    def values(self, keys: Sequence[bytes]) -> Awaitable[Sequence[bytes]]: ...


class RedisPyCommands:
    """redis-py's way, which is valkey-py's too."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.get, self.touch, self.ping = client.get, client.expire, client.ping

    def create(self, key: str, value: bytes, ttl: int) -> Any:
        return self._client.set(key, value, ex=ttl, nx=True)

    def delete(self, key: str) -> Any:
        return self._client.execute_command("DEL", key)  # delete() is made for many keys: a pipeline, in a Cluster

    def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> Any:
        return self._client.eval(_REPLACE, 1, key, expected, value, ttl)

    async def pages(self) -> AsyncGenerator[Sequence[bytes], None]:
        page = []
        async for key in self._client.scan_iter(count=_PAGE):  # of all masters, in a Cluster
            page.append(key)
            if len(page) == _PAGE:
                yield page
                page = []
        yield page

    async def values(self, keys: Sequence[bytes]) -> Sequence[bytes]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.getrange(key, 0, MAX_TEXT)
        return [_value(answer) for answer in await pipeline.execute(raise_on_error=False)]


class CoredisCommands:
    """coredis's way."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.get, self.touch, self.ping = client.get, client.expire, client.ping
        self._if_absent = import_module("coredis").PureToken.NX

    def create(self, key: str, value: bytes, ttl: int) -> Any:
        return self._client.set(key, value, ex=ttl, condition=self._if_absent)

    def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> Any:
        return self._client.eval(_REPLACE, keys=[key], args=[expected, value, ttl])

    def delete(self, key: str) -> Any:
        return self._client.delete([key])

    async def pages(self) -> AsyncGenerator[Sequence[bytes], None]:
        for node in list(getattr(self._client, "primaries", [None])):
            cursor = None
            while cursor != 0:
                if node is None:
                    cursor, page = await self._client.scan(cursor, count=_PAGE)
                else:
                    async with node:  # and left before the yield: whoever asks for pages may not come back
                        cursor, page = await node.scan(cursor, count=_PAGE)
                yield page

    async def values(self, keys: Sequence[bytes]) -> Sequence[bytes]:
        async with self._client.pipeline(transaction=False, raise_on_error=False) as pipeline:
            requests = [pipeline.getrange(key, 0, MAX_TEXT) for key in keys]
        values = []
        for request in requests:
            try:
                values.append(await request)
            except Exception as error:  # noqa: BLE001  # it is raised again, if it is not what we look for
                values.append(_value(error))
        return values


def _value(answer: Any) -> Any:
    if isinstance(answer, Exception):
        if not is_of_another_type(answer):
            raise answer
        return b""
    return answer


def is_of_another_type(error: Exception) -> bool:
    """Say whether the server refused a command since the key holds a list, a hash or the like."""
    return "WrongType" in type(error).__name__ or str(error).startswith("WRONGTYPE")


# Links: a client, on a loop


class GivenLink:
    """Makes the calls of a client that is another's."""

    timeout = None

    def __init__(self, commands: Commands) -> None:
        self.commands = commands

    async def here(self) -> "GivenLink":
        return self

    async def call(self, command: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await command(*arguments)

    async def aclose(self) -> None:
        """Leave the client open."""


class GivenCoredisLink(GivenLink):
    """Makes the calls of a client of coredis that is another's."""

    def __init__(self, commands: Commands) -> None:
        super().__init__(commands)
        self._tasks: _Tasks = set()

    async def call(self, command: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await _unbroken(self._tasks, command, *arguments)


class Links:
    """The clients that a store has opened, one for each event loop. *timeout*, in seconds, is that of a call."""

    def __init__(self, target: Target, timeout: float) -> None:
        self.target, self.timeout = target, timeout
        self._open: dict[object, _Link] = {}

    async def here(self) -> "_Link":
        """Return the link of the running loop, opened."""
        try:
            link = self._open.get(asyncio.get_running_loop())
        except RuntimeError:  # on trio
            link = self._open.get(current_token().native_token)
        if link is None:
            link = self._new()
        if link.error is not None:
            with fail_after(self.timeout):
                await link.opened.wait()
            if link.error is not None:
                raise link.error
        return link

    def _new(self) -> "_Link":
        token = current_token()
        for loop in list(self._open):
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed():
                del self._open[loop]  # it never let its tasks end
        on_asyncio = isinstance(token.native_token, asyncio.AbstractEventLoop)
        kind = _RedisPyLink if on_asyncio and redis_py is not None else _CoredisLink
        link = self._open[token.native_token] = kind(self, token)
        return link

    def forget(self, loop: object, link: "_Link") -> None:
        if self._open.get(loop) is link:
            del self._open[loop]

    async def aclose(self) -> None:
        links = list(self._open.values())
        self._open.clear()
        for link in links:
            link.close()
        here = current_token()
        with move_on_after(self.timeout, shield=True):
            for link in links:
                if link.token == here:
                    await link.closed.wait()


class _Link:
    """Opens a client on the loop of *token*, makes its calls, and closes it."""

    commands: Commands

    def __init__(self, links: Links, token: EventLoopToken) -> None:
        self.token = token
        self.target, self.timeout = links.target, links.timeout
        self.opened, self.closed = Event(), Event()
        self.error: BaseException | None = TimeoutError("no connection in time")  # until there is one
        self._links = links
        self._end = Event()
        self._calls = 0
        self._given_up = False
        self._tasks: _Tasks = set()
        _spawn(self._tasks, self._keep)

    @abstractmethod
    async def connect(self, stack: AsyncExitStack) -> Commands:
        """Make a client that is closed by *stack*."""

    async def call(self, command: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        self._calls += 1
        try:
            return await self._call(command, arguments)
        except BaseException as error:
            if self._costs(error):
                self._given_up = True
                self._links.forget(self.token.native_token, self)
            raise
        finally:
            self._calls -= 1
            if self._given_up and not self._calls:
                self._end.set()

    async def _call(self, command: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        return await command(*arguments)

    @abstractmethod
    def _costs(self, error: BaseException) -> bool:
        """Say whether the client may be worse off after this."""

    async def _keep(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                self.commands = await self.connect(stack)
                self.error = None
                self.opened.set()
                try:
                    await self._end.wait()
                except GeneratorExit:  # the loop was closed before its tasks had ended, and nothing can be awaited
                    stack.pop_all()
                    raise
        except* Exception as group:  # noqa: BLE001  # it may not end the loop: who waits for the client gets it
            self.error = _first(group)
        finally:
            self._links.forget(self.token.native_token, self)
            self.opened.set()
            self.closed.set()

    def close(self) -> None:
        """Let the client be closed; from any thread."""
        loop: Any = self.token.native_token
        on_asyncio = isinstance(loop, asyncio.AbstractEventLoop)
        with suppress(RuntimeError):  # the loop has ended
            (loop.call_soon_threadsafe if on_asyncio else loop.run_sync_soon)(self._end.set)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _unbroken(tasks: _Tasks, command: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
    """Await a call that goes on to its end if the caller is cancelled.

    A call of coredis that is cancelled while it connects takes a place of the pool with it.
    """
    ended = Event()
    answer: Any = None
    error: Exception | None = ConnectionAbortedError("the event loop ended")

    async def make() -> None:
        nonlocal answer, error
        try:
            answer = await command(*arguments)
            error = None
        except Exception as raised:  # noqa: BLE001  # it is the caller's
            error = raised
        finally:
            ended.set()

    _spawn(tasks, make)
    await ended.wait()
    if error is not None:
        raise error
    return answer


def _spawn(tasks: _Tasks, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a function in a task that ends with the loop, and has nothing of the caller's context variables.

    It is kept in *tasks* while it runs, since asyncio itself would let it be collected.
    """
    loop = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        task = loop.create_task(function(), context=Context())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    else:
        import_module("trio").lowlevel.spawn_system_task(function)


class _RedisPyLink(_Link):
    _limiter: Semaphore | None = None

    async def _call(self, command: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        if self._limiter is None:
            return await command(*arguments)
        try:
            self._limiter.acquire_nowait()
        except WouldBlock:
            with fail_after(self.timeout):
                await self._limiter.acquire()
        try:
            return await command(*arguments)
        finally:
            self._limiter.release()

    def _costs(self, error: BaseException) -> bool:
        # Another server is the master now, or a Cluster has moved away altogether: a new client looks for it where
        # the URL says. Connections that broke are mended by the client itself.
        kinds = import_module("redis.exceptions")
        return isinstance(error, kinds.ReadOnlyError | kinds.RedisClusterException)

    async def connect(self, stack: AsyncExitStack) -> Commands:
        never, once = (redis_py.retry.Retry(import_module("redis.backoff").NoBackoff(), count) for count in (0, 1))
        target = self.target
        most = target.options.get("max_connections", _MAX_CONNECTIONS)
        context = await _ssl_context(target)
        limits: dict[str, Any] = {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout / 2,
            "socket_keepalive": True,
            "protocol": 2,  # with which the pool sees whether a connection has ended, or holds what nobody asked for
            "retry": never,
        }
        own = {**limits, **target.login, "client_name": target.options.get("client_name")}
        if target.kind == CLUSTER:
            # Its pools do not wait, so the calls do; they do not see that a connection has ended, so it tries twice.
            self._limiter = Semaphore(most, fast_acquire=True)
            own |= {"retry": once, "max_connections": 2 * most}
            return await self._cluster(stack, own, context)
        own |= {"db": target.db, "max_connections": most, "timeout": self.timeout}
        if target.kind == SENTINEL:
            return self._sentinel(stack, own, limits, context)
        host, port = target.addresses[0]
        if context is not None:
            own["connection_class"] = _with_context(redis_py.SSLConnection, context)
        client = redis_py.Redis.from_pool(redis_py.BlockingConnectionPool(host=host, port=port, **own))
        stack.push_async_callback(client.aclose)
        return RedisPyCommands(client)

    def _sentinel(
        self, stack: AsyncExitStack, own: dict[str, Any], limits: dict[str, Any], context: ssl.SSLContext | None
    ) -> Commands:
        # It asks the sentinels where to connect to, and waits where all connections are in use.
        pool = type("Pool", (redis_py.sentinel.SentinelConnectionPool, redis_py.BlockingConnectionPool), {})
        target = self.target
        each = self.timeout / 2 / len(target.addresses)  # they are asked one after another
        asked = limits | _sentinel_login(target) | {"socket_timeout": each, "socket_connect_timeout": each}
        manager = redis_py.Sentinel(_shuffled(target.addresses), sentinel_kwargs=asked)
        if context is not None:
            own["connection_class"] = _with_context(redis_py.sentinel.SentinelManagedSSLConnection, context)
        for watcher in manager.sentinels:
            if context is not None:
                watcher.connection_pool.connection_class = _with_context(redis_py.SSLConnection, context)
            stack.push_async_callback(watcher.aclose)
        client = manager.master_for(target.service, connection_pool_class=pool, **own)
        stack.push_async_callback(client.aclose)
        return RedisPyCommands(client)

    async def _cluster(self, stack: AsyncExitStack, own: dict[str, Any], context: ssl.SSLContext | None) -> Commands:
        nodes = [redis_py.cluster.ClusterNode(host, port) for host, port in _shuffled(self.target.addresses)]
        # A slot that moved is learnt of one by one: to learn all anew would end the connections that are in use.
        own |= {"ssl": context is not None, "require_full_coverage": False, "reinitialize_steps": 0}
        client = redis_py.RedisCluster(startup_nodes=nodes, **own)
        known = client.nodes_manager
        if context is not None:
            kind = _with_context(redis_py.SSLConnection, context)
            client.connection_kwargs["connection_class"] = known.connection_kwargs["connection_class"] = kind
            for node in known.startup_nodes.values():
                node.connection_class = kind

        async def close() -> None:
            await client.aclose()  # which does nothing after a failure
            for node in [*known.nodes_cache.values(), *known.startup_nodes.values()]:
                await node.disconnect()

        stack.push_async_callback(close)
        with fail_after(self.timeout):
            await client.initialize()  # a call that comes before would be sent to any node
        return RedisPyCommands(client)


def _with_context(kind: Any, context: ssl.SSLContext) -> Any:
    """Return a kind of connection that does not read the certificates of all authorities again, each time."""

    class Connection(kind):  # type: ignore[misc]  # a class that is chosen at run time
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context.context = context

    return Connection


class _CoredisLink(_Link):
    _opening: CancelScope

    async def _keep(self) -> None:
        with CancelScope(deadline=current_time() + self.timeout) as self._opening:
            await super()._keep()

    async def call(self, command: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        return await _unbroken(self._tasks, super().call, command, *arguments)

    def _costs(self, error: BaseException) -> bool:
        kinds = import_module("coredis.exceptions")
        return isinstance(error, kinds.ReadOnlyError) or not isinstance(error, kinds.ResponseError)

    async def connect(self, stack: AsyncExitStack) -> Commands:
        if find_spec("coredis") is None:
            raise SettingsError("store=redis: on trio needs coredis: pip install asgi-flask-session[redis-trio]")
        coredis = await to_thread.run_sync(import_module, "coredis")  # it takes its time
        TCPLocation = import_module("coredis.connection").TCPLocation  # noqa: N806  # a class
        target, options = self.target, self.target.options
        limits = {
            "stream_timeout": self.timeout,
            "connect_timeout": self.timeout / 2,
            "ssl_context": await _ssl_context(target),
        }
        most = options.get("max_connections", _MAX_CONNECTIONS)
        own: dict[str, Any] = {**limits, **target.login, "max_connections": most}
        once = import_module("coredis.retry").NoRetryPolicy()
        addresses = [TCPLocation(host, port) for host, port in _shuffled(target.addresses)]
        if target.kind == CLUSTER:
            own |= {"startup_nodes": addresses, "skip_full_coverage_check": True, "pool_timeout": self.timeout / 2}
            client = coredis.RedisCluster(**own, retry_policy=once, verify_version=False)
        elif target.kind == SENTINEL:
            each = self.timeout / 2 / len(addresses)  # they are asked one after another
            asked = {**limits, **_sentinel_login(target), "stream_timeout": each, "connect_timeout": each}
            own |= {"db": target.db, "client_name": options.get("client_name"), "timeout": self.timeout / 2}
            manager = coredis.Sentinel(addresses, sentinel_kwargs=asked, retry_policy=once, **own)
            client = (await stack.enter_async_context(manager)).primary_for(target.service)
        else:
            own |= {"db": target.db, "client_name": options.get("client_name"), "pool_timeout": self.timeout / 2}
            host, port = target.addresses[0]
            client = coredis.Redis(host, port, **own, retry_policy=once, verify_version=False)
        await stack.enter_async_context(client)
        self._opening.deadline = inf
        return CoredisCommands(client)


async def _ssl_context(target: Target) -> ssl.SSLContext | None:
    if not target.tls:
        return None
    options = target.options
    # In a thread, since it reads the certificates of all authorities.
    context = await to_thread.run_sync(partial(ssl.create_default_context, cafile=options.get("ssl_ca_certs")))
    if "ssl_certfile" in options:
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    checked = options.get("ssl_cert_reqs") != "none"
    context.check_hostname = checked and options.get("ssl_check_hostname", True)
    context.verify_mode = ssl.CERT_REQUIRED if checked else ssl.CERT_NONE
    return context


def _sentinel_login(target: Target) -> dict[str, str]:
    names = {"sentinel_username": "username", "sentinel_password": "password"}
    return {name: target.options[option] for option, name in names.items() if option in target.options}


def _shuffled(addresses: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return sample(addresses, len(addresses))  # so that one that is silent does not always come first
