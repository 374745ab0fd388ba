"""Litestar: a page that counts its visits, and one that forgets them.

pip install "asgi-flask-session[litestar]" uvicorn
uvicorn litestar_app:app
"""

from litestar import Litestar, Request, get
from litestar.middleware import DefineMiddleware
from litestar.response import Redirect

from asgi_flask_session import FlaskSessionASGI


@get("/")
async def count(request: Request) -> str:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return f"Visit {request.session['visits']}"


@get("/forget")
async def forget(request: Request) -> Redirect:
    request.clear_session()
    return Redirect("/", status_code=303)


session = DefineMiddleware(FlaskSessionASGI, secret="a-long-random-value-of-yours", cookie_samesite="Lax")
app = Litestar([count, forget], middleware=[session])
