"""Every exception and warning that this package raises on purpose."""


class SessionError(Exception):
    """The root of every exception of this package, so that one name catches them all."""


class SettingsError(SessionError, ValueError):
    """A setting that can never work, refused when the settings are made."""


class BadCookie(SessionError):
    """A cookie value that is no session: forged, damaged, too old, too large or not ours.

    A request never sees it, since a bad cookie is an empty session there.
    """


class UnwritableSession(SessionError, ValueError):
    """Session data that no cookie or record can carry, found before the response starts.

    The message names the path of the key, never the value.
    """


class CookieTooLarge(UnwritableSession):
    """A cookie that is too large to be read back, or, where ``on_large_cookie="raise"``, to be kept by a browser.

    ``size`` and ``limit`` are in bytes: of the value, of which 16 KiB are read back, or of the Set-Cookie line,
    which ``max_cookie_size`` limits.
    """

    def __init__(self, message: str, *, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class SessionNotLoaded(SessionError, RuntimeError):
    """A lazy session was read or changed before ``await session.load()``."""


class StoreUnavailable(SessionError):
    """A store did not do what it was asked: down, too slow, full, or against us in some other way.

    What the client library raised is the cause (``__cause__``) where there is one.
    """


class BadRecord(SessionError):
    """What a store holds is no session: damaged, too large, or in nobody's format.

    A request never sees it, since a bad record is an empty session there.
    """


class CSRFError(SessionError):
    """A request whose CSRF token is missing or wrong, or that came from elsewhere.

    ``reason`` says which, for the log or the user, as Flask-WTF's ``CSRFError`` does.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SessionWarning(UserWarning):
    """A setting that works, but likely not as its author hopes."""
