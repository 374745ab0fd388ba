"""Session text <-> the payload of a cookie: base64 as URLs have it, zlib where that is shorter, bounds.

What is written is itsdangerous' ``URLSafeSerializer``, byte for byte. What is read is held to more than there:
base64 has one spelling for each value, and no text is larger than can be handled.
"""

import re
import zlib
from binascii import a2b_base64, b2a_base64

from .errors import BadCookie

MAX_TEXT = 1024 * 1024  # bytes, decompressed
_SURELY_SMALL = MAX_TEXT // 1032  # bytes, compressed: the most that deflate makes of one is 1032
_ROOM = 4096  # bytes for the text at first: most need less, and zlib's own guess takes longer to make than to fill
MAX_NESTING = 500  # lists and objects in each other

# The URL alphabet to the standard one; what is standard only becomes a character of neither.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
TO_URLS = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", None, b"==", b"=")
# The last character of an unfinished group carries 4 or 2 bits that must be zero (RFC 4648, 3.5).
_LAST = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")

# Possessive, and with an end for a string that has none, so that no input makes it go back or start over.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")


def b64encode(data: bytes) -> bytes:
    """Encode *data* in the URL alphabet, without padding."""
    return b2a_base64(data, newline=False).rstrip(b"=").translate(TO_URLS)


def b64decode(text: bytes) -> bytes:
    """Decode the one spelling that ``b64encode`` gives; raises ValueError for any other."""
    spare = len(text) % 4
    padding = _PADDING[spare]
    if padding is None or (spare and text[-1] not in _LAST[spare]):
        raise ValueError("not canonical base64")
    return a2b_base64(text.translate(_TO_STANDARD) + padding, strict_mode=True)


def encode(text: bytes) -> bytes:
    """Return the payload for *text*; of more than MAX_TEXT bytes, ``decode`` would refuse it."""
    compressed = zlib.compress(text)
    if len(compressed) < len(text) - 1:
        return b"." + b64encode(compressed)
    return b64encode(text)


def decode(payload: bytes) -> bytes:
    """Return the text of a payload whose signature was found right; raises BadCookie."""
    try:
        return _decompress(b64decode(payload[1:])) if payload.startswith(b".") else b64decode(payload)
    except (ValueError, zlib.error) as error:
        raise BadCookie("the payload is not base64 or not zlib") from error


def _decompress(data: bytes) -> bytes:
    if len(data) <= _SURELY_SMALL:
        return zlib.decompress(data, bufsize=_ROOM)  # in one go, which needs no window of 32 KiB
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(data, MAX_TEXT)
    if not decompressor.eof:
        raise ValueError("cut short, or too large")
    return text


def nested_too_deep(text: bytes) -> bool:
    """Say whether JSON *text* has more than MAX_NESTING lists and objects in each other."""
    if text.count(b"[") + text.count(b"{") <= MAX_NESTING:
        return False
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest > MAX_NESTING
