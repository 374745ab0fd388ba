"""Sessions in memcached, by pymemcache in threads: on asyncio and trio alike.

A call that nobody waits for any more goes on in its thread, until its reply is read or its connection closed. So no
reply is left for another call; and there are never more threads and connections than a server may have, whatever hangs.
"""

import os
import re
import select
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from typing import Any, Self, TypeVar

from pymemcache.client.base import PooledClient  # type: ignore[import-untyped]  # it has no py.typed
from pymemcache.client.hash import HashClient  # type: ignore[import-untyped]
from pymemcache.exceptions import MemcacheUnexpectedCloseError  # type: ignore[import-untyped]
from pymemcache.serde import LegacyWrappingSerde  # type: ignore[import-untyped]

from ..errors import SettingsError, StoreUnavailable
from .base import DEFAULT_TIMEOUT, BaseStore, Unavailable
from .threads import Threads

T = TypeVar("T")

_THREADS = 16
_IDLE = 60  # seconds after which a connection is not trusted any more: a firewall may have forgotten it

_KEY = re.compile(r"[!-~]{1,250}")
_SERVER = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::(?P<port>\d{1,5}))?")
_PORT = 11211

# The protocol's number for a lifetime: up to 30 days from now on, or else a time of day, in 31 bits.
_MOST_RELATIVE = 30 * 86400
_MOST_ABSOLUTE = 2**31 - 1

_PLAIN = LegacyWrappingSerde(None, None)  # what a client has for a serde where none was given


