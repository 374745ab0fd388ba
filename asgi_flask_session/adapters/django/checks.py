"""What Django's system checks say of the settings, before a request would."""

from collections.abc import Callable, Iterator
from inspect import isclass
from typing import Any

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from ...errors import SettingsError
from ...settings import Settings
from .conf import client_side, csrf_settings, flask_settings, login_settings

_HERE = "asgi_flask_session.adapters.django"
_ENGINE = f"{_HERE}.engine"
_SESSION = f"{_HERE}.middleware.FlaskSessionMiddleware"
_LOGIN = f"{_HERE}.login.FlaskLoginMiddleware"
_FLASHES = f"{_HERE}.messages.FlashStorage"
_DJANGOS_SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
_DJANGOS_LOGIN = "django.contrib.auth.middleware.AuthenticationMiddleware"
_MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"

# Those that make two cookies of one, and those in which the one cookie would change with its writer.
_PLACE = ("name", "domain", "path")
_ATTRIBUTES = ("secure", "httponly", "samesite")
_NOT_ASKED = ("SESSION_COOKIE_AGE", "SESSION_EXPIRE_AT_BROWSER_CLOSE", "SESSION_SERIALIZER")


def check_settings(app_configs: Any, **_: Any) -> list[checks.CheckMessage]:  # noqa: ARG001  # Django's signature
    """Return what is wrong, each with an id under ``asgi_flask_session`` and a hint."""
    return list(_found(list(settings.MIDDLEWARE)))


def _found(names: list[str]) -> Iterator[checks.CheckMessage]:
    if (error := _refusal(flask_settings)) is not None:
        yield _error(1, error, "FLASK_SESSION = {'SECRET_KEY': that of the Flask app, and other names of its config}")
        return
    djangos = _place(names, _DJANGOS_SESSION, but=_SESSION)
    if _SESSION in names and djangos is not None:
        yield _error(
            5,
            "FlaskSessionMiddleware and Django's SessionMiddleware are both in MIDDLEWARE: each would write a session.",
            f"Remove {names[djangos]!r}, or {_SESSION!r} if FlaskSessionASGI is not around the application.",
        )
    if djangos is not None and settings.SESSION_ENGINE == _ENGINE:
        yield from _check_engine(flask_settings())
    elif djangos is not None and _SESSION not in names and (_LOGIN in names or settings.MESSAGE_STORAGE == _FLASHES):
        yield _error(
            4,
            f"SESSION_ENGINE is {settings.SESSION_ENGINE!r}, which Flask cannot read.",
            f"SESSION_ENGINE = {_ENGINE!r}",
        )
    yield from _check_order(names)
    if _LOGIN in names:
        yield from _check_login(names)
    if (error := _refusal(csrf_settings)) is not None:
        yield _error(1, error, "Correct the names of Flask-WTF in FLASK_SESSION.")


def _check_engine(found: Settings) -> Iterator[checks.CheckMessage]:
    if (error := _refusal(client_side)) is not None:
        yield _error(1, error, f"The engine is for cookies; {_SESSION!r} uses the session of FlaskSessionASGI.")
    for name in _PLACE:
        ours, setting = getattr(found, f"cookie_{name}"), f"SESSION_COOKIE_{name.upper()}"
        if getattr(settings, setting) != ours:
            yield _error(
                2,
                f"{setting} is {getattr(settings, setting)!r}, and Flask's is {ours!r}: they would not share a cookie.",
                f"{setting} = {ours!r}, or set it in FLASK_SESSION as the Flask app has it.",
            )
    if settings.SESSION_SAVE_EVERY_REQUEST:
        yield _error(
            3,
            "SESSION_SAVE_EVERY_REQUEST is on: a request that changed nothing would undo what Flask wrote meanwhile, a"
            " logout too.",
            "SESSION_SAVE_EVERY_REQUEST = False. A permanent session is refreshed without it, unless"
            " SESSION_REFRESH_EACH_REQUEST in FLASK_SESSION is False.",
        )
    for name in _ATTRIBUTES:
        ours, setting = getattr(found, f"cookie_{name}"), f"SESSION_COOKIE_{name.upper()}"
        if (getattr(settings, setting) or None) != (ours or None):
            yield checks.Warning(
                f"{setting} is {getattr(settings, setting)!r}, and Flask's is {ours!r}: the cookie would change with"
                " its writer.",
                hint="Set it to one value in both: here, and in Flask's config and FLASK_SESSION.",
                id="asgi_flask_session.W001",
            )
    for setting in _NOT_ASKED:
        if settings.is_overridden(setting):
            yield checks.Warning(
                f"{setting} is set, and does not count for sessions in Flask's cookie.",
                hint="Remove it. PERMANENT_SESSION_LIFETIME in FLASK_SESSION is how long a permanent session lives.",
                id="asgi_flask_session.W002",
            )


def _check_order(names: list[str]) -> Iterator[checks.CheckMessage]:
    session = _place(names, _DJANGOS_SESSION)
    for name in (_LOGIN, _MESSAGES):
        place = _place(names, name)
        if place is not None and (session is None or place < session):
            yield _error(
                6,
                f"{names[place]!r} needs a session, and nothing before it in MIDDLEWARE gives one.",
                f"Name {_DJANGOS_SESSION!r} or {_SESSION!r} before it.",
            )


def _check_login(names: list[str]) -> Iterator[checks.CheckMessage]:
    from .login import user_loader  # which needs django.contrib.auth

    for read in (login_settings, user_loader):
        if (error := _refusal(read)) is not None:
            yield _error(1, error, "Correct FLASK_LOGIN_USER_LOADER, or the names of Flask-Login in FLASK_SESSION.")
    djangos = _place(names, _DJANGOS_LOGIN, but=_LOGIN)
    if djangos is not None:
        yield _error(
            7,
            "FlaskLoginMiddleware and Django's AuthenticationMiddleware are both in MIDDLEWARE: request.user would be"
            " that of the last.",
            f"Remove {names[djangos]!r}.",
        )


def _error(number: int, message: str, hint: str) -> checks.Error:
    return checks.Error(message, hint=hint, id=f"asgi_flask_session.E00{number}")


def _refusal(read: Callable[[], Any]) -> str | None:
    try:
        read()
    except SettingsError as error:
        return str(error)
    return None


def _place(names: list[str], wanted: str, but: str | None = None) -> int | None:
    """Return where in MIDDLEWARE the first middleware of a class, or of a subclass, is, leaving *but* out."""
    base = import_string(wanted) if wanted in names or wanted in (_DJANGOS_SESSION, _DJANGOS_LOGIN) else None
    for place, name in enumerate(names):
        if base is not None and name != but:
            try:
                found = import_string(name)
            except ImportError:  # Django says so itself, when it makes the middlewares
                continue
            if isclass(found) and issubclass(found, base):
                return place
    return None
