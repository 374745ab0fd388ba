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
from .payload import decode, encode
from .policy import CookieAction, accepted_ages, cookie_action, refresh_due
from .session import Session, plain
from .settings import Settings
from .signing import CookieSigner
from .tagged_json import find_unwritable

MAX_VALUE = 16 * 1024  # bytes of a cookie value that are looked at, and written
_BROWSER_LIMIT = 4096  # bytes of name=value (measured in Chromium)
_BEGAN = "_began"

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
        self._serializer = settings.serializer
        self._reads_text = isinstance(settings.serializer.dumps({}), str)
        self._permanent_lifetime = settings.permanent_lifetime.total_seconds()
        self._accepted_ages = accepted_ages(settings)
        self._remembered: dict[bytes, tuple[bytes, int, bytes]] = {}

    # Reading

    def open(self, value: bytes | None, scope: Scope) -> Session:
        """Return the session of a request, empty and new if cookie *value* is none. Raises nothing."""
        session_class = self.settings.session_class
        if value:
            try:
                payload, signed, data = self._read(value)
            except BadCookie as error:
                logger.debug("the session cookie is refused: %s", error)
            else:
                session = session_class(data)
                session.new = False
                session._payload = payload
                session._signed = signed
                session._carried = True
                lifetime = self.settings.absolute_lifetime
                return session if lifetime is None else self._within_lifetime(session, lifetime)
        session = self._migrated(scope) if self.settings.migrate_from else session_class()
        if value is not None:
            session._carried = True
        return session

    def revoked(self, session: Session) -> Session:
        """Return the empty session that takes the place of one that is no longer good."""
        empty = self.settings.session_class()
        empty._carried = session._carried
        return empty

    def replaced(self, session: Session, data: Mapping[str, Any]) -> Session:
        """Return a changed session of the same request, with *data* in place of its own."""
        replacement = self.settings.session_class(plain(data))
        for name in ("new", "_carried", "_payload", "_signed", "_began"):
            setattr(replacement, name, getattr(session, name))
        replacement.mark_modified()
        return replacement

    def _read(self, value: bytes) -> tuple[bytes, int, dict[str, Any]]:
        payload, signed, text = self._remembered.get(value) or self._verify(value)
        if (age := int(self.clock()) - signed) not in self._accepted_ages:
            raise BadCookie(f"it is {age} seconds old: too old, or from the future")
        return payload, signed, self._loads(text)

    def _verify(self, value: bytes) -> tuple[bytes, int, bytes]:
        if len(value) > MAX_VALUE:
            raise BadCookie(f"it is longer than {MAX_VALUE} bytes")
        payload, signed = self._signer.unsign(value)
        verified = payload, signed, decode(payload)
        if self.settings.remember:
            if len(self._remembered) >= self.settings.remember:
                self._remembered.clear()
            self._remembered[value] = verified
        return verified

    def _loads(self, text: bytes) -> dict[str, Any]:
        try:
            data = self._serializer.loads(text.decode("utf-8") if self._reads_text else text)
        except Exception as error:  # a tag of the application may raise anything
            raise BadCookie("the payload is no tagged JSON") from error
        if not isinstance(data, dict):
            raise BadCookie("the payload is no JSON object")
        return data

    def _migrated(self, scope: Scope) -> Session:
        for read in self.settings.migrate_from:
            if (data := read(scope)) is not None:
                session = self.settings.session_class(data)
                session.new = False
                session.mark_modified()  # so that it is written as ours
                return session
        return self.settings.session_class()

    def _within_lifetime(self, session: Session, lifetime: timedelta) -> Session:
        began = dict.pop(session, _BEGAN, None)
        session._began = began if type(began) is int else session._signed
        if self.clock() - (session._began or 0) > lifetime.total_seconds():
            return self.revoked(session)
        return session

    # Deciding

    def decide(self, session: Session) -> CookieAction:
        """Say what the end of the request does to the cookie; raises UnwritableSession."""
        if not (session.modified or session._lent or dict.get(session, "_permanent")):
            return CookieAction.KEEP  # what most requests come to: there is nothing to ask about
        return cookie_action(
            empty=not dict.__len__(session),
            changed=self.changed(session),
            refresh=bool(dict.get(session, "_permanent")) and self._refresh_due(session),
            carried=session._carried,
        )

    def _refresh_due(self, session: Session) -> bool:
        return refresh_due(self.settings, permanent=True, age=int(self.clock()) - (session._signed or 0))

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
        if session._payload is None:
            return False  # nothing came that could have been handed out
        # Text is compared, since == takes 1 for True; ours first, which most often is what came.
        came = decode(session._payload)
        try:
            now = self._text(session)
        except UnwritableSession:
            if self._can_write_anew(came):
                raise
            return False  # no change of the app's, but what came could never be written
        return now != came and now != self._dumps(self._with_beginning(self._loads(came), session))

    def _can_write_anew(self, came: bytes) -> bool:
        try:
            self._dumps(self._loads(came))
        except UnwritableSession:
            return False
        return True

    # Writing

    def write(self, session: Session, action: CookieAction) -> bytes:
        """Spell the Set-Cookie line for an action that is not KEEP; raises UnwritableSession."""
        if action is CookieAction.DELETE:
            return self.set_cookie.delete()
        payload = session._payload
        # A session that nobody looked at is the payload that came; else it is spelled anew, as in Flask.
        if payload is None or session.accessed or session.modified or self.settings.absolute_lifetime is not None:
            try:
                payload = session._payload = encode(self._text(session))
            except UnwritableSession:
                if payload is None or session.modified or self._can_write_anew(decode(payload)):
                    raise  # else it is what came, and goes out as it came
        return self._line(session, payload)

    def merge(self, session: Session, inner: bytes, *, deleted: bool) -> bytes | None:
        """Spell the one line for a session that was changed here and, as cookie value *inner*, by an app inside.

        None if that value is not signed with our keys: it is somebody else's cookie of the same name.
        """
        try:
            theirs = {} if deleted else self._loads(decode(self._signer.unsign(inner)[0]))
        except BadCookie:
            return None
        base = {} if session._payload is None else self._loads(decode(session._payload))
        ours = self._with_beginning(plain(session), session)
        merged = merge(base, theirs, ours, lambda one, other: self._dumps([one]) == self._dumps([other]))
        if merged.keys() <= {_BEGAN}:
            merged.clear()
        session._lent = False  # what goes out is not what is here, so no later look can tell what changed
        return self.write(self.replaced(session, merged), CookieAction.SET if merged else CookieAction.DELETE)

    def _line(self, session: Session, payload: bytes) -> bytes:
        now = self.clock()
        value = self._signer.sign(payload, int(now))
        if len(value) > MAX_VALUE:
            raise CookieTooLarge(
                f"the session makes a cookie of {len(value)} bytes; at most {MAX_VALUE} are read back."
                f" {self._largest_keys(session)}",
                size=len(value),
                limit=MAX_VALUE,
            )
        expires = None
        if dict.get(session, "_permanent"):
            expires = floor(now + self._permanent_lifetime)
        line = self.set_cookie.set(value, expires)
        if 0 < self.settings.max_cookie_size < len(line):
            self._too_large(session, len(line))
        return line

    def _too_large(self, session: Session, size: int) -> None:
        limit = self.settings.max_cookie_size
        message = (
            f"the session cookie is {size} bytes, over the {limit} of max_cookie_size. {self._largest_keys(session)}"
            f" Browsers refuse a cookie over {_BROWSER_LIMIT} bytes of name=value, and go on sending the old session"
        )
        if self.settings.on_large_cookie == "raise":
            raise CookieTooLarge(message, size=size, limit=limit)
        logger.warning(message)

    def _largest_keys(self, session: Session) -> str:
        sizes = {key: len(self._dumps([value])) - 2 for key, value in dict.items(session)}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        return f"Its largest keys are {', '.join(f'{key!r} ({sizes[key]} bytes)' for key in largest)}."

    def _text(self, session: Session) -> bytes:
        return self._dumps(self._with_beginning(plain(session), session))

    def _with_beginning(self, data: dict[str, Any], session: Session) -> dict[str, Any]:
        if self.settings.absolute_lifetime is not None and data:
            data[_BEGAN] = int(self.clock()) if session._began is None else session._began
        return data

    def _dumps(self, data: Any) -> bytes:
        try:
            text = self._serializer.dumps(data)
        except Exception as error:
            where = find_unwritable(self._serializer.dumps, data)
            raise UnwritableSession(f"the session cannot be written: {where}") from error
        return text.encode("utf-8") if isinstance(text, str) else text
