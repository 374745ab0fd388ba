"""Quart-Session's setting names, and Flask-Session's, -> the settings and the store of an app."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any
from warnings import warn

from asgi_flask_session.errors import SessionWarning, SettingsError

_TYPES = ("null", "memory", "sqlite", "sqlalchemy", "redis", "redis+trio", "memcached", "mongodb", "filesystem")
_EXTRAS = {"redis+trio": "redis-trio", "filesystem": "file"}

# Their names for fields of ``Settings``.
_FIELDS = {
    "SESSION_PERMANENT": "permanent",
    "SESSION_USE_SIGNER": "sign_ids",
    "SESSION_KEY_PREFIX": "key_prefix",
    "SESSION_SERIALIZATION_FORMAT": "record_format",
    "SESSION_ID_LENGTH": "id_bytes",
}
_RENAMED = {
    "SESSION_HIJACK_PROTECTION": "SESSION_PROTECTION",
    "SESSION_HIJACK_REVERSE_PROXY": "SESSION_REVERSE_PROXY",
}


def fields_from(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ``Settings`` that are set under Quart-Session's and Flask-Session's names."""
    config = _with_new_names(config)
    found: dict[str, Any] = {"permanent": True}
    found |= {field: config[name] for name, field in _FIELDS.items() if config.get(name) is not None}
    # "basic" and "strong" under this name are Flask-Login's.
    found["protection"] = config.get("SESSION_PROTECTION") is True
    found["trusted_proxies"] = 1 if config.get("SESSION_REVERSE_PROXY") is True else 0
    return found


def store_from(config: Mapping[str, Any], timeout: timedelta) -> Any:
    """Return the store that SESSION_TYPE and its kin name; None for "null".

    Raises SettingsError for a type that is not known, or whose client library is not installed.
    """
    kind = config.get("SESSION_TYPE") or "null"
    if kind not in _TYPES:
        raise SettingsError(f"SESSION_TYPE is {kind!r}: write one of {', '.join(map(repr, _TYPES))}")
    if kind == "null":
        warn(
            "SESSION_TYPE is 'null', so no session is kept: write one of"
            f" {', '.join(repr(kind) for kind in _TYPES[1:])}",
            SessionWarning,
            stacklevel=4,
        )
        return None
    try:
        return _STORES[kind](config, timeout)
    except ImportError as error:
        extra = _EXTRAS.get(kind, kind)
        raise SettingsError(
            f"SESSION_TYPE={kind!r} needs {error.name or error}: pip install asgi-flask-session[{extra}]"
        ) from error


def _with_new_names(config: Mapping[str, Any]) -> dict[str, Any]:
    renamed = dict(config)
    for old, new in _RENAMED.items():
        if old in config:
            warn(f"{old} has been renamed: write {new}", DeprecationWarning, stacklevel=5)
            renamed.setdefault(new, config[old])
    return renamed


def _class(module: str, name: str) -> Any:
    return getattr(import_module(f"asgi_flask_session.stores.{module}"), name)


def _memory(_: Mapping[str, Any], __: timedelta) -> Any:
    return _class("memory", "MemoryStore")()


def _sqlite(config: Mapping[str, Any], timeout: timedelta) -> Any:
    return _class("sqlite", "SQLiteStore").from_url(
        config.get("SESSION_URI") or "sqlite:///sessions.db", timeout=timeout
    )


def _sqlalchemy(config: Mapping[str, Any], timeout: timedelta) -> Any:
    store = _class("sqlalchemy", "SQLAlchemyStore")
    given = config.get("SESSION_SQLALCHEMY")
    options = {
        name: config[key]
        for key, name in (("SESSION_SQLALCHEMY_TABLE", "table"), ("SESSION_SQLALCHEMY_SCHEMA", "schema"))
        if config.get(key) is not None
    }
    if given is not None:
        return store(given, **options)
    if not (url := config.get("SESSION_URI")):
        raise SettingsError(
            "SESSION_TYPE='sqlalchemy' needs SESSION_URI, such as 'postgresql+asyncpg://user@host/database', or"
            " SESSION_SQLALCHEMY, an AsyncEngine"
        )
    return store.from_url(url, timeout=timeout, **options)


def _redis(config: Mapping[str, Any], timeout: timedelta) -> Any:
    store = _class("redis", "RedisStore")
    if (client := config.get("SESSION_REDIS")) is not None:
        return store(_that_reads_bytes(client))
    return store.from_url(config.get("SESSION_URI") or "redis://localhost", timeout=timeout)


def _that_reads_bytes(client: Any) -> Any:
    """Return a client like the one that was given, which may decode what it reads, as Quart-Session's own does."""
    pool = getattr(client, "connection_pool", None)
    options = getattr(pool, "connection_kwargs", {})
    if pool is None or not options.get("decode_responses") or not type(client).__module__.startswith("redis."):
        return client
    of_bytes = {**options, "decode_responses": False}
    same = type(pool)(connection_class=pool.connection_class, max_connections=pool.max_connections, **of_bytes)
    return type(client)(connection_pool=same)


def _memcached(config: Mapping[str, Any], timeout: timedelta) -> Any:
    store = _class("memcached", "MemcachedStore")
    if (client := config.get("SESSION_MEMCACHED")) is not None:
        if not type(client).__module__.startswith("aiomcache"):
            return store(client)
        host, port = client._pool._host, client._pool._port  # its address is all that is wanted of it
    else:
        host, port = config.get("SESSION_MEMCACHED_HOST", "127.0.0.1"), config.get("SESSION_MEMCACHED_PORT", 11211)
    return store.from_url(config.get("SESSION_URI") or f"memcached://{host}:{port}", timeout=timeout)


def _mongodb(config: Mapping[str, Any], timeout: timedelta) -> Any:
    from .mongodb import store_from  # which imports pymongo

    return store_from(config, timeout)


def _filesystem(config: Mapping[str, Any], _: timedelta) -> Any:
    return _class("file", "FileStore")(config.get("SESSION_FILE_DIR") or "quart_session")


_STORES: dict[str, Callable[[Mapping[str, Any], timedelta], Any]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "sqlalchemy": _sqlalchemy,
    "redis": _redis,
    "redis+trio": _redis,
    "memcached": _memcached,
    "mongodb": _mongodb,
    "filesystem": _filesystem,
}
