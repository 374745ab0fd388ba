"""asgi_flask_session.adapters.django: Flask's session in Django, by its engine and by FlaskSessionASGI around it."""

import asyncio
import gc
import secrets
import subprocess
import sys
import time

import pytest
from adapters.django_site import (
    ACTIONS,
    DJANGOS_LOGIN,
    DJANGOS_SESSION,
    ENGINE,
    FLASHES,
    MESSAGES,
    OUR_LOGIN,
    OUR_SESSION,
    Browser,
    awho,
    django_app,
    django_user,
    flask_app,
    flask_log_in,
    flask_log_out,
    in_a_thread,
    project,
)
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import override_settings
from django.urls import path
from django.views import View
from driver import SECRET

from asgi_flask_session import Session, Settings, SettingsError, UnwritableSession
from asgi_flask_session.adapters.django.conf import flask_settings
from asgi_flask_session.adapters.django.csrf import flask_csrf_protect
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.login import LoginSettings
from asgi_flask_session.login import login_user as flask_login_user
from asgi_flask_session.policy import CookieAction
from asgi_flask_session.stores.memory import MemoryStore
from asgi_flask_session.testing import session_transaction

WAYS = ["wsgi", "asgi", "scope"]


@pytest.fixture(scope="module", autouse=True)
def _project(tmp_path_factory):
    with project(tmp_path_factory.mktemp("django") / "users.db"):
        from django.contrib.auth import get_user_model
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        get_user_model().objects.create(username="ada")
        yield


def middlewares(way, login=DJANGOS_LOGIN):
    return [OUR_SESSION if way == "scope" else DJANGOS_SESSION, login, MESSAGES]


@pytest.fixture(params=WAYS)
def way(request):
    with override_settings(MIDDLEWARE=middlewares(request.param)):
        yield request.param


@pytest.fixture
def site(way):
    return django_app(way)


@pytest.fixture
def browser():
    return Browser()


@pytest.fixture
def flask():
    return flask_app()


EACH = pytest.mark.parametrize("do", ["/do", "/ado"])


@EACH
def test_both_count_in_one_session(browser, site, flask, do):
    counts = [browser.ask(app, url).text for app, url in [(site, f"{do}/count"), (flask, "/count")] * 2]
    assert counts == ["1", "2", "3", "4"]


@EACH
def test_untouched_and_merely_read_requests_set_no_cookie(browser, site, flask, do):
    browser.ask(flask, "/count")
    untouched, read = browser.ask(site, f"{do}/nothing"), browser.ask(site, f"{do}/read")
    assert (untouched.lines, untouched.vary, read.text, read.lines) == ([], None, "1", [])
    assert "Cookie" in read.vary


@EACH
def test_visitor_without_a_session_gets_none_by_looking(browser, site, do):
    replies = [browser.ask(site, f"{do}/{action}") for action in ("nothing", "read", "load", "pop absent", "expiry")]
    assert [reply.lines for reply in replies] == [[]] * 5


@EACH
def test_popping_an_absent_key_is_no_change(browser, site, flask, do):
    browser.ask(flask, "/count")
    reply = browser.ask(site, f"{do}/pop absent")
    assert (reply.text, reply.lines) == ("null", [])


@EACH
def test_nested_change_is_saved_and_types_stay(browser, site, flask, do):
    browser.ask(flask, "/types")
    browser.ask(site, f"{do}/append")
    assert browser.ask(flask, "/data").json == {"list": "[1]", "tuple": "(1, b'2')", "markup": "Markup('<b>')"}


def test_safe_string_is_markup_in_flask(browser, site, flask):
    browser.ask(site, "/do/safe")
    assert browser.ask(flask, "/data").json == {"safe": "Markup('<b>')"}


@pytest.mark.parametrize("place", [0, 3])
def test_middleware_that_runs_in_a_thread_may_stand_anywhere(browser, way, flask, place):
    names = middlewares(way, OUR_LOGIN)
    names.insert(place, f"{in_a_thread.__module__}.in_a_thread")
    with override_settings(MIDDLEWARE=names):
        site = django_app(way)
        assert [browser.ask(site, f"{do}/count").text for do in ("/do", "/ado")] == ["1", "2"]
        browser.ask(flask, "/login/1")
        assert [browser.ask(site, url).text for url in ("/members", "/amembers")] == ["members"] * 2


@pytest.mark.parametrize("action", ["/do/clear", "/do/flush", "/ado/flush", "/do/delete", "/ado/delete"])
def test_emptied_session_deletes_the_cookie(browser, site, flask, action):
    browser.ask(flask, "/count")
    browser.ask(site, action)
    assert browser.cookies == {}


@pytest.mark.parametrize("action", ["/do/clear", "/ado/flush", "/do/create"])
def test_emptying_what_never_was_sets_no_cookie(browser, site, action):
    assert browser.ask(site, action).lines == []


