"""Flask, Quart and FastAPI with one session, each in its own words: who is logged in, a cart, and flashes.

The environment says where the session is kept (KEPT), and which secrets there are (SECRET_KEY, SECRET_KEY_FALLBACKS).
"""

import os

KEPT, REDIS_URL = os.environ["KEPT"], os.environ["REDIS_URL"]
CONFIG = {
    "SECRET_KEY": os.environ["SECRET_KEY"],
    "SECRET_KEY_FALLBACKS": os.environ.get("SECRET_KEY_FALLBACKS", "").split(),
}
# What the sides that have our settings are told, beside the secrets.
FIELDS = {
    "in a cookie": {},
    "in Redis": {"store": REDIS_URL, "sign_ids": True},
    "by Quart-Session's names": {"store": REDIS_URL, "permanent": True},
    "by Flask-Session": {"store": REDIS_URL, "permanent": True, "record_format": "msgpack"},
}[KEPT]


def articles(session):
    return sorted(key.removeprefix("cart:") for key in session if key.startswith("cart:"))


# Flask, with Flask-Login


def flask_app():
    import flask
    import flask_login
    import flask_session
    from redis import Redis

    from asgi_flask_session.adapters.flask import FlaskSessionInterface

    class User(flask_login.UserMixin):
        def __init__(self, name):
            self.id = name

    app = flask.Flask(__name__)
    app.config |= CONFIG
    if KEPT == "by Flask-Session":
        app.config |= {"SESSION_TYPE": "redis", "SESSION_REDIS": Redis.from_url(REDIS_URL)}
        flask_session.Session(app)
    elif FIELDS:
        app.session_interface = FlaskSessionInterface(**FIELDS)
    flask_login.LoginManager(app).user_loader(User)

    @app.post("/login/<name>")
    def log_in(name):
        flask_login.login_user(User(name))
        return {}

    @app.post("/logout")
    def log_out():
        flask_login.logout_user()
        return {}

    @app.get("/me")
    def me():
        return {"user": flask_login.current_user.get_id()}

    @app.post("/cart/<article>")
    def add(article):
        flask.session[f"cart:{article}"] = 1
        return {}

    @app.get("/cart")
    def cart():
        return articles(flask.session)

    @app.post("/flash/<text>")
    def flash(text):
        flask.flash(text, "info")
        return {}

    @app.get("/flashes")
    def flashes():
        return flask.get_flashed_messages(with_categories=True)

    return app


# Quart


def quart_app():
    import quart

    import quart_plugin

    app = quart.Quart(__name__)
    app.config |= CONFIG
    if KEPT in ("by Quart-Session's names", "by Flask-Session"):
        app.config |= {"SESSION_TYPE": "redis", "SESSION_URI": REDIS_URL}
        if "record_format" in FIELDS:
            app.config["SESSION_SERIALIZATION_FORMAT"] = FIELDS["record_format"]
        quart_plugin.Session(app)
    else:
        app.session_interface = quart_plugin.FlaskSessionInterface(**FIELDS)

    @app.post("/logout")
    async def log_out():
        quart.session.clear()
        return {}

    @app.get("/me")
    async def me():
        return {"user": quart.session.get("_user_id")}

    @app.post("/cart/<article>")
    async def add(article):
        quart.session[f"cart:{article}"] = 1
        return {}

    @app.get("/cart")
    async def cart():
        return articles(quart.session)

    @app.post("/flash/<text>")
    async def flash(text):
        await quart.flash(text, "info")
        return {}

    @app.get("/flashes")
    async def flashes():
        return quart.get_flashed_messages(with_categories=True)

    return app


# FastAPI


def fastapi_app():
    from fastapi import FastAPI, Request

    from asgi_flask_session import FlaskSessionASGI, Settings

    api = FastAPI()

    @api.post("/logout")
    def log_out(request: Request):
        request.session.clear()
        return {}

    @api.get("/me")
    def me(request: Request):
        return {"user": request.session.get("_user_id")}

    @api.post("/cart/{article}")
    def add(request: Request, article: str):
        request.session[f"cart:{article}"] = 1
        return {}

    @api.get("/cart")
    def cart(request: Request):
        return articles(request.session)

    @api.post("/flash/{text}")
    def flash(request: Request, text: str):
        request.session["_flashes"] = [*request.session.get("_flashes", []), ("info", text)]
        return {}

    @api.get("/flashes")
    def flashes(request: Request):
        return request.session.pop("_flashes", [])

    return FlaskSessionASGI(api, settings=Settings.from_mapping(CONFIG, **FIELDS))
