"""asgi_flask_session.adapters.flask: Flask's own session interface, and ours in its place."""

import asyncio
import json
import os
import threading
from contextlib import suppress

import flask
import pytest
from driver import NOW, SECRET, app_that, request
from flask import session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from asgi_flask_session import FlaskSessionASGI, Settings, SettingsError, StoreUnavailable, server_side
from asgi_flask_session.adapters.flask import FlaskSessionInterface
from asgi_flask_session.stores.base import open_store
from asgi_flask_session.stores.memory import MemoryStore

KINDS = {"cookie": FlaskSessionInterface, "store": lambda: FlaskSessionInterface(store=MemoryStore())}


@pytest.fixture(params=KINDS)
def interface(request):
    return KINDS[request.param]()


def app_with(interface, **config):
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    app.config.update(config)
    app.session_interface = interface

    @app.get("/set")
    def set_value():
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    @app.get("/get")
    def get_value():
        return str(session.get("n"))

    @app.get("/untouched")
    def untouched():
        return "untouched"

    @app.get("/nested")
    def nested():
        session["list"] = []
        return "nested"

    @app.get("/append")
    def append():
        session["list"].append(1)
        return str(session["list"])

    @app.get("/clear")
    def clear():
        session.clear()
        return "cleared"

    @app.get("/permanent")
    def permanent():
        session.permanent = True
        session["n"] = 1
        return "permanent"

    @app.get("/fail")
    def fail():
        session["n"] = 500
        raise RuntimeError("on purpose")

    return app


def test_a_value_is_there_in_the_next_request(interface):
    client = app_with(interface).test_client()
    assert [client.get("/set").text for _ in range(3)] == ["1", "2", "3"]
    assert client.get("/get").text == "3"


def test_headers_are_sent_when_they_are_owed(interface):
    client = app_with(interface).test_client()
    first = client.get("/untouched")
    assert ("Set-Cookie" in first.headers, "Vary" in first.headers) == (False, False)
    client.get("/set")
    read = client.get("/get")
    assert ("Set-Cookie" in read.headers, read.headers.get("Vary")) == (False, "Cookie")


def test_nested_changes_are_seen(interface):
    client = app_with(interface).test_client()
    client.get("/nested")
    client.get("/append")
    assert client.get("/append").text == "[1, 1]"


def test_an_emptied_session_deletes_the_cookie(interface):
    client = app_with(interface).test_client()
    client.get("/set")
    line = client.get("/clear").headers["Set-Cookie"]
    assert line.startswith("session=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0")
    assert client.get("/get").text == "None"


def test_a_permanent_session_is_refreshed(interface):
    client = app_with(interface).test_client()
    client.get("/permanent")
    assert "Expires=" in client.get("/untouched").headers["Set-Cookie"]


def test_what_a_failing_request_changed_is_saved(interface):
    client = app_with(interface).test_client()
    assert client.get("/fail").status_code == 500
    assert client.get("/get").text == "500"


def test_session_transaction(interface):
    client = app_with(interface).test_client()
    with client.session_transaction() as transaction:
        transaction["n"] = 41
    assert client.get("/set").text == "42"


def test_without_a_secret_flask_says_what_to_do(interface):
    app = app_with(interface, SECRET_KEY=None)
    app.testing = True
    with pytest.raises(RuntimeError, match="no secret key"):
        app.test_client().get("/set")


def test_a_changed_config_is_seen(interface):
    app = app_with(interface)
    client = app.test_client()
    client.get("/set")
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    assert "SameSite=Lax" in client.get("/set").headers["Set-Cookie"]
    assert client.get("/get").text == "2"


def test_a_key_added_to_the_list_of_the_old_ones_is_seen():
    old = app_with(FlaskSessionInterface(), SECRET_KEY="the-secret-of-before").test_client()
    old.get("/set")
    app = app_with(FlaskSessionInterface(), SECRET_KEY_FALLBACKS=[])
    client = app.test_client()
    client.set_cookie("session", old.get_cookie("session").value)
    assert client.get("/get").text == "None"
    app.config["SECRET_KEY_FALLBACKS"].append("the-secret-of-before")
    assert client.get("/get").text == "1"


def test_the_cookie_is_the_one_that_flask_writes(monkeypatch):
    app = app_with(FlaskSessionInterface(clock=lambda: NOW))
    monkeypatch.setattr("time.time", lambda: NOW)
    ours = app.test_client().get("/set").headers["Set-Cookie"]
    app.session_interface = SecureCookieSessionInterface()
    assert app.test_client().get("/set").headers["Set-Cookie"] == ours


