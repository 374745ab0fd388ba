"""quart_plugin.FlaskSessionInterface beside Quart's own interface: the same app, the same requests, what comes back."""

import asyncio
import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import flask
import pytest
from driver import NOW, SECRET
from itsdangerous import TimestampSigner, URLSafeSerializer, URLSafeTimedSerializer
from peers.quart_side import SAYS_WHAT_IS_READ
from quart import (
    Blueprint,
    Quart,
    abort,
    copy_current_request_context,
    flash,
    get_flashed_messages,
    render_template_string,
    request,
    session,
    stream_with_context,
)
from quart.sessions import NullSession, SecureCookieSession, SecureCookieSessionInterface
from services.processes import wait_until

from asgi_flask_session import FlaskSessionASGI, Session, Settings, SettingsError, StoreUnavailable
from asgi_flask_session.stores.memory import MemoryStore
from quart_plugin import FlaskSessionInterface

HERE = Path(__file__).parent
STOCK, OURS = SecureCookieSessionInterface, FlaskSessionInterface
STOPPED = datetime.fromtimestamp(NOW, UTC)


@pytest.fixture(autouse=True)
def _one_second(monkeypatch):
    """Both interfaces live in one second."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz=None):
            return STOPPED

    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setattr("quart.sessions.datetime", Stopped)


def made(kind, **options):
    return kind(clock=lambda: NOW, **options) if issubclass(kind, FlaskSessionInterface) else kind()


def count(session):
    session["n"] = session.get("n", 0) + 1
    return session["n"]


def make_permanent(session):
    session.permanent = True
    session["n"] = 1


VIEWS = {
    "/set": count,
    "/set/<key>/<value>": lambda session, key, value: session.update({key: value}),
    "/get": lambda session: str(session.get("n")),
    "/all": lambda session: repr(sorted(session.items())),
    "/untouched": lambda _: "untouched",
    "/types": lambda session: session.update(o=datetime(2024, 1, 2, tzinfo=UTC), p=(1, b"2")),
    "/permanent": make_permanent,
    "/passing": lambda session: setattr(session, "permanent", False),
    "/clear": lambda session: session.clear(),
    "/pop": lambda session: session.pop("n", None),
    "/mark": lambda session: setattr(session, "modified", True),
}


def app_with(interface, **config):
    app = Quart(__name__, static_folder=str(HERE), static_url_path="/static")
    app.secret_key = SECRET
    app.config.update(config)
    if interface is not None:
        app.session_interface = interface

    def add(path, handle):
        async def view(**values):
            return str(handle(session, **values) or "")

        app.add_url_rule(path, path.replace("/", "_"), view)

    for path, handle in VIEWS.items():
        add(path, handle)

    @app.get("/forbidden")
    async def forbidden():
        session["n"] = 403
        abort(403)

    @app.get("/fail")
    async def fail():
        session["n"] = 500
        raise RuntimeError("on purpose")

    return app


async def answer(app, path, cookie=None, **options):
    headers = {"Cookie": f"{app.config['SESSION_COOKIE_NAME']}={cookie}"} if cookie else {}
    response = await app.test_client(use_cookies=False).get(path, headers=headers, **options)
    body = (await response.get_data()).decode()
    return response.status_code, body, response.headers.getlist("Set-Cookie"), response.headers.getlist("Vary")


def visit(app, *paths, cookie=None):
    """Ask one path after the other as a browser of this very app would, and return all answers."""

    async def main():
        kept, answers = cookie, []
        for path in paths:
            answers.append(await answer(app, path, kept))
            for line in answers[-1][2]:
                kept = line.partition(";")[0].partition("=")[2]
        return answers

    return asyncio.run(main())


def cookie_of(app, *paths):
    return visit(app, *paths)[-1][2][0].partition(";")[0].partition("=")[2]


def raised(app, path, cookie=None):
    """Return what an app lets out."""
    app.config["PROPAGATE_EXCEPTIONS"] = True
    try:
        visit(app, path, cookie=cookie)
    except Exception as error:  # noqa: BLE001  # whatever it is
        while isinstance(error, ExceptionGroup):
            [error] = error.exceptions
        return error


# The same requests

LIFE = ("/set", "/get", "/set", "/all", "/mark", "/types", "/all", "/pop", "/pop", "/clear", "/get")
LASTING = ("/permanent", "/get", "/set", "/all", "/passing", "/get", "/permanent", "/clear")
FAILING = ("/forbidden", "/get", "/fail", "/get")

CONFIGS = [
    {},
    {"SESSION_COOKIE_NAME": "other"},
    {"SESSION_COOKIE_DOMAIN": "example.com"},
    {"SESSION_COOKIE_DOMAIN": ".example.com"},
    {"SESSION_COOKIE_DOMAIN": False},
    {"SERVER_NAME": "localhost"},
    {"SESSION_COOKIE_PATH": "/a b"},
    {"APPLICATION_ROOT": "/root"},
    {"APPLICATION_ROOT": "/root", "SESSION_COOKIE_PATH": "/here"},
    {"SESSION_COOKIE_HTTPONLY": False},
    {"SESSION_COOKIE_SECURE": True},
    {"SESSION_COOKIE_SAMESITE": "Lax"},
    {"SESSION_COOKIE_SAMESITE": "strict"},
    {"SESSION_COOKIE_SAMESITE": "None", "SESSION_COOKIE_SECURE": True},
    {"SESSION_COOKIE_PARTITIONED": True},
    {"PERMANENT_SESSION_LIFETIME": 3600},
    {"PERMANENT_SESSION_LIFETIME": timedelta(minutes=5)},
    {"SESSION_REFRESH_EACH_REQUEST": False},
    {"SECRET_KEY": b"bytes-that-nobody-can-guess"},
    {"SECRET_KEY_FALLBACKS": ["a-former-secret-of-the-tests"]},
    {"SECRET_KEY_FALLBACKS": None},
    {"MAX_COOKIE_SIZE": 0},
]


@pytest.mark.parametrize("paths", [LIFE, LASTING, FAILING], ids=["life", "lasting", "failing"])
@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_answers_are_those_of_quarts_own_interface(config, paths):
    theirs, ours = (visit(app_with(made(kind), **config), *paths) for kind in (STOCK, OURS))
    assert comparable(ours) == comparable(theirs)


def comparable(answers):
    """Return the answers, before Quart 0.23 without Vary: until then Quart sent it with cookies only."""
    return answers if SAYS_WHAT_IS_READ else [rest for *rest, _ in answers]


def test_keys_are_sorted_as_flask_sorts_them():
    app = flask.Flask("flask")
    app.secret_key = SECRET

    @app.get("/")
    def two():
        flask.session["b"], flask.session["a"] = 1, {"d": 1, "c": (2,)}
        return ""

    ours = app_with(made(OURS))

    @ours.get("/two")
    async def our_two():
        session["b"], session["a"] = 1, {"d": 1, "c": (2,)}
        return ""

    assert visit(ours, "/two")[0][2] == [app.test_client().get("/").headers["Set-Cookie"]]


# Where they differ: (paths, what Quart's own sends, what ours sends)
@pytest.mark.parametrize(
    ("paths", "differ"),
    [
        (["/untouched"], (["Cookie"], [])),
        (["/set", "/untouched"], (["Cookie"], [])),
        (["/static/test_stock.py"], (["Cookie"], [])),
        (["/nowhere"], (["Cookie"], [])),
    ],
)
def test_vary_is_sent_only_where_the_session_was_looked_at(paths, differ):
    stock, ours = (visit(app_with(made(kind)), *paths)[-1][3] for kind in (STOCK, OURS))
    assert (stock if SAYS_WHAT_IS_READ else ["Cookie"], ours) == differ


def test_a_cookie_that_never_came_is_not_deleted():
    kinds = STOCK, OURS, type("Changed", (OpensAnother, OURS), {})
    assert [len(visit(app_with(made(kind)), "/clear")[0][2]) for kind in kinds] == [1, 0, 0]


@pytest.mark.parametrize(
    "cookie",
    ["", "x", "a.b.c", '"', "é", "." * 5000, "eyJhIjoxfQ.ZVPxAA.xxxxxxxxxxxxxxxxxxxxxxxxxxx", "a; session=b"],
)
def test_a_cookie_that_is_no_session_is_none(cookie):
    for kind in (STOCK, OURS):
        assert visit(app_with(made(kind)), "/get", cookie=cookie)[0][:3] == (200, "None", [])


@pytest.mark.parametrize(("age", "status"), [(3600, "1"), (3601, "None")])
def test_a_cookie_is_good_for_the_lifetime(age, status, monkeypatch):
    for kind in (STOCK, OURS):
        monkeypatch.setattr("time.time", lambda: NOW)
        cookie = cookie_of(app_with(STOCK()), "/set")
        monkeypatch.setattr("time.time", lambda: NOW + age)
        interface = kind() if kind is STOCK else kind(clock=lambda: NOW + age)
        app = app_with(interface, PERMANENT_SESSION_LIFETIME=3600)
        assert visit(app, "/get", cookie=cookie)[0][1] == status


@pytest.mark.parametrize("writer", [STOCK, OURS])
@pytest.mark.parametrize("reader", [STOCK, OURS])
def test_either_reads_what_the_other_wrote_and_a_former_secret_verifies(writer, reader):
    cookie = cookie_of(app_with(made(writer), SECRET_KEY="a-former-secret-of-the-tests"), "/types")
    app = app_with(made(reader), SECRET_KEY_FALLBACKS=["another-former-secret", "a-former-secret-of-the-tests"])
    assert visit(app, "/all", cookie=cookie)[0][1] == (
        "[('o', datetime.datetime(2024, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)), ('p', (1, b'2'))]"
    )
    assert visit(app_with(made(reader)), "/all", cookie=cookie)[0][1] == "[]"


# The config may change

CHANGES = [
    ("SESSION_COOKIE_SAMESITE", "Lax"),
    ("SESSION_COOKIE_DOMAIN", "example.com"),
    ("SESSION_COOKIE_SECURE", True),
    ("SESSION_COOKIE_PARTITIONED", True),
    ("APPLICATION_ROOT", "/root"),
    ("PERMANENT_SESSION_LIFETIME", 60),
    ("SESSION_REFRESH_EACH_REQUEST", False),
    ("SECRET_KEY", "another-secret-of-the-tests"),
]


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_change_of_the_config_is_seen_by_the_next_request(name, value):
    def changed(kind):
        app = app_with(made(kind))
        before = visit(app, "/permanent")
        app.config[name] = value
        return comparable(before), comparable(visit(app, "/permanent", "/get"))

    assert changed(OURS) == changed(STOCK)


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_change_of_the_config_counts_for_the_response_of_the_view_that_makes_it(name, value):
    def changed(kind):
        app = app_with(made(kind))

        @app.get("/change")
        async def change():
            session.permanent = True
            session["n"] = 1
            app.config[name] = value
            return ""

        return comparable(visit(app, "/change", "/get"))

    assert changed(OURS) == changed(STOCK)


@pytest.mark.parametrize(("name", "value"), CHANGES)
def test_a_change_of_the_config_counts_though_only_a_subclass_wants_the_cookie(name, value):
    def changed(kind):
        app = app_with(made(type("Changed", (Always, kind), {})))

        @app.get("/change")
        async def change():
            app.config[name] = value
            return ""

        return comparable(visit(app, "/set", "/change"))

    assert changed(OURS) == changed(STOCK)


@pytest.mark.parametrize(("name", "value"), [("SECRET_KEY", None), ("PERMANENT_SESSION_LIFETIME", "long")])
def test_a_config_that_cannot_work_does_not_matter_to_a_view_that_only_reads(name, value):
    def read(kind):
        app = app_with(made(kind))

        @app.get("/break")
        async def break_config():
            app.config[name] = value
            return str(session["n"])

        return comparable(visit(app, "/set", "/break"))

    assert read(OURS) == read(STOCK)


def test_a_secret_that_is_added_to_the_fallbacks_is_seen_by_the_next_request():
    app = app_with(made(OURS), SECRET_KEY_FALLBACKS=[])
    cookie = cookie_of(app, "/set")
    app.config["SECRET_KEY"] = "another-secret-of-the-tests"
    assert visit(app, "/get", cookie=cookie)[0][1] == "None"
    app.config["SECRET_KEY_FALLBACKS"].append(SECRET)
    assert visit(app, "/get", cookie=cookie)[0][1] == "1"


def test_several_apps_may_have_one_interface():
    interface = made(OURS)
    apps = [
        app_with(interface, SESSION_COOKIE_SAMESITE=value, SECRET_KEY=key * 20)
        for value, key in (("Lax", "a"), (None, "b"), ("Strict", "c"))
    ]
    first = [visit(app, "/set")[0][2][0] for app in apps]
    assert [line.rpartition("SameSite=")[2] for line in first[::2]] == ["Lax", "Strict"]
    cookies = [line.partition(";")[0].partition("=")[2] for line in first]
    bodies = [[visit(app, "/get", cookie=cookie)[0][1] for cookie in cookies] for app in apps]
    assert bodies == [["1", "None", "None"], ["None", "1", "None"], ["None", "None", "1"]]


def test_several_apps_may_have_one_interface_with_a_store():
    interface = FlaskSessionInterface(store="memory:")
    one, two = app_with(interface), app_with(interface, SESSION_COOKIE_SAMESITE="Lax")
    cookie = cookie_of(one, "/set")
    assert visit(two, "/get", cookie=cookie)[0][1] == "1"


def test_an_interface_may_be_set_while_the_app_serves():
    app = app_with(None)
    cookie = cookie_of(app, "/set")
    app.session_interface = made(OURS)
    assert visit(app, "/set", cookie=cookie)[0][1] == "2"


@pytest.mark.parametrize(
    ("name", "value"),
    [("SESSION_COOKIE_NAME", "a b"), ("SESSION_COOKIE_SAMESITE", "Loose"), ("PERMANENT_SESSION_LIFETIME", "long")],
)
def test_a_config_that_cannot_work_is_refused_by_the_first_request(name, value):
    assert isinstance(raised(app_with(made(OURS), **{name: value}), "/untouched"), SettingsError)


def test_a_cookie_that_is_too_large_for_browsers_is_sent_and_warned_of(caplog):
    def line(kind, limit):
        app = app_with(made(kind), MAX_COOKIE_SIZE=limit)

        @app.get("/large")
        async def large():
            session["large"] = "".join(chr(33 + n * 37 % 90) for n in range(300))
            return ""

        return visit(app, "/large")[0][2]

    assert line(OURS, 0) == line(STOCK, 0)
    assert caplog.records == []
    with pytest.warns(UserWarning, match="too large"):
        theirs = line(STOCK, 100)
    assert line(OURS, 100) == theirs
    assert [record.name for record in caplog.records] == ["asgi_flask_session"]


# What a subclass may change


class Salted:
    salt = "another-salt"
    key_derivation = "django-concat"
    digest_method = staticmethod(hashlib.sha256)


class Sha512:
    digest_method = hashlib.sha512


class PlainJSON:
    class serializer:  # noqa: N801  # Quart's name
        dumps = staticmethod(lambda data: json.dumps(data, sort_keys=True, indent=1))
        loads = staticmethod(json.loads)


class Cookies:
    def get_cookie_name(self, app):
        return "session"

    def get_cookie_domain(self, app):
        return "example.org"

    def get_cookie_path(self, app):
        return "/sub"

    def get_cookie_httponly(self, app):
        return False

    def get_cookie_secure(self, app):
        return True

    def get_cookie_samesite(self, app):
        return "Strict"

    def get_cookie_partitioned(self, app):
        return True


class NoDomain:
    def get_cookie_domain(self, app):
        return None


class ByHost:
    def get_cookie_domain(self, app):
        return request.args.get("domain", "example.com")

    def get_cookie_secure(self, app):
        return super().get_cookie_secure(app) or request.args.get("domain") == "b.example.com"


class NotForAPIs:
    def should_set_cookie(self, app, session):
        return not request.args.get("api") and super().should_set_cookie(app, session)


class Always:
    def should_set_cookie(self, app, session):
        return True


class Never:
    def should_set_cookie(self, app, session):
        return False


class Hour:
    def get_expiration_time(self, app, session):
        return STOPPED + timedelta(hours=1)


class Twice:
    def get_expiration_time(self, app, session):
        expires = super().get_expiration_time(app, session)
        return expires and expires + app.permanent_session_lifetime


class NaiveHour:
    def get_expiration_time(self, app, session):
        return (STOPPED + timedelta(hours=1)).replace(tzinfo=None)


class HourElsewhere:
    def get_expiration_time(self, app, session):
        return (STOPPED + timedelta(hours=1)).astimezone(timezone(timedelta(hours=9)))


class NoExpiry:
    def get_expiration_time(self, app, session):
        return None


class KeysFromElsewhere:
    def get_signing_serializer(self, app):
        return URLSafeTimedSerializer(
            ["an-old-key-of-the-tests", f"key-of-{app.name}-that-is-long"],
            salt="tenants",
            serializer=self.serializer,
            signer_kwargs={"key_derivation": "concat", "digest_method": hashlib.sha256},
        )


class ItsdangerousOwn:
    def get_signing_serializer(self, app):
        return URLSafeTimedSerializer("a-key-of-the-tests-that-is-long")


class ByTenant:
    def get_signing_serializer(self, app):
        serializer = super().get_signing_serializer(app)
        serializer.salt = request.args.get("tenant", "nobody").encode()
        return serializer


class NotHere:
    def get_signing_serializer(self, app):
        return super().get_signing_serializer(app) if request.args.get("tenant") else None


class Vetoed:
    async def save_session(self, app, session, response):
        if not request.args.get("api"):
            await super().save_session(app, session, response)


class Counted:
    async def open_session(self, app, request):
        session = await super().open_session(app, request)
        session["Z"] = session.get("Z", 0) + 1
        return session


class Opens:
    async def open_session(self, app, request):
        serializer = self.get_signing_serializer(app)
        if cookie := request.cookies.get(self.get_cookie_name(app)):
            return self.session_class(serializer.loads(cookie))
        return self.session_class()


class OpensAnother:
    async def open_session(self, app, request):
        serializer = self.get_signing_serializer(app)
        cookie = request.cookies.get(self.get_cookie_name(app))
        return SecureCookieSession(serializer.loads(cookie) if cookie else {})


SUBCLASSES = [
    Salted, Sha512, PlainJSON, Cookies, NoDomain, ByHost, NotForAPIs, Always, Never, Hour, Twice, NaiveHour,
    HourElsewhere, NoExpiry, KeysFromElsewhere, ItsdangerousOwn, ByTenant, NotHere, Vetoed, Counted, Opens,
    OpensAnother,
]  # fmt: skip
ASKED = (
    "/set", "/get", "/set?api=1", "/get?api=1", "/set?domain=b.example.com", "/set?tenant=a", "/set?tenant=a",
    "/get?tenant=b", "/set?tenant=b", "/clear", "/permanent", "/get", "/permanent?api=1", "/clear?api=1",
)  # fmt: skip


@pytest.mark.usefixtures("_far_from_greenwich")
@pytest.mark.parametrize("changes", SUBCLASSES, ids=lambda changes: changes.__name__)
def test_what_a_subclass_changes_counts_as_in_quart(changes):
    def answers(kind):
        interface = made(type("Changed", (changes, kind), {}))
        asked = [path for path in ASKED if changes is not Never or "clear" not in path]  # which deletes what never came
        return [(status, body, lines) for status, body, lines, _ in visit(app_with(interface), *asked)]

    assert answers(OURS) == answers(STOCK)


@pytest.mark.parametrize("name", ["get_cookie_secure", "should_set_cookie"])
def test_a_method_that_is_put_on_the_interface_itself_counts(name):
    def answers(kind):
        app = app_with(made(kind))
        found = visit(app, "/set")[0][2]
        for says in (True, False):
            setattr(app.session_interface, name, lambda *args, says=says: says)
            found += [lines for _, _, lines, _ in visit(app, "/set", "/get")]
        return found

    assert answers(OURS) == answers(STOCK)


def test_an_attribute_that_is_put_on_the_interface_itself_counts_each_time():
    def answers(kind):
        app, found = app_with(made(kind)), []
        for salt in ("one", "two"):
            app.session_interface.salt = salt
            found.append(visit(app, "/set")[0][2])
        return found

    assert answers(OURS) == answers(STOCK)


class OwnSigner(TimestampSigner):
    pass


class OwnSerializer(URLSafeTimedSerializer):
    pass


@pytest.mark.parametrize(
    "serializer",
    [
        URLSafeSerializer(SECRET),
        OwnSerializer(SECRET),
        URLSafeTimedSerializer(SECRET, signer=OwnSigner),
        URLSafeTimedSerializer(SECRET, signer_kwargs={"sep": "~"}),
        URLSafeTimedSerializer(SECRET, fallback_signers=[{"digest_method": hashlib.sha512}]),
        URLSafeTimedSerializer(SECRET, serializer_kwargs={"sort_keys": True}),
        json,
    ],
    ids=["timeless", "serializer", "signer", "separator", "fallback signers", "serializer kwargs", "not itsdangerous"],
)
def test_a_signing_serializer_is_refused_that_signs_otherwise(serializer):
    changes = {"get_signing_serializer": lambda self, app: serializer}
    error = raised(app_with(made(type("Changed", (OURS,), changes))), "/set")
    assert isinstance(error, SettingsError)
    assert str(error).startswith("get_signing_serializer returns a ")


def test_where_no_cookie_is_wanted_no_record_is_made():
    store = MemoryStore()
    visit(app_with(type("Changed", (Never, OURS), {})(store=store)), "/set")
    assert not store._kept


@pytest.mark.parametrize("changes", [Salted, ByHost, KeysFromElsewhere], ids=lambda changes: changes.__name__)
def test_settings_beside_a_subclass_that_says_otherwise_are_refused(changes):
    with pytest.raises(SettingsError, match="settings"):
        type("Changed", (changes, OURS), {})(Settings(SECRET))


def test_the_signing_serializer_reads_and_writes_our_cookies():
    app = app_with(made(OURS))
    cookie = cookie_of(app, "/types")
    serializer = app.session_interface.get_signing_serializer(app)
    data = serializer.loads(cookie)
    assert (data["p"], serializer.dumps(data)) == ((1, b"2"), cookie)
    app.secret_key = None
    assert app.session_interface.get_signing_serializer(app) is None


def test_the_expiration_time_may_be_asked_for():
    app = app_with(made(OURS), PERMANENT_SESSION_LIFETIME=60)
    ends = [app.session_interface.get_expiration_time(app, Session(_permanent=lasts)) for lasts in (True, False)]
    assert ends == [STOPPED + timedelta(seconds=60), None]


def test_the_settings_are_those_of_the_signing_serializer_that_a_subclass_returns():
    app = app_with(type("Changed", (KeysFromElsewhere, OURS), {})())
    settings = app.session_interface.settings_of(app)
    assert (settings.salt, len(settings.keys)) == (b"tenants", 2)


def test_a_session_class_of_ones_own_is_used():
    class Own(Session):
        @property
        def count(self):
            return self.get("n", 0)

    interface = made(type("Changed", (OURS,), {"session_class": Own}))
    app = app_with(interface)

    @app.get("/count")
    async def count():
        return f"{type(session._get_current_object()).__name__} {session.count} {session.signed_at == STOPPED}"

    assert visit(app, "/set", "/count")[-1][1] == "Own 1 True"
    interface.session_class = Session
    assert visit(app_with(made(OURS, session_class=Own)), "/set")[0][1] == "1"


def test_pickle_is_not_what_it_is_based_on():
    assert made(OURS).pickle_based is False


@pytest.mark.parametrize("given", [{"scope_key": "s"}, {"exclude": ["/a"]}])
def test_what_only_the_middleware_can_do_is_refused(given):
    with pytest.raises(SettingsError, match="leave it out"):
        FlaskSessionInterface(**given)


# Without a secret


def test_without_a_secret_a_session_can_be_read_and_not_changed():
    def answers(kind):
        app = app_with(made(kind), SECRET_KEY=None)
        return visit(app, "/get")[0][:3], repr(raised(app, "/set"))

    assert answers(OURS) == answers(STOCK)
    assert "no secret key" in answers(OURS)[1]


def test_without_a_secret_there_is_no_transaction():
    async def main():
        async with app_with(made(OURS), SECRET_KEY=None).test_client().session_transaction():
            pass

    with pytest.raises(RuntimeError, match="Check the secret_key"):
        asyncio.run(main())


class Loud(NullSession):
    def get(self, key, default=None):
        return "null"


class Lender:
    null_session_class = Loud


class Maker:
    async def make_null_session(self, app):
        return Loud()


@pytest.mark.parametrize("changes", [Lender, Maker], ids=lambda changes: changes.__name__)
def test_the_null_session_may_be_another(changes):
    def answers(kind):
        interface = made(type("Changed", (changes, kind), {}))
        return visit(app_with(interface, SECRET_KEY=None), "/get")[0][:3]

    assert answers(OURS) == answers(STOCK) == (200, "null", [])


def test_an_app_may_get_its_secret_later():
    app = app_with(made(OURS), SECRET_KEY=None)
    assert visit(app, "/get")[0][1] == "None"
    app.secret_key = SECRET
    assert visit(app, "/set", "/get")[1][1] == "1"


# What else an app does with its session

KINDS = {"cookie": OURS, "store": lambda: OURS(store=MemoryStore())}


@pytest.fixture(params=["stock", *KINDS])
def any_app(request):
    return app_with(STOCK() if request.param == "stock" else KINDS[request.param]())


@pytest.fixture(params=KINDS)
def our_app(request):
    return app_with(KINDS[request.param]())


def bodies(app, *paths):
    return [body for _, body, _, _ in visit(app, *paths)]


def test_flashed_messages_are_there_once_with_their_categories(any_app):
    @any_app.get("/flash")
    async def flash_two():
        await flash("saved")
        await flash("gone", "error")
        return ""

    @any_app.get("/errors")
    async def errors():
        return str(get_flashed_messages(category_filter=["error"]))

    @any_app.get("/messages")
    async def messages():
        return str(get_flashed_messages(with_categories=True))

    assert bodies(any_app, "/flash", "/messages", "/messages", "/flash", "/errors", "/messages") == [
        "", "[('message', 'saved'), ('error', 'gone')]", "[]", "", "['gone']", "[]",
    ]  # fmt: skip


def test_a_template_sees_the_session(any_app):
    @any_app.get("/template")
    async def template():
        return await render_template_string("{{ session.n }} {{ session['n'] }} {{ session.permanent }}")

    assert bodies(any_app, "/set", "/template") == ["1", "1 1 False"]


def test_a_template_that_does_not_look_at_the_session_does_not_vary():
    app = app_with(made(OURS))

    @app.get("/template")
    async def template():
        return await render_template_string("hello")

    assert visit(app, "/template")[0][2:] == ([], [])


def test_hooks_before_and_after_the_view_may_change_it(any_app):
    @any_app.before_request
    async def before():
        session["before"] = 1

    @any_app.after_request
    async def after(response):
        session["after"] = 1
        return response

    assert bodies(any_app, "/untouched", "/all")[1] == "[('after', 1), ('before', 1)]"


def test_an_error_handler_may_change_it(any_app):
    @any_app.errorhandler(403)
    async def handle(error):
        session["handled"] = session["n"]
        return "handled", 403

    assert visit(any_app, "/forbidden")[0][:2] == (403, "handled")
    assert bodies(any_app, "/forbidden", "/all")[1] == "[('handled', 403), ('n', 403)]"


def test_what_fails_in_the_end_is_a_500_with_the_session(any_app):
    @any_app.after_request
    async def after(response):
        if request.path == "/untouched":
            session["after"] = 1
            if not session.pop("failed", None):
                session["failed"] = 1
                raise RuntimeError("on purpose")
        return response

    status, _, lines, _ = visit(any_app, "/untouched")[0]
    assert (status, len(lines)) == (500, 1)


def test_what_fails_behind_the_save_is_a_500_with_the_session(any_app):
    from quart.signals import request_finished

    async def fail(sender, response):
        if response.status_code == 200:
            raise RuntimeError("on purpose")

    with request_finished.connected_to(fail, any_app):
        status, _, lines, _ = visit(any_app, "/set")[0]
    assert (status, len(lines)) == (500, 1)
    assert bodies(any_app, "/set", "/get") == ["1", "1"]


def test_a_stream_reads_the_session(any_app):
    @any_app.get("/stream")
    async def stream():
        @stream_with_context
        async def parts():
            yield f"{session.get('n')} "
            yield f"{session['n']}"

        return parts(), 200

    assert bodies(any_app, "/set", "/stream") == ["1", "1 1"]


def test_what_a_stream_changes_is_kept_in_a_store_and_warned_of_else(our_app, caplog):
    @our_app.get("/stream")
    async def stream():
        @stream_with_context
        async def parts():
            yield "a"
            session["n"] = 7
            yield "b"

        return parts(), 200

    _, _, read = bodies(our_app, "/set", "/stream", "/get")
    stored = "store" if our_app.session_interface._fields else "cookie"
    assert (stored, read, [r.name for r in caplog.records]) in [
        ("store", "7", []),
        ("cookie", "1", ["asgi_flask_session"]),
    ]


def test_what_a_copied_context_changes_behind_the_response_is_kept_in_a_store(our_app, caplog):
    @our_app.get("/later")
    async def later():
        @copy_current_request_context
        async def work():
            await asyncio.sleep(0)
            session["n"] = 7
            session["list"] = [1]

        our_app.add_background_task(work)
        return ""

    async def main():
        first = await answer(our_app, "/set")
        cookie = first[2][0].partition(";")[0].partition("=")[2]
        async with our_app.test_app():
            await answer(our_app, "/later", cookie)
        return (await answer(our_app, "/get", cookie))[1]

    read = asyncio.run(main())
    stored = "store" if our_app.session_interface._fields else "cookie"
    assert (stored, read, [r.name for r in caplog.records]) in [
        ("store", "7", []),
        ("cookie", "1", ["asgi_flask_session"]),
    ]


def test_a_teardown_function_is_late_too():
    app = app_with(FlaskSessionInterface(store=MemoryStore()))

    @app.teardown_request
    async def teardown(_):
        if request.path == "/untouched":
            session["n"] = 9

    assert bodies(app, "/set", "/untouched", "/get") == ["1", "untouched", "9"]


def test_a_teardown_function_is_late_for_a_session_that_a_subclass_opened(caplog):
    app = app_with(made(type("Changed", (OpensAnother, OURS), {})))

    @app.teardown_request
    async def teardown(_):
        session["n"] = 9

    assert bodies(app, "/untouched") == ["untouched"]
    assert [record.name for record in caplog.records] == ["asgi_flask_session"]


def test_a_background_task_may_keep_the_session_and_save_it():
    app = app_with(FlaskSessionInterface(store=MemoryStore()))

    @app.get("/later")
    async def later():
        kept = session._get_current_object()

        async def work():
            await asyncio.sleep(0.01)
            kept["n"] = 8
            kept["_user_id"] = "7"  # no cookie could carry a new id any more
            await kept.save()

        app.add_background_task(work)
        return ""

    async def main():
        cookie = (await answer(app, "/set"))[2][0].partition(";")[0].partition("=")[2]
        async with app.test_app():
            await answer(app, "/later", cookie)
        return (await answer(app, "/get", cookie))[1]

    assert asyncio.run(main()) == "8"


def test_nothing_is_warned_of_where_all_is_well(our_app, caplog):
    @our_app.before_request
    async def before():
        session.setdefault("seen", []).append(1)

    visit(our_app, *LIFE, *FAILING, "/static/test_stock.py", "/permanent", "/get", "/untouched")
    assert [r.getMessage() for r in caplog.records if r.name == "asgi_flask_session"] == []


def test_requests_at_once_keep_their_sessions_apart(any_app):
    @any_app.get("/slow/<name>")
    async def slow(name):
        session["name"] = name
        await asyncio.sleep(0.01)
        return session["name"]

    async def main():
        return await asyncio.gather(*(answer(any_app, f"/slow/{n}") for n in range(20)))

    answers = asyncio.run(main())
    assert [body for _, body, _, _ in answers] == [str(n) for n in range(20)]
    assert len({lines[0] for _, _, lines, _ in answers}) == 20


def test_requests_at_once_lose_no_write_in_a_store():
    app = app_with(FlaskSessionInterface(store=MemoryStore()))

    async def main():
        cookie = (await answer(app, "/set"))[2][0].partition(";")[0].partition("=")[2]
        await asyncio.gather(*(answer(app, f"/set/k{n}/{n}", cookie) for n in range(20)))
        return (await answer(app, "/all", cookie))[1]

    assert asyncio.run(main()) == repr(sorted({"n": 1, **{f"k{n}": str(n) for n in range(20)}}.items()))


def test_what_cannot_be_written_is_a_500_without_a_session(our_app):
    @our_app.get("/object")
    async def put_object():
        session["n"] = object()
        return ""

    status, _, lines, _ = visit(our_app, "/set", "/object")[1]
    assert (status, lines) == (500, [])


# Vary and static files


@pytest.mark.parametrize(
    ("there", "after"),
    [
        ([], ["Cookie"]),
        (["Accept-Encoding"], ["Accept-Encoding, Cookie"]),
        (["Accept-Encoding, cookie"], ["Accept-Encoding, cookie"]),
        (["*"], ["*"]),
        (["Accept", "Origin"], ["Accept, Cookie", "Origin"]),
        (["Accept", "Cookie"], ["Accept", "Cookie"]),
    ],
)
def test_vary_is_merged(there, after):
    app = app_with(made(OURS))

    @app.after_request
    async def vary(response):
        for value in there:
            response.headers.add("Vary", value)
        return response

    assert visit(app, "/set")[0][3] == after


def with_static_blueprints(app):
    outer = Blueprint("outer", __name__, static_folder=str(HERE), static_url_path="/files", url_prefix="/outer")
    inner = Blueprint("inner", __name__, static_folder=str(HERE), static_url_path="/files", url_prefix="/inner")
    pages = Blueprint("pages", __name__, url_prefix="/pages")

    @pages.get("/static")
    async def static():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    outer.register_blueprint(inner)
    app.register_blueprint(outer)
    app.register_blueprint(pages)
    return app


@pytest.mark.parametrize("path", ["/static", "/outer/files", "/outer/inner/files"])
def test_static_files_never_set_a_cookie_nor_vary(our_app, path):
    app = with_static_blueprints(our_app)

    @app.before_request
    async def count():
        if "seen" in session:
            session["seen"] += "1"

    status, _, lines, vary = visit(app, "/permanent", "/set/seen/1", f"{path}/test_stock.py")[-1]
    assert (status, lines, vary) == (200, [], [])


def test_a_view_that_is_called_static_is_no_static_file(our_app):
    app = with_static_blueprints(our_app)
    assert bodies(app, "/pages/static", "/pages/static") == ["1", "2"]


# The test client


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "under the middleware"])
def test_a_transaction_of_the_test_client_reads_and_writes(our_app, wrapped):
    if wrapped:
        visit(our_app, "/untouched")  # so that a store is there to be shared
        our_app.asgi_app = FlaskSessionASGI(our_app.asgi_app, settings=Settings.from_flask(our_app))

    async def main():
        client = our_app.test_client()
        async with client.session_transaction() as transaction:
            transaction["n"] = 41
            transaction["list"] = []
        read = [await (await client.get("/set")).get_data()]
        async with client.session_transaction() as transaction:
            transaction["list"].append(transaction["n"])
        async with client.session_transaction() as transaction:
            read.append(dict(transaction))
            transaction.clear()
        return [*read, await (await client.get("/get")).get_data(), len(list(client.cookie_jar))]

    assert asyncio.run(main()) == [b"42", {"n": 42, "list": [42]}, b"None", 0]


def test_a_test_client_that_keeps_the_context_shows_the_session(our_app):
    async def main():
        async with our_app.test_client() as client:
            await client.get("/set")
            first = session["n"]
            await client.get("/set")
            return first, session["n"]

    assert asyncio.run(main()) == (1, 2)


def test_a_session_that_was_made_by_hand_is_saved(our_app):
    async def main():
        async with our_app.test_request_context("/") as ctx:
            response = our_app.response_class(b"")
            await our_app.session_interface.save_session(our_app, Session(n=5), response)
            kept = Session()
            kept["n"] = 6
            await our_app.session_interface.save_session(our_app, kept, response)
            del ctx
        return response.headers.getlist("Set-Cookie")

    assert len(asyncio.run(main())) == 1


# Under FlaskSessionASGI


def under_middleware(app, **fields):
    inside = FlaskSessionASGI(app.asgi_app, SECRET, **fields)

    async def outside(scope, receive, send):
        await inside(scope, receive, lambda message: send({"more_body": False, **message}))  # Quart's client asks

    app.asgi_app = outside
    return app


@pytest.mark.parametrize("store", [False, True], ids=["cookie", "store"])
def test_under_the_middleware_the_session_is_its_own(store):
    app = app_with(FlaskSessionInterface())
    seen = []

    @app.get("/same")
    async def same():
        seen.append(session._get_current_object() is request.scope["session"])
        return ""

    under_middleware(app, **({"store": MemoryStore()} if store else {}))
    answers = visit(app, "/set", "/same", "/untouched", "/get", "/clear", "/get")
    assert seen == [True]
    assert [(len(lines), vary) for _, _, lines, vary in answers] == [
        (1, ["Cookie"]), (0, []), (0, []), (0, ["Cookie"]), (1, ["Cookie"]), (0, ["Cookie"]),
    ]  # fmt: skip


def test_under_the_middleware_the_app_needs_no_secret():
    assert bodies(under_middleware(app_with(FlaskSessionInterface(), SECRET_KEY=None)), "/set", "/get") == ["1", "1"]


def test_under_the_middleware_a_failing_request_is_saved():
    assert bodies(under_middleware(app_with(FlaskSessionInterface())), "/fail", "/forbidden", "/get")[-1] == "403"


def test_where_the_middleware_steps_aside_the_interface_writes():
    app = under_middleware(app_with(FlaskSessionInterface()), exclude=["/set"])
    answers = visit(app, "/set", "/get", "/set", "/clear")
    assert [(body, len(lines)) for _, body, lines, _ in answers] == [("1", 1), ("1", 0), ("2", 1), ("", 1)]


class Broken:
    """A store that is down."""

    async def _fail(self, *args):
        raise StoreUnavailable("down")

    get = create = replace = touch = delete = _fail

    async def aclose(self):
        pass


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "under the middleware"])
def test_a_store_that_is_down_is_a_503(wrapped):
    app = app_with(FlaskSessionInterface(store=Broken()))
    if wrapped:
        under_middleware(app, store=Broken())
    answers = [*visit(app, "/untouched", "/set"), *visit(app, "/get", "/fail", "/nowhere", cookie="0123456789abcdef")]
    assert [status for status, _, _, _ in answers] == [200, 503, 503, 503, 503]


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "under the middleware"])
def test_a_store_that_is_down_is_raised_where_that_is_asked_for(wrapped):
    app = app_with(FlaskSessionInterface(store=Broken(), on_store_error="raise"))
    if wrapped:
        under_middleware(app, store=Broken(), on_store_error="raise")
    for path, cookie in (("/set", None), ("/get", "0123456789abcdef")):
        assert isinstance(raised(app, path, cookie), StoreUnavailable)
    assert visit(app, "/untouched")[0][0] == 200


# Settings of ours


@pytest.fixture(params=[True, False], ids=["async", "sync"])
def asked(request):
    seen, answer = [], {"revoked": False}

    def is_revoked(session, signed_at):
        seen.append((dict(session), signed_at))
        return answer["revoked"]

    async def later(session, signed_at):
        await asyncio.sleep(0)
        return is_revoked(session, signed_at)

    return (later if request.param else is_revoked), seen, answer


@pytest.mark.parametrize("store", [False, True], ids=["cookie", "store"])
def test_a_session_that_is_revoked_is_empty(asked, store):
    is_revoked, seen, reply = asked
    app = app_with(FlaskSessionInterface(is_revoked=is_revoked, **({"store": MemoryStore()} if store else {})))
    cookie = cookie_of(app, "/set")
    assert seen == []
    assert visit(app, "/untouched", cookie=cookie)[0][2:] == ([], [])
    assert [data for data, _ in seen] == [{"n": 1}]
    reply["revoked"] = True
    assert visit(app, "/get", cookie=cookie)[0][1:3] == ("None", [])
    assert visit(app, "/set", cookie=cookie)[0][1] == "1"


@pytest.mark.parametrize("kind", [OURS, type("Changed", (NotForAPIs, OURS), {})], ids=["ours", "subclass"])
@pytest.mark.parametrize("store", [False, True], ids=["cookie", "store"])
def test_a_refresh_is_kept_back_from_a_session_that_is_revoked_meanwhile(asked, store, kind):
    is_revoked, _, reply = asked
    app = app_with(kind(is_revoked=is_revoked, **({"store": MemoryStore()} if store else {})))

    @app.get("/everywhere")
    async def log_out_everywhere():
        reply["revoked"] = True
        return ""

    cookie = cookie_of(app, "/permanent")
    assert len(visit(app, "/untouched", cookie=cookie)[0][2]) == 1
    assert visit(app, "/everywhere", cookie=cookie)[0][2:] == ([], [])


def test_a_store_that_is_down_for_is_revoked_is_a_503():
    async def is_revoked(session, signed_at):
        raise StoreUnavailable("down")

    app = app_with(FlaskSessionInterface(store=MemoryStore(), is_revoked=is_revoked))
    assert [status for status, _, _, _ in visit(app, "/set", "/get")] == [200, 503]


def test_refresh_after_keeps_a_young_cookie():
    now = [NOW]
    app = app_with(FlaskSessionInterface(clock=lambda: now[0], refresh_after=60))
    cookie = cookie_of(app, "/permanent")
    lines = []
    for later in (60, 61):
        now[0] = NOW + later
        lines.append(len(visit(app, "/untouched", cookie=cookie)[0][2]))
    assert lines == [0, 1]


@pytest.mark.parametrize("store", [False, True], ids=["cookie", "store"])
def test_an_absolute_lifetime_ends_a_session_however_often_it_was_refreshed(store):
    now = [NOW]
    options = {"store": MemoryStore()} if store else {}
    app = app_with(FlaskSessionInterface(clock=lambda: now[0], absolute_lifetime=100, **options))
    cookie = cookie_of(app, "/permanent")
    read = []
    for later in (60, 100, 101):
        now[0] = NOW + later
        [(_, body, lines, _)] = visit(app, "/get", cookie=cookie)
        cookie = lines[0].partition(";")[0].partition("=")[2] if lines else cookie
        read.append(body)
    assert read == ["1", "1", "None"]


@pytest.mark.parametrize("fields", [{}, {"is_revoked": lambda *_: False}], ids=["", "is_revoked"])
@pytest.mark.parametrize("store", [False, True], ids=["cookie", "store"])
def test_another_format_is_taken_over(store, fields):
    def read(scope):
        headers = dict(scope["headers"])
        return {"n": 5} if headers.get(b"cookie") == b"old=1" else None

    fields = {**fields, "store": MemoryStore()} if store else fields
    app = app_with(FlaskSessionInterface(migrate_from=[read], **fields))

    async def main():
        response = await app.test_client(use_cookies=False).get("/untouched", headers={"Cookie": "old=1"})
        cookie = response.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
        return (await answer(app, "/set", cookie))[1]

    assert asyncio.run(main()) == "6"


@pytest.mark.parametrize(("detect", "read"), [(True, "[1]"), (False, "[]")])
@pytest.mark.parametrize("store", [False, True], ids=["cookie", "store"])
def test_nested_changes_are_seen_where_they_are_looked_for(detect, read, store):
    app = app_with(FlaskSessionInterface(detect_nested=detect, **({"store": MemoryStore()} if store else {})))

    @app.get("/nested")
    async def nested():
        session["list"] = []
        return ""

    @app.get("/append")
    async def append():
        session["list"].append(1)
        return ""

    @app.get("/list")
    async def get_list():
        return str(session["list"])

    answers = visit(app, "/nested", "/list", "/append", "/list")
    assert (answers[-1][1], answers[1][2]) == (read, [])


def lazy_app(kind=OURS, **options):
    app = app_with(kind(store=MemoryStore(), lazy=True, **options))

    @app.get("/load")
    async def load():
        await session.load()
        session["n"] = session.get("n", 0) + 1
        await flash("hello")
        return f"{session['n']} {get_flashed_messages()}"

    return app


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "under the middleware"])
def test_a_lazy_session_is_loaded_when_it_is_asked_for(wrapped):
    app = lazy_app()
    if wrapped:
        under_middleware(app, store=MemoryStore(), lazy=True)
    answers = visit(app, "/load", "/load", "/untouched", "/get")
    assert [(status, body) for status, body, _, _ in answers[:3]] == [
        (200, "1 ['hello']"), (200, "2 ['hello']"), (200, "untouched"),
    ]  # fmt: skip
    assert answers[3][0] == 500  # it says what to write


def test_a_lazy_session_is_revoked_when_it_is_loaded():
    reply = []
    app = lazy_app(is_revoked=lambda session, signed_at: bool(reply))
    cookie = cookie_of(app, "/load")
    reply.append(1)
    assert visit(app, "/load", cookie=cookie)[0][1] == "1 ['hello']"


def test_a_subclass_is_not_asked_about_a_lazy_session_that_was_not_loaded():
    class OnlyCounted(FlaskSessionInterface):
        def should_set_cookie(self, app, session):
            return "n" in session

    answers = visit(lazy_app(OnlyCounted), "/load", "/untouched")
    assert [(status, len(lines)) for status, _, lines, _ in answers] == [(200, 1), (200, 0)]


def test_a_transaction_loads_a_lazy_session():
    async def main():
        client = lazy_app().test_client()
        await client.get("/load")
        async with client.session_transaction() as transaction:
            await transaction.load()
            transaction["n"] = 10
        return await (await client.get("/load")).get_data()

    assert asyncio.run(main()) == b"11 ['hello']"


@pytest.mark.parametrize("path", ["/load", "/save"])
def test_a_lazy_session_whose_store_is_down_is_a_503(path, caplog):
    app = app_with(FlaskSessionInterface(store=Broken(), lazy=True))

    @app.get("/load")
    async def load():
        await session.load()
        return ""

    @app.get("/save")
    async def save():
        await session.load()
        session["n"] = 1
        await session.save()
        return ""

    for cookie in (None, "0123456789abcdef"):
        status = visit(app, path, cookie=cookie)[0][0]
        assert status == (200 if cookie is None and path == "/load" else 503)
    assert {record.getMessage() for record in caplog.records} == {"the session store is not available: down"}


def test_an_app_may_answer_itself_where_the_store_is_down():
    app = app_with(FlaskSessionInterface(store=Broken(), lazy=True))

    @app.errorhandler(StoreUnavailable)
    async def handle(error):
        return "busy", 429

    @app.get("/load")
    async def load():
        await session.load()
        return ""

    assert visit(app, "/load", cookie="0123456789abcdef")[0][:2] == (429, "busy")


def test_a_store_of_our_own_is_closed_when_the_app_has_shut_down(tmp_path):
    app = app_with(FlaskSessionInterface(store=f"sqlite:///{tmp_path}/sessions.db"))
    before = threading.active_count()

    async def main():
        async with app.test_app():
            cookie = (await answer(app, "/set"))[2][0].partition(";")[0].partition("=")[2]
        async with app.test_app():
            return (await answer(app, "/get", cookie))[1]

    assert asyncio.run(main()) == "1"
    wait_until(lambda: threading.active_count() <= before, "a thread goes on")
