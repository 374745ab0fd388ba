from contextlib import asynccontextmanager

import pytest
from stores.contract import PruneContract, SessionContract, StoreContract, UsersContract

from asgi_flask_session import SettingsError
from asgi_flask_session.stores.memory import MemoryStore


class TestMemoryStore(StoreContract, PruneContract, UsersContract, SessionContract):
    @asynccontextmanager
    async def opened(self, clock):
        yield MemoryStore(clock=clock)


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


@pytest.mark.parametrize("count", [0, -1])
def test_room_for_no_session_is_refused(count):
    with pytest.raises(SettingsError, match="write 1 or more"):
        MemoryStore(max_sessions=count)


def test_a_url_with_a_name_is_refused():
    with pytest.raises(SettingsError, match="store='memory:'"):
        MemoryStore.from_url("memory://shared")
