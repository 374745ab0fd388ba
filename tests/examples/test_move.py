"""examples/move: a shop of Flask, whose cart and log-out are FastAPI's."""

import re
from urllib.parse import urlencode

import pytest


@pytest.fixture(scope="module")
def old(wsgi, tmp_path_factory):
    with wsgi("move/old", cwd=tmp_path_factory.mktemp("old")) as url:
        yield url


@pytest.fixture(scope="module")
def new(asgi, tmp_path_factory):
    with asgi("move/new", cwd=tmp_path_factory.mktemp("new")) as url:
        yield url


@pytest.fixture(params=["old", "new"])
def shop(request, browser):
    with browser(request.getfixturevalue(request.param)) as client:
        yield Visitor(client)


class Visitor:
    """Clicks through the pages as a browser does: a form is sent with the token that its page has."""

    def __init__(self, client):
        self.client = client
        self.page = ""

    def look(self, path):
        answer = self.client.get(path, follow_redirects=True)
        self.page = answer.text
        return answer

    def send(self, path, **fields):
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.page)
        answer = self.client.post(path, data={**fields, "csrf_token": token and token[1]}, follow_redirects=True)
        self.page = answer.text
        return answer

    def log_in(self, name="ada", password="lovelace", **fields):
        self.look("/login")
        return self.send("/login", name=name, password=password, **fields)

    @property
    def messages(self):
        return re.findall(r'<p role="status" class="(\w+)">(.*?)</p>', self.page)

    @property
    def cart(self):
        self.look("/cart")
        return re.findall(r"<li>(.*?)</li>", self.page)


def test_a_visitor_is_sent_to_log_in_and_back(shop):
    answer = shop.look("/cart")
    assert answer.url.path == "/login"
    assert answer.url.params["next"] == "/cart"
    assert shop.messages == [("warning", "Please log in to access this page.")]
    answer = shop.send(str(answer.url), name="ada", password="lovelace")
    assert answer.url.path == "/cart"
    assert shop.messages == [("message", "Hello ada!")]


@pytest.mark.parametrize(
    "back", ["//evil.example", "/\\evil.example", "/\t/evil.example", "/\n/evil.example", "https://evil.example"]
)
def test_a_visitor_is_sent_back_to_this_host_only(shop, back):
    shop.look("/login")
    answer = shop.send(f"/login?{urlencode({'next': back})}", name="ada", password="lovelace")
    assert (answer.url.host, answer.url.path) == ("127.0.0.1", "/")


def test_a_cart_fills_until_the_log_out(shop):
    shop.log_in()
    for article in ("tea", "tea", "cake"):
        shop.send("/cart", article=article)
        assert shop.messages[-1] == ("message", f"One more {article} is in your cart.")
    assert shop.cart == ["1 cake", "2 tea"]
    shop.send("/logout")
    assert shop.messages == [("message", "Good-bye.")]
    assert shop.look("/cart").url.path == "/login"
    shop.log_in()
    assert shop.cart == ["nothing yet"]


def test_a_form_without_its_token_is_refused(shop):
    shop.log_in()
    for path in ("/cart", "/logout"):
        answer = shop.client.post(path, data={"article": "tea"})
        assert answer.status_code == 400
        assert "The CSRF token is missing." in answer.text
    assert shop.cart == ["nothing yet"]


def test_a_remembered_user_comes_back_until_the_log_out(shop):
    shop.log_in(remember="on")
    del shop.client.cookies["session"]
    assert shop.look("/cart").url.path == "/cart"
    shop.look("/")
    shop.send("/logout")
    assert "remember_token" not in shop.client.cookies
    assert shop.look("/cart").url.path == "/login"


def test_the_admin_page_wants_a_fresh_log_in_of_an_admin(shop):
    shop.log_in()
    assert shop.look("/admin/").status_code == 403
    shop.look("/")
    shop.send("/logout")
    shop.log_in("grace", "hopper", remember="on")
    assert shop.look("/admin/").status_code == 200
    shop.send("/admin/announce", text="New cakes")
    assert shop.messages == [("admin", "New cakes")]
    del shop.client.cookies["session"]
    assert shop.look("/cart").status_code == 200  # remembered, but not fresh
    assert shop.look("/admin/").url.path == "/login"


@pytest.mark.parametrize(("first", "second"), [("old", "new"), ("new", "old")])
def test_a_session_moves_with_its_user(first, second, request, browser):
    """So that the move may be undone, too."""
    with browser(request.getfixturevalue(first)) as here, browser(request.getfixturevalue(second)) as there:
        visitor = Visitor(here)
        visitor.log_in()
        visitor.send("/cart", article="tea")
        page = visitor.page
        there.cookies = here.cookies
        visitor = Visitor(there)
        assert visitor.cart == ["1 tea"]
        visitor.page = page  # a form of the one side, sent to the other
        visitor.send("/cart", article="cake")
        assert visitor.cart == ["1 cake", "1 tea"]


def test_what_has_moved_is_fastapis(new, browser):
    with browser(new) as client:
        visitor = Visitor(client)
        visitor.log_in()
        sides = {path: re.search(r"This page is (\w+)'s", visitor.look(path).text)[1] for path in ("/", "/cart")}
        assert sides == {"/": "Flask", "/cart": "FastAPI"}
