"""Flask's session as a ``SessionInterface`` of Quart, in its signed cookie or in a store.

Source: Quart 0.23's ``SecureCookieSessionInterface``, with the rules of asgi_flask_session in place of its own.
"""

import time
from calendar import timegm
from contextlib import nullcontext
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Unpack, cast
from weakref import WeakKeyDictionary

from itsdangerous import URLSafeTimedSerializer
from quart import Quart, Response, current_app, has_request_context, request, websocket
from quart import session as current_session
from quart.sessions import SessionInterface
from quart.wrappers import Websocket
from werkzeug.datastructures import Headers
from werkzeug.exceptions import ServiceUnavailable

from asgi_flask_session.asgi import Store
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.cookies import cookie_among, set_cookie_value
from asgi_flask_session.errors import SettingsError, StoreUnavailable, UnwritableSession
from asgi_flask_session.lazy import is_unloaded
from asgi_flask_session.logs import logger, warn_once
from asgi_flask_session.policy import CookieAction, needs_vary
from asgi_flask_session.revocation import refuses
from asgi_flask_session.session import Session
from asgi_flask_session.settings import FLASK_NAMES, FieldsButStore, Settings, SettingsFields, sha1
from asgi_flask_session.side import Clock
from asgi_flask_session.sides import AnySide, side_of, unshared
from asgi_flask_session.tagged_json import TaggedJSONSerializer
from asgi_flask_session.unavailable import answer_in, log_unavailable

from .classes import ADOPTED, data_of, differs, is_ours, of_class, tell
from .responses import refuse, vary_by_cookie
from .signing import signing_of

_NAMES = (*FLASK_NAMES, "APPLICATION_ROOT")
_SIGNING = ("salt", "digest_method", "key_derivation", "serializer")
_COOKIE = ("name", "domain", "path", "httponly", "secure", "samesite", "partitioned")
_METHODS = frozenset({"get_signing_serializer", *(f"get_cookie_{name}" for name in _COOKIE)})
_attributes_of = attrgetter(*_SIGNING, "session_class")
_NOTHING = (None,) * 4
_MOST_SIDES = 50  # kept for one app beside the newest, whose methods may say something else with each request

_SIDE = "_quart_side"  # what opened a session, among its attributes: most requests need not ask for it twice
_OURS = "quart_plugin.sessions"  # in the scope, by id: ours behind a session of another class, and that one


