"""W8: Flask inside, and a change around it, in any combination: one cookie, with what both of them did."""

from driver import NOW, SECRET, request, respond
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from asgi_flask_session import FlaskSessionASGI, TaggedJSONSerializer

from .flask_side import FlaskSide
from .sessions import alike, changed, examples, merged_by_key

FLASK = FlaskSide()
spelled = TaggedJSONSerializer().dumps

keys = st.sampled_from(["a", "b", " t", "_permanent"])
values = st.sampled_from([*alike, b"1", Markup("1"), (1,), {" t": [1]}, {"a": (b"",), "b": 2}, float("nan")])
sessions = st.dictionaries(keys, values, max_size=4)
changes = changed(keys, values)


def make(session, data, *, anew):
    """Have *data* in a session, by changes of what is not so, or by putting all in anew."""
    if anew:
        session.clear()
    for key in [key for key in session if key not in data]:
        del session[key]
    for key, value in data.items():
        if key not in session or spelled(session[key]) != spelled(value):
            session[key] = value


def texts(data):
    return {key: spelled(value) for key, value in data.items()}


def both_written(base, theirs, ours, anew):
    """Return what Flask answers, and what comes out of ours around it; *anew* is said of each."""
    cookie = FLASK.request(None, lambda session: session.update(base)).cookie if base else None
    inside = FLASK.request(cookie, lambda session: make(session, theirs, anew=anew[0]))

    async def app(scope, receive, send):
        make(scope["session"], ours, anew=anew[1])
        await respond(send, headers=inside.headers)

    answer = request(FlaskSessionASGI(app, SECRET, clock=lambda: NOW), cookie)
    return inside, answer, cookie if answer.set_cookie is None else answer.cookie


@examples(150, derandomize=True)
@given(sessions, changes, changes, st.tuples(st.booleans(), st.booleans()))
def test_what_flask_and_the_app_around_it_made_is_merged_key_by_key(base, change, other_change, anew):
    theirs, ours = change(base), other_change(base)
    _, _, cookie = both_written(base, theirs, ours, anew)
    assert texts(FLASK.read(cookie)) == merged_by_key(*map(texts, (base, theirs, ours)))


@examples(50, derandomize=True)
@given(sessions, changes, st.booleans())
def test_flasks_cookie_goes_out_as_it_is_where_nothing_is_changed_around_it(base, change, anew):
    inside, answer, _ = both_written(base, change(base), base, (anew, False))
    assert answer.set_cookies == inside.set_cookies
