"""docs/quart.md: the store for Google Cloud Datastore, over a stand-in for Google's client."""

import asyncio
import re
import sys
import threading
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC
from pathlib import Path
from types import ModuleType

import pytest
from driver import SECRET
from quart import Quart, session
from stores.contract import SessionContract, StoreContract

from quart_plugin import FlaskSessionInterface

PAGE = (Path(__file__).parents[2] / "docs" / "quart.md").read_text("utf-8")


class Aborted(Exception):
    """Another transaction was faster."""


class Entity(dict):
    def __init__(self, key, exclude_from_indexes=()):
        super().__init__()
        self.key, self.exclude_from_indexes = key, exclude_from_indexes


class Client:
    """Does what Google's is documented to do: a transaction is of its thread, and fails if what it read has changed."""

    def __init__(self):
        self._entities = {}
        self._lock = threading.Lock()
        self._current = threading.local()
        self.closed = False

    def key(self, kind, name):
        return kind, name

    def get(self, key):
        with self._lock:
            entity = self._entities.get(key)
        if (transaction := getattr(self._current, "transaction", None)) is not None:
            transaction.read[key] = entity
        return entity

    def put(self, entity):
        assert set(entity) == {"value", "expires"}
        assert entity.exclude_from_indexes == ["value"]
        assert entity["expires"].tzinfo is UTC
        self._current.transaction.written[entity.key] = entity

    def delete(self, key):
        with self._lock:
            self._entities.pop(key, None)

    @contextmanager
    def transaction(self):
        self._current.transaction = transaction = Transaction()
        try:
            yield transaction
        finally:
            self._current.transaction = None
        with self._lock:
            if any(self._entities.get(key) is not entity for key, entity in transaction.read.items()):
                raise Aborted
            self._entities.update(transaction.written)

    def close(self):
        self.closed = True


class Transaction:
    def __init__(self):
        self.read, self.written = {}, {}


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def block(monkeypatch):
    """Return the names of the block, which ends with an app that keeps its sessions in the store."""
    modules = {name: ModuleType(name) for name in ("google", "google.cloud", "google.api_core")}
    modules["google.cloud"].datastore = datastore = ModuleType("google.cloud.datastore")
    modules["google.api_core.exceptions"] = exceptions = ModuleType("google.api_core.exceptions")
    datastore.Client, datastore.Entity, exceptions.Aborted = Client, Entity, Aborted
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    [code] = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    namespace = {"app": Quart("app"), "FlaskSessionInterface": FlaskSessionInterface}
    exec(code, namespace)
    return namespace


class TestDatastoreStore(StoreContract, SessionContract):
    # What no store has to have.
    test_ping_and_closing_twice = None

    @pytest.fixture(autouse=True)
    def _block(self, block):
        self.store_class = block["DatastoreStore"]

    @asynccontextmanager
    async def opened(self, clock):
        client = Client()
        store = self.store_class(client, clock=clock)
        yield store
        await store.aclose()
        assert client.closed


def test_a_quart_app_keeps_its_sessions_there(block):
    app = block["app"]
    app.secret_key = SECRET

    @app.get("/")
    async def count():
        session["visits"] = session.get("visits", 0) + 1
        return {"visits": session["visits"]}

    async def main():
        client = app.test_client()
        return [await (await client.get("/")).get_json() for _ in range(2)]

    assert asyncio.run(main()) == [{"visits": 1}, {"visits": 2}]
