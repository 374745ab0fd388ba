"""MongoDB: a real one where SESSION_TESTS_MONGODB_URL names it, and otherwise nx-27017, which speaks its protocol.

nx-27017 keeps what it is given in SQLite. It is no MongoDB: a filter on equal bytes finds nothing, a date is text once
it is updated (which is mended here), and not every index that was made is listed. What a test shows with it holds for
the protocol and for what was asked of a server, not for what MongoDB would have done.
"""

import os
import secrets
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace
from urllib.parse import urlsplit

import pymongo
import pytest
from services.processes import Process, accepts, folder, free_port

REAL = os.environ.get("SESSION_TESTS_MONGODB_URL")

# An update is given a date as an insertion is, since text that was a date is found by no filter on dates.
_START = """
from datetime import datetime
from neosqlite.collection.query_helper import _sql_updates
from nx_27017.nx_27017 import main

of_bytes = _sql_updates._convert_bytes_to_binary

def converted(value):
    return {"$date": value.isoformat()} if isinstance(value, datetime) else of_bytes(value)

_sql_updates._convert_bytes_to_binary = converted
main()
"""


@contextmanager
def running():
    """Yield a server with ``url``, which names a ``database`` that is nobody else's."""
    if REAL is None:
        with stand_in() as server:
            yield server
        return
    database = f"session_tests_{secrets.token_hex(8)}"
    url = urlsplit(REAL)._replace(path=f"/{database}").geturl()
    yield SimpleNamespace(url=url, database=database)
    with pymongo.MongoClient(REAL) as client:
        client.drop_database(database)


@contextmanager
def stand_in():
    """Yield the stand-in with ``port``, ``url``, ``database`` and the methods of ``Process``; it keeps nothing."""
    if find_spec("nx_27017") is None:
        pytest.skip("nx-27017 is not installed here")
    port = free_port()
    with folder() as place:
        command = [sys.executable, "-c", _START, "--db", "memory", "--port", port]
        command += ["--log-file", place / "log", "--pid-file", place / "pid"]
        server = Process(command, ready=lambda: accepts(port), cwd=place)
        server.port, server.database = port, "flask_session"
        server.url = f"mongodb://127.0.0.1:{port}/{server.database}"
        try:
            yield server
        finally:
            server.stop()
