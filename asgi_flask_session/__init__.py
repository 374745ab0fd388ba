"""Flask's session for any ASGI application, read and written byte for byte as Flask does."""

from .errors import BadCookie as BadCookie
from .errors import BadRecord as BadRecord
from .errors import CookieTooLarge as CookieTooLarge
from .errors import SessionError as SessionError
from .errors import SessionNotLoaded as SessionNotLoaded
from .errors import SessionWarning as SessionWarning
from .errors import SettingsError as SettingsError
from .errors import StoreUnavailable as StoreUnavailable
from .errors import UnwritableSession as UnwritableSession
from .middleware import FlaskSessionASGI as FlaskSessionASGI
from .session import Session as Session
from .settings import Settings as Settings
from .tagged_json import JSONTag as JSONTag
from .tagged_json import TaggedJSONSerializer as TaggedJSONSerializer

__version__ = "0.1.0"
