"""asgi_flask_session.adapters.starlette: Starlette's keywords, and Flask-Login, Flask-WTF and flashes on requests."""

import inspect
import subprocess
import sys
import warnings
from datetime import timedelta
from email.utils import parsedate_to_datetime
from hashlib import sha256

import pytest
from adapters.flask_site import browser, flask_site, with_flask
from driver import NOW, SECRET, app_that, request, scope_for
from flask_login import config as flask_login
from frameworks.drive import Client, data_of
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware, sessions
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute

from asgi_flask_session import SettingsError
from asgi_flask_session.adapters.starlette import (
    CSRFProtect,
    LoginManager,
    SessionMiddleware,
    flash,
    get_flashed_messages,
    load_session,
    session_of,
)
from asgi_flask_session.csrf import CSRFSettings
from asgi_flask_session.login import LoginSettings, login_user
from asgi_flask_session.migration import starlette_session
from asgi_flask_session.stores.memory import MemoryStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that it is archived
    from starlette_flask.middleware.sessions import SessionMiddleware as StarletteFlask

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login's own

HAS_PARTITIONED = "partitioned" in inspect.signature(sessions.SessionMiddleware).parameters


def write(session):
    session["user"] = "ada"


def sent_by(app, cookie=None, name="session"):
    """Return the name and the attributes of the one cookie that the app sets, in one spelling."""
    line = request(app, cookie, name=name).set_cookie
    (name, _), *attributes = [part.strip().partition("=")[::2] for part in line.split(";")]
    found = {key.lower(): value.lower() for key, value in attributes}
    expires = found.pop("expires", None)
    if expires is not None and "max-age" not in found:
        found["max-age"] = str(int(parsedate_to_datetime(expires).timestamp()) - NOW)
    return name, found


def ours(*args, handle=write, **keywords):
    return SessionMiddleware(app_that(handle), *args, clock=lambda: NOW, **keywords)


KEYWORDS = [
    {},
    {"session_cookie": "other"},
    {"max_age": 60},
    {"max_age": None},
    {"path": "/app"},
    {"same_site": "strict"},
    {"same_site": "none", "https_only": True},
    {"https_only": True},
    {"domain": "example.org"},
    *([{"partitioned": True, "https_only": True}] if HAS_PARTITIONED else []),
]


@pytest.mark.parametrize("keywords", KEYWORDS, ids=str)
def test_keyword_means_what_it_means_to_starlette(keywords):
    theirs = sessions.SessionMiddleware(app_that(write), secret_key=SECRET, **keywords)
    assert sent_by(ours(secret_key=SECRET, **keywords)) == sent_by(theirs)


@pytest.mark.parametrize("theirs", [sessions.SessionMiddleware, StarletteFlask], ids=["starlette", "starlette-flask"])
def test_keywords_have_the_places_and_defaults_of_the_others(theirs):
    takes = dict(inspect.signature(SessionMiddleware).parameters)
    told = {name: parameter.default for name, parameter in inspect.signature(theirs).parameters.items()}
    for only_starlette_flask in {"salt", "signer_kwargs"} & told.keys():
        del told[only_starlette_flask]
    assert [(name, takes[name].default) for name in list(takes)[: len(told)]] == list(told.items())


def test_positional_arguments_mean_what_they_mean_to_starlette():
    told = [SECRET, "other", 60, "/app", "strict", True, "example.org"]
    assert sent_by(ours(*told)) == sent_by(sessions.SessionMiddleware(app_that(write), *told))


async def set_user(request):
    request.session["user"] = "ada"
    return Response()


def as_argument():
    return Starlette(
        routes=[Route("/", set_user)],
        middleware=[Middleware(SessionMiddleware, secret_key=SECRET, session_cookie="other", path="/app")],
    )


def added():
    app = Starlette(routes=[Route("/", set_user)])
    app.add_middleware(SessionMiddleware, secret_key=SECRET, session_cookie="other", path="/app")
    return app


