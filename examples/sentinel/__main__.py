"""python examples/sentinel: a session that outlives the Redis it was written to.

Starts a Redis master with a replica, three sentinels and two processes of app.py, all on free ports of this machine.
Logs in at one app, reads at the other, kills the master, and goes on asking until a sentinel has made the replica the
master. Ends with status 1 if the session was lost.

    apt-get install redis-server redis-sentinel
    pip install "asgi-flask-session[redis]" fastapi uvicorn httpx
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import httpx

SERVICE = "sessions"  # the name under which the sentinels know the master
PATIENCE = 60  # seconds for anything to happen


def main() -> int:
    for program in ("redis-server", "redis-sentinel"):
        if shutil.which(program) is None:
            print(f"{program} is not installed: apt-get install redis-server redis-sentinel", file=sys.stderr)
            return 2
    sys.stdout.reconfigure(line_buffering=True)  # so that the apps' own lines come in between
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sentinel-example-")))
        client = stack.enter_context(httpx.Client(trust_env=False, timeout=10))

        master, kill_master = start_redis(stack, folder)
        replica, _ = start_redis(stack, folder, "--replicaof", "127.0.0.1", str(master))
        until("the replica follows", lambda: b"master_link_status:up" in ask(replica, "INFO replication"))
        print(f"Redis: a master on port {master}, its replica on {replica}")

        sentinels = [start_sentinel(stack, folder, master) for _ in range(3)]
        for port in sentinels:
            until("the sentinels agree", lambda port=port: ask(port, f"SENTINEL CKQUORUM {SERVICE}")[:5] == b"+OK 3")
            until("they know the replica", lambda port=port: b"flags" in ask(port, f"SENTINEL REPLICAS {SERVICE}"))
        print(f"three sentinels, on ports {', '.join(map(str, sentinels))}")

        store = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in sentinels)}/{SERVICE}"
        print(f"the store's URL: {store}")
        one, two = start_apps(stack, client, {"STORE": store, "SECRET_KEY": token_hex()})
        print(f"two processes of the app: {one} and {two}\n")

        client.post(f"{one}/login", params={"name": "ada"}).raise_for_status()
        print("logged in at the first")
        client.get(f"{one}/").raise_for_status()
        print(f"the second says {client.get(f'{two}/').raise_for_status().json()}")

        # What Redis has acknowledged may be lost with the master until the replica has it too.
        written = offset(master, b"master_repl_offset")
        until("the replica has it", lambda: offset(replica, b"slave_repl_offset") >= written)
        kill_master()
        print("\nthe master is killed")

        answers = []
        deadline = time.monotonic() + PATIENCE
        while (answer := client.get(f"{one}/")).status_code != 200 and time.monotonic() < deadline:
            if not answers:
                print(f"the first answers {answer.status_code}, Retry-After: {answer.headers.get('Retry-After')}")
            answers.append(answer.status_code)
            time.sleep(0.2)
        print(f"after {len(answers)} such answers the first says {answer.text}")
        last = client.get(f"{two}/")
        print(f"the second says {last.text}")

        kept = last.status_code == 200 and last.json() == {"user": "ada", "visits": 4} and set(answers) <= {503}
        print("\nThe session is still there." if kept else "\nThe session was not kept.")
        return 0 if kept else 1


def start_redis(stack, folder, *options):
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    process = stack.enter_context(running("redis-server", *options))
    until("Redis starts", lambda: ask(port, "PING") == b"+PONG\r\n")

    def kill():
        process.kill()
        process.wait()

    return port, kill


def start_sentinel(stack, folder, master):
    port = free_port()
    config = folder / f"sentinel-{port}.conf"  # which it writes to
    config.write_text(
        f"port {port}\n"
        "bind 127.0.0.1\n"
        f"dir {folder}\n"
        f"sentinel monitor {SERVICE} 127.0.0.1 {master} 2\n"  # two of three have to agree that it is down
        f"sentinel down-after-milliseconds {SERVICE} 1000\n"
        f"sentinel failover-timeout {SERVICE} 5000\n"
    )
    stack.enter_context(running("redis-sentinel", str(config)))
    until("a sentinel starts", lambda: ask(port, "PING") == b"+PONG\r\n")
    return port


def start_apps(stack, client, settings):
    urls = []
    for _ in range(2):
        port = free_port()
        command = ["-m", "uvicorn", "app:app", "--app-dir", str(Path(__file__).parent), "--port", str(port)]
        stack.enter_context(
            running(sys.executable, *command, "--log-level", "warning", env={**os.environ, **settings}, stdout=None)
        )
        urls.append(f"http://127.0.0.1:{port}")
    for url in urls:
        until("the app starts", lambda url=url: client.get(f"{url}/health").json() == {"store": "ok"})
    return urls


@contextmanager
def running(*command, stdout=subprocess.DEVNULL, **options):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def ask(port, command):
    """Send one command to a Redis or a sentinel, and return the answer as it came."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        connection.shutdown(socket.SHUT_WR)  # it answers, then closes
        return b"".join(iter(lambda: connection.recv(65536), b""))


def offset(port, name):
    """Return how far the log of writes of a Redis goes."""
    return int(ask(port, "INFO replication").partition(name + b":")[2].split()[0])


def until(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (OSError, httpx.TransportError):
            pass
        time.sleep(0.05)
    raise SystemExit(f"waited for {PATIENCE} seconds: {what}")


if __name__ == "__main__":
    sys.exit(main())
