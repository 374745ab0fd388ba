"""The records on the logger ``asgi_flask_session`` say what makes them."""

import logging

import pytest
from driver import SECRET, app_that, request

from asgi_flask_session import FlaskSessionASGI, logs


@pytest.mark.parametrize(
    ("cookie", "name", "made_in"),
    [
        ("x", "other", ("middleware", "_cookie_value")),
        ("x.y.z", "session", ("client_side", "open")),
    ],
)
def test_debug_record_names_its_maker(cookie, name, made_in, caplog):
    logs.logger.cache_clear()  # as in a new process
    caplog.set_level(logging.DEBUG, "asgi_flask_session")
    request(FlaskSessionASGI(app_that(lambda session: None), SECRET), cookie, name=name)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("asgi_flask_session", "DEBUG")
    assert (record.module, record.funcName) == made_in


def test_cookies_without_ours_are_told_of_once(caplog):
    caplog.set_level(logging.DEBUG, "asgi_flask_session")
    app = FlaskSessionASGI(app_that(lambda session: None), SECRET)
    for _ in range(2):
        request(app, "x", name="other")
    assert len(caplog.records) == 1


def test_warning_names_its_maker_and_comes_once(caplog):
    assert not logs.has_warned("cause")
    for number in range(2):
        logs.warn_once("cause", "it happened in %s", f"request {number}")
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "it happened in request 0")
    assert (record.module, record.funcName) == ("test_logs", "test_warning_names_its_maker_and_comes_once")
    assert logs.has_warned("cause")
