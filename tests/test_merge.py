"""W8, S4: two changes of one session into one, key by key: nothing is lost, and nothing that was deleted comes back."""

import operator
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_flask_session.merge import merge

sessions = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))


def merged(base, theirs, ours):
    return merge(base, theirs, ours, operator.eq)


# One key: what it was, what they and we made of it, and what comes of that; "-" where it is not there
FATES = [
    # no change is no change
    ("-", "-", "-", "-"),
    ("b", "b", "b", "b"),
    # nothing is lost that one of them did
    ("-", "t", "-", "t"),
    ("-", "-", "o", "o"),
    ("b", "t", "b", "t"),
    ("b", "b", "o", "o"),
    # what both did alike is done once
    ("-", "x", "x", "x"),
    ("b", "x", "x", "x"),
    ("b", "-", "-", "-"),
    # of two the later writer wins
    ("-", "t", "o", "o"),
    ("b", "t", "o", "o"),
    # nothing is brought back that one of them deleted
    ("b", "-", "b", "-"),
    ("b", "b", "-", "-"),
    ("b", "-", "o", "-"),
    ("b", "t", "-", "-"),
]


def of_one_key(value):
    return {} if value == "-" else {"key": value}


@pytest.mark.parametrize(("base", "theirs", "ours", "result"), FATES)
def test_fate_of_a_key(base, theirs, ours, result):
    assert merged(of_one_key(base), of_one_key(theirs), of_one_key(ours)) == of_one_key(result)


@given(sessions, sessions, sessions)
def test_each_key_is_merged_by_itself(base, theirs, ours):
    alone = [
        merged(*({key: data[key]} if key in data else {} for data in (base, theirs, ours)))
        for key in base.keys() | theirs.keys() | ours.keys()
    ]
    assert merged(base, theirs, ours) == reduce(operator.or_, alone, {})


@given(sessions, sessions)
def test_no_change_of_one_leaves_that_of_the_other(base, changed):
    assert merged(base, changed, base) == merged(base, base, changed) == merged(base, changed, changed) == changed


@given(sessions, sessions, sessions, sessions)
def test_it_is_the_same_which_two_of_three_changes_are_merged_first(base, one, two, three):
    assert merged(base, merged(base, one, two), three) == merged(base, one, merged(base, two, three))


def without_conflicts(base, *changes):
    """Return the changes without those keys that two of them set, and each to something else."""
    values = {
        key: {data[key] for data in changes if key in data} - ({base[key]} if key in base else set())
        for key in set().union(*changes)
    }
    clear = {key for key in values if len(values[key]) < 2}
    return [{key: data[key] for key in data if key in clear} for data in (base, *changes)]


@given(sessions, st.lists(sessions, min_size=2, max_size=5), st.randoms())
def test_changes_that_do_not_meet_may_come_in_any_order(base, changes, chance):
    base, *changes = without_conflicts(base, *changes)
    result = reduce(lambda theirs, ours: merged(base, theirs, ours), changes, base)
    chance.shuffle(changes)
    assert reduce(lambda theirs, ours: merged(base, theirs, ours), changes, base) == result


@given(sessions, sessions, sessions)
def test_what_was_merged_is_merged_once_more_without_a_change(base, theirs, ours):
    """A write is tried again when another one came in between, which may have been its own."""
    result = merged(base, theirs, ours)
    assert merged(base, result, ours) == result


@given(sessions, sessions, sessions)
def test_arguments_are_not_changed(base, theirs, ours):
    before = dict(base), dict(theirs), dict(ours)
    merged(base, theirs, ours)
    assert (base, theirs, ours) == before
