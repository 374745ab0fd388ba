"""Websockets in Starlette: what changes before accept goes out with the handshake, what changes later needs a store.

pip install "asgi-flask-session[memory,starlette]" uvicorn websockets
uvicorn websocket_app:app
"""

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from asgi_flask_session import FlaskSessionASGI


async def home(request):
    return PlainTextResponse(f"{request.session.get('name', 'nobody')} said {request.session.get('said', 0)} things")


async def talk(websocket):
    session = websocket.session
    session["name"] = websocket.query_params.get("name", "nobody")  # in time: a cookie goes out with the handshake
    await websocket.accept()
    async for text in websocket.iter_text():
        session["said"] = session.get("said", 0) + 1
        await session.save()  # at once; without it, when the connection ends. A signed cookie could not be sent here
        await websocket.send_text(f"{session['name']}: {text}")


api = Starlette(routes=[Route("/", home), WebSocketRoute("/talk", talk)])
app = FlaskSessionASGI(api, "a-long-random-value-of-yours", cookie_samesite="Lax", store="memory:")
