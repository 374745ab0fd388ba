"""The same shop on its way to FastAPI: the cart and the log-out have moved, the rest is still Flask's.

    pip install "asgi-flask-session[fastapi]" a2wsgi flask flask-login flask-wtf jinja2 python-multipart uvicorn
    uvicorn new:app

Whoever was logged in stays so; a form that one side made may be sent to the other; messages and carts are one.
"""

from functools import partial
from typing import Annotated

from a2wsgi import WSGIMiddleware
from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from old import ADMINS, ARTICLES
from old import app as old

from asgi_flask_session import FlaskSessionASGI, Settings
from asgi_flask_session.adapters.fastapi import CSRFProtect, FlaskSession, LoginManager
from asgi_flask_session.adapters.starlette import flash, get_flashed_messages
from asgi_flask_session.csrf import CSRFSettings
from asgi_flask_session.login import LoginSettings

logins = LoginManager(LoginSettings.from_flask(old), login_view="/login", login_message_category="warning")
csrf = CSRFProtect(CSRFSettings.from_flask(old))
templates = Jinja2Templates(old.jinja_loader.searchpath)

UserId = Annotated[str, Depends(logins.required)]

api = FastAPI(title="Shop")


async def page(request: Request, name: str, **values):
    """Render one of the templates that Flask has, with what these take from Flask, Flask-Login and Flask-WTF."""
    user_id = await logins.user_id(request)
    token = await csrf.token(request)
    values |= {
        "csrf_token": lambda: token,
        "get_flashed_messages": partial(get_flashed_messages, request),
        "user_id": user_id,
        "is_admin": user_id in ADMINS,
        "side": "FastAPI",
    }
    return templates.TemplateResponse(request, name, values)


@api.get("/cart")
async def cart(request: Request, session: FlaskSession, _: UserId):
    return await page(request, "cart.html", cart=session.get("cart", {}))


@api.post("/cart", dependencies=[Depends(csrf.protect)])
async def add(request: Request, session: FlaskSession, _: UserId, article: Annotated[str, Form()]):
    if article not in ARTICLES:
        raise HTTPException(404)
    filled = session.setdefault("cart", {})
    filled[article] = filled.get(article, 0) + 1  # seen, though it is nested
    flash(request, f"One more {article} is in your cart.")
    return RedirectResponse("/", 303)


@api.post("/logout", dependencies=[Depends(csrf.protect)])
async def log_out(request: Request, session: FlaskSession):
    logins.logout_user(request)  # which also ends the remember cookie
    session.pop("cart", None)
    flash(request, "Good-bye.")
    return RedirectResponse("/", 303)


# Whatever has not moved goes to Flask. It stands last, since it answers to every path.
api.mount("/", WSGIMiddleware(old))

# Around both, so that what both change goes out in one cookie.
app = FlaskSessionASGI(api, settings=Settings.from_flask(old))
