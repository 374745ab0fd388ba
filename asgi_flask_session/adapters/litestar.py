"""Litestar: Flask's session as a session backend, and who is logged in, CSRF and flashes.

Source: Litestar's ``SessionMiddleware``, ``SessionAuth`` and what these are made of.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, cast

from ..asgi import CARRIES_HEADERS, ASGIApp, Header
from ..csrf import CSRFSettings, check_csrf, generate_csrf, needs_csrf
from ..errors import CSRFError, SessionWarning, SettingsError, StoreUnavailable
from ..flashes import flash, get_flashed_messages
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
from ..middleware import FlaskSessionASGI
from ..session import Session
from ..settings import Seconds, Settings, SettingsFields
from ..side import Clock
from ..stores.base import open_store
from ..unavailable import UNAVAILABLE_HEADERS, UNAVAILABLE_TEXT, log_unavailable
from . import missing

try:
    from litestar import Response
    from litestar.connection import ASGIConnection, Request
    from litestar.datastructures import MutableScopeHeaders, State
    from litestar.exceptions import (
        ClientException,
        HTTPException,
        ImproperlyConfiguredException,
        NotAuthorizedException,
        WebSocketException,
    )
    from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult, DefineMiddleware
    from litestar.middleware.session.base import BaseBackendConfig, BaseSessionBackend, SessionMiddleware
    from litestar.openapi.spec import Components, SecurityScheme
    from litestar.types import Empty, Scope
    from litestar.utils import ensure_async_callable
except ImportError as error:
    raise missing(error, "litestar") from error

if TYPE_CHECKING:
    from litestar.config.app import AppConfig
    from litestar.handlers import BaseRouteHandler
    from litestar.openapi.spec import SecurityRequirement
    from litestar.template import TemplateEngineProtocol
    from litestar.types import ASGIApp as LitestarApp
    from litestar.types import Message, Method, Receive, Scopes, ScopeSession, Send

AnyConnection = ASGIConnection[Any, Any, Any, Any]

UserT = TypeVar("UserT")
AuthT = TypeVar("AuthT")
StateT = TypeVar("StateT", bound=State)


class FlaskRequest(Request[UserT, AuthT, StateT]):
    """A request whose session counts as read once it is asked for.

    A session that a handler returns is encoded in C, past the methods that would notice it.
    """

    @property
    def session(self) -> Session:
        session = super().session
        if isinstance(session, Session):
            session.mark_accessed()
        return cast("Session", session)


class FlaskSessionBackend(BaseSessionBackend["FlaskSessionBackendConfig"]):
    """Reads and writes the session where no request is served by the middleware, as in Litestar's test clients."""

    def get_session_id(self, connection: AnyConnection) -> str | None:
        session: object = connection.scope.get("session")
        return session.sid if isinstance(session, Session) else None

    async def load_from_connection(self, connection: AnyConnection) -> dict[str, Any]:
        """Return the data of the session that the connection's cookie leads to; raises StoreUnavailable."""
        loaded: dict[str, Any] = {}

        async def load(scope: Any, *_: Any) -> None:
            await scope["session"].load()
            loaded.update(scope["session"])

        await self._run(load, connection)
        return loaded

    async def store_in_message(
        self, scope_session: "ScopeSession", message: "Message", connection: AnyConnection
    ) -> None:
        """Write *scope_session* in place of the connection's session; raises StoreUnavailable, UnwritableSession."""

        async def replace(scope: Any, _: Any, send: Any) -> None:
            scope["session"] = scope_session
            await send({"type": "http.response.start", "status": 200, "headers": []})

        headers = MutableScopeHeaders.from_message(message)
        for name, value in await self._run(replace, connection):
            headers.add(name.decode("latin-1"), value.decode("latin-1"))

    async def _run(self, app: ASGIApp, connection: AnyConnection) -> list[Header]:
        """Run *app* with the session of the connection, and return the headers of the response."""
        config = self.config
        cookies = "; ".join(f"{name}={value}" for name, value in connection.cookies.items())
        headers = [(b"cookie", cookies.encode("utf-8", "replace"))] if cookies else []  # a test client has no headers
        scope = {"type": "http", "path": "/", "client": connection.scope.get("client"), "headers": headers}
        sent: list[Header] = []

        async def send(message: Any) -> None:
            sent.extend(message["headers"])

        receive: Any = None  # nothing comes
        settings = _changed(config.settings, on_store_error="raise", exclude=None)
        await FlaskSessionASGI(app, settings=settings, clock=config.clock)(scope, receive, send)
        return sent


