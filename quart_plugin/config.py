"""Quart-Session's setting names, and Flask-Session's, -> the settings and the store of an app."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlencode

from asgi_flask_session.checks import warn
from asgi_flask_session.errors import SettingsError

from .null import NullStore

_EXTRAS = {"null": "memory", "redis+trio": "redis-trio", "filesystem": "file"}

# Their names for fields of ``Settings``.
_FIELDS = {
    "SESSION_PERMANENT": "permanent",
    "SESSION_USE_SIGNER": "sign_ids",
    "SESSION_KEY_PREFIX": "key_prefix",
    "SESSION_SERIALIZATION_FORMAT": "record_format",
    "SESSION_ID_LENGTH": "id_bytes",
}
_FORMERLY = {
    "SESSION_PROTECTION": "SESSION_HIJACK_PROTECTION",
    "SESSION_REVERSE_PROXY": "SESSION_HIJACK_REVERSE_PROXY",
}

# Flask-Session's names that do nothing here: what their defaults are, and what to do instead.
_WITHOUT_EFFECT: dict[str, tuple[Any, str]] = {
    "SESSION_CLEANUP_N_REQUESTS": (None, "call the store's prune() from a task of your own now and then"),
    "SESSION_FILE_THRESHOLD": (500, "a file is kept for as long as its session lives"),
    "SESSION_FILE_MODE": (0o600, "none but the user that the app runs as may read the files"),
    "SESSION_SQLALCHEMY_BIND_KEY": (None, "write the URL of that database as SESSION_URI"),
    "SESSION_MONGODB_SET_CALLBACK": (None, "a document has an expiration of its own"),
}


def fields_from(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ``Settings`` that are set under Quart-Session's and Flask-Session's names.

    Raises SettingsError for a value that is none of theirs, warns of names that are old or without effect.
    """
    for name, (default, instead) in _WITHOUT_EFFECT.items():
        if config.get(name) not in (default, None):
            warn(f"{name} has no effect here, leave it out: {instead}")
    found: dict[str, Any] = {"permanent": True}
    for name, field in _FIELDS.items():
        if (value := config.get(name)) is not None:
            found[field] = bool(value) if field in ("permanent", "sign_ids") and value in (0, 1) else value
    # "basic" and "strong" under this name are Flask-Login's.
    found["protection"] = _renamed(config, "SESSION_PROTECTION") is True
    proxies = _renamed(config, "SESSION_REVERSE_PROXY") or 0
    if not isinstance(proxies, int):
        raise SettingsError(
            f"SESSION_REVERSE_PROXY is {proxies!r}: write True, which reads the X-Forwarded-For of one proxy, or how"
            " many proxies there are"
        )
    found["trusted_proxies"] = int(proxies)
    return found


