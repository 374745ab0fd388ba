"""Secrets <-> signed text: ``payload.timestamp.signature``, as itsdangerous' ``TimestampSigner`` writes it.

itsdangerous derives the keys. The signature itself is made here, since it is most of what a request costs:
HMAC (RFC 2104) hashes the key twice before it comes to the message, and those two states can be kept.
"""

from binascii import b2a_base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from hmac import compare_digest
from typing import Any

from itsdangerous import Signer

from .errors import BadCookie
from .payload import TO_URLS, b64decode, b64encode

_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class CookieSigner:
    """Signs with the current key and verifies with all of them.

    *keys* are in Flask's order: the fallbacks, then the current key. They are tried from the last to the
    first. *salt*, *key_derivation* and *digest_method* are those of itsdangerous' ``Signer``.
    """

    def __init__(
        self, keys: Sequence[str | bytes], *, salt: str | bytes, key_derivation: str, digest_method: Callable[..., Any]
    ) -> None:
        signer = Signer(b"", salt, key_derivation=key_derivation, digest_method=digest_method)
        self._signatures = [_keyed_hmac(signer.derive_key(key), digest_method) for key in reversed(keys)]
        self._signature = self._signatures[0]

    def sign(self, payload: bytes, timestamp: int) -> bytes:
        """Return *payload* with its time, in seconds since the epoch, and the signature over both."""
        signed = payload + b"." + _timestamp_text(timestamp)
        return signed + b"." + self._signature(signed)

    def unsign(self, value: bytes) -> tuple[bytes, int]:
        """Return the payload and the timestamp of *value*; raises BadCookie if no key signed it."""
        signed, _, signature = value.rpartition(b".")
        # Compared as text, which leaves each signature one spelling, and before anything is decoded.
        for expected in self._signatures:
            if compare_digest(expected(signed), signature):
                break
        else:
            raise BadCookie(
                "no key of ours made the signature: its writer has another secret, salt or digest, or it was changed"
            )
        payload, dot, timestamp = signed.rpartition(b".")
        if not dot:
            raise BadCookie("it is signed, but has no timestamp")
        return payload, timestamp_of(timestamp)


# Both are kept for the seconds that come up again: a browser sends one cookie many times.


@lru_cache(maxsize=16)
def _timestamp_text(timestamp: int) -> bytes:
    return b64encode(timestamp.to_bytes((timestamp.bit_length() + 7) // 8))


@lru_cache(maxsize=1024)
def timestamp_of(text: bytes) -> int:
    """Return the seconds since the epoch that *text* stands for; raises BadCookie."""
    try:
        if 0 < len(text) <= 11:  # eight bytes at most, as in itsdangerous
            return int.from_bytes(b64decode(text))
    except ValueError:
        pass
    raise BadCookie("it is signed, but its timestamp is none")


def _keyed_hmac(key: bytes, digest_method: Callable[..., Any]) -> Callable[[bytes], bytes]:
    """Return the function from a message to its HMAC in base64, with the key's part of the work done."""
    block_size = digest_method().block_size
    if len(key) > block_size:
        key = digest_method(key).digest()
    key = key.ljust(block_size, b"\0")
    inner_start = digest_method(key.translate(_INNER_PAD)).copy
    outer_start = digest_method(key.translate(_OUTER_PAD)).copy

    def signature(message: bytes) -> bytes:
        inner = inner_start()
        inner.update(message)
        outer = outer_start()
        outer.update(inner.digest())
        return b2a_base64(outer.digest(), newline=False).rstrip(b"=").translate(TO_URLS)  # b64encode, without its call

    return signature
