"""S3, ST-05, AS-02: an id is random, and what cannot be one is never looked up."""

import random
import re
from base64 import urlsafe_b64decode

import pytest
from driver import SECRET
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import Signer

from asgi_flask_session import Settings
from asgi_flask_session.ids import Ids

BARE = Ids(Settings(SECRET))
SIGNED = Ids(Settings(SECRET, sign_ids=True))
FLASK_SESSIONS = "kAs6fkM3ZVeRuTEWhoNcrqCgwU_n0qIZ9Xh9ZwTSpmE"
QUART_SESSIONS = "0c2f0d54-7b1c-4c1b-9f0c-8b7a2a4c9d3e"
IDS = [FLASK_SESSIONS, QUART_SESSIONS, "-" * 16, "_" * 128, "a1" * 8]


def signed(sid, secret=SECRET, salt="flask-session"):
    """Sign an id as Flask-Session does, and with another *salt* as Quart-Session does."""
    return Signer(secret, salt=salt, key_derivation="hmac").sign(sid)


# Round trips


@pytest.mark.parametrize("sid", IDS)
def test_bare_id_comes_back(sid):
    assert BARE.spell(sid) == sid.encode()
    assert BARE.read(BARE.spell(sid)) == sid


@pytest.mark.parametrize("sid", IDS)
def test_signed_id_comes_back_and_is_flask_sessions(sid):
    assert SIGNED.spell(sid) == signed(sid)
    assert SIGNED.read(SIGNED.spell(sid)) == sid


@pytest.mark.parametrize("settings", [{}, {"sign_ids": True}, {"id_bytes": 16}, {"id_bytes": 96, "sign_ids": True}])
def test_new_id_comes_back(settings):
    ids = Ids(Settings(SECRET, **settings))
    sid = ids.new()
    assert ids.read(ids.spell(sid)) == sid


@given(st.from_regex(r"[A-Za-z0-9_-]{16,128}", fullmatch=True))
def test_every_id_of_the_form_comes_back(sid):
    assert BARE.read(BARE.spell(sid)) == SIGNED.read(SIGNED.spell(sid)) == sid


# Signatures


@pytest.mark.parametrize(
    ("salt", "vector"),
    [("flask-session", b"SID.MRFYD4MwSvOqFtcvOaj6goY1tXQ"), ("quart-session", b"SID.-2atG5xThFnuZ6UX6wL4kuQG8dU")],
)
@pytest.mark.filterwarnings("ignore:secret is a well-known sample")
def test_signature_is_that_of_the_salts_owner(salt, vector):
    ids = Ids(Settings("super-secret", sign_ids=True), salt)
    assert ids.spell("SID") == vector
    assert ids.read(vector) is None  # right, but no id has three characters


@pytest.mark.parametrize("salt", ["flask-session", "quart-session", "own"])
def test_both_salts_are_read_whichever_is_written(salt):
    ids = Ids(Settings(SECRET, sign_ids=True), salt)
    assert ids.spell(FLASK_SESSIONS) == signed(FLASK_SESSIONS, salt=salt)
    for known in ("flask-session", "quart-session", salt):
        assert ids.read(signed(FLASK_SESSIONS, salt=known)) == FLASK_SESSIONS
    assert ids.read(signed(FLASK_SESSIONS, salt="cookie-session")) is None


def test_former_keys_verify_and_the_current_one_signs():
    """K3: never the oldest."""
    ids = Ids(Settings(SECRET, secret_fallbacks=["the-oldest-of-our-keys", b"an-old-one-of-our-keys"], sign_ids=True))
    for key in ("the-oldest-of-our-keys", "an-old-one-of-our-keys", SECRET):
        assert ids.read(signed(FLASK_SESSIONS, key)) == FLASK_SESSIONS
    assert ids.spell(FLASK_SESSIONS) == signed(FLASK_SESSIONS)
    assert ids.read(signed(FLASK_SESSIONS, "a-key-that-is-not-ours")) is None


def test_signed_id_with_another_byte_is_refused():
    good = SIGNED.spell(FLASK_SESSIONS)
    # But for the last character, two bits of which mean nothing: the id is the same whatever they are.
    for place in range(len(good) - 1):
        for byte in range(256):
            changed = good[:place] + bytes([byte]) + good[place + 1 :]
            assert SIGNED.read(changed) == (FLASK_SESSIONS if changed == good else None)


