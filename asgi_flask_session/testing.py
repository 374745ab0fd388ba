"""For the tests of an application: make and read session cookies, and change the session of a test client.

*settings* is, in each function, what the application has: its ``Settings``, the ``FlaskSessionASGI`` around it, or the
secret alone. *clock* returns the time in seconds since the epoch.
"""

import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from email.message import Message
from http.cookiejar import CookieJar
from http.cookies import BaseCookie
from types import SimpleNamespace, TracebackType
from typing import Any, Protocol, TypeVar
from urllib.parse import urljoin, urlsplit
from urllib.request import Request

from .background import background_loop
from .client_side import ClientSide
from .cookies import find_cookie, set_cookie_value
from .errors import BadCookie, SettingsError
from .examination import examine
from .middleware import FlaskSessionASGI
from .policy import CookieAction
from .session import Session, plain
from .settings import Settings
from .side import Clock

T = TypeVar("T")


def make_cookie(
    data: Mapping[str, Any], settings: Settings | FlaskSessionASGI | str | bytes, *, clock: Clock = time.time
) -> str:
    """Return the value of the cookie that the application would set for a session with *data*.

    Raises UnwritableSession, and SettingsError where the session is in a store.
    """
    side = _client_side(settings, clock)
    session = side.open(None, {})
    session.update(data)
    side.decide(session)
    return set_cookie_value(side.write(session, CookieAction.SET)).decode("ascii")


def read_cookie(
    cookie: str | bytes, settings: Settings | FlaskSessionASGI | str | bytes, *, clock: Clock = time.time
) -> dict[str, Any]:
    """Return the data of a session cookie: of its value, or of a Cookie or Set-Cookie header.

    It is empty where the header deletes the cookie. Raises BadCookie, which says why, for what the application would
    take for no session, and SettingsError where the session is in a store.
    """
    side = _client_side(settings, clock)
    text = cookie.encode("latin-1") if isinstance(cookie, str) else cookie
    value = find_cookie(text, side.set_cookie.name) if b"=" in text else text
    if value is None:
        raise BadCookie(f"there is no cookie {side.settings.cookie_name!r} in the header")
    if not value:
        return {}
    session = side.open(value, {})
    if session.new:
        raise BadCookie(examine(value, side.settings, now=clock()).problem or "it is no session of these settings")
    return plain(session)


def session_transaction(
    client: Any,
    settings: Settings | FlaskSessionASGI | str | bytes,
    *,
    url: str | None = None,
    address: str = "127.0.0.1",
    clock: Clock = time.time,
) -> "SessionTransaction":
    """Open the session in the cookies of a test client, for a ``with`` or ``async with`` block that may change it.

    As Flask's ``client.session_transaction()``: what the block leaves is what the client's next request brings, and
    where it raises, nothing changes. The client is one of httpx, Starlette, FastAPI, Litestar, Quart, Django or Flask,
    or any with a standard cookie jar in ``cookies`` or ``cookie_jar``.

    *url* is where its requests go, by default its ``base_url`` or localhost; *address* the client's, which counts
    with ``protection``. A store is asked on the loop of the client where it has one open, of the block where that is
    ``async``, and on one of our own otherwise. Raises SettingsError, and StoreUnavailable and UnwritableSession.
    """
    settings = _settings(settings)
    if isinstance(settings.store, str) and settings.store.startswith("memory:"):
        raise SettingsError("store='memory:' is in the app alone: give the FlaskSessionASGI, or a MemoryStore to both")
    return SessionTransaction(client, settings.replace(lazy=False), url, address, clock)


class SessionTransaction(AbstractContextManager[Session, None], AbstractAsyncContextManager[Session, None]):
    """What ``session_transaction`` returns."""

    def __init__(self, client: Any, settings: Settings, url: str | None, address: str, clock: Clock) -> None:
        self._client, self._settings, self._address, self._clock = client, settings, address, clock
        self._jar = _jar_of(client, settings, url)
        self._side: Any = None
        self._session = Session()

    def __enter__(self) -> Session:
        return self._run(self._open)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._close if kind is None else self._give_up)

    async def __aenter__(self) -> Session:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await (self._close() if kind is None else self._give_up())

    def _run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        for name in ("blocking_portal", "portal"):  # Litestar's, Starlette's: the loop of a client that was entered
            call: Callable[..., T] | None = getattr(getattr(self._client, name, None), "call", None)
            if call is not None:
                return call(function)
        return background_loop.run(function())

    async def _open(self) -> Session:
        settings = self._settings
        header = self._jar.header()
        value = find_cookie(header, settings.cookie_name.encode("ascii"))
        scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": settings.cookie_path, "root_path": "", "query_string": b"",
            "headers": [(b"cookie", header)], "client": (self._address, 0),
        }  # fmt: skip
        if settings.store is None:
            self._side = ClientSide(settings, self._clock)
            self._session = self._side.open(value, scope)
        else:
            from .server_side import ServerSide

            self._side = ServerSide(settings, self._clock)
            self._session = await self._side.open(value, scope)
        return self._session

    async def _close(self) -> None:
        side, session = self._side, self._session
        try:
            action = side.decide(session) if self._settings.store is None else await side.save(session)
            if action is not CookieAction.KEEP:
                self._jar.take(side.write(session, action))
        finally:
            await self._give_up()

    async def _give_up(self) -> None:
        if isinstance(self._settings.store, str):
            await self._side.store.aclose()


