"""Cookies signed as itsdangerous would, and what a forger may make of them."""

import hmac
import json
import random
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from driver import NOW, SECRET


def b64(data):
    return urlsafe_b64encode(data).rstrip(b"=")


def sign(payload, timestamp=NOW, *, secret=SECRET, salt=b"cookie-session", digest="sha1"):
    """Sign *payload* as itsdangerous would, *timestamp* being a number or its text."""
    moment = b64(timestamp.to_bytes(8, "big").lstrip(b"\0")) if isinstance(timestamp, int) else timestamp
    signed = payload + b"." + moment
    key = hmac.digest(secret.encode(), salt, digest)
    return signed + b"." + b64(hmac.digest(key, signed, digest))


def signed_text(text, **more):
    return sign(b64(text if isinstance(text, bytes) else text.encode()), **more)


def compressed(text):
    return b"." + b64(zlib.compress(text, 9))


GOOD = signed_text(b'{"user":"ada"}')
OTHER = signed_text(b'{"user":"eve"}')

VALID = [
    GOOD,
    OTHER,
    signed_text(b'{"user":"ada"}', timestamp=NOW - 1),
    signed_text(b'{"_permanent":true,"user":"ada"}'),
    signed_text(b'{"a":{" t":[1,{" b":"AAEC"}]}}'),
    signed_text(b"{}"),
    signed_text(b'{"a":""}'),
    sign(compressed(b'{"a":"' + b"x" * 1000 + b'"}')),
    sign(compressed(json.dumps({str(n): n * n for n in range(100)}).encode())),
    signed_text(json.dumps({"_user_id": "1", "_id": "ab" * 64, "_fresh": True}).encode()),
]
TEXT = set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
ODD = b".=+/ \n\t\0\x7f\x80\xff%,"


def edited(cookie, choose):
    place = choose.randrange(len(cookie) + 1)
    new = choose.choice(
        [b"", bytes([choose.choice(sorted(TEXT))]), bytes([choose.choice(ODD)]), bytes([choose.randrange(256)])]
    )
    return cookie[:place] + new + cookie[place + choose.randrange(2) :]


def spliced(cookie, choose):
    other = choose.choice(VALID)
    return cookie[: choose.randrange(len(cookie) + 1)] + other[choose.randrange(len(other) + 1) :]


def spliced_at_dots(cookie, choose):
    parts = [choose.choice(VALID).rsplit(b".", 2)[part] for part in range(3)]
    if choose.random() < 0.3:
        choose.shuffle(parts)
    return b".".join(parts)


def flipped(cookie, choose):
    """Flip a bit of what a part means, and spell it as the writer would."""
    parts = cookie.rsplit(b".", 2)
    part = choose.randrange(3)
    dot, text = parts[part][:1] == b"." and b".", parts[part].lstrip(b".")
    data = bytearray(urlsafe_b64decode(text + b"=="))
    data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
    parts[part] = (dot or b"") + b64(data)
    return b".".join(parts)


def truncated(cookie, choose):
    place = choose.randrange(len(cookie) + 1)
    return choose.choice([cookie[:place], cookie[place:]])


def padded(cookie, choose):
    """Spell the same bytes otherwise."""
    parts = cookie.rsplit(b".", 2)
    part = choose.randrange(3)
    parts[part] = choose.choice(
        [
            parts[part] + b"=" * choose.randrange(1, 4),
            parts[part].translate(bytes.maketrans(b"-_", b"+/")) + b"" * choose.randrange(1),
            parts[part][:-1] + bytes([parts[part][-1] ^ 1]),
            parts[part] + choose.choice([b"A", b"AA", b"\n", b" "]),
            b"A" * 4 + parts[part],
            parts[part].swapcase(),
        ]
    )
    return b".".join(parts)


MUTATIONS = [edited, edited, spliced, spliced_at_dots, flipped, truncated, padded]


def mutants(count, seed):
    choose = random.Random(seed)
    for _ in range(count):
        yield choose.choice(MUTATIONS)(choose.choice(VALID), choose)
