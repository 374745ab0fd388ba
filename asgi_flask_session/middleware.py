"""``FlaskSessionASGI``: scope in, messages out, nothing else."""

import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Unpack

from .asgi import ASGIApp, Header, Message, Receive, Scope, Send, Store
from .client_side import ClientSide
from .cookies import add_vary, cookie_header, find_cookie, is_deletion, set_cookie_value
from .errors import SettingsError, StoreUnavailable, UnwritableSession
from .logs import has_warned, logger, warn_once
from .models import fields_of
from .policy import CookieAction, needs_vary
from .revocation import refuses
from .session import Session
from .settings import Settings, SettingsFields
from .side import Clock, Side
from .unavailable import answer_unavailable

if TYPE_CHECKING:
    from .server_side import ServerSide

# The messages that carry the headers of a response or of a handshake.
_CARRIES_HEADERS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
# The messages after which an app is no more.
_SHUT_DOWN = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed", "lifespan.startup.failed"})

_MISSING: Any = object()
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
        self.store: Store | None = None
        self._client = ClientSide(settings, clock)
        self._server: ServerSide | None = None
        self._side: Side = self._client
        if settings.store is not None:
            self._side = self._server = server_side(settings, clock)
            self.store = self._server.store
        self._cookie_name = settings.cookie_name.encode("ascii")
        self._scope_key = settings.scope_key
        self._is_revoked = settings.is_revoked
        self._is_excluded = _excluder(settings.exclude)
        # Under this key the scope says that our cookie has its writer already.
        self._mark = f"asgi_flask_session.{settings.cookie_name}"

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one connection; whatever the app or *send* raises comes out as it is."""
        value = self._cookie_value(scope) if scope["type"] in ("http", "websocket") else _ASIDE
        if value is _ASIDE:
            await self.app(scope, receive, send if self._server is None else self._closing_store(send))
            return
        if self._server is None:
            opened: Session | None = self._client.open(value, scope)
        else:
            opened = await self._open_stored(self._server, value, scope, receive, send)
        if opened is None:
            return
        session = opened
        if self._is_revoked is not None and not session.new and await refuses(self._is_revoked, session):
            session = self._side.revoked(session)

        key = self._scope_key
        outside = scope.get(key, _MISSING)
        started = written = refused = False
        inside: Any = session

        async def send_with_session(message: Message) -> None:
            nonlocal session, inside, started, written, refused
            if started or message["type"] not in _CARRIES_HEADERS:
                if not refused:
                    await send(message)
                return
            started = True
            inside = scope.get(key, _MISSING)
            if inside is not session:
                session = self._current(session, inside)
                if type(inside) is dict:
                    inside = scope[key] = session  # so that what changes there from now on is noticed
            if self._server is None:
                action = self._client.decide(session)
                if action is CookieAction.SET and self._is_revoked and await self._forbids_refresh(session):
                    action = CookieAction.KEEP
                message = self._finish(session, message, action)
            else:
                try:
                    message = await self._finish_stored(self._server, session, message)
                except StoreUnavailable:
                    if self.settings.on_store_error == "raise":
                        raise
                    refused = True
                    await answer_unavailable(scope, send)
                    return
            written = True
            if outside is _MISSING:
                await send(message)
                return
            # A middleware outside of us, with a session of its own under this key, looks for that now.
            scope[key] = outside
            await send(message)
            if inside is not _MISSING:
                scope[key] = inside

        scope[key] = scope[self._mark] = session
        try:
            await self.app(scope, receive, send_with_session)
        finally:
            found = scope.get(key, inside)
            self._leave(scope, outside)
            if self._server is not None:
                if written:
                    await self._save_late(self._server, session if found is inside else self._current(session, found))
            elif written and (found is not inside or session._unsaved or session._lent):
                self._warn_if_late(session, scope, replaced=found is not inside)
        if not started and session._unsaved:  # a handshake that was refused without a response
            if self._server is not None:
                await self._save_late(self._server, session)
            else:
                self._warn_if_late(session, scope, replaced=False)

    def _leave(self, scope: Scope, outside: Any) -> None:
        scope.pop(self._mark, None)
        if outside is not _MISSING:
            scope[self._scope_key] = outside

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
        cookies, joined_headers = cookie_header(headers)
        if joined_headers is not None:
            scope["headers"] = joined_headers
        if self._mark in scope:
            # Wrapped twice with one cookie: the outer one writes it, and its session is ours as well.
            scope.setdefault(self._scope_key, scope[self._mark])
            return _ASIDE
        if self._is_excluded is not None and self._is_excluded(scope):
            return _ASIDE
        return None if cookies is None else find_cookie(cookies, self._cookie_name)

    async def _forbids_refresh(self, session: Session) -> bool:
        """Say whether the application, asked again, refuses a session that is only to be sent again.

        It may be the refresh of a slow request, whose user has logged out everywhere meanwhile.
        """
        is_revoked = self._is_revoked
        return is_revoked is not None and not self._side.changed(session) and await refuses(is_revoked, session)

    def _current(self, session: Session, found: Any) -> Session:
        """Return the session to write where the scope no longer holds ours, but *found*."""
        if found is _MISSING:  # a deleted key is no opinion
            return session
        if found is None or _is_litestar_empty(found):
            return self._side.replaced(session, {})
        if isinstance(found, Mapping):
            # Marks of its own make it another middleware's, which writes it by itself.
            if isinstance(found, Session) or not (hasattr(found, "modified") or hasattr(found, "accessed")):
                return self._side.replaced(session, found)
        elif (fields := fields_of(found)) is not None:
            return self._side.replaced(session, fields)
        warn_once(
            "foreign",
            "scope[%r] was replaced by a %s, which is no mapping or belongs to another session middleware: it is"
            " left alone. Give one of the two another scope_key",
            self._scope_key,
            type(found).__name__,
        )
        return session

    def _finish(self, session: Session, message: Message, action: CookieAction) -> Message:
        """Return the message with the headers that the session owes; raises UnwritableSession."""
        session._unsaved = False  # what changes from here on comes too late
        vary = needs_vary(self.settings, session.accessed, action)
        if not vary and action is CookieAction.KEEP:
            return message
        headers: list[Header] = list(message.get("headers") or ())
        if action is not CookieAction.KEEP:
            self._put_cookie(headers, session, action)
        if vary:
            add_vary(headers)
        return {**message, "headers": headers}

    def _put_cookie(self, headers: list[Header], session: Session, action: CookieAction) -> None:
        """Add our Set-Cookie, or make one of it and what an app inside set for the same cookie."""
        theirs = self._client.set_cookie.among(headers)
        if not theirs:
            headers.append((b"set-cookie", self._client.write(session, action)))
            return
        if not self._client.changed(session):
            return  # a refresh of ours is one of theirs too
        last = theirs[-1][1]  # the one that browsers keep
        value = set_cookie_value(last)
        line = self._client.merge(session, value, deleted=not value or is_deletion(last, self._client.clock()))
        if line is None:
            logger.warning(
                "the app inside sets a cookie %r that is not signed with our keys, and the session changed too: the"
                " change is dropped. Give both the same secret and salt, or one of them another cookie name",
                self.settings.cookie_name,
            )
            return
        headers[:] = [header for header in headers if header not in theirs]
        headers.append((b"set-cookie", line))

    # With a store

    async def _open_stored(
        self, server: "ServerSide", value: bytes | None, scope: Scope, receive: Receive, send: Send
    ) -> Session | None:
        """Return the session of a connection; None where the store is down, and that was the answer."""
        try:
            return await server.open(value, scope)
        except StoreUnavailable:
            if self.settings.on_store_error == "raise":
                raise
        if scope["type"] == "websocket":
            await receive()  # the handshake, which has to be heard before it is answered
        await answer_unavailable(scope, send)
        return None

    async def _finish_stored(self, server: "ServerSide", session: Session, message: Message) -> Message:
        """Save the session and return the message with the headers that it owes; raises StoreUnavailable."""
        headers: list[Header] = list(message.get("headers") or ())
        theirs = server.set_cookie.among(headers)
        if theirs and not await server.follow(session, theirs[-1][1]):
            action = CookieAction.KEEP  # their cookie is the one
        elif server.is_due(session) and await self._forbids_refresh(session):
            action = CookieAction.KEEP
        else:
            action = await server.save(session)
        session._sent = True
        if not needs_vary(self.settings, session.accessed, action):
            return message
        if action is not CookieAction.KEEP:
            headers = [header for header in headers if header not in theirs]
            headers.append((b"set-cookie", server.write(session, action)))
        add_vary(headers)
        return {**message, "headers": headers}

    async def _save_late(self, server: "ServerSide", session: Session) -> None:
        """Save what changed after the headers went out."""
        session._sent = True
        try:
            await server.save(session)
        except (StoreUnavailable, UnwritableSession) as error:
            logger.error("a change made after the headers went out is lost: %s", error)

    def _closing_store(self, send: Send) -> Send:
        """Return the *send* of a lifespan that closes a store of our own when the app has shut down."""
        store = self.store

        async def send_and_close(message: Message) -> None:
            if store is not None and message["type"] in _SHUT_DOWN:
                await store.aclose()
            await send(message)

        return send if store is self.settings.store else send_and_close


def server_side(settings: Settings, clock: Clock) -> "ServerSide":
    """Return the server side for settings with a store, which a URL names; raises SettingsError."""
    try:
        from .server_side import ServerSide
        from .stores.base import open_store
    except ImportError as error:
        raise SettingsError(f"a store needs {error.name}: pip install asgi-flask-session[memory]") from error
    store = settings.store
    if isinstance(store, str):
        store = open_store(store, timeout=settings.store_timeout)
    return ServerSide(settings, store, clock)  # type: ignore[arg-type]  # it is not None where this is called


def _is_litestar_empty(value: object) -> bool:
    return isinstance(value, Enum) and type(value).__module__ == "litestar.types.empty"


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
