"""Requests to apps that share one store and one time."""

import json
import logging
from contextlib import contextmanager
from inspect import iscoroutinefunction

import anyio
from driver import LOOPS, SECRET, app_that, nothing, request, respond

from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.server_side import ENDED
from asgi_flask_session.stores.memory import MemoryStore

UNKNOWN = "an-id-of-the-right-form-that-no-store-ever-had"
DELETION = "session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"
WEBSOCKET = {"type": "websocket"}
METHODS = ("get", "create", "replace", "touch", "delete")


class Watched(MemoryStore):
    """Notes what it is asked, and does what the test wants it to do first."""

    def __init__(self, clock):
        super().__init__(clock=clock)
        self.calls = []
        self.before = {}  # method -> what is awaited first, with the key
        self.after = {}
        self.closed = 0

    async def get(self, key):
        return await self._watched("get", key)

    async def create(self, key, value, ttl):
        return await self._watched("create", key, value, ttl)

    async def replace(self, key, value, ttl, expected):
        return await self._watched("replace", key, value, ttl, expected)

    async def touch(self, key, ttl):
        return await self._watched("touch", key, ttl)

    async def delete(self, key):
        return await self._watched("delete", key)

    async def aclose(self):
        self.closed += 1

    async def _watched(self, method, key, *arguments):
        self.calls.append(method)
        if method in self.before:
            await self.before[method](key)
        answer = await getattr(MemoryStore, method)(self, key, *arguments)
        if method in self.after:
            await self.after[method](key)
        return answer

    @property
    def raw(self):
        """All records, by id."""
        return {key.removeprefix("session:"): value for key, (value, _) in self._kept.items()}

    @property
    def data(self):
        return {sid: {} if value in ENDED.values() else json.loads(value) for sid, value in self.raw.items()}

    def put(self, sid, record, ttl=1000):
        self._kept[f"session:{sid}"] = record, self._clock() + ttl

    def lose(self):
        self._kept.clear()


class Site:
    """Requests to apps that share one store and one time."""

    def __init__(self, run, clock, caplog):
        self.run, self.clock, self._caplog = run, clock, caplog
        self.store = Watched(clock)

    def app(self, handle, **settings):
        """Wrap an ASGI app, or a function of the session."""
        app = handle if iscoroutinefunction(handle) else app_that(handle)
        settings = {"store": self.store, **settings}
        return FlaskSessionASGI(app, settings.pop("secret", SECRET), clock=self.clock, **settings)

    def ask(self, handle=nothing, cookie=None, *, to=None, **settings):
        """Send one request to a new app; *to* says where."""
        self.store.calls.clear()
        return request(self.app(handle, **settings), cookie, run=self.run, **(to or {}))

    def begin(self, *, to=None, of=None, **data):
        """Return the cookie of a new session that holds *data*."""
        return self.ask(lambda session: session.update(data), to=to, **(of or {})).cookie

    def read(self, cookie, **settings):
        """Return what a request with the cookie finds."""
        seen = []
        self.ask(lambda session: seen.append(dict(session)), cookie, **settings)
        return seen[0]

    @property
    def said(self):
        """What was logged for somebody to read."""
        return [entry.getMessage() for entry in self._caplog.records if entry.levelno >= logging.WARNING]


@contextmanager
def opened(loop, clock, caplog):
    """Yield a site, and see at the end that nothing was logged which nobody may see (W14)."""
    caplog.set_level(logging.DEBUG, logger="asgi_flask_session")
    site = Site(LOOPS[loop], clock, caplog)
    ids = set()

    async def note(key):
        ids.add(key.removeprefix("session:"))

    site.store.after["create"] = note
    yield site
    ids |= site.store.raw.keys() | {UNKNOWN, "stored-value", SECRET}
    assert not [secret for secret in ids if secret in caplog.text]


# Apps


def meanwhile(site, cookie, record, change):
    """Return a handler that changes the session when another request has written *record*."""

    def handle(session):
        site.store.put(cookie, record)
        change(session)

    return handle


def saving(*steps):
    async def app(scope, receive, send):
        for step in steps:
            step(scope["session"])
            await scope["session"].save()
        await respond(send)

    return app


def late(change, *, save=False, type_="http"):
    async def app(scope, receive, send):
        session = scope["session"]
        await (send({"type": "websocket.accept"}) if type_ == "websocket" else respond(send))
        change(session)
        if save:
            await session.save()

    return app


def loading(change=nothing):
    async def app(scope, receive, send):
        await scope["session"].load()
        change(scope["session"])
        await respond(send)

    return app


def replaced_by(value):
    async def app(scope, receive, send):
        scope["session"] = value
        await respond(send)

    return app


def with_line(line, change=nothing):
    async def app(scope, receive, send):
        change(scope["session"])
        await respond(send, headers=[(b"x", b"1"), (b"Set-Cookie", line.encode())])

    return app


# What a store does


def raising(error):
    async def fail(key):
        raise error

    return fail


async def hang(key):
    await anyio.sleep_forever()


async def rest(key=None):
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
