"""A Quart app whose clock can be set, answering in the terms of driver.request."""

import asyncio
from contextlib import contextmanager
from importlib.metadata import version

import pytest
from driver import NOW, SECRET, Exchange, nothing

from .flask_side import Side, clock_at

quart = pytest.importorskip("quart")

SAYS_WHAT_IS_READ = [int(number) for number in version("quart").split(".")[:2]] >= [0, 23]  # and so sends Vary for it


class QuartSide(Side):
    """A Quart app of one view, which does with the session what it is asked to, while ``running()``."""

    runner: asyncio.Runner

    def __init__(self, *, interface=None, **config):
        self.app = quart.Quart(__name__)
        self.app.config |= {"SECRET_KEY": SECRET, "MAX_COOKIE_SIZE": 0, "TESTING": True, **config}
        if interface is not None:
            self.app.session_interface = interface
        self.app.add_url_rule("/", view_func=self.view)
        self.client = self.app.test_client(use_cookies=False)

    async def view(self):
        self.act(quart.session)
        return ""

    def request(self, cookie=None, act=nothing, *, name=None, now=NOW):
        self.act = act
        name = name or self.app.config["SESSION_COOKIE_NAME"]
        sent = {} if cookie is None else {"Cookie": f"{name}={cookie}"}
        with clock_at(now, quart.sessions):
            response = self.runner.run(self.client.get("/", headers=sent))
        assert response.status_code == 200
        return Exchange([{"status": 200, "headers": [(k.encode(), v.encode()) for k, v in response.headers]}])


@contextmanager
def running():
    """Have a loop on which all of them serve."""
    with asyncio.Runner() as QuartSide.runner:
        yield
