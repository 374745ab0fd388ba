"""Starlette's side: the session middleware under Starlette's keywords, and who is logged in, CSRF and flashes.

Everything is asked of a connection: a ``Request``, or a ``WebSocket`` before it is accepted. The adapter for
FastAPI makes dependencies of the same.
"""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Unpack, cast

from ..asgi import ASGIApp
from ..csrf import CSRFSettings, check_csrf, generate_csrf, needs_csrf
from ..errors import CSRFError, SettingsError
from ..flashes import flash as flash_in
from ..flashes import get_flashed_messages as get_flashed_messages_of
from ..login import (
    Login,
    LoginSettings,
    confirm_login,
    current_login,
    login_url,
    login_user,
    logout_user,
    refresh_remember_cookie,
)
from ..logs import warn_once
from ..middleware import FlaskSessionASGI
from ..session import Session
from ..settings import Seconds, SettingsFields
from ..side import Clock
from . import missing

try:
    from starlette import formparsers
    from starlette.exceptions import HTTPException, WebSocketException
    from starlette.requests import HTTPConnection, Request
except ImportError as error:
    raise missing(error, "starlette") from error

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class SessionMiddleware(FlaskSessionASGI):
    """Flask's session under the keywords and defaults of Starlette's ``SessionMiddleware``.

    *max_age*, in seconds, is ``permanent_lifetime``, and makes new sessions permanent; with None they end with the
    browser, and their age is limited by ``permanent_lifetime`` as in Flask. *fields* are those of ``Settings``, and
    count before the keywords. *salt* (a field too) and *signer_kwargs* are starlette-flask's: what the cookie is
    signed with, if not as Flask does. Raises SettingsError for settings that cannot work.
    """

    def __init__(  # noqa: PLR0917  # as Starlette takes them
        self,
        app: ASGIApp,
        secret_key: Any,
        session_cookie: str = "session",
        max_age: Seconds | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: str | None = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
        *,
        signer_kwargs: Mapping[str, Any] | None = None,
        clock: Clock = time.time,
        **fields: Unpack[SettingsFields],
    ) -> None:
        told: dict[str, Any] = {
            "cookie_name": session_cookie,
            "cookie_path": path,
            "cookie_samesite": same_site,
            "cookie_secure": https_only,
            "cookie_domain": domain,
            "cookie_partitioned": partitioned,
        }
        if max_age is not None:
            told |= {"permanent_lifetime": max_age, "permanent": True}
        if signer_kwargs:
            told |= {"key_derivation": "django-concat", **signer_kwargs}  # itsdangerous's own default
        super().__init__(app, secret_key, clock=clock, **cast("SettingsFields", {**told, **fields}))


def session_of(connection: HTTPConnection, scope_key: str = "session") -> Session:
    """Return the session of a connection; raises SettingsError where our middleware did not put one there."""
    found = connection.scope.get(scope_key)
    if isinstance(found, Session):
        return found
    what = "nothing" if found is None else f"a {type(found).__module__}.{type(found).__qualname__}"
    raise SettingsError(
        f"scope[{scope_key!r}] holds {what}, not a session of asgi_flask_session: add its SessionMiddleware to the app,"
        " without exclude for this path, and change the session in place (clear, update)"
    )


async def load_session(connection: HTTPConnection, scope_key: str = "session") -> Session:
    """Return the same once it is loaded, which a lazy one has to be; raises StoreUnavailable too."""
    session = session_of(connection, scope_key)
    await session.load()
    return session


