"""Werkzeug as the oracle for headers and dates, itsdangerous for signatures: the two that Flask itself rests on."""

import hashlib
import random
import re
from datetime import UTC, datetime, timedelta

import pytest
from driver import NOW
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import BadSignature, TimestampSigner, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from asgi_flask_session.cookies import find_cookie
from asgi_flask_session.dates import http_date, parse_http_date
from asgi_flask_session.errors import BadCookie
from asgi_flask_session.payload import b64decode, b64encode, decode, encode
from asgi_flask_session.signing import CookieSigner

from .sessions import datetimes, examples

werkzeug_http = pytest.importorskip("werkzeug.http")

from .headers import PIECES, differs, found_by_werkzeug, random_headers  # noqa: E402  # which needs Werkzeug as well

# Cookie headers


HEADERS = [
    b"", b"session", b"session=", b"session=a", b"session=a;", b";session=a", b";;session=a;;", b" session = a ",
    b"\tsession\t=\ta\t", b"session=a=b", b"session==a", b"=session=a", b"==session=a", b"=;session=a", b"session=a,b",
    b"session=a b", b"session=a b;session=c", b"session=a\tb", b"session=a\x00b", b"session=a\nb", b"ses sion=a",
    b"a;session=b", b"a=b;session=c", b"a=b, session=c", b"$Version=1; session=a; $Path=/", b"Session=a", b"SESSION=a",
    b"xsession=a", b"sessionx=a", b"session.x=a", b"session=a; session=b", b"session=; session=b", b"session; session=",
    b'session="a"', b'session="a', b'session=a"', b'session="', b'session=""', b'session="a";', b'session="a" ;x=1',
    b'session="a"b', b'session="a" b', b'session="a"; session="b"', b'session="a;b"', b'session="a; session=b"',
    b'session="a;session=b', b'x="session=a', b'x=";session=a', b'x=";session=a;"', b'x=";session=a;";session=b',
    b'x="\\";session=a;"', b'x="\\"";session=a', b'x="\\\\";session=a', b'x="\\\\\\";session=a', b'x=";;";session=a',
    b'"x"=1;session=a', b'"session"=a', b'ses"sion=a', b'x"=1;session=a', b'x=a"b;session=c', b'x= "a;b" ;session=c',
    b'session="\\141"', b'session="\\377"', b'session="\\400"', b'session="\\1"', b'session="\\"', b'session="\\\\"',
    b'session="\\303\\251"', b'session="\xc3\xa9"', b"session=\xc3\xa9", b"\xc3\xa9=1;session=a", b"\xff=1;session=a",
    b"\xa0session=a", b"\xc2\xa0session=a", b"\xc2\x85session=a", b"\xe2\x80\x80session=a", b"\xef\xbb\xbfsession=a",
    b"\x0bsession=a", b"\x0csession=a", b"\x1csession=a", b"\x1fsession=a", b"\rsession=a", b"\nsession=a",
    b"session\x0b=a", b"session=\x0ba", b"session=a\x0b", b'session="a\nb"', b'session="a\\\nb"', b'session="a"\n',
    b"session=a\n", b"session=a\r\nx: y", b'session=\t"a"\t', b'session="a"\t\t;', b"session \t = \t a \t ; b",
    b"session=%20", b"session=a\\", b"session=\\", b"session='a'", b"session=a;session", b"session =a", b"session= a",
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS)
def test_header_reads_as_in_werkzeug(header):
    """R1."""
    assert not differs(header)


def test_header_that_is_not_utf8_is_read_where_werkzeug_raises():
    header = b"\xff=1; session=a"
    assert find_cookie(header, b"session") == b"a"
    with pytest.raises(UnicodeDecodeError):
        found_by_werkzeug(header, "session")


def test_random_headers_read_as_in_werkzeug():
    """F2: pieces of cookies put together at random, from a fixed seed."""
    found = 0
    different = []
    for header in random_headers(30_000, seed=0):
        found += find_cookie(header, b"session") is not None
        if differs(header):
            different.append(header)
    assert not different
    assert found > 4_000


