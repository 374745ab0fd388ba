"""A session kept in a store: the id in a cookie -> record -> session, and back. The only file that awaits a store.

No update is lost and no logout is undone, since a record is written only in place of the bytes that were read.
Where another request was faster, what both changed is merged and written again. Whoever ends a session, or gives
it a new id, takes the record away: who comes later finds none, and writes none.

A new id takes a record under it, then ``ENDED`` in place of the old one, which only one request can put there, and
then the old one's deletion. Whatever fails on the way, there is one id that a browser knows and that is good, or
none.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from math import floor
from random import uniform
from threading import Lock
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from anyio import CancelScope, current_time, fail_after, sleep

from .addresses import client_address, normal_address
from .asgi import Scope, Store
from .cookies import is_deletion, set_cookie_value
from .errors import BadRecord, SessionError, SettingsError, StoreUnavailable, UnwritableSession
from .ids import Ids
from .lazy import fill, is_unloaded, unloaded
from .logs import logger, warn_once
from .merge import merge
from .payload import MAX_NESTING, MAX_TEXT, nested_too_deep
from .policy import CookieAction, action_of_change
from .records import Format, Records
from .revocation import refuses
from .session import Session, plain
from .settings import Settings
from .side import OF_THE_DATA, OF_THE_REQUEST, Clock, Side
from .stores.base import open_store

T = TypeVar("T")

# What takes the place of a record whose id is dead, by its format. To us it is no record; and what else reads records
# of that format takes it for none, and makes a new id: Flask-Session null, Quart-Session what is no JSON.
ENDED: dict[Format, bytes] = {"msgpack": b"null", "json": b"null", "tagged": b"ended"}
_IS_ENDED = frozenset(ENDED.values())
_BRIEFLY = 60  # seconds that something lives which is soon deleted, or kept for longer

_ADDRESS = "_addr"  # Quart-Session's key
_USER = "_user_id"  # Flask-Login's key
_PERMANENT = "_permanent"

_TRIES = 500  # of one write, each after another request was faster: fifty at once need up to fifty
_LONGEST_WAIT = 0.05  # seconds between two of them
_RENEWED = 10_000  # records of which is remembered when they were last renewed


class _Change(NamedTuple):
    """What a request makes of a record, as it stood when it was to be written."""

    ours: dict[str, Any]
    text: bytes  # of ours
    hard: bool = False  # nothing of the record stays but ours


class ServerSide(Side):
    """Opens the session of a request from the store of *settings*, and writes it back.

    *clock* returns the time in seconds since the epoch. *id_salt* is what ids are signed with, where they are.
    *ends_foreign* deletes a record that protection keeps from a client of another address, as Quart-Session does.
    Raises SettingsError for settings without a store, or with a URL that leads to none.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock = time.time,
        *,
        id_salt: str = "flask-session",
        ends_foreign: bool = False,
    ) -> None:
        super().__init__(settings, clock)
        if settings.store is None:
            raise SettingsError("store is not set: write a URL such as 'redis://localhost', or a store")
        store = settings.store
        self.store = _opened(store, settings.store_timeout) if isinstance(store, str) else store
        self.ids = Ids(settings, id_salt)
        self._records = Records(settings)
        self._ends_foreign = ends_foreign
        self._prefix = settings.key_prefix
        self._ttl = int(self._permanent_lifetime)
        self._timeout = settings.store_timeout.total_seconds()
        self._too_slow = f"the store did not answer within {self._timeout:g} seconds"
        self._renewed: dict[str, int] = {}  # by id, in seconds since the epoch

    # Reading

    async def open(self, value: bytes | None, scope: Scope) -> Session:
        """Return the session of a request, empty and new if cookie *value* leads to no record.

        Raises StoreUnavailable, and what a reader of ``migrate_from`` raises.
        """
        settings = self.settings
        session = unloaded(self._session_class) if settings.lazy else self._session_class()
        session._side = self
        session._format = settings.record_format
        session._carried = value is not None
        if settings.protection:
            session._address = client_address(scope, settings.trusted_proxies)
        if value and (session._address is not None or not settings.protection):
            session.sid = self.ids.read(value)
            if session.sid is None:
                logger().debug("the session cookie is refused: it is no id, or none that a key of ours signed")
        if settings.lazy:
            session._scope = scope
            return session
        return await self._load(session, scope)

    async def load(self, session: Session) -> None:
        """Load a lazy session in place; raises StoreUnavailable."""
        if not is_unloaded(session):
            return
        # Apart from the session, so that nobody sees it before it is known to be good.
        loaded = self._session_class()
        for name in (*OF_THE_REQUEST, "sid"):
            setattr(loaded, name, getattr(session, name))
        await self._load(loaded, session._scope)
        is_revoked = self.settings.is_revoked
        if is_revoked is not None and not loaded.new and await refuses(is_revoked, loaded):
            loaded = self.revoked(loaded)
        if is_unloaded(session):  # no other task of the request was faster
            for name in (*OF_THE_DATA, "modified", "_format", "_address"):
                setattr(session, name, getattr(loaded, name))
            session._scope = None
            fill(session, loaded)

    async def _load(self, session: Session, scope: Scope) -> Session:
        record = await self._get(session.sid) if session.sid is not None else None
        data = await self._opened(record, session) if record is not None else None
        if data is None and session.sid is not None:
            logger().debug(
                "the session cookie is refused: the store has no session under its id. It has ended, or the store or"
                " the key_prefix is another one"
            )
        if data is not None:
            session.new = False
            session._stored = session._base = record
            session._user = data.get(_USER)
        else:
            session.sid = None
            data = self._migrated(scope)
            session.new, session.modified = data.new, data.modified
        dict.update(session, data)
        return session

    async def _opened(self, record: bytes, session: Session) -> dict[str, Any] | None:
        """Return what a record gives this request; None for one that is damaged, over, ended or another's."""
        if record in _IS_ENDED:
            return None
        try:
            data, form = self._records.loads(record)
        except BadRecord as error:
            warn_once("damaged", "a record in the store is no session: %s. Its visitor gets a new one", error)
            return None
        address = session._address
        if self.settings.protection:
            address = data.pop(_ADDRESS, address)  # kept as it is spelled: its writer may compare the text
            if normal_address(address) != session._address:
                logger().debug("the session cookie is refused: the session belongs to another address (protection)")
                if self._ends_foreign:
                    await self._end(session)
                return None  # the record stays otherwise: to delete it would let a thief log its owner out
        began = None
        if self._absolute_lifetime is not None:
            began = self._take_beginning(data)
            if began is not None and self._is_over(began):
                return None
        if not data:
            return None
        session._format, session._began, session._address = form, began, address
        return data

    # Writing

    async def save(self, session: Session) -> CookieAction:
        """Write what changed, and say what that, or an earlier save of this request, does to the cookie.

        Raises StoreUnavailable, and UnwritableSession for what no record can hold.
        """
        if self.is_settled(session) or is_unloaded(session) or session._gone:
            return CookieAction.KEEP
        changed = self._changed_since(session)
        refresh = not changed and self._is_due(session)
        if refresh and self._absolute_lifetime is not None and session._began is None:
            changed = True  # so that its record says from now on when it began
        if changed:
            action = await self._write_change(session)
        elif refresh:
            action = await self._renew(session)
        else:
            return session._owed or CookieAction.KEEP
        session._owed = None if action is CookieAction.KEEP else action
        return action

    async def save_now(self, session: Session) -> None:
        """Do ``session.save()``."""
        await self.save(session)

    def only_refreshes(self, session: Session) -> bool:
        return self._is_due(session) and not self.changed(session)

    def _changed_since(self, session: Session) -> bool:
        """Say whether there is a change that no save has written yet."""
        if session._sent:
            return self.left_behind(session)
        if session._owed is None:
            return self.changed(session)
        return self.left_behind(session) or (session.modified and not self.settings.detect_nested)

    def _is_due(self, session: Session) -> bool:
        """Say whether the session, if it did not change, gets a new lifetime in the store and in the browser."""
        if session.sid is None or session._sent or session._owed is not None or not dict.get(session, _PERMANENT):
            return False
        return self._is_refresh_due(self._renewed.get(session.sid, 0))

    async def _write_change(self, session: Session) -> CookieAction:
        """Write what the session is now; what a task of the same request changes meanwhile is for the next save."""
        renew, hard = session._renew, session._cleared  # hard: what others have put into it has to go as well
        empty = dict.__len__(session) <= dict.__contains__(session, _PERMANENT)
        session._unsaved = session._renew = session._cleared = False
        try:
            if empty and (hard or session.sid is None):
                await self._end(session)
                return _ended(session)
            if session.sid is None:
                return await self._begin(session)
            return await self._update(session, session.sid, renew=renew, hard=hard)
        except BaseException:
            session._unsaved, session._renew, session._cleared = True, renew, hard
            raise

    async def _begin(self, session: Session) -> CookieAction:
        """Make the record of a session that has none."""
        if session._sent:
            warn_once(
                "late", "a session was begun after the headers went out: no cookie can carry its id, and it is lost"
            )
            return CookieAction.KEEP
        if self.settings.protection and session._address is None:
            warn_once(
                "unbound",
                "protection is on, and the address of a client is not known: it gets no session. Behind proxies set"
                " trusted_proxies to their number",
            )
            session._gone = True
            return CookieAction.KEEP
        self._make_permanent(session)
        ours = plain(session)
        record = self._text(session)
        sid = await self._create(record, self._ttl)
        if session.sid is not None:  # another task of the request was faster
            await self._take_back((sid, record))
            return await self._update(session, session.sid, renew=False, hard=False)
        self._wrote(session, sid, record, _Change(ours, record), ours)
        return CookieAction.SET

    async def _update(self, session: Session, sid: str, *, renew: bool, hard: bool) -> CookieAction:
        """Write a session in place of its record, and under a new id where that is due."""
        change = _Change(plain(session), self._text(session), hard)
        renews = self._needs_new_id(session, change, renew=renew)
        old = self._prefix + sid
        new: tuple[str, bytes] | None = None  # an id and its record
        stored, data = session._stored, change.ours
        if stored is None or stored is not session._base:  # there is more in the record than was loaded
            stored, data = await self._merged(session, sid, change)
        for tries in range(_TRIES):
            if stored is None:
                await self._take_back(new)
                return self._lost(session)
            if data.keys() <= {_PERMANENT}:  # whatever was in it is gone
                if await self._call(self.store.replace(old, ENDED[session._format], _BRIEFLY, stored)):
                    await self._take_back(new)
                    await self._end(session)
                    return _ended(session)
            else:
                record = change.text
                if data is not change.ours:
                    record = self._dumps(self._with_own_keys(dict(data), session), session)
                if renews:
                    new = await self._prepare(new, record)
                if await self._call(
                    self.store.replace(old, ENDED[session._format], _BRIEFLY, stored)
                    if renews
                    else self.store.replace(old, record, self._ttl, stored)
                ):
                    if new is not None:
                        await self._put_in_place(old, new[0])
                    self._wrote(session, new[0] if new else sid, record, change, data)
                    return CookieAction.SET
            await self._let_others_write(tries)
            stored, data = await self._merged(session, sid, change)
        raise StoreUnavailable(f"other requests changed a session {_TRIES} times while it was to be written")

    async def _merged(self, session: Session, sid: str, change: "_Change") -> tuple[bytes | None, dict[str, Any]]:
        """Return the record that is there now, None if it is gone, and what our change makes of its data."""
        stored = await self._call(self._get_or_retry(self._prefix + sid))
        if stored is None:
            return None, {}
        try:
            theirs, form = self._records.loads(stored)
        except BadRecord:
            return None, {}
        if not theirs:
            return None, {}  # it has ended
        session._format = form
        if change.hard:
            return stored, change.ours
        base = {} if session._base is None else self._data(session._base)
        return stored, merge(base, self._without_own_keys(theirs), change.ours, self._same(session))

    def asks_for_new_id(self, session: Session) -> bool:
        """Say whether the old id must die: that was asked for, all data went, or another user is logged in."""
        return session._renew or session._cleared or dict.get(session, _USER) != session._user

    async def log_out(self, session: Session) -> None:
        """End the session if, of a change that was cut off, a logout is left: all data went, or the user did."""
        if session._cleared or (session._user is not None and dict.get(session, _USER) is None):
            await self._end(session)

    def _needs_new_id(self, session: Session, change: "_Change", *, renew: bool) -> bool:
        if not (renew or change.hard or change.ours.get(_USER) != session._user):
            return False
        if session._sent:
            warn_once(
                "late id", "a session was to get a new id after the headers went out: it is saved under the old one"
            )
        return not session._sent

    async def _create(self, record: bytes, ttl: int) -> str:
        sid = self.ids.new()
        if not await self._call(self.store.create(self._prefix + sid, record, ttl)):
            raise StoreUnavailable("the store has a record under an id that was made just now")
        return sid

    async def _prepare(self, new: tuple[str, bytes] | None, record: bytes) -> tuple[str, bytes]:
        """Have *record* under a new id, for a brief time: nobody knows the id yet."""
        if new is None:
            return await self._create(record, _BRIEFLY), record
        if not await self._call(self.store.replace(self._prefix + new[0], record, _BRIEFLY, new[1])):
            raise StoreUnavailable("the store lost a record that was made just now")
        return new[0], record

    async def _put_in_place(self, old: str, sid: str) -> None:
        """Give the new record its lifetime, now that the old id is dead."""
        if not await self._call(self.store.touch(self._prefix + sid, self._ttl)):
            raise StoreUnavailable("the store lost a record that was made just now")
        with suppress(StoreUnavailable):  # what is left of the old one is empty, and ends by itself
            await self._call(self.store.delete(old))

    async def _take_back(self, new: tuple[str, bytes] | None) -> None:
        if new is not None:
            await self._call(self.store.delete(self._prefix + new[0]))

    async def _let_others_write(self, tries: int) -> None:
        with CancelScope(shield=True):  # what has begun is finished, though the client be gone
            await sleep(uniform(0, min(_LONGEST_WAIT, 0.001 * 2 ** min(tries, 10))))  # noqa: S311  # no secret

    async def _renew(self, session: Session) -> CookieAction:
        sid = session.sid or ""
        try:
            is_there = await self._call(self.store.touch(self._prefix + sid, self._ttl))
        except StoreUnavailable as error:  # the session was read, and lives on for as long as before
            logger().warning("the lifetime of a session could not be renewed: %s", error)
            return CookieAction.KEEP
        if not is_there:
            return CookieAction.KEEP  # a logout was faster, and nothing of this request is lost by it
        self._remember_renewal(sid)
        return CookieAction.SET

    async def _end(self, session: Session) -> None:
        if session.sid is not None:
            await self._call(self.store.delete(self._prefix + session.sid))
        session.sid = session._stored = session._base = session._user = None

    def _lost(self, session: Session) -> CookieAction:
        """Let a session be whose record another request took away, or whose time was over."""
        warn_once("gone", "a session ended while a request was changing it: the change is dropped, as a logout demands")
        session._gone = True
        return CookieAction.KEEP

    def _wrote(self, session: Session, sid: str, record: bytes, change: "_Change", data: dict[str, Any]) -> None:
        session.sid = sid
        session._stored = record
        session._base = change.text
        session._user = change.ours.get(_USER)
        session._lasts = bool(data.get(_PERMANENT))
        self._remember_renewal(sid)

    def _remember_renewal(self, sid: str) -> None:
        if self.settings.refresh_after is not None:
            if len(self._renewed) >= _RENEWED:
                self._renewed.clear()
            self._renewed[sid] = int(self.clock())

    # With another writer, and the cookie

    async def follow(self, session: Session, line: bytes) -> bool:
        """Say whether our cookie is to go out in place of the one that an app inside has set by *line*.

        If that app ended the session, our changes go with it. If it goes on under another id, they are added to
        the record of that id.
        """
        await self.load(session)  # a lazy one: nothing is ended that this client was not let in to
        value = set_cookie_value(line)
        if not value or is_deletion(line, self.clock()):
            await self._end(session)  # whoever takes the cookie away wants no session, wherever it is kept
            session._gone = True
            return False
        sid = self.ids.read(value)
        if sid is None:
            if self._changed_since(session):
                warn_once("no id", "an app inside sets our cookie to what is no id: the change made here is dropped")
            session._gone = True
            return False
        if sid != session.sid:
            if session.new and session.sid is not None:  # an early save has begun a session of our own
                await self._call(self.store.delete(self._prefix + session.sid))
                session._base = None
            session.sid, session._stored, session._owed = sid, None, None
            session._user = dict.get(session, _USER)  # the id is new: whatever changed, it need not change again
            session._renew = session._cleared = False
        elif session._cleared:  # what the app inside wrote has come later than that
            session._renew, session._cleared = True, False
        await self.save(session)
        return session.sid != sid  # it has got another one now, or has ended

    def write(self, session: Session, action: CookieAction) -> bytes:
        """Spell the Set-Cookie line for an action that is not KEEP."""
        if action is CookieAction.DELETE or session.sid is None:
            return self.set_cookie.delete()
        lasts = session._lasts or dict.get(session, _PERMANENT)
        expires = floor(self.clock() + self._permanent_lifetime) if lasts else None
        return self.set_cookie.set(self.ids.spell(session.sid), expires)

    # The store

    async def _get(self, sid: str) -> bytes | None:
        key = self._prefix + sid
        try:
            try:
                # At half the cost of anyio's scope. A read need not be shielded, as there is nothing to finish.
                limit = asyncio.timeout(self._timeout)
            except RuntimeError:  # on trio
                with fail_after(self._timeout):
                    return await self._get_or_retry(key)
            async with limit:
                return await self._get_or_retry(key)
        except SessionError:
            raise
        except TimeoutError as error:
            raise StoreUnavailable(self._too_slow) from error
        except Exception as error:
            raise StoreUnavailable(f"the store failed: {type(error).__name__}") from error

    async def _get_or_retry(self, key: str) -> bytes | None:
        try:
            return await self.store.get(key)
        except Exception:  # noqa: BLE001  # a connection that broke since its last use is found out by using it
            return await self.store.get(key)

    async def _call(self, call: Coroutine[Any, Any, T]) -> T:
        """Await a call that changes the store, within its time and to its end, though the client be gone."""
        with CancelScope(deadline=current_time() + self._timeout, shield=True):
            try:
                return await call
            except SessionError:
                raise
            except Exception as error:
                raise StoreUnavailable(f"the store failed: {type(error).__name__}") from error
        raise StoreUnavailable(self._too_slow)

    # Text

    def came(self, session: Session) -> bytes | None:
        return session._base

    def _loads(self, text: bytes) -> dict[str, Any]:
        return self._records.loads(text)[0]

    def _dumps(self, data: Any, session: Session) -> bytes:
        record = self._records.dumps(data, session._format)
        deep = len(record) > MAX_NESTING and session._format != "msgpack" and nested_too_deep(record)
        if deep or len(record) > MAX_TEXT:
            raise UnwritableSession(
                f"the session makes a record of {len(record)} bytes, of which at most {MAX_TEXT} bytes and"
                f" {MAX_NESTING} levels are read back"
            )
        return record

    def _data(self, text: bytes) -> dict[str, Any]:
        return self._without_own_keys(self._loads(text))

    def _without_own_keys(self, data: dict[str, Any]) -> dict[str, Any]:
        if self.settings.protection:
            data.pop(_ADDRESS, None)
        if self._absolute_lifetime is not None:
            self._take_beginning(data)
        return data

    def _with_own_keys(self, data: dict[str, Any], session: Session) -> dict[str, Any]:
        data = super()._with_own_keys(data, session)
        if data and self.settings.protection:
            data[_ADDRESS] = session._address
        return data


def _opened(url: str, timeout: timedelta) -> Store:
    """Return the one store of this process for *url*, while it is in use.

    A framework may make a middleware for each route, first requests may come at once in threads, and whoever writes
    "memory:" twice means one memory.
    """
    with _OPENING:
        store = _STORES.get((url, timeout))
        if store is None:
            store = _STORES[url, timeout] = open_store(url, timeout=timeout)
        return store


_STORES: WeakValueDictionary[tuple[str, timedelta], Store] = WeakValueDictionary()
_OPENING = Lock()


def _ended(session: Session) -> CookieAction:
    return action_of_change(empty=True, carried=session._carried)