# What is no id

MALFORMED = {
    "empty": b"",
    "semicolon": b"0123456789abcde;f",
    "CR LF": b"0123456789abcdef\r\nSet-Cookie: a=b",
    "LF at the end": b"0123456789abcdef\n",
    "NUL": b"0123456789abcdef\0",
    "NUL first": b"\x000123456789abcdef",
    "space": b"0123456789 abcdef",
    "space at the end": b"0123456789abcdef ",
    "tab": b"\t0123456789abcdef",
    "60 KB": b"a" * 60_000,
    "up the tree": b"../../../../etc/passwd",
    "a path": b"sessions/0123456789abcdef",
    "backslashes": b"..\\..\\0123456789abcdef",
    "a glob": b"****************",
    "one of a glob": b"0123456789abcde?",
    "a class of a glob": b"[a-z]0123456789abcdef",
    "a prefix": b"session:0123456789abcdef",
    "an operator": b'{"$ne":"0123456789"}',
    "SQL": b"0123456789abcdef'--",
    "percent": b"0123456789abcdef%00",
    "quotes": b'"0123456789abcdef"',
    "padding": b"0123456789abcdef==",
    "other alphabet": b"0123456789abcd+/",
    "UTF-8": "0123456789abcdéf".encode(),
    "Latin-1": "0123456789abcdéf".encode("latin-1"),
    "digits of another script": "\u0661".encode() * 16,
    "letters as wide as two": "\uff41".encode() * 16,
    "high bytes": b"\xff" * 16,
    "15 characters": b"a" * 15,
    "129 characters": b"a" * 129,
    "a dot": b"0123456789abcdef.",
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_malformed_id_is_none(value):
    """ST-05."""
    assert BARE.read(value) is None
    assert SIGNED.read(value) is None


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_malformed_id_is_none_however_well_it_is_signed(value):
    assert SIGNED.read(signed(value)) is None
    assert SIGNED.read(signed(value, salt="quart-session")) is None


@pytest.mark.parametrize(
    "value",
    [
        b"." + FLASK_SESSIONS.encode(),
        FLASK_SESSIONS.encode() + b".",
        b".",
        b".." * 20,
        signed(FLASK_SESSIONS) + b".x",
        signed(FLASK_SESSIONS) + b"x",
        signed(signed(FLASK_SESSIONS)),
        signed(FLASK_SESSIONS)[:-1],
        signed(FLASK_SESSIONS).partition(b".")[2],
        QUART_SESSIONS.encode() + b"." + signed(FLASK_SESSIONS).partition(b".")[2],
    ],
)
def test_malformed_signature_is_refused(value):
    assert SIGNED.read(value) is None


def test_bare_id_is_refused_where_they_are_signed_and_the_reverse():
    assert SIGNED.read(FLASK_SESSIONS.encode()) is None
    assert BARE.read(signed(FLASK_SESSIONS)) is None


@given(st.binary(max_size=200) | st.from_regex(rb"[A-Za-z0-9_\-.;]{14,20}", fullmatch=True))
def test_whatever_comes_is_an_id_or_none(value):
    expected = value.decode() if re.fullmatch(rb"[A-Za-z0-9_-]{16,128}", value) else None
    assert BARE.read(value) == expected
    assert SIGNED.read(value) is None


# Randomness


def test_a_hundred_thousand_ids_are_as_many():
    """AS-02."""
    ids = {BARE.new() for _ in range(100_000)}
    assert len(ids) == 100_000
    assert {len(sid) for sid in ids} == {43}


@pytest.mark.parametrize("count", [16, 32, 96])
def test_an_id_is_of_as_many_bytes_as_asked_for(count):
    sid = Ids(Settings(SECRET, id_bytes=count)).new()
    assert len(urlsafe_b64decode(sid + "==")) == count
    assert len(sid) >= 22


def test_the_random_module_has_no_say(monkeypatch):
    random.seed(1)
    first = BARE.new()
    random.seed(1)
    assert BARE.new() != first
    for name in ("random", "getrandbits", "randbytes", "randrange", "randint", "choice", "choices", "sample"):
        monkeypatch.setattr(random, name, lambda *args, **more: 0)
    assert len({BARE.new() for _ in range(100)}) == 100