@EACH
@pytest.mark.parametrize("action", ["cycle", "create"])
def test_data_outlives_a_new_key(browser, site, flask, do, action):
    browser.ask(flask, "/count")
    browser.ask(site, f"{do}/{action}")
    assert browser.ask(flask, "/data").json == {"n": "1"}


@EACH
def test_load_gives_the_data(browser, site, flask, do):
    browser.ask(flask, "/count")
    assert browser.ask(site, f"{do}/load").json == {"n": 1}


@EACH
def test_session_is_true_if_there_is_data(browser, site, flask, do):
    before = browser.ask(site, f"{do}/is true").json
    browser.ask(flask, "/count")
    assert (before, browser.ask(site, f"{do}/is true").json) == (False, True)


@EACH
def test_session_is_empty_until_there_is_data(browser, site, flask, do):
    before = browser.ask(site, f"{do}/is empty").json
    browser.ask(flask, "/count")
    assert (before, browser.ask(site, f"{do}/is empty").json) == (True, False)


def test_marks_are_those_of_the_session(browser, site, flask):
    for action in ("modified", "accessed"):
        before, _, after = browser.ask(site, f"/do/{action}").json
        assert (before, after) == (False, True)


def test_mark_set_by_hand(browser, site, flask):
    browser.ask(flask, "/count")
    marked, unmarked = browser.ask(site, "/do/mark"), browser.ask(site, "/do/unmark")
    assert (len(marked.lines), unmarked.lines) == (1, [])


@EACH
def test_deleting_another_session_leaves_this_one(browser, site, flask, do):
    browser.ask(flask, "/count")
    assert browser.ask(site, f"{do}/delete another").lines == []


# Expiry


def test_permanent_is_flasks(browser, site, flask):
    browser.ask(site, "/do/permanent")
    assert "expires=" in browser.ask(flask, "/count").lines[0].lower()
    assert "expires=" not in browser.ask(site, "/do/permanent").lines[0].lower()


@EACH
def test_flasks_permanent_decides_when_the_session_ends(browser, site, flask, do):
    browser.ask(flask, "/count")
    before = browser.ask(site, f"{do}/expiry").json
    browser.ask(flask, "/permanent")
    reply = browser.ask(site, f"{do}/expiry")
    assert (before, reply.json) == ([True, 31 * 86400], [False, 31 * 86400])
    assert "expires=" in reply.lines[0].lower()


@EACH
def test_without_permanent_the_cookie_ends_with_the_browser(browser, site, do):
    [line] = browser.ask(site, f"{do}/count").lines
    assert "expires" not in line.lower()
    assert "max-age" not in line.lower()


def test_permanent_session_is_refreshed_by_untouched_requests(browser, site, flask):
    browser.ask(flask, "/permanent")
    assert len(browser.ask(site, "/do/nothing").lines) == 1


def test_permanent_session_is_not_refreshed_where_flask_would_not(browser, way, flask):
    browser.ask(flask, "/permanent")
    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, "SESSION_REFRESH_EACH_REQUEST": False}):
        assert browser.ask(django_app(way), "/do/nothing").lines == []


@EACH
def test_set_expiry_makes_the_session_permanent_in_flask(browser, site, flask, do):
    browser.ask(site, f"{do}/count")
    assert "expires=" in browser.ask(site, f"{do}/expire?in=60").lines[0].lower()
    assert browser.ask(flask, "/data").json == {"n": "1", "_permanent": "True", "_session_expiry": "60"}
    assert browser.ask(site, f"{do}/expiry").json == [False, 60]


@EACH
def test_set_expiry_of_0_ends_it_with_the_browser(browser, site, flask, do):
    browser.ask(flask, "/permanent")
    browser.ask(site, f"{do}/expire?in=60")
    [line] = browser.ask(site, f"{do}/expire?in=0").lines
    assert "expires" not in line.lower()
    assert browser.ask(flask, "/data").json == {"_permanent": "False"}


@EACH
def test_set_expiry_of_none_leaves_it_to_flask(browser, site, flask, do):
    browser.ask(site, f"{do}/expire?in=60")
    browser.ask(site, f"{do}/expire")
    assert browser.ask(flask, "/data").json == {"_permanent": "True"}


@EACH
@pytest.mark.parametrize(
    ("expiry", "over"),
    [(60, True), (90, False), ("2001-01-01T00:00:00+00:00", True), ("2999-01-01T00:00:00+00:00", False), ("?", False)],
)
def test_session_whose_set_expiry_is_over_is_empty(browser, site, do, expiry, over):
    browser.cookies["session"] = signed({"n": 1, "_session_expiry": expiry}, age=75)
    assert browser.ask(site, f"{do}/read").json == (None if over else 1)
    assert ("session" in browser.cookies) is not over


# Keys and cookies


def signed(data, key=SECRET, age=0):
    """Return a cookie value as the app of a key has made it *age* seconds ago."""
    return encode_session(data, key, clock=lambda: time.time() - age)


def encode_session(data, key, clock):
    side = ClientSide(Settings(key), clock)
    return side.write(Session(data), CookieAction.SET).partition(b";")[0].partition(b"=")[2].decode()


