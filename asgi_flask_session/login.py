"""Who Flask-Login says is logged in, read from a session or a remember cookie; log in and out as it does.

Source: Flask-Login 0.6.3. All functions take the ASGI scope of the request, its session and ``LoginSettings``.
"""

import hmac
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import timedelta
from hashlib import sha512
from math import floor
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple, Self, cast
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from .asgi import Scope, header
from .checks import check_cookie, check_duration, check_secrets
from .cookies import SetCookie, cookie_among, quoted
from .errors import SettingsError
from .settings import Seconds, Settings

_USER, _FRESH, _ID = "_user_id", "_fresh", "_id"
_REMEMBER, _REMEMBER_SECONDS = "_remember", "_remember_seconds"  # the first only until the response goes out
_VOID = "asgi_flask_session.remember_cookie_is_void"  # in the scope of a request that has logged out

_SESSION_KEYS = (_USER, _FRESH, _ID, _REMEMBER, _REMEMBER_SECONDS, "next")

_MODES = ("basic", "strong")
_SWITCHES = ("cookie_secure", "cookie_httponly", "refresh_each_request")
_NAMES = {
    "SECRET_KEY": "secret",
    "SECRET_KEY_FALLBACKS": "secret_fallbacks",
    "REMEMBER_COOKIE_NAME": "cookie_name",
    "REMEMBER_COOKIE_DURATION": "cookie_duration",
    "REMEMBER_COOKIE_DOMAIN": "cookie_domain",
    "REMEMBER_COOKIE_PATH": "cookie_path",
    "REMEMBER_COOKIE_SECURE": "cookie_secure",
    "REMEMBER_COOKIE_HTTPONLY": "cookie_httponly",
    "REMEMBER_COOKIE_SAMESITE": "cookie_samesite",
    "REMEMBER_COOKIE_REFRESH_EACH_REQUEST": "refresh_each_request",
}