def _settings(given: Settings | FlaskSessionASGI | str | bytes) -> Settings:
    if isinstance(given, FlaskSessionASGI):
        return given.settings.replace(store=given.store)
    return given if isinstance(given, Settings) else Settings(given)


def _client_side(given: Settings | FlaskSessionASGI | str | bytes, clock: Clock) -> ClientSide:
    settings = _settings(given)
    if settings.store is not None:
        raise SettingsError("the session is in a store, and its cookie holds an id: use session_transaction")
    return ClientSide(settings.replace(migrate_from=()), clock)


# The cookies of a client: what it sends, and what it takes from a response.


class _Jar(Protocol):
    def header(self) -> bytes: ...
    def take(self, line: bytes) -> None: ...


def _jar_of(client: Any, settings: Settings, url: str | None) -> _Jar:
    url = urljoin(url or str(getattr(client, "base_url", "")) or "https://localhost", settings.cookie_path)
    for owner in (client, getattr(client, "cookies", None)):
        for jar in (getattr(owner, "cookie_jar", None), getattr(owner, "jar", None), owner):
            if isinstance(jar, CookieJar):
                return _StandardJar(jar, url, settings)
            if isinstance(jar, BaseCookie):
                return _DjangoJar(jar)
    if callable(getattr(client, "get_cookie", None)) and callable(getattr(client, "set_cookie", None)):
        return _FlaskJar(client, url, settings)
    raise SettingsError(f"a {type(client).__name__} has no cookies that are known: give a test client that keeps them")


class _StandardJar:
    """That of httpx, of what is built on it, and of Quart."""

    def __init__(self, jar: CookieJar, url: str, settings: Settings) -> None:
        self._jar, self._url, self._name = jar, url, settings.cookie_name

    def header(self) -> bytes:
        request = Request(self._url)  # noqa: S310  # never opened
        self._jar.add_cookie_header(request)
        return (request.get_header("Cookie") or "").encode("latin-1")

    def take(self, line: bytes) -> None:
        for cookie in list(self._jar):
            if cookie.name == self._name and not cookie.domain:  # one that a test put there for every host
                self._jar.clear(cookie.domain, cookie.path, cookie.name)
        headers = Message()
        headers["Set-Cookie"] = line.decode("latin-1")
        response: Any = SimpleNamespace(info=lambda: headers)
        self._jar.extract_cookies(response, Request(self._url))  # noqa: S310  # never opened
        if (find_cookie(self.header(), self._name.encode("ascii")) or b"") != set_cookie_value(line):
            raise SettingsError(
                f"the client does not send the cookie {self._name!r} to {self._url}: give it a base_url, or"
                " session_transaction a url, that is https where cookie_secure is on, and below cookie_domain"
            )


class _DjangoJar:
    """That of Django, which sends each cookie with each request."""

    def __init__(self, cookies: "BaseCookie[Any]") -> None:
        self._cookies = cookies

    def header(self) -> bytes:
        return "; ".join(f"{each.key}={each.coded_value}" for each in self._cookies.values()).encode("latin-1")

    def take(self, line: bytes) -> None:
        name = line.partition(b"=")[0].decode("ascii")
        self._cookies.pop(name, None)
        if value := set_cookie_value(line):
            self._cookies[name] = value.decode("ascii")


class _FlaskJar:
    """That of Flask, of which the session's cookie is seen only."""

    def __init__(self, client: Any, url: str, settings: Settings) -> None:
        self._client, self._name = client, settings.cookie_name
        domain = (settings.cookie_domain or "").lstrip(".")
        self._where = {"domain": domain or urlsplit(url).hostname, "path": settings.cookie_path}
        self._origin_only = not domain

    def header(self) -> bytes:
        cookie = self._client.get_cookie(self._name, **self._where)
        return b"" if cookie is None else f"{self._name}={cookie.value}".encode("latin-1")

    def take(self, line: bytes) -> None:
        if value := set_cookie_value(line):
            self._client.set_cookie(self._name, value.decode("ascii"), origin_only=self._origin_only, **self._where)
        else:
            self._client.delete_cookie(self._name, **self._where)
