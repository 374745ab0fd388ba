"""What a setting may be: each is looked at when the settings are made, and refused with what to write instead."""

import re
import sys
import warnings
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from .errors import SessionWarning, SettingsError
from .session import Session

_OURS = ("asgi_flask_session", "quart_plugin")  # packages, within which no user's line is
_YEAR_LIMIT = timedelta(days=365_000)  # keeps every Expires within the four digits of a year
_ATTRIBUTE_LIMIT = 1024  # bytes; browsers ignore a longer attribute (rfc6265bis, 5.7)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # which no bytes are made of
_CONTROL_OR_SEMICOLON = re.compile(r"[\x00-\x1f\x7f;]")

_STORE = ("get", "create", "replace", "touch", "delete", "aclose")
_PREFIX_LIMIT = 100  # bytes; memcached takes keys of 250, and an id may have 128
_KEY_PREFIX = re.compile(rf"[!-~]{{0,{_PREFIX_LIMIT}}}")
_LEAST_ID_BYTES, _MOST_ID_BYTES = 16, 96  # 128 bits, and the 128 characters that an id may have

_SHORT_SECRET = 16  # bytes
_WELL_KNOWN_SECRETS = frozenset({
    "a secret key", "change me", "change-me", "change_me", "changeme", "default", "dev", "development", "flask",
    "hard to guess string", "insecure", "key", "my secret", "my-secret-key", "my_secret_key", "mysecret",
    "mysecretkey", "not a secret", "password", "secret", "secret key", "secret-key", "secret_key", "secretkey",
    "some secret key", "super secret", "super secret key", "super-secret", "super-secret-key", "super_secret_key",
    "supersecret", "supersecretkey", "test", "testing", "this-is-a-secret", "you-will-never-guess",
})  # fmt: skip