OLD, OTHER = "a-former-secret-of-the-tests", "a-secret-of-somebody-else"


@EACH
def test_cookie_of_a_former_key_is_read_and_written_with_the_current_one(browser, way, do):
    browser.cookies["session"] = former = signed({"n": 1}, OLD)
    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, "SECRET_KEY_FALLBACKS": [OLD]}):
        site = django_app(way)
        assert browser.ask(site, f"{do}/read").text == "1"
        assert browser.cookies["session"] == former
        browser.ask(site, f"{do}/count")
    assert browser.ask(flask_app(), "/count").text == "3"


@EACH
@pytest.mark.parametrize("action", ["nothing", "read", "data", "load"])
@pytest.mark.parametrize(
    "cookie", [signed({"n": 1}, OTHER), signed({"n": 1}, age=32 * 86400), "x", "", "\xe9.\xe9.\xe9"]
)
def test_unreadable_cookie_is_an_empty_session_and_stays(browser, site, do, action, cookie):
    """Another process may have the key already, or still."""
    browser.cookies["session"] = cookie
    reply = browser.ask(site, f"{do}/{action}")
    assert (reply.status, reply.lines) == (200, [])


@EACH
def test_unreadable_cookie_is_replaced_by_a_session_that_is_written(browser, site, flask, do):
    browser.cookies["session"] = signed({"n": 5}, OTHER)
    browser.ask(site, f"{do}/count")
    assert browser.ask(flask, "/count").text == "2"


@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:ResourceWarning")
def test_what_no_cookie_can_carry_is_an_error_without_a_cookie(browser, site, way, caplog):
    if way == "scope":  # it is found when Django has answered
        with pytest.raises(UnwritableSession, match="cart"):
            browser.ask(site, "/do/unwritable")
        gc.collect()  # Django before 6 leaves the request's body open then
        return
    reply = browser.ask(site, "/do/unwritable")
    assert (reply.status, reply.lines) == (500, [])
    assert "UnwritableSession" in caplog.text


@pytest.mark.parametrize("is_revoked", [lambda session, at: session.get("n") == 1, None], ids=["sync", "async"])
@EACH
def test_revoked_session_is_empty(browser, way, flask, do, is_revoked):
    async def arevoked(session, at):
        return session.get("n") == 1

    browser.ask(flask, "/count")
    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, "is_revoked": is_revoked or arevoked}):
        site = django_app(way)
        assert browser.ask(site, f"{do}/read").text == "null"


def test_refresh_of_a_session_that_was_revoked_meanwhile_is_kept_back(browser, way, flask):
    answers = iter([False, True])
    browser.ask(flask, "/permanent")
    fields = {"SECRET_KEY": SECRET, "is_revoked": lambda session, at: next(answers)}
    with override_settings(FLASK_SESSION=fields):
        reply = browser.ask(django_app(way), "/do/nothing")
    assert (reply.status, reply.lines) == (200, [])


# The engine


ENGINES = pytest.mark.parametrize("way", ["wsgi", "asgi"], indirect=True)


@ENGINES
def test_engine_sends_the_cookie_with_django_settings(browser, site):
    with override_settings(SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax"):
        [line] = browser.ask(site, "/do/count").lines
    assert sorted(line.split("; ")[1:]) == ["HttpOnly", "Path=/", "SameSite=Lax", "Secure"]


@ENGINES
@EACH
def test_key_of_the_engine_is_the_cookie_value(browser, site, flask, do):
    key = browser.ask(site, f"{do}/save").json
    assert browser.ask(site, "/do/key").json == browser.cookies["session"]
    browser.cookies["session"] = key
    assert browser.ask(flask, "/data").json == {"saved": "True"}
    assert [browser.ask(site, f"{do}/exists?key={value}").json for value in (key, "x", "")] == [True, False, False]


@ENGINES
def test_500_saves_nothing_as_djangos_own(browser, site, flask):
    browser.ask(flask, "/count")
    assert browser.ask(site, "/do/fail").status == 500
    assert browser.ask(flask, "/count").text == "2"


@ENGINES
def test_engine_saves_what_it_can_where_every_request_saves(browser, site, flask):
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        assert browser.ask(site, "/do/nothing").lines == []
        browser.cookies["session"] = unreadable = signed({"n": 1}, OTHER)
        browser.ask(site, "/do/nothing")
        assert browser.cookies["session"] == unreadable


@ENGINES
def test_large_session_warns(browser, site, caplog):
    browser.cookies["session"] = signed({"n": 1, "noise": secrets.token_hex(4000)})
    browser.ask(site, "/do/count")
    assert "'noise' (8002 bytes)" in caplog.text


def test_encode_and_decode():
    from asgi_flask_session.adapters.django.engine import SessionStore

    store = SessionStore()
    text = store.encode({"n": (1, 2)})
    assert (store.decode(text), store.decode("x"), store.decode(text.encode())) == ({"n": (1, 2)}, {}, {"n": (1, 2)})


def test_clear_expired_is_a_command_that_does_nothing():
    from django.core.management import call_command

    from asgi_flask_session.adapters.django.engine import SessionStore

    with override_settings(INSTALLED_APPS=["django.contrib.sessions"]):
        call_command("clearsessions")
    asyncio.run(SessionStore.aclear_expired())


@pytest.mark.parametrize("field", [{"store": "memory:"}, {"migrate_from": [lambda scope: None]}])
def test_engine_refuses_what_it_cannot_do(field):
    from asgi_flask_session.adapters.django.engine import SessionStore

    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, **field}), pytest.raises(SettingsError):
        SessionStore().get("n")


