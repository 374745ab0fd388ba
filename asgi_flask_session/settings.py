"""What can be set, under our names and under Flask's, as one frozen value that is checked when it is made."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import (
    Any,
    Literal,
    NoReturn,
    Protocol,
    Self,
    TypeAlias,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    dataclass_transform,
)

from .asgi import Store
from .checks import SWITCHES, checked
from .errors import SettingsError
from .session import Session
from .tagged_json import TaggedJSONSerializer

Seconds: TypeAlias = timedelta | float  # a timedelta, or a number of seconds
Exclude: TypeAlias = Iterable[str] | Callable[[Any], bool]
Migration: TypeAlias = Callable[[Any], Mapping[str, Any] | None]


class Serializer(Protocol):
    """What turns session data into text and back: ``dumps`` and ``loads``, as itsdangerous expects them."""

    def dumps(self, obj: Any, /) -> Any:
        """Return the text of *obj*, as str or bytes."""

    def loads(self, text: Any, /) -> Any:
        """Return the object of *text*, which is of the type that ``dumps`` returns."""


def sha1(data: bytes = b"") -> Any:
    """Hash with SHA-1, which is looked up only here: some builds of Python are without it."""
    return hashlib.sha1(data)  # noqa: S324  # Flask's choice; within HMAC its collisions do not matter


class FieldsButStore(TypedDict, total=False):
    """The fields of ``Settings``, but the secret and the store, as they are given: wider than what is kept."""

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
    permanent: bool
    lazy: bool
    on_store_error: Literal["503", "raise"]
    store_timeout: Seconds
    key_prefix: str
    record_format: Literal["tagged", "msgpack", "json"]
    sign_ids: bool
    id_bytes: int
    protection: bool
    trusted_proxies: int


class SettingsFields(FieldsButStore, total=False):
    """The fields of ``Settings``, but the secret."""

    store: Store | str | None


_FLASKS_SERIALIZER = TaggedJSONSerializer()
_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def _frozen(cls: type[_T]) -> type[_T]:
    """Have type checkers see a frozen dataclass; to make it one would take longer than all else that we import."""
    return cls


@_frozen
class Settings:
    """How a session is kept, signed and sent; the defaults are Flask's.

    Lifetimes are a timedelta or a number of seconds, sizes are bytes. Raises SettingsError, which says what
    to write instead, for a value that can never work; warns SessionWarning for one that likely should not.
    """

    #: SECRET_KEY: given as str, bytes, or a secret wrapper of Starlette or pydantic.
    secret: str | bytes
    #: SECRET_KEY_FALLBACKS: former keys, which still verify.
    secret_fallbacks: tuple[str | bytes, ...] = ()
    #: SESSION_COOKIE_NAME: apps with one secret and one cookie name share a session.
    cookie_name: str = "session"
    #: SESSION_COOKIE_DOMAIN: the cookie goes to this host and those below it; without one, to the host that set it.
    cookie_domain: str | None = None
    #: SESSION_COOKIE_PATH: the cookie goes to what is below this path; where it is not set, APPLICATION_ROOT is.
    cookie_path: str = "/"
    #: SESSION_COOKIE_HTTPONLY: keep scripts of the page from reading the cookie.
    cookie_httponly: bool = True
    #: SESSION_COOKIE_SECURE: have the cookie sent over https only.
    cookie_secure: bool = False
    #: SESSION_COOKIE_SAMESITE: "Lax" is recommended, on both sides; forms of other sites then come without a session.
    cookie_samesite: str | None = None
    #: SESSION_COOKIE_PARTITIONED: a cookie of its own for each site that this one is embedded in.
    cookie_partitioned: bool = False
    #: PERMANENT_SESSION_LIFETIME: the age at which a session ends, permanent or not.
    permanent_lifetime: timedelta = timedelta(days=31)
    #: SESSION_REFRESH_EACH_REQUEST: send a permanent session's cookie with every response.
    refresh_each_request: bool = True
    #: MAX_COOKIE_SIZE: how long the whole Set-Cookie line may be; 0 looks at none.
    max_cookie_size: int = 4093
    #: What becomes of a longer one: it goes out with a warning, or CookieTooLarge is raised.
    on_large_cookie: Literal["warn", "raise"] = "warn"
    #: Attributes of Flask's SecureCookieSessionInterface.
    salt: str | bytes = "cookie-session"
    key_derivation: Literal["hmac", "concat", "django-concat", "none"] = "hmac"
    digest_method: Callable[..., Any] = sha1
    serializer: Serializer = _FLASKS_SERIALIZER
    #: Send a permanent session's cookie again only when it is older than this.
    refresh_after: timedelta | None = None
    #: End a session this long after it began, however often it was refreshed.
    absolute_lifetime: timedelta | None = None
    #: How far in the future a timestamp may lie, for hosts whose clocks differ; 5 seconds are good.
    clock_skew: timedelta = timedelta(0)
    #: See ``session["cart"].append(x)`` as a change.
    detect_nested: bool = True
    #: Send ``Vary: Cookie`` where the session was accessed, or with every response.
    vary: Literal["accessed", "always"] = "accessed"
    #: Where the session lies in the ASGI scope.
    scope_key: str = "session"
    #: Where to step aside: path prefixes of whole segments, below root_path, or a callable on the scope.
    exclude: tuple[str, ...] | Callable[[Any], bool] | None = None
    #: Called with (session, signed_at) of each session that came, and again before a mere refresh goes out; True
    #: makes it empty, or keeps the refresh back. May be async. What migrate_from read has no signed_at: None.
    is_revoked: Callable[..., Any] | None = None
    #: Readers of other formats, called with the scope where no session of ours came. What they read is written
    #: as ours; a cookie of another name stays, so a logout has to delete that one too.
    migrate_from: tuple[Migration, ...] = ()
    #: How many verified cookie values to remember, with their texts: at most 48 KiB each.
    remember: int = 0
    #: A subclass of ``asgi_flask_session.Session``.
    session_class: type[Session] = Session
    #: What Flask-Session and Quart-Session call SESSION_PERMANENT: a new session outlives the browser.
    permanent: bool = False
    #: Where sessions are kept, if not in their cookie: a store of asgi_flask_session.stores, one of your own, or a
    #: URL such as "redis://localhost". The fields from here on count only with a store.
    store: Store | str | None = None
    #: Ask the store only at ``await session.load()``.
    lazy: bool = False
    #: What a request gets that the store cannot serve: a 503, or StoreUnavailable raised to the server.
    on_store_error: Literal["503", "raise"] = "503"
    #: How long each call of the store may take; to connect, half of it.
    store_timeout: timedelta = timedelta(seconds=2)
    #: SESSION_KEY_PREFIX: what stands before an id to make the key of its record.
    key_prefix: str = "session:"
    #: SESSION_SERIALIZATION_FORMAT: that of new records; those that are there are read, and keep theirs.
    record_format: Literal["tagged", "msgpack", "json"] = "tagged"
    #: SESSION_USE_SIGNER: sign the ids in cookies.
    sign_ids: bool = False
    #: SESSION_ID_LENGTH: random bytes of a new id.
    id_bytes: int = 32
    #: Bind a session to the client's address; one that comes from another address, or from none, is empty.
    protection: bool = False
    #: How many proxies before us append to X-Forwarded-For; 0 believes none.
    trusted_proxies: int = 0

    def __init__(self, secret: Any = None, **given: Unpack[SettingsFields]) -> None:
        if unknown := sorted(given.keys() - FIELDS.keys()):
            raise SettingsError(f"there is no setting {', '.join(unknown)}: the settings are {', '.join(FIELDS)}")
        vars(self).update(checked({**FIELDS, **given, "secret": secret}))

    def __setattr__(self, name: str, *_: object) -> NoReturn:
        raise AttributeError(f"settings are frozen: write settings.replace({name}=...)")

    __delattr__ = __setattr__

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self._values().items() if name not in _HIDDEN)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(tuple(self._values().values()))

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    @property
    def keys(self) -> list[str | bytes]:
        """All keys in Flask's order: the fallbacks, then the current one."""
        return [*self.secret_fallbacks, self.secret]

    def replace(self, secret: Any = None, **changes: Unpack[SettingsFields]) -> Self:
        """Return new settings with *changes* in them."""
        values = self._values() | dict(changes)
        return type(self)(**cast("Any", values if secret is None else {**values, "secret": secret}))

    __replace__ = replace

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], **changes: Unpack[SettingsFields]) -> Self:
        """Read Flask's names from *config*; *changes* are fields of ours that count before them."""
        if not (config.get("SECRET_KEY") or changes.get("secret")):
            raise SettingsError("SECRET_KEY is not set: set it to a long random value before the settings are read")
        found = {name: config[key] for key, name in FLASK_NAMES.items() if key in config}
        for name, falsy in _WHERE_FALSY.items():
            if name in found and not found[name]:
                found[name] = falsy
        for name, value in found.items():
            if name in SWITCHES and value in (0, 1):
                found[name] = bool(value)
        if not found.get("cookie_path"):
            found["cookie_path"] = config.get("APPLICATION_ROOT") or "/"
        if found.get("cookie_partitioned"):
            found["cookie_secure"] = True  # as Werkzeug does
        return cls(**cast("SettingsFields", {**found, **changes}))

    @classmethod
    def from_flask(cls, app: Any, **changes: Unpack[SettingsFields]) -> Self:
        """Read the config of a Flask or Quart app, and what its session_interface signs and serializes with.

        A snapshot: what the app changes later is not seen. *changes* are fields that count before the app's.
        """
        interface = app.session_interface
        if callable(settings_of := getattr(interface, "settings_of", None)):  # an interface of ours
            return cast("Self", settings_of(app)).replace(**changes)
        signing: dict[str, Any] = {
            name: getattr(interface, name)
            for name in ("salt", "key_derivation", "digest_method")
            if hasattr(interface, name)
        }
        serializer = getattr(interface, "serializer", None)
        if hasattr(serializer, "dumps"):
            signing["serializer"] = _as_ours(serializer)
        signing |= _of_flask_session(interface)
        cookie = {
            f"SESSION_COOKIE_{name.upper()}": getattr(interface, f"get_cookie_{name}")(app)
            for name in ("name", "domain", "path", "httponly", "secure", "samesite", "partitioned")
            if hasattr(interface, f"get_cookie_{name}")
        }
        return cls.from_mapping({**app.config, **cookie}, **cast("SettingsFields", {**signing, **changes}))

    @classmethod
    def from_env(cls, prefix: str = "FLASK_", **changes: Unpack[SettingsFields]) -> Self:
        """Read Flask's names behind *prefix* from the environment, as Flask's ``from_prefixed_env``.

        A value is read as JSON where it is JSON; SECRET_KEY only where that gives a string.
        """
        config = {
            name: _from_text(name, os.environ[prefix + name])
            for name in (*FLASK_NAMES, "APPLICATION_ROOT")
            if prefix + name in os.environ
        }
        return cls.from_mapping(config, **changes)


