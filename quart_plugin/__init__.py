"""Flask's session in Quart: ``app.session_interface = FlaskSessionInterface()``, or ``Session(app)`` by its config."""

from asgi_flask_session.adapters import missing

try:
    from .extension import Session as Session
    from .interface import FlaskSessionInterface as FlaskSessionInterface
    from .server_side import ServerSideSessionInterface as ServerSideSessionInterface
except ImportError as error:
    raise missing(error, "quart") from error