@dataclass(frozen=True)
class LoginSettings:
    """How Flask-Login binds a login to its client and remembers a user; the defaults are Flask-Login's.

    Raises SettingsError, which says what to write instead, for a value that can never work.
    """

    #: SECRET_KEY of the Flask app: given as str, bytes, or a secret wrapper of Starlette or pydantic.
    secret: Any = field(default=None, repr=False)
    _: KW_ONLY
    #: SECRET_KEY_FALLBACKS: former keys, whose remember cookies are still read here. Flask-Login refuses them.
    secret_fallbacks: Iterable[Any] = field(default=(), repr=False)
    #: SESSION_PROTECTION: what becomes of a session from another address or browser. See ``current_login``.
    protection: Literal["basic", "strong"] | None = "basic"
    #: How many proxies before us append to X-Forwarded-For; 0 believes none. Flask-Login believes the client.
    trusted_proxies: int = 0
    #: REMEMBER_COOKIE_NAME, _DURATION (a timedelta or seconds), _DOMAIN, _PATH, _SECURE, _HTTPONLY, _SAMESITE.
    cookie_name: str = "remember_token"
    cookie_duration: Seconds = timedelta(days=365)
    cookie_domain: str | None = None
    cookie_path: str = "/"
    cookie_secure: bool = False
    cookie_httponly: bool = True
    cookie_samesite: str | None = None
    #: REMEMBER_COOKIE_REFRESH_EACH_REQUEST: as in Flask-Login, every user is remembered, asked for or not.
    refresh_each_request: bool = False
    #: Returns the time in seconds since the epoch.
    clock: Callable[[], float] = field(default=time.time, repr=False, compare=False)

    _set_cookie: SetCookie = field(init=False, repr=False, compare=False)
    _deletion: bytes = field(init=False, repr=False, compare=False)
    _name: bytes = field(init=False, repr=False, compare=False)
    _signing_keys: tuple[bytes | None, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.protection is not None and self.protection not in _MODES:
            raise SettingsError(f"protection is {self.protection!r}: write 'basic', 'strong' or None")
        if type(self.trusted_proxies) is not int or self.trusted_proxies < 0:  # nor bool
            raise SettingsError(f"trusted_proxies is {self.trusted_proxies!r}: write a whole number, 0 or more")
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise SettingsError(f"{name} is {getattr(self, name)!r}: write True or False")
        given = SimpleNamespace(**{name: getattr(self, name) for name in _NAMES.values()}, cookie_partitioned=False)
        vars(given).update(check_secrets(given))
        vars(given).update(check_cookie(given))
        given.cookie_duration = check_duration(given.cookie_duration, "cookie_duration")
        for name in _NAMES.values():
            object.__setattr__(self, name, getattr(given, name))
        object.__setattr__(self, "_set_cookie", SetCookie(cast("Settings", given)))
        object.__setattr__(self, "_name", given.cookie_name.encode("ascii"))
        # Flask-Login deletes without these attributes; a browser takes no cookie of such a name without Secure.
        given.cookie_httponly, given.cookie_samesite = False, None
        given.cookie_secure = given.cookie_name.lower().startswith(("__secure-", "__host-"))
        object.__setattr__(self, "_deletion", SetCookie(cast("Settings", given)).delete())
        object.__setattr__(self, "_signing_keys", tuple(map(_key, (given.secret, *given.secret_fallbacks))))
        if self.refresh_each_request:
            _signing_key(self)

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any], **changes: Any) -> Self:
        """Read Flask's and Flask-Login's names from *config*; *changes* are fields that count before them.

        SESSION_PROTECTION may be True or False, which is Quart-Session's: Flask-Login takes either for None.
        """
        if not config.get("SECRET_KEY"):
            raise SettingsError("SECRET_KEY is not set: set it to a long random value before the settings are read")
        found = {field: config[name] for name, field in _NAMES.items() if name in config}
        for name in _SWITCHES:
            if name in found:
                found[name] = bool(found[name])
        for name in ("secret_fallbacks", "cookie_domain", "cookie_samesite"):
            if name in found:
                found[name] = found[name] or None
        if "SESSION_PROTECTION" in config:
            mode = config["SESSION_PROTECTION"]
            found["protection"] = None if not mode or mode is True else mode
        return cls(**{**found, **changes})

    @classmethod
    def from_flask(cls, app: Any, **changes: Any) -> Self:
        """Read the config of a Flask or Quart app, and the protection that its ``login_manager`` was set to."""
        manager = getattr(app, "login_manager", None)
        mode = getattr(manager, "session_protection", "basic")
        return cls.from_mapping({"SESSION_PROTECTION": mode, **app.config}, **changes)


class Login(NamedTuple):
    """Who is logged in: false where nobody is.

    ``fresh`` says that it was with a password, in this session and by this client. ``source`` says where the user
    was found.
    """

    user_id: str | None
    fresh: bool = False
    source: Literal["session", "remember"] | None = None

    def __bool__(self) -> bool:
        return self.user_id is not None


_NOBODY = Login(None)


def current_login(scope: Scope, session: Mapping[str, Any], settings: LoginSettings) -> Login:
    """Say who is logged in, as Flask-Login would, and write nothing.

    Where the session is that of another address or browser (a session without a user counts as well), the login is
    not fresh; with protection "strong" nobody is logged in, unless the session is permanent. A user who no longer
    exists is for the caller to find.
    """
    mismatch = _protection(scope, session, settings)
    if mismatch == "strong":
        return _NOBODY
    user_id = session.get(_USER)
    if user_id is not None:
        return Login(str(user_id), bool(session.get(_FRESH)) and not mismatch, "session")
    if session.get(_REMEMBER) == "clear" or _VOID in scope:
        return _NOBODY
    user_id = _remembered(scope, settings)
    return _NOBODY if user_id is None else Login(user_id, False, "remember")


