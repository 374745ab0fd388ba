"""Readers for ``migrate_from``: sessions that another framework signed, read once and written as Flask's from then on.

Each function makes a reader: a callable from the scope of a request to the data of a session, or to None. No cookie
makes one raise. A session whose old cookie outlived the browser is permanent.
"""

import hashlib
import json
import time
from binascii import a2b_base64
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any, TypeAlias

from itsdangerous import BadSignature, Signer

from .asgi import Scope
from .checks import check_duration
from .client_side import MAX_VALUE
from .cookies import cookie_among
from .errors import BadCookie
from .payload import decode, nested_too_deep
from .policy import accepted_ages
from .settings import Seconds, Settings, sha1
from .side import Clock
from .signing import CookieSigner

Reader: TypeAlias = Callable[[Scope], Mapping[str, Any] | None]

_TWO_WEEKS = timedelta(days=14)
_STARLETTE_SALT = "itsdangerous.Signer"  # the default there, as is the derivation
_BASE62 = {digit: value for value, digit in enumerate((digits + ascii_uppercase + ascii_lowercase).encode())}
_LONGEST_BASE62 = 11  # digits, which are more than 64 bits


def request_cookie(scope: Scope, name: str) -> str | None:
    """Return the value of the cookie *name* that the request of *scope* brought, or None.

    For readers of your own. The first of several counts, as in Flask; a byte is a character (latin-1).
    """
    value = cookie_among(scope.get("headers", ()), name.encode("latin-1"))
    return None if value is None else value.decode("latin-1")


def starlette_session(
    secret_key: Any,
    *,
    fallbacks: Iterable[Any] = (),
    session_cookie: str = "session",
    max_age: Seconds | None = _TWO_WEEKS,
    clock: Clock = time.time,
) -> Reader:
    """Read the cookies of Starlette's ``SessionMiddleware``, whose arguments these are; *fallbacks* are former keys.

    ``max_age=None`` reads cookies of any age, and sessions that end with the browser. Raises SettingsError for what
    can never work. Source: Starlette 1.10, itsdangerous' ``TimestampSigner`` over base64.
    """
    settings = _checked(secret_key, fallbacks, session_cookie, max_age)
    signer = CookieSigner(settings.keys, salt=_STARLETTE_SALT, key_derivation="django-concat", digest_method=sha1)

    def unsign(value: bytes) -> tuple[bytes, int]:
        payload, signed = signer.unsign(value)
        return a2b_base64(payload, strict_mode=True), signed

    ages = None if max_age is None else accepted_ages(settings)
    return _reader(settings, unsign, lambda _: max_age is not None, ages, clock)


def django_signed_cookies(
    secret_key: Any,
    *,
    fallbacks: Iterable[Any] = (),
    cookie_name: str = "sessionid",
    max_age: Seconds = _TWO_WEEKS,
    salt: str = "django.contrib.sessions.backends.signed_cookies",
    expire_at_browser_close: bool = False,
    clock: Clock = time.time,
) -> Reader:
    """Read the cookies of Django's session engine ``signed_cookies``.

    The arguments are its SECRET_KEY, SECRET_KEY_FALLBACKS and SESSION_COOKIE_NAME, _AGE, and
    SESSION_EXPIRE_AT_BROWSER_CLOSE. Only JSON is read, its SESSION_SERIALIZER by default. Raises SettingsError for
    what can never work. Source: Django 6.1, ``django.core.signing``.
    """
    settings = _checked(secret_key, fallbacks, cookie_name, max_age)
    keys: Any = settings.keys  # str and bytes may be mixed
    signer = Signer(keys, salt, sep=":", key_derivation="django-concat", digest_method=hashlib.sha256)

    def unsign(value: bytes) -> tuple[bytes, int]:
        payload, _, signed = signer.unsign(value).rpartition(b":")
        return decode(payload), _base62(signed)

    def lasts(data: dict[str, Any]) -> bool:
        expiry = data.get("_session_expiry")  # what request.session.set_expiry() left
        return not expire_at_browser_close if expiry is None else expiry != 0

    return _reader(settings, unsign, lasts, accepted_ages(settings), clock)


def _checked(secret: Any, fallbacks: Iterable[Any], cookie_name: str, max_age: Seconds | None) -> Settings:
    """Return what was given as settings, which refuse what they refuse anywhere."""
    return Settings(
        secret,
        secret_fallbacks=fallbacks,
        cookie_name=cookie_name,
        cookie_secure=True,  # so that any name is good
        permanent_lifetime=_TWO_WEEKS if max_age is None else check_duration(max_age, "max_age"),
    )


def _reader(
    settings: Settings,
    unsign: Callable[[bytes], tuple[bytes, int]],
    lasts: Callable[[dict[str, Any]], bool],
    ages: range | None,
    clock: Clock,
) -> Reader:
    """Return the reader of cookies of which *unsign* gives the text and the time.

    *lasts* says of the data whether its cookie outlived the browser, *ages* are those that are read, None for any.
    """

    def read(scope: Scope) -> dict[str, Any] | None:
        value = request_cookie(scope, settings.cookie_name)
        if not value or len(value) > MAX_VALUE:
            return None
        try:
            text, signed = unsign(value.encode("latin-1"))
            if ages is not None and int(clock()) - signed not in ages:
                return None
            data = None if nested_too_deep(text) else json.loads(text)
        except (BadCookie, BadSignature, ValueError, RecursionError):
            return None
        if not isinstance(data, dict):
            return None
        return {"_permanent": True, **data} if data and lasts(data) else data

    return read


def _base62(text: bytes) -> int:
    """Return the number that *text* spells in Django's base 62; raises ValueError."""
    if not 0 < len(text) <= _LONGEST_BASE62 or not _BASE62.keys() >= set(text):
        raise ValueError("no timestamp")
    number = 0
    for digit in text:
        number = number * 62 + _BASE62[digit]
    return number
