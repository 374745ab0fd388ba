"""Flask, which knows nothing of the others: Flask-Login, a Flask-WTF form, flashed messages."""

from typing import Any

from flask import (
    Blueprint,
    Flask,
    flash,
    get_flashed_messages,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from .actions import remove, view, write_types, wrong_types

routes = Blueprint("routes", __name__)


class User(UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


class LoginForm(FlaskForm):
    name = StringField("Name", [InputRequired(), Length(max=40)])


def create_app(secret: str) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config.update(SECRET_KEY=secret, SESSION_COOKIE_SAMESITE="Lax")
    login = LoginManager(app)
    login.user_loader(User)
    # It writes _fresh into each session it has not made, on mere reads; here a read writes nothing.
    login.session_protection = None
    app.register_blueprint(routes)
    return app


@routes.get("/")
def page() -> Any:
    return render_template("flask.html", form=LoginForm())


@routes.post("/login")
def log_in() -> Any:
    form = LoginForm()
    if not form.validate_on_submit():  # the CSRF token is checked here
        return render_template("flask.html", form=form), 400
    login_user(User(form.name.data))
    return redirect(url_for(".page"))


@routes.get("/session")
def show() -> Any:
    return {**view(session), "user": current_user.get_id()}


@routes.post("/set")
def set_value() -> Any:
    body = request.get_json()
    session[body["key"]] = body["value"]
    return {}


@routes.post("/remove")
def remove_keys() -> Any:
    remove(session, request.get_json()["keys"])
    return {}


@routes.post("/types")
def write() -> Any:
    write_types(session, request.get_json()["seed"])
    return {}


@routes.get("/types")
def compare() -> Any:
    return {"wrong": wrong_types(session, int(request.args["seed"]))}


@routes.post("/flash")
def flash_text() -> Any:
    flash(request.get_json()["text"])
    return {}


@routes.post("/flashes")
def read_flashes() -> Any:
    return {"messages": get_flashed_messages()}


@routes.post("/logout")
def log_out() -> Any:
    logout_user()
    return {}
