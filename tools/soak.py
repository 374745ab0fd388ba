"""Let clients use sessions on a Redis that is restarted over and over, and hold every answer to what it may be.

    python tools/soak.py --seconds 600 --clients 8            killed and started again, with its data
    python tools/soak.py --seconds 600 --clients 8 --lose     likewise, and each time it has lost everything

Two ASGI apps and a Flask app, each served in a process of its own, share one Redis. Each client knows what its session
must hold. After a 200 that is certain; a 503 leaves open whether the change was made, until the next answer tells; a
503 to what gives the session a new id may also have ended it, since the new id never arrived. An id that has ended is
asked for again and again, and must lead to nothing.

Redis keeps what it answered for only with ``appendfsync always``: it writes, and syncs, before it answers. With
``everysec``, its default, a kill may take up to two seconds of answered writes with it, logouts included, as may
snapshots for longer; with ``always`` only an answer is lost, never what it was about. A process is killed here, not
the machine: what the disk does in a power cut is not shown. With ``--lose`` a session may be gone after a restart,
whole; what is there must still be right.
"""

import argparse
import json
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from itertools import count
from math import inf
from pathlib import Path
from re import sub
from threading import Event, Lock
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from driver import SECRET, respond
from services import apps, redis
from services.processes import Process, folder

KEEPS = ("--appendonly", "yes", "--appendfsync", "always")
SIDES = {
    "asgi 1": ("uvicorn-websockets", "asgi_side"),
    "asgi 2": ("uvicorn-websockets", "asgi_side"),
    "flask": ("werkzeug", "flask_side"),
}

STORE_TIMEOUT = 2  # seconds for a call, the default of the setting
CALLS = {"read": 2, "write": 2, "alter": 2, "drop": 2, "logout": 2}  # of the store, by what is asked for
CALLS_OF_A_NEW_ID = 5  # get, create, replace, touch, delete
MARGIN = 5  # seconds that the rest of a request may take on a busy machine
RECOVERY = 3  # seconds after which a Redis that is up again must be in use again
MOST_GROWTH = 8 << 20  # bytes that a server's memory may grow by after it is warm
FAULTS = ("mixed", "revived", "lost", "hang", "other")
SHOWN = 20  # faults that are told in full

CHANGES_ID = ("login", "leave", "regenerate", "logout")
WEIGHTS = {"read": 40, "write": 25, "alter": 8, "drop": 4, "login": 8, "logout": 4, "regenerate": 6, "dead": 5}


# What the servers serve


def act(session: Any, query: dict[str, str]) -> str:
    """Do to a session what a request asks for, and return, as JSON, what was in it before."""
    found = json.dumps(dict(session))
    match query:
        case {"do": "write", "key": key, "value": value}:
            session[key] = [value]
        case {"do": "alter", "key": key, "value": value}:
            session.setdefault(key, [value])[0] = value  # a change inside of a value
        case {"do": "drop", "key": key, "name": name}:
            session["name"] = name
            session.pop(key, None)
        case {"do": "login", "name": name}:
            session.update({"name": name, "_user_id": name})
            session.permanent = True
        case {"do": "leave"}:
            session.pop("_user_id", None)
        case {"do": "logout"}:
            session.clear()
        case {"do": "regenerate"}:
            session.regenerate()
    return found


def asgi_side() -> Any:
    from asgi_flask_session import FlaskSessionASGI

    log_to_file()

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            found = act(scope["session"], dict(parse_qsl(scope["query_string"].decode())))
            await respond(send, body=found.encode())

    return FlaskSessionASGI(app, SECRET, store=os.environ["SOAK_STORE"])


def flask_side() -> Any:
    import flask

    from asgi_flask_session.adapters.flask import FlaskSessionInterface

    log_to_file()
    app = flask.Flask(__name__)
    app.secret_key = SECRET
    app.session_interface = FlaskSessionInterface(store=os.environ["SOAK_STORE"])

    @app.get("/")
    def view() -> str:
        return act(flask.session, flask.request.args.to_dict())

    return app


