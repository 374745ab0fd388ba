"""A FastAPI app whose sessions are where the sentinels say. __main__.py starts two of it."""

import os

from fastapi import FastAPI, Request, Response

from asgi_flask_session import FlaskSessionASGI, StoreUnavailable

api = FastAPI()


@api.post("/login")
def log_in(request: Request, name: str):
    request.session["_user_id"] = name


@api.get("/")
def visit(request: Request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"user": request.session.get("_user_id"), "visits": request.session["visits"]}


@api.get("/health")
async def health(response: Response):
    """Tell a load balancer whether requests with a session can be served here."""
    try:
        await app.store.ping()
    except StoreUnavailable as error:
        response.status_code = 503
        return {"store": str(error)}
    return {"store": "ok"}


app = FlaskSessionASGI(
    api,
    os.environ["SECRET_KEY"],
    cookie_samesite="Lax",
    store=os.environ["STORE"],  # redis+sentinel://host1:26379,host2:26379,host3:26379/sessions
)
