"""Flask's session as a ``SessionInterface`` of Quart, in its signed cookie or in a store.

Source: Quart 0.23's ``SecureCookieSessionInterface``, with the rules of asgi_flask_session in place of its own.
"""

import time
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Self, Unpack, cast
from weakref import WeakKeyDictionary

from itsdangerous import URLSafeTimedSerializer
from quart import Quart, Response, current_app, has_request_context, request, websocket
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
from asgi_flask_session.session import Session, plain
from asgi_flask_session.settings import FLASK_NAMES, FieldsButStore, Settings, SettingsFields, sha1
from asgi_flask_session.side import Clock
from asgi_flask_session.tagged_json import TaggedJSONSerializer
from asgi_flask_session.unavailable import UNAVAILABLE_HEADERS, UNAVAILABLE_TEXT, log_unavailable

from .config import fields_from, store_from
from .null import NullStore

if TYPE_CHECKING:
    from asgi_flask_session.server_side import ServerSide

_OURS = "quart_plugin.session"  # in the scope: the session behind one of another class
_SIGNING = ("salt", "digest_method", "key_derivation", "serializer")
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
    #: Session, a subclass of it, or any mapping with ``permanent``, and ``modified`` and ``new`` where it has them.
    session_class: Any = Session

    # What Quart-Session does otherwise.
    _sends_with_files = False
    _ends_foreign = False
    _id_salt = "flask-session"

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
        signing = {name: getattr(self, name) for name in _SIGNING}
        if self._is_ours(self.session_class):
            signing["session_class"] = self.session_class
        cookie = {f"SESSION_COOKIE_{name.upper()}": getattr(self, f"get_cookie_{name}")(app) for name in _COOKIE}
        config = {**app.config, **self._instead_of_secret(app), **cookie}
        return Settings.from_mapping(config, **cast("SettingsFields", {**signing, **self._fields}))

    def _instead_of_secret(self, app: Quart) -> dict[str, str]:  # noqa: ARG002  # a subclass looks
        return {}

    def get_signing_serializer(self, app: Quart) -> URLSafeTimedSerializer | None:
        """Return itsdangerous' serializer for the cookie, as Quart does; None without a secret."""
        if not self._has_secret(app):
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
        if not self._has_secret(app):
            return None
        side = self._side(app)
        mark = f"asgi_flask_session.{side.settings.cookie_name}"
        session = request.scope.get(mark)
        if session is not None:
            session._outside = True  # FlaskSessionASGI has opened it, and will write it
            return session
        session = await self._open(side, request)
        if not self._is_ours(self.session_class):
            cast("dict[str, Any]", request.scope)[_OURS] = session
            session = _made(self.session_class, session)
        if isinstance(request, Websocket):
            self._write_on_accept(app, session, request)
        return session

    def _has_secret(self, app: Quart) -> bool:
        return bool(app.secret_key) or self._settings is not None

    @staticmethod
    def _is_ours(session_class: Any) -> bool:
        return isinstance(session_class, type) and issubclass(session_class, Session)

    def _taken_back(self, app: Quart, theirs: Any) -> Session:
        """Return a session of ours with the data of one of another class, which may or may not mark its changes."""
        if isinstance(theirs, Session):
            return theirs
        scope = cast("dict[str, Any]", request.scope if has_request_context() else websocket.scope)
        session = self._side(app).replaced(scope[_OURS], theirs)
        session.modified = session._unsaved = bool(getattr(theirs, "modified", False))
        if not session.modified and (session._base is None and session._last is None):
            session.modified = session._unsaved = bool(dict.__len__(session))  # there is nothing to compare it with
        session._seen = bool(getattr(theirs, "accessed", True))
        scope[_OURS] = session
        return session

    async def _open(self, side: "ClientSide | ServerSide", request: Any) -> Session:
        cookies = "; ".join(request.headers.getlist("Cookie")).encode("latin-1")
        value = find_cookie(cookies, side.settings.cookie_name.encode("ascii"))
        if isinstance(side, ClientSide):
            session = side.open(value, request.scope)
        else:
            try:
                session = await side.open(value, request.scope)
            except StoreUnavailable as error:
                if side.settings.on_store_error == "raise":
                    raise
                log_unavailable(error)
                session = side.settings.session_class()
                session._gone = session._down = True
                request.routing_exception = ServiceUnavailable()  # in place of the view
        is_revoked = side.settings.is_revoked
        if is_revoked is not None and not session.new and await refuses(is_revoked, session):
            return side.revoked(session)
        return session

    def _write_on_accept(self, app: Quart, session: Any, request: Websocket) -> None:
        """Have the handshake carry the cookie, however it comes to be accepted."""
        accept = request.accept
        accepted = False

        async def accept_with_session(headers: Any = None, subprotocol: str | None = None) -> None:
            nonlocal accepted
            if not accepted:
                headers = Headers() if headers is None else Headers(headers)
                written = self._taken_back(app, session)
                try:
                    await self._write(app, written, headers)
                except StoreUnavailable as error:
                    if self._side(app).settings.on_store_error == "raise":
                        raise
                    log_unavailable(error)
                    raise ServiceUnavailable from error
                accepted = written._sent = True
            await accept(headers, subprotocol)

        request.accept = accept_with_session  # type: ignore[method-assign]  # of this one connection
        request._flask_session = self, app, session  # type: ignore[attr-defined]  # for when the client goes away
        if _save_what_is_left not in app.teardown_websocket_funcs[None]:
            app.teardown_websocket_funcs[None].append(_save_what_is_left)

    # Its end

    async def save_session(self, app: Quart, session: Any, response: Any) -> None:
        """Write what changed, and the cookie into *response*, which is None behind a websocket."""
        session = self._taken_back(app, session)
        session._said = False  # Quart says of every session that it was accessed, just before it is saved
        if session._outside:
            return  # FlaskSessionASGI writes it
        if response is None or session._sent:
            await self._save_late(app, session)
            return
        if session._down:
            _answer_unavailable(response)
        elif self._sends_with_files or not _is_static_file():
            try:
                await self._write(app, session, response.headers)
            except StoreUnavailable as error:
                if self._side(app).settings.on_store_error == "raise":
                    raise
                log_unavailable(error)
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
        config += [getattr(self, name) for name in _SIGNING]
        known = self._sides.get(app)
        if known is not None and known[0] == config:
            return cast("ClientSide | ServerSide", known[1])
        settings = self.settings_of(app)
        if settings.store is None:
            side: Any = ClientSide(settings, self._clock)
        else:
            from asgi_flask_session.server_side import ServerSide

            side = ServerSide(settings, self._clock, id_salt=self._id_salt, ends_foreign=self._ends_foreign)
            self._fields["store"] = side.store  # opened once, for whatever app and config
        self._sides[app] = config, side
        return cast("ClientSide | ServerSide", side)