def wrapped():
    return SessionMiddleware(Starlette(routes=[Route("/", set_user)]), Secret(SECRET), "other", path="/app")


@pytest.mark.parametrize("make", [as_argument, added, wrapped])
def test_middleware_goes_where_starlettes_goes(make):
    (line,) = Client(make()).get("/").lines("other")
    assert data_of(line.partition(";")[0].removeprefix("other=")) == {"_permanent": True, "user": "ada"}
    assert "Path=/app" in line


@pytest.mark.parametrize("salt", [{}, {"salt": b"own"}], ids=str)
@pytest.mark.parametrize(
    "told", [None, {}, {"digest_method": sha256}, {"key_derivation": "concat"}, {"key_derivation": "hmac"}]
)
def test_cookie_is_shared_with_starlette_flask(salt, told):
    seen = []
    written = request(StarletteFlask(app_that(write), SECRET, signer_kwargs=told, **salt)).cookie
    ours = SessionMiddleware(
        app_that(lambda session: session.update(again=session["user"])), SECRET, signer_kwargs=told, **salt
    )
    look = app_that(lambda session: seen.append(dict(session)))
    request(StarletteFlask(look, SECRET, signer_kwargs=told, **salt), request(ours, written).cookie)
    assert seen == [{"user": "ada", "again": "ada"}]


def cookie_at_now(data):
    return request(ours(SECRET, handle=lambda session: session.update(data), max_age=None)).cookie


def test_session_of_starlette_goes_on_after_the_switch():
    theirs = request(sessions.SessionMiddleware(app_that(write), SECRET)).cookie
    change = app_that(lambda session: session.update(again=session["user"]))
    app = SessionMiddleware(change, SECRET, migrate_from=[starlette_session(SECRET)])
    assert data_of(request(app, theirs).cookie) == {"_permanent": True, "user": "ada", "again": "ada"}


def test_session_that_flask_began_stays_as_flask_made_it():
    assert "max-age" not in sent_by(ours(SECRET), cookie_at_now({"n": 1}))[1]
    assert "max-age" in sent_by(ours(SECRET), cookie_at_now({"n": 1, "_permanent": True}))[1]


def test_cookie_older_than_max_age_is_no_session():
    seen = []
    app = app_that(lambda session: seen.append(dict(session)))
    for age in (60, 61):
        request(SessionMiddleware(app, SECRET, max_age=60, clock=lambda age=age: NOW + age), cookie_at_now({"n": 1}))
    assert seen == [{"n": 1}, {}]


def test_deletion_repeats_the_attributes():
    keywords = {"session_cookie": "other", "path": "/app", "domain": "example.org", "https_only": True}
    app = ours(SECRET, handle=lambda session: session.clear(), **keywords)
    name, attributes = sent_by(app, cookie_at_now({"n": 1}), "other")
    expected = {
        "max-age": "0",
        "path": "/app",
        "domain": "example.org",
        "secure": "",
        "httponly": "",
        "samesite": "lax",
    }
    assert (name, attributes) == ("other", expected)


def test_other_fields_are_passed_on_and_count_first():
    store = MemoryStore()
    app = ours(SECRET, store=store, cookie_httponly=False, permanent=False, max_age=timedelta(days=1))
    assert app.store is store
    assert app.settings.permanent_lifetime == timedelta(days=1)
    assert (app.settings.cookie_httponly, app.settings.permanent) == (False, False)


@pytest.mark.parametrize(
    "keywords",
    [
        {"same_site": "none"},
        {"same_site": "loose"},
        {"max_age": -1},
        {"path": "app"},
        {"session_cookie": "a b"},
        {"signer_kwargs": {"sep": "."}},
    ],
    ids=str,
)
def test_keyword_that_cannot_work_is_refused(keywords):
    with pytest.raises(SettingsError):
        ours(SECRET, **keywords)


