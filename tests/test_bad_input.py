"""R1 to R5 and W12: nothing that a request brings raises, and settings that cannot work are refused when made."""

import hashlib
import hmac
import inspect
import json
import time
import tracemalloc
import zlib
from base64 import urlsafe_b64decode
from datetime import timedelta

import pytest
from driver import NOW, SECRET, app_that, request
from forgery import GOOD, OTHER, VALID, b64, compressed, mutants, sign, signed_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_flask_session import (
    FlaskSessionASGI,
    SessionWarning,
    Settings,
    SettingsError,
    TaggedJSONSerializer,
    UnwritableSession,
)
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.cookies import find_cookie

KIB = 1024
MIB = 1024 * KIB


class Reader:
    """An app that notes the session of each request."""

    def __init__(self, **more):
        self.app = FlaskSessionASGI(app_that(self.note), SECRET, clock=lambda: NOW, **more)

    def note(self, session):
        self.seen = dict(session)

    def read(self, *headers):
        """Return the session that Cookie headers bring; the response must be as if there were none to speak of."""
        answer = request(self.app, headers=[(b"cookie", header) for header in headers])
        assert answer.status == 200
        assert answer.headers == [(b"vary", b"Cookie")]
        return self.seen

    def read_value(self, value):
        return self.read(b"session=" + value)


READER = Reader(refresh_each_request=False)
DATA = {"user": "ada"}


def test_signature_of_these_tests_is_that_of_flask():
    """STYLE 9: the known answer."""
    known = b"eyJ1c2VyIjoiYWRhIn0.ZVPxAA.-Jclp8u_4DxtD4pu4J6PdbsqfHk"
    assert signed_text(b'{"user":"ada"}', secret="secret") == known
    assert READER.read_value(GOOD) == DATA


# Headers (R1), in which G stands for GOOD and O for OTHER

READ, EMPTY, READ_OTHER = DATA, {}, {"user": "eve"}
HEADERS = [
    # Where the cookie is found
    (b"session=G", READ), (b"session=G;", READ), (b";session=G", READ), (b"a=b;session=G", READ),
    (b"a=b; session=G; c=d", READ), (b"  session  =  G  ", READ), (b"\tsession\t=\tG\t", READ),
    (b";;;session=G;;;", READ),
    (b"a; session=G", READ), (b"a b c; session=G", READ), (b"=; session=G", READ), (b"$Version=1; session=G", READ),
    (b"session=G; session=O", READ), (b"session=O; session=G", READ_OTHER), (b"a=session=O; session=G", READ),
    (b'session="G"', READ), (b'session="G" ; a', READ), (b'a="x;y"; session=G', READ),
    (b'a="\\";session=O"; session=G', READ),
    (b'a="x; session=G', READ), (b"session=a b; session=G", READ), (b'session="a; session=G', READ),
    (b"\xff=\xff; session=G", READ),
    # and where it is none
    (b"", EMPTY), (b";", EMPTY), (b"=", EMPTY), (b"session", EMPTY), (b"session=", EMPTY), (b"session;G", EMPTY),
    (b"G", EMPTY), (b"=G", EMPTY), (b"Session=G", EMPTY), (b"SESSION=G", EMPTY), (b"xsession=G", EMPTY),
    (b"sessionx=G", EMPTY), (b"session.=G", EMPTY), (b"ses sion=G", EMPTY), (b"session[]=G", EMPTY),
    (b"$session=G", EMPTY),
    (b"a=b,session=G", EMPTY), (b"a=b&session=G", EMPTY), (b"a=b\nsession=G", EMPTY), (b"a=b\r\nsession=G", EMPTY),
    (b"session=; session=G", EMPTY), (b"session; session=G", EMPTY), (b"session=x; session=G", EMPTY),
    (b"session=G,", EMPTY), (b"session=G,session=G", EMPTY), (b"session=G G", EMPTY), (b"session=G\tG", EMPTY),
    (b"session==G", EMPTY), (b"session=G=", EMPTY), (b"session=GG", EMPTY), (b"session='G'", EMPTY),
    (b"session=(G)", EMPTY),
    # K5: nameless cookies
    (b"=session=G", EMPTY), (b"==session=G", EMPTY), (b" =session=G", EMPTY), (b"= session=G", EMPTY),
    (b"=;=session=G", EMPTY),
    (b"=session=O; session=G", READ), (b"session=G; =session=O", READ), (b'="session=G"', EMPTY),
    (b'=";session=G"', EMPTY),
    # Quotes
    (b'session="G', EMPTY), (b'session=G"', EMPTY), (b'session="', EMPTY), (b'session=""', EMPTY),
    (b'session=""G""', EMPTY),
    (b'session="G"G', EMPTY), (b'session="G" G', EMPTY), (b'"session"=G', EMPTY), (b'"session=G"', EMPTY),
    (b'a"b; session=G', READ),
    (b'a=";session=G"', EMPTY), (b'a="; session=G; "', EMPTY), (b'a="\\"; session=G; "', EMPTY),
    (b'session="G\\', EMPTY),
    (b'session="G\\"', EMPTY), (b'session="\\"G"', EMPTY), (b'session="G\\000"', EMPTY), (b'session="\\377G"', EMPTY),
    (b'session="G"; session="O"', READ), (b'session="O;G"', EMPTY), (b'session="\\\\G"', EMPTY),
    (b'session="G\\\n"', EMPTY),
]  # fmt: skip


def spelled(header):
    return header.replace(b"G", b"{good}").replace(b"O", b"{other}").replace(b"{good}", GOOD).replace(b"{other}", OTHER)


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_session_of_a_header(header, expected):
    assert READER.read(spelled(header)) == expected