def test_a_serializer_below_flasks_that_writes_otherwise_writes_the_asgi_sides_cookie_too():
    class Spaced(TaggedJSONSerializer):
        def dumps(self, value):
            return json.dumps(self.tag(value), indent=1)

    app = app_with(SecureCookieSessionInterface())
    app.session_interface.serializer = Spaced()
    settings = Settings.from_flask(app)
    client = app.test_client()
    client.set_cookie("session", request(FlaskSessionASGI(app_that(lambda s: s.update(n=7)), settings=settings)).cookie)
    assert (settings.serializer, client.get("/get").text) == (app.session_interface.serializer, "7")


def test_the_store_is_shared_with_the_asgi_side():
    store, seen = MemoryStore(), []
    app = app_with(FlaskSessionInterface(store=store))
    client = app.test_client()
    client.get("/set")
    cookie = client.get_cookie("session").value
    beside = FlaskSessionASGI(app_that(lambda s: seen.append(dict(s))), settings=Settings.from_flask(app))
    request(beside, cookie, run=asyncio.run)
    assert seen == [{"n": 1}]


def test_fifty_threads_lose_no_write():
    app = app_with(FlaskSessionInterface(store=MemoryStore()))
    at_once = threading.Barrier(50)

    @app.get("/write/<name>")
    def write(name):
        at_once.wait()
        session[name] = True
        return ""

    @app.get("/names")
    def names():
        return sorted(session)

    client = app.test_client()
    client.get("/set")
    cookie = client.get_cookie("session").value

    def work(number):
        app.test_client(use_cookies=False).get(f"/write/{number}", headers={"Cookie": f"session={cookie}"})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(client.get("/names").json) == {"n", *map(str, range(50))}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_has_a_loop_of_its_own(tmp_path):
    app = app_with(FlaskSessionInterface(store=MemoryStore()))
    client = app.test_client()
    client.get("/set")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if client.get("/set").text == "2" else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert client.get("/get").text == "1"  # each process has a memory of its own


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_that_write_at_once_lose_nothing(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/sessions.db")
    app = app_with(FlaskSessionInterface(store=store, store_timeout=10))

    @app.get("/write/<name>")
    def write(name):
        session[name] = True
        return ""

    client = app.test_client()
    client.get("/set")
    cookie = {"Cookie": f"session={client.get_cookie('session').value}"}
    workers = []
    for worker in range(3):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                visitor = app.test_client(use_cookies=False)
                codes = [visitor.get(f"/write/{worker}-{n}", headers=cookie).status_code for n in range(10)]
                code = 0 if codes == [200] * 10 else 2
            finally:
                os._exit(code)
        workers.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers] == [0, 0, 0]
    with client.session_transaction() as transaction:
        assert set(transaction) == {"n", *(f"{worker}-{n}" for worker in range(3) for n in range(10))}
    asyncio.run(store.aclose())


# Mounted in an ASGI app, with the session of both in one store


def mounted(flask_app, store, handle):
    """Return an ASGI app that changes the session by *handle*, and then lets Flask answer."""
    from a2wsgi import WSGIMiddleware

    inside = WSGIMiddleware(flask_app)

    async def app(scope, receive, send):
        handle(scope["session"])
        await inside(scope, receive, send)

    return FlaskSessionASGI(app, SECRET, store=store)


def ask_mounted(app, path, cookie=None):
    async def main():
        messages, asked = [], iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive():
            return next(asked, None) or {"type": "http.disconnect"}

        async def send(message):
            messages.append(message)

        headers = [(b"host", b"localhost")] + ([(b"cookie", f"session={cookie}".encode())] if cookie else [])
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        }  # fmt: skip
        await app(scope, receive, send)
        lines = [value.decode() for name, value in messages[0]["headers"] if name.lower() == b"set-cookie"]
        assert len(lines) <= 1
        return lines[0].partition(";")[0].removeprefix("session=") if lines else None

    return asyncio.run(main())


def data_of(store, cookie):
    record = asyncio.run(store.get(f"session:{cookie}"))
    return None if record is None else json.loads(record)


def mounted_app():
    store = MemoryStore()
    app = app_with(FlaskSessionInterface(store=store))

    @app.get("/login")
    def login():
        session["_user_id"] = "7"
        return ""

    return store, app


def test_what_flask_and_the_app_around_it_change_is_in_one_record_and_one_cookie():
    store, app = mounted_app()
    cookie = ask_mounted(mounted(app, store, lambda s: s.update(around=1)), "/set")
    assert data_of(store, cookie) == {"n": 1, "around": 1}
    ask_mounted(mounted(app, store, lambda s: s.update(around=2)), "/set", cookie)
    assert data_of(store, cookie) == {"n": 2, "around": 2}