async def _save_what_is_left(_: BaseException | None) -> None:
    """Save what changed in a websocket that is over: where the client goes away, its handler is cancelled."""
    interface, app, session = getattr(websocket, "_flask_session", (None, None, None))
    if interface is None or session is None:
        return
    session = interface._taken_back(app, session)
    if session._sent:
        await interface._save_late(app, session)


def _made(session_class: Any, session: Session) -> Any:
    """Return a session of another class with the same data."""
    made = session_class(plain(session))
    for name, value in (("new", session.new), ("modified", False), ("accessed", False)):
        if hasattr(made, name):
            setattr(made, name, value)
    return made


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


class QuartSession(Session):
    """A session with the attributes that Quart-Session's has besides."""

    @property
    def addr(self) -> str | bool:
        """The client's address that the session is bound to; False if it is bound to none."""
        return self._address or dict.get(self, "_addr") or False

    def dirty(self) -> None:
        """Do nothing: a change is noticed without it, as in Quart-Session 3."""


class ServerSideSessionInterface(FlaskSessionInterface):
    """What ``quart_plugin.Session`` puts in place: Quart-Session's interface over the stores of asgi_flask_session.

    ``serializer``, or ``serialize``, may be set to an object with ``dumps`` and ``loads``. ``get``, ``set`` and
    ``delete`` reach the store itself, under keys of any kind.
    """

    session_class: Any = QuartSession
    _text_values = True  # what ``get`` returns is text, where it can be

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Return the interface for an app's config; raises SettingsError."""
        fields = fields_from(config)
        store = store_from(config, Settings.store_timeout)
        made = cls(store=NullStore() if store is None else store, **fields)
        made._sends_with_files = bool(config.get("SESSION_STATIC_FILE"))
        made._text_values = config.get("SESSION_TYPE") != "memcached"
        made._ends_foreign = True
        made._id_salt = "quart-session"
        return made

    def _has_secret(self, app: Quart) -> bool:
        return super()._has_secret(app) or not self._fields.get("sign_ids")

    def _instead_of_secret(self, app: Quart) -> dict[str, str]:
        # Only signed ids need one; a key that nobody knows signs nothing.
        return {} if app.secret_key else {"SECRET_KEY": token_hex()}

    @property
    def serialize(self) -> Any:
        """The serializer, under the name that Quart-Session's documentation has for it."""
        return self.serializer

    @serialize.setter
    def serialize(self, value: Any) -> None:
        self.serializer = value

    async def create(self, app: Quart) -> None:  # as in Quart-Session
        """Do nothing: the store connects when it is first used."""

    async def aclose(self) -> None:
        """Close the store, if it was made from the config."""
        await self._fields["store"].aclose()

    async def get(self, key: str, app: Quart | None = None) -> Any:  # noqa: ARG002  # as in Quart-Session
        """Return what the store has under *key*, text where it is text and the store is not memcached; or None."""
        value: bytes | None = await self._fields["store"].get(key)
        if value is None or not self._text_values:
            return value
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value

    async def set(self, key: str, value: str | bytes, expiry: int | None = None, app: Quart | None = None) -> None:
        """Put *value* under *key*, whatever is there, for *expiry* seconds or as long as a session lives."""
        app = app or current_app
        ttl = expiry or int(app.permanent_session_lifetime.total_seconds())
        record = value.encode("utf-8") if isinstance(value, str) else value
        store = self._fields["store"]
        while not await store.create(key, record, ttl):
            there = await store.get(key)
            if there is not None and await store.replace(key, record, ttl, there):
                return

    async def delete(self, key: str, app: Quart | None = None) -> None:  # noqa: ARG002  # as in Quart-Session
        """Take *key* away."""
        await self._fields["store"].delete(key)
