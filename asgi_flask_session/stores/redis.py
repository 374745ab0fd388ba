"""Sessions in Redis or Valkey: one server, Sentinel or Cluster, on asyncio and trio."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self
from warnings import warn

from anyio import fail_after

from ..errors import SessionWarning, SettingsError
from ..payload import MAX_TEXT
from .base import DEFAULT_TIMEOUT, BaseStore, Unavailable
from .redis_clients import (
    CoredisCommands,
    GivenCoredisLink,
    GivenLink,
    Links,
    RedisPyCommands,
    is_of_another_type,
)
from .redis_urls import parse


class RedisStore(BaseStore):
    """Keeps each record under its key as a plain value with an expiry, as Flask-Session and Quart-Session do.

    *client* is an asynchronous client, used on its own event loop, and its owner's to close: of redis-py (``Redis``,
    ``RedisCluster`` or what ``Sentinel.master_for`` returns), of valkey-py, or of coredis, which has to be entered.
    """

    _unavailable = Unavailable("Redis")

    def __init__(self, client: Any) -> None:
        self._links: Links | GivenLink = _link_of(client)

    @classmethod
    def from_url(cls, url: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Self:
        """Return a store for ``redis://[[user]:password@]host[:port][/db]``, which connects when it is first used.

        Sentinel is ``redis+sentinel://host:port,host2:port/service[/db]``, a Cluster is
        ``redis+cluster://host:port,host2:port``, and ``rediss`` in place of ``redis`` is TLS. The query may hold
        max_connections, client_name, ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs, ssl_check_hostname,
        sentinel_username and sentinel_password. One store may serve several event loops, each by a client of its own.
        """
        store = cls.__new__(cls)
        store._links = Links(parse(url), timeout.total_seconds())
        return store

    async def get(self, key: str) -> bytes | None:
        with self._unavailable:
            link = await self._links.here()
            try:
                value = await link.call(link.commands.get, key)
            except Exception as error:
                if is_of_another_type(error):
                    return b""
                raise
            if value is not None and type(value) is not bytes:
                raise SettingsError(_DECODES)
            return value

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        with self._unavailable:
            link = await self._links.here()
            return bool(await link.call(link.commands.create, key, value, ttl))

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        with self._unavailable:
            link = await self._links.here()
            return bool(await link.call(link.commands.replace, key, value, ttl, expected))

    async def touch(self, key: str, ttl: int) -> bool:
        with self._unavailable:
            link = await self._links.here()
            return bool(await link.call(link.commands.touch, key, ttl))

    async def delete(self, key: str) -> None:
        with self._unavailable:
            link = await self._links.here()
            await link.call(link.commands.delete, key)

    async def ping(self) -> None:
        """Return if the server answers, and raise StoreUnavailable if not."""
        with self._unavailable, fail_after(self._links.timeout):
            link = await self._links.here()
            await link.call(link.commands.ping)

    async def aclose(self) -> None:
        """Close the clients that the store opened, on every loop. A store that is used again opens new ones."""
        await self._links.aclose()

    async def sessions_of(self, user_id: str) -> list[str]:
        """Return the keys of the sessions in which Flask-Login's user is *user_id*.

        Every value of the database is read, those of other apps that share it too.
        """
        return list(dict.fromkeys(await super().sessions_of(user_id)))  # SCAN may name a key twice

    async def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        with self._unavailable:
            link = await self._links.here()
            pages = link.commands.pages()
        while True:
            with self._unavailable:
                keys = await link.call(anext, pages, None)
                if keys is None:
                    return
                values = await link.call(link.commands.values, keys)
            for key, value in zip(keys, values, strict=True):
                if 0 < len(value) <= MAX_TEXT:
                    with suppress(UnicodeDecodeError):  # a key that is not ours
                        yield key.decode(), value


_DECODES = "the Redis client decodes what it reads, and records are bytes: make it without decode_responses=True"
_METHODS = ("get", "set", "eval", "expire", "delete", "ping")
_BLOCKING = {
    ("redis.client", "Redis"),
    ("redis.cluster", "RedisCluster"),
    ("valkey.client", "Valkey"),
    ("valkey.cluster", "ValkeyCluster"),
}


def _link_of(client: Any) -> GivenLink:
    """Return what makes the calls of a client that was given; raises SettingsError for what cannot be used."""
    kinds = {(base.__module__, base.__name__) for base in type(client).__mro__}
    if isinstance(client, str):
        raise SettingsError("a URL is no client of Redis: write RedisStore.from_url(url)")
    if kinds & _BLOCKING:
        raise SettingsError(
            f"{type(client).__module__}.{type(client).__name__} would block the event loop: write"
            " redis.asyncio.Redis(...), or RedisStore.from_url(url)"
        )
    if isinstance(client, type) or not all(callable(getattr(client, name, None)) for name in _METHODS):
        raise SettingsError(
            f"{type(client).__name__} is no client of Redis: write redis.asyncio.Redis(...), or what"
            " Sentinel.master_for(name) returns"
        )
    encoder = client.get_encoder() if hasattr(client, "get_encoder") else client
    if getattr(encoder, "decode_responses", False) is True:
        raise SettingsError(_DECODES)
    if not any(module.startswith("coredis.") for module, _ in kinds):
        return GivenLink(RedisPyCommands(client))
    limits = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    if not (limits.get("connect_timeout") and limits.get("stream_timeout")):
        warn(
            "a client of coredis without limits of time waits for ever for a server that is silent: write"
            " coredis.Redis(..., connect_timeout=1, stream_timeout=2)",
            SessionWarning,
            stacklevel=3,
        )
    return GivenCoredisLink(CoredisCommands(client))
