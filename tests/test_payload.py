"""R3, R5: base64 with one spelling, zlib within bounds."""

import base64
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_flask_session import BadCookie
from asgi_flask_session.payload import MAX_NESTING, MAX_TEXT, b64decode, b64encode, decode, encode, nested_too_deep


@given(st.binary(max_size=200))
@example(b"\0\0\x17")  # which ends in X
def test_base64_goes_round_as_the_library_spells_it(data):
    assert b64encode(data) == base64.urlsafe_b64encode(data).rstrip(b"=")
    assert b64decode(b64encode(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        b"A",
        b"AAAAA",
        b"AB",
        b"AAB",
        b"AA==",
        b"AAA=",
        b"A A",
        b"AA\n",
        b"+A",
        b"/A",
        b"AA\x00",
        b"\xffA",
        b"=",
        b"AA=A",
    ],
)
def test_base64_of_any_other_spelling_is_refused(text):
    with pytest.raises(ValueError, match="."):
        b64decode(text)


@given(st.binary(min_size=1, max_size=3), st.binary(min_size=1, max_size=4))
def test_no_two_texts_decode_to_one_value(data, text):
    try:
        value = b64decode(text)
    except ValueError:
        return
    assert b64encode(value) == text


@given(st.binary(max_size=2000))
@example(b"(xxxxxxxxxx")  # compressed as long as it is
@example(b"(xxxxxxxxxxx")  # one shorter
@example(b"(xxxxxxxxxxxx")  # two
def test_payload_goes_round(text):
    payload = encode(text)
    assert decode(payload) == text
    assert payload.startswith(b".") is (len(zlib.compress(text)) < len(text) - 1)


@pytest.mark.parametrize("payload", [b".", b".AAAA", b"!", b".!"])
def test_payload_that_is_none_is_refused(payload):
    with pytest.raises(BadCookie, match="base64 or not zlib"):
        decode(payload)


def test_compressed_text_that_is_cut_is_refused_at_each_byte():
    whole = zlib.compress(b"x" * 100)
    for end in range(len(whole)):
        with pytest.raises(BadCookie):
            decode(b"." + b64encode(whole[:end]))


@pytest.mark.parametrize(("size", "fits"), [(MAX_TEXT, True), (MAX_TEXT + 1, False), (MAX_TEXT * 60, False)])
def test_bomb_is_refused(size, fits):
    text = b"x" * size
    payload = b"." + b64encode(zlib.compress(text))
    if fits:
        assert decode(payload) == text
        assert decode(encode(text)) == text
    else:
        with pytest.raises(BadCookie):
            decode(payload)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_is_bounded(opening):
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    fits = opening * MAX_NESTING + b"1" + closing * MAX_NESTING
    assert not nested_too_deep(fits)
    assert nested_too_deep(opening + fits + closing)
    beside = b"[[],{},"
    assert not nested_too_deep(beside + fits.removeprefix(opening).removesuffix(closing) + b"]")
    assert nested_too_deep(beside + fits + b"]")


@pytest.mark.parametrize("string", [b'"%s"', b'"\\"%s"', b'"%s', b'"%s\\'], ids=str)
def test_brackets_side_by_side_or_in_strings_are_no_depth(string):
    brackets = b"[{" * 1000
    assert not nested_too_deep(b'{"a":[' + b"[]," * 1000 + string % brackets)
