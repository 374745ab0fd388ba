"""Sessions in MongoDB under Quart-Session's names: new documents are Flask-Session's, old ones go on working.

Quart-Session keeps a session as ``{_id: UUID, data: {...}}``, without an end. Such a document is read as if it were a
record, and becomes one, with an end, when the session is next written or renewed.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID
from warnings import warn

from bson.binary import Binary
from bson.codec_options import CodecOptions

from asgi_flask_session.errors import SessionWarning, SettingsError
from asgi_flask_session.stores.mongodb import Collection, MongoDBStore
from asgi_flask_session.tagged_json import TaggedJSONSerializer

_UUID_LENGTH = 36  # characters
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
_DUMPS = TaggedJSONSerializer().dumps


def store_from(config: Mapping[str, Any], timeout: timedelta) -> MongoDBStore:
    """Return the store that SESSION_MONGODB_URI and its kin, or Flask-Session's names, describe."""
    collection = config.get("SESSION_MONGODB_COLLECTION") or config.get("SESSION_MONGODB_COLLECT") or "sessions"
    if config.get("SESSION_MONGODB_SET_CALLBACK") is not None:
        warn(
            "SESSION_MONGODB_SET_CALLBACK is not called: a document has an expiration of its own. Leave it out",
            SessionWarning,
            stacklevel=6,
        )
    if (client := config.get("SESSION_MONGODB")) is not None:
        database = config.get("SESSION_MONGODB_DB") or "flask_session"
        return QuartMongoDBStore(client, database=database, collection=collection)
    url = config.get("SESSION_MONGODB_URI") or config.get("SESSION_URI")
    if not url:
        raise SettingsError(
            "SESSION_TYPE='mongodb' needs SESSION_MONGODB_URI, such as 'mongodb://localhost:27017/database'"
        )
    options = config.get("SESSION_MONGODB_CLIENT_KWARGS") or {}
    return QuartMongoDBStore.from_url(url, timeout=timeout, collection=collection, **options)


class QuartMongoDBStore(MongoDBStore):
    """A MongoDBStore that reads Quart-Session's documents too."""

    async def get(self, key: str) -> bytes | None:
        value = await super().get(key)
        return await self._old(key) if value is None else value

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        if await super().replace(key, value, ttl, expected):
            return True
        return await self._old(key) == expected and await self._convert(key, value, ttl)

    async def touch(self, key: str, ttl: int) -> bool:
        if await super().touch(key, ttl):
            return True
        old = await self._old(key)
        return old is not None and await self._convert(key, old, ttl)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        await self._delete_old(key)

    async def _old(self, key: str) -> bytes | None:
        """Return Quart-Session's document as a record; None if there is none."""
        name = _uuid_of(key)
        if name is None:
            return None
        with self._unavailable:
            collection: Collection = (await self._collection()).with_options(codec_options=_AWARE)
            found = await collection.find_one({"_id": name}, ["data"])
        return None if found is None else record_of(found)

    async def _convert(self, key: str, value: bytes, ttl: int) -> bool:
        """Put a record in the place of Quart-Session's document, as the one request that takes that away."""
        return await self._delete_old(key) and await self.create(key, value, ttl)

    async def _delete_old(self, key: str) -> bool:
        name = _uuid_of(key)
        if name is None:
            return False
        with self._unavailable:
            done = await (await self._collection()).delete_one({"_id": name})
            return done.deleted_count > 0


def record_of(document: Mapping[str, Any]) -> bytes:
    """Return the record for a document of Quart-Session; b"", which is no record, where its data cannot be one."""
    try:
        return _DUMPS(dict(document["data"])).encode("ascii")
    except (KeyError, TypeError, ValueError):
        return b""


def _uuid_of(key: str) -> Binary | None:
    """Return the ``_id`` that Quart-Session gives a key: of a prefix and a UUID, the UUID."""
    try:
        return Binary.from_uuid(UUID(key[-_UUID_LENGTH:]))
    except ValueError:
        return None