class LoginManager:
    """Who is logged in by Flask-Login; log in and out for both sides.

    With *login_view*, a URL, visitors are sent there to log in, with ``next`` and a flashed *login_message*, as
    Flask-Login does; without it they get a 401. *refresh_view* and its message are the same for a login that is not
    fresh. The messages may be None. Source: Flask-Login 0.6's ``LoginManager``.
    """

    def __init__(
        self,
        settings: LoginSettings,
        *,
        login_view: str | None = None,
        login_message: str | None = "Please log in to access this page.",
        login_message_category: str = "message",
        refresh_view: str | None = None,
        needs_refresh_message: str | None = "Please reauthenticate to access this page.",
        needs_refresh_message_category: str = "message",
        scope_key: str = "session",
    ) -> None:
        if not isinstance(settings, LoginSettings):
            raise SettingsError(
                f"settings is a {type(settings).__name__}: write LoginManager(LoginSettings(secret=...))"
            )
        self.settings = settings
        self.login_view = login_view
        self.login_message = login_message
        self.login_message_category = login_message_category
        self.refresh_view = refresh_view
        self.needs_refresh_message = needs_refresh_message
        self.needs_refresh_message_category = needs_refresh_message_category
        self.scope_key = scope_key

    async def current(self, connection: HTTPConnection) -> Login:
        """Return who is logged in, whether freshly, and what says so: the session or the remember cookie."""
        session = await load_session(connection, self.scope_key)
        _send(session, refresh_remember_cookie(connection.scope, session, self.settings))
        return current_login(connection.scope, session, self.settings)

    async def user_id(self, connection: HTTPConnection) -> str | None:
        """Return the id of the user who is logged in, or None."""
        return (await self.current(connection)).user_id

    async def required(self, connection: HTTPConnection) -> str:
        """Return the id of the user, or raise what ``unauthorized`` returns, as Flask-Login's ``login_required``."""
        login = await self.current(connection)
        if login.user_id is None:
            raise self.unauthorized(connection)
        return login.user_id

    async def fresh(self, connection: HTTPConnection) -> str:
        """Do the same where the user must have logged in during this session: ``fresh_login_required``."""
        login = await self.current(connection)
        if login.user_id is None:
            raise self.unauthorized(connection)
        if not login.fresh:
            raise self.needs_refresh(connection)
        return login.user_id

    def unauthorized(self, connection: HTTPConnection) -> HTTPException | WebSocketException:
        """Return the error to raise where nobody is logged in: a 401, a redirect, or a closed websocket.

        For callers who find that the user of the id no longer exists.
        """
        message, category = self.login_message, self.login_message_category
        return self._refusal(connection, "Not authenticated", self.login_view, message, category)

    def needs_refresh(self, connection: HTTPConnection) -> HTTPException | WebSocketException:
        """Return the error to raise where the login is not fresh."""
        message, category = self.needs_refresh_message, self.needs_refresh_message_category
        return self._refusal(connection, "Fresh login required", self.refresh_view, message, category)

    def login_user(
        self,
        connection: HTTPConnection,
        user_id: str,
        *,
        remember: bool = False,
        duration: Seconds | None = None,
        fresh: bool = True,
    ) -> None:
        """Log the user in for Flask too; the remember cookie goes out with the response, for *duration*."""
        scope, session = connection.scope, session_of(connection, self.scope_key)
        line = login_user(scope, session, user_id, self.settings, remember=remember, duration=duration, fresh=fresh)
        _send(session, line)

    def logout_user(self, connection: HTTPConnection) -> None:
        """Log the user out for Flask too; the response deletes the remember cookie that came."""
        session = session_of(connection, self.scope_key)
        _send(session, logout_user(connection.scope, session, self.settings))

    def confirm_login(self, connection: HTTPConnection) -> None:
        """Make the login fresh again, after the user has given the password once more."""
        confirm_login(connection.scope, session_of(connection, self.scope_key), self.settings)

    def _refusal(
        self, connection: HTTPConnection, detail: str, view: str | None, message: str | None, category: str
    ) -> HTTPException | WebSocketException:
        if connection.scope["type"] == "websocket":
            return WebSocketException(1008, detail)  # policy violation (RFC 6455, 7.4.1)
        if not view:
            # RFC 9110, 15.5.2, wants a challenge; there is none for cookies, and this is FastAPI's.
            return HTTPException(401, detail, {"WWW-Authenticate": "APIKey"})
        if message:
            flash_in(session_of(connection, self.scope_key), message, category)
        return HTTPException(302, HTTPStatus.FOUND.phrase, {"Location": login_url(connection.scope, view)})


class CSRFProtect:
    """Flask-WTF's CSRF tokens: made for a page, checked when its form or its script comes back.

    Source: Flask-WTF 1.2's ``CSRFProtect``.
    """

    def __init__(self, settings: CSRFSettings, *, scope_key: str = "session") -> None:
        if not isinstance(settings, CSRFSettings):
            raise SettingsError(f"settings is a {type(settings).__name__}: write CSRFProtect(CSRFSettings(secret=...))")
        self.settings = settings
        self.scope_key = scope_key

    async def token(self, connection: HTTPConnection) -> str:
        """Return the token for a form or a header, that either side accepts: ``{{ csrf_token() }}``."""
        return generate_csrf(await load_session(connection, self.scope_key), self.settings)

    async def protect(self, connection: HTTPConnection) -> None:
        """Check a request whose method changes something, and raise a 400 that says what is wrong.

        The token is a field of the form, which can still be read afterwards, or a header; a header where *connection*
        is no ``Request``, but an ``HTTPConnection``. The handshake of a websocket is a GET, for which nothing is
        checked.
        """
        if not needs_csrf(connection.scope, self.settings):
            return
        session = await load_session(connection, self.scope_key)
        form = await _form(connection) if isinstance(connection, Request) else None
        try:
            check_csrf(connection.scope, session, form, self.settings)
        except CSRFError as error:
            if isinstance(connection, Request):
                await connection.close()  # with the files of the form, which nobody will read
            raise HTTPException(400, error.reason) from error


async def _form(request: Request) -> Mapping[str, Any] | None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        return None
    if getattr(formparsers, "multipart", True) is None:
        warn_once("multipart", "a form came whose CSRF token cannot be read: pip install python-multipart")
        return None
    if kind == _FORMS[0]:
        with suppress(RuntimeError):  # FastAPI has read the form already, if the route declares its fields
            await request.body()  # kept by the request, for whoever reads it later
    return await request.form()


def flash(connection: HTTPConnection, message: str, category: str = "message", *, scope_key: str = "session") -> None:
    """Leave a message for the next page, of whichever side, that shows them: Flask's ``flash``."""
    flash_in(session_of(connection, scope_key), message, category)


def get_flashed_messages(
    connection: HTTPConnection,
    with_categories: bool = False,
    category_filter: Iterable[str] = (),
    *,
    scope_key: str = "session",
) -> list[Any]:
    """Return the flashed messages, and take them out of the session: Flask's ``get_flashed_messages``."""
    session = session_of(connection, scope_key)
    return get_flashed_messages_of(session, with_categories=with_categories, category_filter=category_filter)


def _send(session: Session, line: bytes | None) -> None:
    """Let a line go out with the session's own; of one cookie the last counts."""
    if line is not None:
        name = line.partition(b"=")[0]
        session._lines = (*(other for other in session._lines if other.partition(b"=")[0] != name), line)