def test_a_login_in_flask_takes_the_change_around_it_along():
    store, app = mounted_app()
    before = ask_mounted(mounted(app, store, lambda s: s.update(cart=[1])), "/untouched")
    after = ask_mounted(mounted(app, store, lambda s: s.update(around=1)), "/login", before)
    assert after != before
    assert (data_of(store, before), data_of(store, after)) == (None, {"_user_id": "7", "cart": [1], "around": 1})


def test_a_logout_in_flask_ends_the_session_that_is_changed_around_it():
    store, app = mounted_app()
    cookie = ask_mounted(mounted(app, store, lambda s: s.update(a=1)), "/untouched")
    assert ask_mounted(mounted(app, store, lambda s: s.update(b=1)), "/clear", cookie) == ""
    assert data_of(store, cookie) is None


def test_a_logout_around_flask_ends_the_session_that_flask_reads():
    store, app = mounted_app()
    cookie = ask_mounted(mounted(app, store, lambda s: s.update(a=1)), "/untouched")
    assert ask_mounted(mounted(app, store, lambda s: s.clear()), "/get", cookie) == ""
    assert data_of(store, cookie) is None


class Broken:
    """A store that is down."""

    async def _fail(self, *args):
        raise StoreUnavailable("down")

    get = create = replace = touch = delete = _fail

    async def aclose(self):
        pass


def test_a_request_without_a_cookie_is_served_while_the_store_is_down():
    client = app_with(FlaskSessionInterface(store=Broken())).test_client()
    assert client.get("/untouched").status_code == 200


@pytest.mark.parametrize("path", ["/untouched", "/get", "/set", "/fail"])
def test_a_request_with_a_cookie_gets_503_while_the_store_is_down(path):
    client = app_with(FlaskSessionInterface(store=Broken())).test_client()
    client.set_cookie("session", "0123456789abcdef")
    response = client.get(path)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "Set-Cookie" not in response.headers


def test_no_view_runs_with_a_session_that_could_not_be_read():
    app = app_with(FlaskSessionInterface(store=Broken()))
    ran = []
    app.add_url_rule("/work", view_func=lambda: ran.append(1) or "done")
    client = app.test_client()
    client.set_cookie("session", "0123456789abcdef")
    assert (client.get("/work").status_code, ran) == (503, [])


def test_a_first_write_while_the_store_is_down_is_a_503_in_place_of_the_response():
    response = app_with(FlaskSessionInterface(store=Broken())).test_client().get("/set")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.text.startswith("The session store is not available.")
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("cookie", [None, "0123456789abcdef"], ids=["writing", "reading"])
def test_a_store_that_is_down_can_raise(cookie):
    app = app_with(FlaskSessionInterface(store=Broken(), on_store_error="raise"))
    app.testing = True
    client = app.test_client()
    if cookie is not None:
        client.set_cookie("session", cookie)
    with pytest.raises(StoreUnavailable):
        client.get("/set" if cookie is None else "/untouched")


def test_the_sessions_of_a_user_are_revoked():
    interface = FlaskSessionInterface(store=MemoryStore())
    app = app_with(interface)
    clients = [app.test_client() for _ in range(3)]
    for client in clients:
        with client.session_transaction() as transaction:
            transaction.update(_user_id="7", n=1)
    kept = clients[0].get_cookie("session").value
    assert interface.revoke_user(app, "7", keep=kept) == 2
    assert [client.get("/get").text for client in clients] == ["1", "None", "None"]


def test_sessions_in_cookies_are_not_to_be_revoked():
    interface = FlaskSessionInterface()
    with pytest.raises(SettingsError, match="set a store, or is_revoked"):
        interface.revoke_user(app_with(interface), "7")


def test_a_store_that_cannot_look_through_its_records_revokes_nobody():
    interface = FlaskSessionInterface(store=Broken())
    with pytest.raises(NotImplementedError, match="Broken cannot list the sessions of a user"):
        interface.revoke_user(app_with(interface), "7")


def test_regenerate_of_the_interface_gives_a_new_id():
    store = MemoryStore()
    interface = FlaskSessionInterface(store=store)
    app = app_with(interface)
    app.add_url_rule("/regenerate", view_func=lambda: interface.regenerate(session) or "done")
    client = app.test_client()
    client.get("/set")
    old = client.get_cookie("session").value
    client.get("/regenerate")
    assert client.get("/get").text == "1"
    assert client.get_cookie("session").value != old
    assert data_of(store, old) is None


def test_a_refresh_of_a_session_that_was_revoked_meanwhile_is_kept_back(interface):
    answers = iter([False, True])
    client = app_with(interface).test_client()
    client.get("/permanent")
    interface._fields["is_revoked"] = lambda s, signed_at: next(answers)
    client.application.config["SESSION_COOKIE_SAMESITE"] = "Lax"  # so that the settings are made anew
    assert "Set-Cookie" not in client.get("/untouched").headers


