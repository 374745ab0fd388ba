"""Flask-WTF's CSRF token: make it, check it.

Source: Flask-WTF 1.3.0, with its words for what is wrong.
"""

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping
from dataclasses import KW_ONLY, dataclass, field
from hmac import compare_digest
from types import SimpleNamespace
from typing import Any, Self, cast
from urllib.parse import urlsplit

from itsdangerous import BadData, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from .asgi import Scope, header
from .checks import check_duration, check_secrets
from .errors import CSRFError, SettingsError
from .settings import Seconds

_SALT = "wtf-csrf-token"
_SWITCHES = ("enabled", "check_default", "ssl_strict")
_NAMES = {
    "WTF_CSRF_TIME_LIMIT": "time_limit",
    "WTF_CSRF_FIELD_NAME": "field_name",
    "WTF_CSRF_HEADERS": "headers",
    "WTF_CSRF_METHODS": "methods",
    "WTF_CSRF_SSL_STRICT": "ssl_strict",
    "WTF_CSRF_ENABLED": "enabled",
    "WTF_CSRF_CHECK_DEFAULT": "check_default",
}


@dataclass(frozen=True)
class CSRFSettings:
    """How Flask-WTF makes and looks for its token; the defaults are Flask-WTF's.

    Raises SettingsError, which says what to write instead, for a value that can never work.
    """

    #: WTF_CSRF_SECRET_KEY, or SECRET_KEY: given as str, bytes, or a secret wrapper of Starlette or pydantic.
    secret: Any = field(default=None, repr=False)
    _: KW_ONLY
    #: SECRET_KEY_FALLBACKS: former keys, whose tokens are still accepted here. Flask-WTF refuses them.
    secret_fallbacks: Iterable[Any] = field(default=(), repr=False)
    #: WTF_CSRF_TIME_LIMIT: the age at which a token ends, a timedelta or seconds; None for that of the session.
    time_limit: Seconds | None = 3600
    #: WTF_CSRF_FIELD_NAME: the field of a form, and the key in the session.
    field_name: str = "csrf_token"
    #: WTF_CSRF_HEADERS, WTF_CSRF_METHODS.
    headers: Collection[str] = ("X-CSRFToken", "X-CSRF-Token")
    methods: Collection[str] = ("POST", "PUT", "PATCH", "DELETE")
    #: WTF_CSRF_SSL_STRICT: on https, want a Referer of the same host.
    ssl_strict: bool = True
    #: WTF_CSRF_ENABLED: False makes ``check_csrf`` accept every request, for tests.
    enabled: bool = True
    #: WTF_CSRF_CHECK_DEFAULT: whether what protects a whole app checks each request; False leaves it to the views.
    check_default: bool = True
    #: Returns the time in seconds since the epoch.
    clock: Callable[[], float] = field(default=time.time, repr=False, compare=False)

    _serializer: URLSafeTimedSerializer = field(init=False, repr=False, compare=False)
    _header_names: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} is {getattr(self, name)!r}: write True or False")
        if type(self.field_name) is not str or not self.field_name:
            raise SettingsError(f"field_name is {self.field_name!r}: write a string, such as 'csrf_token'")
        secrets = check_secrets(SimpleNamespace(secret=self.secret, secret_fallbacks=self.secret_fallbacks))
        headers = _words(self.headers, "headers", ["X-CSRFToken"])
        kept = {
            **secrets,
            "headers": headers,
            "methods": frozenset(method.upper() for method in _words(self.methods, "methods", ["POST"])),
            "time_limit": None if self.time_limit is None else check_duration(self.time_limit, "time_limit"),
            "_header_names": tuple(name.lower().encode("latin-1", "replace") for name in headers),
            "_serializer": URLSafeTimedSerializer(
                [*secrets["secret_fallbacks"], secrets["secret"]],
                salt=_SALT,
                signer=_signer(self.clock),
            ),
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], **changes: Any) -> Self:
        """Read Flask's and Flask-WTF's names from *config*; *changes* are fields that count before them."""
        secret = config.get("WTF_CSRF_SECRET_KEY")
        fallbacks: Any = ()
        if not secret:
            secret, fallbacks = config.get("SECRET_KEY"), config.get("SECRET_KEY_FALLBACKS") or ()
        if not secret:
            raise SettingsError("SECRET_KEY is not set: set it to a long random value before the settings are read")
        found = {field: config[name] for name, field in _NAMES.items() if name in config}
        for name in _SWITCHES:
            if name in found:
                found[name] = bool(found[name])
        return cls(**{"secret": secret, "secret_fallbacks": fallbacks, **found, **changes})

    @classmethod
    def from_flask(cls, app: Any, **changes: Any) -> Self:
        """Read the config of a Flask or Quart app: a snapshot."""
        return cls.from_mapping(app.config, **changes)