#: The default of each field, None for the secret, which has none.
FIELDS: dict[str, Any] = {name: getattr(Settings, name, None) for name in Settings.__annotations__}
_HIDDEN = frozenset({"secret", "secret_fallbacks", "salt", "store"})

FLASK_NAMES = {
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
    "SESSION_KEY_PREFIX": "key_prefix",
    "SESSION_SERIALIZATION_FORMAT": "record_format",
    "SESSION_USE_SIGNER": "sign_ids",
    "SESSION_ID_LENGTH": "id_bytes",
}
_WHERE_FALSY: dict[str, Any] = {
    "secret_fallbacks": (), "cookie_domain": None, "cookie_path": None, "cookie_samesite": None, "max_cookie_size": 0,
}  # fmt: skip


def _from_text(name: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if name == "SECRET_KEY" and not isinstance(value, str) else value


def _of_flask_session(interface: Any) -> dict[str, Any]:
    """Return what Flask-Session's or Quart-Session's interface was told of ids and records, under our names."""
    kinds = {kind.__module__.partition(".")[0] for kind in type(interface).__mro__}
    if kinds.isdisjoint({"flask_session", "quart_session"}):
        return {}
    names = {"key_prefix": "key_prefix", "use_signer": "sign_ids", "permanent": "permanent", "sid_length": "id_bytes"}
    found = {ours: getattr(interface, theirs) for theirs, ours in names.items() if hasattr(interface, theirs)}
    if isinstance(told := getattr(interface, "_config", None), dict):  # Quart-Session's
        found["protection"] = told.get("SESSION_PROTECTION") is True
        found["trusted_proxies"] = int(told.get("SESSION_REVERSE_PROXY") is True)
    if "flask_session" in kinds:
        encoder = getattr(getattr(interface, "serializer", None), "encoder", None)
        found["record_format"] = "json" if type(encoder).__module__ == "msgspec.json" else "msgpack"
    return found


def _as_ours(serializer: Any) -> Serializer:
    """Return our tagged JSON in place of Flask's, with the tags that were added to it; any other as it is."""
    kind = type(serializer)
    for flasks in kind.__mro__:
        if (flasks.__module__, flasks.__name__) == ("flask.json.tag", "TaggedJSONSerializer"):
            break
    else:
        return cast("Serializer", serializer)
    if any(getattr(kind, name) is not getattr(flasks, name) for name in ("dumps", "loads", "tag", "untag")):
        return cast("Serializer", serializer)
    added = [
        (index, type(tag)) for index, tag in enumerate(serializer.order) if type(tag).__module__ != "flask.json.tag"
    ]
    if not added:
        return _FLASKS_SERIALIZER
    ours = TaggedJSONSerializer()
    for index, tag_class in added:
        ours.register(tag_class, force=True, index=index)
    return ours
