"""asgi_flask_session.adapters.fastapi: the dependencies in routes, in OpenAPI, and beside a Flask app."""

from typing import Annotated, Any

import msgspec
import pytest
from adapters.flask_site import browser, flask_site, with_flask
from driver import NOW, SECRET
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request, Response, UploadFile, WebSocket
from fastapi_flask_auth import FlaskSessionAuthenticator as TheirAuthenticator
from flask_session_decoder import FlaskSessionDecoder as TheirDecoder
from frameworks.drive import Client, cookie_of
from pydantic import BaseModel

from asgi_flask_session import FlaskSessionASGI, SessionNotLoaded, SettingsError, StoreUnavailable
from asgi_flask_session.adapters.fastapi import (
    CSRFProtect,
    Flash,
    FlashedMessages,
    FlaskSession,
    FlaskSessionAuthenticator,
    FlaskSessionDecoder,
    LoginManager,
    SessionMiddleware,
    get_session,
)
from asgi_flask_session.csrf import CSRFSettings
from asgi_flask_session.login import Login, LoginSettings
from asgi_flask_session.stores.memory import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login's own

api = LoginManager(LoginSettings(SECRET))
pages = LoginManager(LoginSettings(SECRET), login_view="/login", refresh_view="/login")
csrf = CSRFProtect(CSRFSettings(SECRET))

UserId = Annotated[str, Depends(api.required)]

routes = APIRouter(prefix="/new")


class Order(BaseModel):
    item: str


@routes.get("/session")
async def read(session: FlaskSession) -> dict[str, Any]:
    return dict(session)


@routes.get("/session/itself")
async def read_itself(session: FlaskSession) -> dict[str, Any]:
    return session


@routes.get("/session/itself/untyped")
def read_itself_untyped(session: FlaskSession):
    return session


@routes.get("/session/encoded")
def read_encoded(session: FlaskSession):
    return Response(msgspec.json.encode(session))


@routes.get("/count")
def count(session: FlaskSession):
    session["n"] = session.get("n", 0) + 1
    return session["n"]


@routes.get("/me")
async def me(login: Annotated[Login, Depends(api.current)], user: Annotated[str | None, Depends(api.user_id)]):
    return {"user": user, "fresh": login.fresh, "source": login.source}


@routes.get("/private", responses=api.responses)
def private(user: UserId) -> str:
    return user


@routes.get("/fresh", responses=api.responses)
async def fresh(user: Annotated[str, Depends(api.fresh)]) -> str:
    return user


@routes.get("/page", dependencies=[Depends(pages.required)], responses=pages.responses)
async def page():
    return "page"


@routes.get("/page/fresh", dependencies=[Depends(pages.fresh)])
async def page_fresh():
    return "page"


@routes.post("/login")
def log_in(request: Request, user: Annotated[str, Form()], remember: Annotated[bool, Form()] = False):
    api.login_user(request, user, remember=remember)
    return "hello"


@routes.post("/logout")
async def log_out(request: Request):
    api.logout_user(request)


@routes.get("/token")
async def token(token: Annotated[str, Depends(csrf.token)]):
    return token


protected = APIRouter(prefix="/new", dependencies=[Depends(csrf.protect)], responses=csrf.responses)


@protected.post("/buy")
async def buy(item: Annotated[str, Form()]):
    return item


@protected.post("/buy/file")
async def buy_file(item: Annotated[str, Form()], file: UploadFile):
    return [item, (await file.read()).decode()]


@protected.post("/buy/json")
def buy_json(order: Order):
    return order.item


@protected.post("/buy/request")
async def buy_request(request: Request):
    async with request.form() as form:
        return form["item"]


@protected.post("/buy/body")
async def buy_body(request: Request):
    return (await request.body()).decode()


@protected.get("/buy")
def look():
    return "look"


@protected.websocket("/buy")
async def watch(websocket: WebSocket):
    await websocket.accept()
    await websocket.close()


@routes.get("/flash")
def leave_message(flash: Flash):
    flash("from FastAPI", "info")
    flash("and another")


