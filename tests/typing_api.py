"""The public API as a user writes it, checked by mypy and pyright and never run."""

from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any, assert_type

import asgiref.typing
import fastapi
import flask
import litestar
import litestar.types
import quart
import starlette.applications
import starlette.datastructures
import starlette.middleware
import starlette.types
from litestar.middleware import DefineMiddleware

from asgi_flask_session import FlaskSessionASGI, Session, Settings
from asgi_flask_session.adapters.flask import FlaskSessionInterface
from asgi_flask_session.asgi import Store
from asgi_flask_session.stores.base import BaseStore, open_store
from asgi_flask_session.stores.memory import MemoryStore


async def raw(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None: ...


async def by_asgiref(
    scope: asgiref.typing.Scope,
    receive: asgiref.typing.ASGIReceiveCallable,
    send: asgiref.typing.ASGISendCallable,
) -> None: ...


# Any framework's app goes in, and what comes out is an app of every framework.
FlaskSessionASGI(raw, "secret")
FlaskSessionASGI(by_asgiref, secret=b"secret")
FlaskSessionASGI(
    app=starlette.applications.Starlette(),
    secret=starlette.datastructures.Secret("secret"),
)
FlaskSessionASGI(fastapi.FastAPI(), "secret")
FlaskSessionASGI(litestar.Litestar(), "secret")
FlaskSessionASGI(quart.Quart("app").asgi_app, "secret")
wrapped = FlaskSessionASGI(raw, "secret")
as_asgiref: asgiref.typing.ASGI3Application = wrapped
as_starlette: starlette.types.ASGIApp = wrapped
as_litestar: litestar.types.ASGIApp = wrapped

# The frameworks' own ways to add a middleware.
starlette.middleware.Middleware(FlaskSessionASGI, secret="secret", cookie_secure=True)
fastapi.FastAPI().add_middleware(FlaskSessionASGI, secret="secret")
litestar.Litestar(middleware=[DefineMiddleware(FlaskSessionASGI, secret="secret")])

# Settings, by name, by Flask's names, with lifetimes as seconds or timedelta.
settings = Settings(secret="secret", permanent_lifetime=3600, secret_fallbacks=["old", b"older"])
assert_type(settings.permanent_lifetime, timedelta)
assert_type(settings.secret_fallbacks, tuple[str | bytes, ...])
Settings.from_flask(flask.Flask("app"), cookie_samesite="Lax")
Settings.from_flask(quart.Quart("app"))
Settings.from_mapping({"SECRET_KEY": "secret"}, refresh_after=timedelta(hours=1))
Settings.from_env(prefix="APP_")
assert_type(settings.replace(cookie_name="other"), Settings)
settings.cookie_name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
FlaskSessionASGI(raw, settings=settings, exclude=["/static"])
FlaskSessionASGI(raw, settings=settings, exclude=lambda scope: scope["path"] == "/health")
FlaskSessionASGI(raw, "secret", cookie_samesit="Lax")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Settings(secret="secret", vary="often")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class OwnSession(Session):
    """A session class of the application."""


FlaskSessionASGI(raw, "secret", session_class=OwnSession)


# Sessions in a store: by its URL, one of ours, one of the application's.
in_redis = FlaskSessionASGI(raw, "secret", store="redis://localhost", permanent=True, permanent_lifetime=3600)
assert_type(in_redis.store, Store | None)
FlaskSessionASGI(
    raw,
    "secret",
    store=MemoryStore(max_sessions=1000),
    lazy=True,
    on_store_error="raise",
    store_timeout=timedelta(seconds=1),
    key_prefix="app:",
    record_format="msgpack",
    sign_ids=True,
    id_bytes=48,
    protection=True,
    trusted_proxies=1,
)
Settings.from_flask(flask.Flask("app"), store="redis://localhost")
assert_type(open_store("memory:"), Store)
flask.Flask("app").session_interface = FlaskSessionInterface(store="redis://localhost")


class OwnStore:
    """A store of the application, which knows nothing of ours."""

    async def get(self, key: str) -> bytes | None:
        return None

    async def create(self, key: str, value: bytes, ttl: int) -> bool:
        return True

    async def replace(self, key: str, value: bytes, ttl: int, expected: bytes) -> bool:
        return True

    async def touch(self, key: str, ttl: int) -> bool:
        return True

    async def delete(self, key: str) -> None: ...

    async def aclose(self) -> None: ...


class NoStore:
    """One that cannot compare."""

    async def get(self, key: str) -> bytes | None:
        return None


class OwnBaseStore(OwnStore, BaseStore):
    """One that can list its users' sessions."""


own: Store = OwnStore()
FlaskSessionASGI(raw, "secret", store=OwnStore())
FlaskSessionASGI(raw, "secret", store=OwnBaseStore())
FlaskSessionASGI(raw, settings=settings.replace(store=own))
FlaskSessionASGI(raw, "secret", store=NoStore())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
FlaskSessionASGI(raw, "secret", store=OwnStore)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Settings("secret", record_format="pickle")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def operate(store: MemoryStore) -> None:
    await store.ping()
    assert_type(await store.sessions_of("7"), list[str])
    assert_type(await store.revoke_user("7", keep="sid"), int)
    assert_type(await store.prune(), int)
    await store.aclose()


async def use(session: Session) -> None:
    await session.load()
    session["cart"] = [1, 2]
    assert_type(session["cart"], Any)
    assert_type(session.permanent, bool)
    session.permanent = True
    assert_type(session.new, bool)
    assert_type(session.sid, str | None)
    session.mark_accessed()
    session.mark_modified()
    session.regenerate()
    await session.save()
    as_dict: dict[str, Any] = session
    as_dict.clear()
