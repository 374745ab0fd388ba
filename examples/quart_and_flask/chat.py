"""The Quart half of a site: a chat for those who have logged in to Flask. pages.py is the other half.

pip install "asgi-flask-session[quart,redis]" hypercorn
hypercorn chat:app --bind localhost:8000
"""

import os

from quart import Quart, abort, flash, session, websocket

from quart_plugin import FlaskSessionInterface

app = Quart(__name__)
app.config.update(SECRET_KEY="a-long-random-value-of-yours", SESSION_COOKIE_SAMESITE="Lax")
app.session_interface = FlaskSessionInterface(store=os.environ.get("REDIS_URL", "redis://localhost"))


@app.websocket("/chat")
async def chat():
    if "_user_id" not in session:
        abort(401)
    while True:
        text = await websocket.receive()
        session["said"] = session.get("said", 0) + 1
        await session.save()  # so that the pages show it while the chat goes on
        await websocket.send(f"{session['_user_id']}: {text}")


@app.post("/logout")
async def log_out():
    session.pop("_user_id", None)
    await flash("Come back soon")
    return "", 204
