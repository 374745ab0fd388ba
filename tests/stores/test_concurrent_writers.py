"""S4, S5: requests of one session, each writing over what others wrote since it came: the laws of merging, in a store.

Every order of the store's calls is in test_interleavings.py; here it is every change of the data.
"""

import asyncio

import pytest
from driver import NOW, SECRET
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from peers.sessions import alike, changed, examples, merged_by_key

from asgi_flask_session import Settings
from asgi_flask_session.records import Records
from asgi_flask_session.server_side import ServerSide
from asgi_flask_session.stores.memory import MemoryStore

VALUES = {
    "json": alike,
    "msgpack": [*alike, b"1", {1: 1}, {"1": 1}],
    "tagged": [*alike, b"1", (1,), Markup("1"), {" t": [1]}, float("nan")],
}
KEYS = st.sampled_from(["a", "b", "c", "_permanent"])


def make(session, data, text):
    """Have *data* in a session by changes of what is not so."""
    for key in session.keys() - data.keys():
        del session[key]
    for key, value in data.items():
        if key not in session or text(session[key]) != text(value):
            session[key] = value


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize("form", VALUES)
@examples(60, derandomize=True)
@given(data=st.data())
def test_writers_that_overlap_lose_nothing_and_bring_nothing_back(runner, form, data):
    """Each came when so many others before it had not written yet."""
    values = st.sampled_from(VALUES[form])
    first = {"a": data.draw(values), **data.draw(st.dictionaries(KEYS, values))}
    writers = data.draw(st.lists(st.tuples(st.integers(0, 3), changed(KEYS, values)), min_size=2, max_size=5))
    settings = Settings(SECRET, store=MemoryStore(), record_format=form)
    side, records = ServerSide(settings, lambda: NOW), Records(settings)

    def text(value):
        return records.dumps([value], form)

    def texts(data):
        return {key: text(value) for key, value in data.items()}

    async def main():
        session = await side.open(None, {})
        session.update(first)
        await side.save(session)
        sid = session.sid
        states = [texts(first)]
        came = {turn: max(0, turn - late) for turn, (late, _) in enumerate(writers)}
        opened = {}
        for turn, (_, change) in enumerate(writers):
            for later, when in came.items():
                if when == turn:
                    opened[later] = await side.open(sid.encode(), {})
            session, base = opened[turn], states[came[turn]]
            if session.new:
                assert not base
                states.append({})
                continue
            found = dict(session)
            assert texts(found) == base
            made = change(found)
            make(session, made, text)
            await side.save(session)
            states.append(merged_by_key(base, states[-1], texts(made)) if states[-1] else {})
            if not states[-1].keys() - {"_permanent"}:
                states[-1] = {}  # it has ended, and nobody makes it live again
            now = await side.open(sid.encode(), {})
            assert texts(dict(now)) == states[-1]

    runner.run(main())
