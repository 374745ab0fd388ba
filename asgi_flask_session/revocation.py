"""Asking the application whether a session was revoked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any

from .session import Session


@contextmanager
def unseen(session: Session) -> Iterator[None]:
    """Let the application look at a session without that being an access by the response."""
    seen, lent = session._seen, session._lent
    yield
    session._seen, session._lent = seen or session.modified, lent


async def refuses(is_revoked: Callable[..., Any], session: Session) -> bool:
    """Say whether the application refuses the session."""
    with unseen(session):
        answer = is_revoked(session, session.signed_at)
        if isawaitable(answer):
            answer = await answer
    return bool(answer)
