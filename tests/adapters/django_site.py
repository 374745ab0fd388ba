"""A Django project beside a Flask app, and the browser that goes from one to the other."""

import asyncio
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlencode

import django
import flask
import flask_login
import flask_wtf
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.decorators import login_required
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.http import HttpResponse, JsonResponse
from django.test.utils import override_settings
from django.urls import path
from django.utils.decorators import sync_only_middleware
from django.utils.safestring import SafeString
from driver import SECRET
from markupsafe import Markup
from werkzeug.test import Client as WSGIClient

from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.adapters.django.csrf import flask_csrf_protect, generate_csrf
from asgi_flask_session.cookies import is_deletion

HERE = "asgi_flask_session.adapters.django"
ENGINE = f"{HERE}.engine"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"
DJANGOS_SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
DJANGOS_LOGIN = "django.contrib.auth.middleware.AuthenticationMiddleware"
OUR_SESSION = f"{HERE}.middleware.FlaskSessionMiddleware"
OUR_LOGIN = f"{HERE}.login.FlaskLoginMiddleware"
FLASHES = f"{HERE}.messages.FlashStorage"
DJANGOS_MESSAGES = "django.contrib.messages.storage.session.SessionStorage"


# Django: each action is there for a sync and for an async view, /do/... and /ado/...


def count(request):
    request.session["n"] = request.session.get("n", 0) + 1
    return request.session["n"]


async def acount(request):
    await request.session.aset("n", await request.session.aget("n", 0) + 1)
    return await request.session.aget("n")


async def aappend(request):
    (await request.session.aget("list")).append(1)


def expire(request):
    request.session.set_expiry(int(request.GET["in"]) if "in" in request.GET else None)


async def aexpire(request):
    await request.session.aset_expiry(int(request.GET["in"]) if "in" in request.GET else None)


def expiry(request):
    return [request.session.get_expire_at_browser_close(), request.session.get_expiry_age()]


async def aexpiry(request):
    return [await request.session.aget_expire_at_browser_close(), await request.session.aget_expiry_age()]


def django_user():
    return auth.get_user_model().objects.get(username="ada")


def log_in(request):
    auth.login(request, django_user())


async def alog_in(request):
    await auth.alogin(request, await sync_to_async(django_user)())


def who(request):
    return [request.user.is_authenticated, getattr(request.user, "username", None)]


async def awho(request):
    assert await request.auser() is await request.auser()
    user = await request.auser()
    return [user.is_authenticated, getattr(user, "username", None)]


async def aboth_users(request):
    return await request.auser() == request.user


async def aassign_user(request):
    request.session = {"_user_id": str(await sync_to_async(lambda: django_user().pk)())}
    return await awho(request)


def flask_log_in(request):
    from asgi_flask_session.adapters.django.login import login_user

    login_user(request, django_user(), remember="remember" in request.GET)


def flask_log_out(request):
    from asgi_flask_session.adapters.django.login import logout_user

    logout_user(request)


def confirm(request):
    from asgi_flask_session.adapters.django.login import confirm_login

    confirm_login(request)


def current(request):
    from asgi_flask_session.adapters.django.login import current_login

    return list(current_login(request))


def say(request):
    messages.add_message(
        request, int(request.GET.get("level", messages.SUCCESS)), "from django", request.GET.get("tags")
    )


def hear(request):
    return [[message.tags, str(message), type(message.message).__name__] for message in messages.get_messages(request)]


def assign(request):
    request.session = {"b": 2}


def fail(request):
    count(request)
    raise RuntimeError


def save(request):
    request.session["saved"] = True
    request.session.save()
    return request.session.session_key


async def asave(request):
    await request.session.aset("saved", True)
    await request.session.asave()
    return request.session.session_key