def login_user(
    scope: Scope,
    session: MutableMapping[str, Any],
    user_id: str,
    settings: LoginSettings,
    *,
    remember: bool = False,
    duration: Seconds | None = None,
    fresh: bool = True,
) -> bytes | None:
    """Log a user in, and return the Set-Cookie line that the response has to carry, if any.

    *user_id* is what ``get_id()`` of the Flask app's users returns. With *remember* the line makes the user known
    for *duration* (a timedelta or seconds; without one, ``cookie_duration``) after the session has ended. Raises
    SettingsError where the secret cannot sign one.
    """
    if user_id is None:
        raise TypeError("user_id is None: write the id of a user")
    lifetime = None if duration is None else check_duration(duration, "duration").total_seconds()
    if remember:
        _signing_key(settings)  # raises before anything is written
    session[_USER] = str(user_id)
    session[_FRESH] = bool(fresh)
    session[_ID] = _identifier(scope, settings)
    if remember and lifetime is not None:
        session[_REMEMBER_SECONDS] = lifetime
    return _remember_line(scope, session, settings, "set" if remember else None)


def logout_user(scope: Scope, session: MutableMapping[str, Any], settings: LoginSettings) -> bytes | None:
    """Log the user out, and return the Set-Cookie line that the response has to carry, if any.

    It deletes a remember cookie that came, which counts no more for the rest of the request: the scope notes it. The
    rest of the session stays, as in Flask-Login; of a session that protection "strong" refuses, the page to come back
    to (``next``) goes too.
    """
    failed = _protection(scope, session, settings) == "strong"
    for name in _SESSION_KEYS if failed else (_USER, _FRESH, _ID):
        session.pop(name, None)
    came = _remember_cookie(scope, settings) is not None
    if came:
        session.pop(_REMEMBER_SECONDS, None)
        scope[_VOID] = True
    return _remember_line(scope, session, settings, "clear" if came or failed else None)


def confirm_login(scope: Scope, session: MutableMapping[str, Any], settings: LoginSettings) -> None:
    """Make the login fresh again, once the user has given the password; nothing happens where nobody is logged in."""
    login = current_login(scope, session, settings)
    if login:
        if login.source == "remember":
            session[_USER] = login.user_id
        session[_FRESH] = True
        session[_ID] = _identifier(scope, settings)


def refresh_remember_cookie(scope: Scope, session: Mapping[str, Any], settings: LoginSettings) -> bytes | None:
    """Return the Set-Cookie line that every response carries where ``refresh_each_request`` is set; else None."""
    if not settings.refresh_each_request:
        return None
    user_id = current_login(scope, session, settings).user_id
    return None if user_id is None else _line(user_id, session, settings)


def login_url(scope: Scope, url: str, *, next_field: str = "next") -> str:
    """Return the URL of the login page with that of this request in its query, to come back to.

    Only path and query where both are of one host, as in Flask-Login, or where the request names no host. No path
    comes out as another host's: a browser would take ``//host`` for one.
    """
    to = urlsplit(url)
    root = (scope.get("root_path") or "").rstrip("/")
    path = scope["path"]
    # Some servers leave root_path within path, as the specification says; others take it off.
    if root and path != root and not path.startswith(f"{root}/"):
        path = root + path
    back = "/" + quote(path.lstrip("/"), safe="!$&'()*+,/:;=@", errors="replace")
    if query := scope.get("query_string"):
        back += "?" + quote(query, safe="!$&'()*+,/:;=?@%")
    scheme = scope.get("scheme", "http")
    scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    host = header(scope, b"host")
    if host and ((to.scheme and to.scheme != scheme) or (to.netloc and to.netloc.encode("utf-8") != host)):
        back = f"{scheme}://{quote(host, safe=':[]')}{back}"
    query_of = parse_qs(to.query, keep_blank_values=True)
    query_of[next_field] = [back]
    return to._replace(query=urlencode(query_of, doseq=True)).geturl()


