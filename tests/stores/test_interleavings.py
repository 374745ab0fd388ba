"""Every order in which the requests of one session reach the store, and what holds in each.

A request's steps are its calls of the store: each waits until the schedule has come to it. Orders are tried depth
first, each from the start. Where there would be too many, calls that commute are tried in one order only (sleep sets).
"""

import json
import random
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any

import anyio
import pytest
from driver import SECRET, respond, scope_for

from asgi_flask_session import FlaskSessionASGI, ids, server_side
from asgi_flask_session.stores.memory import MemoryStore

OLD = "the-id-that-all-of-them-came-with"
OTHER = "the-id-of-somebody-else-altogether"
FIRST = {"_permanent": True, "first": True}


async def read(session, mark):
    """Touch nothing: a permanent session is refreshed."""


async def save(session, mark):
    session[mark] = True


async def save_twice(session, mark):
    session[mark] = True
    await session.save()
    session[f"{mark} again"] = True


async def delete(session, mark):
    session.clear()


async def pop(session, mark):
    session.pop("first", None)


async def regenerate(session, mark):
    session[mark] = True
    session.regenerate()


async def login(session, mark):
    session[mark] = True
    session["_user_id"] = mark


async def renew(session, mark):
    session.clear()
    session[mark] = True


WRITES = {save, save_twice, regenerate, login, renew}

who: ContextVar[int] = ContextVar("who")


@dataclass(frozen=True)
class Call:
    method: str
    key: str

    def commutes_with(self, other):
        return self.key != other.key or self.method == other.method == "get"


class InTurn:
    """A store whose calls wait until *choose* has picked them from all that are waiting."""

    def __init__(self, choose, requests, *, private_too):
        self.store = MemoryStore()
        self.log = []  # who, method, key, value, answer
        self._choose, self._private_too = choose, private_too
        self._busy, self._waiting = requests, {}

    def rest(self):
        """Note that a request came to rest, and let the next one go on if it was the last to do so."""
        self._busy -= 1
        if not self._busy and self._waiting:
            chosen = self._choose({number: call for number, (call, _) in self._waiting.items()})
            self._busy = 1
            self._waiting.pop(chosen)[1].set()

    async def _call(self, method, key, *arguments):
        name = key.removeprefix("session:")
        # What nobody else knows commutes with everything, and need not wait.
        if name == OLD or self._private_too:
            turn = anyio.Event()
            self._waiting[who.get()] = Call(method, name), turn
            self.rest()
            await turn.wait()
        answer = await getattr(self.store, method)(key, *arguments)
        value = arguments[0] if method in ("create", "replace") else None
        self.log.append((who.get(), method, name, value, answer))
        return answer

    def __getattr__(self, method):
        return lambda *arguments: self._call(method, *arguments)


class Stores:
    """Stands for the store of the run that is under way, so that one middleware serves all runs."""

    now: InTurn

    async def aclose(self):
        pass

    def __getattr__(self, name):
        return lambda *arguments: getattr(self.now, name)(*arguments)  # noqa: PLW0108  # of the run it is called in


@dataclass
class Run:
    kinds: tuple[Any, ...]
    log: list[tuple[Any, ...]]
    cookies: dict[int, str | None]  # by request: what was set, "" for a deletion, None for no Set-Cookie
    warned: set[int]  # who was told that the session is gone
    kept: dict[str, Any]  # the data of each live record, by id


class Driver:
    def __init__(self, monkeypatch):
        self.stores = Stores()
        self.app = FlaskSessionASGI(self._handle, SECRET, store=self.stores)
        self.warned = set()
        self.made = Counter()
        monkeypatch.setattr(ids, "token_urlsafe", self._new_id)  # the same ones in each run
        monkeypatch.setattr(server_side, "sleep", self._no_wait)
        monkeypatch.setattr(server_side, "warn_once", lambda *arguments: self.warned.add((who.get(), arguments[0])))

    async def run(self, kinds, choose, *, private_too=False):
        store = self.stores.now = InTurn(choose, len(kinds), private_too=private_too)
        self.warned.clear()
        self.made.clear()
        for sid, data in ((OLD, FIRST), (OTHER, {"other": True})):
            await store.store.create(f"session:{sid}", json.dumps(data).encode(), 1000)
        cookies = {}
        async with anyio.create_task_group() as group:
            for number, kind in enumerate(kinds):
                group.start_soon(self._ask, number, kind, cookies)
        assert {cause for _, cause in self.warned} <= {"gone"}
        kept = {key.removeprefix("session:"): json.loads(record) for key, (record, _) in store.store._kept.items()}
        assert kept.pop(OTHER) == {"other": True}
        live = {sid: data for sid, data in kept.items() if data}
        return Run(kinds, store.log, cookies, {number for number, _ in self.warned}, live)

    async def _ask(self, number, kind, cookies):
        who.set(number)
        messages = []

        async def send(message):
            messages.append(message)

        await self.app(scope_for(OLD, kind=kind, number=number), None, send)
        assert messages[0]["status"] == 200
        lines = [value.decode() for name, value in messages[0]["headers"] if name == b"set-cookie"]
        assert len(lines) <= 1
        cookies[number] = lines[0].partition(";")[0].partition("=")[2] if lines else None
        self.stores.now.rest()

    async def _handle(self, scope, receive, send):
        await scope["kind"](scope["session"], f"k{scope['number']}")
        await respond(send)

    async def _no_wait(self, seconds):
        pass

    def _new_id(self, size):
        self.made[who.get()] += 1
        return f"an-id-made-by-request-{who.get()}-as-number-{self.made[who.get()]}"


