"""The Flask half of a shop that moves to FastAPI: the catalogue. new_shop.py is the other half.

pip install "asgi-flask-session[redis]" flask
flask --app old_shop run --port 5000
"""

import os

from flask import Flask, session

from asgi_flask_session.adapters.flask import FlaskSessionInterface

app = Flask(__name__)
app.config.update(SECRET_KEY="a-long-random-value-of-yours", SESSION_COOKIE_SAMESITE="Lax")

# The one line that a Flask app needs. Its views stay as they are, under threads and worker processes too.
app.session_interface = FlaskSessionInterface(store=os.environ.get("REDIS_URL", "redis://localhost"))


@app.post("/cart/<article>")
def add(article):
    session[f"cart:{article}"] = session.get(f"cart:{article}", 0) + 1
    return "", 204


@app.post("/login/<name>")
def log_in(name):
    session["_user_id"] = name
    return "", 204


@app.get("/me")
def me():
    return {"user": session.get("_user_id")}
