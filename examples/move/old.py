"""A Flask shop as it was for years: log-ins, forms with CSRF tokens, flashed messages and an admin page.

    pip install flask flask-login flask-wtf
    flask --app old run

Nothing in it knows of the move. new.py takes its routes over, one at a time.
"""

import os
from functools import wraps

from flask import Blueprint, Flask, abort, flash, redirect, render_template, request, session, url_for
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    fresh_login_required,
    login_required,
    login_user,
    logout_user,
)
from flask_wtf import CSRFProtect

ARTICLES = ["tea", "coffee", "cake"]
PASSWORDS = {"ada": "lovelace", "grace": "hopper"}  # of a sample: real ones are hashed, and elsewhere
ADMINS = {"grace"}

app = Flask(__name__)
app.config.update(
    SECRET_KEY=os.environ.get("SECRET_KEY", "a-long-random-value-of-yours"),
    SESSION_COOKIE_SAMESITE="Lax",
)
CSRFProtect(app)
logins = LoginManager(app)
logins.login_view = logins.refresh_view = "log_in"
logins.login_message_category = logins.needs_refresh_message_category = "warning"


class User(UserMixin):
    def __init__(self, name):
        self.id = name


@logins.user_loader
def load_user(name):
    return User(name) if name in PASSWORDS else None


@app.context_processor
def everywhere():
    return {"user_id": current_user.get_id(), "is_admin": current_user.get_id() in ADMINS}


@app.get("/")
def shop():
    return render_template("shop.html", articles=ARTICLES, side="Flask")


@app.route("/login", methods=["GET", "POST"])
def log_in():
    if request.method == "GET":
        return render_template("login.html", side="Flask")
    name = request.form["name"]
    if PASSWORDS.get(name) != request.form["password"]:
        flash("Name or password is wrong.", "error")
        return render_template("login.html", side="Flask"), 400
    login_user(load_user(name), remember="remember" in request.form)
    flash(f"Hello {name}!")
    back = request.args.get("next", "")
    # Browsers drop tabs and line ends from a URL, and take "/\" for "//", which begins another host's name.
    is_here = back.startswith("/") and back.isprintable() and not back.startswith(("//", "/\\"))
    return redirect(back if is_here else url_for("shop"))


@app.get("/cart")
@login_required
def cart():
    return render_template("cart.html", cart=session.get("cart", {}), side="Flask")


@app.post("/cart")
@login_required
def add():
    article = request.form["article"]
    if article not in ARTICLES:
        abort(404)
    filled = session.setdefault("cart", {})
    filled[article] = filled.get(article, 0) + 1
    session.modified = True
    flash(f"One more {article} is in your cart.")
    return redirect(url_for("shop"))


@app.post("/logout")
def log_out():
    logout_user()
    session.pop("cart", None)
    flash("Good-bye.")
    return redirect(url_for("shop"))


admin = Blueprint("admin", __name__, url_prefix="/admin")


def admins_only(view):
    @wraps(view)
    @fresh_login_required
    def guarded(**arguments):
        if current_user.get_id() not in ADMINS:
            abort(403)
        return view(**arguments)

    return guarded


@admin.get("/")
@admins_only
def overview():
    return render_template("admin.html", articles=ARTICLES, side="Flask")


@admin.post("/announce")
@admins_only
def announce():
    flash(request.form["text"], "admin")
    return redirect(url_for("shop"))


app.register_blueprint(admin)
