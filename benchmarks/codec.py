"""What does reading or writing a cookie value cost, beside Flask's own serializer and beside itsdangerous?

Data -> cookie value and back, without any request: tagged JSON, zlib, base64, the signature and the age.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from _sessions import LARGE, LOGIN, SECRET, SMALL, TAGGED
from _timing import interleaved, print_table
from itsdangerous import URLSafeTimedSerializer

from asgi_flask_session import Settings, TaggedJSONSerializer
from asgi_flask_session.payload import decode, encode
from asgi_flask_session.signing import CookieSigner

SESSIONS = {"small": SMALL, "login": LOGIN, "large": LARGE, "tagged": TAGGED}
MAX_AGE = 31 * 24 * 60 * 60
REFERENCE = "Flask, serializer per call"
TARGETS = {"tagged loads": 0.65, "tagged dumps": 0.65}

Loads = Callable[[Any], Any]
Dumps = Callable[[Any], Any]


def ours() -> tuple[Loads, Dumps]:
    settings = Settings(SECRET)
    signer = CookieSigner(
        settings.keys,
        salt=settings.salt,
        key_derivation=settings.key_derivation,
        digest_method=settings.digest_method,
    )
    serializer = TaggedJSONSerializer()

    def loads(value: str) -> Any:
        payload, signed = signer.unsign(value.encode())
        assert time.time() - signed <= MAX_AGE
        return serializer.loads(decode(payload).decode())

    def dumps(data: Any) -> str:
        return signer.sign(encode(serializer.dumps(data).encode()), int(time.time())).decode()

    return loads, dumps


def itsdangerous() -> tuple[Loads, Dumps]:
    """Let itsdangerous do all but the JSON: the rest of the way to ours is what going below it saves."""
    serializer = URLSafeTimedSerializer(
        SECRET, salt="cookie-session", serializer=TaggedJSONSerializer(), signer_kwargs={"key_derivation": "hmac"}
    )
    return lambda value: serializer.loads(value, max_age=MAX_AGE), serializer.dumps


def flask(*, kept: bool) -> tuple[Loads, Dumps]:
    from flask import Flask

    app = Flask("benchmark")
    app.secret_key = SECRET
    app.app_context().push()  # for Flask's own JSON provider
    make: Callable[[Any], Any] = app.session_interface.get_signing_serializer  # type: ignore[attr-defined]  # its default has it
    if not kept:
        return lambda value: make(app).loads(value, max_age=MAX_AGE), lambda data: make(app).dumps(data)
    serializer = make(app)
    return lambda value: serializer.loads(value, max_age=MAX_AGE), serializer.dumps


CODECS: dict[str, Callable[[], tuple[Loads, Dumps]]] = {
    "ours": ours,
    "itsdangerous, our tagged JSON": itsdangerous,
    "Flask, serializer kept": lambda: flask(kept=True),
    REFERENCE: lambda: flask(kept=False),
}


def measure(codecs: dict[str, tuple[Loads, Dumps]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the nanoseconds, by codec and direction."""
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    for label, data in SESSIONS.items():
        for name, (loads, dumps) in codecs.items():
            value = dumps(data)
            assert loads(value) == data
            calls[name, f"{label} loads"] = partial(loads, value)
            calls[name, f"{label} dumps"] = partial(dumps, data)
    times = interleaved(calls, rounds)
    return {name: {what: taken for (codec, what), taken in times.items() if codec == name} for name in codecs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=31, help="31 or more for a number to rely on (default 31)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the tables")
    options = parser.parse_args()

    codecs, missing = {}, {}
    for name, make in CODECS.items():
        try:
            codecs[name] = make()
        except ImportError as error:
            missing[name] = str(error)
    times = measure(codecs, options.rounds)
    shares = {
        name: {what: taken / times[REFERENCE][what] for what, taken in row.items()}
        for name, row in times.items()
        if REFERENCE in times
    }
    if options.json:
        result = {"rounds": options.rounds, "python": platform.python_version(), "missing": missing}
        print(json.dumps({**result, "ns": times, "shares": shares}, indent=2))
        return
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    head = ["codec", *times["ours"]]
    print("Nanoseconds\n")
    print_table(head, [[name, *(f"{taken:,.0f}" for taken in row.values())] for name, row in times.items()])
    print(f"As a share of: {REFERENCE}; and the most that ours should be\n")
    rows = [[name, *(f"{share:.2f}" for share in row.values())] for name, row in shares.items()]
    print_table(head, [*rows, ["target", *(f"{TARGETS[what]:.2f}" if what in TARGETS else "-" for what in head[1:])]])


if __name__ == "__main__":
    main()
