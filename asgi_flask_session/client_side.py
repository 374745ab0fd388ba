"""A session kept whole in its signed cookie: cookie value -> session -> Set-Cookie line, without any await."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from math import floor
from typing import Any

from .asgi import Scope
from .cookies import SetCookie
from .errors import BadCookie, CookieTooLarge, UnwritableSession
from .logs import logger
from .merge import merge
from .payload import MAX_NESTING, MAX_TEXT, decode, encode, nested_too_deep
from .policy import CookieAction, accepted_ages, cookie_action, refresh_due
from .session import Session, plain
from .settings import Settings
from .signing import CookieSigner
from .tagged_json import find_unwritable

MAX_VALUE = 16 * 1024  # bytes of a cookie value that are looked at, and written
_BROWSER_LIMIT = 4096  # bytes of name=value (measured in Chromium)
_BEGAN = "_began"
_LATEST = 2**63  # seconds; a beginning beyond is rubbish

Clock = Callable[[], float]


class ClientSide:
    """Opens the session of a request and spells the cookie of its response, for one set of settings.

    *clock* returns the time in seconds since the epoch.
    """

    def __init__(self, settings: Settings, clock: Clock = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self.set_cookie = SetCookie(settings)
        self._signer = CookieSigner(
            settings.keys,
            salt=settings.salt,
            key_derivation=settings.key_derivation,
            digest_method=settings.digest_method,
        )
        self._session_class = settings.session_class
        self._absolute_lifetime = settings.absolute_lifetime
        self._serializer = settings.serializer
        self._reads_text = isinstance(settings.serializer.dumps({}), str)
        self._permanent_lifetime = settings.permanent_lifetime.total_seconds()
        self._accepted_ages = accepted_ages(settings)
        # A line over this is looked at closely; a shorter one holds no value that is too large.
        self._max_size = min(settings.max_cookie_size or MAX_VALUE, MAX_VALUE)
        self._remembered: dict[bytes, tuple[bytes, int, bytes]] = {}

    # Reading

    def open(self, value: bytes | None, scope: Scope) -> Session:
        """Return the session of a request, empty and new if cookie *value* is none, whatever that is.

        What a reader of ``migrate_from`` raises comes out.
        """
        refused: bytes | None = None
        if value:
            try:
                last = self._verify(value)
                data = self._loads(last[2])
            except BadCookie as error:
                logger.debug("the session cookie is refused: %s", error)
            else:
                if (age := int(self.clock()) - last[1]) in self._accepted_ages:
                    session = self._session_class(data)
                    session.new = False
                    session._carried = True
                    session._last = last
                    session._signed = last[1]
                    lifetime = self._absolute_lifetime
                    return session if lifetime is None else self._within_lifetime(session, lifetime)
                logger.debug("the session cookie is refused: it is %s seconds old", age)
                refused = last[2]
        session = self._migrated(scope) if self.settings.migrate_from else self._session_class()
        if value is not None:
            session._carried = True
            session._refused = refused
        return session

    def revoked(self, session: Session) -> Session:
        """Return the empty session that takes the place of one that is no longer good."""
        empty = self._session_class()
        empty._carried = session._carried
        empty._refused = None if session._last is None else session._last[2]
        return empty

    def replaced(self, session: Session, data: Mapping[str, Any]) -> Session:
        """Return a changed session of the same request, with *data* in place of its own."""
        replacement = self._session_class(plain(data))
        for name in ("new", "_carried", "_signed", "_began", "_last", "_refused"):
            setattr(replacement, name, getattr(session, name))
        replacement.mark_modified()
        replacement._lent = True  # whoever put it there may still hold what is in it
        return replacement

    def _verify(self, value: bytes) -> tuple[bytes, int, bytes]:
        """Return payload, timestamp and text of a cookie value that our keys signed; raises BadCookie."""
        if self._remembered and (remembered := self._remembered.get(value)) is not None:
            return remembered
        if len(value) > MAX_VALUE:
            raise BadCookie(f"it is longer than {MAX_VALUE} bytes")
        payload, signed = self._signer.unsign(value)
        text = decode(payload)
        verified = payload, signed, text
        if self.settings.remember and len(text) <= MAX_VALUE:
            if len(self._remembered) >= self.settings.remember:
                self._remembered.clear()
            self._remembered[value] = verified
        return verified

    def _loads(self, text: bytes) -> dict[str, Any]:
        if len(text) > MAX_NESTING and self._reads_text and nested_too_deep(text):
            raise BadCookie(f"the payload is nested deeper than {MAX_NESTING} levels")
        try:
            data = self._serializer.loads(text.decode("utf-8") if self._reads_text else text)
        except Exception as error:  # a tag of the application may raise anything
            raise BadCookie("the payload is no tagged JSON") from error
        if not isinstance(data, dict):
            raise BadCookie("the payload is no JSON object")
        return data

    def _data(self, text: bytes) -> dict[str, Any]:
        """Return the data of *text* without the beginning, which the session keeps apart; raises BadCookie."""
        data = self._loads(text)
        if self._absolute_lifetime is not None:
            data.pop(_BEGAN, None)
        return data

    def _migrated(self, scope: Scope) -> Session:
        for read in self.settings.migrate_from:
            if data := read(scope):
                session = self._session_class(data)
                session.new = False
                session.modified = True  # so that it is written as ours
                return session
        return self._session_class()

    def _within_lifetime(self, session: Session, lifetime: timedelta) -> Session:
        began = dict.pop(session, _BEGAN, None)
        session._began = began if type(began) is int and 0 <= began <= _LATEST else session._signed
        if self.clock() - (session._began or 0) > lifetime.total_seconds():
            return self.revoked(session)
        return session

    # Deciding

    def decide(self, session: Session) -> CookieAction:
        """Say what the end of the request does to the cookie; raises UnwritableSession."""
        permanent = bool(dict.get(session, "_permanent"))
        if not (session.modified or session._lent or permanent):
            return CookieAction.KEEP  # what most requests come to: there is nothing to ask about
        changed = session.modified or self.changed(session)
        return cookie_action(
            empty=not dict.__len__(session),
            changed=changed,
            refresh=permanent and not changed and self._refresh_due(session),
            carried=session._carried,
        )

    def _refresh_due(self, session: Session) -> bool:
        return refresh_due(self.settings, age=int(self.clock()) - (session._signed or 0))

    def changed(self, session: Session) -> bool:
        """Say whether the session differs from what came: by a mark, or inside a value that was handed out."""
        if session.modified or not (session._lent and self.settings.detect_nested):
            return session.modified
        return self._differs(session)

    def left_behind(self, session: Session) -> bool:
        """Say whether the session was changed after it was written, so that no cookie has the change."""
        if session._unsaved or not (session._lent and self.settings.detect_nested):
            return session._unsaved
        try:
            return self._differs(session)
        except UnwritableSession:
            return True

    def _differs(self, session: Session) -> bool:
        if session._last is None:
            return False  # nothing came that could have been handed out
        # Text is compared, since == takes 1 for True; ours first, which most often is what came.
        last = session._last[2]
        try:
            now = self._text(session)
        except UnwritableSession:
            return self._differs_by_key(session, last)
        return now != last and now != self._dumps(self._with_beginning(self._data(last), session))

    def _differs_by_key(self, session: Session, text: bytes) -> bool:
        """Do the same where some value cannot be written, which may well be as it came."""
        last = self._data(text)
        if dict.keys(session) != last.keys():
            return True
        return any(self._text_or_none(value) != self._text_or_none(last[key]) for key, value in dict.items(session))

    def _text_or_none(self, value: Any) -> bytes | None:
        try:
            return self._dumps([value])
        except UnwritableSession:
            return None

    # Writing

    def write(self, session: Session, action: CookieAction) -> bytes:
        """Spell the Set-Cookie line for an action that is not KEEP; raises UnwritableSession."""
        if action is CookieAction.DELETE:
            session._last = None
            return self.set_cookie.delete()
        now = self.clock()
        second = int(now)
        last = session._last
        untouched = not (session.modified or session.accessed or session._lent or self._absolute_lifetime)
        payload, text = (last[0], last[2]) if untouched and last is not None else self._spell(session)
        value = self._signer.sign(payload, second)
        expires = floor(now + self._permanent_lifetime) if dict.get(session, "_permanent") else None
        line = self.set_cookie.set(value, expires)
        if len(line) > self._max_size:
            self._check_size(session, value, line)
        session._last = payload, second, text
        return line

    def _spell(self, session: Session) -> tuple[bytes, bytes]:
        """Return payload and text of a session that was looked at, as Flask spells them."""
        last = session._last
        try:
            text = self._text(session)
        except UnwritableSession:
            if last is None or session.modified or self._differs_by_key(session, last[2]):
                raise
            return last[0], last[2]  # it came as what nobody can write, and goes out as it came
        if last is not None and text == last[2] and last[0].startswith(b"."):
            return last[0], text  # to compress it once more would only give the same
        if len(text) > MAX_NESTING and self._reads_text and nested_too_deep(text):
            raise UnwritableSession(
                f"the session is nested deeper than {MAX_NESTING} levels, which could not be read back."
                f" {self._largest_keys(session)}"
            )
        if len(text) > MAX_TEXT:
            raise UnwritableSession(
                f"the session is {len(text)} bytes of JSON, of which at most {MAX_TEXT} can be read back."
                f" {self._largest_keys(session)}"
            )
        return encode(text), text

    def merge(self, session: Session, inner: bytes, *, deleted: bool) -> bytes | None:
        """Spell the one line for a session that was changed here and, as cookie value *inner*, by an app inside.

        None if that value is not signed with our keys: it is somebody else's cookie of the same name.
        """
        try:
            theirs = {} if deleted else self._data(decode(self._signer.unsign(inner)[0]))
        except BadCookie:
            return None
        self._text(session)  # raises with the path of the key
        last = session._refused if session._last is None else session._last[2]
        base = {} if last is None else self._data(last)
        merged = merge(base, theirs, plain(session), lambda one, other: self._dumps([one]) == self._dumps([other]))
        session._lent = False  # what goes out is not what is here, so no later look can tell what changed
        return self.write(self.replaced(session, merged), CookieAction.SET if merged else CookieAction.DELETE)

    def _check_size(self, session: Session, value: bytes, line: bytes) -> None:
        """Warn of a cookie that browsers may refuse; raises CookieTooLarge for one that could not be read back."""
        if len(value) > MAX_VALUE:
            raise CookieTooLarge(
                f"the session makes a cookie of {len(value)} bytes; at most {MAX_VALUE} are read back."
                f" {self._largest_keys(session)}",
                size=len(value),
                limit=MAX_VALUE,
            )
        limit = self.settings.max_cookie_size
        if not 0 < limit < len(line):
            return
        message = (
            f"the session cookie is {len(line)} bytes, over the {limit} of max_cookie_size."
            f" {self._largest_keys(session)} Browsers refuse a cookie over {_BROWSER_LIMIT} bytes of name=value,"
            " and go on sending the old session"
        )
        if self.settings.on_large_cookie == "raise":
            raise CookieTooLarge(message, size=len(line), limit=limit)
        logger.warning(message)

    def _largest_keys(self, session: Session) -> str:
        sizes = {key: len(self._text_or_none(value) or b"[]") - 2 for key, value in dict.items(session)}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        return f"Its largest keys are {', '.join(f'{key!r} ({sizes[key]} bytes)' for key in largest)}."

    def _text(self, session: Session) -> bytes:
        data = dict(dict.items(session))
        return self._dumps(data if self._absolute_lifetime is None else self._with_beginning(data, session))

    def _with_beginning(self, data: dict[str, Any], session: Session) -> dict[str, Any]:
        if data and self._absolute_lifetime is not None:
            if session._began is None:
                session._began = int(self.clock())
            data[_BEGAN] = session._began
        return data

    def _dumps(self, data: Any) -> bytes:
        try:
            text = self._serializer.dumps(data)
        except Exception as error:
            where = find_unwritable(self._serializer.dumps, data)
            raise UnwritableSession(f"the session cannot be written: {where}") from error
        encoded: bytes = text.encode() if self._reads_text else text
        return encoded
