"""The sessions that the benchmarks measure with: always the same, and of the sizes that real ones have."""

from base64 import b32encode
from datetime import UTC, datetime, timedelta
from hashlib import sha512
from typing import Any
from uuid import UUID

SECRET = "a-secret-of-the-benchmarks-only"

_START = datetime(2024, 1, 1, tzinfo=UTC)


def noise(label: str) -> bytes:
    """Return 64 bytes that do not compress: the ids, tokens and digests of a real session do not either."""
    return sha512(label.encode()).digest()


def _article(random: bytes) -> dict[str, Any]:
    return {
        "sku": b32encode(random[:25]).decode().lower()[:34],
        "amount": random[25] % 90 + 10,
        "price": int.from_bytes(random[26:28], "big") % 10_000 / 100,
    }


def _moment(random: bytes) -> datetime:
    return _START + timedelta(seconds=int.from_bytes(random[20:24], "big") % 2_000_000)


# The labels are such that each comes to the size named, in characters of JSON and in bytes of cookie value.

SMALL: dict[str, Any] = {"_user_id": "7", "_fresh": True, "csrf_token": noise("token").hex()[:40]}  # 86, 150

LOGIN = {**SMALL, "_id": noise("browser").hex()}  # 223, 259: Flask-Login's, where zlib pays

LARGE = {**SMALL, "cart": [_article(noise(f"1261 {number}")) for number in range(33)]}  # 2432, 1576

_ROWS = [noise(f"540 {number}") for number in range(21)]
TAGGED = {  # 2066, 1352
    **SMALL,
    "seen": [_moment(random) for random in _ROWS[:13]],
    "items": [(UUID(bytes=random[:16]), random[16:20].hex(), random[24]) for random in _ROWS],
    "nonce": noise("nonce")[:44],
}

PERMANENT = {**SMALL, "_permanent": True}

OTHER_TOKEN = noise("other token").hex()[:40]
