"""examples/small: each app of one file."""

import pytest
from services.processes import wait_until
from websockets.sync.client import connect

COUNTING = {
    "raw_asgi": (),
    "litestar_app": (),
    "quart_app": (),
    "django_app": ("--lifespan", "off"),
}


@pytest.mark.parametrize("name", COUNTING)
def test_visits_are_counted_until_they_are_forgotten(name, asgi, browser, tmp_path):
    with asgi(f"small/{name}", *COUNTING[name], cwd=tmp_path) as url, browser(url) as client:
        assert [client.get("/").text for _ in range(3)] == ["Visit 1", "Visit 2", "Visit 3"]
        assert client.get("/forget").status_code == 303
        assert "session" not in client.cookies
        assert client.get("/").text == "Visit 1"


def visit(client, cookie):
    """Return the page, and the cookie that it leaves."""
    client.cookies.clear()
    answer = client.get("/", headers={"Cookie": cookie} if cookie else {})
    return answer.text, answer.headers["Set-Cookie"].partition(";")[0]


def test_the_four_share_a_session(asgi, browser, tmp_path):
    cookie = None
    for number, (name, options) in enumerate(COUNTING.items(), 1):
        with asgi(f"small/{name}", *options, cwd=tmp_path) as url, browser(url) as client:
            page, cookie = visit(client, cookie)
            assert page == f"Visit {number}"


def test_the_websocket_of_quart_counts_too(asgi, browser, tmp_path):
    with asgi("small/quart_app", cwd=tmp_path) as url, browser(url) as client:
        with connect(url.replace("http", "ws") + "/live", proxy=None) as socket:
            assert socket.recv() == "Visit 1"
            line = socket.response.headers["Set-Cookie"]
        client.cookies.set("session", line.partition("=")[2].partition(";")[0])
        assert client.get("/").text == "Visit 2"


def test_websockets_save_before_and_after_the_handshake(asgi, browser, tmp_path):
    with asgi("small/websocket_app", cwd=tmp_path) as url, browser(url) as client:
        assert client.get("/").text == "nobody said 0 things"
        with connect(url.replace("http", "ws") + "/talk?name=ada", proxy=None) as socket:
            line = socket.response.headers["Set-Cookie"]
            client.cookies.set("session", line.partition("=")[2].partition(";")[0])
            for text in ("hello", "good-bye"):
                socket.send(text)
                assert socket.recv() == f"ada: {text}"
            assert client.get("/").text == "ada said 2 things"
        wait_until(lambda: client.get("/").text == "ada said 2 things", "the end of the websocket")


def test_a_rotated_key_logs_nobody_out(asgi, browser, tmp_path):
    first, second = "the-first-secret-of-the-tests", "the-second-secret-of-the-tests"
    cookie = None
    for expected, secrets in [
        ("Visit 1", {"SECRET_KEY": first}),
        ("Visit 2", {"SECRET_KEY": second, "FORMER_SECRET_KEY": first}),
        ("Visit 3", {"SECRET_KEY": second}),
    ]:
        with asgi("small/key_rotation", cwd=tmp_path, **secrets) as url, browser(url) as client:
            page, cookie = visit(client, cookie)
            assert page == expected
    with asgi("small/key_rotation", cwd=tmp_path, SECRET_KEY=first) as url, browser(url) as client:
        assert visit(client, cookie)[0] == "Visit 1"
