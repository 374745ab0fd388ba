"""Asking the application whether a session was revoked."""

from collections.abc import Awaitable, Callable
from typing import Any

from .session import Session


class Unseen:
    """Lets the application look at a session without that being an access by the response."""

    # No generator: contextlib would be loaded for this alone.

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        self._seen, self._lent = self._session._seen, self._session._lent

    def __exit__(self, *_: object) -> None:
        session = self._session
        session._seen, session._lent = self._seen or session.modified, self._lent


async def refuses(is_revoked: Callable[..., Any], session: Session) -> bool:
    """Say whether the application refuses the session."""
    with Unseen(session):
        answer = is_revoked(session, session.signed_at)
        if isinstance(answer, Awaitable):
            answer = await answer
    return bool(answer)
