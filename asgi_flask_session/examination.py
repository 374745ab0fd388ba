"""What can be said of a cookie value, with the keys or without: for the command line, and whoever debugs a session."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from itsdangerous import BadSignature, Signer, TimestampSigner, URLSafeTimedSerializer

from .client_side import ClientSide
from .errors import BadCookie
from .ids import _ID
from .payload import MAX_NESTING, decode, nested_too_deep
from .policy import accepted_ages
from .settings import Settings
from .signing import CookieSigner, timestamp_of

_OF_FLASK_WTF = "the payload is a string: most likely it is a CSRF token of Flask-WTF, and no cookie"
_REMEMBER_COOKIE = re.compile(rb".+\|[0-9a-f]{128}")  # Flask-Login's: a user id and a SHA-512

# Keys of a session whose meaning is known, and whose they are.
OWNERS = {
    "_permanent": "Flask",
    "_flashes": "Flask (flashed messages)",
    "_user_id": "Flask-Login",
    "_fresh": "Flask-Login",
    "_id": "Flask-Login (hash of address and browser)",
    "_remember": "Flask-Login",
    "_remember_seconds": "Flask-Login",
    "csrf_token": "Flask-WTF",
    "_began": "asgi-flask-session (absolute_lifetime)",
    "_addr": "Quart-Session (session protection)",
    "_auth_user_id": "Django (auth)",
    "_auth_user_backend": "Django (auth)",
    "_auth_user_hash": "Django (auth)",
    "_messages": "Django (messages) or Litestar (flash)",
    "_session_expiry": "Django",
}


@dataclass(frozen=True)
class Examination:
    """What was found in a cookie value.

    ``data`` is the payload's JSON, tags as they are written; ``signed`` its timestamp, in seconds since the epoch;
    each is None where it cannot be read. ``key`` is 0 for the current secret, n for the nth fallback of the settings,
    None for none or where no keys were given. ``problem`` says why the cookie is no session, None if it is one as far
    as is known. ``sid`` says that it is an id, whose session is in a store, which alone can say whether there is one.
    """

    size: int
    data: dict[str, Any] | None = None
    text_size: int | None = None
    compressed: bool = False
    signed: int | None = None
    key: int | None = None
    problem: str | None = None
    sid: bool = False


def examine(value: bytes, settings: Settings | None = None, *, now: float = 0) -> Examination:
    """Return what is found in *value*; with *settings*, also whether it is a session *now*, and by which key."""
    signed, _, _ = value.rpartition(b".")
    payload, _, timestamp = signed.rpartition(b".")
    if not payload.strip(b"."):
        return _without_payload(value, settings)
    problem: str | None = None
    data: dict[str, Any] | None = None
    text = b""
    try:
        text = decode(payload)
        data = _object(text)
    except BadCookie as error:
        problem = str(error)
    try:
        second: int | None = timestamp_of(timestamp)
    except BadCookie:
        second, problem = None, "its timestamp is none"
    key = None
    if settings is not None and second is not None:
        key, refused = _matching_key(value, settings)
        wrong = refused or _out_of_time(int(now) - second, settings)
        problem = f"{wrong}; {_OF_FLASK_WTF}" if problem == _OF_FLASK_WTF else wrong
    return Examination(len(value), data, len(text) or None, payload.startswith(b"."), second, key, problem)


def _object(text: bytes) -> dict[str, Any]:
    if nested_too_deep(text):
        raise BadCookie(f"the payload is nested deeper than {MAX_NESTING} levels")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCookie("the payload is no JSON: another serializer wrote it, or nobody") from error
    if isinstance(data, str):
        raise BadCookie(_OF_FLASK_WTF)
    if not isinstance(data, dict):
        raise BadCookie("the payload is JSON, but no object")
    return data


def _without_payload(value: bytes, settings: Settings | None) -> Examination:
    size = len(value)
    sid, dot, _ = value.partition(b".")
    if _REMEMBER_COOKIE.fullmatch(value):
        return Examination(size, problem="it is a remember cookie of Flask-Login, and no session")
    if not _ID.fullmatch(sid.decode("latin-1")) or value.count(b".") > 1:
        return Examination(size, problem="it has no payload: Flask's is payload.timestamp.signature")
    kept = "the id of a session that is kept in a store"
    if not dot:
        return Examination(size, problem=f"it is {kept}: only the store knows whether there is one", sid=True)
    if settings is None:
        return Examination(size, problem=f"it is {kept}, signed: only the store knows whether there is one", sid=True)
    for number, key in _numbered_keys(settings):
        if any(Signer(key, salt, key_derivation="hmac").validate(value) for salt in ("flask-session", "quart-session")):
            return Examination(size, key=number, sid=True)
    return Examination(size, problem=f"it is {kept}, and no key of ours signed it", sid=True)


def _numbered_keys(settings: Settings) -> list[tuple[int, str | bytes]]:
    return list(enumerate((settings.secret, *settings.secret_fallbacks)))


def _matching_key(value: bytes, settings: Settings) -> tuple[int | None, str | None]:
    """Return which key signed *value*, None for none, and why the middleware refuses it, whatever its age."""
    side = ClientSide(settings)
    try:
        _, _, text = side._verify(value)
        side._loads(text)
    except BadCookie as error:
        refused: str | None = str(error)
    else:
        refused = None
    told = {name: getattr(settings, name) for name in ("salt", "key_derivation", "digest_method")}
    for number, key in _numbered_keys(settings):
        try:
            CookieSigner([key], **told).unsign(value)
        except BadCookie:
            continue
        return number, refused
    return None, refused


def _out_of_time(age: int, settings: Settings) -> str | None:
    if age in accepted_ages(settings):
        return None
    if age < 0:
        return f"it was signed {-age} s in the future: the clocks differ, see clock_skew"
    lifetime = int(settings.permanent_lifetime.total_seconds())
    return f"it is {age} s old, over the {lifetime} s of permanent_lifetime"


def in_flask(value: bytes, settings: Settings, *, now: float) -> tuple[Literal["accepted", "refused", "500"], str]:
    """Return what Flask makes of a cookie value under these settings, and its words for why; "" if it accepts it."""

    class Timed(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(now)

    keys: Any = settings.keys  # str and bytes may be mixed
    serializer = URLSafeTimedSerializer(
        keys,
        salt=settings.salt,
        serializer=settings.serializer,
        signer=Timed,
        signer_kwargs={"key_derivation": settings.key_derivation, "digest_method": settings.digest_method},
    )
    try:
        dict(serializer.loads(value, max_age=int(settings.permanent_lifetime.total_seconds())))
    except BadSignature as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001  # Flask catches no other
        return "500", f"{type(error).__name__}: {error}"
    return "accepted", ""


def sizes(data: dict[str, Any]) -> dict[str, int]:
    """Return the bytes of JSON that each key takes with its value, the largest first."""
    each = {key: len(json.dumps({key: value}, separators=(",", ":"))) - 2 for key, value in data.items()}
    return dict(sorted(each.items(), key=lambda item: -item[1]))
