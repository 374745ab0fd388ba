"""Flask's session, its logged-in user and its flashes for Django: a session engine, middlewares, system checks.

An app of ``INSTALLED_APPS``, which is needed for the system checks only.
"""

from .. import missing

try:
    import django  # noqa: F401  # asked for here, so that whoever has none is told what to install
except ImportError as error:
    raise missing(error, "django") from error
