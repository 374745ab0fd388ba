"""Flask's side of a migration: a session interface with the rules, and the stores, of the ASGI side.

It works under WSGI threads and workers, and where Flask is mounted in an ASGI app. Source: Flask 3.1's
``SessionInterface``.
"""

import time
from typing import Any, Unpack
from weakref import WeakKeyDictionary

from ..background import background_loop, refuses_now
from ..client_side import ClientSide
from ..cookies import find_cookie
from ..environ import scope_of
from ..errors import SettingsError, StoreUnavailable
from ..policy import CookieAction, needs_vary
from ..session import Session
from ..settings import FLASK_NAMES, Settings, SettingsFields
from ..side import Clock, Side
from ..sides import AnySide, side_of, unshared
from ..unavailable import answer_in, log_unavailable
from . import missing

try:
    from flask import Flask
    from flask.sessions import SessionInterface
    from flask.wrappers import Request, Response
    from werkzeug.exceptions import ServiceUnavailable
except ImportError as error:
    raise missing(error, "flask") from error


class FlaskSessionInterface(SessionInterface):
    """Flask's session in its signed cookie, or in a ``store``: ``app.session_interface = FlaskSessionInterface(...)``.

    The app's own config is read (SECRET_KEY, SESSION_COOKIE_NAME, ...); *fields* of ``Settings`` count before it.
    With a store, no update is lost between requests and no logout undone, whichever framework the others run in.
    Raises SettingsError for settings that cannot work, at once or at the first request.
    """

    def __init__(self, *, clock: Clock = time.time, **fields: Unpack[SettingsFields]) -> None:
        if fields.get("lazy"):
            raise SettingsError("lazy sessions have to be awaited, which a Flask view cannot: leave lazy out here")
        if meaningless := fields.keys() & {"scope_key", "exclude"}:
            raise SettingsError(f"{', '.join(sorted(meaningless))} is for ASGI apps: leave it out here")
        self._fields = fields
        self._clock = clock
        self._sides: WeakKeyDictionary[Flask, tuple[list[Any], AnySide]] = WeakKeyDictionary()
        Settings("checked before any app is there, with this in place of its secret", **fields)

    def settings_of(self, app: Flask) -> Settings:
        """Return the settings for *app*; raises SettingsError, also for an app without a SECRET_KEY."""
        return Settings.from_mapping(app.config, **self._fields)

    def open_session(self, app: Flask, request: Request) -> Session | None:  # type: ignore[override]  # a mapping with its attributes
        if not app.secret_key:
            return None  # Flask's null session, which says what to do
        side = self._side(app)
        cookies = request.environ.get("HTTP_COOKIE")
        name = side.settings.cookie_name.encode("ascii")
        value = find_cookie(cookies.encode("latin-1"), name) if cookies else None
        scope = scope_of(request.environ) if side.settings.migrate_from or side.settings.protection else {}
        if isinstance(side, ClientSide):
            session = side.open(value, scope)
        else:
            try:
                session = background_loop.run(side.open(value, scope))
            except StoreUnavailable as error:
                if side.settings.on_store_error == "raise":
                    raise
                log_unavailable(error)
                session = side.settings.session_class()
                session._gone = session._down = True
                request.routing_exception = ServiceUnavailable()  # in place of the view
        if session.new or not self._is_refused(side, session):
            return session
        return side.revoked(session)

    def save_session(self, app: Flask, session: Session, response: Response) -> None:  # type: ignore[override]  # as above
        side = self._side(app)
        if session._down:
            _answer_unavailable(response)
            return
        try:
            action, line = self._save(side, session)
        except StoreUnavailable as error:
            if side.settings.on_store_error == "raise":
                raise
            log_unavailable(error)
            _answer_unavailable(response)
            return
        if line is not None:
            response.headers.add("Set-Cookie", line.decode("latin-1"))
        if needs_vary(side.settings, session.accessed, action):
            response.vary.add("Cookie")

    def _side(self, app: Flask) -> AnySide:
        """Return what keeps the sessions of *app*, made anew where its config has changed."""
        config = [app.config.get(name) for name in (*FLASK_NAMES, "APPLICATION_ROOT")]
        known = self._sides.get(app)
        if known is not None and known[0] == config:
            return known[1]
        side = side_of(self.settings_of(app), self._clock)
        if not isinstance(side, ClientSide):
            self._fields["store"] = side.store  # opened once, for whatever app and config
        self._sides[app] = unshared(config), side
        return side

    def _is_refused(self, side: Side, session: Session) -> bool:
        is_revoked = side.settings.is_revoked
        return is_revoked is not None and refuses_now(is_revoked, session)

    def _save(self, side: AnySide, session: Session) -> tuple[CookieAction, bytes | None]:
        """Write what changed, and return what that does to the cookie; raises StoreUnavailable."""
        if side.only_refreshes(session) and self._is_refused(side, session):
            action = CookieAction.KEEP
        elif isinstance(side, ClientSide):
            action = side.decide(session)
        else:
            action = background_loop.run(side.save(session))
        return action, None if action is CookieAction.KEEP else side.write(session, action)

    def revoke_user(self, app: Flask, user_id: str, keep: str | None = None) -> int:
        """End all sessions of Flask-Login's user but that of id *keep*, and return how many there were.

        Raises SettingsError where there is no store, NotImplementedError for one that cannot look through its
        records, and StoreUnavailable.
        """
        side = self._side(app)
        if isinstance(side, ClientSide):
            raise SettingsError("a session in a cookie is nowhere to be looked up: set a store, or is_revoked")
        revoke: Any = getattr(side.store, "revoke_user", None)
        if revoke is None:
            raise NotImplementedError(f"{type(side.store).__name__} cannot list the sessions of a user")
        return int(background_loop.run(revoke(user_id, keep)))

    def regenerate(self, session: Session) -> None:
        """Give the session a new id when the response goes out, as Flask-Session's method of this name."""
        session.regenerate()


def _answer_unavailable(response: Response) -> None:
    """Let go of whatever the response would have sent, and make it the 503 that an ASGI app would have given."""
    if callable(close := getattr(response.response, "close", None)):
        close()
    response.direct_passthrough = False
    answer_in(response)
