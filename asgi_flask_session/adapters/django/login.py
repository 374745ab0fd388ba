"""``request.user`` from Flask-Login: who is logged in there is logged in here, and the other way round.

``django.contrib.auth`` has to be in ``INSTALLED_APPS``; its tables are needed only where its users are.
"""

from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Any, cast

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_out
from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist, ValidationError
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import rotate_token
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from ... import login as flask_login
from ...errors import SettingsError
from ...login import Login
from ...settings import Seconds
from .base import FlaskSessionBase, session_of
from .conf import login_settings
from .scope import scope_of


class FlaskLoginMiddleware(AuthenticationMiddleware):
    """Takes the place of Django's ``AuthenticationMiddleware``: ``request.user`` and ``auser`` are Flask-Login's.

    ``FLASK_LOGIN_USER_LOADER`` names what returns the user of an id, or None, as Flask-Login's ``user_loader`` does;
    it may be async. Without it, the users are those of Django's user model, by primary key.
    Raises SettingsError.
    """

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        login_settings()
        user_loader()

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if not hasattr(request, "session"):
            raise ImproperlyConfigured("FlaskLoginMiddleware needs a session: name it after what gives one")
        request.user = cast("Any", SimpleLazyObject(lambda: _user(request)))
        request.auser = partial(_auser, request)
        request._flask_login = True  # type: ignore[attr-defined]  # ours: Django's own logout is to be one of Flask-Login
        if self.async_mode:
            return self._answer(request)
        response = cast("HttpResponseBase", self.get_response(request))
        _send_cookie(request, response)
        return response

    async def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response = await cast("Awaitable[HttpResponseBase]", self.get_response(request))
        if login_settings().refresh_each_request:
            await _load_session(request)
        _send_cookie(request, response)
        return response


def current_login(request: HttpRequest) -> Login:
    """Return the id of the user, whether the login is fresh, and where it was found; writes nothing."""
    return flask_login.current_login(scope_of(request), session_of(request), login_settings())


def login_user(
    request: HttpRequest, user: Any, *, remember: bool = False, duration: Seconds | None = None, fresh: bool = True
) -> None:
    """Log a user in to Flask and here; the id is what ``user.get_id()`` returns, or else the primary key.

    With *remember* the response sets Flask-Login's remember cookie, for *duration* (a timedelta or seconds).
    """
    user_id = user.get_id() if hasattr(user, "get_id") else str(user.pk)
    line = flask_login.login_user(
        scope_of(request),
        session_of(request),
        user_id,
        login_settings(),
        remember=remember,
        duration=duration,
        fresh=fresh,
    )
    rotate_token(request)  # of Django's own CSRF protection, as Django's login does
    _take(request, user, line)


def logout_user(request: HttpRequest) -> None:
    """Log the user out of Flask and here; the rest of the session stays, as in Flask-Login."""
    line = flask_login.logout_user(scope_of(request), session_of(request), login_settings())
    _take(request, AnonymousUser(), line)


@receiver(user_logged_out)
def _log_out(*, request: Any, **_: Any) -> None:
    """Let Django's own ``logout``, of the admin for one, end the remember cookie as well."""
    if hasattr(request, "_flask_login"):
        logout_user(request)


def confirm_login(request: HttpRequest) -> None:
    """Make the login fresh again, once the user has given the password."""
    flask_login.confirm_login(scope_of(request), session_of(request), login_settings())


# Users


@cache
def user_loader() -> Callable[[str], Any]:
    """Return what makes a user of an id; raises SettingsError."""
    given = getattr(settings, "FLASK_LOGIN_USER_LOADER", None)
    if given is None:
        return _by_primary_key
    try:
        loader = import_string(given) if isinstance(given, str) else given
    except ImportError as error:
        raise SettingsError(f"FLASK_LOGIN_USER_LOADER cannot be imported: {error}") from error
    if not callable(loader):
        raise SettingsError(
            "FLASK_LOGIN_USER_LOADER is nothing to call: write the dotted path of a function from an id to a user"
        )
    return cast("Callable[[str], Any]", loader)


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting == "FLASK_LOGIN_USER_LOADER":
        user_loader.cache_clear()


def _by_primary_key(user_id: str) -> Any:
    model = get_user_model()
    try:
        user = model._default_manager.get(pk=model._meta.pk.to_python(user_id))
    except (ObjectDoesNotExist, ValidationError):
        return None
    return user if user.is_active else None


def _user(request: Any) -> Any:
    if not hasattr(request, "_flask_user"):
        user_id = current_login(request).user_id
        loader = user_loader()
        if iscoroutinefunction(loader):
            loader = async_to_sync(loader)
        request._flask_user = (user_id is not None and loader(user_id)) or AnonymousUser()
    return request._flask_user


async def _auser(request: Any) -> Any:
    if not hasattr(request, "_flask_user"):
        await _load_session(request)
        user_id = current_login(request).user_id
        loader: Any = user_loader()
        if not iscoroutinefunction(loader):
            loader = sync_to_async(loader)
        request._flask_user = (user_id is not None and await loader(user_id)) or AnonymousUser()
    return request._flask_user


async def _load_session(request: Any) -> None:
    """Open the session where it may be waited for."""
    if isinstance(request.session, FlaskSessionBase):
        await request.session.aload()


def _take(request: Any, user: Any, line: bytes | None) -> None:
    """Let a user be that of the rest of the request, and keep the line of the remember cookie for its response."""
    request._flask_user = request.user = user
    if line is not None:  # else that of before counts: a logout, before somebody else logs in
        request._flask_remember = line


def _send_cookie(request: Any, response: HttpResponseBase) -> None:
    line: bytes | None = getattr(request, "_flask_remember", None)
    if line is None and login_settings().refresh_each_request:
        line = flask_login.refresh_remember_cookie(scope_of(request), session_of(request), login_settings())
    if line is not None:
        response.cookies.load(line.decode("latin-1"))