@examples(500)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=3), max_size=12).map(b"".join))
def test_any_header_reads_as_in_werkzeug(header):
    assert not differs(header)


@pytest.mark.parametrize("name", ["__Host-id", "a!#$%&'*+-.^_`|~9", "s", "0"])
def test_random_headers_read_as_in_werkzeug_by_any_name(name):
    choose = random.Random(name)
    pieces = [piece.replace(b"session", name.encode()) for piece in PIECES]
    headers = [b"".join(choose.choices(pieces, k=choose.randrange(1, 12))) for _ in range(3000)]
    assert not [header for header in headers if differs(header, name)]


# Dates


@examples(300)
@given(datetimes | st.dates())
def test_date_is_spelled_as_in_werkzeug(moment):
    try:
        expected = werkzeug_http.http_date(moment)
    except OverflowError:
        with pytest.raises(OverflowError):
            http_date(moment)
    else:
        assert http_date(moment) == expected
        assert repr(parse_http_date(expected)) == repr(werkzeug_http.parse_date(expected))


WORDS = [
    "Thu", "Fri", "thu", "Thursday", "29", "31", "00", "9", "Feb", "feb", "Mar", "Foo", "2024", "24", "1969", "0024",
    "12:30:15", "24:00:00", "12:30:60", "12:30", "1:2:3", "GMT", "UTC", "EST", "+0000", "-0000", "+0130", "-", ",",
    "99999",
]  # fmt: skip


def test_random_dates_are_read_as_in_werkzeug():
    choose = random.Random(0)
    for _ in range(5000):
        words = [
            choose.choice(["Thu,", "Fri,", "", choose.choice(WORDS)]),
            choose.choice(["29", "01", choose.choice(WORDS)]),
            choose.choice(["Feb", "Dec", choose.choice(WORDS)]),
            choose.choice(["2024", "1999", choose.choice(WORDS)]),
            choose.choice(["12:30:15", choose.choice(WORDS)]),
            choose.choice(["GMT", choose.choice(WORDS)]),
        ]
        text = " ".join(words)
        assert repr(parse_http_date(text)) == repr(werkzeug_http.parse_date(text)), text


# Signatures

