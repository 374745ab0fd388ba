"""``FlaskSessionASGI``: scope in, messages out, nothing else."""

import time
from collections.abc import Callable
from typing import Any, Unpack

from .asgi import CARRIES_HEADERS, ASGIApp, Header, Message, Receive, Scope, Send, Store
from .client_side import ClientSide
from .cookies import add_vary, cookie_header, find_cookie, is_deletion, set_cookie_value
from .errors import SettingsError
from .logs import has_warned, logger, warn_once
from .policy import CookieAction, needs_vary
from .revocation import refuses
from .scopes import MISSING, current_session, leave, put
from .session import Session
from .settings import Settings, SettingsFields
from .side import Clock
from .sides import side_of

# The messages after which an app is no more.
_SHUT_DOWN = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"})

_ASIDE: Any = object()


class FlaskSessionASGI:
    """Puts Flask's session into ``scope["session"]`` of an ASGI app, and its changes into the response.

    *app* is any ASGI 3 application, *secret* Flask's SECRET_KEY; the fields of ``Settings`` are keywords,
    and count before those of *settings* where both are given. *clock* returns the time in seconds since the
    epoch. Raises SettingsError for settings that cannot work. Source: Flask 3.1's
    ``SecureCookieSessionInterface`` and the ASGI specification 3.0.

    ``store`` is the store of server-side sessions, or None. One that was made from a URL is closed after the
    lifespan's shutdown.
    """

    def __init__(
        self,
        app: ASGIApp,
        secret: Any = None,
        *,
        settings: Settings | None = None,
        clock: Clock = time.time,
        **fields: Unpack[SettingsFields],
    ) -> None:
        if settings is None:
            settings = Settings(secret, **fields)
        elif not isinstance(settings, Settings):
            raise SettingsError(f"settings is a {type(settings).__name__}: write Settings.from_mapping(config)")
        elif fields or secret is not None:
            settings = settings.replace(secret, **fields)
        if not callable(app):
            raise SettingsError(f"app is a {type(app).__name__}: write FlaskSessionASGI(app, secret)")
        self.app = app
        self.settings = settings
        self._client = ClientSide(settings, clock)
        self._server: Any = None
        if settings.store is not None:
            self._server = side_of(settings, clock)
            from .stored import StoredConnection

            self._stored = StoredConnection
        self.store: Store | None = None if self._server is None else self._server.store
        self._cookie_name = settings.cookie_name.encode("ascii")
        self._scope_key = settings.scope_key
        self._is_revoked: Any = settings.is_revoked
        self._migrates = bool(settings.migrate_from)
        self._always_varies = needs_vary(settings, accessed=False, action=CookieAction.KEEP)
        self._session_class = settings.session_class
        self._has_told = False
        self._is_excluded = _excluder(settings.exclude)
        # Under this key the scope says that our cookie has its writer already.
        self._mark = f"asgi_flask_session.{settings.cookie_name}"

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one connection; whatever the app or *send* raises comes out as it is."""
        value = self._cookie_value(scope) if scope["type"] in ("http", "websocket") else _ASIDE
        if value is _ASIDE:
            await self.app(scope, receive, self._closing_store(send))
            return
        if self._server is not None:
            await self._stored(self._server, self._mark, scope, receive, send).serve(self.app, value)
            return
        session = self._client.open(value, scope) if value is not None or self._migrates else self._session_class()
        if self._is_revoked is not None and not session.new and await refuses(self._is_revoked, session):
            session = self._client.revoked(session)

        key = self._scope_key
        outside = scope.get(key, MISSING)
        started = written = False
        inside: Any = session

        async def send_with_session(message: Message) -> None:
            nonlocal session, inside, started, written
            if started or message["type"] not in CARRIES_HEADERS:
                await send(message)
                return
            started = True
            inside = scope.get(key, MISSING)
            if inside is not session:
                session, inside = self._replaced(scope, session, inside)
            if not self._client.is_settled(session):
                action = self._client.decide(session)
                if self._is_revoked is not None:
                    action = await self._unless_revoked(action, session)
                message = self._finish(session, message, action)
            elif session._seen or session._said or self._always_varies:  # one with lines of others was looked at
                message = self._finish(session, message, CookieAction.KEEP)
            written = True
            if outside is MISSING:
                await send(message)
                return
            # A middleware outside of us, with a session of its own under this key, looks for that now.
            scope[key] = outside
            await send(message)
            put(scope, key, inside)

        scope[key] = scope[self._mark] = session
        try:
            await self.app(scope, receive, send_with_session)
        finally:
            found = scope.get(key, inside)
            leave(scope, key, self._mark, outside)
            if written and (found is not inside or session._unsaved or session._lent):
                self._warn_if_late(session, scope, replaced=found is not inside)
        if not started:
            self._warn_if_late(session, scope, replaced=False)  # a handshake that was refused without a response

    def _replaced(self, scope: Scope, session: Session, found: Any) -> tuple[Session, Any]:
        """Return the session to write where the scope no longer holds ours but *found*, and what it holds then."""
        session = current_session(self._client, session, found)
        if type(found) is dict:
            found = scope[self._scope_key] = session  # so that what changes there from now on is noticed
        return session, found

    async def _unless_revoked(self, action: CookieAction, session: Session) -> CookieAction:
        """Keep a refresh back, maybe of a slow request, where the user has logged out everywhere meanwhile."""
        if action is not CookieAction.SET or self._client.changed(session):
            return action
        return CookieAction.KEEP if await refuses(self._is_revoked, session) else action

    def _closing_store(self, send: Send) -> Send:
        """Return the *send* of a lifespan that closes a store, if it is of our own, when the app has shut down."""
        store = self.store
        if store is None or store is self.settings.store:
            return send

        async def send_and_close(message: Message) -> None:
            if message["type"] in _SHUT_DOWN:
                await store.aclose()
            await send(message)

        return send_and_close

    def _warn_if_late(self, session: Session, scope: Scope, *, replaced: bool) -> None:
        if not has_warned("late") and (replaced or self._client.left_behind(session)):
            warn_once(
                "late",
                "the session was changed where no headers could carry the cookie any more (%s %r): the change is lost."
                " Change it before the response, the stream or websocket.accept starts",
                scope.get("method", "websocket"),
                scope.get("path"),
            )

    def _cookie_value(self, scope: Scope) -> Any:
        """Return the value of our cookie, None if none came, or _ASIDE where the middleware steps aside."""
        headers = scope.get("headers", ())
        if type(headers) is not list and not isinstance(headers, tuple):
            headers = scope["headers"] = list(headers)  # an iterator can be read but once
        cookies = None
        for name, field in headers:  # without a list, since most requests have one such field at most
            if name == b"cookie":
                if cookies is not None:
                    cookies, scope["headers"] = cookie_header(headers)
                    break
                cookies = field
        if self._mark in scope:
            # Wrapped twice with one cookie: the outer one writes it, and its session is ours as well.
            scope.setdefault(self._scope_key, scope[self._mark])
            return _ASIDE
        if self._is_excluded is not None and self._is_excluded(scope):
            return _ASIDE
        if cookies is None:
            return None
        value = find_cookie(cookies, self._cookie_name)
        if value is None and not self._has_told:
            self._has_told = True
            logger().debug("cookies came, and none is called %r", self.settings.cookie_name)
        return value

    def _finish(self, session: Session, message: Message, action: CookieAction) -> Message:
        """Return the message with the headers that the session owes; raises UnwritableSession."""
        session._unsaved = False  # what changes from here on comes too late
        if not (session._seen or needs_vary(self.settings, session.accessed, action)):
            return message
        headers: list[Header] = list(message.get("headers") or ())
        if session._lines:
            headers += [(b"set-cookie", line) for line in session._lines]
        names = [name.lower() for name, _ in headers]
        if action is not CookieAction.KEEP:
            theirs = self._client.set_cookie.among(headers) if b"set-cookie" in names else None
            if theirs:
                self._join(headers, theirs, session)
            else:
                headers.append((b"set-cookie", self._client.write(session, action)))
        if b"vary" in names:
            add_vary(headers)
        else:
            headers.append((b"vary", b"Cookie"))
        return {**message, "headers": headers}

    def _join(self, headers: list[Header], theirs: list[Header], session: Session) -> None:
        """Make one Set-Cookie of ours and of *theirs*, which an app inside set for the same cookie."""
        if not self._client.changed(session):
            return  # a refresh of ours is one of theirs too
        last = theirs[-1][1]  # the one that browsers keep
        value = set_cookie_value(last)
        line = self._client.merge(session, value, deleted=not value or is_deletion(last, self._client.clock()))
        if line is None:
            logger().warning(
                "the app inside sets a cookie %r that is not signed with our keys, and the session changed too: the"
                " change is dropped. Give both the same secret and salt, or one of them another cookie name",
                self.settings.cookie_name,
            )
            return
        headers[:] = [header for header in headers if header not in theirs]
        headers.append((b"set-cookie", line))


def _excluder(exclude: tuple[str, ...] | Callable[[Scope], bool] | None) -> Callable[[Scope], bool] | None:
    """Return the function that says of a scope whether the middleware steps aside; None for never."""
    if not isinstance(exclude, tuple):
        return exclude
    segments = tuple(f"{prefix.rstrip('/')}/" for prefix in exclude)

    def is_excluded(scope: Scope) -> bool:
        path: str = scope["path"]
        root: str = (scope.get("root_path") or "").rstrip("/")
        # Some servers leave root_path within path, as the specification says; others take it off.
        if root and (path == root or path.startswith(f"{root}/")):
            path = path[len(root) :]
        return f"{path}/".startswith(segments)

    return is_excluded