@pytest.mark.parametrize("config", [None, "secret", {}, {"SECRET_KEY": SECRET, "cookie_nam": "x"}])
@pytest.mark.parametrize("middleware", [OUR_SESSION, OUR_LOGIN])
def test_app_with_impossible_settings_is_not_built(config, middleware):
    with override_settings(FLASK_SESSION=config, MIDDLEWARE=[middleware]), pytest.raises(SettingsError):
        django_app("wsgi")


# FlaskSessionASGI around Django


SCOPE = pytest.mark.parametrize("way", ["scope"], indirect=True)


@SCOPE
def test_session_assigned_to_the_request_is_saved(browser, site, flask):
    browser.ask(flask, "/count")
    browser.ask(site, "/do/assign")
    assert browser.ask(flask, "/data").json == {"b": "2"}


@SCOPE
def test_session_under_another_key_of_the_scope(browser, way, flask):
    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, "scope_key": "flask"}):
        assert "max-age" not in browser.ask(django_app(way), "/do/count").lines[0].lower()
        assert browser.ask(django_app(way), "/do/expire?in=60").lines[0].count("Max-Age") == 0
    assert browser.ask(flask, "/count").text == "2"


@SCOPE
def test_500_saves_as_in_flask(browser, site, flask):
    browser.ask(flask, "/count")
    assert browser.ask(site, "/do/fail").status == 500
    assert browser.ask(flask, "/count").text == "3"


@SCOPE
@pytest.mark.parametrize("outside", ["wsgi", "asgi"])
def test_without_flask_session_asgi_the_engine_opens_the_cookie(browser, way, outside, flask):
    browser.ask(flask, "/count")
    assert browser.ask(django_app(outside), "/do/count").text == "2"
    assert browser.ask(flask, "/count").text == "3"


@SCOPE
@EACH
@pytest.mark.parametrize("lazy", [False, True])
def test_session_in_a_store(browser, way, do, lazy):
    store = MemoryStore()
    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, "store": store, "lazy": lazy}):
        site = django_app(way)
        assert [browser.ask(site, f"{do}/count").text for _ in range(3)] == ["1", "2", "3"]
        first = browser.cookies["session"]
        assert browser.ask(site, f"{do}/save").json == first
        browser.ask(site, f"{do}/cycle")
        assert browser.cookies["session"] != first
        keys = [browser.ask(site, f"{do}/exists?key={key}").json for key in (browser.cookies["session"], first)]
        assert keys == [True, False]
        browser.ask(site, f"{do}/flush")
        assert (browser.cookies, asyncio.run(store.get(f"session:{first}"))) == ({}, None)


@SCOPE
@EACH
def test_save_makes_the_id_known_at_once(browser, way, do):
    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, "store": MemoryStore()}):
        assert browser.ask(django_app(way), f"{do}/save").json == browser.cookies["session"]


@SCOPE
@EACH
@pytest.mark.parametrize(("on_error", "expected"), [("503", 503), ("raise", 500)])
def test_store_that_fails_in_a_view_is_a_503(browser, way, do, on_error, expected):
    class Down(MemoryStore):
        async def get(self, key):
            raise OSError

    config = {"SECRET_KEY": SECRET, "store": Down(), "lazy": True, "on_store_error": on_error}
    with override_settings(FLASK_SESSION=config):
        browser.cookies["session"] = secrets.token_urlsafe()
        reply = browser.ask(django_app(way), f"{do}/read")
    assert (reply.status, reply.lines) == (expected, [])


@SCOPE
def test_untouched_request_of_an_excluded_path_is_served(browser, way):
    config = {"SECRET_KEY": SECRET, "store": MemoryStore(), "exclude": ["/do"]}
    with override_settings(FLASK_SESSION=config):
        browser.cookies["session"] = secrets.token_urlsafe()
        assert browser.ask(django_app(way), "/do/nothing").status == 200


# Django's own login and messages


@EACH
def test_django_login_lives_in_flasks_cookie(browser, site, flask, do):
    browser.ask(flask, "/count")
    browser.ask(site, f"{do}/log in")
    browser.ask(flask, "/count")
    assert browser.ask(site, f"{do}/who").json == [True, "ada"]
    browser.ask(site, f"{do}/log out")
    assert (browser.ask(site, f"{do}/who").json, browser.cookies) == ([False, ""], {})


