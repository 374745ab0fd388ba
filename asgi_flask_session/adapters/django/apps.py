"""The Django app, which brings the system checks."""

from django.apps import AppConfig
from django.core.checks import register


class FlaskSessionConfig(AppConfig):
    """``INSTALLED_APPS = [..., "asgi_flask_session.adapters.django"]``."""

    name = "asgi_flask_session.adapters.django"
    label = "asgi_flask_session"
    verbose_name = "Flask sessions"

    def ready(self) -> None:
        from .checks import check_settings  # when the settings can be read

        register(check_settings)