def log_to_file() -> None:
    handler = logging.FileHandler(os.environ["SOAK_LOG"])
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


# What a client knows


class Request(NamedTuple):
    """What is asked for: *do* is one of ``WEIGHTS``, or leave."""

    do: str
    key: str = ""
    value: str = ""


class Answer(NamedTuple):
    """What came: *found* was in the session before the request changed it; *cookie* is the id, "" for a deletion."""

    status: int
    found: dict[str, str]
    cookie: str | None = None


class Model:
    """What the session of the client called *name* may hold, by all that it has been told.

    *fault* is called with a kind and a text for each answer that cannot be right.
    """

    def __init__(self, name: str, fault: Callable[[str, str], None]) -> None:
        self.name, self._fault = name, fault
        self.dead: list[str] = []  # ids
        self._begin(None, {})

    def _begin(self, cookie: str | None, values: dict[str, str | None]) -> None:
        self.cookie, self.may_be_gone = cookie, False
        self.values = {key: {value} for key, value in values.items()}  # None: not there

    def may_hold(self, key: str) -> set[str | None]:
        return self.values.get(key, {None})

    def changes(self, request: Request) -> dict[str, str | None]:
        match request.do:
            case "write" | "alter":
                return {request.key: request.value}
            case "drop":
                return {"name": self.name, request.key: None}
            case "login":
                return {"name": self.name, "_user_id": self.name, "_permanent": "True"}
            case "leave":
                return {"_user_id": None}
        return {}

    def settle(self, requests: list[Request], answers: list[Answer], *, forgot: bool) -> None:
        """Check the answers to *requests*, which were sent at once, and believe them from now on.

        At most one of several changes the id. *forgot* says that Redis may have lost the session.
        """
        good = [(request, answer) for request, answer in zip(requests, answers, strict=True) if answer.status == 200]
        for request, answer in good:
            self._check(answer.found, [one for one in requests if one is not request], forgot=forgot)
        alone = len(requests) == 1
        if alone and good and answers[0].found:
            self.values = {key: {value} for key, value in answers[0].found.items()}
        renewal = next(((one, answer) for one, answer in good if one.do in CHANGES_ID and answer.found), None)
        if renewal is not None:
            self._take_new_id(*renewal, requests, forgot=forgot)
        elif any(not answer.found for _, answer in good):
            if self.cookie is not None:
                self.dead.append(self.cookie)
            begun = answers[0].cookie if alone else None
            if alone and not begun and any(self.changes(requests[0]).values()):
                self._fault("lost", "no session was begun")
            self._begin(begun or None, self.changes(requests[0]) if begun else {})
        elif self.cookie is not None:
            for request, answer in zip(requests, answers, strict=True):
                self._change(request, certain=answer.status == 200)
                if answer.cookie not in (None, self.cookie):
                    self._fault("lost", "the session ended, or got a new id")
            ends = any(request.do in CHANGES_ID for request in requests)
            self.may_be_gone = ends or (self.may_be_gone and not good)

    def _check(self, found: dict[str, str], others: list[Request], *, forgot: bool) -> None:
        """See that *found* can have been in the session, with *others* on their way."""
        if not found:
            ends = any(one.do in CHANGES_ID for one in others)
            if self.cookie is not None and not (self.may_be_gone or forgot or ends):
                self._fault("lost", f"nothing is left of {self.values}")
            return
        theirs = [self.changes(one) for one in others if one.do not in CHANGES_ID]
        for key in {*found, *self.values}:
            value = found.get(key)
            if value is not None and value != "True" and value.partition(":")[0] != self.name:
                self._fault("mixed", f"{key} is {value}")
            elif value not in self.may_hold(key) | {change[key] for change in theirs if key in change}:
                self._fault("lost", f"{key} is {value}, and may be {self.may_hold(key)}")

    def _take_new_id(self, request: Request, answer: Answer, requests: list[Request], *, forgot: bool) -> None:
        """Go on with the new id, or without one; what was written at the same time is in the session or not."""
        if request.do == "logout":
            if answer.cookie != "":
                self._fault("lost", "the cookie is left")
            self.dead.append(str(self.cookie))
            self._begin(None, {})
        elif answer.cookie and answer.cookie != self.cookie:
            for other in requests:
                self._change(other, certain=other is request)
            self.dead.append(str(self.cookie))
            self.cookie, self.may_be_gone = answer.cookie, False
        else:
            self.may_be_gone = True
            if not forgot:
                self._fault("lost", "there is no new id")

    def _change(self, request: Request, *, certain: bool) -> None:
        if request.do not in CHANGES_ID or certain:
            for key, value in self.changes(request).items():
                self.values[key] = {value} if certain else self.may_hold(key) | {value}


