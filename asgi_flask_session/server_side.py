"""A session kept in a store: the id in a cookie -> record -> session, and back. The only file that awaits a store.

No update is lost and no logout is undone, since a record is written only in place of the bytes that were read.
Where another request was faster, what both changed is merged and written again. Whoever ends a session, or gives
it a new id, takes the record away: who comes later finds none, and writes none.

A new id takes a record under it, then ``ENDED`` in place of the old one, which only one request can put there, and
then the old one's deletion. Whatever fails on the way, there is one id that a browser knows and that is good, or
none.
"""

import time
from collections.abc import Coroutine
from math import floor
from random import uniform
from typing import Any, TypeVar

from anyio import CancelScope, current_time, sleep

from .addresses import client_address
from .asgi import Scope
from .cookies import is_deletion, set_cookie_value
from .errors import BadRecord, SessionError, SettingsError, StoreUnavailable, UnwritableSession
from .ids import Ids
from .lazy import fill, is_unloaded, unloaded
from .logs import warn_once
from .merge import merge
from .payload import MAX_NESTING, MAX_TEXT, nested_too_deep
from .policy import CookieAction, cookie_action, refresh_due
from .records import Records
from .revocation import refuses
from .session import Session, plain
from .settings import Settings
from .side import Clock, Side
from .stores.base import open_store

T = TypeVar("T")

# What takes the place of a record whose id is dead: an empty one, whoever reads it.
ENDED = b"{}"
_BRIEFLY = 60  # seconds that something lives which is soon deleted, or kept for longer

_ADDRESS = "_addr"  # Quart-Session's key
_USER = "_user_id"  # Flask-Login's key
_PERMANENT = "_permanent"

_TRIES = 500  # of one write, each after another request was faster: fifty at once need up to fifty
_LONGEST_WAIT = 0.05  # seconds between two of them
_RENEWED = 10_000  # records of which is remembered when they were last renewed