@pytest.mark.parametrize("framework", ["starlette", "fastapi", "litestar", "django", "flask", "quart"])
def test_adapter_without_its_framework_says_what_to_install(framework):
    module = {"quart": "quart_plugin", "django": "asgi_flask_session.adapters.django.engine"}.get(
        framework, f"asgi_flask_session.adapters.{framework}"
    )
    code = f"import sys; sys.modules[{framework!r}] = None; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install asgi-flask-session[{framework}]" in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: ")


# The session, where there is none.


async def ask_for_session(request):
    session_of(request)


@pytest.mark.parametrize(
    ("middleware", "found"),
    [
        ([], "nothing"),
        ([Middleware(SessionMiddleware, secret_key=SECRET, exclude=["/"])], "nothing"),
        ([Middleware(sessions.SessionMiddleware, secret_key=SECRET)], "a "),
        (
            [
                Middleware(SessionMiddleware, secret_key=SECRET),
                Middleware(sessions.SessionMiddleware, secret_key=SECRET, session_cookie="other"),
            ],
            "a ",
        ),
    ],
    ids=["none", "excluded", "Starlette's", "Starlette's inside"],
)
def test_session_that_is_not_there_is_an_error_that_says_so(middleware, found):
    answer = Client(Starlette(routes=[Route("/", ask_for_session)], middleware=middleware)).get("/")
    assert type(answer.raised) is SettingsError
    assert str(answer.raised).startswith(f"scope['session'] holds {found}")
    assert "SessionMiddleware" in str(answer.raised)


def test_session_under_another_key_is_found():
    async def handler(request):
        flash(request, session_of(request, "flask")["user"], scope_key="flask")
        return PlainTextResponse(get_flashed_messages(request, scope_key="flask")[0])

    middleware = [Middleware(SessionMiddleware, secret_key=SECRET, scope_key="flask")]
    assert (
        Client(Starlette(routes=[Route("/", handler)], middleware=middleware)).get("/", {"user": "ada"}).body == b"ada"
    )


# Flask-Login, Flask-WTF and flashes, beside a Flask app that has them.

LOGIN = LoginManager(LoginSettings(SECRET), login_view="/login", refresh_view="/login?fresh=1")
API = LoginManager(LoginSettings(SECRET))
CSRF = CSRFProtect(CSRFSettings(SECRET))


async def who(request):
    login = await LOGIN.current(request)
    return JSONResponse({"user": await LOGIN.user_id(request), "fresh": login.fresh, "source": login.source})


def asking(ask):
    async def handler(request):
        return PlainTextResponse(await ask(request))

    return handler


async def log_in(request):
    LOGIN.login_user(request, "ada", remember="remember" in request.query_params)
    return RedirectResponse("/me", 303)


async def log_out(request):
    LOGIN.logout_user(request)
    return PlainTextResponse("bye")


async def switch(request):
    await log_out(request)
    LOGIN.login_user(request, "bob")
    return RedirectResponse("/me", 303)


async def confirm(request):
    LOGIN.confirm_login(request)
    return Response()


async def buy(request):
    await CSRF.protect(request)
    async with request.form() as form:
        return PlainTextResponse(form.get("item", "nothing"))


async def buy_raw(request):
    await CSRF.protect(request)
    return PlainTextResponse(await request.body())


async def leave_message(request):
    flash(request, "from Starlette", "info")
    return Response()


async def messages(request):
    return JSONResponse(get_flashed_messages(request, with_categories=True))


async def socket(websocket):
    user = await LOGIN.required(websocket)
    await websocket.accept()
    await websocket.send_text(user)
    await websocket.close()


async def leave(websocket):
    LOGIN.logout_user(websocket)
    await websocket.accept()
    await websocket.send_json(list(await LOGIN.current(websocket)))
    await websocket.close()


ROUTES = [
    Route("/new/me", who),
    Route("/new/private", asking(LOGIN.required)),
    Route("/new/private/{rest:path}", asking(LOGIN.required)),
    Route("/new/fresh", asking(LOGIN.fresh)),
    Route("/new/api", asking(API.required)),
    Route("/new/api/fresh", asking(API.fresh)),
    Route("/new/login", log_in),
    Route("/new/logout", log_out),
    Route("/new/switch", switch),
    Route("/new/confirm", confirm),
    Route("/new/token", asking(CSRF.token)),
    Route("/new/buy", buy, methods=["GET", "POST"]),
    Route("/new/buy/raw", buy_raw, methods=["POST"]),
    Route("/new/flash", leave_message),
    Route("/new/flashes", messages),
    WebSocketRoute("/new/socket", socket),
    WebSocketRoute("/new/socket/logout", leave),
]