# A run


class Tally:
    """What has happened so far, counted. *era* changes when Redis may have lost its data, if it *loses* any."""

    def __init__(self, *, loses: bool) -> None:
        self.loses = loses
        self.counts: Counter[str] = Counter()
        self.slowest = 0.0
        self.era = 0
        self.up_since = self.started = time.monotonic()
        self._ids: set[str] = set()
        self._lock = Lock()

    def count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1

    def fault(self, kind: str, what: str) -> None:
        self.count(kind)
        if sum(self.counts[kind] for kind in FAULTS) <= SHOWN:
            print(f"{time.monotonic() - self.started:7.2f} s  {kind}: {sub(r'[.]{9,}', '...', what)}", flush=True)

    def note_id(self, sid: str) -> bool:
        """Say whether an id is new."""
        with self._lock:
            is_new = sid not in self._ids
            self._ids.add(sid)
        return is_new

    @property
    def faults(self) -> int:
        return sum(self.counts[kind] for kind in FAULTS)


class Client:
    """Sends requests to the servers on *ports*, some of them at once, and checks what comes."""

    def __init__(self, name: str, ports: dict[str, int], tally: Tally, seed: int) -> None:
        self.model = Model(name, lambda kind, what: tally.fault(kind, f"{self.name}: {self._asked}: {what}"))
        self.name, self.tally = name, tally
        self._asked = ""
        self._era = 0
        self._is_served = True
        self._random = random.Random(seed)  # noqa: S311  # which requests, and in which order
        self._count = 0
        self._sides = list(ports)
        self._connections = {side: HTTPConnection("127.0.0.1", port, timeout=60) for side, port in ports.items()}
        self._used = dict.fromkeys(ports, 0.0)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def run(self, stop: Event) -> None:
        with ThreadPoolExecutor(len(self._sides)) as pool:
            while not stop.is_set():
                if not self.turn(pool):
                    time.sleep(self._random.uniform(0, 0.2))
                time.sleep(self._random.uniform(0, 0.02))

    def turn(self, pool: ThreadPoolExecutor) -> bool:
        """Send what comes next, and say whether there was a session to be had."""
        requests = self._next()
        if requests[0].do == "dead":
            return self.ask_for_dead(self._random.choice(self.model.dead))
        return self._send(requests, pool)

    def read(self, pool: ThreadPoolExecutor) -> bool:
        return self._send([Request("read")], pool)

    def ask_for_dead(self, sid: str) -> bool:
        request = self._random.choice([Request("read"), self._write("write")])
        answer = self._ask(self._random.choice(self._sides), request, sid, CALLS[request.do])
        if answer.found or answer.cookie == sid:
            self.tally.fault("revived", f"{self.name}: {request.do} under a dead id finds {answer.found}")
        return answer.status == 200

    def _send(self, requests: list[Request], pool: ThreadPoolExecutor) -> bool:
        model, before = self.model, self.tally.era
        sides = self._random.sample(self._sides, len(requests))
        # Each of the others may be faster once, which costs a get and a replace.
        calls = [CALLS.get(one.do, CALLS_OF_A_NEW_ID) + 2 * (len(requests) - 1) for one in requests]
        cookies = [model.cookie] * len(requests)
        answers = list(pool.map(self._ask, sides, requests, cookies, calls))
        forgot = self.tally.loses and self.tally.era != self._era
        self._asked = " with ".join(f"{one.do} {one.key} ({side})" for one, side in zip(requests, sides, strict=True))
        model.settle(requests, answers, forgot=forgot)
        served = any(answer.status == 200 for answer in answers)
        if served:
            self._era = before
        self._is_served = served
        return served

    def _next(self) -> list[Request]:
        """Return one request, or some for the same session at once, of which one may give it a new id."""
        model = self.model
        do = self._random.choices(list(WEIGHTS), WEIGHTS.values())[0]
        if (do == "dead" and not model.dead) or (do in CHANGES_ID and do != "login" and model.cookie is None):
            do = "write"
        if do in CHANGES_ID and not self._is_served:
            do = "read"  # while Redis is down it would but make all uncertain
        if do == "login" and model.may_hold("_user_id") != {None}:
            do = "leave"
        first = self._write(do) if do in ("write", "alter", "drop") else Request(do)
        if do == "dead" or model.cookie is None or model.may_be_gone or self._random.random() > 0.15:
            return [first]
        others = [self._write("write") for _ in range(self._random.choice((1, 2)))]
        requests = [first, *(one for one in others if one.key != first.key)]
        return list({one.key: one for one in requests}.values())

    def _write(self, do: str) -> Request:
        self._count += 1
        filling = "." * self._random.choice((0, 0, 0, 3000))
        return Request(do, f"key {self._random.randrange(6)}", f"{self.name}:{self._count}:{filling}")

    def _ask(self, side: str, request: Request, cookie: str | None, calls: int) -> Answer:
        tally, connection, era = self.tally, self._connections[side], self.tally.era
        began = time.monotonic()
        if began - self._used[side] > 2:
            connection.close()  # the server may do so at any time now
        headers = {} if cookie is None else {"Cookie": f"session={cookie}"}
        try:
            connection.request("GET", f"/?{urlencode({**request._asdict(), 'name': self.name})}", headers=headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, HTTPException) as error:
            connection.close()
            tally.fault("hang" if isinstance(error, TimeoutError) else "other", f"{self.name}: {side}: {error!r}")
            return Answer(0, {})
        self._used[side] = ended = time.monotonic()
        tally.slowest = max(tally.slowest, ended - began)
        if ended - began > calls * STORE_TIMEOUT + MARGIN:
            tally.fault("hang", f"{self.name}: {request.do} ({side}) took {ended - began:.1f} s")
        tally.count(side)
        lines = response.headers.get_all("Set-Cookie") or []
        sets = lines[0].partition(";")[0].partition("=")[2] if lines else None
        if response.status == 503:
            tally.count("503")
            if era == tally.era and began > tally.up_since + RECOVERY:
                tally.fault("other", f"{self.name}: {request.do} ({side}): 503 while Redis is up")
        elif response.status != 200:
            tally.fault("other", f"{self.name}: {request.do} ({side}): {response.status} {body[:100]!r}")
        if len(lines) > (response.status == 200):
            tally.fault("other", f"{self.name}: {request.do} ({side}): {len(lines)} cookies with {response.status}")
        if sets and sets != cookie and not tally.note_id(sets):
            tally.fault("mixed", f"{self.name}: {request.do} ({side}): an id that was given before")
        found = json.loads(body) if response.status == 200 else {}
        flat = {key: value[0] if isinstance(value, list) else str(value) for key, value in found.items()}
        return Answer(response.status, flat, sets)


