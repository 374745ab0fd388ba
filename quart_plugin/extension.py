"""Quart-Session's extension, by changing one import: ``from quart_plugin import Session``."""

from functools import partial
from secrets import token_hex
from typing import Any

from asgi_flask_session.settings import Settings

from .config import for_trio
from .server_side import ServerSideSessionInterface


class Session:
    """Keeps the sessions of a Quart app where its config says: ``Session(app)``, or ``init_app`` later.

    SESSION_TYPE is null, memory, sqlite, sqlalchemy, redis, redis+trio, memcached, mongodb or filesystem; the other
    names are Quart-Session's, and Flask-Session's where it has more. It may be called while the app is starting, in
    a ``before_serving`` function. Raises SettingsError for a config that cannot work.
    """

    def __init__(self, app: Any = None) -> None:
        self.app = app
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Any) -> None:
        """Set the session interface of *app*; of one that has none, the functions that open and save a session."""
        is_for_trio = any(base.__module__.startswith("quart_trio") for base in type(app).__mro__)
        interface = ServerSideSessionInterface.from_config(for_trio(app.config) if is_for_trio else app.config)
        if interface._fields.get("record_format", "tagged") != "tagged":
            interface._id_salt = "flask-session"  # whose records these are, so that it reads signed ids too
        from asgi_flask_session.server_side import ServerSide

        # The secret may still be set; what else cannot work is refused now, and not at the first request.
        ServerSide(Settings.from_mapping({**app.config, "SECRET_KEY": token_hex()}, **interface._fields))
        if hasattr(app, "session_interface"):
            app.session_interface = interface
        else:
            app.open_session = partial(interface.open_session, app)
            app.save_session = partial(interface.save_session, app)
        # Not by after_serving(), which refuses an app that serves already.
        getattr(app, "after_serving_funcs", []).append(interface.aclose)
