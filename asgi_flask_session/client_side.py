"""A session kept whole in its signed cookie: cookie value -> session -> Set-Cookie line, without any await."""

import time
from math import floor
from typing import Any

from .asgi import Scope
from .errors import BadCookie, CookieTooLarge, UnwritableSession
from .logs import logger
from .merge import merge
from .payload import MAX_NESTING, MAX_TEXT, decode, encode, nested_too_deep
from .policy import CookieAction, accepted_ages, action_of_change
from .session import Session, plain
from .settings import Settings
from .side import Clock, Side
from .signing import CookieSigner
from .tagged_json import find_unwritable

MAX_VALUE = 16 * 1024  # bytes of a cookie value that are looked at, and written
_BROWSER_LIMIT = 4096  # bytes of name=value (measured in Chromium)


class ClientSide(Side):
    """Opens the session of a request and spells the cookie of its response, for one set of settings.

    *clock* returns the time in seconds since the epoch.
    """

    def __init__(self, settings: Settings, clock: Clock = time.time) -> None:
        super().__init__(settings, clock)
        self._signer = CookieSigner(
            settings.keys,
            salt=settings.salt,
            key_derivation=settings.key_derivation,
            digest_method=settings.digest_method,
        )
        self._serializer = settings.serializer
        self._reads_text = isinstance(settings.serializer.dumps({}), str)
        self._accepted_ages = accepted_ages(settings)
        self._remember = settings.remember
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
                _, signed, text = last = self._verify(value)
                data = self._loads(text)
            except BadCookie as error:
                logger().debug("the session cookie is refused: %s", error)
            else:
                age = int(self.clock()) - signed
                if age in self._accepted_ages:
                    session = self._session_class(data)
                    session.new = False
                    session._carried = True
                    session._last = last
                    session._signed = signed
                    if self._absolute_lifetime is not None:
                        began = self._take_beginning(session)
                        session._began = signed if began is None else began
                        if self._is_over(session._began):
                            logger().debug("the session cookie is refused: it began absolute_lifetime ago, or longer")
                            return self.revoked(session)
                    return session
                logger().debug(
                    "the session cookie is refused: it is %s s old, of the %s s of permanent_lifetime",
                    age,
                    int(self._permanent_lifetime),
                )
                refused = text
        session = self._migrated(scope) if self.settings.migrate_from else self._session_class()
        if value is not None:
            session._carried = True
            session._refused = refused
        return session

    def _verify(self, value: bytes) -> tuple[bytes, int, bytes]:
        """Return payload, timestamp and text of a cookie value that our keys signed; raises BadCookie."""
        if self._remember and (remembered := self._remembered.get(value)) is not None:
            return remembered
        if len(value) > MAX_VALUE:
            raise BadCookie(f"it is longer than {MAX_VALUE} bytes")
        payload, signed = self._signer.unsign(value)
        text = decode(payload)
        if not self._remember or len(text) > MAX_VALUE:
            return payload, signed, text
        if len(self._remembered) >= self._remember:
            self._remembered.clear()
        self._remembered[value] = verified = payload, signed, text
        return verified

    def _loads(self, text: bytes) -> dict[str, Any]:
        if len(text) > MAX_NESTING and self._reads_text and nested_too_deep(text):
            raise BadCookie(f"the payload is nested deeper than {MAX_NESTING} levels")
        try:
            data = self._serializer.loads(text.decode() if self._reads_text else text)
        except Exception as error:  # a tag of the application may raise anything
            raise BadCookie("the payload is no tagged JSON") from error
        if not isinstance(data, dict):
            raise BadCookie("the payload is no JSON object")
        return data

    # Deciding

    def decide(self, session: Session) -> CookieAction:
        """Say what the end of the request does to the cookie; raises UnwritableSession."""
        if session.modified or (session._lent and self.changed(session)):
            self._make_permanent(session)
            return action_of_change(empty=not dict.__len__(session), carried=session._carried)
        if dict.get(session, "_permanent") and self._is_refresh_due(session._signed or 0):
            return CookieAction.SET
        return CookieAction.KEEP

    def only_refreshes(self, session: Session) -> bool:
        return not self.changed(session) and self.decide(session) is CookieAction.SET

    # Writing

    def write(self, session: Session, action: CookieAction) -> bytes:
        """Spell the Set-Cookie line for an action that is not KEEP; raises UnwritableSession."""
        if action is CookieAction.DELETE:
            session._last = None
            return self.set_cookie.delete()
        now = self.clock()
        second = int(now)
        last = session._last
        touched = session.modified or session._seen or session._said or session._lent
        if last is None or touched or self._absolute_lifetime is not None:
            payload, text = self._spell(session)
        else:
            payload, text = last[0], last[2]
        value = self._signer.sign(payload, second)
        expires = floor(now + self._permanent_lifetime) if dict.get(session, "_permanent") else None
        line = self.set_cookie.set(value, expires)
        if len(line) > self._max_size:
            self._check_size(session, value, line)
        session._last = payload, second, text
        return line

    def sign_again(self, value: bytes) -> bytes:
        """Return a cookie value with the signature of the current key, and as old as it is; raises BadCookie."""
        payload, signed, _ = self._verify(value)
        return self._signer.sign(payload, signed)

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
        merged = merge(base, theirs, plain(session), self._same(session))
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
        logger().warning(message)

    def came(self, session: Session) -> bytes | None:
        return None if session._last is None else session._last[2]

    def _dumps(self, data: Any, session: Session) -> bytes:  # noqa: ARG002  # all are written alike
        try:
            text = self._serializer.dumps(data)
        except Exception as error:
            where = find_unwritable(self._serializer.dumps, data)
            raise UnwritableSession(f"the session cannot be written: {where}") from error
        encoded: bytes = text.encode() if self._reads_text else text
        return encoded
