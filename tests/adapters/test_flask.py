"""asgi_flask_session.adapters.flask: Flask's own session interface, and ours in its place."""

import asyncio
import os
import threading

import flask
import pytest
from driver import NOW, SECRET, app_that, request
from flask import session
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from asgi_flask_session import FlaskSessionASGI, Settings, SettingsError, StoreUnavailable
from asgi_flask_session.adapters.flask import FlaskSessionInterface
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


def test_the_cookie_is_the_one_that_flask_writes(monkeypatch):
    app = app_with(FlaskSessionInterface(clock=lambda: NOW))
    monkeypatch.setattr("time.time", lambda: NOW)
    ours = app.test_client().get("/set").headers["Set-Cookie"]
    app.session_interface = SecureCookieSessionInterface()
    assert app.test_client().get("/set").headers["Set-Cookie"] == ours


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
    assert "Set-Cookie" not in response.headers


def test_a_store_that_is_down_can_raise():
    app = app_with(FlaskSessionInterface(store=Broken(), on_store_error="raise"))
    app.testing = True
    with pytest.raises(StoreUnavailable):
        app.test_client().get("/set")


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