@pytest.fixture
def site():
    app = with_flask(
        Starlette(routes=ROUTES, middleware=[Middleware(SessionMiddleware, secret_key=SECRET)]), flask_site()
    )
    with browser(app) as client:
        yield client


def test_login_in_flask_is_known(site):
    assert site.get("/new/me").json() == {"user": None, "fresh": False, "source": None}
    site.post("/login", data={"user": "ada"})
    assert site.get("/new/me").json() == {"user": "ada", "fresh": True, "source": "session"}
    assert [site.get(path).text for path in ("/new/private", "/new/fresh", "/new/api")] == ["ada"] * 3


def test_nobody_is_let_in_where_a_login_is_required(site):
    assert [site.get(f"/new/api{path}").status_code for path in ("", "/fresh")] == [401, 401]


def test_remember_cookie_of_flask_is_known_and_not_fresh(site):
    site.post("/login", data={"user": "ada", "remember": "1"})
    del site.cookies["session"]
    assert site.get("/new/me").json() == {"user": "ada", "fresh": False, "source": "remember"}
    assert site.get("/new/private").text == "ada"
    assert site.get("/new/api/fresh").status_code == 401


def test_login_here_is_known_in_flask(site):
    answer = site.get("/new/login")
    assert [line.partition("=")[0] for line in answer.headers.get_list("set-cookie")] == ["session"]
    assert site.get("/me").json() == {"user": "ada", "fresh": True}
    assert site.get("/fresh").status_code == 200


def test_remember_cookie_made_here_is_known_in_flask(site):
    answer = site.get("/new/login?remember")
    assert "content-length" in answer.headers
    lines = sorted(line.partition("=")[0] for line in answer.headers.get_list("set-cookie"))
    assert lines == ["remember_token", "session"]
    del site.cookies["session"]
    assert site.get("/me").json() == {"user": "ada", "fresh": False}


def test_logout_here_is_one_in_flask(site):
    site.post("/login", data={"user": "ada", "remember": "1"})
    site.get("/new/logout")
    assert "remember_token" not in site.cookies
    assert site.get("/me").json()["user"] is None


def test_confirmed_login_is_fresh_in_flask(site):
    site.post("/login", data={"user": "ada", "remember": "1"})
    del site.cookies["session"]
    site.get("/new/confirm")
    assert site.get("/me").json() == {"user": "ada", "fresh": True}


@pytest.mark.parametrize(
    "path", ["/private", "/private/a%20b/c", "/private/x?q=1&r=a%26b", "/private/a;b=c", "/private/a+b?x=+"]
)
def test_redirect_to_the_login_is_flask_logins(site, path):
    flasks, ours = site.get(path), site.get(f"/new{path}")
    assert (ours.status_code, flasks.status_code) == (302, 302)
    assert ours.headers["location"] == flasks.headers["location"].replace("next=%2F", "next=%2Fnew%2F")
    assert site.get("/login").json() == {"messages": [["message", flask_login.LOGIN_MESSAGE]] * 2}


def test_login_that_is_not_fresh_is_sent_to_the_refresh_view(site):
    site.post("/login", data={"user": "ada", "remember": "1"})
    del site.cookies["session"]
    answer = site.get("/new/fresh")
    assert (answer.status_code, answer.headers["location"]) == (302, "/login?fresh=1&next=%2Fnew%2Ffresh")
    assert site.get("/login").json() == {"messages": [["message", flask_login.REFRESH_MESSAGE]]}


def test_without_a_login_view_the_answer_is_401(site):
    answer = site.get("/new/api")
    assert (answer.status_code, answer.text) == (401, "Not authenticated")
    assert "set-cookie" not in answer.headers


