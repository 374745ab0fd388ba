"""Sessions in MongoDB under Quart-Session's names: new documents are Flask-Session's, old ones go on working.

Quart-Session keeps a session as ``{_id: UUID, data: {...}}``, without an end; under another prefix than its own
``session:``, the ``_id`` is the key. Such a document is read as if it were a record, and becomes one in its place,
with an end, when the session is next written or renewed.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions

from asgi_flask_session.errors import SettingsError
from asgi_flask_session.stores.mongodb import MongoDBStore
from asgi_flask_session.tagged_json import TaggedJSONSerializer

_PREFIX = "session:"
_AS_THEIRS: CodecOptions[dict[str, Any]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
_IS_THERE = {"$exists": True}
_DUMPS = TaggedJSONSerializer().dumps


def store_from(config: Mapping[str, Any]) -> MongoDBStore:
    """Return the store that SESSION_MONGODB_URI and its kin, or Flask-Session's names, describe."""
    collection = config.get("SESSION_MONGODB_COLLECTION") or config.get("SESSION_MONGODB_COLLECT") or "sessions"
    database = config.get("SESSION_MONGODB_DB")
    if (client := config.get("SESSION_MONGODB")) is not None:
        return QuartMongoDBStore(client, database=database or "flask_session", collection=collection)
    url = config.get("SESSION_MONGODB_URI") or config.get("SESSION_URI")
    if not url:
        raise SettingsError(
            "SESSION_TYPE='mongodb' needs SESSION_MONGODB_URI, such as 'mongodb://localhost:27017/database', or"
            " SESSION_MONGODB, an AsyncMongoClient"
        )
    options = config.get("SESSION_MONGODB_CLIENT_KWARGS") or {}
    return QuartMongoDBStore.from_url(_with_database(url, database), collection=collection, **options)


def _with_database(url: str, database: str | None) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # the store says what is wrong with it
        return url
    return parts._replace(path=f"/{database}").geturl() if database and parts.path in ("", "/") else url


class QuartMongoDBStore(MongoDBStore):
    """A MongoDBStore that reads Quart-Session's documents too."""

    async def get(self, key: str) -> bytes | None:
        value = await super().get(key)
        if value is not None:
            return value
        old = await self._old(key)
        return None if old is None else record_of(old)

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        if await super().replace(key, value, ttl, expected):
            return True
        old = await self._old(key)
        return old is not None and record_of(old) == expected and await self._convert(old, key, value, ttl)

    async def touch(self, key: str, ttl: int) -> bool:
        if await super().touch(key, ttl):
            return True
        old = await self._old(key)
        return old is not None and await self._convert(old, key, record_of(old), ttl)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        with self._unavailable:
            await (await self._collection()).delete_many(_where(key))

    async def _old(self, key: str) -> dict[str, Any] | None:
        """Return Quart-Session's document; None if there is none."""
        with self._unavailable:
            collection = await self._collection()
            return await collection.with_options(codec_options=_AS_THEIRS).find_one(_where(key), ["data"])

    async def _convert(self, old: Mapping[str, Any], key: str, value: bytes, ttl: int) -> bool:
        """Make a record of Quart-Session's document, as the one request that finds it as it was."""
        record = {"id": key, "val": value, "expiration": self._time(ttl), "version": 1}
        with self._unavailable:
            collection = (await self._collection()).with_options(codec_options=_AS_THEIRS)
            done = await collection.update_one(
                {"_id": old["_id"], "data": _IS_THERE}, {"$set": record, "$unset": {"data": ""}}
            )
            return done.matched_count > 0


def record_of(document: Mapping[str, Any]) -> bytes:
    """Return the record for a document of Quart-Session; b"", which is no record, where its data cannot be one."""
    try:
        return _DUMPS(dict(document["data"])).encode("ascii")
    except (KeyError, TypeError, ValueError):
        return b""


def _where(key: str) -> dict[str, Any]:
    """Return the filter for the document that Quart-Session would have under *key*."""
    names: list[Any] = [key]
    text = key.removeprefix(_PREFIX)
    try:
        if key.startswith(_PREFIX) and str(name := UUID(text)) == text:
            names.append(Binary.from_uuid(name))
    except ValueError:
        pass
    return {"_id": {"$in": names}, "data": _IS_THERE}
