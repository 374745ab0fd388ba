"""Log a user out everywhere: by a look through the store, or by the time of the login, which costs nothing.

pip install "asgi-flask-session[sqlite]" fastapi uvicorn
uvicorn everywhere:app

curl -c phone -b phone -X POST "localhost:8000/login?name=ada"
curl -c laptop -b laptop -X POST "localhost:8000/login?name=ada"
curl -c laptop -b laptop localhost:8000/sessions
curl -c laptop -b laptop -X POST localhost:8000/logout-others
curl -c phone -b phone localhost:8000/
"""

import os
import time
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

from asgi_flask_session import FlaskSessionASGI

api = FastAPI()

password_changed = {}  # user -> time: in your app a column of the table of users


def is_revoked(session, _signed_at):
    """Refuse the sessions that began before the user's password was changed. Asked at each request; may be async."""
    return session.get("logged_in", 0) < password_changed.get(session.get("_user_id"), 0)


def logged_in(request: Request) -> str:
    if "_user_id" not in request.session:
        raise HTTPException(401)
    return request.session["_user_id"]


User = Annotated[str, Depends(logged_in)]


@api.post("/login")
def log_in(request: Request, name: str):
    request.session.update(_user_id=name, logged_in=time.time())


@api.get("/")
def show(user: User):
    return {"user": user}


@api.get("/sessions")
async def sessions(user: User):
    return {"sessions": len(await app.store.sessions_of(user))}


@api.post("/logout-others")
async def log_others_out(request: Request, user: User):
    """End all sessions of the user but this one: every record of the store is read for it."""
    return {"ended": await app.store.revoke_user(user, keep=request.session.sid)}


@api.post("/password")
def change_password(request: Request, user: User):
    """End them without a look into the store: each is refused when it comes, and this one is renewed."""
    request.session["logged_in"] = password_changed[user] = time.time()
    request.session.regenerate()  # a new id, since the old one may be why the password was changed


app = FlaskSessionASGI(
    api,
    "a-long-random-value-of-yours",
    cookie_samesite="Lax",
    store=os.environ.get("STORE", "sqlite:///sessions.db"),
    is_revoked=is_revoked,
)
