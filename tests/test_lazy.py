"""DESIGN 1: a lazy session says that it is not loaded, and becomes a session in place."""

import copy
import json
import pickle

import pytest

from asgi_flask_session import Session, SessionNotLoaded
from asgi_flask_session.lazy import fill, is_unloaded, unloaded

# What is no look at the data: an object's own, and what makes another one.
NO_LOOK = {
    "__class__", "__class_getitem__", "__delattr__", "__dir__", "__doc__", "__format__", "__getattribute__",
    "__getstate__", "__hash__", "__init__", "__init_subclass__", "__new__", "__reduce_ex__", "__setattr__",
    "__sizeof__", "__str__", "__subclasshook__", "__ge__", "__gt__", "__le__", "__lt__", "fromkeys",
}  # fmt: skip
LOOKS = sorted(set(dir(dict)) - NO_LOOK)
ARGUMENTS = {
    **dict.fromkeys(("__getitem__", "__delitem__", "__contains__", "get", "pop"), ("a",)),
    **dict.fromkeys(("__setitem__", "setdefault"), ("a", 1)),
    **dict.fromkeys(("__eq__", "__ne__", "__or__", "__ror__", "__ior__", "update"), ({"a": 1},)),
}


class OwnSession(Session):
    """A session class of an application."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.setdefault("language", "en")
        self.notes = []

    def get(self, key, default="own"):
        return super().get(key, default)

    @property
    def user(self):
        return self["user"]

    def note(self, text):
        self.notes.append(text)

    @classmethod
    def of(cls, user):
        return cls(user=user)


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.parametrize("session_class", [Session, OwnSession])
def test_every_look_raises(session_class, name):
    session = unloaded(session_class)
    with pytest.raises(SessionNotLoaded, match=r"await session\.load\(\)"):
        getattr(session, name)(*ARGUMENTS.get(name, ()))


def match_pattern(session):
    match session:
        case {"a": 1}:
            return True
    return False


WAYS = {
    "an item": lambda session: session["a"],
    "in": lambda session: "a" in session,
    "len": len,
    "bool": bool,
    "not": lambda session: not session,
    "list": list,
    "sorted": sorted,
    "reversed": reversed,
    "dict": dict,
    "**": lambda session: {**session},
    "as keywords": lambda session: dict(**session),
    "update of another": {}.update,
    "on the left of |": lambda session: session | {},
    "on the right of |": lambda session: {} | session,
    "on the right of ==": lambda session: {} == session,  # noqa: SIM300
    "on the right of !=": lambda session: {} != session,  # noqa: SIM300
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "percent": "%(a)s".__mod__,
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "json": json.dumps,
    "json in Python": lambda session: json.dumps(session, indent=1),
    "a pattern": match_pattern,
    "with a default": lambda session: session.get("a", 1),
    "pop with a default": lambda session: session.pop("a", 1),
    "keywords of update": lambda session: session.update(a=1),
    "permanent": lambda session: session.permanent,
    "permanent = True": lambda session: setattr(session, "permanent", True),
    "mark_modified": lambda session: session.mark_modified(),
    "regenerate": lambda session: session.regenerate(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("session_class", [Session, OwnSession])
def test_every_way_to_look_raises(session_class, way):
    with pytest.raises(SessionNotLoaded):
        way(unloaded(session_class))


def test_what_reads_a_dict_unseen_does_not_take_it_for_empty():
    """Encoders in C ask no method of it."""
    unseen = dict(dict.items(unloaded(Session)))
    with pytest.raises(TypeError, match="_NotLoaded"):
        json.dumps(unseen)


def test_it_is_a_session_all_the_same():
    session = unloaded(OwnSession)
    assert isinstance(session, OwnSession)
    assert isinstance(session, dict)
    assert type(session).__name__ == "OwnSession"
    assert is_unloaded(session)


def test_it_has_one_class_for_each_class_of_sessions():
    assert type(unloaded(OwnSession)) is type(unloaded(OwnSession))
    assert type(unloaded(OwnSession)) is not type(unloaded(Session))


def test_what_says_nothing_of_the_data_works():
    session = unloaded(Session)
    session.mark_accessed()
    assert (session.accessed, session.modified, session.new, session.sid, session.signed_at) == (
        True, False, True, None, None
    )  # fmt: skip
    assert session is not None


def test_only_sessions_that_wait_are_unloaded():
    assert not is_unloaded(Session(a=1))
    assert not is_unloaded(OwnSession())
    assert is_unloaded(unloaded(Session))


@pytest.mark.parametrize("data", [{}, {"a": [1]}, Session(a=[1]), {"_permanent": True}])
def test_filled_it_is_like_any_other(data):
    session = held = unloaded(Session)
    fill(session, data)
    assert type(session) is Session
    assert not is_unloaded(session)
    assert session == data
    assert held is session
    session["b"] = 2
    assert session.pop("b") == 2
    assert copy.copy(session) == json.loads(json.dumps(session)) == dict(data)
    assert vars(session).keys() <= vars(Session).keys() | {"_seen", "_said", "_lent"}


def test_filling_marks_nothing():
    session = unloaded(Session)
    fill(session, {"a": [1]})
    assert (session.modified, session.accessed, session._lent) == (False, False, False)


def test_attributes_outlive_the_loading():
    session = unloaded(Session)
    session.extra = "kept"
    session.sid = "0123456789abcdef"
    fill(session, {})
    assert (session.extra, session.sid) == ("kept", "0123456789abcdef")


def test_class_of_the_application_has_its_own_methods_again():
    session = unloaded(OwnSession)
    session.note("before")
    with pytest.raises(SessionNotLoaded):
        _ = session.user
    fill(session, {"user": "ada"})
    session.note("after")
    assert type(session) is OwnSession
    assert (session.user, session.get("x"), session.notes) == ("ada", "own", ["before", "after"])
    assert not session.permanent
    assert type(session.of("eve")) is OwnSession


def test_what_a_class_puts_into_every_session_is_not_seen_before():
    session = unloaded(OwnSession)
    assert "language" not in dict.keys(session)
    fill(session, OwnSession(user="ada"))
    assert session == {"language": "en", "user": "ada"}


def test_sessions_are_filled_apart():
    first, second = unloaded(Session), unloaded(Session)
    fill(first, {"a": 1})
    assert is_unloaded(second)
    fill(second, {})
    assert (first, second) == ({"a": 1}, {})


def test_class_with_slots_or_another_metaclass_is_taken():
    class Meta(type):
        pass

    class Slotted(Session, metaclass=Meta):
        __slots__ = ("extra",)

    session = unloaded(Slotted)
    session.extra = 1
    fill(session, {"a": 1})
    assert (type(session), session.extra, session["a"]) == (Slotted, 1, 1)
