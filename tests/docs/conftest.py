"""What the blocks of a page find in place of the servers that they name."""

from contextlib import ExitStack
from functools import cache

import pytest
from services import mariadb, memcached, mongodb, postgresql, redis

# What stands on a page, the service behind it, and what is written in its place.
SERVERS = {
    "redis+sentinel://sentinel1:26379,sentinel2:26379,sentinel3:26379/sessions": (redis.sentinel, "{server.url}"),
    "redis+cluster://node1:6379,node2:6379,node3:6379": (redis.cluster, "{server.url}"),
    "redis://localhost": (redis.running, "{server.url}"),
    "memcached://localhost": (memcached.running, "{server.url}"),
    "localhost:11211": (memcached.running, "127.0.0.1:{server.port}"),
    "postgresql+asyncpg://shop:password@localhost/shop": (postgresql.running, "postgresql+asyncpg://{server.url}"),
    "mysql+aiomysql://shop:password@localhost/shop": (mariadb.running, "mysql+aiomysql://{server.url}"),
    "mongodb://localhost/shop": (mongodb.running, "{server.url}"),
}


def pytest_generate_tests(metafunc):
    if "loop" in metafunc.fixturenames:
        metafunc.parametrize("loop", metafunc.cls.loops)


@pytest.fixture(scope="module")
def server_of():
    """Return the function that starts a service, or finds it started."""
    with ExitStack() as stack:
        yield cache(lambda service: stack.enter_context(service()))


@pytest.fixture
def at_home(server_of, tmp_path):
    """Return the function that puts real servers and folders into a page's blocks."""

    def at_home(blocks):
        for named, (service, ours) in SERVERS.items():
            if any(named in block for block in blocks):
                blocks = [block.replace(named, ours.format(server=server_of(service))) for block in blocks]
        return [block.replace("/var/lib/shop", str(tmp_path)) for block in blocks]

    return at_home
