"""memcached."""

import os
from contextlib import contextmanager

from services.processes import Process, accepts, find_program, free_port


@contextmanager
def running(*options):
    """Yield a server with ``port``, ``url`` and the methods of ``Process``."""
    program = find_program("memcached")
    port = free_port()
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    server = Process([program, "-l", "127.0.0.1", "-p", port, *user, *options], ready=lambda: accepts(port))
    server.port, server.url = port, f"memcached://127.0.0.1:{port}"
    try:
        yield server
    finally:
        server.stop()
