"""examples/quart_and_flask."""

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


@pytest.fixture
def halves(asgi, wsgi, redis_server, tmp_path):
    redis_url = {"REDIS_URL": redis_server.url, "cwd": tmp_path}
    with (
        wsgi("quart_and_flask/pages", **redis_url) as pages,
        asgi("quart_and_flask/chat", **redis_url) as chat,
    ):
        yield pages, chat


def chat_at(url, client):
    cookies = {"Cookie": f"session={client.cookies['session']}"} if "session" in client.cookies else {}
    return connect(f"ws{url.removeprefix('http')}/chat", additional_headers=cookies, proxy=None)


def test_who_logs_in_on_the_pages_chats_and_the_pages_show_it(halves, browser):
    pages, chat = halves
    with browser() as client:
        client.post(f"{pages}/login/ada").raise_for_status()
        with chat_at(chat, client) as connection:
            for text in ("hello", "anybody?"):
                connection.send(text)
                assert connection.recv(10) == f"ada: {text}"
            assert client.get(f"{pages}/").json() == {"user": "ada", "said": 2, "messages": []}
        client.post(f"{chat}/logout").raise_for_status()
        assert client.get(f"{pages}/").json() == {"user": None, "said": 2, "messages": ["Come back soon"]}


def test_who_is_not_logged_in_does_not_chat(halves, browser):
    with browser() as client, pytest.raises(InvalidStatus, match="401"), chat_at(halves[1], client):
        pass