def test_value_with_octal_escapes_is_the_same_value():
    """R1: a quoted value is unquoted as Werkzeug does."""
    escaped = b"".join(b"\\%03o" % byte for byte in GOOD)
    assert READER.read(b'session="' + escaped + b'"') == DATA
    assert READER.read(b"session=" + escaped) == {}


WHITE_SPACE = [
    *(bytes([byte]) for byte in (0x0A, 0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x1F, 0x85, 0xA0, 0x00, 0x7F)),
    *(chr(code).encode() for code in (0x85, 0xA0, 0x1680, 0x2000, 0x200B, 0x2028, 0x202F, 0x3000, 0xFEFF)),
]


@pytest.mark.parametrize("space", WHITE_SPACE)
def test_name_behind_white_space_other_than_space_and_tab_is_another_name(space):
    """K6: a browser sees no prefix there."""
    host = Reader(cookie_name="__Host-id", cookie_secure=True)
    assert host.read(b"__Host-id=" + GOOD) == DATA
    assert host.read(space + b"__Host-id=" + GOOD) == {}
    assert host.read(b"a=b; " + space + b"__Host-id=" + GOOD) == {}
    assert host.read(b"__Host-id" + space + b"=" + GOOD) == {}
    assert host.read(b"__Host-id=" + space + GOOD) == {}
    assert host.read(b"__Host-id=" + GOOD + space) == {}


PLACES = {
    b"%ssession=%s": b" \t;",
    b"session%s=%s": b" \t",
    b"session=%s%s": b" \t",
    b"a=b;%ssession=%s": b" \t;",
}


@pytest.mark.parametrize(("place", "harmless"), PLACES.items())
def test_every_byte_at_every_place_of_a_header(place, harmless):
    for byte in range(256):
        expected = DATA if byte in harmless else {}
        assert READER.read(place % (bytes([byte]), GOOD)) == expected, byte
        assert READER.read(place % (bytes([byte]) * 2, GOOD)) == expected, byte


def test_every_byte_within_and_behind_a_value():
    for byte in range(256):
        assert READER.read_value(GOOD + bytes([byte])) == (DATA if byte in b" \t;" else {}), byte
        assert READER.read_value(GOOD[:5] + bytes([byte]) + GOOD[5:]) == {}, byte


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([b"a=b", b"session=G"], READ),
        ([b"session=G", b"session=O"], READ),
        ([b"session=O", b"session=G"], READ_OTHER),
        ([b"", b"", b"session=G", b""], READ),
        ([b"sess", b"ion=G"], EMPTY),
        ([b"session=", b"G"], EMPTY),
        ([b'a="', b'session=G', b'"'], EMPTY),
        ([b"\xff", b"session=G"], READ),
        ([b"session=G"] * 500, READ),
    ],
)  # fmt: skip
def test_session_of_several_headers(headers, expected):
    """R1: HTTP/2 splits them."""
    assert READER.read(*map(spelled, headers)) == expected


# How long it takes (R2)

