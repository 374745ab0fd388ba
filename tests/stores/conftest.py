"""Each contract is a class: a store's test class inherits it, and says on which loops the store runs."""

import pytest
from services import memcached, redis


def pytest_generate_tests(metafunc):
    if "loop" in metafunc.fixturenames:
        metafunc.parametrize("loop", getattr(metafunc.cls, "loops", ("asyncio", "trio")))


@pytest.fixture
def clock():
    return Clock()


class Clock:
    """Seconds since the epoch, which pass when a test says so."""

    def __init__(self, now=1_700_000_000.0):
        self.now = now

    def __call__(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds


@pytest.fixture(scope="session")
def redis_server():
    with redis.running() as server:
        yield server


@pytest.fixture(scope="session")
def memcached_server():
    with memcached.running() as server:
        yield server
