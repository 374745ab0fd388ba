"""Quart-Session's interface, over the stores of asgi_flask_session."""

from secrets import token_hex
from typing import Any, Self

from quart import Quart, current_app

from asgi_flask_session.addresses import client_address
from asgi_flask_session.session import Session

from .config import fields_from, store_from
from .interface import FlaskSessionInterface


class QuartSession(Session):
    """A session with the attributes that Quart-Session's has besides."""

    @property
    def addr(self) -> str | bool:
        """The client's address; False if it is not known."""
        return self._address or dict.get(self, "_addr") or False

    def dirty(self) -> None:
        """Do nothing: a change is noticed without it, as in Quart-Session 3."""


class ServerSideSessionInterface(FlaskSessionInterface):
    """What ``quart_plugin.Session`` puts in place: Quart-Session's interface over the stores of asgi_flask_session.

    ``serializer``, or ``serialize``, may be set to an object with ``dumps`` and ``loads``. ``get``, ``set`` and
    ``delete`` reach the store itself, under keys of any kind.
    """

    session_class: Any = QuartSession
    _text_values = True  # what ``get`` returns is text, where it can be

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Return the interface for an app's config; raises SettingsError."""
        fields = fields_from(config)
        made = cls(store=store_from(config), **fields)
        made._sends_with_files = bool(config.get("SESSION_STATIC_FILE"))
        made._text_values = str(config.get("SESSION_TYPE")).lower() != "memcached"
        made._ends_foreign = True
        made._id_salt = "quart-session"
        return made

    def _has_secret(self, app: Quart) -> bool:
        return super()._has_secret(app) or not self._fields.get("sign_ids")

    def _instead_of_secret(self, app: Quart) -> dict[str, str]:
        # Only signed ids need one; a key that nobody knows signs nothing.
        return {} if app.secret_key else {"SECRET_KEY": token_hex()}

    @property
    def serialize(self) -> Any:
        """The serializer, under the name that Quart-Session's documentation has for it."""
        return self.serializer

    @serialize.setter
    def serialize(self, value: Any) -> None:
        self.serializer = value

    @property
    def store(self) -> Any:
        """The store: for ``prune()``, ``sessions_of(user_id)`` and ``revoke_user(user_id)``, where it has them."""
        return self._fields["store"]

    def regenerate(self, session: Session) -> None:
        """Give the session a new id when the response goes out, as Flask-Session's method of this name."""
        session.regenerate()

    async def open_session(self, app: Quart, request: Any) -> Any:
        session = await super().open_session(app, request)
        if isinstance(session, QuartSession) and session._address is None:
            session._address = client_address(request.scope, self._fields["trusted_proxies"])  # which its addr is
        return session

    async def create(self, app: Quart) -> None:  # as in Quart-Session
        """Do nothing: the store connects when it is first used."""

    async def aclose(self) -> None:
        """Close the store, if it was made from the config."""
        await self._fields["store"].aclose()

    async def get(self, key: str, app: Quart | None = None) -> Any:  # noqa: ARG002  # as in Quart-Session
        """Return what the store has under *key*, text where it is text and the store is not memcached; or None."""
        value: bytes | None = await self._fields["store"].get(key)
        if value is None or not self._text_values:
            return value
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value

    async def set(self, key: str, value: str | bytes, expiry: int | None = None, app: Quart | None = None) -> None:
        """Put *value* under *key*, whatever is there, for *expiry* seconds or as long as a session lives."""
        app = app or current_app
        ttl = expiry or int(app.permanent_session_lifetime.total_seconds())
        record = value.encode("utf-8") if isinstance(value, str) else value
        store = self._fields["store"]
        while not await store.create(key, record, ttl):
            there = await store.get(key)
            if there == b"":  # a value of another type, in whose place nothing can be put
                await store.delete(key)
            elif there is not None and await store.replace(key, record, ttl, there):
                return

    async def delete(self, key: str, app: Quart | None = None) -> None:  # noqa: ARG002  # as in Quart-Session
        """Take *key* away."""
        await self._fields["store"].delete(key)
