"""redis-server: one, and what Sentinel and Cluster make of several."""

from contextlib import contextmanager

from services.processes import Process, accepts, find_program, folder, free_port


@contextmanager
def running(*options):
    """Yield a server with ``port``, ``url`` and the methods of ``Process``; it keeps nothing on disk."""
    program = find_program("redis-server", "valkey-server")
    port = free_port()
    with folder() as place:
        command = [program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", place]
        server = Process([*command, *options], ready=lambda: accepts(port))
        server.port, server.url = port, f"redis://127.0.0.1:{port}"
        try:
            yield server
        finally:
            server.stop()
