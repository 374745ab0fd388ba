"""R3, Q1, Q12: itsdangerous is the reference."""

import hashlib

import itsdangerous
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_flask_session import BadCookie
from asgi_flask_session.signing import CookieSigner

NOW = 1_700_000_000
KEYS = ["oldest", b"older", "current-key", "k" * 200, "b" * 64]  # the last is a block of SHA-1


def pair(keys, derivation="hmac", digest=hashlib.sha1, salt="cookie-session"):
    theirs = itsdangerous.TimestampSigner(keys, salt=salt, key_derivation=derivation, digest_method=digest)
    theirs.get_timestamp = lambda: NOW
    return CookieSigner(keys, salt=salt, key_derivation=derivation, digest_method=digest), theirs


@pytest.mark.parametrize("derivation", ["hmac", "concat", "django-concat", "none"])
@pytest.mark.parametrize("digest", [hashlib.sha1, hashlib.sha256, hashlib.sha512, hashlib.blake2b])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_signs_as_itsdangerous(derivation, digest, count):
    ours, theirs = pair(KEYS[:count], derivation, digest)
    assert ours.sign(b"payload", NOW) == theirs.sign(b"payload")
    assert ours.unsign(theirs.sign(b".pay.load")) == (b".pay.load", NOW)


def test_signature_may_end_in_any_letter():
    """As that of SHA-384, which needs no padding."""
    ours, theirs = pair(["key"], digest=hashlib.sha384)
    values = [ours.sign(b"%d" % number, NOW) for number in range(500)]
    assert values == [theirs.sign(b"%d" % number) for number in range(500)]
    assert len({value[-1] for value in values}) == 64


@pytest.mark.parametrize("key", KEYS)
def test_every_key_verifies_and_the_last_one_signs(key):
    ours, _ = pair(KEYS)
    assert ours.unsign(pair([key])[1].sign(b"p")) == (b"p", NOW)
    assert pair([KEYS[-1]])[0].unsign(ours.sign(b"p", NOW)) == (b"p", NOW)


@pytest.mark.parametrize(
    "changes", [{"derivation": "concat"}, {"digest": hashlib.sha256}, {"salt": "other"}, {"keys": ["other"]}], ids=str
)
def test_nothing_but_the_settings_is_accepted(changes):
    ours, _ = pair(["key"])
    _, theirs = pair(**{"keys": ["key"], **changes})
    with pytest.raises(BadCookie, match="no key"):
        ours.unsign(theirs.sign(b"p"))


@pytest.mark.parametrize("value", [b"", b".", b"..", b"a", b"a.b", b"a.b.c", b"\xff.\xff.\xff"])
def test_what_is_not_signed_is_refused(value):
    with pytest.raises(BadCookie):
        pair(["key"])[0].unsign(value)


@pytest.mark.parametrize("signed", [b"payload", b"payload.", b"payload.!!", b"payload.AB", b"payload." + b"A" * 12])
def test_what_is_signed_without_a_timestamp_is_refused(signed):
    ours, _ = pair(["key"])
    signature = itsdangerous.Signer("key", salt="cookie-session", key_derivation="hmac").sign(signed)
    with pytest.raises(BadCookie, match="timestamp"):
        ours.unsign(signature)


@pytest.mark.parametrize("timestamp", [0, 1, 255, 256, NOW, 2**63])
def test_timestamps_go_round(timestamp):
    ours, _ = pair(["key"])
    value = ours.sign(b"p", timestamp)
    if timestamp:
        assert ours.unsign(value) == (b"p", timestamp)
    else:  # itsdangerous spells it with no character at all
        assert value.startswith(b"p..")


@given(st.integers(1, 2**64 - 1))
def test_any_timestamp_goes_round(timestamp):
    ours, _ = pair(["key"])
    assert ours.unsign(ours.sign(b"p", timestamp)) == (b"p", timestamp)


def test_signature_has_one_spelling():
    """The last character of a SHA-1 signature carries two bits that nobody reads."""
    ours, theirs = pair(["key"])
    value = theirs.sign(b"p")
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [value[:-1] + bytes([letter]) for letter in alphabet if letter != value[-1]]
    assert sum(theirs.validate(other) for other in others) == 3
    for other in others:
        with pytest.raises(BadCookie):
            ours.unsign(other)