def _protection(scope: Scope, session: Mapping[str, Any], settings: LoginSettings) -> Literal["basic", "strong"] | None:
    """Say how a session is held to be another client's: the login is not fresh, or none; None if it is not."""
    mode = settings.protection
    if mode is None or not session or session.get(_ID) == _identifier(scope, settings):
        return None
    return "basic" if session.get("_permanent") else mode


def _identifier(scope: Scope, settings: LoginSettings) -> str:
    """Return what ``_id`` is for this client."""
    text = f"{_address(scope, settings.trusted_proxies)!r}|{_as_flask_has_it(header(scope, b'user-agent'))!r}"
    return sha512(text.encode("ascii")).hexdigest()


def _address(scope: Scope, trusted_proxies: int) -> bytes | None:
    """Return the client's address, spelled as it came: that of the peer, where no trusted proxy says another."""
    forwarded = header(scope, b"x-forwarded-for") if trusted_proxies else None
    if forwarded is not None:
        entries = forwarded.rsplit(b",", trusted_proxies)
        if len(entries) >= trusted_proxies:
            return _as_flask_has_it(entries[-trusted_proxies].strip())
    peer = scope.get("client")
    return peer[0].encode("utf-8", "replace") if peer and isinstance(peer[0], str) else None


def _as_flask_has_it(value: bytes | None) -> bytes | None:
    # WSGI's strings are latin-1; Flask-Login encodes them as UTF-8.
    return None if value is None else value.decode("latin-1").encode("utf-8")


def _remember_cookie(scope: Scope, settings: LoginSettings) -> bytes | None:
    return cookie_among(scope.get("headers", ()), settings._name)


def _remembered(scope: Scope, settings: LoginSettings) -> str | None:
    """Return the user id of a remember cookie that one of our keys signed."""
    payload, bar, digest = (_remember_cookie(scope, settings) or b"").rpartition(b"|")
    if not bar:
        return None
    for key in settings._signing_keys:
        if key is not None and hmac.compare_digest(_digest(key, payload), digest):
            return payload.decode("utf-8", "replace")
    return None


def _digest(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha512").hex().encode("ascii")


def _key(secret: str | bytes) -> bytes | None:
    """Return the key as Flask-Login has it; None for a secret that Flask-Login can sign nothing with."""
    if isinstance(secret, bytes):
        return secret
    try:
        return secret.encode("latin-1")
    except UnicodeEncodeError:
        return None


def _remember_line(
    scope: Scope, session: MutableMapping[str, Any], settings: LoginSettings, operation: str | None
) -> bytes | None:
    """Do at once what Flask-Login notes in ``_remember``, and does when the response goes out."""
    noted = session.pop(_REMEMBER, None)
    operation = operation or noted or ("set" if settings.refresh_each_request else None)
    user_id = session.get(_USER)
    line = None
    if operation == "set" and user_id is not None:
        line = _line(str(user_id), session, settings)
    elif operation == "clear":
        line = settings._deletion
    if line is not None and scope.get("type") == "websocket":
        session[_REMEMBER] = operation  # its handshake may be over: Flask's next response does it, maybe once more
    return line


def _line(user_id: str, session: Mapping[str, Any], settings: LoginSettings) -> bytes:
    digest = _digest(_signing_key(settings), user_id.encode("utf-8"))
    value = quoted(f"{user_id}|{digest.decode('ascii')}")
    seconds = session.get(_REMEMBER_SECONDS, cast("timedelta", settings.cookie_duration).total_seconds())
    return settings._set_cookie.set(value, floor(settings.clock() + seconds))


def _signing_key(settings: LoginSettings) -> bytes:
    key = settings._signing_keys[0]
    if key is None:
        raise SettingsError(
            "secret has characters beyond latin-1, with which Flask-Login cannot sign a remember cookie: use"
            " secrets.token_hex()"
        )
    return key
