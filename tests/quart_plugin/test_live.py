"""A Flask, a Quart and a FastAPI app, each a process with a port of its own, share one session over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest
from services import redis
from services.apps import serving

SERVERS = {"flask": "werkzeug", "quart": "hypercorn-asyncio", "fastapi": "uvicorn-websockets"}
SIDES = tuple(SERVERS)
KEPT = ("in a cookie", "in Redis", "by Quart-Session's names", "by Flask-Session")
OLD, NEW = "the-old-key-of-the-tests-only", "the-new-key-of-the-tests-only"


@pytest.fixture(scope="module")
def redis_url():
    with redis.running() as server:
        yield server.url


class Site:
    """The three sides."""

    def __init__(self, stack, kept, redis_url):
        self._stack = stack
        self._environ = {"KEPT": kept, "REDIS_URL": redis_url}
        self._servers = {}

    def start(self, *sides, **secrets):
        """Start some of the sides, or start them again, with other secrets."""
        with ThreadPoolExecutor() as pool:
            for side, server in zip(sides, pool.map(lambda side: self._start(side, secrets), sides), strict=True):
                self._servers[side] = server
        return self

    def _start(self, side, secrets):
        if side in self._servers:
            self._servers[side].stop()
        app = f"quart_plugin/three_apps:{side}_app"
        return self._stack.enter_context(serving(SERVERS[side], app, **self._environ, **secrets))

    def url(self, side):
        return self._servers[side].url


class Browser:
    """Keeps its cookies; they know no ports."""

    def __init__(self, site, cookie=None):
        self._site = site
        self._client = httpx.Client(trust_env=False, timeout=10)
        if cookie is not None:
            self._client.cookies.set("session", cookie, domain="127.0.0.1")

    def get(self, side, path):
        return self._client.get(self._site.url(side) + path).raise_for_status().json()

    def post(self, side, path):
        self._client.post(self._site.url(side) + path).raise_for_status()

    def users(self):
        return [self.get(side, "/me")["user"] for side in SIDES]

    def carts(self):
        return [self.get(side, "/cart") for side in SIDES]

    @property
    def cookie(self):
        return self._client.cookies.get("session", domain="127.0.0.1")

    def close(self):
        self._client.close()


@pytest.fixture(scope="module", params=KEPT)
def kept(request):
    return request.param


@pytest.fixture(scope="module")
def site(kept, redis_url):
    with ExitStack() as stack:
        # The new key as well, so that each side can read what another will have signed with it.
        yield Site(stack, kept, redis_url).start(*SIDES, SECRET_KEY=OLD, SECRET_KEY_FALLBACKS=NEW)


@pytest.fixture
def browser(site):
    browser = Browser(site)
    yield browser
    browser.close()


@pytest.mark.parametrize("out_of", SIDES)
def test_login_cart_flash_and_logout_are_those_of_one_session(site, kept, browser, out_of):
    browser.post("flask", "/login/ada")
    assert browser.users() == ["ada"] * 3
    browser.post("quart", "/cart/tea")
    assert browser.carts() == [["tea"]] * 3
    browser.post("fastapi", "/flash/hello")
    assert browser.get("flask", "/flashes") == [["info", "hello"]]
    before = browser.cookie
    browser.post(out_of, "/logout")
    assert browser.users() == [None] * 3
    if kept != "in a cookie":  # a copy of which can be taken, and lasts
        thief = Browser(site, before)
        assert thief.users() == [None] * 3
        thief.close()


@pytest.mark.parametrize("made", SIDES)
@pytest.mark.parametrize("shown", SIDES)
def test_flash_of_one_side_is_shown_by_another_once(browser, made, shown):
    browser.post(made, "/flash/one")
    browser.post(made, "/flash/two")
    assert browser.get(shown, "/flashes") == [["info", "one"], ["info", "two"]]
    assert [browser.get(side, "/flashes") for side in SIDES] == [[]] * 3


@pytest.mark.parametrize("kept", ["in Redis", "by Quart-Session's names"], indirect=True)
def test_a_cart_that_three_sides_fill_at_once_holds_all(browser):
    browser.post("flask", "/login/ada")
    articles = [f"article{number:02}" for number in range(30)]
    with ThreadPoolExecutor(len(articles)) as pool:
        list(pool.map(lambda at: browser.post(SIDES[at[0] % 3], f"/cart/{at[1]}"), enumerate(articles)))
    assert browser.carts() == [articles] * 3


@pytest.mark.parametrize("kept", ["in a cookie", "in Redis"], indirect=True)
def test_keys_are_rotated_one_side_after_another_and_nobody_is_logged_out(site, browser):
    browser.post("flask", "/login/ada")
    stale = browser.cookie
    for number, side in enumerate(SIDES, 1):
        site.start(side, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=OLD)
        browser.post(side, f"/cart/{number}")
        assert browser.users() == ["ada"] * 3
        assert browser.carts() == [[str(each) for each in range(1, number + 1)]] * 3
    site.start(*SIDES, SECRET_KEY=NEW)
    assert browser.users() == ["ada"] * 3
    assert browser.carts() == [["1", "2", "3"]] * 3
    late = Browser(site, stale)
    assert late.users() == [None] * 3
    late.close()
