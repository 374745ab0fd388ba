"""DESIGN 1, W4, W5: a true dict with marks."""

import copy
import json
import pickle
from datetime import UTC, datetime

import pytest

from asgi_flask_session import Session
from asgi_flask_session.session import plain

# What dict has that neither reads nor changes the data of one.
NEUTRAL = {
    "__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__", "__format__", "__getattribute__",
    "__getstate__", "__hash__", "__init__", "__init_subclass__", "__new__", "__reduce_ex__", "__setattr__",
    "__sizeof__", "__str__", "__subclasshook__", "fromkeys",
    "__ge__", "__gt__", "__le__", "__lt__",
}  # fmt: skip


def test_every_way_into_a_dict_goes_past_the_marks():
    """STYLE 8: none that a later Python adds goes round them either."""
    assert {name for name in dir(dict) if name not in NEUTRAL} <= set(vars(Session))


def test_new_session_is_untouched():
    session = Session({"a": 1})
    assert (session.modified, session.accessed, session.new, session.sid, session.signed_at) == (
        False, False, True, None, None,
    )  # fmt: skip


def test_session_is_a_dict_to_encoders_in_c():
    assert json.dumps(Session(a=1)) == '{"a": 1}'
    assert isinstance(Session(), dict)


def test_session_takes_attributes_of_others():
    """Channels keeps one on it."""
    session = Session()
    session._wrapped = 1
    assert session._wrapped == 1


@pytest.mark.parametrize(
    "clone",
    [
        copy.copy,
        copy.deepcopy,
        lambda s: pickle.loads(pickle.dumps(s)),
        lambda s: s.copy(),
        lambda s: s | {},
        lambda s: {} | s,
    ],
    ids=["copy", "deepcopy", "pickle", ".copy()", "|", "reversed |"],
)
def test_copies_are_plain_dicts(clone):
    session = Session({"a": [1]})
    assert type(clone(session)) is dict
    assert clone(session) == {"a": [1]}
    assert session.accessed
    assert not session.modified


def test_permanent_is_a_key():
    session = Session()
    assert session.permanent is False
    session.permanent = 1
    assert session == {"_permanent": True}
    assert session.modified
    assert session.permanent is True


def test_signed_at_is_aware_and_settable():
    session = Session()
    session.signed_at = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert session.signed_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert session.signed_at.tzinfo is UTC
    session.signed_at = None
    assert session.signed_at is None


FAILURES = {
    "item": lambda s: s["absent"],
    "pop": lambda s: s.pop("absent"),
    "del": lambda s: s.__delitem__("absent"),
    "popitem": lambda s: type(s)().popitem(),
    "get": lambda s: s.get(),
    "update": lambda s: s.update(1),
    "|": lambda s: s | 1,
    "reversed |": lambda s: 1 | s,
}


@pytest.mark.parametrize("call", FAILURES.values(), ids=FAILURES.keys())
def test_what_fails_changes_nothing_and_raises_as_dict_does(call):
    session = Session({"a": 1})
    with pytest.raises((KeyError, TypeError)) as ours:
        call(session)
    with pytest.raises((KeyError, TypeError)) as theirs:
        call({"a": 1})
    assert type(ours.value) is type(theirs.value)
    assert not session.modified


def test_popitem_of_an_empty_session_has_read_it():
    session = Session()
    with pytest.raises(KeyError):
        session.popitem()
    assert session.accessed


def test_plain_copy_of_the_data_marks_nothing():
    session = Session({"a": [1]})
    assert type(plain(session)) is dict
    assert plain(session) == {"a": [1]}
    assert not session.accessed


def test_results_are_those_of_a_dict():
    session = Session({"a": 1, "b": 2})
    assert list(session) == ["a", "b"]
    assert list(reversed(session)) == ["b", "a"]
    assert "a" in session
    assert "z" not in session
    assert session == Session(session)
    assert not session != Session(session)  # noqa: SIM202  # both operators are asked
    assert Session(a=1).pop("a", 5) == 1
    assert session.pop("a") == 1
    assert session.pop("a", default=5) == 5
    assert session.get("a", default=6) == 6
    assert session.setdefault("c", default=3) == 3
    assert session.popitem() == ("c", 3)
    assert {"z": 0} | session == {"z": 0, "b": 2}
    session |= [("d", 4)]
    session.update({"e": 5}, f=6)
    assert session == {"b": 2, "d": 4, "e": 5, "f": 6}
    assert session != {}
    assert len(session) == 4
    assert repr(session) == "{'b': 2, 'd': 4, 'e': 5, 'f': 6}"
    with pytest.raises(TypeError):
        hash(session)


def test_marks_can_be_set_from_outside():
    session = Session()
    session.accessed = session.modified = True
    session.new = False
    session.sid = "x"
    assert (session.accessed, session.modified, session.new, session.sid) == (True, True, False, "x")
    session.get("a")
    session.accessed = False
    assert not session.accessed
