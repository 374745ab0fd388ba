"""What is asked of any input: each target takes bytes, and raises AssertionError for what must not be."""

import re
import zlib

from driver import NOW, SECRET
from flask import Flask
from flask.json.tag import TaggedJSONSerializer as FlasksSerializer
from forgery import VALID, b64, sign
from peers.headers import differs

from asgi_flask_session import Settings, TaggedJSONSerializer
from asgi_flask_session.client_side import ClientSide
from asgi_flask_session.payload import MAX_NESTING, MAX_TEXT, nested_too_deep

QUARTS_DATE = re.compile(rb"[0-9]T[0-9]{2}:[0-9]{2}:[0-9]{2}\.")
SIDE = ClientSide(Settings(SECRET, permanent_lifetime=10**9), lambda: NOW)
SIGNED = frozenset(VALID)
FLASK = Flask(__name__)
OURS, FLASKS = TaggedJSONSerializer(), FlasksSerializer()


def cookie(data):
    """A cookie value is a session only if it is the very text of one that was signed."""
    session = SIDE.open(data, {})
    assert session.new == (data not in SIGNED), data
    assert not session.new or not session, data


def header(data):
    """Of any Cookie header the same value is read as by Werkzeug; the differences are named in peers/headers.py."""
    assert not differs(data), data


def payload(data):
    """Of any text with the right signature Flask's session comes out, wherever Flask does not raise.

    The written list of differences: no session comes out, by rules of ours, of what is no object, of what is larger or
    nested deeper than is read, and of a key that comes twice, first with a tag that cannot be read (Flask looks at the
    second alone); and a datetime as Quart 0.18 spelled it is read.
    """
    session = SIDE.open(sign(b64(data)), {})
    compressed = SIDE.open(sign(b"." + b64(zlib.compress(data))), {})
    assert repr(dict(session)) == repr(dict(compressed)), data
    try:
        theirs = FLASKS.loads(data.decode("utf-8"))
    except Exception:
        return  # a 500 in Flask; here nothing was raised
    if not isinstance(theirs, dict) or len(data) > MAX_TEXT or (len(data) > MAX_NESTING and nested_too_deep(data)):
        assert session.new, data
        return
    if (session.new and has_bad_tag_first(data)) or QUARTS_DATE.search(data):
        return
    assert repr(dict(session)) == repr(theirs), data
    try:
        with FLASK.app_context():  # whose JSON sorts the keys
            text = FLASKS.dumps(theirs)
    except Exception:
        return
    assert OURS.dumps(dict(session)) == text, data


def has_bad_tag_first(data):
    """Say whether our reader, which looks at tags as it comes to them, refuses a text for one that is not kept."""
    try:
        OURS.loads(data.decode("utf-8"))
    except Exception:
        return True
    return False


TARGETS = {"cookie": cookie, "header": header, "payload": payload}
