"""Session ids: what a cookie of a server-side session holds, bare or signed, as Flask-Session writes it."""

import re
from secrets import token_urlsafe
from typing import Any

from itsdangerous import BadSignature, Signer

from .settings import Settings

# Flask-Session's are 43 characters of this alphabet, Quart-Session's the 36 of a UUID.
_ID = re.compile(r"[A-Za-z0-9_-]{16,128}")
_LONGEST = 1024  # bytes of a cookie that holds an id and a signature of whatever digest


class Ids:
    """Makes ids, and reads and spells them in cookies, for one set of settings.

    Signed ids are itsdangerous' ``Signer`` over the id, under *salt*: Flask-Session's ``flask-session``, or
    Quart-Session's ``quart-session``. Both are read, whichever is written.
    """

    def __init__(self, settings: Settings, salt: str = "flask-session") -> None:
        self._bytes = settings.id_bytes
        self._signers: list[Signer] = []
        if settings.sign_ids:
            salts = dict.fromkeys((salt, "flask-session", "quart-session"))
            keys: Any = settings.keys  # str and bytes may be mixed
            self._signers = [Signer(keys, salt, key_derivation="hmac") for salt in salts]

    def new(self) -> str:
        """Return a new id, of ``id_bytes`` random bytes."""
        return token_urlsafe(self._bytes)

    def read(self, value: bytes) -> str | None:
        """Return the id in a cookie value; None for what cannot be one, which is never looked up."""
        if len(value) > _LONGEST:
            return None
        text = value.decode("latin-1")
        if self._signers:
            text = self._unsign(text) or ""
        return text if _ID.fullmatch(text) else None

    def spell(self, sid: str) -> bytes:
        """Return the cookie value for an id."""
        return self._signers[0].sign(sid) if self._signers else sid.encode("ascii")

    def _unsign(self, text: str) -> str | None:
        for signer in self._signers:
            try:
                return signer.unsign(text).decode("latin-1")
            except BadSignature:
                continue
        return None