def restart(server: Process, tally: Tally, *, kill: bool, pause: float) -> None:
    tally.up_since = inf
    tally.era += 1  # from here on, what was written before may be gone
    if kill:
        server.kill()
    else:
        server.stop()
    tally.era += 1  # from here on, what is written is there until the next restart
    time.sleep(pause)
    server.start()
    tally.count("killed" if kill else "stopped")
    tally.up_since = time.monotonic()


def memory_of(servers: dict[str, Any]) -> dict[str, int]:
    """Return the resident memory of each in bytes; of none, where the system has no /proc."""
    pages = {side: Path(f"/proc/{server.process.pid}/statm") for side, server in servers.items()}
    size = os.sysconf("SC_PAGE_SIZE")
    return {side: int(file.read_text().split()[1]) * size for side, file in pages.items() if file.exists()}


def logged(logs: Path, tally: Tally) -> Counter[str]:
    """Return what the servers logged; whatever is not our own word on a store that is away is a fault."""
    lines = Counter(line for file in sorted(logs.iterdir()) for line in file.read_text().splitlines())
    for line in lines:
        if not line.startswith("asgi_flask_session: "):
            tally.fault("other", f"logged: {line}")
    return lines


def soak(seconds: float, clients: int, *, every: float = 30, loses: bool = False, options: Any = None) -> Tally:
    """Let *clients* work for *seconds*, restart Redis again and again, and return what happened."""
    options = (() if loses else KEEPS) if options is None else options
    chance = random.Random(0)  # noqa: S311
    stop = Event()
    with ExitStack() as stack:
        server, logs = stack.enter_context(redis.running(*options)), stack.enter_context(folder())
        servers = {
            side: stack.enter_context(
                apps.serving(kind, f"../tools/soak:{app}", SOAK_STORE=server.url, SOAK_LOG=str(logs / side))
            )
            for side, (kind, app) in SIDES.items()
        }
        tally = Tally(loses=loses)
        ports = {side: process.port for side, process in servers.items()}
        all_clients = [
            stack.enter_context(closing(Client(f"client{number}", ports, tally, seed=number)))
            for number in range(clients)
        ]
        with ThreadPoolExecutor(clients) as pool:
            running = [pool.submit(client.run, stop) for client in all_clients]
            try:
                warm: dict[str, int] = {}
                for number in count(1):
                    rest = tally.started + min(number * every, seconds) - time.monotonic()
                    failed, _ = wait(running, max(0, rest), return_when=FIRST_EXCEPTION)
                    warm = warm or memory_of(servers)
                    if failed or number * every >= seconds:
                        break
                    restart(server, tally, kill=number % 3 != 2, pause=chance.choice((0, 0, 0.5, 2)))
            finally:
                stop.set()
            for one in running:
                one.result()
            time.sleep(max(0, tally.up_since + RECOVERY - time.monotonic()))
            for client in all_clients:
                client.read(pool)
                for sid in client.model.dead[-20:]:
                    client.ask_for_dead(sid)
        report(tally, warm, memory_of(servers), logged(logs, tally))
    return tally


