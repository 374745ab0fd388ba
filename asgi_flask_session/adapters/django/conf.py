"""What Django's setting ``FLASK_SESSION`` says: Flask's config, under Flask's names, with fields of ours in lower case.

Each value is made once, and anew where a test overrides the setting.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.core.signals import setting_changed
from django.dispatch import receiver

from ...client_side import ClientSide
from ...csrf import CSRFSettings
from ...errors import SettingsError
from ...login import LoginSettings
from ...settings import Settings, SettingsFields


def flask_config() -> Mapping[str, Any]:
    """Return the setting itself; raises SettingsError where it is none."""
    config = getattr(settings, "FLASK_SESSION", None)
    if not isinstance(config, Mapping):
        raise SettingsError(
            "FLASK_SESSION is not set: write FLASK_SESSION = {'SECRET_KEY': the SECRET_KEY of the Flask app} into"
            " Django's settings, and beside it whatever else of its config is about sessions"
        )
    return config


@cache
def flask_settings() -> Settings:
    """Return the settings of the session; raises SettingsError for what cannot work."""
    config = flask_config()
    ours = {name: value for name, value in config.items() if name.islower()}
    return Settings.from_mapping(config, **cast("SettingsFields", ours))


@cache
def login_settings() -> LoginSettings:
    """Return what Flask-Login's names in ``FLASK_SESSION`` say; raises SettingsError."""
    return LoginSettings.from_mapping(flask_config(), trusted_proxies=flask_settings().trusted_proxies)


@cache
def csrf_settings() -> CSRFSettings:
    """Return what Flask-WTF's names in ``FLASK_SESSION`` say; raises SettingsError."""
    return CSRFSettings.from_mapping(flask_config())


@cache
def client_side() -> ClientSide:
    """Return what reads and writes the cookies of the session engine; raises SettingsError."""
    found = flask_settings()
    if found.store is not None:
        raise SettingsError(
            "the session engine keeps sessions in their cookie: leave store out of FLASK_SESSION, or use"
            " FlaskSessionASGI around Django's ASGI application and FlaskSessionMiddleware in MIDDLEWARE"
        )
    if found.migrate_from:
        raise SettingsError(
            "migrate_from reads the request, which Django does not show to a session engine: use FlaskSessionASGI"
            " around Django's ASGI application and FlaskSessionMiddleware in MIDDLEWARE"
        )
    return ClientSide(found)


@receiver(setting_changed)
def _forget(*, setting: str, **_: Any) -> None:
    if setting == "FLASK_SESSION":
        for made in (flask_settings, login_settings, csrf_settings, client_side):
            made.cache_clear()
