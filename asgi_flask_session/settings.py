"""What can be set, under our names and under Flask's, as one frozen value that is checked when it is made."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Literal, Protocol, Self, TypeAlias, TypedDict, Unpack, cast

from .asgi import Scope
from .errors import SessionWarning, SettingsError
from .session import Session
from .tagged_json import TaggedJSONSerializer

Seconds: TypeAlias = timedelta | float  # a timedelta, or a number of seconds
Exclude: TypeAlias = Iterable[str] | Callable[[Scope], bool]
Migration: TypeAlias = Callable[[Scope], Mapping[str, Any] | None]

_YEAR_LIMIT = timedelta(days=365_000)  # keeps every Expires within the four digits of a year
_ATTRIBUTE_LIMIT = 1024  # bytes; browsers ignore a longer attribute (rfc6265bis, 5.7)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_CONTROL_OR_SEMICOLON = re.compile(r"[\x00-\x1f\x7f;]")

_SHORT_SECRET = 16  # bytes
_WELL_KNOWN_SECRETS = frozenset({
    "a secret key", "change me", "change-me", "change_me", "changeme", "default", "dev", "development", "flask",
    "hard to guess string", "insecure", "key", "my secret", "my-secret-key", "my_secret_key", "mysecret",
    "mysecretkey", "not a secret", "password", "secret", "secret key", "secret-key", "secret_key", "secretkey",
    "some secret key", "super secret", "super secret key", "super-secret", "super-secret-key", "super_secret_key",
    "supersecret", "supersecretkey", "test", "testing", "this-is-a-secret", "you-will-never-guess",
})  # fmt: skip


class Serializer(Protocol):
    """What turns session data into text and back: ``dumps`` and ``loads``, as itsdangerous expects them."""

    def dumps(self, obj: Any, /) -> Any:
        """Return the text of *obj*, as str or bytes."""

    def loads(self, text: Any, /) -> Any:
        """Return the object of *text*, which is of the type that ``dumps`` returns."""


def sha1(data: bytes = b"") -> Any:
    """Hash with SHA-1, which is looked up only here: some builds of Python are without it."""
    return hashlib.sha1(data)  # noqa: S324  # Flask's choice; within HMAC its collisions do not matter


class SettingsFields(TypedDict, total=False):
    """The fields of ``Settings``, but the secret, as they are given: wider than what is kept of them."""

    secret_fallbacks: Iterable[Any]
    cookie_name: str
    cookie_domain: str | None
    cookie_path: str
    cookie_httponly: bool
    cookie_secure: bool
    cookie_samesite: str | None
    cookie_partitioned: bool
    permanent_lifetime: Seconds
    refresh_each_request: bool
    max_cookie_size: int
    on_large_cookie: Literal["warn", "raise"]
    salt: str | bytes
    key_derivation: Literal["hmac", "concat", "django-concat", "none"]
    digest_method: Callable[..., Any]
    serializer: Serializer
    refresh_after: Seconds | None
    absolute_lifetime: Seconds | None
    clock_skew: Seconds
    detect_nested: bool
    vary: Literal["accessed", "always"]
    scope_key: str
    exclude: Exclude | None
    is_revoked: Callable[..., Any] | None
    migrate_from: Iterable[Migration]
    remember: int
    session_class: type[Session]


@dataclass(frozen=True, init=False)
class Settings:
    """How a session is kept, signed and sent; the defaults are Flask's.

    Lifetimes are a timedelta or a number of seconds, sizes are bytes. Raises SettingsError, which says what
    to write instead, for a value that can never work; warns SessionWarning for one that likely should not.
    """

    #: SECRET_KEY: given as str, bytes, or a secret wrapper of Starlette or pydantic.
    secret: str | bytes = field(repr=False)
    #: SECRET_KEY_FALLBACKS: former keys, which still verify.
    secret_fallbacks: tuple[str | bytes, ...] = field(default=(), repr=False)
    #: SESSION_COOKIE_NAME, _DOMAIN, _PATH, _HTTPONLY, _SECURE, _SAMESITE, _PARTITIONED.
    cookie_name: str = "session"
    cookie_domain: str | None = None
    cookie_path: str = "/"
    cookie_httponly: bool = True
    cookie_secure: bool = False
    cookie_samesite: str | None = None
    cookie_partitioned: bool = False
    #: PERMANENT_SESSION_LIFETIME: the age at which a session ends, permanent or not.
    permanent_lifetime: timedelta = timedelta(days=31)
    #: SESSION_REFRESH_EACH_REQUEST: send a permanent session's cookie with every response.
    refresh_each_request: bool = True
    #: MAX_COOKIE_SIZE, in bytes of the whole Set-Cookie line; 0 looks at none.
    max_cookie_size: int = 4093
    on_large_cookie: Literal["warn", "raise"] = "warn"
    #: Attributes of Flask's SecureCookieSessionInterface.
    salt: str | bytes = field(default="cookie-session", repr=False)
    key_derivation: Literal["hmac", "concat", "django-concat", "none"] = "hmac"
    digest_method: Callable[..., Any] = sha1
    serializer: Serializer = field(default_factory=TaggedJSONSerializer)
    #: Send a permanent session's cookie again only when it is older than this.
    refresh_after: timedelta | None = None
    #: End a session this long after it began, however often it was refreshed.
    absolute_lifetime: timedelta | None = None
    #: How far in the future a timestamp may lie, for hosts whose clocks differ.
    clock_skew: timedelta = timedelta(0)
    #: See ``session["cart"].append(x)`` as a change.
    detect_nested: bool = True
    #: Send ``Vary: Cookie`` where the session was accessed, or with every response.
    vary: Literal["accessed", "always"] = "accessed"
    #: Where the session lies in the ASGI scope.
    scope_key: str = "session"
    #: Where to step aside: path prefixes of whole segments, below root_path, or a callable on the scope.
    exclude: tuple[str, ...] | Callable[[Scope], bool] | None = None
    #: Called with (session, signed_at) of each session that came; True makes it empty. May be async.
    is_revoked: Callable[..., Any] | None = None
    #: Readers of other formats, called with the scope where no session of ours came.
    migrate_from: tuple[Migration, ...] = ()
    #: How many verified cookie values to remember, each of at most 16 KiB.
    remember: int = 0
    session_class: type[Session] = Session

    def __init__(self, secret: Any = None, **given: Unpack[SettingsFields]) -> None:
        defaults = {item.name: _default_of(item) for item in fields(self)}
        if unknown := sorted(given.keys() - defaults.keys()):
            raise SettingsError(f"there is no setting {', '.join(unknown)}: the settings are {', '.join(defaults)}")
        values: dict[str, Any] = {**defaults, **given, "secret": secret}
        for check in (_check_secrets, _check_types, _check_cookie, _check_lifetimes, _check_signing, _check_hooks):
            values.update(check(SimpleNamespace(**values)))
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def keys(self) -> list[str | bytes]:
        """All keys in Flask's order: the fallbacks, then the current one."""
        return [*self.secret_fallbacks, self.secret]

    def replace(self, secret: Any = None, **changes: Unpack[SettingsFields]) -> Self:
        """Return new settings with *changes* in them."""
        values = {item.name: getattr(self, item.name) for item in fields(self)} | dict(changes)
        return type(self)(**cast("Any", values if secret is None else {**values, "secret": secret}))

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], **changes: Unpack[SettingsFields]) -> Self:
        """Read Flask's names from *config*; *changes* are fields of ours that count before them."""
        if not config.get("SECRET_KEY"):
            raise SettingsError("SECRET_KEY is not set: set it to a long random value before the settings are read")
        found = {
            name: config[key]
            for key, name in _FLASK_NAMES.items()
            if key in config and (config[key] is not None or key not in _FLASK_MAY_BE_NONE)
        }
        found.setdefault("cookie_path", config.get("APPLICATION_ROOT") or "/")
        if found.get("cookie_partitioned"):
            found["cookie_secure"] = True  # as Werkzeug does
        return cls(**cast("SettingsFields", {**found, **changes}))

    @classmethod
    def from_flask(cls, app: Any, **changes: Unpack[SettingsFields]) -> Self:
        """Read the config of a Flask or Quart app, and what its session_interface signs and serializes with.

        A snapshot: what the app changes later is not seen. *changes* are fields that count before the app's.
        """
        interface = app.session_interface
        signing: dict[str, Any] = {
            name: getattr(interface, name)
            for name in ("salt", "key_derivation", "digest_method")
            if hasattr(interface, name)
        }
        if (serializer := getattr(interface, "serializer", None)) is not None:
            signing["serializer"] = _as_ours(serializer)
        return cls.from_mapping(app.config, **cast("SettingsFields", {**signing, **changes}))

    @classmethod
    def from_env(cls, prefix: str = "FLASK_", **changes: Unpack[SettingsFields]) -> Self:
        """Read Flask's names behind *prefix* from the environment, as Flask's ``from_prefixed_env``.

        A value is read as JSON where it is JSON; SECRET_KEY only where that gives a string.
        """
        config = {
            name: _from_text(name, os.environ[prefix + name])
            for name in (*_FLASK_NAMES, "APPLICATION_ROOT")
            if prefix + name in os.environ
        }
        return cls.from_mapping(config, **changes)