def report(tally: Tally, warm: dict[str, int], now: dict[str, int], lines: Counter[str]) -> None:
    counts = tally.counts
    requests = {side: counts[side] for side in SIDES}
    print(f"requests {sum(requests.values())} ({', '.join(f'{side}: {number}' for side, number in requests.items())})")
    print(f"503s {counts['503']}, restarts {counts['killed'] + counts['stopped']}", end=" ")
    print(f"({counts['killed']} killed, {counts['stopped']} stopped), slowest request {tally.slowest:.2f} s")
    for side, size in now.items():
        print(f"memory of {side}: {warm[side] / 2**20:.1f} MiB when warm, {size / 2**20:.1f} MiB at the end")
        if size - warm[side] > MOST_GROWTH:
            tally.fault("other", f"the memory of {side} grew")
    for line, number in lines.most_common():
        print(f"logged {number} times: {line}")
    print(", ".join(f"{kind} {counts[kind]}" for kind in FAULTS), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--every", type=float, default=30, help="seconds from one restart to the next")
    parser.add_argument("--lose", action="store_true", help="let Redis lose its data at each restart")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    keeps = "loses" if options.lose else "keeps"
    print(f"{options.clients} clients, {options.seconds:g} s, a Redis that {keeps} its data", flush=True)
    tally = soak(options.seconds, options.clients, every=options.every, loses=options.lose)
    return 1 if tally.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