class FlaskSessionMiddleware(SessionMiddleware[FlaskSessionBackend]):
    """``FlaskSessionASGI`` where Litestar and its plugins look for a session middleware."""

    def __init__(self, app: "LitestarApp", backend: FlaskSessionBackend) -> None:
        config = backend.config
        # Where this one is left out, other cookies still have to be joined for the app.
        aside = _changed(config.settings, exclude=lambda _: True, store=None)
        super().__init__(app=FlaskSessionASGI(app, settings=aside), backend=backend)
        inside = app if config.store is None else self._with_id(app)
        self._serve = FlaskSessionASGI(inside, settings=config.settings, clock=config.clock)

    async def __call__(self, scope: Scope, receive: "Receive", send: "Send") -> None:
        await self._serve(scope, receive, send)

    def _with_id(self, app: "LitestarApp") -> "LitestarApp":
        """Return *app* with ``get_session_id()`` knowing the id of the session that came."""

        async def with_id(scope: Scope, receive: "Receive", send: "Send") -> None:
            connection = AnyConnection(scope)
            connection._connection_state.session_id = self.backend.get_session_id(connection)
            await app(scope, receive, send)

        return with_id


class FlaskSessionBackendConfig(BaseBackendConfig[FlaskSessionBackend]):
    """Flask's session for Litestar: ``Litestar([...], on_app_init=[FlaskSessionBackendConfig(...).on_app_init])``.

    *secret* is Flask's SECRET_KEY. ``key``, ``path``, ``domain``, ``secure``, ``httponly`` and ``samesite`` are what
    Litestar calls the cookie's settings; *max_age* is ``permanent_lifetime``, and makes new sessions outlive the
    browser. All else is Flask's, as in ``Settings``, whose fields are keywords too and count before those of
    *settings*. *scopes*, ``exclude`` and *exclude_opt_key* are Litestar's: ``exclude`` is a regular expression or a
    list of them, or, as in ``Settings``, a function of the scope. *clock* returns the time in seconds since the epoch.
    Raises SettingsError for settings that cannot work.
    """

    _backend_class = FlaskSessionBackend

    def __init__(
        self,
        secret: Any = None,
        *,
        settings: Settings | None = None,
        key: str | None = None,
        max_age: Seconds | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool | None = None,
        httponly: bool | None = None,
        samesite: Literal["lax", "strict", "none"] | None = None,
        scopes: "Scopes | None" = None,
        exclude_opt_key: str = "skip_session",
        clock: Clock = time.time,
        **fields: Unpack[SettingsFields],
    ) -> None:
        self.exclude = _patterns(fields)
        litestars: dict[str, Any] = {
            "cookie_name": key,
            "cookie_path": path,
            "cookie_domain": domain,
            "cookie_secure": secure,
            "cookie_httponly": httponly,
            "cookie_samesite": samesite,
            "permanent_lifetime": max_age,
            "permanent": None if max_age is None else True,
        }
        given = {name: value for name, value in litestars.items() if value is not None}
        if twice := sorted(given.keys() & fields.keys()):
            raise SettingsError(f"{', '.join(twice)} is given twice, by its name and by Litestar's: write one of them")
        changes = cast("SettingsFields", {**fields, **given})
        settings = Settings(secret, **changes) if settings is None else settings.replace(secret, **changes)
        if settings.scope_key != "session":
            raise SettingsError("scope_key is where Litestar looks for the session: leave it out here")
        self._opened = None
        if isinstance(settings.store, str):  # opened once, since Litestar makes a middleware for each route
            self._opened = open_store(settings.store, timeout=settings.store_timeout)
            settings = _changed(settings, store=self._opened)
        self.settings = settings
        self.store = settings.store
        self.clock = clock
        self.key = settings.cookie_name
        self.path = settings.cookie_path
        self.domain = settings.cookie_domain
        self.secure = settings.cookie_secure
        self.httponly = settings.cookie_httponly
        self.samesite = cast("Any", settings.cookie_samesite and settings.cookie_samesite.lower())  # or None
        self.max_age = int(settings.permanent_lifetime.total_seconds())
        self.scopes = scopes or type(self).scopes
        self.exclude_opt_key = exclude_opt_key

    @property
    def middleware(self) -> DefineMiddleware:
        """Return the middleware, for a list of an app, a router or a handler."""
        return DefineMiddleware(FlaskSessionMiddleware, backend=self._backend_class(config=self))

    def on_app_init(self, app_config: "AppConfig") -> "AppConfig":
        """Add the middleware, outermost, and what belongs to an app besides.

        A session that a handler returns counts as read, a store made from a URL is closed at the end, and what
        ``session.load()`` raises where the store is down becomes a 503.
        """
        app_config.middleware.insert(0, self.middleware)
        app_config.request_class = _seeing(app_config.request_class)
        app_config.on_shutdown.append(self.aclose)
        if self.settings.on_store_error == "503":
            app_config.exception_handlers.setdefault(StoreUnavailable, _answer_unavailable)
        return app_config

    async def aclose(self) -> None:
        """Close the store if it was made from a URL; a given one is left open."""
        if self._opened is not None:
            await self._opened.aclose()


