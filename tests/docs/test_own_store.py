"""docs/stores.md: the store of one's own keeps what every store does."""

import re
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from stores.contract import SessionContract, StoreContract

PAGE = (Path(__file__).parents[2] / "docs" / "stores.md").read_text("utf-8")


def documented_store():
    [code] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class DictStore" in block]
    namespace = {}
    exec(code.partition("\napp = ")[0], namespace)
    return namespace["DictStore"]


class Clock:
    now = 1_700_000_000.0

    def __call__(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


class TestOwnStore(StoreContract, SessionContract):
    # What no store has to have.
    test_ping_and_closing_twice = None

    @asynccontextmanager
    async def opened(self, clock):
        yield documented_store()(clock)
