"""``request.session`` under ``FlaskSessionASGI``: Django's session methods over the one in the ASGI scope."""

from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import Any, cast

from asgiref.sync import async_to_sync
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ...errors import StoreUnavailable
from ...lazy import is_unloaded
from ...session import Session
from ...unavailable import UNAVAILABLE_HEADERS, UNAVAILABLE_TEXT, log_unavailable
from .base import FlaskSessionBase
from .conf import flask_settings


class ScopeSession(FlaskSessionBase):
    """The session that ``FlaskSessionASGI`` has opened and will write; ``session_key`` is its id in a store."""

    #: Why the store could not be asked.
    unavailable: StoreUnavailable | None = None

    def __init__(self, session: Session) -> None:
        self._found = session
        super().__init__()

    def _open(self) -> Session:
        if is_unloaded(self._found):
            async_to_sync(self._aopen)()
        return self._found

    async def _aopen(self) -> Session:
        try:
            await self._found.load()
        except StoreUnavailable as error:
            self.unavailable = error
            raise
        return self._found

    @property
    def session_key(self) -> str | None:
        return self._found.sid

    def save(self, must_create: bool = False) -> None:  # noqa: ARG002  # Django's signature
        """Write into the store now; a session in a cookie goes out with the response. Raises StoreUnavailable."""
        if self._found._side is not None:
            async_to_sync(self.asave)()

    async def asave(self, must_create: bool = False) -> None:  # noqa: ARG002  # Django's signature
        if self._found._side is not None:
            await (await self._aget_session()).save()

    def create(self) -> None:
        super().create()
        self.save()

    async def acreate(self) -> None:
        await super().acreate()
        await self.asave()

    def is_empty(self) -> bool:
        return not self

    def exists(self, session_key: str | None = None) -> bool:
        """Say whether *session_key* is this session's: of others nothing is known here."""
        return session_key is not None and session_key == self.session_key

    async def aexists(self, session_key: str | None = None) -> bool:
        return self.exists(session_key)


class FlaskSessionMiddleware(SessionMiddleware):
    """Takes the place of Django's ``SessionMiddleware`` where ``FlaskSessionASGI`` is around the application.

    Where it is not (under WSGI, in Django's test client) the session engine opens the cookie. Raises SettingsError.
    """

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        from .engine import SessionStore  # its import looks at the settings

        self.SessionStore = SessionStore
        self._key = flask_settings().scope_key

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        found = getattr(request, "scope", {}).get(self._key)
        if not isinstance(found, Session):
            return super().__call__(request)
        given = request.session = ScopeSession(found)
        if self.async_mode:
            return self._answer(request, given)
        response = cast("HttpResponseBase", self.get_response(request))
        return self._finish(request, given, response)

    async def _answer(self, request: HttpRequest, given: ScopeSession) -> HttpResponseBase:
        response = await cast("Awaitable[HttpResponseBase]", self.get_response(request))
        return self._finish(request, given, response)

    def _finish(self, request: HttpRequest, given: ScopeSession, response: HttpResponseBase) -> HttpResponseBase:
        self._take_over(request, given)
        if given.unavailable is None or response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
            return response
        return _unavailable(given.unavailable) or response  # of a middleware, whose errors process_exception never sees

    def _take_over(self, request: HttpRequest, given: ScopeSession) -> None:
        """Put what a view has assigned to ``request.session`` where it is written from."""
        scope: Any = request.scope  # type: ignore[attr-defined]  # an ASGIRequest
        now: Any = getattr(request, "session", None)
        if now is not given and now is not scope.get(self._key) and isinstance(now, Mapping | SessionBase):
            scope[self._key] = dict(now.items())

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:  # noqa: ARG002  # Django's signature
        """Answer 503 where a view waited for a store that is down (``on_store_error``)."""
        return _unavailable(exception) if isinstance(exception, StoreUnavailable) else None


def _unavailable(error: StoreUnavailable) -> HttpResponse | None:
    if flask_settings().on_store_error == "raise":
        return None
    log_unavailable(error)
    response = HttpResponse(UNAVAILABLE_TEXT, status=503)
    for name, value in UNAVAILABLE_HEADERS:
        response[name.decode("ascii")] = value.decode("ascii")
    return response
