"""What keeps the sessions of one set of settings: their cookie, or their store."""

import time
from typing import TYPE_CHECKING, Any, TypeAlias

from .client_side import ClientSide
from .errors import SettingsError
from .settings import Settings
from .side import Clock

if TYPE_CHECKING:
    from .server_side import ServerSide

AnySide: TypeAlias = "ClientSide | ServerSide"


def side_of(settings: Settings, clock: Clock = time.time, **of_a_store: Any) -> AnySide:
    """Return what keeps the sessions; *of_a_store* are what ``ServerSide`` takes besides. Raises SettingsError."""
    if settings.store is None:
        return ClientSide(settings, clock)
    try:
        from .server_side import ServerSide
    except ImportError as error:
        raise SettingsError(f"a store needs {error.name}: pip install asgi-flask-session[memory]") from error
    return ServerSide(settings, clock, **of_a_store)
