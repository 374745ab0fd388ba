"""Who is logged in by Flask-Login, and Flask-WTF's CSRF tokens, in Quart: over its own request and session.

Quart's own ``flash`` and ``get_flashed_messages`` exchange messages with Flask as they are.
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from quart import (
    Blueprint,
    Quart,
    abort,
    after_this_request,
    current_app,
    flash,
    g,
    has_websocket_context,
    redirect,
    request,
    session,
    url_for,
    websocket,
)
from werkzeug.exceptions import BadRequest

from asgi_flask_session import csrf, errors, login
from asgi_flask_session.asgi import Scope
from asgi_flask_session.csrf import CSRFSettings
from asgi_flask_session.login import Login, LoginSettings
from asgi_flask_session.session import Session
from asgi_flask_session.settings import Seconds

P = ParamSpec("P")
T = TypeVar("T")
ViewOrBlueprint = TypeVar("ViewOrBlueprint", bound=Callable[..., Any] | Blueprint)

_LOGIN, _CSRF = "asgi_flask_session.login", "asgi_flask_session.csrf"  # in app.extensions
_ANSWERED = "_flask_login_remember_cookie"  # in g: the response has a line for that cookie already
_EXEMPT = "_csrf_exempt"  # an attribute of views
_EXEMPT_METHODS = frozenset({"OPTIONS"})


class LoginManager:
    """Where visitors log in who must be, under the names of Flask-Login's ``LoginManager``: ``LoginManager(app)``.

    *login_view* and *refresh_view* are URLs, such as one of the Flask app's, or names of views; without them a
    visitor gets a 401. A message of None is not flashed. The app's config is read at its first request
    (SESSION_PROTECTION, where that is Flask-Login's, REMEMBER_COOKIE_NAME, ...); *fields* of ``LoginSettings`` count
    before it. Raises SettingsError for settings that cannot work.
    """

    def __init__(
        self,
        app: Quart | None = None,
        *,
        login_view: str | None = None,
        login_message: str | None = "Please log in to access this page.",
        login_message_category: str = "message",
        refresh_view: str | None = None,
        needs_refresh_message: str | None = "Please reauthenticate to access this page.",
        needs_refresh_message_category: str = "message",
        **fields: Any,
    ) -> None:
        self.login_view = login_view
        self.login_message = login_message
        self.login_message_category = login_message_category
        self.refresh_view = refresh_view
        self.needs_refresh_message = needs_refresh_message
        self.needs_refresh_message_category = needs_refresh_message_category
        self._fields = fields
        self._settings: WeakKeyDictionary[Quart, LoginSettings] = WeakKeyDictionary()
        LoginSettings(**{"secret": "in place of the app's secret, until there is an app", **fields})
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Make this the manager of *app*."""
        app.extensions[_LOGIN] = self
        app.after_request(self._refresh_remember_cookie)

    def settings_of(self, app: Quart) -> LoginSettings:
        """Return the settings for *app*, as they were when first asked for; raises SettingsError."""
        if app not in self._settings:
            config: dict[str, Any] = {**app.config}
            if isinstance(config.get("SESSION_PROTECTION"), bool):
                del config["SESSION_PROTECTION"]  # that is Quart-Session's
            proxies = 1 if config.get("SESSION_REVERSE_PROXY") is True else 0
            self._settings[app] = LoginSettings.from_mapping(config, **{"trusted_proxies": proxies, **self._fields})
        return self._settings[app]

    async def unauthorized(self) -> Any:
        """Return what a visitor gets who is not logged in: the way to *login_view*, or a 401."""
        return await _away(self.login_view, self.login_message, self.login_message_category)

    async def needs_refresh(self) -> Any:
        """Return what a user gets whose login is not fresh: the way to *refresh_view*, or a 401."""
        return await _away(self.refresh_view, self.needs_refresh_message, self.needs_refresh_message_category)

    async def _refresh_remember_cookie(self, response: Any) -> Any:
        settings = self.settings_of(_app())
        if settings.refresh_each_request and _ANSWERED not in g:
            await _load_session()
            line = login.refresh_remember_cookie(_scope(), session, settings)
            if line is not None:
                response.headers.add("Set-Cookie", line.decode("latin-1"))
        return response


def current_login() -> Login:
    """Say who is logged in, whether freshly, and by what: the session or the remember cookie. Nothing is written."""
    return login.current_login(_scope(), session, _login_settings())


def current_user_id() -> str | None:
    """Return the id of the user who is logged in, or None."""
    return current_login().user_id


def login_user(user_id: str, remember: bool = False, duration: Seconds | None = None, fresh: bool = True) -> None:
    """Log a user in, here and in Flask; *user_id* is what ``get_id()`` of Flask's users returns.

    With *remember* the response sets the remember cookie, for *duration* or REMEMBER_COOKIE_DURATION. A websocket
    has no response to do that: it is left to the next one of Flask's.
    """
    settings = _login_settings()
    line = login.login_user(_scope(), session, user_id, settings, remember=remember, duration=duration, fresh=fresh)
    _answer_with(line)


def logout_user() -> None:
    """Log the user out, here and in Flask; the response deletes a remember cookie that came.

    A websocket has no response to do that: the session says that the cookie is void, until Flask's next response
    deletes it.
    """
    _answer_with(login.logout_user(_scope(), session, _login_settings()))


def confirm_login() -> None:
    """Make the login fresh again, once the user has given the password."""
    login.confirm_login(_scope(), session, _login_settings())


def login_required(view: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
    """Let only users who are logged in come to a view, of requests or of a websocket.

    As in Flask-Login, OPTIONS is let through, and everyone where LOGIN_DISABLED is set in the app's config.
    """
    return _guarded(view, lambda login, manager: None if login else manager.unauthorized())


def fresh_login_required(view: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
    """Let only those users come to a view who logged in with their password in this session."""

    def refuse(login: Login, manager: LoginManager) -> Awaitable[Any] | None:
        if not login:
            return manager.unauthorized()
        return None if login.fresh else manager.needs_refresh()

    return _guarded(view, refuse)


def _guarded(
    view: Callable[P, Any], refuse: Callable[[Login, LoginManager], Awaitable[Any] | None]
) -> Callable[P, Awaitable[Any]]:
    @wraps(view)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        if _scope().get("method") not in _EXEMPT_METHODS and not current_app.config.get("LOGIN_DISABLED"):
            await _load_session()
            refusal = refuse(current_login(), _manager())
            if refusal is not None:
                return await refusal
        return await current_app.ensure_async(view)(*args, **kwargs)

    return guarded


class CSRFError(errors.CSRFError, BadRequest):
    """A 400 whose ``description`` and ``reason`` say what is wrong, in Flask-WTF's words."""


class CSRFProtect:
    """Checks Flask-WTF's token in every request of an app that changes something: ``CSRFProtect(app)``.

    The token may be one of Flask's, and ``generate_csrf()``, in templates ``csrf_token()``, makes those that Flask
    accepts. The app's config is read at its first request (WTF_CSRF_TIME_LIMIT, ...); *fields* of ``CSRFSettings``
    count before it. Raises SettingsError for settings that cannot work.
    """

    def __init__(self, app: Quart | None = None, **fields: Any) -> None:
        self._fields = fields
        self._exempt: set[Blueprint | None] = set()
        self._settings: WeakKeyDictionary[Quart, CSRFSettings] = WeakKeyDictionary()
        CSRFSettings(**{"secret": "in place of the app's secret, until there is an app", **fields})
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Check the requests of *app*, unless WTF_CSRF_CHECK_DEFAULT is False."""
        app.extensions[_CSRF] = self
        app.jinja_env.globals["csrf_token"] = generate_csrf
        app.before_request(self._check)

    def settings_of(self, app: Quart) -> CSRFSettings:
        """Return the settings for *app*, as they were when first asked for; raises SettingsError."""
        if app not in self._settings:
            self._settings[app] = CSRFSettings.from_mapping(app.config, **self._fields)
        return self._settings[app]

    def exempt(self, view: ViewOrBlueprint) -> ViewOrBlueprint:
        """Leave a view, or a blueprint, unchecked."""
        marked: Any = view
        if isinstance(marked, Blueprint):
            self._exempt.add(marked)
        else:
            marked.__dict__[_EXEMPT] = True  # which decorators around it hand on
        return view

    async def protect(self) -> None:
        """Check this request, whatever view it is for; raises CSRFError, which is a 400."""
        scope, settings = _scope(), self.settings_of(_app())
        if not csrf.needs_csrf(scope, settings):
            return
        await _load_session()
        try:
            csrf.check_csrf(scope, session, await request.form, settings)
        except errors.CSRFError as error:
            raise CSRFError(error.reason) from None

    async def _check(self) -> None:
        if not self.settings_of(_app()).check_default or not request.endpoint:
            return
        view = current_app.view_functions[request.endpoint]
        if not hasattr(view, _EXEMPT) and current_app.blueprints.get(request.blueprint or "") not in self._exempt:
            await self.protect()


def generate_csrf() -> str:
    """Return a token for a form or a header, that Flask-WTF accepts."""
    return csrf.generate_csrf(session, _csrf().settings_of(_app()))


def validate_csrf(token: str | None) -> None:
    """Check a token, wherever it came from, such as the first message of a websocket; raises CSRFError."""
    try:
        csrf.validate_csrf(session, token, _csrf().settings_of(_app()))
    except errors.CSRFError as error:
        raise CSRFError(error.reason) from None


def _app() -> Quart:
    return current_app._get_current_object()


def _manager() -> LoginManager:
    return _extension(_LOGIN, LoginManager)


def _csrf() -> CSRFProtect:
    return _extension(_CSRF, CSRFProtect)


def _extension(name: str, kind: Callable[[], T]) -> T:
    """Return the app's extension, one by the app's config alone where there is none."""
    extensions: dict[str, T] = current_app.extensions
    if name not in extensions:
        extensions[name] = kind()
    return extensions[name]


def _login_settings() -> LoginSettings:
    return _manager().settings_of(_app())


def _scope() -> Scope:
    scope: Any = websocket.scope if has_websocket_context() else request.scope
    return scope  # type: ignore[no-any-return]  # a TypedDict in Quart


async def _load_session() -> None:
    """Load a lazy session of ours."""
    if isinstance(session, Session):  # which that behind the proxy is
        await session.load()


async def _away(view: str | None, message: str | None, category: str) -> Any:
    if not view or has_websocket_context():
        abort(401)
    if message:
        await flash(message, category)
    url = view if view.startswith(("https://", "http://", "/")) else url_for(view)
    return redirect(login.login_url(_scope(), url))


def _answer_with(line: bytes | None) -> None:
    """Have the response carry a line, if there is one; a websocket's session notes it by itself."""
    if line is None or has_websocket_context():
        return
    setattr(g, _ANSWERED, line)

    @after_this_request
    async def _(response: Any) -> Any:
        if g.get(_ANSWERED) is line:  # of several, the last
            response.headers.add("Set-Cookie", line.decode("latin-1"))
        return response
