"""examples/stores and examples/flask_and_fastapi_on_redis."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

ARTICLES = [f"article{number}" for number in range(12)]


def together(function, arguments):
    with ThreadPoolExecutor(len(ARTICLES)) as pool:
        return list(pool.map(function, arguments))


@pytest.fixture(scope="module")
def one_machine(asgi, tmp_path_factory):
    with asgi("stores/one_machine", "--workers", "2", cwd=tmp_path_factory.mktemp("app")) as url:
        yield url


def test_one_machine_keeps_what_requests_at_once_put_into_a_cart(one_machine, browser):
    with browser(one_machine) as client:
        client.post("/login", params={"name": "ada"}).raise_for_status()
        answers = together(lambda article: client.post("/cart", params={"article": article}), ARTICLES)
        assert {answer.status_code for answer in answers} == {200}
        assert client.get("/").json() == {"user": "ada", "cart": dict.fromkeys(ARTICLES, 1)}


def test_one_machine_gives_a_new_id_at_login_and_ends_it_at_logout(one_machine, browser):
    with browser(one_machine) as client, browser(one_machine) as thief:
        client.post("/cart", params={"article": "tea"})
        before = client.cookies["session"]
        client.post("/login", params={"name": "ada"})
        after = client.cookies["session"]
        assert before != after
        client.post("/logout")
        assert "session" not in client.cookies
        for stolen in (before, after):
            thief.cookies.set("session", stolen)
            assert thief.get("/").json() == {"user": None, "cart": {}}


def test_one_machine_says_that_it_is_well(one_machine, browser):
    with browser(one_machine) as client:
        assert client.get("/health").status_code == 200


@pytest.fixture
def devices(asgi, browser, tmp_path):
    """Three browsers of one user, and one of another."""
    with asgi("stores/everywhere", cwd=tmp_path) as url, ExitStack() as stack:
        phone, laptop, tablet, other = (stack.enter_context(browser(url)) for _ in range(4))
        for device in (phone, laptop, tablet):
            device.post("/login", params={"name": "ada"}).raise_for_status()
        other.post("/login", params={"name": "bob"}).raise_for_status()
        yield phone, laptop, tablet, other


def users(devices):
    return [device.get("/").json().get("user") for device in devices]


def test_everywhere_ends_the_others_through_the_store(devices):
    laptop = devices[1]
    assert laptop.get("/sessions").json() == {"sessions": 3}
    assert laptop.post("/logout-others").json() == {"ended": 2}
    assert users(devices) == [None, "ada", None, "bob"]
    assert laptop.get("/sessions").json() == {"sessions": 1}


def test_everywhere_ends_them_by_the_time_of_the_login(devices):
    laptop = devices[1]
    before = laptop.cookies["session"]
    laptop.post("/password").raise_for_status()
    assert laptop.cookies["session"] != before
    assert users(devices) == [None, "ada", None, "bob"]


@pytest.fixture
def shop(asgi, wsgi, redis_server, tmp_path):
    redis_url = {"REDIS_URL": redis_server.url, "cwd": tmp_path}
    with (
        wsgi("flask_and_fastapi_on_redis/old_shop", **redis_url) as old,
        asgi("flask_and_fastapi_on_redis/new_shop", **redis_url) as new,
    ):
        yield old, new


def test_both_halves_of_the_shop_fill_one_cart_at_once(shop, browser):
    old, new = shop
    with browser() as client:
        client.post(f"{old}/login/ada").raise_for_status()
        sides = [old, new] * (len(ARTICLES) // 2)
        answers = together(lambda at: client.post(f"{at[0]}/cart/{at[1]}"), zip(sides, ARTICLES, strict=True))
        assert {answer.status_code for answer in answers} == {204}
        assert client.get(f"{new}/cart").json() == dict.fromkeys(ARTICLES, 1)


def test_a_logout_in_the_new_half_is_one_in_the_old(shop, browser):
    old, new = shop
    with browser() as client:
        client.post(f"{old}/login/ada").raise_for_status()
        stolen = client.cookies["session"]
        assert client.get(f"{old}/me").json() == {"user": "ada"}
        client.post(f"{new}/logout").raise_for_status()
        client.cookies.set("session", stolen, domain="127.0.0.1")
        assert client.get(f"{old}/me").json() == {"user": None}
