"""What every app does with its session. Flask does some of it by its own means instead."""

from collections.abc import Iterable, MutableMapping
from typing import Any

from .values import same, samples

Session = MutableMapping[str, Any]
MISSING = object()


def view(session: Session) -> dict[str, Any]:
    """Return what JSON can show of a session: who is logged in, and each value as Python spells it."""
    return {
        "user": session.get("_user_id"),
        "entries": [
            {"key": key, "type": type(value).__name__, "value": repr(value)} for key, value in sorted(session.items())
        ],
    }


def remove(session: Session, keys: Iterable[str]) -> None:
    for key in keys:
        session.pop(key, None)


def write_types(session: Session, seed: int) -> None:
    session.update(samples(seed))


def wrong_types(session: Session, seed: int) -> dict[str, str]:
    """Return what was read in place of each value that *seed* makes, if it was another."""
    read = {key: session.get(key, MISSING) for key in samples(seed)}
    return {
        key: f"{expected!r} was read as {'nothing' if read[key] is MISSING else repr(read[key])}"
        for key, expected in samples(seed).items()
        if not same(expected, read[key])
    }


def flash(session: Session, text: str) -> None:
    """Leave a message for the next page, as ``flask.flash`` does."""
    session["_flashes"] = [*session.get("_flashes", ()), ("message", text)]


def take_flashes(session: Session) -> list[str]:
    """Return the messages once, as ``flask.get_flashed_messages`` does."""
    return [text for _category, text in session.pop("_flashes", ())]


def log_out(session: Session) -> None:
    """Forget the user of Flask-Login."""
    remove(session, ("_user_id", "_fresh", "_id"))