class MemcachedStore(BaseStore):
    """Keeps records in one memcached, or shares them out among several by their keys.

    *client* is a PooledClient, or a HashClient with ``use_pooling=True``, with time limits. Of a HashClient the servers
    are taken, and which key is whose; not that it goes round a server that is down: a session that was ended meanwhile
    would live again when that server is back. Each server has up to *threads* calls at once.

    memcached cannot list what it keeps, so there are neither ``sessions_of`` nor ``revoke_user``; and it drops
    records when it is full.
    """

    _unavailable = Unavailable("memcached")

    def __init__(self, client: PooledClient | HashClient, *, threads: int = _THREADS) -> None:
        clients = dict(client.clients) if isinstance(client, HashClient) else {"": client}
        for one in clients.values():
            _check_client(one, client)
        if not clients:
            raise SettingsError("client is a HashClient without a server: write HashClient(servers, use_pooling=True)")
        if threads < 1:
            raise SettingsError(f"threads is {threads}: write 1 or more")
        self._servers = {name: _Server(one.client_pool, threads) for name, one in clients.items()}
        self._hasher = deepcopy(client.hasher) if isinstance(client, HashClient) else None
        self._process = os.getpid()

    @classmethod
    def from_url(cls, url: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Self:
        """Return a store for ``memcached://host:port``, or ``memcached://host1:port,host2:port`` for several servers.

        Which of several has a key is settled as pymemcache's HashClient does it.
        """
        servers = _servers(url)
        seconds = timeout.total_seconds()
        options = {
            "timeout": seconds,
            "connect_timeout": seconds / 2,
            "no_delay": True,
            "default_noreply": False,
            "max_pool_size": _THREADS,
            "pool_idle_timeout": _IDLE,
        }
        client = (
            PooledClient(servers[0], **options)
            if len(servers) == 1
            else HashClient(servers, use_pooling=True, **options)
        )
        store = cls(client)
        for server in store._servers.values():
            server.is_ours = True
        return store

    async def get(self, key: str) -> bytes | None:
        return await self._call(_get, key)

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        return await self._call(_add, key, value, _exptime(ttl, time.time()))

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        return await self._call(_replace, key, value, _exptime(ttl, time.time()), expected)

    async def touch(self, key: str, ttl: int) -> bool:
        return await self._call(_touch, key, _exptime(ttl, time.time()))

    async def delete(self, key: str) -> None:
        await self._call(_delete, key)

    async def aclose(self) -> None:
        """End the threads, and close the connections of a store made from a URL. A later call opens them anew."""
        for server in self._servers.values():
            server.close()

    async def ping(self) -> None:
        """Ask every server for a sign of life; raises StoreUnavailable."""
        for name in self._servers:
            await self._run(name, _version)

    def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        raise NotImplementedError(
            "memcached cannot list what it keeps: for sessions_of and revoke_user use a Redis, SQL, MongoDB or file"
            " store, or refuse the sessions of a user by is_revoked"
        )

    async def _call(self, command: Callable[..., T], key: str, *args: Any) -> T:
        if not _KEY.fullmatch(key):
            raise StoreUnavailable("memcached takes keys of up to 250 visible ASCII characters: shorten key_prefix")
        server = "" if self._hasher is None else str(self._hasher.get_node(key))
        return await self._run(server, command, key, *args)

    async def _run(self, name: str, command: Callable[..., T], *args: Any) -> T:
        if self._process != os.getpid():
            self._process = os.getpid()
            for server in self._servers.values():
                server.forget()
        with self._unavailable:
            return await self._servers[name].run(command, *args)


def _check_client(one: Any, client: Any) -> None:
    if not isinstance(one, PooledClient):
        raise SettingsError(
            f"client is a {type(client).__name__} and would have to serve several threads: write PooledClient(server),"
            " HashClient(servers, use_pooling=True), or MemcachedStore.from_url(url)"
        )
    if not (one.timeout and one.connect_timeout):
        raise SettingsError(
            "client waits for ever for a server that is gone: add timeout=2 and connect_timeout=1 to it"
        )
    if one.ignore_exc or client.ignore_exc:
        raise SettingsError("client has ignore_exc, and would take a failure for an absent session: leave it out")
    if not _is_plain(one.serde):
        raise SettingsError("client has a serde, and a session's bytes are kept as they are: leave it out")


def _is_plain(serde: Any) -> bool:
    return all(
        getattr(getattr(serde, name, None), "__func__", None) is getattr(_PLAIN, name).__func__
        for name in ("serialize", "deserialize")
    )


def _servers(url: str) -> list[tuple[str, int]]:
    scheme, _, rest = url.partition("://")
    found = [_SERVER.fullmatch(server) for server in rest.removesuffix("/").split(",")]
    servers = [(one["v6"] or one["name"], int(one["port"] or _PORT)) for one in found if one]
    valid = len(servers) == len(found) and all(0 < port < 65536 for _, port in servers)
    if not valid or scheme.lower() != "memcached":
        raise SettingsError(
            "a URL of memcached is made of servers and nothing else: write 'memcached://localhost:11211', or"
            " 'memcached://host1:11211,host2:11211'; for anything else make a client and write MemcachedStore(client)"
        )
    return servers


def _exptime(ttl: int, now: float) -> int:
    """Return what memcached is told so that a key lives for *ttl* seconds.

    Its clock ticks once in a second, so that one second more is needed for the last to be whole.
    """
    seconds = max(ttl, 0) + 1
    if seconds <= _MOST_RELATIVE:
        return seconds
    if now >= _MOST_ABSOLUTE - _MOST_RELATIVE:
        return _MOST_RELATIVE
    return min(int(now) + seconds, _MOST_ABSOLUTE)


# The commands, each on one connection


def _get(connection: Any, key: str) -> bytes | None:
    found: bytes | None = connection.get(key)
    return found


def _add(connection: Any, key: str, value: bytes, exptime: int) -> bool:
    return connection.add(key, value, exptime, noreply=False) is True


def _replace(connection: Any, key: str, value: bytes, exptime: int, expected: bytes) -> bool:
    found, version = connection.gets(key)
    return found == expected and connection.cas(key, value, version, exptime, noreply=False) is True


def _touch(connection: Any, key: str, exptime: int) -> bool:
    return connection.touch(key, exptime, noreply=False) is True


def _delete(connection: Any, key: str) -> None:
    connection.delete(key, noreply=False)


def _version(connection: Any) -> None:
    connection.version()


# Connections and threads


class _Server:
    """The connections to one memcached, and the threads that use them."""

    def __init__(self, pool: Any, threads: int) -> None:
        self.is_ours = False  # to close
        self._pool = pool
        self._threads = Threads(min(threads, pool.max_size), "memcached")

    async def run(self, command: Callable[..., T], *args: Any) -> T:
        return await self._threads.run(self._work, command, *args)

    def _work(self, command: Callable[..., T], *args: Any) -> T:
        """Do a command in a thread, on a connection that is its own meanwhile."""
        try:
            with self._pool.get_and_release(destroy_on_fail=True) as connection:
                if connection.sock is not None and _has_news(connection.sock):
                    connection.close()  # the server was restarted: the command opens it anew
                return command(connection, *args)
        except (OSError, MemcacheUnexpectedCloseError):
            self._close_idle()  # they go to the same server, and may be as dead
            raise
        finally:
            if self.is_ours and self._threads.closed:
                self._close_idle()

    def close(self) -> None:
        self._threads.close()
        if self.is_ours:
            self._close_idle()

    def forget(self) -> None:
        """Share no connection with the process that this one was forked from."""
        self._close_idle()

    def _close_idle(self) -> None:
        """Close the connections that no thread uses at the moment."""
        for _ in self._pool.free:
            with suppress(RuntimeError):  # all of them are used by now
                self._pool.destroy(self._pool.get())


def _has_news(sock: Any) -> bool:
    """Say whether something arrived on a connection that waits for nothing: its end, or what is nobody's reply."""
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
