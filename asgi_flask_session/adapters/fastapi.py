"""FastAPI's side: the dependencies of a route that shares its session with Flask, as OpenAPI shows them.

``session: FlaskSession`` is all that a route needs to have the session; who is logged in and CSRF want settings, and
so an object of the application's own.
"""

import time
from collections.abc import Awaitable, Callable
from functools import cached_property, partial
from typing import Annotated, Any, Generic, Literal, Protocol, TypeVar, Unpack

from ..client_side import ClientSide
from ..errors import BadCookie, SettingsError
from ..flashes import flash, get_flashed_messages
from ..login import Login
from ..migration import request_cookie
from ..session import Session, plain
from ..settings import Settings, SettingsFields
from ..side import Clock
from . import missing

try:
    from fastapi import Depends, HTTPException
    from fastapi.openapi.models import APIKey
    from fastapi.requests import HTTPConnection
    from fastapi.security.base import SecurityBase
except ImportError as error:
    raise missing(error, "fastapi") from error

from . import starlette
from .starlette import SessionMiddleware as SessionMiddleware  # noqa: PLC0414  # for users to import from here
from .starlette import load_session, session_of

Answer = TypeVar("Answer")


async def get_session(connection: HTTPConnection) -> Session:
    """Return the session, loaded; raises SettingsError where our middleware did not put one there.

    It counts as read: a session that a route returns is encoded past the methods that would notice it.
    """
    session = await load_session(connection)
    session.mark_accessed()
    return session


FlaskSession = Annotated[Session, Depends(get_session)]


class Flasher(Protocol):
    """Flask's ``flash``, for one request."""

    def __call__(self, message: str, category: str = "message") -> None: ...


async def get_flash(session: FlaskSession) -> Flasher:
    """Return the function that leaves a message for the next page, of whichever side, that shows them."""
    return partial(flash, session)


async def get_flashes(session: FlaskSession) -> list[tuple[str, str]]:
    """Return category and message of each flashed message, and take them out of the session."""
    return get_flashed_messages(session, with_categories=True)


Flash = Annotated[Flasher, Depends(get_flash)]
FlashedMessages = Annotated[list[tuple[str, str]], Depends(get_flashes)]


class Dependency(SecurityBase, Generic[Answer]):
    """Asks something of each connection; in OpenAPI it is a security scheme, with a cookie or a header for its key."""

    def __init__(
        self,
        ask: Callable[[HTTPConnection], Awaitable[Answer]],
        scheme_name: str,
        place: Literal["cookie", "header"],
        name: str,
        description: str,
    ) -> None:
        self.ask = ask
        self.scheme_name = scheme_name
        key: Any = {"in": place, "name": name, "description": description}
        self.model = APIKey(**key)

    async def __call__(self, connection: HTTPConnection) -> Answer:
        return await self.ask(connection)