@pytest.fixture
def driver(monkeypatch):
    return Driver(monkeypatch)


# What holds


def check(run):
    """Hold a run to the invariants."""
    fresh = {number for number in range(len(run.kinds)) if is_dead(first_answer(run, number))}
    current, heir = succession(run)
    one_live_id(run, current, heir, fresh)
    logged_out_stays_out(run)
    no_mixed_data(run, current, fresh)
    no_lost_write(run, current, heir, fresh)


def is_dead(record):
    return record in (None, b"ended")


def first_answer(run, number):
    """Return the record that a request began with: with none, it begins a session of its own."""
    return next(answer for asker, *_, answer in run.log if asker == number)


def succession(run):
    """Return the id that the session has in the end, None if it has ended, and who gave it that."""
    for number, method, sid, value, answer in run.log:
        if sid != OLD:
            continue
        if method == "replace" and answer and is_dead(value):
            made = [made for maker, method, made, *_ in run.log if (maker, method) == (number, "create")]
            return (made[-1] if made else None), number
        if method == "delete":
            return None, number
    return OLD, None


def one_live_id(run, current, heir, fresh):
    begun = {run.cookies[number] for number in fresh}
    assert run.kept.keys() - begun == ({current} if current else set())
    sent = {value for number, value in run.cookies.items() if value and number not in fresh}
    assert sent <= {OLD, current}
    if current != OLD and current is not None:
        assert run.cookies[heir] == current  # somebody knows it


def logged_out_stays_out(run):
    """Once a logout has reached the store, the id is dead; and whoever logs out loses the cookie."""
    logouts = [number for number, kind in enumerate(run.kinds) if kind is delete]
    assert all(run.cookies[number] == "" for number in logouts)
    calls = [(method, answer) for number, method, sid, _, answer in run.log if sid == OLD]
    ended = [at for at, (number, method, sid, *_) in enumerate(run.log) if (method, sid) == ("delete", OLD)]
    if ended:
        after = [(method, bool(answer)) for _, method, sid, _, answer in run.log[ended[0] + 1 :] if sid == OLD]
        assert not {("replace", True), ("touch", True), ("create", True), ("get", True)}.intersection(after), calls
    if logouts:
        assert OLD not in run.kept


def no_mixed_data(run, current, fresh):
    """A record holds what requests of that session put there, and nothing else."""
    for number in fresh:
        cookie = run.cookies[number]
        assert run.kept.get(cookie, {}) == written_by(run, number)
        assert bool(cookie) is bool(written_by(run, number))
    if current:
        written = [written_by(run, number).items() for number in range(len(run.kinds)) if number not in fresh]
        assert run.kept[current].items() <= FIRST.items() | set().union(*written)


def written_by(run, number):
    kind, mark = run.kinds[number], f"k{number}"
    if kind not in WRITES:
        return {}
    return {mark: True} | {save_twice: {f"{mark} again": True}, login: {"_user_id": mark}}.get(kind, {})


def no_lost_write(run, current, heir, fresh):
    """What was confirmed is in the record that is left; what was not is warned of."""
    for number, kind in enumerate(run.kinds):
        if kind in WRITES:
            assert (run.cookies[number] is None) is (number in run.warned)
    if not current:
        return
    data = run.kept[current]
    if heir is not None and run.kinds[heir] is renew:
        assert data == written_by(run, heir)  # all that was there was to go
        return
    popped = any(kind is pop and number not in {*fresh, *run.warned} for number, kind in enumerate(run.kinds))
    assert data.keys() & FIRST.keys() == FIRST.keys() - ({"first"} if popped else set())
    for number, kind in enumerate(run.kinds):
        if kind in WRITES and number not in fresh and kind is not save_twice:
            assert (f"k{number}" in data) is (number not in run.warned)
        elif kind is save_twice and number not in {*fresh, *run.warned}:
            assert written_by(run, number).items() <= data.items()


