"""The package's logger: quiet by default, and never a cookie, an id, a secret or a value in it."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

_warned: set[str] = set()


@cache
def logger() -> "Logger":
    """Return the logger; the first call loads logging, which takes as long as all of this package."""
    import logging

    return logging.getLogger("asgi_flask_session")


def warn_once(cause: str, message: str, *args: object) -> None:
    """Log *message* at WARNING, the first time in this process that *cause* occurs."""
    if cause not in _warned:
        _warned.add(cause)
        logger().warning(message, *args, stacklevel=2)


def has_warned(cause: str) -> bool:
    """Say whether *cause* was warned of before, so that looking for it can be spared."""
    return cause in _warned


def forget() -> None:
    """Let every cause be warned of anew: for tests."""
    _warned.clear()
