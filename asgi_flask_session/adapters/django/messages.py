"""Django's messages as Flask's flashes: what one framework leaves for the next page, the page of either shows.

The messages are in the session under Flask's own key and in Flask's own form. Django's key is not used.
"""

from collections.abc import Callable
from typing import Any

from django.contrib.messages import constants
from django.contrib.messages.storage import base
from django.contrib.messages.storage.base import BaseStorage, Message
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ...flashes import flash, get_flashed_messages
from .base import session_of

_KEY = "_flashes"
_NO_CATEGORY = "message"  # Flask's category where none was given


class FlashStorage(BaseStorage):
    """``MESSAGE_STORAGE = "asgi_flask_session.adapters.django.messages.FlashStorage"``.

    A message's tags are the category of a flash: ``messages.error(request, "...", extra_tags="bold")`` flashes
    "bold error". A flash of a category that names no level is an INFO whose extra tags are the category.
    """

    _queued_messages: list[Message]
    _prepare_messages: Callable[[list[Message]], None]

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        if not hasattr(request, "session"):
            raise ImproperlyConfigured(
                "FlashStorage needs a session: name MessageMiddleware in MIDDLEWARE after what gives one"
            )
        super().__init__(request, *args, **kwargs)

    def _get(self, *_: Any, **__: Any) -> tuple[list[Message], bool]:
        waiting = session_of(self.request).get(_KEY)
        flashes = get_flashed_messages({_KEY: waiting} if waiting else {}, with_categories=True)
        return [Message(*_level_and_tags(category, text)) for category, text in flashes], True

    def update(self, response: HttpResponseBase) -> list[Message]:  # noqa: ARG002  # Django's signature
        """Take out of the session what was shown; what is not shown yet stays, flashes of Flask as they are."""
        if not (self.used or self._queued_messages):
            return []
        session = session_of(self.request)
        if self.used:
            session.pop(_KEY, None)
        self._prepare_messages(self._queued_messages)
        for message in self._queued_messages:
            flash(session, message.message, message.tags or _NO_CATEGORY)
        return []


def _level_and_tags(category: Any, text: Any) -> tuple[int, Any, str]:
    """Return the arguments of the message that a flash is."""
    extra, _, last = str(category).rpartition(" ")
    levels = {tag: level for tags in (constants.DEFAULT_TAGS, base.LEVEL_TAGS) for level, tag in tags.items() if tag}
    if last in levels:
        return levels[last], text, extra
    return constants.INFO, text, "" if category == _NO_CATEGORY else str(category)