class FlaskSessionInterface(SessionInterface):
    """Flask's session in Quart: ``app.session_interface = FlaskSessionInterface()``.

    The app's own config is read (SECRET_KEY, SESSION_COOKIE_NAME, ...), unless *settings* are given; *fields* of
    ``Settings`` count before either. With a *store*, or its URL, sessions are kept there. *clock* returns the time
    in seconds since the epoch. Raises SettingsError for settings that cannot work, at once or at the first request.

    The attributes below, and the methods of Quart's own interface, may be changed by a subclass, as in Quart.
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
        if meaningless := fields.keys() & {"scope_key", "exclude"}:
            raise SettingsError(f"{', '.join(sorted(meaningless))} is for FlaskSessionASGI: leave it out here")
        self._fields: dict[str, Any] = dict(fields) if store is None else {**fields, "store": store}
        self._clock = clock
        # For each app, what keeps its sessions, beside what the app said when that was made.
        self._sides: WeakKeyDictionary[Quart, list[tuple[tuple[Any, ...], AnySide]]] = WeakKeyDictionary()
        # The one of the last request, beside the whole config then, our attributes, and how many of them there were.
        self._last: WeakKeyDictionary[Quart, tuple[Any, Any, Any, Any]] = WeakKeyDictionary()
        changed = [name for name in (*_SIGNING, *sorted(_METHODS)) if self._is_changed(name)]
        self._asks = not _METHODS.isdisjoint(changed)
        if settings is None:
            Settings("in place of the app's secret, until there is an app", **self._fields)
        elif changed:
            raise SettingsError(f"settings are given, and {', '.join(changed)} changed: write the one or the other")
        self._settings = settings and settings.replace(**self._fields)

    def _is_changed(self, name: str) -> bool:
        """Say whether a subclass, or whoever set the attribute, has put something in place of ours."""
        return getattr(type(self), name) is not getattr(FlaskSessionInterface, name) or name in vars(self)

    # What Quart's own interface may be asked

    def settings_of(self, app: Quart) -> Settings:
        """Return the settings for *app*; raises SettingsError, also for an app without a SECRET_KEY."""
        return self._settings_with(app, self._signing(app))

    def get_signing_serializer(self, app: Quart) -> URLSafeTimedSerializer | None:
        """Return itsdangerous' serializer for the cookie, as Quart does; None without a secret."""
        if not self._has_secret(app):
            return None
        settings = self._settings_with(app)
        return URLSafeTimedSerializer(
            settings.keys,  # type: ignore[arg-type]  # str and bytes may be mixed
            salt=settings.salt,
            serializer=settings.serializer,
            signer_kwargs={"key_derivation": settings.key_derivation, "digest_method": settings.digest_method},
        )

    def get_cookie_partitioned(self, app: Quart) -> bool:
        """Return SESSION_COOKIE_PARTITIONED, which Quart 0.20 does not know yet."""
        return bool(app.config.get("SESSION_COOKIE_PARTITIONED"))

    def get_expiration_time(self, app: Quart, session: Any) -> datetime | None:
        """Return when the cookie of a permanent session ends, in UTC; None for one that ends with the browser."""
        side = self._side(app)
        if side is None or not session.permanent:
            return None
        return datetime.fromtimestamp(self._clock(), UTC) + side.settings.permanent_lifetime

    def should_set_cookie(self, app: Quart, session: Any) -> bool:
        """Say whether the session changed, be it inside a value, or is due for a refresh."""
        side = self._side(app)
        if side is None:
            return False
        session = self._ours(side, session)
        return side.changed(session) or side.only_refreshes(session)

    # Settings

    def _has_secret(self, app: Quart) -> bool:
        return bool(app.secret_key) or self._settings is not None

    def _instead_of_secret(self, app: Quart) -> dict[str, str]:  # noqa: ARG002  # a subclass looks
        return {}

    def _signing(self, app: Quart) -> dict[str, Any] | None:
        """Return how a serializer of somebody else's signs, nothing where it is ours; None without a secret."""
        if not self._is_changed("get_signing_serializer"):
            return {}
        serializer = self.get_signing_serializer(app)
        return None if serializer is None else signing_of(serializer)

    def _settings_with(self, app: Quart, signing: dict[str, Any] | None = None) -> Settings:
        own: dict[str, Any] = {}
        if is_ours(self.session_class) and self.session_class is not Session:
            own["session_class"] = self.session_class
        if self._settings is not None:
            settings = self._settings.replace(**{**own, **self._fields})
        else:
            config = {**app.config, **self._instead_of_secret(app)}
            config |= {f"SESSION_COOKIE_{name.upper()}": getattr(self, f"get_cookie_{name}")(app) for name in _COOKIE}
            if signing:
                *config["SECRET_KEY_FALLBACKS"], config["SECRET_KEY"] = signing["keys"]
            own |= {name: signing[name] if signing else getattr(self, name) for name in _SIGNING}
            settings = Settings.from_mapping(config, **cast("SettingsFields", {**own, **self._fields}))
        if settings.lazy and not is_ours(self.session_class):
            raise SettingsError("a lazy session is loaded in place, which takes our own class: leave lazy out")
        return settings

    def _side(self, app: Quart) -> "AnySide | None":
        """Return what keeps the sessions of *app*, made anew where it says something else; None without a secret."""
        config, attributes, count, last = self._last.get(app, _NOTHING)
        if config == app.config and attributes == _attributes_of(self) and count == len(vars(self)):
            return cast("AnySide", last)  # what most requests come to: nothing at all was changed
        side = self._side_as_said(app)
        if side is not None and not self._asks and _METHODS.isdisjoint(vars(self)):
            config = dict(map(unshared, app.config.items()))
            self._last[app] = config, _attributes_of(self), len(vars(self)), side
        return side

    def _side_as_said(self, app: Quart) -> "AnySide | None":
        """Do the same by what *app* and a subclass say of sessions, whatever else has changed."""
        said: tuple[Any, ...] = (*map(app.config.get, _NAMES), *_attributes_of(self))
        signing: dict[str, Any] | None = {}
        if self._asks or not _METHODS.isdisjoint(vars(self)):
            signing = self._signing(app)
            said = (*said, signing, *(getattr(self, f"get_cookie_{name}")(app) for name in _COOKIE))
        known = self._sides.get(app, ())
        for was_said, side in known:
            if was_said == said:
                return side
        if signing is None or not (signing or self._has_secret(app)):
            return None
        made = self._made(app, self._settings_with(app, signing))
        self._sides[app] = [(tuple(unshared(said)), made), *known[:_MOST_SIDES]]
        return made

    def _made(self, app: Quart, settings: Settings) -> AnySide:
        if isinstance(app, Quart):
            _prepare(app)
        side = side_of(settings, self._clock, id_salt=self._id_salt, ends_foreign=self._ends_foreign)
        if isinstance(settings.store, str):
            store = self._fields["store"] = cast("Any", side).store  # opened once, for whatever app and config
            if isinstance(app, Quart):
                app.after_serving_funcs.append(store.aclose)  # after_serving() refuses to, by now
        return side

    # A request's beginning

    async def open_session(self, app: Quart, request: Any) -> Any:
        """Return the session of a request or a websocket; None without a secret, for Quart's null session."""
        side = self._side(app)
        name = self.get_cookie_name(app) if side is None else side.settings.cookie_name
        session = request.scope.get(f"asgi_flask_session.{name}")
        if session is not None:
            session._outside = True  # FlaskSessionASGI has opened it, and will write it
            return session
        if side is None:
            return None
        value = cookie_among(request.scope["headers"], side.set_cookie.name)
        if isinstance(side, ClientSide) and side.settings.is_revoked is None:
            session = side.open(value, request.scope)
        else:
            session = await self._open(side, value, request)
        vars(session)[_SIDE] = side
        if self.session_class is not Session and not is_ours(self.session_class):
            ours, session = session, of_class(self.session_class, session)
            request.scope.setdefault(_OURS, {})[id(session)] = ours, session
        if isinstance(request, Websocket):
            self._write_on_accept(app, session, request)
        return session

    async def _open(self, side: AnySide, value: bytes | None, request: Any) -> Session:
        """Open a session that has to be asked for, of a store or of the application."""
        is_revoked = side.settings.is_revoked
        try:
            session = (
                side.open(value, request.scope)
                if isinstance(side, ClientSide)
                else await side.open(value, request.scope)
            )
            if is_revoked is not None and not session.new and await refuses(is_revoked, session):
                session = side.revoked(session)
        except StoreUnavailable as error:
            if side.settings.on_store_error == "raise":
                raise
            log_unavailable(error)
            session = side.settings.session_class()
            session._gone = session._down = True
            request.routing_exception = ServiceUnavailable()  # in place of the view
        return session

    def _ours(self, side: AnySide, theirs: Any) -> Session:
        """Return the session of ours that lies behind one of another class, with the data that is in that now."""
        if isinstance(theirs, Session):
            if _SIDE not in vars(theirs):
                _adopt(theirs, side)
            return theirs
        connection = request if has_request_context() else websocket
        opened: dict[int, tuple[Session, Any]] = cast("dict[str, Any]", connection.scope).setdefault(_OURS, {})
        if id(theirs) not in opened:
            opened[id(theirs)] = _adopt(side.settings.session_class(), side), theirs
        session, _ = opened[id(theirs)]
        data = data_of(theirs)
        dict.clear(session)
        dict.update(session, data)
        session._cleared = not data
        # A class may mark each change, or some, or say of all that they changed: so what came is compared, too.
        modified = not session._sent and bool(getattr(theirs, "modified", False))
        session._unsaved = differs(side, session, otherwise=modified)
        session.modified = modified or session._unsaved
        session._seen = has_request_context() or bool(getattr(theirs, "accessed", True))  # Quart marks it when it saves
        return session

    def _write_on_accept(self, app: Quart, session: Any, websocket: Websocket) -> None:
        """Have the handshake carry the cookie, however it comes to be accepted."""
        accept, accepted = websocket.accept, False
        one_at_a_time: Any = nullcontext()
        if not isinstance(self._side(app), ClientSide):
            import anyio

            one_at_a_time = anyio.Lock()

        async def accept_with_session(headers: Any = None, subprotocol: str | None = None) -> None:
            nonlocal accepted
            if accepted:
                return
            async with one_at_a_time:  # one task may receive while another one sends
                if not accepted:
                    headers = await self._handshake(app, session, websocket, Headers(headers))
                    accepted = True
                    await accept(headers, subprotocol)

        websocket.accept = accept_with_session  # type: ignore[method-assign]  # of this one connection

    async def _handshake(self, app: Quart, session: Any, websocket: Websocket, headers: Headers) -> Headers:
        """Save the session, and return the headers by which a websocket is accepted."""
        side = cast("AnySide", self._side(app))
        response: Response = cast("Any", app).response_class()
        response.headers = headers
        save: Any = app.ensure_async(self.save_session)
        await save(app, session, response)
        ours = self._ours(side, session)
        if ours._down:
            raise ServiceUnavailable
        ours._sent = True
        websocket._flask_session = self, app, session  # type: ignore[attr-defined]  # see _save_what_is_left
        return headers

    # Its end

    async def save_session(self, app: Quart, session: Any, response: Any) -> None:
        """Write what changed, and the cookie into *response*, which is None behind a websocket."""
        side: AnySide | None = None
        if isinstance(session, Session):
            session._said = False  # Quart says of every session that it was accessed, just before it is saved
            if session._outside:
                return  # FlaskSessionASGI writes it
            # Where there may be something to write, the app is asked once more: the view may have changed its config.
            opened = vars(session).get(_SIDE)
            if opened is not None and opened.is_settled(session) and not self._is_changed("should_set_cookie"):
                side = opened
        ours: Session = session
        if side is None:
            side = self._side(app)
            if side is None:
                return
            ours = self._ours(side, session)
        if response is None or ours._sent:
            await self._save_late(side, ours)
            return
        asked: Any = request._get_current_object() if has_request_context() else None
        if ours._down:
            await refuse(response)
        elif asked is None or self._sends_with_files or not _is_static_file(app, asked):
            try:
                await self._write(app, side, session, ours, response.headers)
            except StoreUnavailable as error:
                if side.settings.on_store_error == "raise":
                    raise
                log_unavailable(error)
                ours._gone = ours._down = True
                answer_in(response)
            else:
                if asked is not None:
                    asked._flask_session = self, app, session

    async def _write(self, app: Quart, side: AnySide, theirs: Any, session: Session, headers: Headers) -> None:
        """Save the session, and add what the response or the handshake owes to its headers."""
        action = CookieAction.KEEP
        if not side.is_settled(session) or self._is_changed("should_set_cookie"):
            action = await self._save(app, side, theirs, session, headers)
        if needs_vary(side.settings, session.accessed, action):
            vary_by_cookie(headers)
        session._unsaved = False
        if theirs is not session:
            tell(theirs, sid=session.sid)
            if dict.get(session, "_permanent"):  # as the settings want each new one
                tell(theirs, permanent=True)

    async def _save(self, app: Quart, side: AnySide, theirs: Any, session: Session, headers: Headers) -> CookieAction:
        """Save the session, add the cookie that is owed, and say what became of it."""
        is_revoked = side.settings.is_revoked
        wanted = self._is_wanted(app, side, theirs, session)
        if not wanted and session.sid is None:
            return CookieAction.KEEP
        if is_revoked is not None and side.only_refreshes(session) and await refuses(is_revoked, session):
            return CookieAction.KEEP
        action = side.decide(session) if isinstance(side, ClientSide) else await side.save(session)
        if action is CookieAction.DELETE or (action is CookieAction.SET and wanted):
            headers.add("Set-Cookie", self._line(app, side, theirs, session, action))
        return action

    def _is_wanted(self, app: Quart, side: AnySide, theirs: Any, session: Session) -> bool:
        """Ask a subclass that has something to say about it whether a cookie is to be set."""
        if is_unloaded(session) or not dict.__len__(session) or not self._is_changed("should_set_cookie"):
            return True
        session.modified = side.changed(session)
        if theirs is not session:
            tell(theirs, modified=session.modified)
        wanted = bool(self.should_set_cookie(app, theirs))
        if wanted and not side.only_refreshes(session):
            session.modified = True
        return wanted

    def _line(self, app: Quart, side: AnySide, theirs: Any, session: Session, action: CookieAction) -> str:
        line = side.write(session, action)
        if self._is_changed("get_expiration_time") and action is CookieAction.SET:
            expires = self.get_expiration_time(app, theirs)
            seconds = None if expires is None else timegm(expires.utctimetuple())  # a naive one is UTC, as in Werkzeug
            line = side.set_cookie.set(set_cookie_value(line), seconds)
        return line.decode("latin-1")

    async def _save_late(self, side: AnySide, session: Session) -> None:
        """Save what changed behind the headers, where there is a store."""
        session._sent = True
        if isinstance(side, ClientSide):
            if side.left_behind(session):
                warn_once(
                    "late",
                    "the session was changed where no headers could carry the cookie any more: the change is lost."
                    " Change it before the response is made or the websocket accepted, or keep sessions in a store",
                )
            return
        try:
            await side.save(session)
        except (StoreUnavailable, UnwritableSession) as error:
            logger().error("a change made after the headers went out could not be saved: %s", error)