class LoginManager(starlette.LoginManager):
    """Starlette's, whose questions are dependencies: ``Depends(login.required)``.

    They are ``current``, ``user_id``, ``required`` and ``fresh``. A websocket that is refused is closed with 1008,
    before it is accepted.
    """

    #: The name of the session's cookie, for the OpenAPI document.
    session_cookie = "session"

    # What is called as the method is. Each is made once, so that dependency_overrides finds it.

    @cached_property
    def current(self) -> Dependency[Login]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._dependency(super().current)

    @cached_property
    def user_id(self) -> Dependency[str | None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._dependency(super().user_id)

    @cached_property
    def required(self) -> Dependency[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._dependency(super().required)

    @cached_property
    def fresh(self) -> Dependency[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._dependency(super().fresh)

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """What else a route may answer that wants a login, as its ``responses``."""
        if self.login_view:
            return {302: {"description": "Nobody is logged in: go to the login page"}}
        return {401: {"description": "Nobody is logged in"}}

    def _dependency(self, ask: Callable[[HTTPConnection], Awaitable[Answer]]) -> Dependency[Answer]:
        return Dependency(ask, "FlaskSession", "cookie", self.session_cookie, "The session shared with Flask")


class CSRFProtect(starlette.CSRFProtect):
    """Starlette's, whose ``protect`` and ``token`` are dependencies: ``Depends(csrf.protect)``."""

    @cached_property
    def protect(self) -> Dependency[None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        field = self.settings.field_name
        header = next(iter(self.settings.headers), field)
        return Dependency(super().protect, "CSRFToken", "header", header, f"Or the form's field {field}")

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """What else a protected route may answer, as its ``responses``."""
        return {400: {"description": "The CSRF token is missing or wrong"}}


class Decoder(Protocol):
    """What reads a cookie; it may raise anything for a bad one."""

    def json(self, cookie: str, /) -> Any:
        """Return the data of the cookie."""


class FlaskSessionDecoder:
    """Reads Flask's session cookies, of the right signature and age: flask-session-decoder's class of this name.

    *fields* are those of ``Settings``, such as ``salt`` and ``secret_fallbacks``. The values are Flask's: what is
    tagged comes back as what it was. Raises SettingsError for settings that cannot work.
    """

    def __init__(self, *, secret_key: Any, clock: Clock = time.time, **fields: Unpack[SettingsFields]) -> None:
        settings = Settings(secret_key, **fields)
        for name in ("store", "is_revoked", "migrate_from"):
            if getattr(settings, name):
                raise SettingsError(
                    f"{name} asks for more than the cookie that a decoder is given: add SessionMiddleware with it to"
                    " the app, and leave the decoder out"
                )
        self._side = ClientSide(settings, clock)

    def json(self, cookie: str, /) -> dict[str, Any]:
        """Return the data of a cookie; raises BadCookie."""
        session = self._side.open(cookie.encode("latin-1", "replace"), {})
        if session.new:
            raise BadCookie("it is forged, damaged or too old")
        return plain(session)


class FlaskSessionAuthenticator:
    """The dependencies of fastapi-flask-auth: ``Depends(authenticator.requires_user_id)``.

    With a *decoder* they read the cookie *session_header* and need no middleware; without one they read the
    middleware's session, which has to be loaded by then (``FlaskSession``) if it is lazy. They look at *id_field*
    only: ``LoginManager`` also knows about remember cookies, freshness, and sessions of another browser.
    """

    def __init__(
        self,
        *,
        decoder: Decoder | None = None,
        error_status_code: int = 401,
        id_field: str = "_user_id",
        session_header: str = "session",
    ) -> None:
        self._decoder = decoder
        self._error_status_code = error_status_code
        self._id_field = id_field
        self._session_header = session_header

    def get_session_cookie(self, request: HTTPConnection) -> dict[str, Any] | None:
        """Return the data of the session that came, or None."""
        if self._decoder is None:
            session = session_of(request)
            data = dict(session)  # looked at also where none came, since the answer is made of that
            return None if session.new else data
        cookie = request_cookie(request.scope, self._session_header)
        if cookie is None:
            return None
        try:
            data = self._decoder.json(cookie)
        except Exception:  # noqa: BLE001  # whatever the decoder of the app makes of a bad cookie
            return None
        return data if isinstance(data, dict) else None

    def get_user_id(self, request: HTTPConnection) -> str | None:
        """Return the user id of the session that came, or None."""
        session = self.get_session_cookie(request)
        return None if session is None else session.get(self._id_field)

    def requires_session_cookie(self, request: HTTPConnection) -> dict[str, Any]:
        """Return the data of the session that came, or raise a 401."""
        session = self.get_session_cookie(request)
        if session is None:
            raise HTTPException(self._error_status_code, "No valid session cookie was found.")
        return session

    def requires_user_id(self, request: HTTPConnection) -> str:
        """Return the user id of the session that came, or raise a 401."""
        user_id = self.get_user_id(request)
        if user_id is None:
            raise HTTPException(self._error_status_code, "User ID was not found.")
        return user_id
