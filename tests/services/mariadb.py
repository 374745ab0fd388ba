"""MariaDB, or MySQL's server under its name."""

import os
import subprocess
from contextlib import contextmanager

from services.processes import Process, accepts, find_program, folder, free_port, wait_until

USER = "mysql"  # it refuses to run as root
FAST = ["--innodb-flush-method=nosync", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M"]


@contextmanager
def running(*options):
    """Yield a server with ``port``, ``user``, ``database``, ``url`` and the methods of ``Process``."""
    program, install = find_program("mariadbd"), find_program("mariadb-install-db")
    as_user = ["--user=mysql"] if os.getuid() == 0 else []
    port = free_port()
    with folder(USER) as place:
        data = [*as_user, f"--datadir={place}", "--skip-name-resolve", *FAST]
        made = [install, "--no-defaults", "--auth-root-authentication-method=normal", *data]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        command = [program, "--no-defaults", *data, "--bind-address=127.0.0.1", f"--port={port}"]
        command += [f"--socket={place}/socket", f"--pid-file={place}/pid"]
        server = Threads([*command, *options], ready=lambda: accepts(port))
        server.port, server.user, server.database = port, "root", "test"
        server.url = f"root@127.0.0.1:{port}/test"  # a scheme with a driver goes before it
        try:
            yield server
        finally:
            server.kill()  # nothing is to be kept: its own end takes longer


class Threads(Process):
    """A server that is frozen when all its threads are."""

    def freeze(self):
        super().freeze()
        asked = ["ps", "-L", "-o", "stat=", "-p", str(self.process.pid)]

        def frozen():
            states = subprocess.run(asked, capture_output=True, check=True, text=True).stdout.split()
            return all(state.startswith("T") for state in states)

        wait_until(frozen, "it does not freeze")