@pytest.mark.parametrize("url", ["/members", "/amembers"])
def test_login_required(browser, site, url):
    assert browser.ask(site, url).status == 302
    browser.ask(site, "/do/log in")
    assert browser.ask(site, url).text == "members"


@EACH
def test_django_messages_wait_beside_flashes(browser, site, flask, do):
    browser.ask(flask, "/flash/info")
    browser.ask(site, f"{do}/say")
    assert browser.ask(flask, "/flashes").json == [["info", "from flask"]]
    assert browser.ask(site, f"{do}/hear").json == [["success", "from django", "str"]]
    assert browser.ask(site, f"{do}/hear").json == []
    assert browser.cookies == {}


# Messages as flashes


@pytest.fixture
def flashes(way):
    with override_settings(MESSAGE_STORAGE=FLASHES):
        yield django_app(way)


@EACH
def test_message_of_django_is_a_flash_in_flask(browser, flashes, flask, do):
    browser.ask(flashes, f"{do}/say?tags=bold")
    assert "_messages" not in browser.ask(flask, "/data").json
    assert browser.ask(flask, "/flashes").json == [["bold success", "from django"]]
    assert browser.ask(flask, "/flashes").json == []


@pytest.mark.parametrize(
    ("category", "tags"),
    [("error", "error"), ("message", "info"), ("bold warning", "bold warning"), ("shop", "shop info")],
)
def test_flash_of_flask_is_a_message_in_django(browser, flashes, flask, category, tags):
    browser.ask(flask, f"/flash/{category}")
    assert browser.ask(flashes, "/do/hear").json == [[tags, "from flask", "str"]]
    assert browser.cookies == {}


def test_markup_stays_markup(browser, flashes, flask):
    browser.ask(flask, "/flash/info?markup")
    assert browser.ask(flashes, "/do/hear").json == [["info", "<b>from flask</b>", "Markup"]]


def test_flash_that_was_not_shown_stays_as_it_is(browser, flashes, flask):
    browser.ask(flask, "/flash/shop?markup")
    browser.ask(flashes, "/do/say")
    browser.ask(flashes, "/do/nothing")
    assert browser.ask(flask, "/flashes").json == [["shop", "<b>from flask</b>"], ["success", "from django"]]


def test_level_without_a_tag_is_a_message(browser, flashes, flask):
    browser.ask(flashes, "/do/say?level=35")
    assert browser.ask(flask, "/flashes").json == [["message", "from django"]]


def test_configured_tags_are_categories(browser, flashes, flask):
    with override_settings(MESSAGE_TAGS={40: "danger"}):
        browser.ask(flashes, "/do/say?level=40")
        assert browser.ask(flask, "/flashes").json == [["danger", "from django"]]
        for category in ("danger", "error"):
            browser.ask(flask, f"/flash/{category}")
        assert browser.ask(flashes, "/do/hear").json == [["danger", "from flask", "str"]] * 2


def test_flash_storage_needs_a_session():
    from asgi_flask_session.adapters.django.messages import FlashStorage

    with pytest.raises(ImproperlyConfigured):
        FlashStorage(HttpRequest())


# Flask-Login


def test_flask_login_needs_a_session(caplog):
    with override_settings(MIDDLEWARE=[OUR_LOGIN]):
        assert Browser().ask(django_app("wsgi"), "/do/nothing").status == 500
    assert "name it after what gives one" in caplog.text


@pytest.fixture(params=WAYS)
def members_site(request):
    """Return Django's application with Flask-Login's user in it."""
    with override_settings(MIDDLEWARE=middlewares(request.param, OUR_LOGIN)):
        yield django_app(request.param)


@EACH
def test_user_of_flask_login_is_djangos(browser, members_site, flask, do):
    nobody = browser.ask(members_site, f"{do}/who").json
    browser.ask(flask, "/login/1")
    somebody = browser.ask(members_site, f"{do}/who")
    assert (nobody, somebody.json, somebody.lines) == ([False, ""], [True, "ada"], [])
    assert "Cookie" in somebody.vary
    browser.ask(flask, "/logout")
    assert browser.ask(members_site, f"{do}/who").json == [False, ""]


@EACH
@pytest.mark.parametrize("user_id", ["2", "x", "9" * 30])
def test_id_of_no_user_is_nobody(browser, members_site, flask, do, user_id):
    browser.ask(flask, f"/login/{user_id}")
    assert browser.ask(members_site, f"{do}/who").json == [False, ""]


@EACH
def test_inactive_user_is_nobody(browser, members_site, flask, do):
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.create(username="gone", is_active=False)
    browser.ask(flask, f"/login/{user.pk}")
    user.delete()
    assert browser.ask(members_site, f"{do}/who").json == [False, ""]


@pytest.mark.parametrize("url", ["/members", "/amembers"])
def test_login_required_of_flask_login(browser, members_site, flask, url):
    reply = browser.ask(members_site, url)
    assert (reply.status, reply.vary) == (302, "Cookie")
    browser.ask(flask, "/login/1")
    assert browser.ask(members_site, url).text == "members"


