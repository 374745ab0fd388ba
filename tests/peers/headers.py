"""Werkzeug as the oracle for Cookie headers."""

import random

from werkzeug import http
from werkzeug.sansio import http as sansio

from asgi_flask_session.cookies import find_cookie


def found_by_werkzeug(header, name):
    """Return what Flask's request.cookies.get gives; raises UnicodeDecodeError, as there."""
    return http.parse_cookie(header.decode("latin-1")).get(name)


def differs(header, name="session"):
    """Say whether the two read another value.

    The written list of differences: of a header that is not UTF-8 Werkzeug raises, and its parser is asked for
    the bytes; of bytes that are not UTF-8 and come by escapes, it gives the replacement character.
    """
    ours = find_cookie(header, name.encode())
    try:
        theirs = found_by_werkzeug(header, name)
    except UnicodeDecodeError:
        if b"\\" in header:
            return False
        theirs = sansio.parse_cookie(header.decode("latin-1")).get(name)
        return (None if ours is None else ours.decode("latin-1")) != theirs
    return (None if ours is None else ours.decode("utf-8", "replace")) != theirs


PIECES = [
    *[b"session", b"session=a", b'session="', b"=", b";", b'"', b"\\"] * 3, *[b" ", b"\t", b"x", b"; "] * 2,
    b"session=", b"s", b"a=b", b'\\"', b",", b"$", b"0", b"377", b"\\101", b"\n", b"\x0b", b"\xc3\xa9",
    b"\xc2\xa0", b"\xe2\x80\x80",
]  # fmt: skip


def random_headers(count, seed):
    """Yield pieces of cookies put together at random."""
    choose = random.Random(seed)
    for _ in range(count):
        pieces = choose.choices(PIECES, k=choose.randrange(1, 16))
        if choose.random() < 0.1:
            pieces.insert(choose.randrange(len(pieces)), bytes([choose.randrange(0x80, 0x100)]))
        yield b"".join(pieces)