def for_trio(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the config as it is meant on trio; raises SettingsError for what runs on asyncio only."""
    kind = _kind(config)
    if kind in ("sqlalchemy", "mongodb"):
        raise SettingsError(
            f"SESSION_TYPE={kind!r} runs on asyncio only: on trio write 'redis+trio', 'memcached', 'sqlite',"
            " 'filesystem' or 'memory'"
        )
    return {**config, "SESSION_TYPE": "redis+trio"} if kind == "redis" else config


def store_from(config: Mapping[str, Any]) -> Any:
    """Return the store that SESSION_TYPE and its kin name.

    Raises SettingsError for a type that is not known, or whose client library is not installed.
    """
    kind = _kind(config)
    if kind == "null":
        warn(
            "SESSION_TYPE is 'null', so no session is kept: write one of"
            f" {', '.join(repr(one) for one in _STORES if one != kind)}"
        )
    url = config.get("SESSION_URI")
    if url is not None and not isinstance(url, str):
        raise SettingsError(f"SESSION_URI is a {type(url).__name__}: write a string")
    try:
        import_module("asgi_flask_session.server_side")
        if kind == "redis+trio":
            import_module("coredis")  # at the first request it would be too late to say that it is missing
        return _STORES[kind](config)
    except ImportError as error:
        extra = _EXTRAS.get(kind, kind)
        raise SettingsError(
            f"SESSION_TYPE={kind!r} needs {error.name or error}: pip install asgi-flask-session[{extra}]"
        ) from error


def _kind(config: Mapping[str, Any]) -> str:
    kind = config.get("SESSION_TYPE") or "null"
    kind = kind.lower() if isinstance(kind, str) else kind
    if kind not in list(_STORES):  # which looks at values that have no hash too
        is_url = isinstance(kind, str) and ":" in kind  # which may have a password in it
        raise SettingsError(
            f"SESSION_TYPE is {'a URL' if is_url else repr(kind)}: write one of {', '.join(map(repr, _STORES))}"
            f"{', and the URL as SESSION_URI' if is_url else ''}"
        )
    return str(kind)


def _renamed(config: Mapping[str, Any], new: str) -> Any:
    """Return a setting that may be there under its old name."""
    old = _FORMERLY[new]
    if old in config:
        warn(f"{old} has been renamed: write {new}", DeprecationWarning)
    return config.get(new, config.get(old))


def _class(module: str, name: str) -> Any:
    return getattr(import_module(f"asgi_flask_session.stores.{module}"), name)


def _null(_: Mapping[str, Any]) -> Any:
    return NullStore()


def _memory(_: Mapping[str, Any]) -> Any:
    return _class("memory", "MemoryStore")()


def _sqlite(config: Mapping[str, Any]) -> Any:
    return _class("sqlite", "SQLiteStore").from_url(
        _with_query(config.get("SESSION_URI") or "sqlite:///sessions.db", _of_table(config, "table"))
    )


def _sqlalchemy(config: Mapping[str, Any]) -> Any:
    store = _class("sqlalchemy", "SQLAlchemyStore")
    options = _of_table(config, "table", "schema", "sequence")
    if (engine := config.get("SESSION_SQLALCHEMY")) is not None:
        return store(engine, **options)
    if not (url := config.get("SESSION_URI")):
        raise SettingsError(
            "SESSION_TYPE='sqlalchemy' needs SESSION_URI, such as 'postgresql+asyncpg://user@host/database', or"
            " SESSION_SQLALCHEMY, an AsyncEngine"
        )
    return store.from_url(_with_query(url, options))


def _of_table(config: Mapping[str, Any], *names: str) -> dict[str, Any]:
    values = {name: config.get(f"SESSION_SQLALCHEMY_{name.upper()}") for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _with_query(url: str, options: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}" if options else url


def _redis(config: Mapping[str, Any]) -> Any:
    store = _class("redis", "RedisStore")
    client, url = config.get("SESSION_REDIS"), config.get("SESSION_URI")
    if isinstance(client, str):
        raise SettingsError("SESSION_REDIS is a string, and would be a client: write the URL as SESSION_URI")
    if _kind(config) == "redis+trio" and _is_of(client, "redis.", "valkey."):
        raise SettingsError("SESSION_REDIS is a client for asyncio: on trio write coredis.Redis(...), or a SESSION_URI")
    if _is_of(client, "quart_session.redis_trio"):
        url = _address_of_trio(client)
    elif client is not None:
        return store(_InBytes(client) if _decodes(client) else client)
    return store.from_url(url or "redis://localhost")


def _is_of(client: Any, *modules: str) -> bool:
    return any(base.__module__.startswith(modules) for base in type(client).__mro__)


def _decodes(client: Any) -> bool:
    """Say whether a client decodes what it reads, as Quart-Session's own does, and can be told not to."""
    if not _is_of(client, "redis.asyncio", "valkey.asyncio"):
        return False
    return bool(client.get_encoder().decode_responses)


class _InBytes:
    """A client that reads bytes, on the connections of one that decodes."""

    decode_responses = False

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_encoder(self) -> Any:
        return self

    def get(self, key: str) -> Any:
        return self._client.execute_command("GET", key, NEVER_DECODE=True)  # redis-py's own word

    def scan_iter(self, **options: Any) -> Any:
        return self._client.scan_iter(**options, NEVER_DECODE=True)

    def pipeline(self, **options: Any) -> Any:
        pipeline = self._client.pipeline(**options)

        def getrange(key: bytes, start: int, end: int) -> Any:
            return pipeline.execute_command("GETRANGE", key, start, end, NEVER_DECODE=True)

        pipeline.getrange = getrange
        return pipeline


def _address_of_trio(client: Any) -> str:
    """Return the URL of Quart-Session's client, which serves one request at a time."""
    (host, port), password = client.conn.addr, client.password
    host, password = (part.decode() if isinstance(part, bytes) else part for part in (host, password))
    return f"redis://:{quote(password or '', safe='')}@{_host_and_port(host, port)}"


def _memcached(config: Mapping[str, Any]) -> Any:
    store = _class("memcached", "MemcachedStore")
    if (client := config.get("SESSION_MEMCACHED")) is not None:
        if not _is_of(client, "aiomcache"):
            return store(client)
        return store.from_url(f"memcached://{_address_of_aiomcache(client)}")
    address = _host_and_port(config.get("SESSION_MEMCACHED_HOST") or "127.0.0.1", config.get("SESSION_MEMCACHED_PORT"))
    return store.from_url(config.get("SESSION_URI") or f"memcached://{address}")


def _address_of_aiomcache(client: Any) -> str:
    """Return where a client of aiomcache connects to; it has no public name for that."""
    pool = getattr(client, "_pool", None)
    host, port = getattr(pool, "_host", None), getattr(pool, "_port", None)
    if not isinstance(host, str) or not isinstance(port, int) or getattr(pool, "conn_args", None):
        raise SettingsError(
            "SESSION_MEMCACHED is a client of aiomcache, of which only host and port are taken, and these are not all:"
            " write SESSION_MEMCACHED_HOST and SESSION_MEMCACHED_PORT, or a pymemcache.PooledClient"
        )
    return _host_and_port(host, port)


def _host_and_port(host: str, port: Any) -> str:
    return f"{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"


def _mongodb(config: Mapping[str, Any]) -> Any:
    from .mongodb import store_from  # which imports pymongo

    return store_from(config)


def _filesystem(config: Mapping[str, Any]) -> Any:
    store = _class("file", "FileStore")
    if (folder := config.get("SESSION_FILE_DIR")) is None and (url := config.get("SESSION_URI")):
        if not url.startswith("file:"):
            raise SettingsError(
                "SESSION_URI names no folder: write SESSION_FILE_DIR, or 'file:///var/lib/app/sessions'"
            )
        return store.from_url(url)
    return store(folder or "quart_session")


_STORES: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "null": _null,
    "memory": _memory,
    "sqlite": _sqlite,
    "sqlalchemy": _sqlalchemy,
    "redis": _redis,
    "redis+trio": _redis,
    "memcached": _memcached,
    "mongodb": _mongodb,
    "filesystem": _filesystem,
}