def _changed(settings: Settings, **changes: Unpack[SettingsFields]) -> Settings:
    """Return the settings with *changes*, and do not warn again of what they were warned of when they were made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SessionWarning)
        return settings.replace(**changes)


def _patterns(fields: SettingsFields) -> list[str] | str | None:
    """Take what excludes by Litestar's patterns out of *fields*."""
    exclude = fields.get("exclude")
    if exclude is None or callable(exclude):
        return None
    del fields["exclude"]
    return exclude if isinstance(exclude, str) else list(exclude)


def _seeing(request_class: type[Request[Any, Any, Any]] | None) -> type[Request[Any, Any, Any]]:
    """Return the app's own class of requests, if it has one, as one that sees its session returned."""
    if request_class is None or issubclass(FlaskRequest, request_class):
        return FlaskRequest
    if issubclass(request_class, FlaskRequest):
        return request_class
    return type(request_class.__name__, (FlaskRequest, request_class), {})


def _answer_unavailable(_: Request[Any, Any, Any], error: StoreUnavailable) -> Response[bytes]:
    log_unavailable(error)
    headers = {name.decode("ascii"): value.decode("ascii") for name, value in UNAVAILABLE_HEADERS}
    return Response(UNAVAILABLE_TEXT, status_code=503, headers=headers, media_type=headers.pop("content-type"))


class LoginMiddleware(AbstractAuthenticationMiddleware):
    """Sets ``request.user`` and ``request.auth``, and sends the remember cookie that a handler owes."""

    def __init__(self, app: "LitestarApp", manager: "LoginManager") -> None:
        super().__init__(
            app,
            exclude=manager.exclude,
            exclude_from_auth_key=manager.exclude_opt_key,
            exclude_http_methods=manager.exclude_http_methods,
            scopes=manager.scopes,
        )
        self._manager = manager

    async def __call__(self, scope: Scope, receive: "Receive", send: "Send") -> None:
        connection: Any = scope
        owed: list[bytes] = []
        connection[_OWED] = owed

        async def send_with_cookie(message: Any) -> None:
            if message["type"] in CARRIES_HEADERS:
                if not owed:
                    owed.extend(self._refreshed(connection))
                if owed:
                    headers = [*(message.get("headers") or ()), (b"set-cookie", owed[-1])]
                    message = {**message, "headers": headers}
            await send(message)

        await super().__call__(scope, receive, send_with_cookie)

    async def authenticate_request(self, connection: AnyConnection) -> AuthenticationResult:
        return await self._manager._authenticated(connection)

    def _refreshed(self, scope: Any) -> list[bytes]:
        """Return the remember cookie that goes out with each response of a user, if the settings say so."""
        session = scope.get("session")
        if not (scope.get("auth") and isinstance(session, Mapping)):
            return []
        line = refresh_remember_cookie(scope, session, self._manager.settings)
        return [] if line is None else [line]


