"""Flask's session in Quart: ``app.session_interface = FlaskSessionInterface()``."""

from .interface import FlaskSessionInterface as FlaskSessionInterface
