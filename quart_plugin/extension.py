"""Quart-Session's extension, by changing one import: ``from quart_plugin import Session``."""

from functools import partial
from typing import Any

from .interface import ServerSideSessionInterface


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
        interface = ServerSideSessionInterface.from_config(app.config)
        if hasattr(app, "session_interface"):
            app.session_interface = interface
        else:
            app.open_session = partial(interface.open_session, app)
            app.save_session = partial(interface.save_session, app)
        # Not by after_serving(), which refuses an app that serves already.
        getattr(app, "after_serving_funcs", []).append(interface.aclose)