# Every order


@dataclass
class Node:
    """A point at which one of several calls was next."""

    calls: dict[int, Call]
    asleep: dict[int, Call]  # what need not be tried here: it was, before calls that commute with it
    tried: dict[int, Call] = field(default_factory=dict)
    chosen: int = -1

    def choose(self):
        """Take the next call that is to be tried here; say whether there is one."""
        if self.chosen >= 0:
            self.tried[self.chosen] = self.calls[self.chosen]
        left = [number for number in sorted(self.calls) if number not in self.tried and number not in self.asleep]
        self.chosen = left[0] if left else -1
        return bool(left)


class Explorer:
    """Tries the orders of calls depth first; *reduced* leaves out those that differ in calls that commute."""

    def __init__(self, *, reduced):
        self._reduced = reduced
        self._path = []
        self._at = 0
        self._pruned = False
        self._repeats = True
        self.orders = 0

    def choose(self, calls):
        if self._at == len(self._path):
            self._path.append(Node(calls, self._asleep(calls)))
            if not self._path[-1].choose():
                self._pruned = True  # the same as one that was tried: it only has to come to its end
                self._path[-1].chosen = min(calls)
        node = self._path[self._at]
        self._at += 1
        if node.calls == calls:
            return node.chosen
        self._repeats = False
        return min(calls)

    def _asleep(self, calls):
        if not self._path or not self._reduced:
            return {}
        before = self._path[-1]
        done = before.calls[before.chosen]
        known = {**before.asleep, **before.tried}
        return {number: call for number, call in known.items() if call.commutes_with(done)}

    def next(self):
        """Note the end of a run, and say whether there is another order to try."""
        assert self._repeats  # a run depends on nothing but its schedule
        self.orders += not self._pruned
        self._at, self._pruned = 0, False
        while self._path and not self._path[-1].choose():
            self._path.pop()
        return bool(self._path)


async def explore(driver, kinds, *, reduced=False, check=check, **how):
    """Check every order, and return how many there are."""
    explorer = Explorer(reduced=reduced)
    while True:
        check(await driver.run(kinds, explorer.choose, **how))
        if not explorer.next():
            return explorer.orders


def every(count, *kinds, beside=()):
    """Give a test every choice of *count* kinds, with the same one more than once too."""
    return pytest.mark.parametrize(
        "kinds",
        [(*beside, *chosen) for chosen in combinations_with_replacement(kinds, count)],
        ids=lambda kinds: "+".join(kind.__name__ for kind in kinds),
    )


ALL = (read, save, delete, regenerate, login, renew)


@every(2, *ALL, save_twice)
def test_two_requests_in_every_order(driver, loop, kinds):
    """Of all their calls, those too that concern a record which only one of them knows."""
    orders = anyio.run(lambda: explore(driver, kinds, private_too=True), backend=loop)
    assert orders >= 6


@every(3, save, delete, regenerate)
def test_three_requests_in_every_order(driver, kinds):
    assert anyio.run(lambda: explore(driver, kinds)) >= 60


@every(3, *ALL)
def test_three_requests_in_every_order_that_makes_a_difference(driver, kinds):
    assert anyio.run(lambda: explore(driver, kinds, reduced=True)) >= 20


@every(2, save, delete, regenerate, beside=[save_twice])
def test_one_of_three_that_saves_twice(driver, kinds):
    assert anyio.run(lambda: explore(driver, kinds, reduced=True)) >= 40


@every(2, save, regenerate, beside=[pop])
def test_pop_of_the_last_key_takes_nothing_with_it_that_others_wrote(driver, kinds):
    def confirmed_is_kept(run):
        check(run)
        for number in (1, 2):
            assert bool(run.cookies[number]) is any(f"k{number}" in data for data in run.kept.values())
            assert run.cookies[number] or number in run.warned

    anyio.run(lambda: explore(driver, kinds, reduced=True, check=confirmed_is_kept))


def by_chance(chance):
    return lambda calls: chance.choice(sorted(calls))


@pytest.mark.parametrize("kind", [regenerate, login, renew], ids=lambda kind: kind.__name__)
def test_five_new_ids_at_once_leave_one(driver, loop, kind):
    async def main():
        for seed in range(200):
            run = await driver.run((kind,) * 5, by_chance(random.Random(seed)), private_too=True)
            check(run)
            assert len(run.kept.keys() & {value for value in run.cookies.values() if value != OLD}) >= 1

    anyio.run(main, backend=loop)


def test_many_requests_of_all_kinds_in_orders_of_chance(driver):
    async def main():
        for seed in range(300):
            chance = random.Random(seed)
            kinds = tuple(chance.choices(ALL, k=8))
            check(await driver.run(kinds, by_chance(chance), private_too=True))

    anyio.run(main)