def test_login_required_middleware(browser, way, flask):
    required = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    with override_settings(MIDDLEWARE=[*middlewares(way, OUR_LOGIN), required]):
        site = django_app(way)
        assert [browser.ask(site, f"{do}/nothing").status for do in ("/do", "/ado")] == [302, 302]
        browser.ask(flask, "/login/1")
        assert [browser.ask(site, f"{do}/nothing").status for do in ("/do", "/ado")] == [200, 200]


def test_untouched_request_asks_for_no_user(browser, members_site, flask):
    browser.ask(flask, "/login/1")
    reply = browser.ask(members_site, "/do/nothing")
    assert (reply.lines, reply.vary) == ([], None)


class Guest:
    is_authenticated = True

    def __init__(self, user_id):
        self.username = f"guest {user_id}"


def load_guest(user_id):
    return Guest(user_id) if user_id != "nobody" else None


async def aload_guest(user_id):
    return load_guest(user_id)


@EACH
@pytest.mark.parametrize("loader", [load_guest, aload_guest, f"{__name__}.load_guest"], ids=["sync", "async", "path"])
def test_own_user_loader(browser, members_site, flask, do, loader):
    with override_settings(FLASK_LOGIN_USER_LOADER=loader):
        browser.ask(flask, "/login/7")
        url = "/do/who" if loader is not aload_guest or do == "/do" else "/ado/who"
        assert browser.ask(members_site, url).json == [True, "guest 7"]
        browser.ask(flask, "/login/nobody")
        assert browser.ask(members_site, url).json == [False, ""]


def test_user_is_loaded_once_in_a_request_that_asks_in_both_ways(browser, members_site, flask):
    loaded = []
    with override_settings(FLASK_LOGIN_USER_LOADER=lambda user_id: loaded.append(user_id) or Guest(user_id)):
        browser.ask(flask, "/login/7")
        assert browser.ask(members_site, "/ado/both users").json is True
    assert loaded == ["7"]


def test_user_of_a_session_that_was_assigned_to_the_request(browser, members_site):
    assert browser.ask(members_site, "/ado/assign user").json == [True, "ada"]


def test_admin_is_open_to_staff_that_is_logged_in_to_flask(browser, way, flask):
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    context = [
        f"django.contrib.{app}.context_processors.{name}" for app, name in [("auth", "auth"), ("messages", "messages")]
    ]
    options = {"context_processors": ["django.template.context_processors.request", *context]}
    with override_settings(
        INSTALLED_APPS=[*settings.INSTALLED_APPS, "django.contrib.admin"],
        MIDDLEWARE=middlewares(way, OUR_LOGIN),
        ROOT_URLCONF=WithAdmin,
        STATIC_URL="/static/",
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True, "OPTIONS": options}
        ],
    ):
        from django.contrib import admin

        call_command("migrate", verbosity=0)
        staff = get_user_model().objects.create(username="grace", is_staff=True, is_superuser=True)
        WithAdmin.urlpatterns = [path("admin/", admin.site.urls)]
        site = django_app(way)
        assert browser.ask(site, "/admin/").status == 302
        browser.ask(flask, f"/login/{staff.pk}")
        assert "grace" in browser.ask(site, "/admin/").text
        staff.delete()


class WithAdmin:
    """URLs of a project with Django's admin."""


def test_login_in_django_is_one_in_flask(browser, members_site, flask):
    browser.ask(members_site, "/do/flask log in")
    assert browser.ask(flask, "/who").json == {"id": "1", "fresh": True}
    assert browser.ask(members_site, "/do/current").json == ["1", True, "session"]
    browser.ask(members_site, "/do/flask log out")
    assert browser.ask(flask, "/who").json == {"id": None, "fresh": False}


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # Flask-Login's own
def test_remember_cookie_of_either_is_the_others(browser, members_site, flask):
    browser.ask(members_site, "/do/flask log in?remember")
    del browser.cookies["session"]
    assert browser.ask(members_site, "/do/current").json == ["1", False, "remember"]
    assert browser.ask(flask, "/who").json == {"id": "1", "fresh": False}
    browser.ask(members_site, "/do/confirm")
    assert browser.ask(flask, "/who").json == {"id": "1", "fresh": True}
    browser.ask(members_site, "/do/flask log out")
    assert "remember_token" not in browser.cookies
    browser.ask(flask, "/login/1?remember")
    del browser.cookies["session"]
    assert browser.ask(members_site, "/do/who").json == [True, "ada"]


REMEMBERED = LoginSettings(SECRET)


def remember(browser, user_id="1"):
    line = flask_login_user({"type": "http", "headers": []}, {}, user_id, REMEMBERED, remember=True)
    browser.cookies["remember_token"] = line.decode().partition(";")[0].removeprefix("remember_token=")


@EACH
def test_logout_of_django_ends_the_remember_cookie_too(browser, members_site, flask, do):
    browser.ask(flask, "/login/1")
    remember(browser)
    browser.ask(members_site, f"{do}/log out")
    assert browser.cookies == {}
    assert browser.ask(members_site, f"{do}/who").json == [False, ""]


