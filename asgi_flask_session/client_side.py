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
        self._session_class = settings.session_class
        self._absolute_lifetime = settings.absolute_lifetime
        self._serializer = settings.serializer
        self._reads_text = isinstance(settings.serializer.dumps({}), str)
        self._permanent_lifetime = settings.permanent_lifetime.total_seconds()
        self._accepted_ages = accepted_ages(settings)
        self._remembered: dict[bytes, tuple[bytes, int, bytes]] = {}

    # Reading

    def open(self, value: bytes | None, scope: Scope) -> Session:
        """Return the session of a request, empty and new if cookie *value* is none. Raises nothing."""
        if value:
            try:
                came = self._accept(value)
                session = self._session_class(self._loads(came[2]))
            except BadCookie as error:
                logger.debug("the session cookie is refused: %s", error)
            else:
                session.new = False
                session._came = came
                session._signed = came[1]
                lifetime = self._absolute_lifetime
                return session if lifetime is None else self._within_lifetime(session, lifetime)
        session = self._migrated(scope) if self.settings.migrate_from else self._session_class()
        if value is not None:
            session._carried = True
        return session

    def revoked(self, session: Session) -> Session:
        """Return the empty session that takes the place of one that is no longer good."""
        empty = self._session_class()
        empty._carried = session._carried or session._came is not None
        return empty

    def replaced(self, session: Session, data: Mapping[str, Any]) -> Session:
        """Return a changed session of the same request, with *data* in place of its own."""
        replacement = self._session_class(plain(data))
        for name in ("new", "_carried", "_came", "_signed", "_began"):
            setattr(replacement, name, getattr(session, name))
        replacement.mark_modified()
        return replacement

    def _accept(self, value: bytes) -> tuple[bytes, int, bytes]:
        """Return payload, timestamp and text of a cookie value that is a session's; raises BadCookie."""
        came = self._remembered.get(value) if self._remembered else None
        if came is None:
            came = self._verify(value)
        if (age := int(self.clock()) - came[1]) not in self._accepted_ages:
            raise BadCookie(f"it is {age} seconds old: too old, or from the future")
        return came

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
                session = self._session_class(data)
                session.new = False
                session.mark_modified()  # so that it is written as ours
                return session
        return self._session_class()

    def _within_lifetime(self, session: Session, lifetime: timedelta) -> Session:
        began = dict.pop(session, _BEGAN, None)
        session._began = began if type(began) is int else session._signed
        if self.clock() - (session._began or 0) > lifetime.total_seconds():
            return self.revoked(session)
        return session

    # Deciding

    def decide(self, session: Session) -> CookieAction:
        """Say what the end of the request does to the cookie; raises UnwritableSession."""
        permanent = bool(dict.get(session, "_permanent"))
        if not (session.modified or session._lent or permanent):
            return CookieAction.KEEP  # what most requests come to: there is nothing to ask about
        changed = self.changed(session)
        return cookie_action(
            empty=not dict.__len__(session),
            changed=changed,
            refresh=permanent and not changed and self._refresh_due(session),
            carried=session._carried or session._came is not None,
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
        if session._came is None:
            return False  # nothing came that could have been handed out
        # Text is compared, since == takes 1 for True; ours first, which most often is what came.
        came = session._came[2]
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
            session._came = None
            return self.set_cookie.delete()
        now = self.clock()
        came = session._came
        if came is None or session.accessed or session.modified or self._absolute_lifetime is not None:
            payload, text = self._spell(session)
        else:
            payload, _, text = came  # nobody looked at it
        line = self._line(session, payload, now)
        session._came = payload, int(now), text
        return line

    def _spell(self, session: Session) -> tuple[bytes, bytes]:
        """Return payload and text of a session that was looked at, as Flask spells them."""
        came = session._came
        try:
            text = self._text(session)
        except UnwritableSession:
            if came is None or session.modified or self._can_write_anew(came[2]):
                raise
            return came[0], came[2]  # it came as what nobody can write, and goes out as it came
        if came is not None and text == came[2] and came[0].startswith(b"."):
            return came[0], text  # to compress it once more would only give the same
        return encode(text), text

    def merge(self, session: Session, inner: bytes, *, deleted: bool) -> bytes | None:
        """Spell the one line for a session that was changed here and, as cookie value *inner*, by an app inside.

        None if that value is not signed with our keys: it is somebody else's cookie of the same name.
        """
        try:
            theirs = {} if deleted else self._loads(decode(self._signer.unsign(inner)[0]))
        except BadCookie:
            return None
        base = {} if session._came is None else self._loads(session._came[2])
        ours = self._with_beginning(plain(session), session)
        merged = merge(base, theirs, ours, lambda one, other: self._dumps([one]) == self._dumps([other]))
        if merged.keys() <= {_BEGAN}:
            merged.clear()
        session._lent = False  # what goes out is not what is here, so no later look can tell what changed
        return self.write(self.replaced(session, merged), CookieAction.SET if merged else CookieAction.DELETE)

    def _line(self, session: Session, payload: bytes, now: float) -> bytes:
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
        return self._dumps(self._with_beginning(dict(dict.items(session)), session))

    def _with_beginning(self, data: dict[str, Any], session: Session) -> dict[str, Any]:
        if data and self._absolute_lifetime is not None:
            data[_BEGAN] = int(self.clock()) if session._began is None else session._began
        return data

    def _dumps(self, data: Any) -> bytes:
        try:
            text = self._serializer.dumps(data)
        except Exception as error:
            where = find_unwritable(self._serializer.dumps, data)
            raise UnwritableSession(f"the session cannot be written: {where}") from error
        return text.encode("utf-8") if isinstance(text, str) else text
