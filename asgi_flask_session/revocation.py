"""Asking the application whether a session was revoked."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from .session import Session


async def refuses(is_revoked: Callable[..., Any], session: Session) -> bool:
    """Say whether the application refuses the session; its look at it is no access by the response."""
    accessed, lent = session.accessed, session._lent
    answer = is_revoked(session, session.signed_at)
    if isawaitable(answer):
        answer = await answer
    session.accessed, session._lent = accessed or session.modified, lent
    return bool(answer)
