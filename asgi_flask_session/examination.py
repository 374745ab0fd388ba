"""What can be said of a cookie value, with the keys or without: for the command line, and whoever debugs a session."""

import json
from dataclasses import dataclass
from typing import Any

from .errors import BadCookie
from .payload import MAX_NESTING, decode, nested_too_deep
from .policy import accepted_ages
from .settings import Settings
from .signing import CookieSigner, timestamp_of

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
    each is None where it cannot be read. ``key`` is 0 for the current secret, n for the nth fallback, None for none
    or where no keys were given. ``problem`` says why the cookie is no session, None if it is one as far as is known.
    """

    size: int
    data: dict[str, Any] | None = None
    text_size: int | None = None
    compressed: bool = False
    signed: int | None = None
    key: int | None = None
    problem: str | None = None


def examine(value: bytes, settings: Settings | None = None, *, now: float = 0) -> Examination:
    """Return what is found in *value*; with *settings*, also whether it is a session *now*, and by which key."""
    signed, _, _ = value.rpartition(b".")
    payload, _, timestamp = signed.rpartition(b".")
    if not payload.strip(b"."):
        return Examination(len(value), problem=_no_payload(value))
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
        try:
            key = _matching_key(value, settings)
        except BadCookie as error:
            problem = str(error)
        else:
            problem = problem or _out_of_time(int(now) - second, settings)
    return Examination(len(value), data, len(text) or None, payload.startswith(b"."), second, key, problem)


def _object(text: bytes) -> dict[str, Any]:
    if nested_too_deep(text):
        raise BadCookie(f"the payload is nested deeper than {MAX_NESTING} levels")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadCookie("the payload is no JSON: another serializer wrote it, or nobody") from error
    if not isinstance(data, dict):
        raise BadCookie("the payload is JSON, but no object")
    return data


def _no_payload(value: bytes) -> str:
    if value and value.count(b".") <= 1:
        return "it has no payload: most likely it is the id of a session that is kept in a store"
    return "it has no payload"


def _matching_key(value: bytes, settings: Settings) -> int:
    """Return which key signed *value*; raises BadCookie for none."""
    refused = BadCookie("there is no key")
    told = {name: getattr(settings, name) for name in ("salt", "key_derivation", "digest_method")}
    for number, key in enumerate(reversed(settings.keys)):
        try:
            CookieSigner([key], **told).unsign(value)
        except BadCookie as error:
            refused = error
        else:
            return number
    raise refused


def _out_of_time(age: int, settings: Settings) -> str | None:
    if age in accepted_ages(settings):
        return None
    if age < 0:
        return f"it was signed {-age} s in the future: the clocks differ, see clock_skew"
    lifetime = int(settings.permanent_lifetime.total_seconds())
    return f"it is {age} s old, over the {lifetime} s of permanent_lifetime"


def sizes(data: dict[str, Any]) -> dict[str, int]:
    """Return the bytes of JSON that each key takes with its value, the largest first."""
    each = {key: len(json.dumps({key: value}, separators=(",", ":"))) - 2 for key, value in data.items()}
    return dict(sorted(each.items(), key=lambda item: -item[1]))
