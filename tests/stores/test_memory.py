import asyncio
from contextlib import asynccontextmanager

import pytest
from stores.contract import PruneContract, SessionContract, StoreContract, UsersContract

from asgi_flask_session import SettingsError
from asgi_flask_session.stores.memory import MemoryStore


class TestMemoryStore(StoreContract, PruneContract, UsersContract, SessionContract):
    @asynccontextmanager
    async def opened(self, clock):
        yield MemoryStore(clock=clock)

    def test_what_is_as_old_as_its_lifetime_is_over(self, loop, clock):
        async def test(store):
            for name in "ab":
                await store.create(name, b'{"_user_id":"7"}', 60)
            clock.tick(60)
            return await store.get("a"), await store.sessions_of("7"), await store.prune()

        assert self.run(loop, clock, test) == (None, [], 1)


class TestFull(StoreContract):
    loops = ("asyncio",)

    @asynccontextmanager
    async def opened(self, clock):
        yield MemoryStore(clock=clock, max_sessions=3)

    def test_what_was_not_used_for_longest_makes_room_and_that_is_said_once(self, loop, clock, caplog):
        async def test(store):
            for name in "abc":
                await store.create(name, name.encode(), 60)
            await store.get("a")
            for name in "de":
                await store.create(name, name.encode(), 60)
            return [name for name in "abcde" if await store.get(name)]

        assert self.run(loop, clock, test) == ["a", "d", "e"]
        assert len(caplog.records) == 1

    def test_what_was_over_makes_room_without_a_word(self, loop, clock, caplog):
        async def test(store):
            for name in "abc":
                await store.create(name, name.encode(), 60)
            clock.now += 60
            await store.create("d", b"d", 60)
            return await store.get("d")

        assert self.run(loop, clock, test) == b"d"
        assert not caplog.records


@pytest.mark.parametrize("count", [0, -1])
def test_room_for_no_session_is_refused(count):
    with pytest.raises(SettingsError, match="write 1 or more"):
        MemoryStore(max_sessions=count)


def test_room_for_one_session_is_enough():
    async def main():
        store = MemoryStore(max_sessions=1)
        for name in "ab":
            await store.create(name, name.encode(), 60)
        return await store.get("a"), await store.get("b")

    assert asyncio.run(main()) == (None, b"b")


@pytest.mark.parametrize("url", ["memory://shared", "memory:X"])
def test_a_url_with_a_name_is_refused(url):
    with pytest.raises(SettingsError, match="store='memory:'"):
        MemoryStore.from_url(url)


@pytest.mark.parametrize("url", ["memory:", "memory://", "memory:///"])
def test_a_url_without_a_name_is_a_store_of_its_own(url):
    assert MemoryStore.from_url(url) is not MemoryStore.from_url(url)
