"""The package's logger: quiet by default, and never a cookie, an id, a secret or a value in it."""

import logging

logger = logging.getLogger("asgi_flask_session")

_warned: set[str] = set()


def warn_once(cause: str, message: str, *args: object) -> None:
    """Log *message* at WARNING, the first time in this process that *cause* occurs."""
    if cause not in _warned:
        _warned.add(cause)
        logger.warning(message, *args)


def has_warned(cause: str) -> bool:
    """Say whether *cause* was warned of before, so that looking for it can be spared."""
    return cause in _warned


def forget() -> None:
    """Let every cause be warned of anew: for tests."""
    _warned.clear()
