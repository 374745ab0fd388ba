"""Which store a URL names, and what is said where it names none."""

import asyncio
from datetime import timedelta
from importlib import import_module
from traceback import format_exception

import pytest
from driver import SECRET, app_that, nothing
from missing import forget

from asgi_flask_session import FlaskSessionASGI, Settings, SettingsError, StoreUnavailable, UnwritableSession
from asgi_flask_session.server_side import ServerSide
from asgi_flask_session.stores import base
from asgi_flask_session.stores.base import BaseStore, Unavailable, open_store
from asgi_flask_session.stores.memory import MemoryStore

PASSWORD = "hunter" + "2"

STORES = {
    "memory:": ("memory", "MemoryStore"),
    "memory://": ("memory", "MemoryStore"),
    "sqlite://": ("sqlite", "SQLiteStore"),
    "sqlite:///sessions.db": ("sqlite", "SQLiteStore"),
    "file:sessions": ("file", "FileStore"),
    "redis://localhost": ("redis", "RedisStore"),
    "rediss://localhost": ("redis", "RedisStore"),
    "redis+sentinel://localhost/service": ("redis", "RedisStore"),
    "rediss+sentinel://localhost/service": ("redis", "RedisStore"),
    "redis+cluster://localhost": ("redis", "RedisStore"),
    "rediss+cluster://localhost": ("redis", "RedisStore"),
    "memcached://localhost": ("memcached", "MemcachedStore"),
    "mongodb://localhost": ("mongodb", "MongoDBStore"),
    "sqlite+aiosqlite:///sessions.db": ("sqlalchemy", "SQLAlchemyStore"),
    "postgresql+asyncpg://user@localhost/database": ("sqlalchemy", "SQLAlchemyStore"),
    "mysql+aiomysql://user@localhost/database": ("sqlalchemy", "SQLAlchemyStore"),
    "mariadb+aiomysql://user@localhost/database": ("sqlalchemy", "SQLAlchemyStore"),
}