@routes.get("/flashes")
def messages(messages: FlashedMessages):
    return messages


@routes.websocket("/socket")
async def socket(websocket: WebSocket, user: UserId, session: FlaskSession):
    session["seen"] = True
    await websocket.accept()
    await websocket.send_json({"user": user, **session})
    await websocket.close()


def make():
    app = FastAPI()
    app.include_router(routes)
    app.include_router(protected)
    return app


def as_middleware():
    app = make()
    app.add_middleware(SessionMiddleware, secret_key=SECRET)
    return with_flask(app, flask_site())


def outermost():
    return FlaskSessionASGI(with_flask(make(), flask_site()), SECRET)


@pytest.fixture(params=[as_middleware, outermost])
def site(request):
    with browser(request.param()) as client:
        yield client


# The session.


def test_session_is_read_and_changed_in_threads_and_coroutines(site):
    assert [site.get("/new/count").json() for _ in range(2)] == [1, 2]
    assert site.get("/new/session").json()["n"] == 2


@pytest.mark.parametrize("path", ["", "/itself", "/itself/untyped", "/encoded"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_response_made_of_the_session_varies_by_cookie(path, backend):
    """Also one that is encoded past the session's own methods."""
    answer = Client(FlaskSessionASGI(make(), SECRET), backend).get(f"/new/session{path}", {"user": "ada"})
    assert (answer.json, answer.vary, answer.set_cookies) == ({"user": "ada"}, [b"Cookie"], [])


def test_route_that_asks_for_no_session_does_not_vary():
    answer = Client(FlaskSessionASGI(make(), SECRET)).get("/openapi.json", {"user": "ada"})
    assert (answer.vary, answer.set_cookies) == ([], [])


@pytest.mark.parametrize("path", ["/new/session", "/new/me", "/new/private", "/new/token", "/new/flashes"])
def test_missing_middleware_is_an_error_that_says_so(path):
    answer = Client(make()).get(path)
    assert type(answer.raised) is SettingsError
    assert "add its SessionMiddleware" in str(answer.raised)


def test_lazy_session_is_loaded_by_the_dependencies():
    app = FlaskSessionASGI(make(), SECRET, store=MemoryStore(), lazy=True)
    site = browser(app)
    assert [site.get("/new/count").json() for _ in range(2)] == [1, 2]
    token = site.get("/new/token").json()
    assert site.post("/new/buy", data={"item": "tea", "csrf_token": token}).json() == "tea"


def test_store_that_is_down_is_503(monkeypatch):
    async def get(self, key):
        raise StoreUnavailable("it is down")

    app = make()
    app.add_middleware(SessionMiddleware, secret_key=SECRET, store=MemoryStore(), lazy=True)
    site = browser(app)
    site.get("/new/count")
    monkeypatch.setattr(MemoryStore, "get", get)
    assert site.get("/new/count").status_code == 503


# Who is logged in.


def test_login_in_flask_is_known(site):
    assert site.get("/new/me").json() == {"user": None, "fresh": False, "source": None}
    site.post("/login", data={"user": "ada"})
    assert site.get("/new/me").json() == {"user": "ada", "fresh": True, "source": "session"}
    assert site.get("/new/private").json() == site.get("/new/fresh").json() == "ada"
    assert site.get("/new/page").status_code == 200


@pytest.mark.parametrize(("remember", "cookies"), [(False, ["session"]), (True, ["remember_token", "session"])])
def test_login_here_is_known_in_flask(site, remember, cookies):
    answer = site.post("/new/login", data={"user": "ada", "remember": remember})
    assert sorted(line.partition("=")[0] for line in answer.headers.get_list("set-cookie")) == cookies
    assert site.get("/me").json() == {"user": "ada", "fresh": True}


def test_remembered_user_is_not_fresh(site):
    site.post("/new/login", data={"user": "ada", "remember": True})
    del site.cookies["session"]
    assert site.get("/new/me").json() == {"user": "ada", "fresh": False, "source": "remember"}
    assert site.get("/new/private").json() == "ada"
    answer = site.get("/new/fresh")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Fresh login required"})
    assert site.get("/new/page/fresh").headers["location"] == "/login?next=%2Fnew%2Fpage%2Ffresh"


def test_logout_here_is_one_in_flask(site):
    site.post("/login", data={"user": "ada", "remember": "1"})
    site.post("/new/logout")
    assert "remember_token" not in site.cookies
    assert site.get("/me").json()["user"] is None


def test_nobody_gets_401_or_flasks_login_page(site):
    answer = site.get("/new/private")
    assert (answer.status_code, answer.json()) == (401, {"detail": "Not authenticated"})
    assert answer.headers["www-authenticate"] == "APIKey"
    answer = site.get("/new/page?x=1")
    assert (answer.status_code, answer.headers["location"]) == (302, "/login?next=%2Fnew%2Fpage%3Fx%3D1")
    assert site.get("/login").json() == {"messages": [["message", "Please log in to access this page."]]}


def test_websocket_is_accepted_for_a_user_and_its_change_is_saved(site):
    assert Client(site.app).websocket("/new/socket").messages[0]["type"] == "websocket.close"
    site.post("/login", data={"user": "ada"})
    with site.websocket_connect("/new/socket") as socket:
        assert socket.receive_json()["user"] == "ada"
    answer = Client(site.app).websocket("/new/socket", {"_user_id": "ada"})
    assert answer.session == {"_user_id": "ada", "seen": True}


def test_user_who_no_longer_exists_is_unauthorized():
    async def user(request: Request, user_id: UserId) -> str:
        if user_id == "bob":
            raise api.unauthorized(request)
        return user_id

    app = FastAPI()

    @app.get("/")
    def handler(user: Annotated[str, Depends(user)]):
        return user

    client = Client(FlaskSessionASGI(app, SECRET))
    assert client.get("/", {"_user_id": "ada"}).json == "ada"
    assert client.get("/", {"_user_id": "bob"}).status == 401


def test_dependencies_can_be_overridden_in_tests():
    app = make()
    app.dependency_overrides[api.required] = lambda: "eve"
    app.dependency_overrides[get_session] = lambda: {"n": 1}
    assert Client(app).get("/new/private").json == "eve"
    assert Client(app).get("/new/session").json == {"n": 1}


# CSRF.


@pytest.mark.parametrize("made", ["/token", "/new/token"])
def test_token_of_either_side_is_accepted(site, made):
    token = site.get(made).text.strip('"')
    fields = {"item": "tea", "csrf_token": token}
    assert site.post("/new/buy", data=fields).json() == "tea"
    assert site.post("/new/buy/file", data=fields, files={"file": b"leaves"}).json() == ["tea", "leaves"]
    assert site.post("/new/buy/request", data=fields).json() == "tea"
    assert site.post("/new/buy/request", data=fields, files={"file": b""}).json() == "tea"
    assert site.post("/new/buy/body", data=fields).json() == f"item=tea&csrf_token={token}"
    assert site.post("/new/buy/json", json={"item": "tea"}, headers={"X-CSRFToken": token}).json() == "tea"
    assert site.post("/buy", data=fields).text == "bought"


@pytest.mark.parametrize("path", ["/new/buy", "/new/buy/request"])
def test_request_without_a_token_is_refused(site, path):
    site.get("/new/token")
    answer = site.post(path, data={"item": "tea"})
    assert (answer.status_code, answer.json()) == (400, {"detail": "The CSRF token is missing."})


def test_token_of_another_session_is_refused(site):
    token = site.get("/new/token").json()
    site.cookies.clear()
    site.get("/new/token")
    answer = site.post("/new/buy/json", json={"item": "tea"}, headers={"X-CSRFToken": token})
    assert (answer.status_code, answer.json()) == (400, {"detail": "The CSRF tokens do not match."})


def test_request_that_changes_nothing_needs_no_token(site):
    assert site.get("/new/buy").json() == "look"
    with site.websocket_connect("/new/buy"):
        pass


# Flashed messages.


def test_messages_go_both_ways(site):
    site.get("/new/flash")
    assert site.get("/flashes").json() == [["info", "from FastAPI"], ["message", "and another"]]
    site.get("/flash")
    assert [site.get("/new/flashes").json() for _ in range(2)] == [[["info", "from Flask"]], []]


# OpenAPI.


@pytest.fixture(scope="module")
def document():
    return make().openapi()


def test_no_dependency_is_taken_for_a_parameter(document):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) > 15
    assert [operation["parameters"] for operation in operations if "parameters" in operation] == []


def test_cookie_and_token_are_documented(document):
    assert document["components"]["securitySchemes"] == {
        "FlaskSession": {
            "type": "apiKey", "in": "cookie", "name": "session", "description": "The session shared with Flask",
        },
        "CSRFToken": {
            "type": "apiKey", "in": "header", "name": "X-CSRFToken", "description": "Or the form's field csrf_token",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "method", "schemes", "status"),
    [
        ("/new/session", "get", [], None),
        ("/new/me", "get", ["FlaskSession"], None),
        ("/new/private", "get", ["FlaskSession"], "401"),
        ("/new/page", "get", ["FlaskSession"], "302"),
        ("/new/buy", "post", ["CSRFToken"], "400"),
        ("/new/token", "get", [], None),
        ("/new/flashes", "get", [], None),
    ],
)
def test_operation_says_what_it_wants_and_how_it_refuses(document, path, method, schemes, status):
    operation = document["paths"][path][method]
    assert {name for wanted in operation.get("security", []) for name in wanted} == set(schemes)
    assert status is None or status in operation["responses"]


def test_another_cookie_name_is_documented():
    manager = LoginManager(LoginSettings(SECRET))
    manager.session_cookie = "shop"
    app = FastAPI()
    app.get("/", dependencies=[Depends(manager.required)])(lambda: None)
    assert app.openapi()["components"]["securitySchemes"]["FlaskSession"]["name"] == "shop"


# fastapi-flask-auth.

METHODS = ["get_session_cookie", "get_user_id", "requires_session_cookie", "requires_user_id"]
DECODERS = {"ours": FlaskSessionDecoder, "theirs": TheirDecoder}


def outcome(authenticator, method, cookie):
    scope = {"type": "http", "headers": [] if cookie is None else [(b"cookie", cookie.encode("latin-1"))]}
    try:
        return getattr(authenticator, method)(Request(scope))
    except HTTPException as error:
        return error.status_code, error.detail


COOKIES = {
    "none": None,
    "another": "other=1",
    "empty": "session=",
    "a user": f"session={cookie_of({'_user_id': 'ada', 'n': [1, None]})}",
    "compressed": f"session={cookie_of({'_user_id': 'ada', 'text': 'x' * 500})}",
    "nobody": f"session={cookie_of({'n': 1})}",
    "forged": f"session={cookie_of({'_user_id': 'ada'})[:-1]}",
    "no cookie at all": "session=rubbish",
    "bytes": "session=\xff\xfe.\xff",
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cookie", COOKIES)
def test_authenticator_answers_as_fastapi_flask_auth(cookie, method, decoder):
    theirs = TheirAuthenticator(decoder=TheirDecoder(secret_key=SECRET))
    ours = FlaskSessionAuthenticator(decoder=DECODERS[decoder](secret_key=SECRET))
    assert outcome(ours, method, COOKIES[cookie]) == outcome(theirs, method, COOKIES[cookie])


def test_authenticator_takes_the_others_settings():
    told = {"error_status_code": 403, "id_field": "uid", "session_header": "shop"}
    theirs = TheirAuthenticator(decoder=TheirDecoder(secret_key=SECRET, salt=b"own"), **told)
    ours = FlaskSessionAuthenticator(decoder=FlaskSessionDecoder(secret_key=SECRET, salt=b"own"), **told)
    for cookie in (f"shop={cookie_of({'uid': 'ada'})}", "shop=x", None):
        for method in METHODS:
            assert outcome(ours, method, cookie) == outcome(theirs, method, cookie)


def test_decoder_refuses_what_is_too_old_and_reads_former_keys():
    cookie = f"session={cookie_of({'_user_id': 'ada'})}"
    decoders = [
        FlaskSessionDecoder(secret_key="the-next-secret-of-the-tests", secret_fallbacks=[SECRET]),
        FlaskSessionDecoder(secret_key=SECRET, clock=lambda: NOW * 2),
    ]
    found = [outcome(FlaskSessionAuthenticator(decoder=decoder), "get_user_id", cookie) for decoder in decoders]
    assert found == ["ada", None]


@pytest.mark.parametrize(
    "field", [{"store": MemoryStore()}, {"is_revoked": lambda *_: True}, {"migrate_from": [lambda _: None]}], ids=str
)
def test_decoder_refuses_what_a_cookie_alone_cannot_say(field):
    with pytest.raises(SettingsError, match="leave the decoder out"):
        FlaskSessionDecoder(secret_key=SECRET, **field)


def test_decoder_that_gives_no_object_is_no_session():
    class Decoder:
        def json(self, cookie):
            return ["_user_id"]

    assert outcome(FlaskSessionAuthenticator(decoder=Decoder()), "get_session_cookie", "session=x") is None


@pytest.mark.parametrize("cookie", [{"_user_id": "ada"}, {"n": 1}, None], ids=str)
def test_authenticator_in_routes(cookie):
    """With a decoder it needs no middleware; without one it reads the middleware's session, of whatever store."""
    app = FastAPI()
    auth = FlaskSessionAuthenticator(decoder=FlaskSessionDecoder(secret_key=SECRET))
    of_middleware = FlaskSessionAuthenticator()
    for prefix, authenticator in {"/decoder": auth, "/middleware": of_middleware}.items():

        @app.get(f"{prefix}/cookie")
        def read_cookie(data: Annotated[dict[str, Any] | None, Depends(authenticator.get_session_cookie)]):
            return data

        @app.get(f"{prefix}/user")
        def user(user: Annotated[str, Depends(authenticator.requires_user_id)]):
            return user

    for client, prefix in ((Client(app), "/decoder"), (Client(FlaskSessionASGI(app, SECRET)), "/middleware")):
        assert client.get(f"{prefix}/cookie", cookie).json == cookie
        answer = client.get(f"{prefix}/user", cookie)
        assert answer.status == (200 if cookie and "_user_id" in cookie else 401)


@pytest.mark.parametrize("method", METHODS)
def test_authenticator_without_a_decoder_makes_the_response_vary(method):
    app = FastAPI()
    app.get("/", dependencies=[Depends(getattr(FlaskSessionAuthenticator(), method))])(lambda: None)
    client = Client(FlaskSessionASGI(app, SECRET))
    assert [client.get("/", cookie).vary for cookie in (None, {"_user_id": "ada"})] == [[b"Cookie"]] * 2


def test_authenticator_takes_no_lazy_session_for_nobodys():
    auth, settings = FlaskSessionAuthenticator(), {"store": MemoryStore(), "lazy": True}
    app = FastAPI()
    app.get("/bare")(lambda user=Depends(auth.get_user_id): user)  # noqa: B008  # FastAPI's way
    app.get("/loaded", dependencies=[Depends(get_session)])(lambda user=Depends(auth.get_user_id): user)  # noqa: B008

    @app.get("/login")
    def log_in(session: FlaskSession):
        session["_user_id"] = "ada"

    client = browser(FlaskSessionASGI(app, SECRET, **settings))
    client.get("/login")
    assert client.get("/loaded").json() == "ada"
    with pytest.raises(SessionNotLoaded):
        client.get("/bare")


def test_first_of_two_cookies_counts_as_in_flask():
    cookie = "; ".join(f"session={cookie_of({'_user_id': name})}" for name in ("ada", "bob"))
    authenticator = FlaskSessionAuthenticator(decoder=FlaskSessionDecoder(secret_key=SECRET))
    assert outcome(authenticator, "get_user_id", cookie) == "ada"
