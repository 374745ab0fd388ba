"""A TCP proxy before a server: what a bad network does to a client, at a chosen byte or moment.

It runs in a thread of its own, so that any event loop, and none, may be on its other side.

    with proxy.before(server.port) as network:
        network.delay = 0.1             # seconds that each piece of an answer is held back; or a function giving them
        network.freeze()                # nothing passes any more, and nothing is closed, until ...
        network.thaw()
        network.cut(to_client=5)        # five more bytes of answers pass, then their connection ends
        network.drop()                  # all connections end now
        network.close()                 # and new ones are refused, until ...
        network.open()
        network.connections             # that are open now; network.most: at one time; network.accepted: in all
"""

import select
import socket
import threading
import time
from contextlib import contextmanager, suppress

TO_SERVER, TO_CLIENT = "to_server", "to_client"


@contextmanager
def before(port):
    """Yield a proxy in front of *port* of this machine; its own port is ``port``."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.stop()


class Proxy:
    """Passes bytes on, as it is told to. Every method may be called from any thread, and returns when it is done."""

    def __init__(self, behind):
        self.behind = behind
        self.delay = 0
        self.most = self.accepted = 0
        self._pipes = []
        self._budget = {}
        self._frozen = self._over = False
        self._lock = threading.RLock()
        self._waking, self._wake = socket.socketpair()
        self._listener = None
        self.port = 0
        self.open()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    @property
    def connections(self):
        with self._lock:
            return len(self._pipes) // 2

    def open(self):
        """Accept connections, on the same port as before."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
                self._listener.setblocking(False)
                self.port = self._listener.getsockname()[1]
        self._notice()

    def close(self):
        """Refuse new connections. Those that are open stay."""
        with self._lock:
            if self._listener is not None:
                self._listener.close()
                self._listener = None
        self._notice()

    def freeze(self):
        """Let nothing pass. New connections are made, and as silent."""
        with self._lock:
            self._frozen = True
        self._notice()

    def thaw(self):
        with self._lock:
            self._frozen = False
        self._notice()

    def cut(self, *, to_server=None, to_client=None):
        """End a connection after so many more bytes in one direction, counted over all connections. Once."""
        with self._lock:
            counts = {TO_SERVER: to_server, TO_CLIENT: to_client}
            self._budget = {way: count for way, count in counts.items() if count is not None}

    def drop(self):
        """End all connections."""
        with self._lock:
            for pipe in list(self._pipes):
                self._end(pipe)
        self._notice()

    def stop(self):
        """Close everything, for good."""
        with self._lock:
            self._over = True
        self._notice()
        self._thread.join(10)

    def _notice(self):
        with suppress(OSError):
            self._wake.send(b".")

    def _run(self):
        while not self._over:
            with self._lock:
                ends, wait = self._awaited()
            ready = _ready(ends, wait)
            with self._lock:
                if self._waking in ready:
                    self._waking.recv(4096)
                if not self._frozen:
                    self._pass_on(ready)
        with self._lock:
            for pipe in list(self._pipes):
                self._end(pipe)
        self.close()
        self._waking.close()
        self._wake.close()

    def _awaited(self):
        """Return sockets and what to wait for, by number, and for how many milliseconds."""
        ends = {self._waking.fileno(): (self._waking, select.POLLIN)}
        soonest, now = None, time.monotonic()
        if not self._frozen:
            if self._listener:
                ends[self._listener.fileno()] = self._listener, select.POLLIN
            for pipe in self._pipes:
                if pipe.reads:
                    _, events = ends.get(pipe.source.fileno(), (None, 0))
                    ends[pipe.source.fileno()] = pipe.source, events | select.POLLIN
                if pipe.held and pipe.held[0][0] <= now:
                    _, events = ends.get(pipe.target.fileno(), (None, 0))
                    ends[pipe.target.fileno()] = pipe.target, events | select.POLLOUT
                elif pipe.held:
                    soonest = min(soonest or pipe.held[0][0], pipe.held[0][0])
        return ends, None if soonest is None else max(0, soonest - now) * 1000

    def _pass_on(self, ready):
        for pipe in list(self._pipes):
            if pipe in self._pipes:
                self._write(pipe)
            if pipe in self._pipes and pipe.reads and ready.get(pipe.source, 0) & ~select.POLLOUT:
                self._read(pipe)
        if self._listener in ready and self._accept():
            # What its client closed before it made this connection ends first, so that nothing counts twice.
            for _ in range(100):
                ready = _ready(
                    {pipe.source.fileno(): (pipe.source, select.POLLIN) for pipe in self._pipes if pipe.reads}, 0
                )
                if not ready:
                    break
                self._pass_on(ready)
            self.most = max(self.most, len(self._pipes) // 2)

    def _accept(self):
        """Say whether there is one connection more."""
        try:
            client, _ = self._listener.accept()
        except OSError:
            return False
        try:
            server = socket.create_connection(("127.0.0.1", self.behind), timeout=5)
        except OSError:
            client.close()  # as near as can be to a refusal
            return False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        there, back = _Pipe(TO_SERVER, client, server), _Pipe(TO_CLIENT, server, client)
        there.other, back.other = back, there
        self._pipes += [there, back]
        self.accepted += 1
        return True

    def _read(self, pipe):
        try:
            data = pipe.source.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self._end(pipe)
            return
        delay = (self.delay() if callable(self.delay) else self.delay) if pipe.way == TO_CLIENT else 0
        due = max(time.monotonic() + delay, pipe.held[-1][0] if pipe.held else 0)  # no piece overtakes another
        pipe.held.append((due, data))
        pipe.reads = bool(data)
        if not delay:
            self._write(pipe)

    def _write(self, pipe):
        while pipe.held and pipe.held[0][0] <= time.monotonic():
            due, data = pipe.held.pop(0)
            if not data:
                self._end(pipe)
                return
            left = self._budget.get(pipe.way)
            try:
                sent = pipe.target.send(data if left is None else data[:left])
            except BlockingIOError:
                sent = 0
            except OSError:
                self._end(pipe)
                return
            if left is not None:
                self._budget[pipe.way] = left - sent
                if left == sent:
                    self._budget = {}
                    self._end(pipe)
                    return
            if sent < len(data):
                pipe.held.insert(0, (due, data[sent:]))
                return

    def _end(self, pipe):
        for one in (pipe, pipe.other):
            if one in self._pipes:
                self._pipes.remove(one)
                one.source.close()


def _ready(ends, wait):
    poll = select.poll()  # select() knows no number above 1023
    for number, (_, events) in ends.items():
        poll.register(number, events)
    return {ends[number][0]: events for number, events in poll.poll(wait)}


class _Pipe:
    """One direction of a connection: what came from *source* waits in ``held``, with the time when it may go."""

    def __init__(self, way, source, target):
        self.way, self.source, self.target = way, source, target
        self.held = []
        self.reads = True
        self.other = None
