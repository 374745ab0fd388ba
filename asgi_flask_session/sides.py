"""What keeps the sessions of one set of settings: their cookie, or their store."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from .client_side import ClientSide
from .errors import SettingsError
from .settings import Settings
from .side import Clock

if TYPE_CHECKING:
    from .server_side import ServerSide

AnySide: TypeAlias = "ClientSide | ServerSide"


def unshared(values: Iterable[Any]) -> list[Any]:
    """Return what an app's config says, to be compared later: a list is copied, since it may be added to."""
    return [list(value) if isinstance(value, list) else value for value in values]


def side_of(settings: Settings, clock: Clock = time.time, **of_a_store: Any) -> AnySide:
    """Return what keeps the sessions; *of_a_store* are what ``ServerSide`` takes besides. Raises SettingsError."""
    if settings.store is None:
        return ClientSide(settings, clock)
    try:
        from .server_side import ServerSide
    except ImportError as error:
        raise SettingsError(f"a store needs {error.name}: pip install asgi-flask-session[memory]") from error
    return ServerSide(settings, clock, **of_a_store)
