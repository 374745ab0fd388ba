"""Flask's flashed messages. What Flask itself does with them is asked of it in peers/test_flashes.py."""

import pytest
from driver import SECRET, app_that, request
from markupsafe import Markup

from asgi_flask_session import FlaskSessionASGI, Session
from asgi_flask_session.flashes import flash, get_flashed_messages


def taken(waiting, **more):
    return get_flashed_messages(Session({"_flashes": waiting}), with_categories=True, **more)


def test_message_waits_as_flask_puts_it():
    session = Session(n=1)
    flash(session, "saved")
    flash(session, "failed", "error")
    assert session == {"n": 1, "_flashes": [("message", "saved"), ("error", "failed")]}
    assert session.modified


def test_message_is_added_to_what_waits():
    waiting = [("info", "a")]
    session = Session({"_flashes": waiting})
    flash(session, "b")
    assert session["_flashes"] == [("info", "a"), ("message", "b")]
    assert waiting == [("info", "a")]


@pytest.mark.parametrize(
    ("waiting", "kept"), [((("a", "b"),), [("a", "b")]), ([["a", "b"]], [["a", "b"]]), ("x", []), (None, []), (5, [])]
)
def test_message_is_added_to_whatever_waits(waiting, kept):
    session = Session({"_flashes": waiting})
    flash(session, "b")
    assert session["_flashes"] == [*kept, ("message", "b")]


def test_messages_are_taken_out():
    session = Session({"_flashes": [("info", "a"), ("error", "b")], "n": 1})
    assert get_flashed_messages(session) == ["a", "b"]
    assert session == {"n": 1}
    assert session.modified


def test_messages_with_their_categories():
    assert taken([("info", "a"), ("error", "b")]) == [("info", "a"), ("error", "b")]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["info"], ["a", "c"]),
        (("error", "info"), ["a", "b", "c"]),
        ({"error"}, ["b"]),
        (iter(["error"]), ["b"]),
        ("error", ["b"]),
        ("err", []),
        (["other"], []),
        ([], ["a", "b", "c"]),
    ],
)
def test_messages_of_some_categories(wanted, found):
    session = Session({"_flashes": [("info", "a"), ("error", "b"), ("info", "c")]})
    assert get_flashed_messages(session, category_filter=wanted) == found
    assert session == {}  # also of what was left aside, as in Flask


def test_later_calls_of_a_request_give_the_same_messages_filtered_anew():
    session = Session({"_flashes": [("info", "a"), ("error", "b")]})
    assert get_flashed_messages(session, category_filter=["info"]) == ["a"]
    assert get_flashed_messages(session, category_filter=["error"], with_categories=True) == [("error", "b")]
    assert get_flashed_messages(session) == ["a", "b"]


def test_what_is_flashed_after_the_first_call_waits_for_the_next_request():
    session = Session()
    assert get_flashed_messages(session) == []
    flash(session, "later")
    assert get_flashed_messages(session) == []
    assert session == {"_flashes": [("message", "later")]}
    assert get_flashed_messages(Session(session)) == ["later"]


def test_list_that_was_given_is_the_callers_own():
    session = Session({"_flashes": [("info", "a")]})
    get_flashed_messages(session, with_categories=True).clear()
    assert get_flashed_messages(session) == ["a"]


def test_plain_dict_gives_the_messages_to_the_first_call_only():
    session = {"_flashes": [("info", "a")]}
    assert get_flashed_messages(session) == ["a"]
    assert get_flashed_messages(session) == []
    assert session == {}


def test_looking_for_messages_where_none_wait_changes_nothing():
    session = Session(n=1)
    assert get_flashed_messages(session) == []
    assert not session.modified
    assert session.accessed


@pytest.mark.parametrize(
    ("waiting", "found"),
    [
        ([["info", "a"]], [("info", "a")]),
        ([("info", "a", "more")], [("info", "a")]),
        ((("info", "a"),), [("info", "a")]),
        (["a"], [("message", "a")]),
        ("abc", [("message", "abc")]),
        ([("info", 5), (5, "a"), (None, None)], [("info", 5), (5, "a"), (None, None)]),
        ([{"level": "info"}, 5, None, [], ["info"], ("info", "a")], [("info", "a")]),
        ({"info": "a"}, []),
        (None, []),
        (5, []),
    ],
    ids=range(10),
)
def test_what_others_put_there_is_read_with_lenience(waiting, found):
    assert taken(waiting) == found
    assert taken(waiting, category_filter=["info"]) == [entry for entry in found if entry[0] == "info"]


def test_markup_stays_markup_over_the_wire():
    put = FlaskSessionASGI(app_that(lambda session: flash(session, Markup("<b>saved</b>"), "info")), SECRET)
    taken_out = []
    take = FlaskSessionASGI(app_that(lambda session: taken_out.extend(get_flashed_messages(session))), SECRET)
    answer = request(take, request(put).cookie)
    assert taken_out == [Markup("<b>saved</b>")]
    assert isinstance(taken_out[0], Markup)
    assert answer.set_cookie.startswith("session=; Expires=Thu, 01 Jan 1970")
