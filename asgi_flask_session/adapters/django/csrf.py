"""Flask-WTF's CSRF token in Django: a form of Flask posts to a view of Django, and the other way round."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import get_callable

from ... import csrf as flask_wtf
from ...errors import CSRFError
from .base import session_of
from .conf import csrf_settings
from .scope import scope_of

View = TypeVar("View", bound=Callable[..., Any])


def generate_csrf(request: HttpRequest) -> str:
    """Return a token for a form or a header that Flask, or a view under ``flask_csrf_protect``, is to accept."""
    return flask_wtf.generate_csrf(session_of(request), csrf_settings())


def flask_csrf_protect(view: View) -> View:
    """Have Flask-WTF's token in requests to *view*, in place of Django's.

    One without it is answered as ``CSRF_FAILURE_VIEW`` answers, with the reason that Flask-WTF gives.
    """

    @wraps(view)
    def protected(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return _refusal(request) or view(request, *args, **kwargs)

    @wraps(view)
    async def aprotected(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        # In a thread: to look into a form may mean to read a file.
        return await sync_to_async(_refusal)(request) or await view(request, *args, **kwargs)

    chosen: Any = aprotected if iscoroutinefunction(view) else protected
    chosen.csrf_exempt = True  # from Django's own middleware
    return cast("View", chosen)


def _refusal(request: HttpRequest) -> HttpResponse | None:
    scope, found = scope_of(request), csrf_settings()
    if not flask_wtf.needs_csrf(scope, found):
        return None
    try:
        flask_wtf.check_csrf(scope, session_of(request), request.POST, found)
    except CSRFError as error:
        response: HttpResponse = get_callable(settings.CSRF_FAILURE_VIEW)(request, reason=error.reason)
        return response
    return None