@pytest.mark.parametrize("log_out", ["flask log out", "log out"])
def test_nobody_is_logged_in_for_the_rest_of_a_request_that_logged_out(browser, members_site, monkeypatch, log_out):
    def leave(request):
        ACTIONS[log_out](request)
        return [*ACTIONS["current"](request), request.user.is_authenticated, async_to_sync(awho)(request)[0]]

    monkeypatch.setitem(ACTIONS, "leave", leave)
    remember(browser)
    assert browser.ask(members_site, "/do/leave").json == [None, False, None, False, False]


def test_login_after_a_logout_leaves_the_remember_cookie_deleted(browser, members_site, monkeypatch):
    monkeypatch.setitem(ACTIONS, "switch", lambda request: [flask_log_out(request), flask_log_in(request)])
    remember(browser, "2")
    browser.ask(members_site, "/do/switch")
    assert browser.ask(members_site, "/do/current").json == ["1", True, "session"]
    assert "remember_token" not in browser.cookies


@SCOPE
@EACH
def test_remember_cookie_is_refreshed_with_a_lazy_store(browser, way, flask, do):
    config = {"SECRET_KEY": SECRET, "REMEMBER_COOKIE_REFRESH_EACH_REQUEST": True, "store": MemoryStore(), "lazy": True}
    with override_settings(FLASK_SESSION=config, MIDDLEWARE=middlewares(way, OUR_LOGIN)):
        site = django_app(way)
        browser.ask(site, "/do/flask log in")
        del browser.cookies["remember_token"]
        assert browser.ask(site, f"{do}/nothing").status == 200
        assert browser.cookies["remember_token"].startswith("1|")


