"""No framework at all: a page that counts its visits.

pip install asgi-flask-session uvicorn
uvicorn raw_asgi:app
"""

from asgi_flask_session import FlaskSessionASGI


async def count(scope, receive, send):
    if scope["type"] != "http":
        return
    session = scope["session"]
    if scope["path"] == "/forget":
        session.clear()  # an emptied session takes its cookie away
        status, headers, body = 303, [(b"location", b"/")], b""
    else:
        session["visits"] = session.get("visits", 0) + 1
        session.permanent = True  # the cookie outlives the browser
        status, headers, body = 200, [(b"content-type", b"text/plain")], f"Visit {session['visits']}".encode()
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = FlaskSessionASGI(count, "a-long-random-value-of-yours", cookie_samesite="Lax")
