"""One session, changed at once from ASGI, from Quart and from Flask, each with our interface: nothing is lost."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import flask
import pytest
import quart
from driver import SECRET, respond, scope_for
from services import mariadb, mongodb, postgresql

from asgi_flask_session import FlaskSessionASGI
from asgi_flask_session.adapters.flask import FlaskSessionInterface
from asgi_flask_session.stores.base import open_store
from quart_plugin import FlaskSessionInterface as QuartSessionInterface

KINDS = ["memory", "sqlite", "file", "redis", "memcached", "postgresql", "mariadb", "mongodb"]
SERVERS = {"postgresql": postgresql, "mariadb": mariadb, "mongodb": mongodb}
DRIVERS = {"postgresql": "postgresql+asyncpg://", "mariadb": "mysql+aiomysql://", "mongodb": ""}
WAIT = 5.0  # seconds for one call of a store that serves fifty at once on a small machine


@contextmanager
def url_of(kind, tmp_path, request):
    if kind in ("redis", "memcached"):
        yield request.getfixturevalue(f"{kind}_server").url
    elif kind in SERVERS:
        with SERVERS[kind].running() as server:
            yield f"{DRIVERS[kind]}{server.url}"
    else:
        yield {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/sessions.db", "file": f"file://{tmp_path}"}[kind]


@pytest.fixture(params=KINDS, scope="module")
def url(request, tmp_path_factory):
    with url_of(request.param, tmp_path_factory.mktemp("store"), request) as url:
        yield url


@pytest.fixture
def store(url):
    return open_store(url)


def asgi_side(store):
    async def app(scope, receive, send):
        await asyncio.sleep(0.01)
        if scope["path"] == "/names":
            body = json.dumps(sorted(scope["session"])).encode()
        else:
            scope["session"][scope["path"]] = True
            body = b""
        await respond(send, body=body)

    wrapped = FlaskSessionASGI(app, SECRET, store=store, store_timeout=WAIT)

    async def ask(cookie, path):
        messages = []

        async def send(message):
            messages.append(message)

        await wrapped(scope_for(cookie, path=path), None, send)
        assert messages[0]["status"] == 200
        cookies = [value.decode() for name, value in messages[0]["headers"] if name == b"set-cookie"]
        return messages[1]["body"], cookies

    return ask


def quart_side(store):
    app = quart.Quart("quart side")
    app.secret_key = SECRET
    app.session_interface = QuartSessionInterface(store=store, store_timeout=WAIT)

    @app.get("/<name>")
    async def write(name):
        await asyncio.sleep(0.01)
        quart.session[f"/{name}"] = True
        return ""

    async def ask(cookie, path):
        response = await app.test_client(use_cookies=False).get(path, headers={"Cookie": f"session={cookie}"})
        assert response.status_code == 200

    return ask


def flask_side(store, threads):
    app = flask.Flask("flask side")
    app.secret_key = SECRET
    app.session_interface = FlaskSessionInterface(store=store, store_timeout=WAIT)

    @app.get("/<name>")
    def write(name):
        flask.session[f"/{name}"] = True
        return ""

    def get(cookie, path):
        response = app.test_client(use_cookies=False).get(path, headers={"Cookie": f"session={cookie}"})
        assert response.status_code == 200

    async def ask(cookie, path):
        await asyncio.get_running_loop().run_in_executor(threads, get, cookie, path)

    return ask


@pytest.mark.parametrize("turn", range(5))
def test_fifty_requests_on_three_sides_lose_no_write(store, turn):
    async def main():
        with ThreadPoolExecutor(17) as threads:
            asgi = asgi_side(store)
            sides = [asgi, quart_side(store), flask_side(store, threads)]
            _, [line] = await asgi(None, "/first")
            cookie = line.partition(";")[0].partition("=")[2]
            await asyncio.gather(*(sides[number % 3](cookie, f"/{number}") for number in range(50)))
            body, _ = await asgi(cookie, "/names")
        await store.aclose()
        return set(json.loads(body))

    assert asyncio.run(main()) == {"/first", *(f"/{number}" for number in range(50))}
