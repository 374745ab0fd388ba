"""The six apps of the demo, as every server serves them."""

from driver import respond
from servers.app import lifespan

from examples.demo.server import build

six = build()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/nothing":
        await respond(send)
    else:

        async def receive_by_coroutine():  # a2wsgi takes nothing else, and Granian's is a future
            return await receive()

        await six(scope, receive_by_coroutine, send)
