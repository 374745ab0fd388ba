"""Quart, by its own ``session``: a page that counts its visits, and a websocket that counts them too.

pip install "asgi-flask-session[quart]" uvicorn websockets
uvicorn quart_app:app
"""

from quart import Quart, redirect, session, websocket

from quart_plugin import FlaskSessionInterface

app = Quart(__name__)
app.config.update(SECRET_KEY="a-long-random-value-of-yours", SESSION_COOKIE_SAMESITE="Lax")

# The one line: Flask's bytes, and cookies with the handshake of a websocket. With store="redis://localhost"
# sessions are kept there, and with quart_plugin.Session(app) Quart-Session's config says where.
app.session_interface = FlaskSessionInterface()


@app.get("/")
async def count():
    session["visits"] = session.get("visits", 0) + 1
    return f"Visit {session['visits']}"


@app.get("/forget")
async def forget():
    session.clear()
    return redirect("/", 303)


@app.websocket("/live")
async def live():
    session["visits"] = session.get("visits", 0) + 1  # before the first message, which accepts
    await websocket.send(f"Visit {session['visits']}")