def test_message_of_the_redirect_can_be_left_out():
    async def handler(request):
        raise LoginManager(LoginSettings(SECRET), login_view="/login", login_message=None).unauthorized(request)

    app = Starlette(routes=[Route("/", handler)], middleware=[Middleware(SessionMiddleware, secret_key=SECRET)])
    answer = Client(app).get("/")
    assert (answer.status, answer.set_cookies) == (302, [])


def test_websocket_is_closed_where_nobody_is_logged_in(site):
    assert not Client(site.app).websocket("/new/socket").status
    assert Client(site.app).websocket("/new/socket").messages[0]["code"] == 1008
    site.post("/login", data={"user": "ada"})
    with site.websocket_connect("/new/socket") as socket:
        assert socket.receive_text() == "ada"


def test_login_after_a_logout_leaves_the_remember_cookie_deleted(site):
    site.post("/login", data={"user": "ada", "remember": "1"})
    assert len(site.get("/new/switch", follow_redirects=False).headers.get_list("set-cookie")) == 2
    assert (site.get("/me").json()["user"], "remember_token" in site.cookies) == ("bob", False)


@pytest.mark.parametrize("fields", [{}, {"store": MemoryStore()}, {"store": MemoryStore(), "lazy": True}], ids=str)
def test_remember_cookie_goes_out_with_whatever_is_answered(fields):
    async def handler(request):
        await load_session(request)
        LOGIN.login_user(request, "7", remember=True)
        raise HTTPException(303, headers={"Location": "/"})

    middleware = [Middleware(SessionMiddleware, secret_key=SECRET, **fields)]
    answer = Client(Starlette(routes=[Route("/", handler)], middleware=middleware)).get("/")
    assert [len(answer.lines(name)) for name in ("session", "remember_token")] == [1, 1]


def test_logout_in_a_websocket_voids_the_remember_cookie(site):
    remembered = login_user(scope_for(), {}, "ada", LoginSettings(SECRET), remember=True).partition(b";")[0]
    told = {"type": "websocket", "scheme": "ws", "headers": [(b"cookie", remembered)]}
    answer = Client(site.app).get("/new/socket/logout", {"_user_id": "ada", "_fresh": True}, **told)
    assert answer.messages[1]["text"] == "[null,false,null]"
    assert answer.session == {"_remember": "clear"}


def test_connection_that_is_no_request_is_checked_by_its_headers():
    async def handler(request):
        await CSRF.protect(HTTPConnection(request.scope))
        return PlainTextResponse(await CSRF.token(request))

    routes = [Route("/", handler, methods=["GET", "POST"])]
    client = browser(Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key=SECRET)]))
    token = client.get("/").text
    assert client.post("/", headers={"X-CSRFToken": token}).status_code == 200
    assert client.post("/", data={"csrf_token": token}).status_code == 400


@pytest.mark.parametrize("path", ["/buy", "/new/buy"])
@pytest.mark.parametrize("made", ["/token", "/new/token"])
def test_token_of_one_side_is_accepted_by_the_other(site, made, path):
    token = site.get(made).text
    assert site.post(path, data={"csrf_token": token, "item": "tea"}).status_code == 200
    assert site.post(path, headers={"X-CSRFToken": token}).status_code == 200
    assert site.post(path, data={"csrf_token": token, "item": "tea"}, files={"file": b"leaves"}).status_code == 200


@pytest.mark.parametrize(
    ("token", "reason"),
    [(None, "The CSRF token is missing."), ("forged", "The CSRF token is invalid.")],
)
@pytest.mark.parametrize("path", ["/buy", "/new/buy"])
def test_request_without_a_good_token_is_refused_as_flask_wtf_does(site, path, token, reason):
    site.get("/token")
    answer = site.post(path, data={"item": "tea"} if token is None else {"csrf_token": token})
    assert answer.status_code == 400
    assert reason in answer.text


