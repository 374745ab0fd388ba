"""One event loop in a thread of its own, for callers that have none: the clients of a store live on a loop."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from threading import Lock, Thread
from typing import Any, TypeVar

from .revocation import Unseen
from .session import Session

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines for synchronous callers of any thread, all on one loop of this process.

    The loop starts at the first call, and anew in a forked child, whose parent kept the thread.
    """

    _loop: asyncio.AbstractEventLoop | None

    def __init__(self) -> None:
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what *coroutine* returns, and raise what it raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._started()).result()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=self._loop.run_forever, name="asgi_flask_session", daemon=True).start()
            return self._loop

    def _forget(self) -> None:
        self._lock = Lock()
        self._loop = None


background_loop = BackgroundLoop()


def refuses_now(is_revoked: Callable[..., Any], session: Session) -> bool:
    """Do what ``revocation.refuses`` does for a caller that cannot wait.

    The application is asked in this thread, where its context is; only what has to be awaited goes to the loop.
    """
    with Unseen(session):
        answer = is_revoked(session, session.signed_at)
        if isinstance(answer, Awaitable):
            answer = background_loop.run(_awaited(answer))
    return bool(answer)


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer
