"""PostgreSQL, of which each connection is a process of its own."""

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

from services.processes import Process, find_program, folder, free_port, wait_until

USER = "postgres"  # PostgreSQL refuses to run as root
FAST = ["fsync=off", "full_page_writes=off", "shared_buffers=16MB", "autovacuum=off"]


@contextmanager
def running(*options):
    """Yield a server with ``port``, ``user``, ``database``, ``url`` and the methods of ``Process``."""
    initdb, postgres, pg_isready = _find("initdb"), _find("postgres"), _find("pg_isready")
    find_program("ps")
    as_user = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
    port = free_port()
    with folder(USER) as place:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": place}

        def ready():
            asked = [pg_isready, "-q", "-h", "127.0.0.1", "-p", str(port), "-U", USER]
            return subprocess.run(asked, check=False, **quiet).returncode == 0

        made = [initdb, "-D", place / "data", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
        subprocess.run(made, check=True, **quiet, **as_user)
        command = [postgres, "-D", place / "data", "-p", port, "-h", "127.0.0.1", "-k", place]
        command += [word for setting in (*FAST, *options) for word in ("-c", setting)]
        server = Processes(command, ready=ready, cwd=place, **as_user)
        server.port, server.user, server.database = port, USER, "postgres"
        server.url = f"{USER}@127.0.0.1:{port}/postgres"  # a scheme with a driver goes before it
        try:
            yield server
        finally:
            server.stop()


def _find(name):
    """Return the path of a program, which Debian keeps in a folder for each version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return find_program(name, *(str(path / name) for path in versions))


class Processes(Process):
    """A server and its children, which are killed and frozen with it."""

    def kill(self):
        children = self._signal(signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: children.isdisjoint(pid for pid, _ in _alive()), "its children live on")

    def freeze(self):
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def stop(self):
        if self.process.poll() is None:
            self.thaw()
            self.process.send_signal(signal.SIGINT)  # at SIGTERM it would wait for its clients
        super().stop()

    def _signal(self, number):
        self.process.send_signal(number)  # first of all, so that it starts no more of them
        children = {pid for pid, parent in _alive() if parent == self.process.pid}
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return children


def _alive():
    """Yield each process and its parent."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, check=True, text=True).stdout
    for line in listed.splitlines():
        pid, parent, state = line.split()
        if not state.startswith("Z"):
            yield int(pid), int(parent)