def test_a_change_of_a_session_that_was_revoked_meanwhile_is_saved(interface):
    client = app_with(interface).test_client()
    client.get("/permanent")
    answers = iter([False, True])
    interface._fields["is_revoked"] = lambda s, signed_at: next(answers)
    client.application.config["SESSION_COOKIE_SAMESITE"] = "Lax"  # so that the settings are made anew
    assert "Set-Cookie" in client.get("/set").headers


def test_is_revoked_runs_in_the_app_context_of_the_request(interface):
    interface._fields["is_revoked"] = lambda s, signed_at: flask.current_app.config["REVOKED"]
    app = app_with(interface, REVOKED=False)
    client = app.test_client()
    client.get("/set")
    assert client.get("/get").text == "1"
    app.config["REVOKED"] = True
    assert client.get("/get").text == "None"


def test_is_revoked_may_be_asynchronous(interface):
    async def is_revoked(s, signed_at):
        await asyncio.sleep(0)
        return True

    interface._fields["is_revoked"] = is_revoked
    client = app_with(interface).test_client()
    client.get("/set")
    assert client.get("/get").text == "None"


def test_an_absolute_lifetime_ends_a_session_that_is_refreshed():
    now = [float(NOW)]
    interface = FlaskSessionInterface(
        store=MemoryStore(clock=lambda: now[0]), clock=lambda: now[0], absolute_lifetime=100
    )
    client = app_with(interface).test_client()
    client.get("/permanent")
    for _ in range(3):
        now[0] += 30
        client.get("/untouched")
    assert client.get("/get").text == "1"
    now[0] += 30
    assert client.get("/get").text == "None"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"lazy": True}, "leave lazy out"),
        ({"scope_key": "flask", "exclude": ("/static",)}, "exclude, scope_key is for ASGI apps"),
        ({"record_format": "pickle"}, "write 'tagged' or"),
        ({"store": 3}, "store is a int"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(fields, says):
    with pytest.raises(SettingsError, match=says):
        FlaskSessionInterface(**fields)


# Flask-Login and Flask-WTF, as they come


class User(UserMixin):
    id = "7"


def app_with_login(interface, **config):
    app = app_with(interface, **config)
    LoginManager(app).user_loader(lambda user_id: User() if user_id == "7" else None)
    CSRFProtect(app)

    @app.get("/token")
    def token():
        return generate_csrf()

    @app.post("/login")
    def login():
        login_user(User(), remember="remember" in flask.request.form)
        flask.flash(Markup("<b>Welcome</b>"), "greeting")
        return ""

    @app.post("/logout")
    def logout():
        logout_user()
        return ""

    @app.get("/flashes")
    def flashes():
        return [[category, message] for category, message in flask.get_flashed_messages(with_categories=True)]

    @app.get("/me")
    @login_required
    def me():
        return current_user.get_id()

    return app


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
@pytest.mark.parametrize("protection", [None, "basic", "strong"])
def test_flask_login_and_flask_wtf_work_unchanged(interface, protection):
    client = app_with_login(interface, SESSION_PROTECTION=protection).test_client()
    assert client.get("/me").status_code == 401
    assert client.post("/login").status_code == 400  # no token
    form = {"csrf_token": client.get("/token").text, "remember": "1"}
    before = client.get_cookie("session").value
    assert client.post("/login", data=form).status_code == 200
    assert client.get_cookie("session").value != before
    assert client.get("/flashes").json == [["greeting", "<b>Welcome</b>"]]
    assert client.get("/me").text == "7"
    client.delete_cookie("session")
    assert client.get("/me").text == "7"  # by the remember cookie
    form["csrf_token"] = client.get("/token").text
    assert client.post("/logout", data=form).status_code == 200
    assert client.get("/me").status_code == 401


def test_a_login_kills_the_old_id_and_a_logout_the_new_one():
    store = MemoryStore()
    client = app_with_login(FlaskSessionInterface(store=store)).test_client()
    ids = []
    for path in ("/login", "/logout"):
        form = {"csrf_token": client.get("/token").text}
        ids.append(client.get_cookie("session").value)
        client.post(path, data=form)
    ids.append(client.get_cookie("session").value)
    live = [asyncio.run(store.get(f"session:{sid}")) is not None for sid in ids]
    assert (len(set(ids)), live) == (3, [False, False, True])


def test_first_requests_at_once_open_one_store(monkeypatch):
    opened, both, open_store = [], threading.Barrier(2), server_side.open_store

    def opens(*arguments, **named):
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        opened.append(open_store(*arguments, **named))
        return opened[-1]

    monkeypatch.setattr(server_side, "open_store", opens)
    app = app_with(FlaskSessionInterface(store="memory:"))
    threads = [threading.Thread(target=app.test_client().get, args=("/get",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