DIGESTS = ["sha1", "md5", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s"]
DERIVATIONS = ["hmac", "concat", "django-concat", "none"]
KEYS = {
    "one": ["k" * 16],
    "bytes": [b"\x00\xff" * 8],
    "longer than a block": ["long" * 64],
    "of one block": ["b" * 64, "c" * 128],
    "several": ["oldest" * 3, b"older" * 4, "current" * 3],
    "not ascii": ["cl\u00e9 \u2603" * 4],
}


def signers(keys, digest="sha1", derivation="hmac", salt="cookie-session"):
    """Return ours, and the function that makes theirs for one second."""
    more = {"salt": salt, "key_derivation": derivation, "digest_method": getattr(hashlib, digest)}

    def theirs(now=NOW):
        class Signer(TimestampSigner):
            def get_timestamp(self):
                return now

        return Signer(keys, **more)

    return CookieSigner(keys, **more), theirs


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("derivation", DERIVATIONS)
@pytest.mark.parametrize("digest", DIGESTS)
def test_signature_is_that_of_itsdangerous(digest, derivation, keys):
    """Under each key; of payloads of any length around the blocks of a digest."""
    ours, theirs = signers(keys, digest, derivation)
    for length in (0, 1, 55, 56, 63, 64, 65, 128, 1000):
        signed = ours.sign(b"x" * length, NOW)
        assert signed == theirs().sign(b"x" * length)
    for key in keys:
        signed = signers([key], digest, derivation)[1]().sign(b"payload")
        assert ours.unsign(signed) == (b"payload", NOW)
    with pytest.raises(BadCookie):
        ours.unsign(signers(["another" * 4], digest, derivation)[1]().sign(b"payload"))


@examples(300)
@given(
    st.binary(max_size=80),
    st.integers(1, 2**64 - 1),
    st.lists(st.binary(min_size=1, max_size=140), min_size=1, max_size=3),
    st.sampled_from(DIGESTS),
    st.sampled_from(DERIVATIONS),
    st.text(max_size=8) | st.binary(max_size=8),
)
def test_signed_text_is_that_of_itsdangerous(data, timestamp, keys, digest, derivation, salt):  # noqa: PLR0917
    ours, theirs = signers(keys, digest, derivation, salt)
    payload = b64encode(data)
    signed = ours.sign(payload, timestamp)
    assert signed == theirs(timestamp).sign(payload)
    assert ours.unsign(signed) == (payload, timestamp)


def test_text_that_itsdangerous_takes_is_taken_unless_it_has_another_spelling():
    """R3: each signature has one; itsdangerous skips over what is no base64, and over bits that count for nothing."""
    ours, theirs = signers(KEYS["several"])
    signed = theirs().sign(b"payload")
    choose = random.Random(0)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=. +/\n"
    looser = 0
    for _ in range(10_000):
        changed = bytearray(signed)
        place = choose.randrange(len(changed) + 1)
        changed[place : place + choose.randrange(2)] = bytes([choose.choice(alphabet)])
        try:
            ours.unsign(bytes(changed))
        except BadCookie:
            pass
        else:
            assert changed == signed
        try:
            theirs().unsign(bytes(changed), max_age=10)
        except BadSignature:
            assert changed != signed
        else:
            looser += changed != signed
    assert looser


@examples(300)
@given(st.binary(max_size=40))
def test_base64_is_that_of_itsdangerous_in_its_one_spelling(data):
    text = base64_encode(data)
    assert b64encode(data) == text
    assert b64decode(text) == data


@examples(500)
@given(st.text("ABQZagwz0189-_=+/. \n", max_size=9).map(str.encode))
def test_base64_that_itsdangerous_reads_is_read_if_it_would_write_it(text):
    try:
        canonical = base64_encode(base64_decode(text)) == text
    except Exception:  # noqa: BLE001  # its BadData
        canonical = False
    if canonical:
        assert b64decode(text) == base64_decode(text)
    else:
        with pytest.raises(ValueError, match="(?i)base64|padding"):
            b64decode(text)


class Verbatim:
    """A serializer for itsdangerous that leaves bytes alone."""

    def dumps(self, data):
        return data

    def loads(self, data):
        return data


@examples(300)
@given(st.binary(max_size=60), st.integers(1, 60))
def test_payload_is_that_of_itsdangerous(data, times):
    """Compressed where that is shorter by more than the dot."""
    text = re.sub(rb"[][{}]", b"", data) * times
    serializer = URLSafeSerializer("k" * 16, serializer=Verbatim())
    assert encode(text) == serializer.dump_payload(text)
    assert decode(encode(text)) == serializer.load_payload(encode(text)) == text


@pytest.mark.parametrize("length", range(40))
def test_payload_is_compressed_from_the_length_on_that_itsdangerous_does(length):
    serializer = URLSafeSerializer("k" * 16, serializer=Verbatim())
    for text in (b"a" * length, bytes(range(48, 48 + length)).translate(None, b"[]{}")):
        assert encode(text) == serializer.dump_payload(text)


def test_timestamps_are_read_as_in_itsdangerous():
    """From the first second to the last that eight bytes hold."""
    for timestamp in (1, 255, 256, 2**16, 2**32 - 1, 2**32, 2**63, 2**64 - 1):
        ours, theirs = signers(KEYS["one"])
        assert ours.unsign(theirs(timestamp).sign(b"x")) == (b"x", timestamp)
    moment = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=1)
    assert theirs(NOW + 1).unsign(ours.sign(b"x", NOW + 1), return_timestamp=True) == (b"x", moment)