ACTIONS = {
    "nothing": lambda request: None,
    "read": lambda request: request.session.get("n"),
    "data": lambda request: dict(request.session.items()),
    "count": count,
    "append": lambda request: request.session["list"].append(1),
    "pop absent": lambda request: request.session.pop("absent", default=None),
    "permanent": lambda request: setattr(request.session, "permanent", not request.session.permanent),
    "mark": lambda request: setattr(request.session, "modified", True),
    "unmark": lambda request: [count(request), setattr(request.session, "modified", False)],
    "modified": lambda request: [request.session.modified, count(request), request.session.modified],
    "accessed": lambda request: [request.session.accessed, count(request), request.session.accessed],
    "delete another": lambda request: request.session.delete("the key of another session"),
    "clear": lambda request: request.session.clear(),
    "flush": lambda request: request.session.flush(),
    "delete": lambda request: request.session.delete(),
    "cycle": lambda request: request.session.cycle_key(),
    "create": lambda request: request.session.create(),
    "load": lambda request: request.session.load(),
    "safe": lambda request: request.session.update({"safe": SafeString("<b>")}),
    "unwritable": lambda request: request.session.update({"cart": {1}}),
    "exists": lambda request: request.session.exists(request.GET["key"]),
    "key": lambda request: request.session.session_key,
    "is true": lambda request: bool(request.session),
    "is empty": lambda request: request.session.is_empty(),
    "save": save,
    "expire": expire,
    "expiry": expiry,
    "log in": log_in,
    "log out": auth.logout,
    "who": who,
    "flask log in": flask_log_in,
    "flask log out": flask_log_out,
    "confirm": confirm,
    "current": current,
    "say": say,
    "hear": hear,
    "assign": assign,
    "fail": fail,
    "token": generate_csrf,
}
ASYNC_ACTIONS = {
    "read": lambda request: request.session.aget("n"),
    "count": acount,
    "append": aappend,
    "pop absent": lambda request: request.session.apop("absent", default=None),
    "flush": lambda request: request.session.aflush(),
    "delete": lambda request: request.session.adelete(),
    "cycle": lambda request: request.session.acycle_key(),
    "create": lambda request: request.session.acreate(),
    "load": lambda request: request.session.aload(),
    "exists": lambda request: request.session.aexists(request.GET["key"]),
    "save": asave,
    "expire": aexpire,
    "expiry": aexpiry,
    "log in": alog_in,
    "log out": auth.alogout,
    "who": awho,
    "both users": aboth_users,
    "assign user": aassign_user,
}


def do(request, action):
    return JsonResponse(ACTIONS[action](request), safe=False)


async def ado(request, action):
    result = ASYNC_ACTIONS[action](request) if action in ASYNC_ACTIONS else ACTIONS[action](request)
    return JsonResponse(await result if action in ASYNC_ACTIONS else result, safe=False)


@login_required(login_url="/login")
def members(request):
    return HttpResponse("members")


@login_required(login_url="/login")
async def amembers(request):
    return HttpResponse("members")


def form(request):
    return HttpResponse("posted")


async def aform(request):
    return HttpResponse("posted")


@sync_only_middleware
def in_a_thread(get_response):
    return get_response


urlpatterns = [
    path("do/<action>", do),
    path("ado/<action>", ado),
    path("members", members),
    path("amembers", amembers),
    path("form", flask_csrf_protect(form)),
    path("aform", flask_csrf_protect(aform)),
]


# Flask


def flask_app(**config):
    app = flask.Flask("shop")
    app.config.update({"SECRET_KEY": SECRET, **config})
    manager = flask_login.LoginManager(app)
    flask_wtf.CSRFProtect(app)

    @manager.user_loader
    def load_user(user_id):
        user = flask_login.UserMixin()
        user.id = user_id
        return user

    @app.get("/data")
    def data():
        return {key: repr(value) for key, value in flask.session.items()}

    @app.get("/count")
    def count():
        flask.session["n"] = flask.session.get("n", 0) + 1
        return str(flask.session["n"])

    @app.get("/types")
    def types():
        flask.session.update(list=[], tuple=(1, b"2"), markup=Markup("<b>"))
        return ""

    @app.get("/permanent")
    def permanent():
        flask.session.permanent = True
        return ""

    @app.get("/login/<user_id>")
    def login(user_id):
        flask_login.login_user(load_user(user_id), remember="remember" in flask.request.args)
        return ""

    @app.get("/logout")
    def logout():
        flask_login.logout_user()
        return ""

    @app.get("/who")
    def who():
        user = flask_login.current_user
        return {"id": user.get_id(), "fresh": flask_login.login_fresh()}

    @app.get("/flash/<category>")
    def flash(category):
        flask.flash(Markup("<b>from flask</b>") if "markup" in flask.request.args else "from flask", category)
        return ""

    @app.get("/flashes")
    def flashes():
        return flask.jsonify(flask.get_flashed_messages(with_categories=True))

    @app.get("/token")
    def token():
        return flask_wtf.csrf.generate_csrf()

    @app.post("/form")
    def form():
        return "posted"

    return app


# The browser


