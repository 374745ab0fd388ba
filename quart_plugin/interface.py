"""Flask's session as a ``SessionInterface`` of Quart, in its signed cookie or in a store.

Source: Quart 0.23's ``SecureCookieSessionInterface``, with the rules of asgi_flask_session in place of its own.
"""

import time
from typing import TYPE_CHECKING, Any, Unpack, cast
from weakref import WeakKeyDictionary

from itsdangerous import URLSafeTimedSerializer
from quart import Quart, Response, has_request_context, request, websocket
from quart.sessions import SessionInterface
from quart.wrappers import Websocket
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.http import parse_set_header

from asgi_flask_session.asgi import Store
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.cookies import find_cookie
from asgi_flask_session.errors import StoreUnavailable, UnwritableSession
from asgi_flask_session.logs import logger, warn_once
from asgi_flask_session.policy import CookieAction, needs_vary
from asgi_flask_session.revocation import refuses
from asgi_flask_session.session import Session
from asgi_flask_session.settings import FLASK_NAMES, FieldsButStore, Settings, SettingsFields, sha1
from asgi_flask_session.side import Clock
from asgi_flask_session.tagged_json import TaggedJSONSerializer
from asgi_flask_session.unavailable import UNAVAILABLE_HEADERS, UNAVAILABLE_TEXT

if TYPE_CHECKING:
    from asgi_flask_session.server_side import ServerSide

_COOKIE = ("name", "domain", "path", "httponly", "secure", "samesite", "partitioned")


