"""W3, W4, R4: what the end of a request does to the cookie."""

import pytest

from asgi_flask_session.policy import CookieAction, accepted_ages, action_of_change, needs_vary, refresh_over
from asgi_flask_session.settings import Settings

SECRET = "a-secret-of-the-tests-only"


@pytest.mark.parametrize(
    ("empty", "carried", "action"),
    [
        (False, False, CookieAction.SET),
        (False, True, CookieAction.SET),
        (True, False, CookieAction.KEEP),
        (True, True, CookieAction.DELETE),
    ],
)
def test_action_of_change(empty, carried, action):
    assert action_of_change(empty=empty, carried=carried) is action


@pytest.mark.parametrize(
    ("settings", "age", "due"),
    [
        ({}, 0, True),
        ({"refresh_each_request": False}, 10, False),
        ({"refresh_after": 10}, 10, False),
        ({"refresh_after": 10}, 11, True),
        ({"refresh_after": 10, "refresh_each_request": False}, 11, True),
    ],
)
def test_refresh_due(settings, age, due):
    assert (age > refresh_over(Settings(secret=SECRET, **settings))) is due


@pytest.mark.parametrize(("age", "accepted"), [(0, True), (10, True), (11, False), (-2, True), (-3, False)])
def test_accepted_ages(age, accepted):
    """Lifetimes count in whole seconds, as in Flask."""
    settings = Settings(secret=SECRET, permanent_lifetime=10.9, clock_skew=2.9)
    assert (age in accepted_ages(settings)) is accepted


@pytest.mark.parametrize(
    ("accessed", "action", "vary", "needed"),
    [
        (False, CookieAction.KEEP, "accessed", False),
        (True, CookieAction.KEEP, "accessed", True),
        (False, CookieAction.SET, "accessed", True),
        (False, CookieAction.DELETE, "accessed", True),
        (False, CookieAction.KEEP, "always", True),
    ],
)
def test_needs_vary(accessed, action, vary, needed):
    assert needs_vary(Settings(secret=SECRET, vary=vary), accessed, action) is needed
