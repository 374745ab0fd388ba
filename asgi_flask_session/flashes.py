"""Flask's flashed messages: put one into the session for the next page, take out those that wait there."""

from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from typing import Any, Literal, overload

_KEY = "_flashes"
_CATEGORY = "message"


def flash(session: MutableMapping[str, Any], message: str, category: str = _CATEGORY) -> None:
    """Leave a message for the next page that asks for messages, in Flask or here. Markup stays Markup."""
    waiting = session.get(_KEY)
    session[_KEY] = [*(waiting if isinstance(waiting, list | tuple) else ()), (category, message)]


@overload
def get_flashed_messages(
    session: MutableMapping[str, Any], *, with_categories: Literal[False] = False, category_filter: Iterable[str] = ()
) -> list[str]: ...
@overload
def get_flashed_messages(
    session: MutableMapping[str, Any], *, with_categories: Literal[True], category_filter: Iterable[str] = ()
) -> list[tuple[str, str]]: ...
@overload
def get_flashed_messages(
    session: MutableMapping[str, Any], *, with_categories: bool, category_filter: Iterable[str] = ()
) -> list[str] | list[tuple[str, str]]: ...
def get_flashed_messages(
    session: MutableMapping[str, Any], *, with_categories: bool = False, category_filter: Iterable[str] = ()
) -> list[str] | list[tuple[str, str]]:
    """Return the messages that wait, of all categories or those of *category_filter*, as Flask does.

    The first call of a request takes all messages out of the session, also those that the filter leaves aside; the
    calls after it return the same ones, filtered anew. So a page may ask for each category by itself, and what it
    does not ask for is gone. What is flashed after the first call waits for the next request. (The messages are
    kept on the session object. One that takes no attributes, such as a plain dict, gives them to the first call
    only.)
    """
    messages = getattr(session, "_flashed", None)
    if messages is None:
        messages = list(_read(session.pop(_KEY))) if _KEY in session else []
        with suppress(AttributeError):
            session._flashed = messages  # type: ignore[attr-defined]  # of this request's own object
    wanted = (category_filter,) if isinstance(category_filter, str) else tuple(category_filter)
    if wanted:
        messages = [entry for entry in messages if entry[0] in wanted]
    return list(messages) if with_categories else [message for _, message in messages]


def _read(waiting: Any) -> Iterable[tuple[Any, Any]]:
    """Yield category and message of each entry, whoever wrote it; what is neither is left out."""
    for entry in waiting if isinstance(waiting, list | tuple) else [waiting]:
        if isinstance(entry, str):
            yield _CATEGORY, entry
        elif isinstance(entry, list | tuple) and len(entry) >= 2:
            yield entry[0], entry[1]