SHAPES = {
    "a": lambda n: b"a" * n,
    "semicolons": lambda n: b";" * n,
    "equal signs": lambda n: b"=" * n,
    "spaces": lambda n: b" " * n,
    "tabs": lambda n: b"\t" * n,
    "quotes": lambda n: b'"' * n,
    "backslashes": lambda n: b"\\" * n,
    "high bytes": lambda n: b"\xff" * n,
    "nul": lambda n: b"\0" * n,
    "names": lambda n: b"session" * (n // 7),
    "names apart": lambda n: b"session;" * (n // 8),
    "names of others": lambda n: b"xsession=a;" * (n // 11),
    "names with spaces": lambda n: b"session " * (n // 8),
    "malformed ones": lambda n: b"session=a b;" * (n // 12),
    "pairs": lambda n: b"a=b; " * (n // 5),
    "nameless": lambda n: b"=session=;" * (n // 10),
    "a long name": lambda n: b"a" * n + b"=b; session=x",
    "a long value": lambda n: b"session=" + b"a" * n,
    "a long value of dots": lambda n: b"session=" + b"." * n,
    "space before a value": lambda n: b"session=" + b" " * n + b"a",
    "space behind a name": lambda n: b"session" + b" " * n + b"=a",
    "space within a value": lambda n: b"session=a" + b" " * n + b"b",
    "spaces and equal signs": lambda n: b" =" * (n // 2),
    "a quote that stays open": lambda n: b'session="' + b"a" * n,
    "quotes that stay open": lambda n: b'a="b;' * (n // 5),
    "quotes closed by the next": lambda n: b'a=" ' * (n // 4),
    "an open quote of backslashes": lambda n: b'session="' + b"\\" * n,
    "escaped quotes": lambda n: b'a="' + b'\\"' * (n // 2),
    "escaped quotes, each after a name": lambda n: b'a="\\";' * (n // 6),
    "escapes": lambda n: b'session="' + b"\\a" * (n // 2) + b'"',
    "octal escapes": lambda n: b'session="' + b"\\101" * (n // 4) + b'"',
    "octal escapes that are none": lambda n: b'session="' + b"\\999" * (n // 4) + b'"',
    "quoted ones": lambda n: b'a="b";' * (n // 6),
    "quoted semicolons": lambda n: b'a="' + b";" * n + b'"',
    "space behind a quote": lambda n: b'session="a"' + b" " * n + b"b",
    "space behind each quote": lambda n: b'session="a"        b;' * (n // 21),
    "new lines": lambda n: b'a="\\\n";' * (n // 7),
}  # fmt: skip


def grows_with_the_input(call, small, large):
    """Say whether four times the input takes at most six times the time, in the best of some runs."""
    fast = slow = float("inf")
    for run in range(40):
        fast = min(fast, cpu_time(call, small))
        slow = min(slow, cpu_time(call, large))
        if run >= 2 and slow <= 6 * max(fast, 0.0001):
            return True
    return False


def cpu_time(call, argument):
    start = time.thread_time()
    call(argument)
    return time.thread_time() - start


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_time_grows_with_the_header(shape):
    """R2, K7, K8."""
    assert READER.read(shape(16 * KIB)) == {}
    small, large = shape(64 * KIB), shape(256 * KIB)
    assert grows_with_the_input(lambda header: request(READER.app, headers=[(b"cookie", header)]), small, large)


@pytest.mark.parametrize("header", [b"", b"a=b", b'a="', b"session=x", b"session"])
def test_time_grows_with_the_number_of_headers(header):
    """R2, R8."""
    headers = [(b"cookie", header)]
    assert grows_with_the_input(lambda n: request(READER.app, headers=headers * n), 5_000, 20_000)


NESTED_SHAPES = {
    "lists": lambda n: b'{"a":' + b"[" * n + b"]" * n + b"}",
    "open lists": lambda n: b"[" * n,
    "closed lists": lambda n: b"]" * n,
    "open objects": lambda n: b'{"a":' * n,
    "strings": lambda n: b'{"a":[' + b'"[",' * n + b'"["]}',
    "open strings": lambda n: b'{"a":"' * n,
    "escaped quotes": lambda n: b'{"a":"' + b'\\"[' * n,
    "backslashes": lambda n: b'"' + b"\\" * n,
    "tags": lambda n: b'{" t":[' * n + b"]}" * n,
    "digits": lambda n: b'{"a":' + b"9" * n + b"}",
}


@pytest.mark.parametrize("shape", NESTED_SHAPES.values(), ids=NESTED_SHAPES)
def test_time_grows_with_the_payload(shape):
    """R2, R5."""
    values = [b"session=" + sign(compressed(shape(n))) for n in (1_000, 4_000)]
    assert all(len(value) < 16 * KIB for value in values)
    assert grows_with_the_input(lambda header: request(READER.app, headers=[(b"cookie", header)]), *values)


# Forged, mutated and spliced cookies (R3)


def test_no_mutated_cookie_is_accepted():
    """F1: 100,000 of them; what is taken is the very text of one that was signed."""
    client = ClientSide(Settings(SECRET), lambda: NOW)
    assert all(not client.open(cookie, {}).new for cookie in VALID)
    valid = set(VALID)
    accepted = refused = 0
    for cookie in mutants(100_000, seed=0):
        session = client.open(cookie, {})
        assert session.new == (cookie not in valid), cookie
        accepted += not session.new
        refused += session.new
    assert refused > 90_000


def test_no_mutated_cookie_is_accepted_when_verified_ones_are_remembered():
    client = ClientSide(Settings(SECRET, remember=50), lambda: NOW)
    valid = set(VALID)
    for cookie in mutants(10_000, seed=1):
        assert client.open(cookie, {}).new == (cookie not in valid), cookie


def test_no_mutated_cookie_is_accepted_by_the_whole_middleware():
    for cookie in mutants(5_000, seed=2):
        value = find_cookie(b"session=" + cookie, b"session")
        session = READER.read_value(cookie)
        assert session == {} or value in VALID, cookie


PAYLOAD, MOMENT, SIGNATURE = GOOD.split(b".")
ZERO = b64(b"\0" * 20)
FORGED = {
    "no signature": PAYLOAD + b"." + MOMENT,
    "empty signature": PAYLOAD + b"." + MOMENT + b".",
    "signature of zeros": PAYLOAD + b"." + MOMENT + b"." + ZERO,
    "payload alone": PAYLOAD,
    "signature alone": SIGNATURE,
    "dots": b"..",
    "many dots": b"." * 50,
    "dots in front": b"..." + GOOD,
    "in small letters": GOOD.lower(),
    "twice": GOOD + GOOD,
    "twice with a dot": GOOD + b"." + GOOD,
    "no timestamp": sign(PAYLOAD, b"")[: -len(SIGNATURE) - 2] + b"." + SIGNATURE,
    "parts swapped": MOMENT + b"." + PAYLOAD + b"." + SIGNATURE,
    "percent encoded": GOOD.replace(b".", b"%2E"),
    "other secret": signed_text(b'{"user":"ada"}', secret="another-secret-of-16"),
    "empty secret": signed_text(b'{"user":"ada"}', secret=""),
    "other salt": signed_text(b'{"user":"ada"}', salt=b"itsdangerous.Signer"),
    "no salt": signed_text(b'{"user":"ada"}', salt=b""),
    "md5": signed_text(b'{"user":"ada"}', digest="md5"),
    "sha256": signed_text(b'{"user":"ada"}', digest="sha256"),
    "sha512": signed_text(b'{"user":"ada"}', digest="sha512"),
    "a plain hash": PAYLOAD + b"." + MOMENT + b"." + b64(hashlib.sha1(PAYLOAD + b"." + MOMENT).digest()),
    "the secret as the key": PAYLOAD + b"." + MOMENT + b"." + b64(hmac.digest(SECRET.encode(),
    PAYLOAD + b"." + MOMENT, "sha1")),
    "a web token": b"eyJhbGciOiJub25lIn0.eyJ1c2VyIjoiYWRhIn0.",
    "hexadecimal": PAYLOAD + b"." + MOMENT + b"." + urlsafe_b64decode(SIGNATURE + b"=").hex().encode(),
    "nul at the end": GOOD + b"\0",
}  # fmt: skip


@pytest.mark.parametrize("cookie", FORGED.values(), ids=FORGED)
def test_forged_cookie_is_an_empty_session(cookie):
    """Q1, AS-16."""
    assert READER.read_value(cookie) == {}


# How old it may be (R4)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        (NOW, READ),
        (NOW - 1, READ),
        (NOW - 31 * 86_400, READ),
        (NOW - 31 * 86_400 - 1, EMPTY),
        (NOW + 1, EMPTY),
        (NOW + 86_400, EMPTY),
        (0, EMPTY),
        (1, EMPTY),
        (2**31, EMPTY),
        (2**32, EMPTY),
        (2**63, EMPTY),
        (2**64 - 1, EMPTY),
        (b"", EMPTY),
        (b"A", EMPTY),
        (b"=", EMPTY),
        (b".", EMPTY),
        (b"!!!!", EMPTY),
        (b"\xff\xff", EMPTY),
        (MOMENT + b"=", EMPTY),
        (MOMENT + b"==", EMPTY),
        (MOMENT[:-1] + b"B", EMPTY),
        (b"." + MOMENT, EMPTY),
        (MOMENT + b" ", EMPTY),
        (b64(b"\1" * 9), EMPTY),
        (b64(b"\1" * 1000), EMPTY),
        (b64(NOW.to_bytes(8, "big")), READ),
        (b64(NOW.to_bytes(9, "big")), EMPTY),
        (b"A" * 11, EMPTY),
        (b"A" * 12, EMPTY),
        (b"1700000000", EMPTY),
    ],
)  # fmt: skip
def test_timestamp(timestamp, expected):
    """R4; with the right signature."""
    assert READER.read_value(signed_text(b'{"user":"ada"}', timestamp=timestamp)) == expected


# Rubbish with the right signature (R5)


def nested(depth, opening=b"[", closing=b"]"):
    return b'{"a":' + opening * (depth - 1) + closing * (depth - 1) + b"}"


def bomb(size):
    return compressed(b'{"a":"' + b"x" * (size - 8) + b'"}')


RUBBISH = {
    # base64
    "empty": b"",
    "one character": b"e",
    "one too many": PAYLOAD + b"A",
    "padded": b64(b"{}  ") + b"==",
    "standard alphabet": b64(b'{"a":"???"}').replace(b"_", b"/"),
    "other last character": b64(b"{}")[:-1] + b"1",
    "white space": PAYLOAD[:4] + b"\n" + PAYLOAD[4:],
    "white space in fours": PAYLOAD[:4] + b"\n\n\n\n" + PAYLOAD[4:],
    "a dot": PAYLOAD[:4] + b"." + PAYLOAD[4:],
    "no base64": b"{}",
    "high bytes": b"\xff\xfe",
    "a comma": b",",
    # zlib
    "only the dot": b".",
    "two dots": b".." + PAYLOAD,
    "not compressed": b"." + PAYLOAD,
    "zlib of nothing": compressed(b""),
    "zlib cut short": b"." + b64(zlib.compress(b'{"a":1}')[:-1]),
    "zlib cut in half": b"." + b64(zlib.compress(b'{"a":"' + b"x" * 99 + b'"}')[:9]),
    "wrong checksum": b"." + b64(zlib.compress(b'{"a":1}')[:-1] + b"\0"),
    "raw deflate": b"." + b64(zlib.compress(b'{"a":1}')[2:-4]),
    "gzip": b"." + b64(zlib.compress(b'{"a":1}', wbits=31)),
    "a preset dictionary": b"." + b64(b"\x78\xbb\x00\x00\x00\x01" + b"\0" * 10),
    "zlib header": b"." + b64(b"\x78\x9c"),
    "zlib of no text": compressed(b"\xff" * 10),
    "zlib twice": b"." + b64(zlib.compress(zlib.compress(b"{}"))),
    "a bomb of 1 MiB and a byte": bomb(MIB + 1),
    "a bomb of 10 MiB": bomb(10 * MIB),
    # text
    "bad UTF-8": b64(b'{"a":"\xff"}'),
    "cut UTF-8": b64(b'{"a":"\xe2\x98"}'),
    "overlong UTF-8": b64(b'{"a":"\xc0\xaf"}'),
    "surrogates in UTF-8": b64(b'{"a":"\xed\xa0\x80"}'),
    "UTF-16": b64('{"a":1}'.encode("utf-16")),
    "UTF-32": b64('{"a":1}'.encode("utf-32")),
    "byte order mark": b64(b"\xef\xbb\xbf{}"),
    "latin-1": b64('{"a":"\u00e9"}'.encode("latin-1")),
    "nul": b64(b"\0"),
    # JSON
    **{f"JSON {text!r}": b64(text) for text in [
        b"", b" ", b"{", b"}", b"{]", b"{}{}", b"{} x", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{,}", b"{a:1}", b"{'a':1}",
        b"{1:1}", b'{"a":01}', b'{"a":+1}', b'{"a":.5}', b'{"a":1.}', b'{"a":0x1}', b'{"a":True}', b'{"a":None}',
        b'{"a":nan}',
        b'{"a":"\n"}', b'{"a":"\\x"}', b'{"a":"\\u00"}', b'{"a":"', b'{"a":"\\', b'{"a":/**/1}', b'{"a":[1,]}',
        b'{"a":-}',
        b'{"a":--1}', b'{"a":1e}', b'{"a":tru}',
    ]},
    # no object
    **{f"no object {text!r}": b64(text) for text in [
        b"[]", b"[1]", b'[["a",1]]', b"null", b"true", b"false", b"0", b"1", b"-1.5", b"NaN", b"Infinity", b'""',
        b'"a"',
        b'{" t":[]}', b'{" t":[["a",1]]}', b'{" b":"AAEC"}', b'{" m":"a"}', b'{" u":"' + b"0" * 32 + b'"}',
        b'{" d":"Thu, 29 Feb 2024 12:30:15 GMT"}', b'{" d":null}', b'{" d":"no date"}',
    ]},
    # numbers
    "4301 digits": b64(b'{"a":' + b"9" * 4301 + b"}"),
    "-4301 digits": b64(b'{"a":-' + b"9" * 4301 + b"}"),
    "10,000 digits": b64(b'{"a":' + b"9" * 10_000 + b"}"),
    "500,000 digits": compressed(b'{"a":' + b"9" * 500_000 + b"}"),
    # nesting
    "501 lists": b64(nested(501)),
    "501 objects": b64(nested(501, b'{"a":', b"}").replace(b":}", b":1}")),
    "501 of both": b64(nested(501, b"[", b"]").replace(b"[]", b"[{}]", 1)[:-1] + b"}"),
    "251 tuples": b64(b'{"a":' + b'{" t":[' * 250 + b"]}" * 250 + b"}"),
    "100,000 lists": compressed(nested(100_000)),
    "100,000 open lists": compressed(b"[" * 100_000),
    "100,000 open objects": compressed(b'{"a":' * 100_000),
    "100,000 tuples": compressed(b'{"a":' + b'{" t":[' * 100_000),
    "closed before it is open": compressed(b"]" * 1000 + b"[" * 1400),
    "lists behind an open string": b64(b'{"a":"\\' + b"[" * 600),
}  # fmt: skip
TAG_CONTENTS = {
    "t": ["null", "true", "0", "1.5"],
    "b": ["null", "true", "1", "[]", "{}", '"A"', '"AA"', '"AAA"', '"\\u00e9"'],
    "u": ["null", "true", "1", "[]", "{}", '""', '"0"', f'"{"g" * 32}"', f'"{"0" * 31}"', f'"{"0" * 33}"', '{"a":1}'],
    "d": ["true", "1", "1.5", '["a"]', '{"a":1}', "NaN"],
    "di": ["null", "true", "1", "[]", "{}", '""', '"abc"', "[1]", '["ab"]'],
}  # fmt: skip
for _tag, _contents in TAG_CONTENTS.items():
    RUBBISH |= {f"tag {_tag} of {text}": b64(f'{{"b":1,"a":{{" {_tag}":{text}}}}}'.encode()) for text in _contents}


@pytest.mark.parametrize("payload", RUBBISH.values(), ids=RUBBISH)
def test_signed_rubbish_is_an_empty_session(payload, caplog):
    """R5: Flask answers 500 to much of it."""
    value = sign(payload)
    assert len(value) <= 16 * KIB
    assert READER.read_value(value) == {}
    assert not caplog.messages


def test_there_are_two_hundred_inputs_and_more():
    assert len(HEADERS) + len(FORGED) + len(RUBBISH) > 200


READABLE = {
    "a bomb of 1 MiB": (bomb(MIB), {"a": "x" * (MIB - 8)}),
    "4300 digits": (b64(b'{"a":' + b"9" * 4300 + b"}"), {"a": int("9" * 4300)}),
    "NaN": (b64(b'{"a":[NaN,-Infinity,1e999]}'), None),
    "a key twice": (b64(b'{"a":1,"a":2}'), {"a": 2}),
    "brackets in a string": (b64(b'{"a":"' + b"[" * 600 + b'"}'), {"a": "[" * 600}),
    "brackets behind an escaped quote": (b64(b'{"a":"\\"' + b"[" * 600 + b'"}'), {"a": '"' + "[" * 600}),
    "many lists side by side": (b64(b'{"a":[' + b"[]," * 600 + b"[]]}"), {"a": [[]] * 601}),
    "an unknown tag": (b64(b'{"a":{" x":1}}'), {"a": {" x": 1}}),
    "a lone surrogate": (b64(b'{"a":"\\ud800"}'), {"a": "\ud800"}),
    "an empty key": (b64(b'{"":""}'), {"": ""}),
    "a date that is none": (b64(b'{"a":{" d":"yesterday"},"b":{" d":null}}'), {"a": None, "b": None}),
    "zlib and more": (b"." + b64(zlib.compress(b'{"a":1}') + b"more"), {"a": 1}),
    "not worth compressing": (compressed(b"{}"), {}),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "expected"), READABLE.values(), ids=READABLE)
def test_odd_session_with_the_right_signature_is_read(payload, expected):
    session = READER.read_value(sign(payload))
    if expected is None:
        assert repr(session) == "{'a': [nan, -inf, inf]}"
    else:
        assert session == expected


def test_value_is_read_up_to_16_kib():
    """Q15."""
    payload = b"." + b64(zlib.compress(b'{"a":"' + b"x" * 12_242 + b'"}', 0))
    largest = sign(payload)
    too_large = sign(payload, b64(b"\0" + NOW.to_bytes(4, "big")))
    assert (len(largest), len(too_large)) == (16 * KIB, 16 * KIB + 1)
    assert READER.read_value(largest) == {"a": "x" * 12_242}
    assert READER.read_value(too_large) == {}


NESTINGS = {
    "lists": nested,
    "objects": lambda depth: b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1),
    "tuples": lambda depth: b'{"a":' + b'{" t":[' * ((depth - 1) // 2) + b"]}" * ((depth - 1) // 2) + b"}",
    "like tags": lambda depth: (
        b'{"a":' + b'{" di":{" t__":' * ((depth - 1) // 2) + b"1" + b"}}" * ((depth - 1) // 2) + b"}"
    ),
}


@pytest.mark.parametrize("permanent", [b"", b'"_permanent":true,'])
@pytest.mark.parametrize("shape", NESTINGS.values(), ids=NESTINGS)
def test_nesting_is_read_up_to_500_levels(shape, permanent):
    """Q15; and what was read needs no writing to be left alone."""
    deepest, too_deep = (signed_text(shape(depth).replace(b"{", b"{" + permanent, 1)) for depth in (500, 502))
    assert READER.read_value(deepest) != {}
    assert READER.read_value(too_deep) == {}


def test_session_is_read_however_deep_the_stack():
    """R5: a framework's own frames are many."""
    value = signed_text(nested(500))

    def call(depth):
        return call(depth - 1) if depth else READER.read_value(value)

    for frames in range(0, 850, 50):
        call(min(frames, 800 - len(inspect.stack(0))))


UNWRITABLE = {
    "a date after the calendar": b'{"a":[{" d":"Fri, 31 Dec 9999 23:59:59 -2300"}]}',
    "a date before the calendar": b'{"a":[{" d":"Mon, 01 Jan 0100 00:00:00 +2300"}]}',
    "a date and a mark": b'{"_permanent":true,"a":[{" d":"Fri, 31 Dec 9999 23:59:59 -2300"}]}',
}


@pytest.mark.parametrize("text", UNWRITABLE.values(), ids=UNWRITABLE)
@pytest.mark.parametrize("refresh", [True, False])
def test_session_that_can_be_read_and_not_written_is_answered(text, refresh):
    """R5: no request that only reads fails for what it brought."""
    app = FlaskSessionASGI(app_that(dict), SECRET, clock=lambda: NOW, refresh_each_request=refresh)
    assert request(app, signed_text(text).decode()).status == 200


@pytest.mark.parametrize(("depth", "is_written"), [(500, True), (501, False), (5000, False)])
def test_session_that_would_not_be_read_back_is_not_written(depth, is_written):
    """W9: what is written is read."""
    value = []
    for _ in range(depth - 2):
        value = [value]
    app = FlaskSessionASGI(app_that(lambda session: session.update(a=value)), SECRET, clock=lambda: NOW)
    if is_written:
        assert READER.read_value(request(app).cookie.encode()) == {"a": value}
    else:
        with pytest.raises(UnwritableSession, match="nested"):
            request(app)


def test_session_that_holds_itself_is_not_written():
    """W9."""
    loop = []
    loop.append(loop)
    app = FlaskSessionASGI(app_that(lambda session: session.update(a=loop)), SECRET)
    with pytest.raises(UnwritableSession, match=r"session\['a'\]"):
        request(app)


generated = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
texts = st.text(st.characters(exclude_categories=()), max_size=8)
tags = st.sampled_from([" t", " b", " m", " u", " d", " di", " x", " t__", " di__", "", "a"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda values: (
        st.lists(values, max_size=4)
        | st.dictionaries(tags | texts, values, max_size=3)
        | st.dictionaries(tags, values, min_size=1, max_size=1)
    ),
    max_leaves=10,
)


@generated
@given(st.lists(st.binary(max_size=60), max_size=3))
def test_any_header_is_answered(headers):
    READER.read(*headers)


@generated
@given(
    st.lists(
        st.sampled_from([b"session", b"=", b";", b'"', b"\\", b" ", b"\t", b",", GOOD, OTHER, b"\xff"]), max_size=20
    )
)
def test_any_arrangement_of_a_header_is_answered(pieces):
    """R1: what is read is one of the two that were signed."""
    assert READER.read(b"".join(pieces)) in ({}, READ, READ_OTHER)


@generated
@given(st.binary(max_size=60), st.binary(max_size=12) | st.just(MOMENT))
def test_any_signed_payload_is_answered(payload, timestamp):
    assert READER.read_value(sign(payload.translate(None, b'; \t"'), timestamp.translate(None, b'; \t"'))) == {}


@generated
@given(st.binary(max_size=60), st.booleans())
def test_any_signed_text_is_answered(text, is_compressed):
    READER.read_value(sign(compressed(text) if is_compressed else b64(text)))


@generated
@given(json_values, st.booleans())
def test_any_signed_json_is_answered(value, is_compressed):
    """F3."""
    text = json.dumps(value).encode()
    session = READER.read_value(sign(compressed(text) if is_compressed else b64(text)))
    if not isinstance(value, dict):
        assert session == {}


def peak_of(value):
    """Return the bytes that reading *value* takes at its height."""
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    READER.read_value(value)
    return tracemalloc.get_traced_memory()[1] - before


def test_memory_is_bounded_whatever_comes():
    """F7: what is not signed takes 8 MiB at most; what is, takes what its text of at most 1 MiB stands for."""
    unsigned = [b"x" * 64 * KIB, b"." * 64 * KIB, b'"' + b"\\101" * 16 * KIB + b'"', bomb(10 * MIB)]
    texts = [b"x" * 10 * MIB, nested(50_000), b'{"a":' * 50_000, b"[" * 200_000, b"[" + b"{}," * 50_000]
    signed = [sign(compressed(text)) for text in texts]
    for value in (GOOD, *unsigned):
        READER.read_value(value)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        assert max(map(peak_of, unsigned)) < 8 * MIB
        assert max(map(peak_of, signed)) < 64 * MIB
        for number in range(1000):
            READER.read_value(b"%d" % number + unsigned[number % 4][:1000])
        assert tracemalloc.get_traced_memory()[0] - before < MIB
    finally:
        tracemalloc.stop()


def test_remembered_cookies_are_bounded():
    remembering = Reader(remember=10)
    for number in range(100):
        assert remembering.read_value(signed_text(b'{"a":%d}' % number)) == {"a": number}
    assert len(remembering.app._client._remembered) <= 10


# What settings are refused (W12)

BAD_SETTINGS = [
    ({"secret": None}, "write a long random"), ({"secret": ""}, "write a long random"),
    ({"secret": " \t"}, "write a long random"),
    ({"secret": b""}, "write a long random"), ({"secret": 5}, "write a long random"),
    ({"secret": ["k" * 16]}, "write a long random"),
    ({"secret_fallbacks": "old" * 9}, r"write \['old key'\]"),
    ({"secret_fallbacks": b"old" * 9}, r"write \['old key'\]"),
    ({"secret_fallbacks": [""]}, "write a long random"), ({"secret_fallbacks": [None]}, "write a long random"),
    ({"secret_fallbacks": [["k" * 16]]}, "write a long random"), ({"secret_fallbacks": 5}, "write"),
    *[({"cookie_name": name}, "write letters, digits") for name in [
        "", " ", "a b", "a;b", "a=b", "a,b", 'a"b', "a\tb", "a\n", "a\r\nSet-Cookie: x", "a\0", "\x7f", "caf\u00e9",
        "a/b", "a@b", "a:b",
        "[a]", "{a}", "(a)", "a?", "a\\", None, b"session", 5,
    ]],
    *[({"cookie_domain": domain}, "write a host name|without ';'") for domain in [
        "", ".", ":80", "a b", "a;b", "x; Path=/", "a\nb", "a\r\nb", "a\0b", "a\x7f", "a,b", "a=b", "a/b", "http://a",
        "a\u00a0b",
        "a..b", "a" * 64 + ".example", b"example.com", 5, False, "\ud800.example",
    ]],
    *[({"cookie_path": path}, "write") for path in [
        "", "app", " /", None, b"/", 5, "/a;b", "/; Domain=x", "/a\n", "/a\r\nb", "/\0", "/\x7f", "/" * 1025,
        "/" + "\u00e9" * 400,
        "/\ud800",
    ]],
    *[({"cookie_samesite": value, "cookie_secure": True}, "write 'Lax', 'Strict', 'None'") for value in [
        "", "Laxx", "lax ", "no", "Lax; Secure", "Lax\n", True, False, 0, b"Lax", ["Lax"],
    ]],
    ({"cookie_samesite": "None"}, "needs cookie_secure=True"),
    ({"cookie_samesite": "none"}, "needs cookie_secure=True"),
    ({"cookie_partitioned": True}, "needs cookie_secure=True"),
    ({"cookie_name": "__Secure-a"}, "needs cookie_secure=True"),
    ({"cookie_name": "__Host-a"}, "needs cookie_secure=True"),
    ({"cookie_name": "__host-a"}, "needs cookie_secure=True"),
    ({"cookie_name": "__SECURE-a"}, "needs cookie_secure=True"),
    ({"cookie_name": "__Host-a", "cookie_secure": True, "cookie_domain": "a.example"},
    "needs cookie_path='/' and cookie_domain=None"),
    ({"cookie_name": "__Host-a", "cookie_secure": True, "cookie_path": "/app"},
    "needs cookie_path='/' and cookie_domain=None"),
    ({"cookie_name": "__hOST-a", "cookie_secure": True, "cookie_path": "/app"},
    "needs cookie_path='/' and cookie_domain=None"),
    *[({name: value}, "write True or False")
      for name in ["cookie_httponly", "cookie_secure", "cookie_partitioned", "refresh_each_request", "detect_nested"]
      for value in [None, 0, 1, "yes", "False"]],
    *[({name: value}, "write")
      for name in ["permanent_lifetime", "refresh_after", "absolute_lifetime"]
      for value in [0, -1, 0.5, True, False, "3600", "", float("nan"), float("inf"), 1e300, timedelta(0),
      timedelta(-1), timedelta.max, [1]]],
    ({"permanent_lifetime": None}, "write a timedelta"),
    *[({"clock_skew": value}, "write") for value in [None, -1, 86_401, "5", True, float("nan"), timedelta(days=2),
    timedelta(-1)]],
    *[({name: value}, "write a whole number") for name in ["max_cookie_size", "remember"]
      for value in [None, -1, 1.5, "4093", True, float("nan")]],
    *[({"on_large_cookie": value}, "write 'warn' or 'raise'") for value in ["", "error", None, True, []]],
    *[({"vary": value}, "write 'accessed' or 'always'") for value in ["", "never", None, False, {}]],
    *[({"key_derivation": value}, "write 'hmac' or") for value in ["", "HMAC", "pbkdf2", None, b"hmac"]],
    *[({"salt": value}, "write bytes, or a str") for value in [None, 5, ["salt"]]],
    *[({"digest_method": value}, "write a function of hashlib") for value in [None, "sha256", 5, len, hashlib,
    lambda: None, dict]],
    *[({"serializer": value}, "write an object") for value in [None, "json", 5, len,
    TaggedJSONSerializer]],
    *[({"scope_key": value}, "write a string") for value in ["", None, 5, b"session"]],
    *[({"exclude": value}, "write") for value in ["/static", "static", ["static"], [""], [5], [None], 5]],
    *[({"is_revoked": value}, "write a function") for value in [5, "revoked", []]],
    *[({"migrate_from": value}, "write a list of functions") for value in [5, len, [5], ["reader"], "reader"]],
    *[({"session_class": value}, "write") for value in [None, dict, "Session", {}]],
    ({"cookie_samsite": "Lax"}, "there is no setting cookie_samsite: the settings are"),
    ({"SECRET_KEY": "a"}, "the settings are"),
]  # fmt: skip


def id_of(value):
    if not isinstance(value, dict):
        return ""
    return ", ".join(f"{key}={getattr(item, '__name__', repr(item))[:40]}" for key, item in value.items())


@pytest.mark.parametrize(("fields", "hint"), BAD_SETTINGS, ids=id_of)
def test_impossible_setting_is_refused_with_what_to_write_instead(fields, hint):
    with pytest.raises(SettingsError, match=hint) as caught:
        FlaskSessionASGI(app_that(dict), **{"secret": SECRET, **fields})
    assert SECRET not in str(caught.value)


def test_impossible_setting_is_refused_beside_possible_ones():
    for fields, hint in BAD_SETTINGS:
        if fields.get("secret", SECRET) is not None:  # which says nothing there
            with pytest.raises(SettingsError, match=hint):
                FlaskSessionASGI(app_that(dict), settings=Settings(SECRET), **fields)


@pytest.mark.parametrize("app", [None, "app:app", 5, {}])
def test_app_that_is_none_is_refused(app):
    with pytest.raises(SettingsError, match=r"write FlaskSessionASGI\(app, secret\)"):
        FlaskSessionASGI(app, SECRET)


@pytest.mark.parametrize("value", [{}, {"secret": SECRET}, SECRET, 5])
def test_settings_that_are_none_are_refused(value):
    with pytest.raises(SettingsError):
        FlaskSessionASGI(app_that(dict), settings=value)


HIDDEN = "hidden-and-not-to-be-told"


@pytest.mark.parametrize(
    "given",
    [
        {"secret": [HIDDEN]},
        {"secret": {HIDDEN: 1}},
        {"secret": SECRET, "secret_fallbacks": HIDDEN},
        {"secret": SECRET, "secret_fallbacks": [[HIDDEN]]},
        {"secret": SECRET, "salt": [HIDDEN]},
        {"secret": SECRET, "serializer": HIDDEN},
        {"secret": HIDDEN, "cookie_name": ""},
    ],
    ids=id_of,
)
def test_secret_in_the_wrong_place_is_not_told(given):
    """W14."""
    with pytest.raises(SettingsError) as caught:
        Settings(**given)
    assert HIDDEN not in str(caught.value)


def test_secret_is_not_in_the_repr_of_settings():
    """W14."""
    assert HIDDEN not in repr(Settings(HIDDEN, secret_fallbacks=[HIDDEN], salt=HIDDEN))


@pytest.mark.parametrize("config", [{}, {"SECRET_KEY": None}, {"SECRET_KEY": ""}, {"secret": SECRET}])
def test_mapping_without_a_secret_key_is_refused(config):
    with pytest.raises(SettingsError, match="SECRET_KEY is not set: set it"):
        Settings.from_mapping(config)


@pytest.mark.parametrize(
    "secret",
    [
        "dev",
        "secret",
        "SECRET",
        "changeme",
        "change-me",
        "you-will-never-guess",
        "hard to guess string",
        "a" * 15,
        b"test",
        b"b" * 15,
    ],
)
def test_weak_secret_warns(secret):
    """AS-15."""
    with pytest.warns(SessionWarning, match="token_hex") as caught:
        Settings(secret)
    assert caught[0].filename == __file__
    if len(secret) > 8:
        assert str(secret) not in str(caught[0].message)


@pytest.mark.parametrize("secret", ["a" * 16, b"b" * 16, "\u00e9" * 8])
def test_secret_of_16_bytes_does_not_warn(secret):
    Settings(secret)


POSSIBLE_SETTINGS = [
    {"cookie_name": "__Host-a", "cookie_secure": True}, {"cookie_name": "a!#$%&'*+-.^_`|~9"},
    {"cookie_domain": ".example.com"},
    {"cookie_domain": "localhost:5000"}, {"cookie_domain": "b\u00fccher.example"}, {"cookie_path": "/a b/\u00e9"},
    {"cookie_path": "/" * 1024},
    {"cookie_samesite": "lax"}, {"cookie_samesite": "none", "cookie_secure": True}, {"permanent_lifetime": 1},
    {"refresh_after": 1.5},
    {"absolute_lifetime": timedelta(seconds=1)}, {"refresh_after": None, "absolute_lifetime": None},
    {"clock_skew": 0}, {"clock_skew": 86_400},
    {"max_cookie_size": 0}, {"secret_fallbacks": ()}, {"secret_fallbacks": None},
    {"secret_fallbacks": iter(["k" * 16])}, {"exclude": []},
    {"digest_method": hashlib.sha3_512}, {"salt": b""}, {"serializer": json},
]  # fmt: skip


@pytest.mark.parametrize("given", POSSIBLE_SETTINGS, ids=id_of)
def test_odd_setting_that_can_work_works(given):
    app = FlaskSessionASGI(app_that(lambda session: session.update(DATA)), SECRET, **given)
    name = app.settings.cookie_name
    assert request(app, request(app).cookie, name=name).set_cookie.startswith(f"{name}=")