def _prepare(app: Quart) -> None:
    """Have *app* tell us what its own interface is never told."""
    # By hand, since the functions for it refuse an app that serves already.
    for functions in (app.teardown_request_funcs[None], app.teardown_websocket_funcs[None]):
        if _save_what_is_left not in functions:
            functions.insert(0, _save_what_is_left)  # they are called from the last to the first
    app.error_handler_spec[None][None].setdefault(StoreUnavailable, _answer_without_store)


async def _save_what_is_left(_: BaseException | None) -> None:
    """Save what changed behind the headers: in a stream, a copied context, or a websocket whose client went away."""
    connection: Any = (request if has_request_context() else websocket)._get_current_object()
    written = getattr(connection, "_flask_session", None)
    if written is None:
        return
    interface, app, session = written
    if isinstance(session, Session):
        session._sent = True  # for whoever keeps it, to change and save it later
        if not (session._unsaved or session._lent):
            return
    side = interface._side(app)
    await interface._save_late(side, interface._ours(side, session))


async def _answer_without_store(error: StoreUnavailable) -> Response:
    """Answer where a view did not get what it asked of the store: by ``session.load()``, or ``save()``."""
    session: Any = current_session._get_current_object()
    side = getattr(session, "_side", None)
    if side is not None and side.settings.on_store_error == "raise":
        raise error
    log_unavailable(error)
    if isinstance(session, Session):
        session._gone = session._down = True
    response: Response = cast("Any", current_app).response_class()
    answer_in(response)
    return response


def _is_static_file(app: Quart, asked: Any) -> bool:
    endpoint = asked.endpoint
    if endpoint is None or not endpoint.endswith("static"):
        return False
    blueprint, _, name = endpoint.rpartition(".")
    return name == "static" and bool(app.blueprints.get(blueprint, app).has_static_folder)


def _adopt(session: Session, side: AnySide) -> Session:
    """Take a session that a subclass has opened itself for one of ours, of which nothing else is known."""
    vars(session)[_SIDE], vars(session)[ADOPTED] = side, True
    session._carried = has_request_context() and side.settings.cookie_name in request.cookies
    return session
