"""The Flask half of a site: its pages, and the log-in. chat.py is the other half.

    pip install "asgi-flask-session[redis]" flask
    flask --app pages run --port 5000

Both halves are meant to be behind one host name, as in ../flask_and_fastapi_on_redis.
"""

import os

from flask import Flask, get_flashed_messages, session

from asgi_flask_session.adapters.flask import FlaskSessionInterface

app = Flask(__name__)
app.config.update(SECRET_KEY="a-long-random-value-of-yours", SESSION_COOKIE_SAMESITE="Lax")
app.session_interface = FlaskSessionInterface(store=os.environ.get("REDIS_URL", "redis://localhost"))


@app.post("/login/<name>")
def log_in(name):
    session["_user_id"] = name
    return "", 204


@app.get("/")
def home():
    return {"user": session.get("_user_id"), "said": session.get("said", 0), "messages": get_flashed_messages()}
