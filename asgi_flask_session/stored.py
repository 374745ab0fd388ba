"""One connection whose session is in a store: scope in, messages out, with every wait for the store in between."""

from typing import Any

from .asgi import CARRIES_HEADERS, ASGIApp, Header, Message, Receive, Scope, Send
from .cookies import add_vary
from .errors import StoreUnavailable, UnwritableSession
from .logs import logger
from .policy import CookieAction, needs_vary
from .revocation import refuses
from .scopes import MISSING, current_session, leave
from .server_side import ServerSide
from .session import Session
from .unavailable import answer_unavailable


class StoredConnection:
    """Serves one connection of *app*, with the session of *server* in the scope."""

    session: Session

    def __init__(self, server: ServerSide, mark: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.server = server
        self.settings = server.settings
        self._key, self._mark = server.settings.scope_key, mark
        self._scope, self._receive, self._send = scope, receive, send
        self._outside = scope.get(self._key, MISSING)
        self._started = self._written = self._refused = False

    async def serve(self, app: ASGIApp, value: bytes | None) -> None:
        """Run the app with the session that cookie *value* leads to."""
        try:
            self.session = await self._open(value)
        except StoreUnavailable:
            if self.settings.on_store_error == "raise":
                raise
            if self._scope["type"] == "websocket":
                await self._receive()  # the handshake has to be heard before it is answered
            await answer_unavailable(self._scope, self._send)
            return
        scope, key = self._scope, self._key
        scope[key] = scope[self._mark] = self.session
        try:
            # A coroutine function, since asgiref asks whether it is one.
            async def send(message: Message) -> None:
                await self._send_with_session(message)

            await app(scope, self._receive, send)
        finally:
            self._look()
            leave(scope, key, self._mark, self._outside)
            if self._written or (scope["type"] == "websocket" and not self._refused):
                await self._save_late()

    async def _open(self, value: bytes | None) -> Session:
        session = await self.server.open(value, self._scope)
        is_revoked = self.settings.is_revoked
        if is_revoked is not None and not session.new and await refuses(is_revoked, session):
            return self.server.revoked(session)
        return session

    def _look(self) -> Any:
        """See which session the app has left in the scope, and return what lies there."""
        found = self._scope.get(self._key, MISSING)
        self.session = current_session(self.server, self.session, found)
        if type(found) is dict and found is not self._outside:
            found = self._scope[self._key] = self.session  # so that what changes there from now on is noticed
        return found

    async def _send_with_session(self, message: Message) -> None:
        if self._started or message["type"] not in CARRIES_HEADERS:
            if not self._refused:
                await self._send(message)
            return
        self._started = True
        inside = self._look()
        try:
            message = await self._finish(message)
        except StoreUnavailable:
            if self.settings.on_store_error == "raise":
                raise
            self._refused = True
            await answer_unavailable(self._scope, self._send)
            return
        self._written = self.session._sent = True
        if self._outside is MISSING:
            await self._send(message)
            return
        # A middleware outside of us, with a session of its own under this key, looks for that now.
        self._scope[self._key] = self._outside
        await self._send(message)
        if inside is not MISSING:
            self._scope[self._key] = inside

    async def _finish(self, message: Message) -> Message:
        """Save the session, and return the message with the headers that it owes."""
        session, server = self.session, self.server
        headers: list[Header] = list(message.get("headers") or ())
        theirs = server.set_cookie.among(headers)
        if theirs and not await server.follow(session, theirs[-1][1]):
            action = CookieAction.KEEP  # their cookie is the one
        elif server.is_due(session) and await self._forbids_refresh():
            action = CookieAction.KEEP
        else:
            action = await server.save(session)
        if not needs_vary(self.settings, session.accessed, action):
            return message
        if action is not CookieAction.KEEP:
            headers = [header for header in headers if header not in theirs]
            headers.append((b"set-cookie", server.write(session, action)))
        add_vary(headers)
        return {**message, "headers": headers}

    async def _forbids_refresh(self) -> bool:
        """Ask once more before a mere refresh: the user of a slow request may have logged out everywhere meanwhile."""
        is_revoked = self.settings.is_revoked
        return (
            is_revoked is not None and not self.server.changed(self.session) and await refuses(is_revoked, self.session)
        )

    async def _save_late(self) -> None:
        """Save what changed where no headers can tell of it."""
        self.session._sent = True
        try:
            await self.server.save(self.session)
        except (StoreUnavailable, UnwritableSession) as error:
            logger.error("a change made after the headers went out could not be saved: %s", error)
