"""A secret is replaced, and nobody is logged out: the former one still verifies, and each write signs with the new.

pip install asgi-flask-session uvicorn
SECRET_KEY=first uvicorn key_rotation:app
SECRET_KEY=second FORMER_SECRET_KEY=first uvicorn key_rotation:app

1. Deploy the new secret with the former one behind it, on the Flask side as SECRET_KEY_FALLBACKS at the same time.
2. Wait for as long as a session lives (31 days, or permanent_lifetime): whoever comes back has a new cookie by then.
3. Take the former one away. What leaked, or was in somebody's backup, is worth nothing now.
"""

import os

from asgi_flask_session import FlaskSessionASGI


async def count(scope, receive, send):
    if scope["type"] != "http":
        return
    session = scope["session"]
    session["visits"] = session.get("visits", 0) + 1  # each write is signed with the current secret
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"Visit {session['visits']}".encode()})


app = FlaskSessionASGI(
    count,
    os.environ.get("SECRET_KEY", "a-long-random-value-of-yours"),
    secret_fallbacks=os.environ.get("FORMER_SECRET_KEY", "").split(),
    cookie_samesite="Lax",
)