_OWED = "asgi_flask_session.remember_cookie"


class LoginManager:
    """Who is logged in by Flask-Login: ``Litestar([...], on_app_init=[session.on_app_init, login.on_app_init])``.

    The middleware sets ``request.user`` to what *retrieve_user_handler* returns for the user's id and the
    connection, sync or async, or to the id where there is none; ``request.auth`` is a ``Login``. Both are there for
    everybody; for visitors, and users whom *retrieve_user_handler* does not know, they are None and false. It is the
    guards that send somebody away: with *login_view*, a URL, to log in there, with ``next`` and a flashed
    *login_message*, as Flask-Login does; else with a 401. *refresh_view* and its message are the same for a login
    that is not fresh. The messages may be None. *exclude*, *exclude_opt_key*, *exclude_http_methods* and *scopes*
    are Litestar's. *session_cookie* is what the OpenAPI schema calls the cookie. Source: Flask-Login 0.6's
    ``LoginManager``, Litestar's ``SessionAuth``.
    """

    def __init__(
        self,
        settings: LoginSettings,
        *,
        retrieve_user_handler: Callable[[str, AnyConnection], Any] | None = None,
        login_view: str | None = None,
        login_message: str | None = "Please log in to access this page.",
        login_message_category: str = "message",
        refresh_view: str | None = None,
        needs_refresh_message: str | None = "Please reauthenticate to access this page.",
        needs_refresh_message_category: str = "message",
        exclude: str | list[str] | None = None,
        exclude_opt_key: str = "exclude_from_auth",
        exclude_http_methods: "list[Method] | None" = None,
        scopes: "Scopes | None" = None,
        session_cookie: str = "session",
    ) -> None:
        if not isinstance(settings, LoginSettings):
            raise SettingsError(f"settings is a {type(settings).__name__}: write LoginManager(LoginSettings(secret))")
        self.settings = settings
        self.retrieve_user_handler = retrieve_user_handler and ensure_async_callable(retrieve_user_handler)
        self.login_view = login_view
        self.login_message = login_message
        self.login_message_category = login_message_category
        self.refresh_view = refresh_view
        self.needs_refresh_message = needs_refresh_message
        self.needs_refresh_message_category = needs_refresh_message_category
        self.exclude = exclude
        self.exclude_opt_key = exclude_opt_key
        self.exclude_http_methods = exclude_http_methods
        self.scopes = scopes
        self.session_cookie = session_cookie

    @property
    def middleware(self) -> DefineMiddleware:
        """Return the middleware, for a list in which it comes after the session's."""
        return DefineMiddleware(LoginMiddleware, manager=self)

    @property
    def openapi_components(self) -> Components:
        scheme = SecurityScheme(
            type="apiKey", name=self.session_cookie, security_scheme_in="cookie", description="Flask's session cookie."
        )
        return Components(security_schemes={"sessionCookie": scheme})

    @property
    def security_requirement(self) -> "SecurityRequirement":
        """Return what the OpenAPI schema says of a guarded handler: ``security=[login.security_requirement]``."""
        return {"sessionCookie": []}

    def on_app_init(self, app_config: "AppConfig") -> "AppConfig":
        """Add the middleware, after that of the session, and tell the OpenAPI schema of the cookie.

        Where the guard is one of the whole app, the schema says so too.
        """
        place = 0
        for number, middleware in enumerate(app_config.middleware, 1):
            kind = middleware.middleware if isinstance(middleware, DefineMiddleware) else middleware
            if isinstance(kind, type) and issubclass(kind, (SessionMiddleware, FlaskSessionASGI)):
                place = number
        app_config.middleware.insert(place, self.middleware)
        if app_config.openapi_config is not None:
            config = app_config.openapi_config = copy(app_config.openapi_config)
            others = config.components if isinstance(config.components, list) else [config.components]
            config.components = [self.openapi_components, *others]
            if any(guard in (self.login_required, self.fresh_login_required) for guard in app_config.guards):
                config.security = [*(config.security or ()), self.security_requirement]
        return app_config

    # Guards and dependencies

    async def login_required(self, connection: AnyConnection, handler: "BaseRouteHandler") -> None:
        """Guard what only users may see: ``guards=[login.login_required]``.

        OPTIONS is let through, as in Flask-Login, and handlers with *exclude_opt_key*.
        """
        if not (self._is_open(connection, handler) or await self.current(connection)):
            raise self.unauthorized(connection)

    async def fresh_login_required(self, connection: AnyConnection, handler: "BaseRouteHandler") -> None:
        """Guard what only users may see who gave their password in this session."""
        await self.login_required(connection, handler)
        if not (self._is_open(connection, handler) or (await self.current(connection)).fresh):
            raise self.needs_refresh(connection)

    def _is_open(self, connection: AnyConnection, handler: "BaseRouteHandler") -> bool:
        method: object = connection.scope.get("method")
        return method == "OPTIONS" or bool(handler.opt.get(self.exclude_opt_key))

    async def provide_user_id(self, scope: Scope) -> str | None:
        """Provide the user's id, or None: ``dependencies={"user_id": Provide(login.provide_user_id)}``."""
        return (await self.current(AnyConnection(scope))).user_id

    async def current(self, connection: AnyConnection) -> Login:
        """Return who is logged in, whether freshly, and what says so: the session or the remember cookie."""
        known: object = connection.scope.get("auth")
        return known if isinstance(known, Login) else (await self._authenticated(connection)).auth

    async def _authenticated(self, connection: AnyConnection) -> AuthenticationResult:
        scope: Any = connection.scope
        login = current_login(scope, await _loaded(scope), self.settings)
        user: Any = login.user_id
        if user is not None and self.retrieve_user_handler is not None:
            user = await self.retrieve_user_handler(user, connection)
        return AuthenticationResult(user=user, auth=Login(None) if user is None else login)

    def unauthorized(self, connection: AnyConnection) -> Exception:
        """Return what to raise where nobody is logged in: a 401, a redirect to *login_view*, a closed websocket."""
        message, category = self.login_message, self.login_message_category
        return self._refusal(connection, "Not authenticated", self.login_view, message, category)

    def needs_refresh(self, connection: AnyConnection) -> Exception:
        """Return what to raise where the login is not fresh."""
        message, category = self.needs_refresh_message, self.needs_refresh_message_category
        return self._refusal(connection, "Fresh login required", self.refresh_view, message, category)

    def _refusal(
        self, connection: AnyConnection, detail: str, view: str | None, message: str | None, category: str
    ) -> Exception:
        scope: Any = connection.scope
        if scope["type"] == "websocket":
            return WebSocketException(detail=detail, code=1008)  # policy violation (RFC 6455, 7.4.1)
        if not view:
            return NotAuthorizedException(detail)
        if message:
            flash(_session(scope), message, category)
        return HTTPException(status_code=302, headers={"Location": login_url(scope, view)})

    # Log in and out

    def login_user(
        self,
        connection: AnyConnection,
        user_id: str,
        *,
        user: Any = None,
        remember: bool = False,
        duration: Seconds | None = None,
        fresh: bool = True,
    ) -> None:
        """Log the user in for Flask too; the remember cookie goes out with the response, for *duration*.

        ``request.auth`` says so at once; ``request.user`` becomes *user*, or the id where there is no
        ``retrieve_user_handler``.
        """
        scope: Any = connection.scope
        line = login_user(
            scope, _session(scope), user_id, self.settings, remember=remember, duration=duration, fresh=fresh
        )
        known = user if user is not None or self.retrieve_user_handler is not None else str(user_id)
        _note(scope, line, known, Login(str(user_id), fresh, "session"))

    def logout_user(self, connection: AnyConnection) -> None:
        """Log the user out for Flask too; the response deletes the remember cookie that came."""
        scope: Any = connection.scope
        _note(scope, logout_user(scope, _session(scope), self.settings), None, Login(None))

    def confirm_login(self, connection: AnyConnection) -> None:
        """Make the login fresh again, after the user has given the password once more."""
        scope: Any = connection.scope
        confirm_login(scope, _session(scope), self.settings)
        if isinstance(known := scope.get("auth"), Login) and known:
            scope["auth"] = Login(known.user_id, True, "session")


