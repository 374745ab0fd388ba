"""A FastAPI app on one machine, with its sessions in an SQLite file: several worker processes, no server to run.

pip install "asgi-flask-session[sqlite]" fastapi uvicorn
uvicorn one_machine:app --workers 2

curl -c jar -b jar -X POST "localhost:8000/cart?article=tea"
curl -c jar -b jar -X POST "localhost:8000/login?name=ada"
curl -c jar -b jar localhost:8000/
curl -c jar -b jar -X POST localhost:8000/logout
"""

import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from asgi_flask_session import FlaskSessionASGI

PREFIX = "cart:"


@asynccontextmanager
async def lifespan(_):
    """Delete expired sessions now and then: SQLite does not forget by itself."""

    async def prune():
        while True:
            await app.store.prune()
            await asyncio.sleep(3600)

    task = asyncio.create_task(prune())
    yield
    task.cancel()


api = FastAPI(lifespan=lifespan)


@api.get("/")
def show(request: Request):
    session = request.session
    cart = {key.removeprefix(PREFIX): count for key, count in session.items() if key.startswith(PREFIX)}
    return {"user": session.get("_user_id"), "cart": cart}


@api.post("/cart")
def add(request: Request, article: str):
    # A key for each article: two requests at once that change different keys both keep their change. Of two that
    # change one key, a list of all articles say, the later one would win.
    key = PREFIX + article
    request.session[key] = request.session.get(key, 0) + 1


@api.post("/login")
def log_in(request: Request, name: str):
    # Where a password would be checked. Under this key, which is Flask-Login's, a user who appears, changes or
    # goes gives the session a new id: whoever knew the old one has nothing.
    request.session["_user_id"] = name


@api.post("/logout")
def log_out(request: Request):
    request.session.clear()  # the record goes too: no request that is still under way can bring it back


@api.get("/health")
async def health():
    await app.store.ping()  # StoreUnavailable, so a 500, where the file cannot be read


app = FlaskSessionASGI(api, "a-long-random-value-of-yours", cookie_samesite="Lax", store="sqlite:///sessions.db")