@pytest.mark.parametrize(("url", "store"), STORES.items(), ids=STORES.keys())
def test_scheme_names_the_store(url, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, name = store
    opened = open_store(url, timeout=timedelta(seconds=1))
    assert type(opened) is getattr(import_module(f"asgi_flask_session.stores.{module}"), name)
    assert isinstance(opened, BaseStore)
    assert list(tmp_path.iterdir()) == []  # nothing is opened before it is used


@pytest.mark.parametrize("url", ["MEMORY:", "Sqlite://", "REDIS://localhost", "Memcached://localhost", "FILE:sessions"])
def test_scheme_is_read_without_case(url, tmp_path, monkeypatch):
    """RFC 3986, 3.1."""
    monkeypatch.chdir(tmp_path)
    assert type(open_store(url)) is type(open_store(url.lower()))


def test_every_scheme_that_is_known_is_tried_here():
    tried = {url.partition(":")[0] for url in STORES}
    assert base._BY_SCHEME.keys() - tried == {"mongodb+srv"}  # which asks the DNS when it is opened


@pytest.mark.parametrize("url", ["nothing:", "nothing://localhost", "localhost", "localhost:6379", "", ":", "redis"])
def test_unknown_scheme_is_refused_with_those_that_there_are(url):
    scheme = url.partition(":")[0] if ":" in url else ""
    with pytest.raises(
        SettingsError,
        match=f"scheme '{scheme}': write one of memory, sqlite, .*'postgresql\\+asyncpg://user@host/database'",
    ):
        open_store(url)


@pytest.mark.parametrize("url", ["postgresql+nothing://localhost/database", "nothing+driver://localhost/database"])
def test_driver_that_does_not_exist_is_refused(url):
    with pytest.raises(SettingsError):
        open_store(url)


@pytest.mark.parametrize("url", ["postgresql://localhost/database", "mysql://localhost/database"])
def test_database_without_a_driver_is_refused_with_one_that_there_is(url):
    with pytest.raises(SettingsError, match="postgresql\\+asyncpg://"):
        open_store(url)


WRONG = [
    "memory://user:{}@host",
    "sqlite://user:{}@host/sessions.db",
    "file://user:{}@host/sessions",
    "redis://user:{}@host:port",
    "redis+sentinel://user:{}@host",
    "redis+cluster://user:{}@host:port",
    "memcached://user:{}@host:11211",
    "mongodb://user:{}@",
    "mongodb://us@er:{}@host",
    "postgresql+asyncpg://user:{}@host:port/database",
    "postgresql+nothing://user:{}@host/database",
    "nothing://user:{}@host",
    "user:{}@host",
]


@pytest.mark.parametrize("url", WRONG)
def test_no_password_is_told_of_a_wrong_url(url):
    """W14: neither in the message nor in a traceback."""
    with pytest.raises(SettingsError) as caught:
        open_store(url.format(PASSWORD))
    assert PASSWORD not in "".join(format_exception(caught.value))


@pytest.mark.parametrize(
    ("url", "library", "extra"),
    [
        ("redis://localhost", "redis", "redis"),
        ("memcached://localhost", "pymemcache", "memcached"),
        ("mongodb://localhost", "pymongo", "mongodb"),
        ("sqlite+aiosqlite:///sessions.db", "sqlalchemy", "sqlalchemy"),
        ("postgresql+asyncpg://user@localhost/database", "sqlalchemy", "postgresql"),
        ("sqlite+aiosqlite:///sessions.db", "aiosqlite", "sqlalchemy"),
        ("postgresql+asyncpg://user@localhost/database", "asyncpg", "postgresql"),
        ("mysql+aiomysql://user@localhost/database", "aiomysql", "mysql"),
        ("mariadb+aiomysql://user@localhost/database", "aiomysql", "mysql"),
    ],
)
def test_missing_library_is_named_with_what_installs_it(url, library, extra, monkeypatch):
    forget(monkeypatch, library, *({"redis": ["coredis"]}.get(library, ())))  # either will do
    with pytest.raises(SettingsError, match=f"needs {library}.*: pip install asgi-flask-session\\[{extra}\\]$"):
        open_store(url)


def test_time_of_a_call_is_what_the_settings_say(tmp_path):
    app = FlaskSessionASGI(app_that(nothing), SECRET, store=f"file:{tmp_path}", store_timeout=8)
    assert app.store._patience == 4  # half of it


def test_missing_anyio_is_named_where_a_store_is_given(monkeypatch):
    forget(monkeypatch, "anyio")
    with pytest.raises(SettingsError, match="needs anyio: pip install asgi-flask-session"):
        FlaskSessionASGI(app_that(nothing), SECRET, store="memory:")
    FlaskSessionASGI(app_that(nothing), SECRET)


def test_server_side_without_a_store_is_refused():
    with pytest.raises(SettingsError, match="store is not set"):
        ServerSide(Settings(SECRET))


# What a client raises


def test_whatever_a_client_raises_is_store_unavailable_without_its_words():
    error = OSError("session:an-id")
    with pytest.raises(StoreUnavailable, match="^Redis failed: OSError$") as caught, Unavailable("Redis"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [StoreUnavailable("down"), UnwritableSession("x"), KeyboardInterrupt()], ids=repr)
def test_errors_of_our_own_and_the_end_of_the_process_pass(error):
    with pytest.raises(type(error)) as caught, Unavailable("Redis"):
        raise error
    assert caught.value is error


def test_nothing_raised_is_nothing_changed():
    with Unavailable("Redis"):
        pass


# The sessions of a user


class Growing(MemoryStore):
    """A store in which each session that ends makes room for another one of its user."""

    async def delete(self, key):
        await super().delete(key)
        await self.create(f"{key}+", b'{"_user_id":"7"}', 60)


def test_revoking_comes_to_an_end_though_the_user_logs_in_again_and_again():
    async def main():
        store = Growing()
        await store.create("session:a", b'{"_user_id":"7"}', 60)
        return await store.revoke_user("7"), await store.sessions_of("7")

    assert asyncio.run(main()) == (3, ["session:a+++"])


class Blind(BaseStore):
    """A store that cannot list what it keeps."""


class Listing(BaseStore):
    """A store that can, and deletes nothing."""

    async def _records(self):
        yield "session:a", b'{"_user_id":"7"}'


@pytest.mark.parametrize("kind", [Blind, Listing])
def test_a_store_of_ones_own_that_cannot_revoke_does_not_seem_to(kind):
    with pytest.raises(NotImplementedError):
        asyncio.run(kind().revoke_user("7"))
