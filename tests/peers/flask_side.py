"""A Flask app whose clock can be set, answering in the terms of driver.request."""

from contextlib import contextmanager
from datetime import datetime

import pytest
from driver import NOW, SECRET, Exchange, app_that, nothing, request
from itsdangerous import TimestampSigner

from asgi_flask_session import FlaskSessionASGI, Settings

flask = pytest.importorskip("flask")


@contextmanager
def clock_at(now, module=flask.sessions):
    """Set the two clocks that a session's cookie depends on: itsdangerous', and that of *module*'s interface."""

    class Frozen(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(now, tz)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimestampSigner, "get_timestamp", lambda signer: int(now))
        patch.setattr(module, "datetime", Frozen)
        yield


class Side:
    """An app of one view, which does with the session what each request asks for."""

    def read(self, cookie, **more):
        """Return what this side reads from a cookie."""
        seen = []
        self.request(cookie, lambda session: seen.append(dict(session)), **more)
        return seen[0]

    def write(self, data, **more):
        """Return the line that this side sets for a session."""
        return self.request(None, lambda session: session.update(data), **more).set_cookie


class FlaskSide(Side):
    """A live Flask app of one view, which does with the session what it is asked to."""

    def __init__(self, secret=SECRET, *, interface=None, **config):
        self.app = flask.Flask(__name__)
        self.app.config |= {"SECRET_KEY": secret, "MAX_COOKIE_SIZE": 0, "TESTING": True, **config}
        if interface is not None:
            self.app.session_interface = interface
        self.app.add_url_rule("/", view_func=self.view)
        self.client = self.app.test_client(use_cookies=False)

    def view(self):
        self.act(flask.session)
        return flask.Response(headers=self.headers)

    def request(self, cookie=None, act=nothing, *, name=None, now=NOW, headers=()):
        self.act, self.headers = act, headers
        with clock_at(now):
            name = name or self.app.config["SESSION_COOKIE_NAME"]
            sent = {} if cookie is None else {"Cookie": f"{name}={cookie}"}
            response = self.client.get("/", headers=sent)
        assert response.status_code == 200
        return Exchange([{"status": 200, "headers": [(k.encode(), v.encode()) for k, v in response.headers]}])

    def settings(self, **changes):
        return Settings.from_flask(self.app, **changes)


class OurSide(Side):
    """Our middleware around an app that does the same, with the settings of a Flask app."""

    def __init__(self, settings):
        self.settings = settings
        self.now = NOW
        self.act = nothing
        self.app = FlaskSessionASGI(app_that(self._act), settings=settings, clock=lambda: self.now)

    def _act(self, session):
        self.act(session)

    def request(self, cookie=None, act=nothing, *, now=NOW):
        self.act, self.now = act, now
        answer = request(self.app, cookie, name=self.settings.cookie_name)
        assert answer.status == 200
        return answer


def both(secret=SECRET, **more):
    """Return a Flask app, and ours with its settings."""
    theirs = FlaskSide(secret, **more)
    return theirs, OurSide(theirs.settings())


def value_of(line):
    return line.partition(";")[0].partition("=")[2]