def _note(scope: Any, line: bytes | None, user: Any, login: Login) -> None:
    """Let the response carry *line*, and the rest of the request know who is there."""
    if line is not None:
        if (owed := scope.get(_OWED)) is None:
            raise ImproperlyConfiguredException(
                "the remember cookie has no way into the response: add on_app_init of the LoginManager to the app, or"
                " its middleware after that of the session"
            )
        owed.append(line)
    scope["user"], scope["auth"] = user, login


def _session(scope: Any) -> MutableMapping[str, Any]:
    """Return the session; raises ImproperlyConfiguredException where there is none."""
    session = scope.get("session", _MISSING)
    if session is Empty or session is None:  # cleared by the app
        session = scope["session"] = {}
    if isinstance(session, MutableMapping):
        return session
    raise ImproperlyConfiguredException(
        "there is no session, or it was set to what is no dict: add on_app_init of a FlaskSessionBackendConfig to the"
        " app, and do not exclude this path there"
    )


_MISSING: Any = object()


async def _loaded(scope: Any) -> MutableMapping[str, Any]:
    """Do the same, with a lazy session loaded; raises StoreUnavailable too."""
    session = _session(scope)
    if isinstance(session, Session):
        await session.load()
    return session


class CSRFProtect:
    """Flask-WTF's CSRF tokens: made for a page, checked when its form or its script comes back.

    A handler with ``exclude_from_csrf=True`` among its options (*exclude_opt_key*) is not checked. Source: Flask-WTF
    1.3's ``CSRFProtect``.
    """

    def __init__(self, settings: CSRFSettings, *, exclude_opt_key: str = "exclude_from_csrf") -> None:
        if not isinstance(settings, CSRFSettings):
            raise SettingsError(f"settings is a {type(settings).__name__}: write CSRFProtect(CSRFSettings(secret))")
        self.settings = settings
        self.exclude_opt_key = exclude_opt_key

    def token(self, connection: AnyConnection) -> str:
        """Return the token for a form or a header, that either side accepts: ``{{ csrf_token() }}``."""
        return generate_csrf(_session(connection.scope), self.settings)

    async def protect(self, connection: AnyConnection, handler: "BaseRouteHandler") -> None:
        """Guard against requests from elsewhere, with a 400 that says what is wrong: ``guards=[csrf.protect]``.

        Looked at are requests whose method changes something. The token is a field of the form, which the handler
        still gets, or a header.
        """
        scope: Any = connection.scope
        if not needs_csrf(scope, self.settings) or handler.opt.get(self.exclude_opt_key):
            return
        session = await _loaded(scope)
        form = None
        with suppress(LookupError, ValueError):  # a part in a charset that is none: it is no form
            form = await connection.form() if isinstance(connection, Request) else None
        try:
            check_csrf(scope, session, form, self.settings)
        except CSRFError as error:
            if form is not None:
                await form.close()  # its files: Litestar closes only what a handler gets
            raise ClientException(error.reason) from error


def flask_callables(csrf: CSRFProtect | None = None) -> Callable[["TemplateEngineProtocol[Any, Any]"], None]:
    """Return an ``engine_callback`` that gives templates Flask's ``get_flashed_messages``, and ``csrf_token``.

    For Jinja and Mako. ``csrf_token`` is Flask-WTF's only where *csrf* is given, else it is Litestar's.
    """

    def flashed(context: Mapping[str, Any], with_categories: bool = False, category_filter: Iterable[str] = ()) -> Any:
        session = _session(context["request"].scope)
        return get_flashed_messages(session, with_categories=with_categories, category_filter=category_filter)

    def register(engine: "TemplateEngineProtocol[Any, Any]") -> None:
        engine.register_template_callable("get_flashed_messages", flashed)
        if csrf is not None:
            token = csrf.token
            engine.register_template_callable("csrf_token", lambda context: token(context["request"]))

    return register
