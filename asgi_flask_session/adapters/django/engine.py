"""The session engine: ``SESSION_ENGINE = "asgi_flask_session.adapters.django.engine"``, for ASGI and WSGI.

A session is kept in Flask's signed cookie, whose value is the session's key. Django's own ``SessionMiddleware``
asks the engine what to do, and spells the Set-Cookie.
"""

from math import inf
from typing import Any

from ...background import refuses_now
from ...cookies import set_cookie_value
from ...policy import CookieAction, refresh_over
from ...revocation import refuses
from ...session import Session, plain
from .base import FlaskSessionBase
from .conf import client_side, flask_settings

flask_settings()  # so that what cannot work is refused when the app is built, which is when this is imported


class SessionStore(FlaskSessionBase):
    """The session of one cookie value, which is None where none came."""

    def __init__(self, session_key: str | None = None) -> None:
        self._value = session_key
        self._keeps_back: bool | None = None  # a mere refresh, as is_revoked has answered
        super().__init__(session_key)

    # Reading

    def _open(self) -> Session:
        session = self._opened_value()
        if not session.new and self._is_refused(session):
            return client_side().revoked(session)
        return session

    async def _aopen(self) -> Session:
        session = self._opened_value()
        is_revoked = client_side().settings.is_revoked
        if is_revoked is not None and not session.new and await refuses(is_revoked, session):
            return client_side().revoked(session)
        return session

    def _opened_value(self) -> Session:
        return client_side().open(None if self._value is None else self._value.encode("utf-8", "replace"), {})

    def _is_refused(self, session: Session) -> bool:
        is_revoked = client_side().settings.is_revoked
        return is_revoked is not None and refuses_now(is_revoked, session)

    # What the middleware asks

    def _action(self) -> CookieAction:
        """Say what the end of the request does to the cookie, by the rules of Flask and ours."""
        if self._opened is None and not (self._value and _may_refresh()):
            return CookieAction.KEEP
        session, side = self.flask_session, client_side()
        action = side.decide(session)
        if action is CookieAction.SET and not side.changed(session):
            # The user of a slow request may have logged out everywhere meanwhile. Django asks for the action twice.
            if self._keeps_back is None:
                self._keeps_back = self._is_refused(session)
            return CookieAction.KEEP if self._keeps_back else CookieAction.SET
        return action

    def _is_modified(self) -> bool:
        return self._action() is not CookieAction.KEEP

    def is_empty(self) -> bool:
        """Say whether the cookie, if one came, is to be deleted.

        One that is not readable is to stay: while keys are rotated, another process may be able to read it.
        """
        action = self._action()
        return action is CookieAction.DELETE or (action is CookieAction.KEEP and self._value is None)

    def save(self, must_create: bool = False) -> None:  # noqa: ARG002  # Django's signature
        """Make ``session_key`` the value of the cookie; raises UnwritableSession.

        An unreadable cookie is kept as long as there is nothing to put in its place.
        """
        session = self.flask_session
        if dict.__len__(session) or self._value is None or session.modified:
            self._session_key = self._spelled(session)

    async def asave(self, must_create: bool = False) -> None:
        await self._aget_session()
        self.save(must_create)

    def exists(self, session_key: str | None = None) -> bool:
        """Say whether *session_key* is the cookie value of a session."""
        return bool(session_key and self.decode(session_key))

    async def aexists(self, session_key: str | None = None) -> bool:
        return self.exists(session_key)

    # Data <-> cookie value

    def encode(self, session_dict: dict[str, Any]) -> str:
        return self._spelled(Session(session_dict))

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        value = session_data.encode("utf-8", "replace") if isinstance(session_data, str) else session_data
        return plain(client_side().open(value, {}))

    @staticmethod
    def _spelled(session: Session) -> str:
        return set_cookie_value(client_side().write(session, CookieAction.SET)).decode("ascii")


def _may_refresh() -> bool:
    """Say whether a session that nobody looked at may be sent again; not where FlaskSessionASGI would do that."""
    settings = flask_settings()
    if settings.store is not None or settings.exclude is not None:
        return False
    return settings.absolute_lifetime is not None or refresh_over(settings) < inf
