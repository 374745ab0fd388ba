"""What holds wherever a session is kept: when it ends, whether it changed, and since what."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from .asgi import Scope
from .cookies import SetCookie
from .errors import BadCookie, BadRecord, UnwritableSession
from .policy import CookieAction, refresh_over
from .session import Session, plain
from .settings import Settings

_BEGAN = "_began"
_LATEST = 2**63  # seconds; a beginning beyond is rubbish

# What does not depend on the data: kept when other data, or none, takes its place.
OF_THE_REQUEST = ("_carried", "_side", "_scope", "_format", "_address", "_sent", "_down", "_lines")
# What becomes of the data: kept too when the data is replaced by the app.
OF_THE_DATA = (
    "new", "sid", "_signed", "_began", "_last", "_refused", "_stored", "_base", "_user", "_owed", "_gone", "_renew",
    "_lasts",
)  # fmt: skip

Clock = Callable[[], float]


class Side(ABC):
    """The rules that cookies and stores share; how text is made of data, each says itself."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.set_cookie = SetCookie(settings)
        self._session_class = settings.session_class
        self._absolute_lifetime = settings.absolute_lifetime
        self._permanent_lifetime = settings.permanent_lifetime.total_seconds()
        self._refresh_over = refresh_over(settings)

    @abstractmethod
    def came(self, session: Session) -> bytes | None:
        """Return the text of what the session was when it was last read or written; None if it was nothing."""

    @abstractmethod
    def _loads(self, text: bytes) -> dict[str, Any]:
        """Return the data of a text."""

    @abstractmethod
    def _dumps(self, data: Any, session: Session) -> bytes:
        """Return the text of *data* as *session* is written; raises UnwritableSession."""

    @abstractmethod
    def write(self, session: Session, action: CookieAction) -> bytes:
        """Spell the Set-Cookie line for an action that is not KEEP."""

    @abstractmethod
    def only_refreshes(self, session: Session) -> bool:
        """Say whether the session did not change, and would be sent again only to live on.

        Whoever revokes sessions is asked once more then: the user of a slow request may have logged out everywhere
        since it came.
        """

    # Beginning and end

    def revoked(self, session: Session) -> Session:
        """Return the empty session that takes the place of one that is no longer good."""
        empty = self._session_class()
        for name in OF_THE_REQUEST:
            setattr(empty, name, getattr(session, name))
        empty._refused = self.came(session)
        return empty

    def replaced(self, session: Session, data: Mapping[str, Any]) -> Session:
        """Return a changed session of the same request, with *data* in place of its own."""
        replacement = self._session_class(plain(data))
        for name in (*OF_THE_REQUEST, *OF_THE_DATA):
            setattr(replacement, name, getattr(session, name))
        replacement.mark_modified()
        replacement._lent = True  # whoever put it there may still hold what is in it
        replacement._cleared = not data
        return replacement

    def _migrated(self, scope: Scope) -> Session:
        for read in self.settings.migrate_from:
            if data := read(scope):
                session = self._session_class(data)
                if self.settings.permanent:
                    dict.setdefault(session, "_permanent", True)  # a visitor's first session here, as any new one
                session.new = False
                session.modified = True  # so that it is written as ours
                return session
        return self._session_class()

    def _take_beginning(self, data: dict[str, Any]) -> int | None:
        """Take the key of the beginning out of *data*, and return it if it is one: seconds since the epoch."""
        began = dict.pop(data, _BEGAN, None)
        return began if type(began) is int and 0 <= began <= _LATEST else None

    def _is_over(self, began: int) -> bool:
        lifetime = self._absolute_lifetime
        return lifetime is not None and self.clock() - began > lifetime.total_seconds()

    def _make_permanent(self, session: Session) -> None:
        """Let a new session outlive the browser where the settings say so and the app says nothing."""
        if self.settings.permanent and session.new and dict.__len__(session):
            data = {"_permanent": True, **plain(session)}  # the key first, as Flask-Session writes it
            dict.clear(session)
            dict.update(session, data)

    def _is_refresh_due(self, since: int) -> bool:
        """Say whether what was last sent in the second *since* is to be sent again, only to live on."""
        over = self._refresh_over
        return over < 0 or int(self.clock()) - since > over

    # Changes

    def changed(self, session: Session) -> bool:
        """Say whether the session differs from what came: by a mark, or inside a value that was handed out."""
        if session.modified or not (session._lent and self.settings.detect_nested):
            return session.modified
        return self.differs(session)

    def is_settled(self, session: Session) -> bool:
        """Say whether nothing of the session is to be written, without a closer look: what most requests come to."""
        return not (session.modified or session._lent or dict.get(session, "_permanent"))

    def left_behind(self, session: Session) -> bool:
        """Say whether the session was changed after it was written, so that nothing written has the change."""
        if session._unsaved or not (session._lent and self.settings.detect_nested):
            return session._unsaved
        return self.differs(session)

    def differs(self, session: Session) -> bool:
        """Say whether the data is not what came, or was last written."""
        last = self.came(session)
        if last is None:
            return False  # nothing came that could have been handed out
        # Text is compared, since == takes 1 for True; ours first, which most often is what came.
        try:
            now = self._text(session)
        except UnwritableSession:
            try:
                return self._differs_by_key(session, last)
            except (BadCookie, BadRecord):  # so near to the end of the stack that what was read cannot be read again
                return False
        return now != last and now != self._text_again(last, session)

    def _differs_by_key(self, session: Session, text: bytes) -> bool:
        """Do the same where some value cannot be written, which may well be as it came."""
        last = self._data(text)
        if dict.keys(session) != last.keys():
            return True
        return any(
            self._text_or_none(value, session) != self._text_or_none(last[key], session)
            for key, value in dict.items(session)
        )

    # Text

    def _text(self, session: Session) -> bytes:
        return self._dumps(self._with_own_keys(dict(dict.items(session)), session), session)

    def _text_again(self, text: bytes, session: Session) -> bytes | None:
        """Return what we write for the data of *text*, which others may spell otherwise; None if we cannot."""
        try:
            return self._dumps(self._with_own_keys(self._data(text), session), session)
        except UnwritableSession:
            return None

    def _text_or_none(self, value: Any, session: Session) -> bytes | None:
        try:
            return self._dumps([value], session)
        except UnwritableSession:
            return None

    def _same(self, session: Session) -> Callable[[Any, Any], bool]:
        """Return the function that says whether two values are written alike, for a merge."""
        return lambda one, other: self._dumps([one], session) == self._dumps([other], session)

    def _data(self, text: bytes) -> dict[str, Any]:
        """Return the data of *text* without the keys of our own, which the session keeps apart."""
        data = self._loads(text)
        if self._absolute_lifetime is not None:
            self._take_beginning(data)
        return data

    def _with_own_keys(self, data: dict[str, Any], session: Session) -> dict[str, Any]:
        if data and self._absolute_lifetime is not None:
            if session._began is None:
                session._began = int(self.clock())
            data[_BEGAN] = session._began
        return data

    def _largest_keys(self, session: Session) -> str:
        sizes = {key: len(self._text_or_none(value, session) or b"[]") - 2 for key, value in dict.items(session)}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
        return f"Its largest keys are {', '.join(f'{key!r} ({sizes[key]} bytes)' for key in largest)}."
