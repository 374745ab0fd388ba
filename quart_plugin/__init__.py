"""Flask's session in Quart: ``app.session_interface = FlaskSessionInterface()``, or ``Session(app)`` by its config."""

from .extension import Session as Session
from .interface import FlaskSessionInterface as FlaskSessionInterface
from .server_side import ServerSideSessionInterface as ServerSideSessionInterface
