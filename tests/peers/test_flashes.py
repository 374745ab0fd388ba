"""Flask as the oracle of flashed messages: each side takes out what the other put in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from asgi_flask_session.flashes import flash, get_flashed_messages

from .flask_side import both, flask
from .sessions import examples

THEIRS, OURS = both()

messages = st.lists(
    st.tuples(st.sampled_from(["message", "info", "error"]) | st.text(max_size=5), st.text() | st.text().map(Markup)),
    max_size=5,
)
filters = st.lists(st.sampled_from(["message", "info", "error", "other"]), max_size=3)


def put(flash_one, entries):
    def act(session):
        for category, message in entries:
            flash_one(session, message, category)

    return act


def in_flask(_, message, category):
    flask.flash(message, category)


@examples(100)
@given(messages, messages)
def test_messages_are_put_alike(first, second):
    cookies = [None, None]
    for entries in (first, second):
        lines = (THEIRS.request(cookies[0], put(in_flask, entries)), OURS.request(cookies[1], put(flash, entries)))
        cookies = [line.cookie or cookie for line, cookie in zip(lines, cookies, strict=True)]
        assert cookies[0] == cookies[1]


def looks(side, cookie, calls):
    """Return what each call of a request returned, and the line that the request set."""
    seen = []
    if side is THEIRS:
        answer = side.request(cookie, lambda _: seen.extend(flask.get_flashed_messages(*call) for call in calls))
    else:
        answer = side.request(
            cookie,
            lambda session: seen.extend(
                get_flashed_messages(session, with_categories=with_categories, category_filter=wanted)
                for with_categories, wanted in calls
            ),
        )
    return seen, answer.set_cookie, answer.vary


@examples(100)
@given(messages, st.lists(st.tuples(st.booleans(), filters), min_size=1, max_size=4))
def test_calls_of_one_request_return_what_those_of_flask_do(entries, calls):
    cookie = THEIRS.request(None, put(in_flask, entries)).cookie
    theirs, ours = (looks(side, cookie, calls) for side in (THEIRS, OURS))
    assert ours == theirs
    kinds = [
        [type(entry[1] if with_categories else entry) for entry in seen]
        for seen, (with_categories, _) in zip(ours[0], calls, strict=True)
    ]
    assert kinds == [
        [type(entry[1] if with_categories else entry) for entry in seen]
        for seen, (with_categories, _) in zip(theirs[0], calls, strict=True)
    ]


@pytest.mark.parametrize("waiting", [[["info", "a"]], [("info", "a"), ["error", "b"]], (("info", "a"),), [], ()])
@pytest.mark.parametrize("wanted", [[], ["info"], ["error"]])
def test_lists_in_place_of_tuples_are_read_alike(waiting, wanted):
    cookie = value_with(waiting)
    assert looks(OURS, cookie, [(False, wanted)]) == looks(THEIRS, cookie, [(False, wanted)])


def test_entry_of_three_is_read_as_one_of_two():
    """Flask gives all three where categories are asked for."""
    cookie = value_with([("info", "a", "more")])
    assert looks(OURS, cookie, [(False, [])])[0] == looks(THEIRS, cookie, [(False, [])])[0] == [["a"]]
    assert looks(OURS, cookie, [(True, [])])[0] == [[("info", "a")]]


def test_entry_that_is_one_string_is_a_message():
    """Flask takes its first letter for the category, and its second for the message."""
    cookie = value_with(["saved"])
    assert looks(THEIRS, cookie, [(False, [])])[0] == [["a"]]
    assert looks(OURS, cookie, [(True, [])])[0] == [[("message", "saved")]]


def test_message_flashed_after_the_first_call_waits_in_both():
    def in_theirs(_):
        seen.append(flask.get_flashed_messages())
        flask.flash("later")
        seen.append(flask.get_flashed_messages())

    def in_ours(session):
        seen.append(get_flashed_messages(session))
        flash(session, "later")
        seen.append(get_flashed_messages(session))

    seen = []
    cookie = value_with([("info", "a")])
    theirs, ours = THEIRS.request(cookie, in_theirs).cookie, OURS.request(cookie, in_ours).cookie
    assert seen == [["a"]] * 4
    assert theirs == ours
    assert looks(THEIRS, ours, [(True, [])])[0] == [[("message", "later")]]


def value_with(waiting):
    return THEIRS.request(None, lambda session: session.update(_flashes=waiting)).cookie
