"""Servers that a test run starts for itself: on a free port of this machine, in a folder that goes with them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


def find_program(*names):
    """Return the path of the first program that is there; skips the test if none is."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if found:
            return found
    pytest.skip(f"{names[0]} is not installed here")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, seconds=30):
    """Call *condition* until it returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if found := condition():
                return found
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.02)


def accepts(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


@contextmanager
def folder(user=None):
    """Yield a new folder, of *user* where we are root and the server refuses to be."""
    path = Path(tempfile.mkdtemp(prefix="session-tests-"))
    if user is not None and os.getuid() == 0:
        owner = pwd.getpwnam(user)
        os.chown(path, owner.pw_uid, owner.pw_gid)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Process:
    """A server process that can be killed, frozen, thawed and started again."""

    def __init__(self, command, *, ready, **options):
        self.command, self.ready, self.options = list(map(str, command)), ready, options
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.options
        )
        try:
            wait_until(self._is_ready, f"{self.command[0]} does not start")
        except BaseException:
            self.kill()
            raise

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{' '.join(self.command)} ended with {self.process.returncode}")
        return self.ready()

    def kill(self):
        """End it at once, as a power cut does."""
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