def test_form_can_be_read_after_the_check(site):
    token = site.get("/token").text
    assert site.post("/new/buy", data={"csrf_token": token, "item": "tea"}).text == "tea"
    assert site.post("/new/buy", data={"csrf_token": token, "item": "tea"}, files={"file": b""}).text == "tea"
    assert site.post("/new/buy/raw", data={"csrf_token": token}).text == f"csrf_token={token}"
    spelled = {"content-type": "application/x-www-form-urlencoded ; charset=utf-8"}
    assert site.post("/new/buy/raw", content=f"csrf_token={token}", headers=spelled).status_code == 200
    assert site.post("/new/buy/raw", content=b"[1]", headers={"X-CSRFToken": token}).text == "[1]"


def test_file_in_place_of_the_token_is_refused(site):
    site.get("/token")
    assert site.post("/new/buy", files={"csrf_token": b"forged"}).status_code == 400


def test_request_that_changes_nothing_needs_no_token(site):
    assert site.get("/new/buy").text == "nothing"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\xff"),
        ("application/x-www-form-urlencoded", b"csrf_token=%ff&\xff=%"),
        ("Application/X-WWW-Form-Urlencoded ; charset=nothing", b"csrf_token"),
        ("application/json", b"{"),
        ("", b""),
    ],
)
def test_body_that_is_no_form_is_refused(site, kind, body):
    assert site.post("/new/buy", content=body, headers={"content-type": kind}).status_code == 400


def test_check_that_is_switched_off_reads_no_body():
    csrf = CSRFProtect(CSRFSettings(SECRET, enabled=False))

    async def handler(request):
        await csrf.protect(request)
        return PlainTextResponse(b"".join([part async for part in request.stream()]))

    app = Starlette(
        routes=[Route("/", handler, methods=["POST"])], middleware=[Middleware(SessionMiddleware, secret_key=SECRET)]
    )
    assert "tea" in browser(app).post("/", files={"item": b"tea"}).text


def test_form_without_a_parser_is_warned_of_and_refused(site, monkeypatch, caplog):
    monkeypatch.setattr("starlette.formparsers.multipart", None)
    token = site.get("/token").text
    assert site.post("/new/buy", data={"csrf_token": token}).status_code == 400
    assert "pip install python-multipart" in caplog.text


def test_messages_go_both_ways(site):
    site.get("/new/flash")
    assert site.get("/flashes").json() == [["info", "from Starlette"]]
    site.get("/flash")
    assert site.get("/new/flashes").json() == [["info", "from Flask"]]
    assert site.get("/new/flashes").json() == []


def test_lazy_session_is_loaded_where_it_is_asked_for():
    middleware = [Middleware(SessionMiddleware, secret_key=SECRET, store=MemoryStore(), lazy=True)]
    client = browser(Starlette(routes=ROUTES, middleware=middleware))
    assert client.get("/new/token").status_code == 200
    assert client.post("/new/buy", headers={"X-CSRFToken": client.get("/new/token").text}).status_code == 200
    assert client.get("/new/me").json()["user"] is None


@pytest.mark.parametrize(("make", "written"), [(LoginManager, "LoginSettings"), (CSRFProtect, "CSRFSettings")])
def test_secret_in_place_of_settings_is_refused(make, written):
    with pytest.raises(SettingsError, match=written) as raised:
        make(SECRET)
    assert SECRET not in str(raised.value)


def test_remember_cookie_is_prolonged_where_that_is_asked_for():
    manager = LoginManager(LoginSettings(SECRET, refresh_each_request=True))

    async def log_in(request):
        manager.login_user(request, "7")
        return PlainTextResponse("")

    async def me(request):
        return PlainTextResponse(str(await manager.user_id(request)))

    routes = [Route("/login", log_in), Route("/me", me)]
    client = Client(Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key=SECRET)]))
    (line,) = client.get("/login").lines("remember_token")
    assert line.startswith("remember_token=7|")
    assert len(client.get("/me", {"_user_id": "7"}).lines("remember_token")) == 1
    assert client.get("/me").lines("remember_token") == []
