"""The other side: a Flask app with the real Flask-Login, Flask-WTF and flashed messages; and a browser for both."""

import warnings

import flask
from a2wsgi import WSGIMiddleware
from driver import SECRET
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    fresh_login_required,
    login_fresh,
    login_required,
    login_user,
    logout_user,
)
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would have another client library
    from starlette.testclient import TestClient


class User(UserMixin):
    def __init__(self, user_id):
        self.id = user_id


def flask_site(**config):
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    app.config.update(config)
    manager = LoginManager(app)
    manager.user_loader(User)
    manager.login_view = "login"
    manager.refresh_view = "login"
    csrf = CSRFProtect(app)

    @app.route("/login", methods=["GET", "POST"])
    @csrf.exempt
    def login():
        if flask.request.method == "POST":
            login_user(User(flask.request.form["user"]), remember="remember" in flask.request.form)
        return {"messages": flask.get_flashed_messages(with_categories=True)}

    @app.post("/logout")
    @csrf.exempt
    def logout():
        logout_user()
        return ""

    @app.get("/me")
    def me():
        return {"user": current_user.get_id(), "fresh": login_fresh()}

    @app.get("/private")
    @login_required
    def private():
        return ""

    @app.get("/private/<path:rest>")
    @login_required
    def private_below(rest):
        return ""

    @app.get("/fresh")
    @fresh_login_required
    def fresh():
        return ""

    @app.get("/token")
    def token():
        return generate_csrf()

    @app.post("/buy")
    def buy():
        return "bought"

    @app.get("/flash")
    def flash():
        flask.flash("from Flask", "info")
        return ""

    @app.get("/flashes")
    def flashes():
        return flask.get_flashed_messages(with_categories=True)

    return app


def browser(app, **more):
    """Return a browser of an ASGI app, which follows no redirect."""
    return TestClient(app, follow_redirects=False, **more)


def with_flask(app, flask_app):
    """Mount Flask behind the routes of a Starlette app."""
    app.mount("/", WSGIMiddleware(flask_app))
    return app