def generate_csrf(session: MutableMapping[str, Any], settings: CSRFSettings) -> str:
    """Return a token for a form or a header. Only the first one changes the session."""
    raw = session.get(settings.field_name)
    if not isinstance(raw, str):
        raw = session[settings.field_name] = hashlib.sha1(os.urandom(64), usedforsecurity=False).hexdigest()
    return settings._serializer.dumps(raw)


def validate_csrf(session: Mapping[str, Any], token: Any, settings: CSRFSettings) -> None:
    """Check a token, wherever in the request it was; raises CSRFError."""
    if not token:
        raise CSRFError("The CSRF token is missing.")
    raw = session.get(settings.field_name)
    if raw is None:
        raise CSRFError("The CSRF session token is missing.")
    limit: Any = settings.time_limit
    try:
        signed = settings._serializer.loads(token, max_age=None if limit is None else limit.total_seconds())
    except SignatureExpired as error:
        raise CSRFError("The CSRF token has expired.") from error
    except (BadData, TypeError, ValueError) as error:  # what is no text, or no text that can be encoded
        raise CSRFError("The CSRF token is invalid.") from error
    if not _equal(raw, signed):
        raise CSRFError("The CSRF tokens do not match.")


def needs_csrf(scope: Scope, settings: CSRFSettings) -> bool:
    """Say whether ``check_csrf`` wants a token: where a method changes something, in whatever letters it came."""
    return settings.enabled and (scope.get("method") or "").upper() in settings.methods


def check_csrf(
    scope: Scope, session: Mapping[str, Any], form: Mapping[str, Any] | None, settings: CSRFSettings
) -> None:
    """Check that a request comes from a page of ours; raises CSRFError.

    *form* holds the fields of the body: the token's own, or one whose name ends as that does; the headers come
    after it, and are enough where there is none. A request of another method needs no token, nor does a websocket.
    """
    if not needs_csrf(scope, settings):
        return
    validate_csrf(session, _token(scope, form or {}, settings), settings)
    if settings.ssl_strict and scope.get("scheme") == "https":
        referrer = _header(scope, b"referer")
        if not referrer:
            raise CSRFError("The referrer header is missing.")
        host, origin = _host(scope), _origin(referrer)
        if host is None or origin is None or origin != _origin(f"https://{host}/"):
            raise CSRFError("The referrer does not match the host.")


def _token(scope: Scope, form: Mapping[str, Any], settings: CSRFSettings) -> Any:
    if token := form.get(settings.field_name):
        return token
    for key in form:
        if key.endswith(settings.field_name) and (token := form[key]):  # with the prefix of a form before it
            return token
    for name in settings._header_names:
        if token := _header(scope, name):
            return token
    return None


def _header(scope: Scope, name: bytes) -> str | None:
    value = header(scope, name)
    return None if value is None else value.decode("latin-1")


def _host(scope: Scope) -> str | None:
    host = _header(scope, b"host")
    server = scope.get("server")
    if host is None and server and server[1] is not None:
        name = f"[{server[0]}]" if ":" in server[0] else server[0]
        host = f"{name}:{server[1]}"
    return host.removesuffix(":443") if host else None


def _origin(url: str) -> tuple[str, str | None, int | None] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return parts.scheme, parts.hostname, port


def _equal(raw: Any, signed: Any) -> bool:
    if not isinstance(raw, str) or not isinstance(signed, str):
        return False
    return compare_digest(raw.encode("utf-8", "surrogatepass"), signed.encode("utf-8", "surrogatepass"))


def _words(value: Any, name: str, example: list[str]) -> tuple[str, ...]:
    words = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (None,)
    if not all(isinstance(word, str) for word in words):
        raise SettingsError(f"{name} is {value!r}: write a list of names, such as {example!r}")
    return cast("tuple[str, ...]", words)


def _signer(clock: Callable[[], float]) -> type[TimestampSigner]:
    """Return itsdangerous' signer with our clock."""

    class Signer(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(clock())

    return Signer
