"""The adapters as a user writes them, checked by mypy and pyright and never run."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, assert_type

import fastapi
import flask
import litestar
import starlette.applications
import starlette.datastructures
import starlette.middleware
import starlette.requests
import starlette.responses
from django.http import HttpRequest, HttpResponse
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.security.session_auth import SessionAuth
from litestar.template import TemplateConfig
from litestar.testing import TestClient

from asgi_flask_session import FlaskSessionASGI, Session, Settings
from asgi_flask_session.adapters import fastapi as with_fastapi
from asgi_flask_session.adapters import starlette as with_starlette
from asgi_flask_session.adapters.django.base import FlaskSessionBase
from asgi_flask_session.adapters.django.conf import flask_settings
from asgi_flask_session.adapters.django.csrf import flask_csrf_protect, generate_csrf
from asgi_flask_session.adapters.django.login import confirm_login, current_login, login_user, logout_user
from asgi_flask_session.adapters.litestar import (
    CSRFProtect,
    FlaskRequest,
    FlaskSessionBackend,
    FlaskSessionBackendConfig,
    LoginManager,
    flask_callables,
)
from asgi_flask_session.csrf import CSRFSettings
from asgi_flask_session.login import Login, LoginSettings
from asgi_flask_session.migration import django_signed_cookies, request_cookie, starlette_session
from asgi_flask_session.testing import make_cookie, read_cookie, session_transaction

# Starlette's keywords, in Starlette's order.
starlette.applications.Starlette(
    middleware=[starlette.middleware.Middleware(with_starlette.SessionMiddleware, secret_key="secret", max_age=None)]
)
fastapi.FastAPI().add_middleware(with_fastapi.SessionMiddleware, secret_key=starlette.datastructures.Secret("secret"))
with_starlette.SessionMiddleware(
    starlette.applications.Starlette(), "secret", "session", 3600, "/", "strict", True, "example.org", store="memory:"
)
with_starlette.SessionMiddleware(starlette.applications.Starlette())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

# Dependencies, and the same asked of a request.
login = with_fastapi.LoginManager(LoginSettings("secret"), login_view="/login", login_message=None)
csrf = with_fastapi.CSRFProtect(CSRFSettings("secret"))


async def route(  # noqa: PLR0917  # one dependency each
    request: fastapi.Request,
    response: fastapi.Response,
    session: with_fastapi.FlaskSession,
    flash: with_fastapi.Flash,
    messages: with_fastapi.FlashedMessages,
    user_id: Annotated[str, fastapi.Depends(login.required)],
    token: Annotated[str, fastapi.Depends(csrf.token)],
) -> None:
    assert_type(session, Session)
    assert_type(messages, list[tuple[str, str]])
    flash("saved", "success")
    assert_type(await login.current(request), Login)
    assert_type(await login.user_id(request), str | None)
    assert_type(await login.fresh(request), str)
    login.login_user(request, user_id, remember=True, duration=timedelta(days=7))
    login.logout_user(request)
    login.confirm_login(request)


fastapi.APIRouter(dependencies=[fastapi.Depends(csrf.protect)], responses={**login.responses, **csrf.responses})


async def starlette_handler(request: starlette.requests.Request) -> starlette.responses.Response:
    manager = with_starlette.LoginManager(LoginSettings("secret"))
    assert_type(await manager.required(request), str)
    await with_starlette.CSRFProtect(CSRFSettings("secret")).protect(request)
    with_starlette.flash(request, "saved")
    with_starlette.get_flashed_messages(request, with_categories=True)
    assert_type(with_starlette.session_of(request), Session)
    raise manager.unauthorized(request)


authenticator = with_fastapi.FlaskSessionAuthenticator(
    decoder=with_fastapi.FlaskSessionDecoder(secret_key="secret", salt=b"own"), error_status_code=403
)
fastapi.Depends(authenticator.requires_user_id)


# Litestar: a session backend, guards and an authentication middleware.
backend = FlaskSessionBackendConfig("secret", key="shop", max_age=timedelta(days=1), samesite="lax", exclude="^/static")
FlaskSessionBackendConfig(
    settings=Settings.from_flask(flask.Flask("app")), cookie_secure=True, exclude=lambda scope: True
)
FlaskSessionBackendConfig("secret", samesite="sometimes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
FlaskSessionBackendConfig("secret", maxage=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
assert_type(backend.middleware, DefineMiddleware)


async def retrieve(user_id: str, connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    return user_id


litestar_login = LoginManager(LoginSettings("secret"), retrieve_user_handler=retrieve, login_view="/login")
litestar_csrf = CSRFProtect(CSRFSettings("secret"))


@litestar.post("/", guards=[litestar_login.login_required, litestar_login.fresh_login_required, litestar_csrf.protect])
async def handler(request: FlaskRequest[str, Login, Any]) -> None:
    assert_type(request.session, Session)
    assert_type(request.user, str)
    assert_type(request.auth, Login)
    assert_type(await litestar_login.current(request), Login)
    assert_type(litestar_csrf.token(request), str)
    litestar_login.login_user(request, "7", remember=True, duration=timedelta(days=7))
    litestar_login.logout_user(request)
    litestar_login.confirm_login(request)


def user_of(session: dict[str, Any], connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    return session.get("_user_id")


litestar_app = litestar.Litestar(
    [handler],
    on_app_init=[backend.on_app_init, litestar_login.on_app_init],
    dependencies={"user_id": Provide(litestar_login.provide_user_id)},
    template_config=TemplateConfig(
        directory=".", engine=JinjaTemplateEngine, engine_callback=flask_callables(litestar_csrf)
    ),
)
litestar.Litestar([handler], middleware=[backend.middleware, litestar_login.middleware])
SessionAuth[str, FlaskSessionBackend](retrieve_user_handler=user_of, session_backend_config=backend)
TestClient(litestar_app, session_config=backend)


# Django
assert_type(flask_settings(), Settings)


def django_view(request: HttpRequest, user: Any) -> None:
    assert_type(current_login(request), Login)
    login_user(request, user, remember=True, duration=timedelta(days=7))
    confirm_login(request)
    logout_user(request)
    assert_type(generate_csrf(request), str)
    if isinstance(request.session, FlaskSessionBase):
        request.session.permanent = True


@flask_csrf_protect
def protected(request: HttpRequest, number: int) -> HttpResponse:
    return HttpResponse()


@flask_csrf_protect
async def aprotected(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


by_number: Callable[[HttpRequest, int], HttpResponse] = protected
awaited: Callable[[HttpRequest], Awaitable[HttpResponse]] = aprotected

# Readers of other formats, and helpers for tests.


def of_mine(scope: Any) -> Mapping[str, Any] | None:
    return {"user": request_cookie(scope, "old")}


wrapped = FlaskSessionASGI(
    starlette.applications.Starlette(),
    "secret",
    migrate_from=[starlette_session("secret"), django_signed_cookies(b"secret", fallbacks=["old"]), of_mine],
)
assert_type(make_cookie({"a": 1}, "secret"), str)
assert_type(read_cookie(b"", wrapped), dict[str, Any])


async def in_tests(client: object) -> None:
    with session_transaction(client, Settings("secret")) as session:
        assert_type(session, Session)
    async with session_transaction(client, wrapped, url="https://shop.example") as session:
        session["user"] = "ada"