def _default_of(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


_FLASK_NAMES = {
    "SECRET_KEY": "secret",
    "SECRET_KEY_FALLBACKS": "secret_fallbacks",
    "SESSION_COOKIE_NAME": "cookie_name",
    "SESSION_COOKIE_DOMAIN": "cookie_domain",
    "SESSION_COOKIE_PATH": "cookie_path",
    "SESSION_COOKIE_HTTPONLY": "cookie_httponly",
    "SESSION_COOKIE_SECURE": "cookie_secure",
    "SESSION_COOKIE_SAMESITE": "cookie_samesite",
    "SESSION_COOKIE_PARTITIONED": "cookie_partitioned",
    "PERMANENT_SESSION_LIFETIME": "permanent_lifetime",
    "SESSION_REFRESH_EACH_REQUEST": "refresh_each_request",
    "MAX_COOKIE_SIZE": "max_cookie_size",
}
_FLASK_MAY_BE_NONE = ("SECRET_KEY_FALLBACKS", "SESSION_COOKIE_DOMAIN", "SESSION_COOKIE_PATH", "SESSION_COOKIE_SAMESITE")


def _from_text(name: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if name == "SECRET_KEY" and not isinstance(value, str) else value


def _as_ours(serializer: Any) -> Serializer:
    """Return our tagged JSON in place of Flask's, with the tags that were added to it; any other as it is."""
    kind = type(serializer)
    if (kind.__module__, kind.__name__) != ("flask.json.tag", "TaggedJSONSerializer"):
        return cast("Serializer", serializer)
    ours = TaggedJSONSerializer()
    for index, tag in enumerate(serializer.order):
        if type(tag).__module__ != "flask.json.tag":
            ours.register(type(tag), force=True, index=index)
    return ours


# The checks. Each looks at what was given, and returns the fields that are kept in another form.


def _check_secrets(given: Any) -> dict[str, Any]:
    if isinstance(given.secret_fallbacks, str | bytes):
        raise SettingsError("secret_fallbacks is one string, each letter of which would be a key: write ['old key']")
    secret = _secret(given.secret, "secret")
    fallbacks = tuple(
        _secret(key, "secret_fallbacks")
        for key in _tuple(given.secret_fallbacks or (), "secret_fallbacks", "a list of former secrets")
    )
    text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else secret
    if text.lower() in _WELL_KNOWN_SECRETS:
        _warn("secret is a well-known sample that anyone can guess: use secrets.token_hex()")
    elif len(text.encode("utf-8", "replace")) < _SHORT_SECRET:
        _warn(f"secret is shorter than {_SHORT_SECRET} bytes: use secrets.token_hex()")
    return {"secret": secret, "secret_fallbacks": fallbacks}


def _secret(value: Any, name: str) -> str | bytes:
    if callable(unwrap := getattr(value, "get_secret_value", None)):  # pydantic's SecretStr and SecretBytes
        value = unwrap()
    elif any(kind.__name__ == "Secret" and kind.__module__.startswith("starlette.") for kind in type(value).__mro__):
        value = str(value)
    if not isinstance(value, str | bytes):
        raise SettingsError(f"{name} is {_a(value)}: write a long random str or bytes, as secrets.token_hex() gives")
    if not value.strip():
        raise SettingsError(f"{name} is empty: write a long random value, as secrets.token_hex() gives")
    return value


def _check_types(given: Any) -> dict[str, Any]:
    for item in fields(Settings):
        value = getattr(given, item.name)
        if isinstance(item.default, bool) and not isinstance(value, bool):
            raise SettingsError(f"{item.name} is {value!r}: write True or False")
        if item.name in _COUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise SettingsError(f"{item.name} is {value!r}: write a whole number, 0 or more")
        if item.name in _CHOICES and value not in _CHOICES[item.name]:
            raise SettingsError(f"{item.name} is {value!r}: write {' or '.join(map(repr, _CHOICES[item.name]))}")
    if not isinstance(given.scope_key, str) or not given.scope_key:
        raise SettingsError(f"scope_key is {given.scope_key!r}: write a string, such as 'session'")
    return {}


_COUNTS = ("max_cookie_size", "remember")
_CHOICES: dict[str, tuple[str, ...]] = {
    "on_large_cookie": ("warn", "raise"),
    "vary": ("accessed", "always"),
    "key_derivation": ("hmac", "concat", "django-concat", "none"),
}


def _check_cookie(given: Any) -> dict[str, Any]:
    name, samesite = given.cookie_name, given.cookie_samesite
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise SettingsError(f"cookie_name is {name!r}: write letters, digits and any of !#$%&'*+-.^_`|~ (RFC 9110)")
    if given.cookie_domain is not None:
        _check_domain(given.cookie_domain)
    if not isinstance(given.cookie_path, str) or not given.cookie_path.startswith("/"):
        raise SettingsError(
            f"cookie_path is {given.cookie_path!r}: write one that starts with '/', as browsers want it"
        )
    for attribute, value in (("cookie_path", given.cookie_path), ("cookie_domain", given.cookie_domain or "")):
        if _CONTROL_OR_SEMICOLON.search(value):
            raise SettingsError(f"{attribute} is {value!r}: write it without ';' and control characters")
        if len(value.encode("utf-8", "replace")) > _ATTRIBUTE_LIMIT:
            raise SettingsError(
                f"{attribute} is over {_ATTRIBUTE_LIMIT} bytes: write a shorter one, browsers ignore it"
            )
    if samesite is not None:
        if not isinstance(samesite, str) or samesite.title() not in ("Strict", "Lax", "None"):
            raise SettingsError(
                f"cookie_samesite is {samesite!r}: write 'Lax', 'Strict', 'None', or None to leave it out"
            )
        samesite = samesite.title()
    _check_what_browsers_refuse(given, samesite)
    return {"cookie_samesite": samesite}


def _check_what_browsers_refuse(given: Any, samesite: str | None) -> None:
    prefix = given.cookie_name.lower()  # browsers compare it without case
    needs_secure = {
        "cookie_samesite='None'": samesite == "None",
        "cookie_partitioned=True": given.cookie_partitioned,
        f"cookie_name={given.cookie_name!r}": prefix.startswith(("__secure-", "__host-")),
    }
    for setting, is_set in needs_secure.items():
        if is_set and not given.cookie_secure:
            raise SettingsError(f"{setting} needs cookie_secure=True: browsers refuse the cookie without it")
    if prefix.startswith("__host-") and (given.cookie_domain is not None or given.cookie_path != "/"):
        raise SettingsError(f"cookie_name={given.cookie_name!r} needs cookie_path='/' and cookie_domain=None")


def _check_domain(domain: Any) -> None:
    if not isinstance(domain, str):
        raise SettingsError(f"cookie_domain is {domain!r}: write a host name, or None for the host itself")
    host = domain.partition(":")[0].lstrip(".")
    try:
        if host and not re.search(r"[\s/=,]", host) and host.encode("idna"):
            return
    except UnicodeError:
        pass
    if not _CONTROL_OR_SEMICOLON.search(domain):  # that has a message of its own
        raise SettingsError(f"cookie_domain is {domain!r}: write a host name such as 'example.com'")


def _check_lifetimes(given: Any) -> dict[str, Any]:
    return {
        "permanent_lifetime": _duration(given.permanent_lifetime, "permanent_lifetime"),
        "refresh_after": given.refresh_after and _duration(given.refresh_after, "refresh_after"),
        "absolute_lifetime": given.absolute_lifetime and _duration(given.absolute_lifetime, "absolute_lifetime"),
        "clock_skew": _duration(given.clock_skew, "clock_skew", least=0, most=timedelta(days=1)),
    }


def _duration(value: Any, name: str, least: float = 1, most: timedelta = _YEAR_LIMIT) -> timedelta:
    try:
        duration = value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (TypeError, ValueError, OverflowError):
        duration = None
    if duration is None or isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}: write a timedelta or a number of seconds")
    if not timedelta(seconds=least) <= duration <= most:
        raise SettingsError(f"{name} is {value!r}: write {least:g} second or more, and at most {most.days} days")
    return duration


def _check_signing(given: Any) -> dict[str, Any]:
    if not isinstance(given.salt, str | bytes):
        raise SettingsError(f"salt is {_a(given.salt)}: write a str or bytes, in Flask 'cookie-session'")
    digest = given.digest_method
    try:
        usable = all(hasattr(digest(b""), name) for name in ("block_size", "copy", "update", "digest"))
    except TypeError:
        usable = False
    if not usable:
        raise SettingsError(f"digest_method is {digest!r}: write a function of hashlib, such as hashlib.sha256")
    if not all(callable(getattr(given.serializer, name, None)) for name in ("dumps", "loads")):
        raise SettingsError(f"serializer is {_a(given.serializer)}: write an object with dumps and loads")
    return {}


def _check_hooks(given: Any) -> dict[str, Any]:
    exclude, migrate_from = given.exclude, given.migrate_from
    if isinstance(exclude, str):
        raise SettingsError(f"exclude is one string: write [{exclude!r}]")
    if exclude is not None and not callable(exclude):
        exclude = _tuple(exclude, "exclude", "a list of paths, or a function of the scope")
        for prefix in exclude:
            if not isinstance(prefix, str) or not prefix.startswith("/"):
                raise SettingsError(f"exclude has {prefix!r}: write paths that start with '/', such as '/static'")
    if given.is_revoked is not None and not callable(given.is_revoked):
        raise SettingsError(f"is_revoked is {_a(given.is_revoked)}: write a function of (session, signed_at)")
    migrate_from = _tuple(migrate_from, "migrate_from", "a list of functions of the scope")
    if not all(map(callable, migrate_from)):
        raise SettingsError("migrate_from holds what is no reader: write a list of functions of the scope")
    if not (isinstance(given.session_class, type) and issubclass(given.session_class, Session)):
        raise SettingsError("session_class is no subclass of Session: write one of asgi_flask_session.Session")
    return {"exclude": exclude, "migrate_from": migrate_from}


def _tuple(value: Any, name: str, wanted: str) -> tuple[Any, ...]:
    try:
        return tuple(value)
    except TypeError:
        raise SettingsError(f"{name} is {_a(value)}: write {wanted}") from None


def _a(value: object) -> str:
    # Never the value: it may be a secret in the wrong place.
    return f"a {type(value).__name__}"


def _warn(message: str) -> None:
    # Past _check_secrets and Settings.__init__, to whoever makes the settings.
    warnings.warn(message, SessionWarning, stacklevel=4)