@dataclass
class Reply:
    status: int
    text: str
    lines: list[str]
    vary: str | None

    @property
    def json(self):
        return json.loads(self.text)


@dataclass
class Browser:
    """Keeps cookies, of one site, from whoever sets them; a second line of one name in a response is an error."""

    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, app, path, form=None, **headers):
        sent = {"User-Agent": "browser", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        reply = (ask_asgi if isinstance(app, ASGI) else ask_wsgi)(app, path, form, sent)
        names = [line.partition("=")[0] for line in reply.lines]
        assert len(names) == len(set(names)), reply.lines
        for name, line in zip(names, reply.lines, strict=True):
            self.cookies.pop(name, None)
            if not is_deletion(line.encode(), 0):
                self.cookies[name] = line.partition(";")[0].partition("=")[2]
        return reply


def ask_wsgi(app, path, form, headers):
    client = WSGIClient(app, use_cookies=False)
    method, client_address = "GET" if form is None else "POST", {"REMOTE_ADDR": "127.0.0.1"}
    answer = client.open(path, method=method, data=form, headers=headers, environ_base=client_address)
    lines = [line.strip() for line in answer.headers.getlist("Set-Cookie")]  # Django 5 begins them with a space
    return Reply(answer.status_code, answer.text, lines, answer.headers.get("Vary"))


class ASGI:
    """An application of that kind."""

    def __init__(self, app):
        self.app = app


def ask_asgi(app, path, form, headers):
    body = b"" if form is None else urlencode(form).encode()
    url, _, query = path.partition("?")
    fields = {"host": "localhost", "content-length": str(len(body)), **headers}
    if form is not None:
        fields["content-type"] = "application/x-www-form-urlencoded"
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "state": {},
        "method": "GET" if form is None else "POST", "path": unquote(url), "raw_path": url.encode(), "root_path": "",
        "query_string": query.encode(), "client": ("127.0.0.1", 50_000), "server": ("localhost", 80),
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields.items()],
    }  # fmt: skip
    sent = []

    async def main():
        to_come = [{"type": "http.request", "body": body}]
        never = asyncio.Event()

        async def receive():
            return to_come.pop() if to_come else await never.wait()

        async def send(message):
            sent.append(message)

        await app.app(scope, receive, send)

    asyncio.run(main())
    got = [(name.decode().lower(), value.decode()) for name, value in sent[0]["headers"]]
    return Reply(
        sent[0]["status"],
        b"".join(message.get("body", b"") for message in sent[1:]).decode(),
        [value for name, value in got if name == "set-cookie"],
        dict(got).get("vary"),
    )


# Ways to have the session in Django

MATCHING = {"SESSION_COOKIE_NAME": "session", "SESSION_COOKIE_SAMESITE": None}


@contextmanager
def project(database, **given):
    """Let Django's settings be those of a project; they are one for each process."""
    if not settings.configured:
        settings.configure(SECRET_KEY="of-django-alone")
    django.setup(set_prefix=False)
    defaults = {
        "ALLOWED_HOSTS": ["*"],
        "DEFAULT_AUTO_FIELD": "django.db.models.AutoField",
        "FLASK_SESSION": {"SECRET_KEY": SECRET},
        "INSTALLED_APPS": ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages", HERE],
        "LOGGING_CONFIG": None,
        "MESSAGE_STORAGE": DJANGOS_MESSAGES,
        "MIDDLEWARE": [DJANGOS_SESSION, DJANGOS_LOGIN, MESSAGES],
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
        "ROOT_URLCONF": __name__,
        "SESSION_ENGINE": ENGINE,
        "USE_TZ": True,
        **MATCHING,
    }
    with override_settings(**{**defaults, **given}), connected(database):
        yield


@contextmanager
def connected(database):
    """Let Django use this database, whatever it has used before."""
    before = connections.settings
    forget_connections()
    connections.settings = connections.configure_settings(
        {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}}
    )
    try:
        yield
    finally:
        forget_connections()
        connections.settings = before


def forget_connections():
    for connection in connections.all(initialized_only=True):
        connection.close()
        del connections[connection.alias]


def django_app(way):
    """Return Django's application; *way* is "wsgi", "asgi", or "scope" for FlaskSessionASGI around it."""
    if way == "wsgi":
        return get_wsgi_application()
    if way == "asgi":
        return ASGI(get_asgi_application())
    from asgi_flask_session.adapters.django.conf import flask_settings

    return ASGI(FlaskSessionASGI(get_asgi_application(), settings=flask_settings()))
