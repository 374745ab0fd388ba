"""asgi_flask_session.adapters.django.checks: what `manage.py check` says."""

import pytest
from adapters.django_site import (
    DJANGOS_LOGIN,
    DJANGOS_SESSION,
    FLASHES,
    MESSAGES,
    OUR_LOGIN,
    OUR_SESSION,
    project,
)
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import checks
from django.test.utils import override_settings
from driver import SECRET

DB = "django.contrib.sessions.backends.db"
ENGINE_WAY, SCOPE_WAY = [DJANGOS_SESSION, DJANGOS_LOGIN, MESSAGES], [OUR_SESSION, OUR_LOGIN, MESSAGES]


class OwnSessionMiddleware(SessionMiddleware):
    """One of the project's."""


OWN_SESSION = f"{__name__}.OwnSessionMiddleware"


@pytest.fixture(scope="module", autouse=True)
def _project():
    with project(":memory:"):
        yield


def found(**given):
    with override_settings(**given):
        messages = [message for message in checks.run_checks() if message.id.startswith("asgi_flask_session.")]
    assert all(message.hint for message in messages)
    return [message.id.partition(".")[2] for message in messages]


@pytest.mark.parametrize("middleware", [ENGINE_WAY, [DJANGOS_SESSION, OUR_LOGIN], SCOPE_WAY, [OWN_SESSION, OUR_LOGIN]])
def test_good_project_hears_nothing(middleware):
    assert found(MIDDLEWARE=middleware) == []


@pytest.mark.parametrize(
    "config",
    [None, {}, {"SECRET_KEY": SECRET, "cookie_nam": "x"}, {"SECRET_KEY": SECRET, "SECRET_KEY_FALLBACKS": "old"}],
)
def test_impossible_settings(config):
    assert found(FLASK_SESSION=config, MIDDLEWARE=SCOPE_WAY) == ["E001"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"FLASK_SESSION": {"SECRET_KEY": SECRET, "store": "memory:"}}, ["E001"]),
        ({"FLASK_SESSION": {"SECRET_KEY": SECRET, "WTF_CSRF_HEADERS": "X-CSRFToken"}}, ["E001"]),
        ({"SESSION_COOKIE_NAME": "sessionid"}, ["E002"]),
        ({"SESSION_COOKIE_DOMAIN": "shop.example", "SESSION_COOKIE_PATH": "/shop"}, ["E002", "E002"]),
        ({"FLASK_SESSION": {"SECRET_KEY": SECRET, "SESSION_COOKIE_NAME": "shop"}}, ["E002"]),
        ({"SESSION_SAVE_EVERY_REQUEST": True}, ["E003"]),
        ({"SESSION_COOKIE_SAMESITE": "Lax"}, ["W001"]),
        ({"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_HTTPONLY": False}, ["W001", "W001"]),
        ({"SESSION_COOKIE_AGE": 60, "SESSION_EXPIRE_AT_BROWSER_CLOSE": True}, ["W002", "W002"]),
    ],
)
def test_engine(given, expected):
    assert found(MIDDLEWARE=ENGINE_WAY, **given) == expected


@pytest.mark.parametrize(
    "given", [{"SESSION_COOKIE_NAME": "sessionid"}, {"FLASK_SESSION": {"SECRET_KEY": SECRET, "store": "memory:"}}]
)
def test_what_counts_for_the_engine_only(given):
    assert found(MIDDLEWARE=SCOPE_WAY, **given) == []


@pytest.mark.parametrize(
    ("middleware", "given", "expected"),
    [
        ([DJANGOS_SESSION, OUR_LOGIN], {"SESSION_ENGINE": DB}, ["E004"]),
        ([DJANGOS_SESSION, MESSAGES], {"SESSION_ENGINE": DB, "MESSAGE_STORAGE": FLASHES}, ["E004"]),
        ([DJANGOS_SESSION, DJANGOS_LOGIN], {"SESSION_ENGINE": DB}, []),
        ([DJANGOS_SESSION, OUR_SESSION], {}, ["E005"]),
        ([OUR_SESSION, OWN_SESSION], {}, ["E005"]),
        ([OUR_LOGIN, DJANGOS_SESSION], {}, ["E006"]),
        ([OUR_LOGIN, MESSAGES], {}, ["E006", "E006"]),
        ([DJANGOS_SESSION, DJANGOS_LOGIN, OUR_LOGIN], {}, ["E007"]),
        ([DJANGOS_SESSION, OUR_LOGIN], {"FLASK_LOGIN_USER_LOADER": "nowhere.load"}, ["E001"]),
        (
            [DJANGOS_SESSION, OUR_LOGIN],
            {"FLASK_SESSION": {"SECRET_KEY": SECRET, "SESSION_PROTECTION": "weak"}},
            ["E001"],
        ),
        ([DJANGOS_SESSION, "nowhere.Middleware", OUR_LOGIN], {}, []),
    ],
)
def test_middlewares(middleware, given, expected):
    assert found(MIDDLEWARE=middleware, **given) == expected


def test_what_is_said_names_no_secret():
    config = {"SECRET_KEY": "a-secret-that-nobody-sees", "SESSION_COOKIE_NAME": "a b"}
    with override_settings(FLASK_SESSION=config):
        assert "nobody-sees" not in str(checks.run_checks())


@pytest.mark.parametrize("middleware", [ENGINE_WAY, SCOPE_WAY])
def test_admin_takes_our_middlewares_for_djangos(middleware):
    from django.contrib.admin.checks import check_dependencies

    apps = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes"]
    with override_settings(INSTALLED_APPS=apps, MIDDLEWARE=middleware):
        ids = {message.id for message in check_dependencies()}
    assert ids.isdisjoint({"admin.E408", "admin.E409", "admin.E410"})
