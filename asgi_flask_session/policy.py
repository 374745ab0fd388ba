"""What the end of a request does to the session's cookie: Flask's rules, and the few that are ours."""

from enum import Enum
from math import floor, inf

from .settings import Settings


class CookieAction(Enum):
    """What becomes of the cookie in the browser."""

    KEEP = "keep"
    SET = "set"
    DELETE = "delete"


def action_of_change(*, empty: bool, carried: bool) -> CookieAction:
    """Say what a change of the session does to the cookie, as Flask would.

    *carried* says that the request had the cookie. Flask also deletes one that never came; we do not.
    """
    if not empty:
        return CookieAction.SET
    return CookieAction.DELETE if carried else CookieAction.KEEP


def refresh_over(settings: Settings) -> float:
    """Return the age of a cookie, in seconds, over which an unchanged permanent session is sent again to live on.

    Flask does so with each response, or never; with ``refresh_after`` we do once the cookie is older.
    """
    if settings.refresh_after is None:
        return -inf if settings.refresh_each_request else inf
    return settings.refresh_after.total_seconds()


def accepted_ages(settings: Settings) -> range:
    """Return the ages, in whole seconds, of the cookies that are sessions: no longer, and not before."""
    return range(-floor(settings.clock_skew.total_seconds()), int(settings.permanent_lifetime.total_seconds()) + 1)


def needs_vary(settings: Settings, accessed: bool, action: CookieAction) -> bool:
    """Say whether the response differs by cookie, for caches (RFC 9110, 12.5.5)."""
    return accessed or action is not CookieAction.KEEP or settings.vary == "always"
