"""The FastAPI half of a shop that moves from Flask: the cart, which Flask fills. old_shop.py is the other half.

    pip install "asgi-flask-session[redis]" fastapi uvicorn
    uvicorn new_shop:app --port 8000

Cookies do not tell ports apart, so on one machine a browser shows both halves the same cookie. In production both
are behind one host name: a proxy sends some paths to the one and all others to the other.
"""

import os

from fastapi import FastAPI, Request

from asgi_flask_session import FlaskSessionASGI

api = FastAPI()


@api.get("/cart")
def cart(request: Request):
    session = request.session
    return {key.removeprefix("cart:"): count for key, count in session.items() if key.startswith("cart:")}


@api.post("/cart/{article}", status_code=204)
def add(request: Request, article: str):
    key = f"cart:{article}"
    request.session[key] = request.session.get(key, 0) + 1


@api.post("/logout", status_code=204)
def log_out(request: Request):
    request.session.clear()


app = FlaskSessionASGI(
    api,
    "a-long-random-value-of-yours",
    cookie_samesite="Lax",
    store=os.environ.get("REDIS_URL", "redis://localhost"),
)
