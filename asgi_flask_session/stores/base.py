"""What stores share: how a URL names one, how a client's errors come out, and the sessions of one user."""

from collections.abc import AsyncIterator
from datetime import timedelta
from importlib import import_module
from types import TracebackType
from typing import Self

from ..asgi import Store
from ..errors import SessionError, SettingsError, StoreUnavailable

# scheme of a URL -> module, class, and the extra that installs what it needs
_BY_SCHEME = {
    "memory": ("memory", "MemoryStore", "memory"),
    "sqlite": ("sqlite", "SQLiteStore", "sqlite"),
    "file": ("file", "FileStore", "file"),
    "redis": ("redis", "RedisStore", "redis"),
    "rediss": ("redis", "RedisStore", "redis"),
    "redis+sentinel": ("redis", "RedisStore", "redis"),
    "rediss+sentinel": ("redis", "RedisStore", "redis"),
    "redis+cluster": ("redis", "RedisStore", "redis"),
    "rediss+cluster": ("redis", "RedisStore", "redis"),
    "memcached": ("memcached", "MemcachedStore", "memcached"),
    "mongodb": ("mongodb", "MongoDBStore", "mongodb"),
    "mongodb+srv": ("mongodb", "MongoDBStore", "mongodb"),
}
_EXTRAS = {"postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}  # of any other scheme with a driver

DEFAULT_TIMEOUT = timedelta(seconds=2)


def open_store(url: str, *, timeout: timedelta = DEFAULT_TIMEOUT) -> Store:
    """Return a store for *url*, which connects when it is first used.

    *timeout* limits each call; to connect, half of it. Raises SettingsError for a URL that names no store, or one
    whose client library is not installed.
    """
    scheme, colon, _ = url.partition(":")
    scheme = scheme.lower() if colon else ""
    dialect, driver, _ = scheme.partition("+")
    if scheme in _BY_SCHEME:
        module, name, extra = _BY_SCHEME[scheme]
    elif driver:
        module, name, extra = "sqlalchemy", "SQLAlchemyStore", _EXTRAS.get(dialect, "sqlalchemy")
    else:
        raise SettingsError(
            f"store is a URL with the scheme {scheme!r}: write one of {', '.join(_BY_SCHEME)}, or a URL with a driver"
            " of SQLAlchemy, such as 'postgresql+asyncpg://user@host/database'"
        )
    try:
        store_class = getattr(import_module(f"asgi_flask_session.stores.{module}"), name)
        url = scheme + url[len(scheme) :]
        return store_class.from_url(url, timeout=timeout)  # type: ignore[no-any-return]  # they are BaseStores
    except ImportError as error:
        raise SettingsError(
            f"a store of {scheme}: needs {error.name or error}: pip install asgi-flask-session[{extra}]"
        ) from error


class Unavailable:
    """A context in which whatever a client library raises comes out as StoreUnavailable."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, SessionError):
            # Only the kind is named: a client's message may hold a key, which is a session's id.
            raise StoreUnavailable(f"{self.name} failed: {type(error).__name__}") from error


class BaseStore:
    """The base class of our stores: the operations that look through all records.

    A store of one's own may be any object with the methods of ``Store``.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # never the URL, which may hold a password

    def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Yield key and value of every record that is not past its lifetime."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def sessions_of(self, user_id: str) -> list[str]:
        """Return the keys of the sessions in which Flask-Login's user is *user_id*.

        Every record of the store is read, those of other apps that share it too.
        """
        from ..records import user_of

        return [key async for key, value in self._records() if user_of(value) == str(user_id)]

    async def revoke_user(self, user_id: str, keep: str | None = None) -> int:
        """End all sessions of a user but that of id *keep* (``session.sid``), and return how many there were."""
        ended: set[str] = set()
        for _ in range(_PASSES):
            found = [key for key in await self.sessions_of(user_id) if not (keep and key.endswith(keep))]
            if not found:
                break
            for key in found:
                await self.delete(key)
            ended.update(found)
        return len(ended)


_PASSES = 3  # a session that gets a new id meanwhile may slip through one
