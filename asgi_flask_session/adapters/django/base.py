"""Django's session methods, of both kinds, over a session of ours. Source: Django's ``SessionBase``."""

from abc import abstractmethod
from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.utils import timezone

from ...session import Session
from .conf import flask_settings

_EXPIRY = "_session_expiry"  # Django's key: seconds, or the text of a date


class FlaskSessionBase(SessionBase):
    """A ``request.session`` whose data is in ``flask_session``, which is opened when it is first needed.

    How long it lives, Flask's ``_permanent`` and lifetime say; ``set_expiry`` writes them too.
    """

    def __init__(self, session_key: str | None = None) -> None:
        self._opened: Session | None = None
        super().__init__(session_key)

    @abstractmethod
    def _open(self) -> Session:
        """Open the session."""

    @abstractmethod
    async def _aopen(self) -> Session:
        """Open the session where it may be waited for."""

    @property
    def flask_session(self) -> Session:
        """The mapping beneath, with Flask's attributes: ``permanent``, ``new``, ``regenerate()`` and so on."""
        if self._opened is None:
            self._opened = _unless_over(self._open())
        return self._opened

    @property
    def _session_cache(self) -> Session:  # what Django's own methods read and write
        return self.flask_session

    async def _aget_session(self, no_load: bool = False) -> Session:  # noqa: ARG002  # Django's signature
        if self._opened is None:
            self._opened = _unless_over(await self._aopen())
        return self._opened

    # Marks: those of the session beneath, which sees for itself what is read and changed

    def _get_accessed(self) -> bool:
        return self._opened is not None and self._opened.accessed

    def _set_accessed(self, value: bool) -> None:
        if value:
            self.flask_session.mark_accessed()

    accessed = property(_get_accessed, _set_accessed)  # pyright: ignore[reportAssignmentType]  # an attribute there

    def _is_modified(self) -> bool:
        return self._opened is not None and self._opened.modified

    def _get_modified(self) -> bool:
        return self._is_modified()

    def _set_modified(self, value: bool) -> None:
        if value:
            self.flask_session.mark_modified()
        elif self._opened is not None:
            self._opened.modified = False

    modified = property(_get_modified, _set_modified)  # pyright: ignore[reportAssignmentType]  # an attribute there

    def __bool__(self) -> bool:
        return bool(self.flask_session)

    @property
    def permanent(self) -> bool:
        """Flask's: whether the session outlives the browser."""
        return self.flask_session.permanent

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self.flask_session.permanent = value

    # What Django's own would do beside the session, or mark where Flask does not

    def pop(self, *key_and_default: Any, **default: Any) -> Any:
        return self.flask_session.pop(*key_and_default, **default)

    async def apop(self, *key_and_default: Any, **default: Any) -> Any:
        return (await self._aget_session()).pop(*key_and_default, **default)

    def clear(self) -> None:
        self.flask_session.clear()

    def flush(self) -> None:
        self.flask_session.clear()

    async def aflush(self) -> None:
        (await self._aget_session()).clear()

    def cycle_key(self) -> None:
        self.flask_session.regenerate()

    async def acycle_key(self) -> None:
        (await self._aget_session()).regenerate()

    def create(self) -> None:
        self.flask_session.mark_modified()

    async def acreate(self) -> None:
        (await self._aget_session()).mark_modified()

    def load(self) -> dict[str, Any]:
        return self.flask_session.copy()

    async def aload(self) -> dict[str, Any]:
        return (await self._aget_session()).copy()

    def delete(self, session_key: str | None = None) -> None:
        """Empty this session; any other is where this one cannot reach."""
        if session_key is None or session_key == self.session_key:
            self.flask_session.clear()

    async def adelete(self, session_key: str | None = None) -> None:
        await self._aget_session()
        self.delete(session_key)

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: cookies expire by themselves, and so do the records of a store."""

    @classmethod
    async def aclear_expired(cls) -> None:
        cls.clear_expired()

    # Expiry

    def get_session_cookie_age(self) -> int:
        return int(flask_settings().permanent_lifetime.total_seconds())

    def get_expire_at_browser_close(self) -> bool:
        return not self.flask_session.permanent

    async def aget_expire_at_browser_close(self) -> bool:
        return not (await self._aget_session()).permanent

    def set_expiry(self, value: datetime | timedelta | int | None) -> None:
        """Let the session end with the browser (0), at a time, after so many seconds, or when Flask's would (None).

        Anything but 0 and None makes it permanent, in Flask's sense. A time that is over is over in Django only: in
        Flask the session then lasts as long as any permanent one.
        """
        _set_expiry(self.flask_session, value)

    async def aset_expiry(self, value: datetime | timedelta | int | None) -> None:
        _set_expiry(await self._aget_session(), value)


def session_of(request: Any) -> Any:
    """Return the session of a request as a mapping that notes what is read and changed."""
    session = request.session
    return session.flask_session if isinstance(session, FlaskSessionBase) else session


def _set_expiry(session: Session, value: datetime | timedelta | int | None) -> None:
    if value is None or value == 0:
        session.pop(_EXPIRY, None)
    else:
        moment = timezone.now() + value if isinstance(value, timedelta) else value
        session[_EXPIRY] = moment.isoformat() if isinstance(moment, datetime) else moment
    if value is not None:
        session.permanent = value != 0


def _unless_over(session: Session) -> Session:
    """Empty a session whose time, as ``set_expiry`` gave it, is over."""
    expiry = dict.get(session, _EXPIRY)
    if expiry and _is_over(expiry, session.signed_at):
        session.clear()
    return session


def _is_over(expiry: Any, signed_at: datetime | None) -> bool:
    now = timezone.now()
    try:
        if isinstance(expiry, str):
            return datetime.fromisoformat(expiry) <= now
        return signed_at is not None and timezone.now() - signed_at > timedelta(seconds=expiry)
    except (TypeError, ValueError, OverflowError):  # no time of Django's
        return False