class FlaskSessionInterface(SessionInterface):
    """Flask's session in Quart: ``app.session_interface = FlaskSessionInterface()``.

    The app's own config is read (SECRET_KEY, SESSION_COOKIE_NAME, ...), unless *settings* are given; *fields* of
    ``Settings`` count before either. With a *store*, or its URL, sessions are kept there. *clock* returns the time
    in seconds since the epoch. Raises SettingsError for settings that cannot work, at once or at the first request.

    The attributes below, and the ``get_cookie_*`` methods, may be changed by a subclass, as in Quart.
    """

    salt = "cookie-session"
    digest_method = staticmethod(sha1)
    key_derivation = "hmac"
    serializer: Any = TaggedJSONSerializer()
    session_class: Any = Session

    def __init__(
        self,
        settings: Settings | None = None,
        store: Store | str | None = None,
        *,
        clock: Clock = time.time,
        **fields: Unpack[FieldsButStore],
    ) -> None:
        self._settings = settings
        self._fields: dict[str, Any] = dict(fields) if store is None else {**fields, "store": store}
        self._clock = clock
        self._sides: WeakKeyDictionary[Quart, tuple[list[Any], Any]] = WeakKeyDictionary()
        if settings is None:
            Settings("in place of the app's secret, until there is an app", **self._fields)
        else:
            self._settings = settings.replace(**self._fields)

    def settings_of(self, app: Quart) -> Settings:
        """Return the settings for *app*; raises SettingsError, also for an app without a SECRET_KEY."""
        if self._settings is not None:
            return self._settings
        signing = {
            name: getattr(self, name)
            for name in ("salt", "digest_method", "key_derivation", "serializer", "session_class")
        }
        cookie = {f"SESSION_COOKIE_{name.upper()}": getattr(self, f"get_cookie_{name}")(app) for name in _COOKIE}
        return Settings.from_mapping({**app.config, **cookie}, **cast("SettingsFields", {**signing, **self._fields}))

    def get_signing_serializer(self, app: Quart) -> URLSafeTimedSerializer | None:
        """Return itsdangerous' serializer for the cookie, as Quart does; None without a secret."""
        if not app.secret_key and self._settings is None:
            return None
        settings = self.settings_of(app)
        return URLSafeTimedSerializer(
            settings.keys,  # type: ignore[arg-type]  # str and bytes may be mixed
            salt=settings.salt,
            serializer=settings.serializer,
            signer_kwargs={"key_derivation": settings.key_derivation, "digest_method": settings.digest_method},
        )

    # A request's beginning

    async def open_session(self, app: Quart, request: Any) -> Any:
        """Return the session of a request or a websocket; None without a secret, for Quart's null session."""
        if not app.secret_key and self._settings is None:
            return None
        side = self._side(app)
        mark = f"asgi_flask_session.{side.settings.cookie_name}"
        if (outside := request.scope.get(mark)) is not None:
            outside._outside = True  # FlaskSessionASGI has opened it, and will write it
            return outside
        session = await self._open(side, request)
        if isinstance(request, Websocket):
            self._write_on_accept(app, session, request)
        return session

    async def _open(self, side: "ClientSide | ServerSide", request: Any) -> Session:
        cookies = "; ".join(request.headers.getlist("Cookie")).encode("latin-1")
        value = find_cookie(cookies, side.settings.cookie_name.encode("ascii"))
        if isinstance(side, ClientSide):
            session = side.open(value, request.scope)
        else:
            try:
                session = await side.open(value, request.scope)
            except StoreUnavailable:
                if side.settings.on_store_error == "raise":
                    raise
                session = side.settings.session_class()
                session._gone = session._down = True
                request.routing_exception = ServiceUnavailable()  # in place of the view
        is_revoked = side.settings.is_revoked
        if is_revoked is not None and not session.new and await refuses(is_revoked, session):
            return side.revoked(session)
        return session

    def _write_on_accept(self, app: Quart, session: Session, request: Websocket) -> None:
        """Have the handshake carry the cookie, however it comes to be accepted."""
        accept = request.accept
        accepted = False

        async def accept_with_session(headers: Any = None, subprotocol: str | None = None) -> None:
            nonlocal accepted
            if not accepted:
                headers = Headers() if headers is None else Headers(headers)
                try:
                    await self._write(app, session, headers)
                except StoreUnavailable as error:
                    if self._side(app).settings.on_store_error == "raise":
                        raise
                    raise ServiceUnavailable from error
                accepted = session._sent = True
            await accept(headers, subprotocol)

        request.accept = accept_with_session  # type: ignore[method-assign]  # of this one connection
        request._flask_session = self, app, session  # type: ignore[attr-defined]  # for when the client goes away
        if _save_what_is_left not in app.teardown_websocket_funcs[None]:
            app.teardown_websocket_funcs[None].append(_save_what_is_left)

    # Its end

    async def save_session(self, app: Quart, session: Any, response: Any) -> None:
        """Write what changed, and the cookie into *response*, which is None behind a websocket."""
        session._said = False  # Quart says of every session that it was accessed, just before it is saved
        if session._outside:
            return  # FlaskSessionASGI writes it
        if response is None or session._sent:
            await self._save_late(app, session)
            return
        if session._down:
            _answer_unavailable(response)
        elif not _is_static_file():
            try:
                await self._write(app, session, response.headers)
            except StoreUnavailable:
                if self._side(app).settings.on_store_error == "raise":
                    raise
                _answer_unavailable(response)

    async def _write(self, app: Quart, session: Session, headers: Headers) -> None:
        """Save the session, and add what the response or the handshake owes to its headers."""
        side = self._side(app)
        is_revoked = side.settings.is_revoked
        if is_revoked is not None and side.only_refreshes(session) and await refuses(is_revoked, session):
            action = CookieAction.KEEP
        else:
            action = side.decide(session) if isinstance(side, ClientSide) else await side.save(session)
        if action is not CookieAction.KEEP:
            headers.add("Set-Cookie", side.write(session, action).decode("latin-1"))
        if needs_vary(side.settings, session.accessed, action):
            vary = parse_set_header(headers.get("Vary"))
            if "*" not in vary:
                vary.add("Cookie")
                headers["Vary"] = vary.to_header()
        session._unsaved = False

    async def _save_late(self, app: Quart, session: Session) -> None:
        """Save what changed behind the headers, where there is a store."""
        side = self._side(app)
        session._sent = True
        if isinstance(side, ClientSide):
            if side.left_behind(session):
                warn_once(
                    "late",
                    "the session was changed where no headers could carry the cookie any more: the change is lost."
                    " Change it before the websocket is accepted, or keep sessions in a store",
                )
            return
        try:
            await side.save(session)
        except (StoreUnavailable, UnwritableSession) as error:
            logger.error("a change made after the headers went out could not be saved: %s", error)

    def _side(self, app: Quart) -> "ClientSide | ServerSide":
        """Return what keeps the sessions of *app*, made anew where its config has changed."""
        config = [app.config.get(name) for name in (*FLASK_NAMES, "APPLICATION_ROOT")]
        known = self._sides.get(app)
        if known is not None and known[0] == config:
            return cast("ClientSide | ServerSide", known[1])
        settings = self.settings_of(app)
        if settings.store is None:
            side: Any = ClientSide(settings, self._clock)
        else:
            from asgi_flask_session.server_side import ServerSide

            side = ServerSide(settings, self._clock)
            self._fields["store"] = side.store  # opened once, for whatever app and config
        self._sides[app] = config, side
        return cast("ClientSide | ServerSide", side)


async def _save_what_is_left(_: BaseException | None) -> None:
    """Save what changed in a websocket that is over: where the client goes away, its handler is cancelled."""
    interface, app, session = getattr(websocket, "_flask_session", (None, None, None))
    if interface is not None and session is not None and session._sent:
        await interface._save_late(app, session)


def _is_static_file() -> bool:
    endpoint = (request.endpoint or "") if has_request_context() else ""
    return endpoint == "static" or endpoint.endswith(".static")


def _answer_unavailable(response: Response) -> None:
    """Turn whatever response the app has made into the 503 that FlaskSessionASGI would have given."""
    response.headers.clear()
    response.status_code = 503
    response.set_data(UNAVAILABLE_TEXT)
    for name, value in UNAVAILABLE_HEADERS:
        response.headers[name.decode("ascii")] = value.decode("ascii")
