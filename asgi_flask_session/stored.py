"""One connection whose session is in a store: scope in, messages out, with every wait for the store in between."""

from typing import Any

from .asgi import CARRIES_HEADERS, ASGIApp, Header, Message, Receive, Scope, Send
from .cookies import add_vary
from .errors import StoreUnavailable, UnwritableSession
from .logs import logger
from .policy import CookieAction, needs_vary
from .revocation import refuses
from .scopes import MISSING, current_session, leave, put
from .server_side import ServerSide
from .session import Session
from .unavailable import answer_unavailable, log_unavailable


class StoredConnection:
    """Serves one connection of *app*, with the session of *server* in the scope."""

    session: Session
    _started = _refused = _failed = _settled = False

    def __init__(self, server: ServerSide, mark: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.server = server
        self.settings = settings = server.settings
        self._key, self._mark = settings.scope_key, mark
        self._scope, self._receive, self._send = scope, receive, send
        self._outside = scope.get(self._key, MISSING)

    async def serve(self, app: ASGIApp, value: bytes | None) -> None:
        """Run the app with the session that cookie *value* leads to."""
        scope, key = self._scope, self._key
        try:
            session = await self.server.open(value, scope)
            is_revoked = self.settings.is_revoked
            if is_revoked is not None and not session.new and await refuses(is_revoked, session):
                session = self.server.revoked(session)
        except StoreUnavailable as error:
            if self.settings.on_store_error == "raise":
                raise
            if scope["type"] == "websocket":
                await self._receive()  # the handshake has to be heard before it is answered
            await self._refuse(error)
            return
        scope[key] = scope[self._mark] = self.session = self._found = session

        # A coroutine function, since asgiref asks whether it is one.
        async def send(message: Message) -> None:
            if self._started or message["type"] not in CARRIES_HEADERS:
                if not self._refused:
                    await self._send(message)
            else:
                await self._start(message)

        try:
            await app(scope, self._receive, send)
        except StoreUnavailable as error:  # out of session.load() or session.save()
            if self.settings.on_store_error == "raise" or self._started:
                raise
            await self._refuse(error)
        finally:
            try:
                if self._may_be_late():
                    await self._save_late()
            finally:
                leave(scope, key, self._mark, self._outside)

    async def _start(self, message: Message) -> None:
        """Save the session, and send the message that carries the headers."""
        self._started = True
        scope, key = self._scope, self._key
        try:
            inside = scope.get(key, MISSING)
            if inside is not self._found:
                inside = await self._replaced(inside)
            headers: list[Header] = list(message.get("headers") or ())
            theirs = self.server.set_cookie.among(headers)
            action = CookieAction.KEEP
            if theirs or not self.server.is_settled(self.session):
                action = await self._save(theirs)
            message = self._finish(message, headers, theirs, action)
        except StoreUnavailable as error:
            if self.settings.on_store_error == "raise":
                self._failed = True
                raise
            await self._refuse(error)
            return
        except Exception:
            self._failed = True
            raise
        self._settled = self.session._sent = True
        if self._outside is not MISSING:
            # A middleware outside of us, with a session of its own under this key, looks for that now.
            scope[key] = self._outside
        await self._send(message)
        put(scope, key, inside)

    async def _replaced(self, found: Any) -> Any:
        """Take what lies in the scope for the session, and return what is to lie there from now on."""
        if found is MISSING or found is self._outside:  # what lies outside is no opinion of the app's
            return MISSING
        await self.server.load(self.session)  # a lazy one: only what is known can be replaced
        self.session = current_session(self.server, self.session, found)
        # What changes in a plain dict is noticed only if it is a session; any other thing is taken as it was now.
        self._found = self.session if type(found) is dict else found
        return self._found

    async def _refuse(self, error: StoreUnavailable) -> None:
        """Answer in the app's place; what it sends from now on goes nowhere."""
        self._started = self._refused = True
        log_unavailable(error)
        await answer_unavailable(self._scope, self._send)

    async def _save(self, theirs: list[Header]) -> CookieAction:
        """Save the session, beside what an app inside has set for its cookie by the headers *theirs*."""
        session, server = self.session, self.server
        if theirs and not await server.follow(session, theirs[-1][1]):
            return CookieAction.KEEP  # their cookie is the one
        is_revoked = self.settings.is_revoked
        if is_revoked is not None and server.only_refreshes(session) and await refuses(is_revoked, session):
            return CookieAction.KEEP
        return await server.save(session)

    def _finish(self, message: Message, headers: list[Header], theirs: list[Header], action: CookieAction) -> Message:
        """Return the message with the headers that the session owes."""
        session = self.session
        if not needs_vary(self.settings, session.accessed, action):  # a session with lines of others was looked at
            return message
        headers += [(b"set-cookie", line) for line in session._lines]
        if action is not CookieAction.KEEP:
            headers = [header for header in headers if header not in theirs]
            headers.append((b"set-cookie", self.server.write(session, action)))
        add_vary(headers)
        return {**message, "headers": headers}

    def _may_be_late(self) -> bool:
        """Say whether something may have changed where no headers can tell of it."""
        if self._settled:
            session = self.session
            return session._unsaved or session._lent or self._scope.get(self._key, MISSING) is not self._found
        return (self._started or self._scope["type"] == "websocket") and not (self._refused or self._failed)

    async def _save_late(self) -> None:
        """Save what changed where no headers can tell of it."""
        try:
            found = self._scope.get(self._key, MISSING)
            if found is not self._found:
                await self._replaced(found)
            if self._started and not self._settled and self.server.asks_for_new_id(self.session):
                await self.server.log_out(self.session)
                return  # a login that was cut off is none: no id of before may have it
            self.session._sent = True
            if self.session._unsaved or self.session._lent:
                await self.server.save(self.session)
        except (StoreUnavailable, UnwritableSession) as error:
            logger().error("a change made after the headers went out could not be saved: %s", error)
