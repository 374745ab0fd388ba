"""W8: two changes of one session into one."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_flask_session.merge import merge

sessions = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))


def merged(base, theirs, ours):
    return merge(base, theirs, ours, operator.eq)


@given(sessions, sessions)
def test_no_change_of_ours_is_theirs(base, theirs):
    assert merged(base, theirs, base) == theirs


@given(sessions, sessions)
def test_no_change_of_theirs_is_ours(base, ours):
    assert merged(base, base, ours) == ours


@given(sessions, sessions, sessions)
def test_what_either_deleted_stays_deleted(base, theirs, ours):
    gone = {key for key in base if key not in theirs or key not in ours}
    assert not gone & merged(base, theirs, ours).keys()


@given(sessions, sessions, sessions)
def test_nothing_comes_from_nowhere_and_no_write_is_lost(base, theirs, ours):
    result = merged(base, theirs, ours)
    for key in base.keys() | theirs.keys() | ours.keys():
        in_both = (key in theirs or key not in base) and (key in ours or key not in base)
        if in_both and (key in theirs or key in ours):
            assert result[key] in (theirs.get(key), ours.get(key))
        else:
            assert key not in result


@given(sessions, sessions, sessions)
def test_arguments_are_not_changed(base, theirs, ours):
    before = dict(base), dict(theirs), dict(ours)
    merged(base, theirs, ours)
    assert (base, theirs, ours) == before


@pytest.mark.parametrize(("ours", "result"), [({"a": 2}, {"a": 2}), ({"a": 0}, {"a": 1})])
def test_of_a_key_that_both_changed_the_later_writer_wins(ours, result):
    assert merged({"a": 0}, {"a": 1}, ours) == result
