"""redis-server: one, and what Sentinel and Cluster make of several."""

import socket
import ssl
import subprocess
from contextlib import ExitStack, contextmanager
from functools import partial

from services.processes import Process, accepts, find_program, folder, free_port, wait_until

SERVICE = "sessions"  # the name under which sentinels know their master


@contextmanager
def running(*options, listens="--port"):
    """Yield a server with ``port``, ``url`` and the methods of ``Process``; it keeps nothing on disk."""
    program = find_program("redis-server", "valkey-server")
    port = free_port()
    with folder() as place:
        command = [program, listens, port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", place]
        server = Process([*command, *options], ready=lambda: accepts(port))
        server.port, server.url = port, f"redis://127.0.0.1:{port}"
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def tls(*options):
    """Yield a server that speaks TLS only, with ``authority``: the file of the certificate that vouches for it."""
    with certificates() as (authority, files), running("--port", "0", *files, *options, listens="--tls-port") as server:
        server.url, server.authority = f"rediss://127.0.0.1:{server.port}", authority
        yield server


@contextmanager
def sentinel(*, secure=False):
    """Yield ``Sentinels``: a master with a replica, and three that watch over them. *secure* is TLS everywhere."""
    program = find_program("redis-sentinel", "valkey-sentinel")
    with ExitStack() as stack:
        authority, files, listens = None, (), "--port"
        if secure:
            authority, files = stack.enter_context(certificates())
            files, listens = ("--port", "0", "--tls-replication", "yes", *files), "--tls-port"
        at_once = "--repl-diskless-sync-delay", "0"
        master = stack.enter_context(running(*files, *at_once, listens=listens))
        replica = stack.enter_context(running("--replicaof", "127.0.0.1", master.port, *files, listens=listens))
        found = Sentinels(master, replica, authority)
        wait_until(
            lambda: b"status:up" in found.ask(replica.port, "INFO", "replication"), "the replica does not follow"
        )
        for _ in range(3):
            place, port = stack.enter_context(folder()), free_port()
            (place / "sentinel.conf").write_text(
                f"dir {place}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} 500\n"
                f"sentinel failover-timeout {SERVICE} 2000\n"
            )
            command = [program, place / "sentinel.conf", *files, listens, port, "--bind", "127.0.0.1"]
            watcher = Process(command, ready=partial(accepts, port))
            stack.callback(watcher.stop)
            found.ports.append(port)
        for port in found.ports:
            wait_until(partial(found.are_known_to, port), "the sentinels do not find each other, or the replica")
        yield found


class Sentinels:
    def __init__(self, master, replica, authority):
        self.master, self.replica, self.authority, self.ports = master, replica, authority, []

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        if self.authority is None:
            return f"redis+sentinel://{hosts}/{SERVICE}"
        return f"rediss+sentinel://{hosts}/{SERVICE}?ssl_ca_certs={self.authority}"

    def ask(self, port, *words):
        return ask(port, *words, authority=self.authority)

    def are_known_to(self, port):
        replicas = self.ask(port, "SENTINEL", "REPLICAS", SERVICE)
        return str(self.replica.port).encode() in replicas and b"OK 3" in self.ask(
            port, "SENTINEL", "CKQUORUM", SERVICE
        )


@contextmanager
def cluster():
    """Yield ``Cluster``: three masters that share the slots, which speak TLS on a second port each."""
    program = find_program("redis-cli", "valkey-cli")
    with ExitStack() as stack:
        authority, files = stack.enter_context(certificates())
        nodes = []
        for _ in range(3):
            tls_port, options = free_port(), ["--cluster-enabled", "yes", "--cluster-port", free_port()]
            options += ["--tls-port", tls_port, "--tls-cluster", "yes", *files]  # without it all would name plain ports
            nodes.append(stack.enter_context(running(*options)))
            nodes[-1].tls_port = tls_port
        where = [f"127.0.0.1:{node.tls_port}" for node in nodes]
        secure = ["--tls", "--cacert", authority]
        create = [program, *secure, "--cluster", "create", *where, "--cluster-replicas", "0", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=60)
        for node in nodes:
            wait_until(partial(is_whole, node.port), "the cluster does not form")
        yield Cluster(nodes, authority)


class Cluster:
    def __init__(self, nodes, authority):
        self.nodes = nodes
        self.url = f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in nodes)}"
        hosts = ",".join(f"127.0.0.1:{node.tls_port}" for node in nodes)
        self.secure_url = f"rediss+cluster://{hosts}?ssl_ca_certs={authority}"


def is_whole(port):
    return b"cluster_state:ok" in ask(port, "CLUSTER", "INFO")


@contextmanager
def certificates():
    """Yield the file of an authority's certificate, and options for a server that has one from it, for 127.0.0.1."""
    openssl = find_program("openssl")
    with folder() as place:

        def make(*arguments):
            subprocess.run([openssl, *map(str, arguments)], check=True, capture_output=True, cwd=place)

        new = "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"
        may_sign = "-x509", "-days", 2, "-addext", "keyUsage=critical,keyCertSign"
        make(*new, *may_sign, "-subj", "/CN=tests", "-keyout", "authority.key", "-out", "authority.pem")
        make(*new, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.csr")
        (place / "names").write_text("subjectAltName=IP:127.0.0.1")
        signed = "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "names", "-days", 2
        make("x509", "-req", "-in", "server.csr", *signed, "-out", "server.pem")
        files = {"cert": "server.pem", "key": "server.key", "ca-cert": "authority.pem"}
        options = [part for name, file in files.items() for part in (f"--tls-{name}-file", place / file)]
        yield place / "authority.pem", [*options, "--tls-auth-clients", "no"]


def ask(port, *words, authority=None):
    """Send one command to the server on *port* by hand, and return its whole answer as it came."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    with ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        if authority is not None:
            context = ssl.create_default_context(cafile=authority)
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname="127.0.0.1"))
        connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return _answer(stack.enter_context(connection.makefile("rb")))


def _answer(stream):
    line = stream.readline()
    if not line:
        raise ConnectionError("the server closed the connection")
    if line[:1] in b"$*" and int(line[1:]) >= 0:
        length = int(line[1:])
        line += stream.read(length + 2) if line[:1] == b"$" else b"".join(_answer(stream) for _ in range(length))
    return line
