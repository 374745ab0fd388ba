"""Sessions in MongoDB, by pymongo's asynchronous client, which runs on asyncio only.

The documents are Flask-Session's, so that a Flask app on the same collection shares the sessions: ``id`` is the key,
``val`` the record and ``expiration`` the end of its life. Ours have two things more, of which Flask-Session takes no
notice. Their ``_id`` is the key too: it is unique without an index of ours, which an older collection could refuse, so
that of many who create one record one does. And ``version`` counts what was written: a record is written only where
version and expiration are still those of the bytes that were compared, and a writer that does not count changes the
expiration.
"""

import asyncio
import time
from asyncio import AbstractEventLoop, Task
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from ..errors import SettingsError
from ..logs import warn_once
from .base import DEFAULT_TIMEOUT, BaseStore, Unavailable

Client: TypeAlias = AsyncMongoClient[dict[str, Any]]
Collection: TypeAlias = AsyncCollection[dict[str, Any]]

_DATABASE = "flask_session"
_COLLECTION = "sessions"
_FIELDS = ["val", "expiration", "version"]
_NONE = {"$exists": False}
_PATIENCE = 0.25  # seconds that the first call waits for the indexes, which take a large collection longer

# A date comes as milliseconds, whatever its year is.
_CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


class MongoDBStore(BaseStore):
    """Keeps each record in a document of *collection*, as Flask-Session does.

    *client* is an AsyncMongoClient, used on its own event loop. Whatever it prefers, records are read from the primary
    server: another may still have one that was ended. The server deletes what is past its lifetime, if it has the
    index for it, which the first call makes. *clock* returns the time in seconds since the epoch.
    """

    _unavailable = Unavailable("MongoDB")

    def __init__(
        self,
        client: Client,
        *,
        database: str = _DATABASE,
        collection: str = _COLLECTION,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not isinstance(client, AsyncMongoClient):
            raise SettingsError(
                f"client is a {type(client).__name__}: write pymongo.AsyncMongoClient(...), or"
                " MongoDBStore.from_url(url)"
            )
        _check_writes(client)
        self._make: Callable[[], Client] = lambda: client
        self._owns_clients = False
        self._names = database, collection
        self._clock = clock
        self._links: dict[AbstractEventLoop, _Link] = {}

    @classmethod
    def from_url(
        cls, url: str, *, timeout: timedelta = DEFAULT_TIMEOUT, collection: str = _COLLECTION, **more: Any
    ) -> Self:
        """Return a store for ``mongodb://host/database``, with anything that MongoDB's own URLs may have.

        Without a database it is Flask-Session's, "flask_session". *timeout* sets the limits of time that neither the
        URL nor *more*, the keywords of AsyncMongoClient, do. One store may serve several event loops, each by a client
        of its own.
        """
        scheme, colon, rest = url.partition(":")
        url = scheme.lower() + colon + rest
        milliseconds = int(timeout.total_seconds() * 1000)
        limits = {
            "serverSelectionTimeoutMS": milliseconds,
            "connectTimeoutMS": milliseconds // 2,
            "socketTimeoutMS": milliseconds,
            "waitQueueTimeoutMS": milliseconds,
        }
        try:
            given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
            options: dict[str, Any] = {
                name: limit for name, limit in limits.items() if name.lower() not in given
            } | more
            client: Client = AsyncMongoClient(url, **options)
            database = client.get_default_database(_DATABASE).name
        except (PyMongoError, ValueError) as error:
            raise SettingsError(
                f"{type(error).__name__}: a URL of MongoDB is 'mongodb://user:password@host:27017/database', with user"
                " and password escaped by urllib.parse.quote_plus"
            ) from None  # what was found may be a part of the password
        store = cls(client, database=database, collection=collection)
        store._make = lambda: AsyncMongoClient(url, **options)
        store._owns_clients = True
        return store

    async def get(self, key: str) -> bytes | None:
        with self._unavailable:
            collection = await self._collection()
            return self._value(await collection.find_one({"id": key}, _FIELDS))

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        with self._unavailable:
            collection = await self._collection()
            document = {"_id": key, "val": value, "expiration": self._time(ttl), "version": 1}
            while True:
                try:
                    done = await collection.update_one({"id": key}, {"$setOnInsert": document}, upsert=True)
                except DuplicateKeyError:  # another was faster
                    return False
                if not done.matched_count:
                    return True
                over = await collection.delete_many({"id": key, "expiration": {"$lte": self._time()}})
                if not over.deleted_count:
                    return False

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        with self._unavailable:
            collection = await self._collection()
            while True:
                found = await collection.find_one({"id": key}, _FIELDS)
                if found is None or self._value(found) != expected:
                    return False
                version = found.get("version", _NONE)
                same = {"_id": found["_id"], "expiration": found["expiration"], "version": version}
                count = version + 1 if isinstance(version, int) else 1
                changes = {"val": value, "expiration": self._time(ttl), "version": count}
                done = await collection.update_one(same, {"$set": changes})
                if done.matched_count:
                    return True
                # It was written, touched or deleted meanwhile: look again which of these.

    async def touch(self, key: str, ttl: int) -> bool:
        with self._unavailable:
            collection = await self._collection()
            lives = {"id": key, "expiration": {"$gt": self._time()}}
            done = await collection.update_one(lives, {"$set": {"expiration": self._time(ttl)}})
            return done.matched_count > 0

    async def delete(self, key: str) -> None:
        with self._unavailable:
            collection = await self._collection()
            await collection.delete_many({"id": key})  # Flask-Session may have made two

    async def aclose(self) -> None:
        """Close the client of this event loop, if it was made from a URL. A later call makes a new one."""
        with suppress(SettingsError):  # on trio nothing was opened
            link = self._links.pop(_this_loop(), None)
            if link is not None:
                await link.aclose(close_client=self._owns_clients)

    async def ping(self) -> None:
        """Ask the server for a sign of life; raises StoreUnavailable."""
        with self._unavailable:
            await self._link().client.admin.command("ping")

    async def prune(self) -> int:
        """Delete what is past its lifetime before the server does, and return how many records that were."""
        with self._unavailable:
            collection = await self._collection()
            done = await collection.delete_many({"expiration": {"$lte": self._time()}})
            return done.deleted_count

    async def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        with self._unavailable:
            collection = await self._collection()
            async for found in collection.find({"expiration": {"$gt": self._time()}}, [*_FIELDS, "id"]):
                value = self._value(found)
                if value and isinstance(found.get("id"), str):
                    yield found["id"], value

    def _time(self, later: int = 0) -> DatetimeMS:
        """Return the time, now or *later* seconds from now."""
        return DatetimeMS(int((self._clock() + later) * 1000))

    def _value(self, found: Mapping[str, Any] | None) -> bytes | None:
        """Return the bytes of a document; None for none and for one that is over, b"" for what is no record."""
        end = None if found is None else found.get("expiration")
        if not isinstance(end, DatetimeMS) or end <= self._time():
            return None
        value = found and found.get("val")
        return bytes(value) if isinstance(value, bytes) else b""

    # The client of an event loop

    def _link(self) -> "_Link":
        loop = _this_loop()
        link = self._links.get(loop)
        if link is None:
            for other in [one for one in self._links if one.is_closed()]:
                del self._links[other]
            link = self._links[loop] = _Link(self._make(), *self._names)
        return link

    async def _collection(self) -> Collection:
        link = self._link()
        await link.make_indexes()
        return link.collection


class _Link:
    """A client on its event loop."""

    def __init__(self, client: Client, database: str, collection: str) -> None:
        self.client = client
        self.collection: Collection = client[database].get_collection(
            collection, codec_options=_CODEC, read_preference=ReadPreference.PRIMARY
        )
        self._indexing: Task[bool] | None = None

    async def make_indexes(self) -> None:
        """Begin to make the indexes, where that was not done, and give it a short time the first time.

        No call waits for longer, and none that is cancelled ends it: every call would be too late, until the index
        of a large collection is made, and none would ever make it.
        """
        task = self._indexing
        if task is not None and (not task.done() or _was_done(task)):
            return
        self._indexing = asyncio.create_task(self._make_indexes())
        if task is None:
            await asyncio.wait([self._indexing], timeout=_PATIENCE)

    async def _make_indexes(self) -> bool:
        """Make the indexes, those that the server does not refuse, and say whether that is settled."""
        for field, options in _INDEXES.items():
            try:
                await self.collection.create_index(field, **options)
            except OperationFailure as error:
                if error.code not in _HAS_OTHERS:
                    warn_once(
                        "mongodb",
                        "MongoDB makes no index on %r for the sessions (code %s): they need one on 'id', and one on"
                        " 'expiration' with expireAfterSeconds=0, or prune() now and then",
                        field,
                        error.code,
                    )
            except PyMongoError:
                return False  # the next call begins anew
        return True

    async def aclose(self, *, close_client: bool) -> None:
        if self._indexing is not None and not self._indexing.done():
            self._indexing.cancel()
            await asyncio.wait([self._indexing])
        if close_client:
            await self.client.close()


_INDEXES: dict[str, dict[str, Any]] = {"expiration": {"expireAfterSeconds": 0}, "id": {}}  # the first as Flask-Session
_HAS_OTHERS = {85, 86}  # IndexOptionsConflict, IndexKeySpecsConflict: somebody made indexes of these fields otherwise


def _was_done(task: Task[bool]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result()


def _this_loop() -> AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise SettingsError(
            "pymongo runs on asyncio, and so does MongoDBStore: on trio use a Redis, SQLite or memcached store"
        ) from None


def _check_writes(client: Client) -> None:
    if not client.write_concern.acknowledged:
        raise SettingsError("the client has w=0, and would not tell whether a session was written: leave it out")