@SCOPE
@EACH
def test_store_that_fails_before_the_view_is_a_503(browser, way, do):
    class Down(MemoryStore):
        async def get(self, key):
            raise OSError

    config = {"SECRET_KEY": SECRET, "store": Down(), "lazy": True}
    required = [*middlewares(way, OUR_LOGIN), "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    with override_settings(FLASK_SESSION=config, MIDDLEWARE=required):
        browser.cookies["session"] = secrets.token_urlsafe()
        assert browser.ask(django_app(way), f"{do}/nothing").status == 503


def test_remember_cookie_has_the_attributes_that_flask_login_gives_it(browser, members_site):
    config = {"SECRET_KEY": SECRET, "REMEMBER_COOKIE_SECURE": True, "REMEMBER_COOKIE_SAMESITE": "Strict"}
    with override_settings(FLASK_SESSION=config):
        lines = browser.ask(members_site, "/do/flask log in?remember").lines
    [line] = [line for line in lines if line.startswith("remember_token=1|")]
    assert {"HttpOnly", "Path=/", "SameSite=Strict", "Secure"} <= set(line.split("; "))
    assert "expires=" in line


def test_remember_cookie_is_refreshed_where_flask_login_would(browser, members_site, flask):
    browser.ask(flask, "/login/1")
    config = {"SECRET_KEY": SECRET, "REMEMBER_COOKIE_REFRESH_EACH_REQUEST": True}
    with override_settings(FLASK_SESSION=config):
        browser.ask(members_site, "/do/nothing")
    assert browser.cookies["remember_token"].startswith("1|")


@pytest.mark.parametrize(("mode", "expected"), [("basic", ["1", False, "session"]), ("strong", [None, False, None])])
def test_session_of_another_browser(browser, members_site, flask, mode, expected):
    browser.ask(flask, "/login/1")
    with override_settings(FLASK_SESSION={"SECRET_KEY": SECRET, "SESSION_PROTECTION": mode}):
        assert browser.ask(members_site, "/do/current", User_Agent="thief").json == expected


@pytest.mark.parametrize("loader", ["nowhere.load", "os.sep", 7])
def test_impossible_user_loader_is_refused(loader):
    given = {"FLASK_LOGIN_USER_LOADER": loader, "MIDDLEWARE": middlewares("wsgi", OUR_LOGIN)}
    with override_settings(**given), pytest.raises(SettingsError):
        django_app("wsgi")


# Flask-WTF


FORMS = pytest.mark.parametrize("url", ["/form", "/aform"])


@FORMS
def test_token_of_flask_is_taken_by_django(browser, site, flask, url):
    token = browser.ask(flask, "/token").text
    assert browser.ask(site, url, form={"csrf_token": token}).text == "posted"
    assert browser.ask(site, url, form={}, X_CSRFToken=token).text == "posted"


@FORMS
def test_request_without_a_good_token_is_refused(browser, site, flask, url):
    browser.ask(flask, "/token")
    missing, wrong = browser.ask(site, url, form={}), browser.ask(site, url, form={"csrf_token": "x"})
    assert (missing.status, wrong.status, browser.ask(site, url).status) == (403, 403, 200)


class Form(View):
    def post(self, request):
        return HttpResponse("posted")


class AForm(View):
    async def post(self, request):
        return HttpResponse("posted")


class OfClasses:
    """URLs of views that are made of classes."""

    urlpatterns = [path(kind.__name__, flask_csrf_protect(kind.as_view())) for kind in (Form, AForm)]


@pytest.mark.parametrize("url", ["/Form", "/AForm"])
def test_view_of_a_class_is_protected(browser, site, flask, url):
    token = browser.ask(flask, "/token").text
    with override_settings(ROOT_URLCONF=OfClasses):
        statuses = [browser.ask(site, url, form=form).status for form in ({}, {"csrf_token": token})]
    assert statuses == [403, 200]


def test_failure_view_has_the_reason(browser, site, flask):
    with override_settings(CSRF_FAILURE_VIEW=lambda request, reason: HttpResponse(reason, status=418)):
        reply = browser.ask(site, "/form", form={})
    assert (reply.status, reply.text) == (418, "The CSRF token is missing.")


def test_token_of_django_is_taken_by_flask(browser, site, flask):
    token = browser.ask(site, "/do/token").json
    assert browser.ask(flask, "/form", form={"csrf_token": token}).text == "posted"


def test_djangos_own_protection_leaves_such_a_view_alone(browser, way, flask):
    with override_settings(MIDDLEWARE=[*middlewares(way), "django.middleware.csrf.CsrfViewMiddleware"]):
        token = browser.ask(flask, "/token").text
        assert browser.ask(django_app(way), "/form", form={"csrf_token": token}).text == "posted"


def test_referrer_is_checked_where_a_proxy_says_https(browser, site, flask):
    token = browser.ask(flask, "/token").text
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        replies = [
            browser.ask(site, "/form", form={"csrf_token": token}, X_Forwarded_Proto="https", Referer=referrer).status
            for referrer in ("https://localhost/form", "https://elsewhere.example/form")
        ]
    assert replies == [200, 403]


# Django's test client, which knows no FlaskSessionASGI


TESTED = pytest.mark.parametrize("middleware", [DJANGOS_SESSION, OUR_SESSION])


@TESTED
def test_client_logs_in_and_looks_into_the_session(middleware, flask):
    client = Client()
    with override_settings(MIDDLEWARE=[middleware, DJANGOS_LOGIN]):
        client.force_login(django_user())
        assert client.get("/members").content == b"members"
        assert client.session["_auth_user_id"] == "1"
        client.get("/do/count")
        assert client.session["n"] == 1
        client.logout()
        assert client.get("/members").status_code == 302


@TESTED
def test_async_client_logs_in_and_looks_into_the_session(middleware):
    client = AsyncClient()

    async def main():
        await client.aforce_login(await sync_to_async(django_user)())
        first = await client.get("/amembers")
        session = await client.asession()
        await client.alogout()
        return first.content, await session.aget("_auth_user_id"), (await client.get("/amembers")).status_code

    with override_settings(MIDDLEWARE=[middleware, DJANGOS_LOGIN]):
        assert asyncio.run(main()) == (b"members", "1", 302)


@TESTED
def test_session_transaction_of_ours(middleware):
    client = Client()
    with override_settings(MIDDLEWARE=[middleware]):
        with session_transaction(client, flask_settings()) as session:
            session["n"] = 41
        assert client.get("/do/count").content == b"42"


# What is typed wrongly, or lives in odd places


@EACH
def test_first_of_two_cookies_is_read_as_in_flask_around_django_only(browser, way, flask, do):
    """Django's own middleware reads the last."""
    browser.cookies |= {"a": f"b; session={signed({'n': 1})}", "session": signed({"n": 5})}
    assert browser.ask(django_app(way), f"{do}/read").text == ("1" if way == "scope" else "5")


def test_lazy_session_in_a_coroutine_has_to_be_awaited(browser):
    config = {"SECRET_KEY": SECRET, "store": MemoryStore(), "lazy": True}
    with override_settings(FLASK_SESSION=config, MIDDLEWARE=middlewares("scope")):
        site = django_app("scope")
        assert (browser.ask(site, "/ado/data").status, browser.ask(site, "/ado/load").json) == (500, {})


def test_app_on_the_engine_with_impossible_settings_is_not_built():
    code = f"""
import django.conf, django.core.wsgi
django.conf.settings.configure(SESSION_ENGINE={ENGINE!r}, MIDDLEWARE=[{DJANGOS_SESSION!r}], FLASK_SESSION={{}})
django.core.wsgi.get_wsgi_application()
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert "SettingsError: SECRET_KEY is not set" in done.stderr


@pytest.mark.parametrize("module", ["base", "conf", "csrf", "messages", "scope"])
def test_modules_without_users_need_no_apps(module):
    code = f"import asgi_flask_session.adapters.django.{module}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_django_the_extra_is_named():
    code = "import sys; sys.modules['django'] = None; import asgi_flask_session.adapters.django"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert "pip install asgi-flask-session[django]" in done.stderr