SWITCHES = (
    "cookie_httponly", "cookie_secure", "cookie_partitioned", "refresh_each_request", "detect_nested",
    "permanent", "lazy", "sign_ids", "protection",
)  # fmt: skip
_COUNTS = ("max_cookie_size", "remember", "id_bytes", "trusted_proxies")
_CHOICES: dict[str, tuple[str, ...]] = {
    "on_large_cookie": ("warn", "raise"),
    "vary": ("accessed", "always"),
    "on_store_error": ("503", "raise"),
    "record_format": ("tagged", "msgpack", "json"),
    "key_derivation": ("hmac", "concat", "django-concat", "none"),
}


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings as they are kept; raises SettingsError, warns SessionWarning."""
    kept = dict(given)
    for check in (
        check_secrets,
        _check_types,
        check_cookie,
        _check_lifetimes,
        _check_signing,
        _check_store,
        _check_hooks,
    ):
        kept.update(check(SimpleNamespace(**kept)))
    return kept


# Each check looks at what was given, and returns the settings that are kept in another form.


def check_secrets(given: Any) -> dict[str, Any]:
    """Return the secret, and its fallbacks as a tuple, as they are used; raises SettingsError."""
    if isinstance(given.secret_fallbacks, str | bytes):
        raise SettingsError("secret_fallbacks is one string, each letter of which would be a key: write ['old key']")
    secret = _secret(given.secret, "secret")
    fallbacks = tuple(
        _secret(key, "secret_fallbacks")
        for key in _tuple(given.secret_fallbacks or (), "secret_fallbacks", "a list of former secrets")
    )
    raw = secret.encode() if isinstance(secret, str) else secret
    if raw.decode("utf-8", "replace").lower() in _WELL_KNOWN_SECRETS:
        warn("secret is a well-known sample that anyone can guess: use secrets.token_hex()")
    elif len(raw) < _SHORT_SECRET:
        warn(f"secret is shorter than {_SHORT_SECRET} bytes: use secrets.token_hex()")
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
    if isinstance(value, str) and _SURROGATE.search(value):
        raise SettingsError(f"{name} has surrogates in it: write a long random value, as secrets.token_hex() gives")
    return value


def _check_types(given: Any) -> dict[str, Any]:
    for name, value in vars(given).items():
        if name in SWITCHES and not isinstance(value, bool):
            raise SettingsError(f"{name} is {value!r}: write True or False")
        if name in _COUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise SettingsError(f"{name} is {value!r}: write a whole number, 0 or more")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise SettingsError(f"{name} is {value!r}: write {' or '.join(map(repr, _CHOICES[name]))}")
    if not isinstance(given.scope_key, str) or not given.scope_key:
        raise SettingsError(f"scope_key is {given.scope_key!r}: write a string, such as 'session'")
    return {}


def check_cookie(given: Any) -> dict[str, Any]:
    """Return what is spelled otherwise, of the seven ``cookie_*`` fields of *given*; raises SettingsError."""
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
        if _length(value, attribute) > _ATTRIBUTE_LIMIT:
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


def _length(value: str, name: str) -> int:
    """Return how many bytes *value* takes in the header, where those beyond ASCII are percent-encoded."""
    try:
        return sum(1 if byte < 128 else 3 for byte in value.encode("utf-8"))
    except UnicodeEncodeError:
        raise SettingsError(f"{name} is {value!r}: write it without surrogates") from None


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
        if host and not re.search(r"[\s/=,]", domain) and host.encode("idna"):
            return
    except UnicodeError:
        pass
    if not _CONTROL_OR_SEMICOLON.search(domain):  # that has a message of its own
        raise SettingsError(f"cookie_domain is {domain!r}: write a host name such as 'example.com'")


def _check_lifetimes(given: Any) -> dict[str, Any]:
    return {
        "permanent_lifetime": check_duration(given.permanent_lifetime, "permanent_lifetime"),
        **{
            name: None if getattr(given, name) is None else check_duration(getattr(given, name), name)
            for name in ("refresh_after", "absolute_lifetime")
        },
        "clock_skew": check_duration(given.clock_skew, "clock_skew", least=0, most=timedelta(days=1)),
    }


def check_duration(value: Any, name: str, *, least: float = 1, most: timedelta = _YEAR_LIMIT) -> timedelta:
    """Return a timedelta for one, or for a number of seconds; raises SettingsError."""
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
    salt = given.salt
    if not isinstance(salt, str | bytes) or (isinstance(salt, str) and _SURROGATE.search(salt)):
        raise SettingsError(f"salt is {_a(salt)}: write bytes, or a str without surrogates, in Flask 'cookie-session'")
    digest = given.digest_method
    try:
        usable = all(hasattr(digest(b""), name) for name in ("block_size", "copy", "update", "digest"))
    except TypeError:
        usable = False
    if not usable:
        raise SettingsError(f"digest_method is {digest!r}: write a function of hashlib, such as hashlib.sha256")
    try:
        usable = given.serializer.loads(given.serializer.dumps({})) == {}
    except Exception:  # noqa: BLE001  # it may raise anything
        usable = False
    if not usable:
        raise SettingsError(f"serializer is {_a(given.serializer)}: write an object whose loads reads what dumps wrote")
    return {}


def _check_store(given: Any) -> dict[str, Any]:
    store, prefix = given.store, given.key_prefix
    if store is not None and not isinstance(store, str):
        missing = [name for name in _STORE if not callable(getattr(store, name, None))]
        if isinstance(store, type):
            raise SettingsError(f"store is a class: write {store.__name__}(...) or {store.__name__}.from_url(url)")
        if missing:
            raise SettingsError(
                f"store is {_a(store)} without {', '.join(missing)}: write a URL such as 'redis://localhost', or a"
                " store of asgi_flask_session.stores"
            )
    if not isinstance(prefix, str) or not _KEY_PREFIX.fullmatch(prefix):
        raise SettingsError(
            f"key_prefix is {prefix!r}: write up to {_PREFIX_LIMIT} visible ASCII characters, such as 'session:'"
        )
    if not _LEAST_ID_BYTES <= given.id_bytes <= _MOST_ID_BYTES:
        raise SettingsError(f"id_bytes is {given.id_bytes}: write {_LEAST_ID_BYTES} to {_MOST_ID_BYTES}, best 32")
    timeout = check_duration(given.store_timeout, "store_timeout", least=0.01, most=timedelta(minutes=5))
    return {"store_timeout": timeout}


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


def warn(message: str, kind: type[Warning] = SessionWarning) -> None:
    """Warn at the line, outside of our packages, that makes the settings."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)