class ServerSide(Side):
    """Opens the session of a request from the store of *settings*, and writes it back.

    *clock* returns the time in seconds since the epoch. *id_salt* is what ids are signed with, where they are.
    Raises SettingsError for settings without a store, or with a URL that leads to none.
    """

    def __init__(self, settings: Settings, clock: Clock = time.time, *, id_salt: str = "flask-session") -> None:
        super().__init__(settings, clock)
        if settings.store is None:
            raise SettingsError("store is not set: write a URL such as 'redis://localhost', or a store")
        store = settings.store
        self.store = open_store(store, timeout=settings.store_timeout) if isinstance(store, str) else store
        self.ids = Ids(settings, id_salt)
        self._records = Records(settings)
        self._prefix = settings.key_prefix
        self._ttl = int(self._permanent_lifetime)
        self._timeout = settings.store_timeout.total_seconds()
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
        if settings.lazy:
            session._scope = scope
            return session
        return await self._load(session, scope)

    async def load(self, session: Session) -> None:
        """Load a lazy session in place; raises StoreUnavailable."""
        if not is_unloaded(session):
            return
        await self._load(session, session._scope)
        is_revoked = self.settings.is_revoked
        if is_revoked is not None and not session.new and await refuses(is_revoked, session):
            dict.clear(session)
            session.new, session.sid = True, None

    async def _load(self, session: Session, scope: Scope) -> Session:
        record = await self._get(session.sid) if session.sid is not None else None
        data = self._opened(record, session) if record is not None else None
        if data is not None:
            session.new = False
            session._stored = session._base = record
            session._user = data.get(_USER)
        else:
            session.sid = None
            data = self._migrated(scope)
            session.new, session.modified = data.new, data.modified
        if is_unloaded(session):
            fill(session, data)
        else:
            dict.update(session, data)
        return session

    def _opened(self, record: bytes, session: Session) -> dict[str, Any] | None:
        """Return what a record gives this request; None for a damaged, an ended or a foreign one."""
        try:
            data, session._format = self._records.loads(record)
        except BadRecord as error:
            warn_once("damaged", "a record in the store is no session: %s. Its visitor gets a new one", error)
            return None
        if self.settings.protection and data.pop(_ADDRESS, session._address) != session._address:
            return None  # the record stays: to delete it would let a thief log its owner out
        if self._absolute_lifetime is not None:
            session._began = self._take_beginning(data)
            if session._began is not None and self._is_over(session._began):
                return None
        return data or None

    # Writing

    async def save(self, session: Session) -> CookieAction:
        """Write what changed, and say what that, or an earlier save of this request, does to the cookie.

        Raises StoreUnavailable, and UnwritableSession for what no record can hold.
        """
        if is_unloaded(session) or session._gone:
            return CookieAction.KEEP
        action = await self._save(session)
        session._unsaved = False
        if action is not CookieAction.KEEP:
            session._owed = action
        return session._owed or CookieAction.KEEP

    async def save_now(self, session: Session) -> None:
        """Do ``session.save()``."""
        await self.save(session)

    async def _save(self, session: Session) -> CookieAction:
        if not (session.modified or session._lent or dict.get(session, _PERMANENT)):
            return CookieAction.KEEP  # what most requests come to
        changed = self._changed_since(session)
        refresh = not changed and self.is_due(session)
        if refresh and self._absolute_lifetime is not None and session._began is None:
            changed = True  # so that its record says from now on when it began
        empty = dict.__len__(session) <= dict.__contains__(session, _PERMANENT)
        action = cookie_action(empty=empty, changed=changed, refresh=refresh, carried=session._carried)
        if changed and empty:
            await self._end(session)
        elif changed:
            return await self._begin(session) if session.sid is None else await self._update(session, session.sid)
        elif action is CookieAction.SET:
            return await self._renew(session)
        return action

    def _changed_since(self, session: Session) -> bool:
        """Say whether there is a change that no save has written yet."""
        if session._owed is None:
            return self.changed(session)
        return self.left_behind(session) or (session.modified and not self.settings.detect_nested)

    def is_due(self, session: Session) -> bool:
        """Say whether the session, if it did not change, gets a new lifetime in the store and in the browser."""
        if session.sid is None or session._sent or session._owed is not None or not dict.get(session, _PERMANENT):
            return False
        return refresh_due(self.settings, age=int(self.clock()) - self._renewed.get(session.sid, 0))

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
            return CookieAction.KEEP
        self._make_permanent(session)
        record = self._text(session)
        self._wrote(session, await self._create(record, self._ttl), record, record)
        return CookieAction.SET

    async def _update(self, session: Session, sid: str) -> CookieAction:
        """Write a session in place of its record, and under a new id where that is due."""
        ours = plain(session)
        old = self._prefix + sid
        renews = self._needs_new_id(session, ours)
        new: tuple[str, bytes] | None = None  # an id and its record
        stored, data = session._stored, ours
        if stored is None or stored is not session._base:  # there is more in the record than was loaded
            stored, data = await self._merged(session, sid, ours)
        for tries in range(_TRIES):
            if stored is None:
                if new is not None:
                    await self._call(self.store.delete(self._prefix + new[0]))
                return self._lost(session)
            if not data:
                await self._end(session)
                return CookieAction.DELETE if session._carried else CookieAction.KEEP
            record = self._dumps(self._with_own_keys(dict(data), session), session)
            if renews:
                new = await self._prepare(new, record)
            if await self._call(
                self.store.replace(old, ENDED, _BRIEFLY, stored)
                if renews
                else self.store.replace(old, record, self._ttl, stored)
            ):
                if new is not None:
                    await self._call(self.store.touch(self._prefix + new[0], self._ttl))
                    await self._call(self.store.delete(old))
                self._wrote(session, new[0] if new else sid, record, record if data is ours else self._text(session))
                return CookieAction.SET
            await self._let_others_write(tries)
            stored, data = await self._merged(session, sid, ours)
        raise StoreUnavailable(f"other requests changed a session {_TRIES} times while it was to be written")

    async def _merged(self, session: Session, sid: str, ours: dict[str, Any]) -> tuple[bytes | None, dict[str, Any]]:
        """Return the record that is there now, None if it is gone, and what ours and its data make together."""
        stored = await self._get(sid)
        if stored is None:
            return None, {}
        try:
            theirs, session._format = self._records.loads(stored)
        except BadRecord:
            return None, {}
        if not theirs:
            return None, {}  # it has ended
        if session._cleared:
            return stored, ours
        base = {} if session._base is None else self._data(session._base)
        return stored, merge(base, self._without_own_keys(theirs), ours, self._same(session))

    def _needs_new_id(self, session: Session, ours: dict[str, Any]) -> bool:
        """Say whether the old id must die: it was asked for, all data went, or another user is logged in."""
        if not (session._renew or session._cleared or ours.get(_USER) != session._user):
            return False
        if session._sent:
            warn_once(
                "late id", "a session was to get a new id after the headers went out: it is saved under the old one"
            )
        return not session._sent

    async def _prepare(self, new: tuple[str, bytes] | None, record: bytes) -> tuple[str, bytes]:
        """Have *record* under a new id, for a brief time: nobody knows the id yet."""
        if new is None:
            return await self._create(record, _BRIEFLY), record
        await self._call(self.store.replace(self._prefix + new[0], record, _BRIEFLY, new[1]))
        return new[0], record

    async def _create(self, record: bytes, ttl: int) -> str:
        sid = self.ids.new()
        if not await self._call(self.store.create(self._prefix + sid, record, ttl)):
            raise StoreUnavailable("the store has a record under an id that was made just now")
        return sid

    async def _let_others_write(self, tries: int) -> None:
        with CancelScope(shield=True):  # what has begun is finished, though the client be gone
            await sleep(uniform(0, min(_LONGEST_WAIT, 0.001 * 2 ** min(tries, 10))))  # noqa: S311  # no secret

    async def _renew(self, session: Session) -> CookieAction:
        sid = session.sid or ""
        if not await self._call(self.store.touch(self._prefix + sid, self._ttl)):
            return self._lost(session)
        self._remember_renewal(sid)
        return CookieAction.SET

    async def _end(self, session: Session) -> None:
        if session.sid is not None:
            await self._call(self.store.delete(self._prefix + session.sid))
        session.sid = session._stored = session._base = session._owed = None

    def _lost(self, session: Session) -> CookieAction:
        """Let a session be whose record another request took away, or whose time was over."""
        warn_once("gone", "a session ended while a request was changing it: the change is dropped, as a logout demands")
        session._gone = True
        session._owed = None
        return CookieAction.KEEP

    def _wrote(self, session: Session, sid: str, record: bytes, base: bytes) -> None:
        session.sid = sid
        session._stored = record
        session._base = base
        session._user = dict.get(session, _USER)
        session._renew = session._cleared = False
        self._remember_renewal(sid)

    def _remember_renewal(self, sid: str) -> None:
        if self.settings.refresh_after is not None:
            if len(self._renewed) >= _RENEWED:
                self._renewed.clear()
            self._renewed[sid] = int(self.clock())

    # With another writer, and the cookie

    async def follow(self, session: Session, line: bytes) -> bool:
        """Say whether the session is still ours to write where an app inside has set its cookie by *line*.

        If that app ended the session, our changes go with it; if it goes on under another id, they are added to
        the record of that id.
        """
        value = set_cookie_value(line)
        if not value or is_deletion(line, self.clock()):
            session._gone = True
            return False
        sid = self.ids.read(value)
        if sid is not None and sid == session.sid:
            await self.save(session)
            return session.sid != sid  # it got a new one now, or has ended
        if self._changed_since(session):
            if sid is None:
                warn_once("no id", "an app inside sets our cookie to what is no id: the change made here is dropped")
                return False
            session.sid, session._stored, session._renew, session._cleared = sid, None, False, False
            session._user = dict.get(session, _USER)
            await self.save(session)
        return False

    def write(self, session: Session, action: CookieAction) -> bytes:
        """Spell the Set-Cookie line for an action that is not KEEP."""
        if action is CookieAction.DELETE or session.sid is None:
            return self.set_cookie.delete()
        expires = floor(self.clock() + self._permanent_lifetime) if dict.get(session, _PERMANENT) else None
        return self.set_cookie.set(self.ids.spell(session.sid), expires)

    # The store

    async def _get(self, sid: str) -> bytes | None:
        """Ask for a record, twice if need be: a connection that broke since its last use is found out by using it."""
        deadline = current_time() + self._timeout
        try:
            return await self._call(self.store.get(self._prefix + sid), deadline)
        except StoreUnavailable:
            if current_time() >= deadline:
                raise
        return await self._call(self.store.get(self._prefix + sid), deadline)

    async def _call(self, call: Coroutine[Any, Any, T], deadline: float | None = None) -> T:
        """Await one call of the store, within its time; raises StoreUnavailable, whatever the store raised."""
        with CancelScope(deadline=deadline or current_time() + self._timeout, shield=True):
            try:
                return await call
            except SessionError:
                raise
            except Exception as error:
                raise StoreUnavailable(f"the store failed: {type(error).__name__}") from error
        raise StoreUnavailable(f"the store did not answer within {self._timeout:g} seconds")

    # Text

    def _came(self, session: Session) -> bytes | None:
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
