"""The apps that real servers serve in these tests: a path says what is done to the session, JSON what is in it."""

import logging
import os

import anyio
from driver import SECRET
from flask.sessions import SecureCookieSession
from quart import Blueprint, Quart, abort, session, websocket
from quart_trio import QuartTrio

from asgi_flask_session import FlaskSessionASGI, logs
from asgi_flask_session.stores.memory import MemoryStore
from quart_plugin import FlaskSessionInterface, Session

NO_SERVER = "redis://127.0.0.1:1"

routes = Blueprint("routes", __name__)
said = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: said.append(f"{record.name}: {record.getMessage()}")
logging.getLogger().addHandler(handler)


@routes.get("/said")
async def said_so_far():
    """Return what was logged since this was last asked, and let every cause be warned of anew."""
    messages = said[:]
    said.clear()
    logs.forget()
    return messages


@routes.get("/read")
async def read():
    return dict(session)


@routes.get("/set/<key>")
async def set_key(key):
    session[key] = key
    return dict(session)


@routes.websocket("/explicit")
async def explicit():
    session["n"] = 1
    await websocket.accept(headers={"x-own": "1"})
    await websocket.send_json(dict(session))


@routes.websocket("/implicit-send")
async def implicit_send():
    session["n"] = 1
    await websocket.send_json(dict(session))


@routes.websocket("/implicit-receive")
async def implicit_receive():
    session["n"] = 1
    await websocket.receive()
    await websocket.send_json(dict(session))


@routes.websocket("/two-tasks")
async def two_tasks():
    """Log in, and let two tasks accept at once."""
    session["_user_id"] = "ada"
    async with anyio.create_task_group() as group:
        group.start_soon(websocket.receive)
        await websocket.send_json(dict(session))
        group.start_soon(websocket.send_json, "again")


@routes.websocket("/reads")
async def reads():
    await websocket.send_json(dict(session))


@routes.websocket("/untouched")
async def untouched():
    await websocket.send_json("untouched")


@routes.websocket("/clears")
async def clears():
    session.clear()
    await websocket.send_json(dict(session))


@routes.websocket("/refused")
async def refused():
    session["n"] = 1
    abort(403)


@routes.websocket("/fails")
async def fails():
    session["n"] = 1
    raise RuntimeError("on purpose")


@routes.websocket("/late")
async def late():
    await websocket.accept()
    session["late"] = "returned"
    await websocket.send_json(dict(session))


@routes.websocket("/late-until-the-client-goes")
async def late_until_the_client_goes():
    await websocket.accept()
    session["late"] = "cancelled"
    await websocket.send_json(dict(session))
    while True:
        await websocket.receive()


@routes.websocket("/saved")
async def saved():
    await websocket.accept()
    session["late"] = "saved"
    await session.save()
    await websocket.send_json(dict(session))
    await websocket.receive()
    del session["late"]
    await websocket.send_json(dict(session))


def app_of(kind, interface):
    app = kind(__name__)
    app.secret_key = SECRET
    app.session_interface = interface
    app.register_blueprint(routes)
    return app


class OfFlask(FlaskSessionInterface):
    """Hands out sessions of another class."""

    session_class = SecureCookieSession


def by_path(kind):
    """Return an ASGI app of several, one for each place where a session is kept: the first part of the path says it."""
    stores = {
        "memory": MemoryStore(),
        "sqlite": f"sqlite:///{os.environ['SQLITE']}",
        "redis": os.environ["REDIS_URL"],
        "down": NO_SERVER,
    }
    apps = {name: app_of(kind, FlaskSessionInterface(store=store)) for name, store in stores.items()}
    apps["cookie"] = app_of(kind, FlaskSessionInterface())
    apps["of-flask"] = app_of(kind, OfFlask())
    apps["of-flask-in-redis"] = app_of(kind, OfFlask(store=stores["redis"]))
    apps["wrapped"] = app_of(kind, FlaskSessionInterface())
    apps["wrapped"].asgi_app = FlaskSessionASGI(apps["wrapped"].asgi_app, SECRET)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        name = scope["path"].split("/")[1]
        await apps[name]({**scope, "root_path": f"{scope.get('root_path', '')}/{name}"}, receive, send)

    return app


async def lifespan(receive, send):
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


def on_asyncio():
    return by_path(Quart)


def on_trio():
    return by_path(QuartTrio)


# On one Redis, by the one and by the other


def interface_on_trio():
    return app_of(QuartTrio, FlaskSessionInterface(store=os.environ["REDIS_URL"]))


def extension_on_trio():
    app = QuartTrio(__name__)
    app.config |= {"SECRET_KEY": SECRET, "SESSION_TYPE": "redis+trio", "SESSION_URI": os.environ["REDIS_URL"]}
    Session(app)
    app.register_blueprint(routes)
    return app
