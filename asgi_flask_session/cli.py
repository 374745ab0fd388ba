"""Look into Flask's session cookies from a shell: ``asgi-flask-session``.

A cookie is an argument, or comes on standard input; a whole ``Cookie:`` or ``Set-Cookie:`` line may be pasted. The
secret is never an argument: it is FLASK_SECRET_KEY in the environment, the first line of a file, or asked for.

Exit status: 0 for a cookie that is good, or settings without an error; 1 for one that is not; 2 where the command
could not be carried out.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from getpass import getpass
from pathlib import Path
from typing import Any, NoReturn

from . import __version__
from .client_side import ClientSide
from .cookies import find_cookie, set_cookie_value
from .doctor import Finding, examine_settings, examine_url
from .errors import SettingsError, UnwritableSession
from .examination import OWNERS, Examination, examine, sizes
from .policy import CookieAction
from .settings import Settings

GOOD, BAD, USAGE = 0, 1, 2

_COLORS = {"ok": "32", "warning": "33", "error": "31", "name": "1"}  # of ECMA-48


class _Problem(Exception):
    """What keeps a command from being carried out, in a sentence for its user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command, and return its exit status."""
    options = _parser().parse_args(arguments)
    out = _Output(as_json=options.json)
    try:
        return int(options.command(options, out))
    except (_Problem, SettingsError, UnwritableSession) as problem:
        print(f"asgi-flask-session: {problem}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130  # as a shell has it for SIGINT
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD


# The commands


def _decode(options: argparse.Namespace, out: "_Output") -> int:
    found = examine(_cookie(options))
    out.put(_facts(found), found.data)
    out.note("warning", "not verified: without the secret, anybody may have written this")
    return BAD if found.problem else GOOD


def _verify(options: argparse.Namespace, out: "_Output") -> int:
    settings, now = _settings(options), time.time()
    found = examine(_cookie(options), settings, now=now)
    out.put(_facts(found) | _facts_of_keys(found, settings, now), None if found.key is None else found.data)
    return _verdict(found, out)


def _explain(options: argparse.Namespace, out: "_Output") -> int:
    settings, now = _settings(options), time.time()
    found = examine(_cookie(options), settings, now=now)
    facts = _facts(found) | _facts_of_keys(found, settings, now)
    if found.data is not None:
        pair = len(settings.cookie_name) + 1 + found.size
        facts["name=value"] = pair, f"{pair} bytes, of which browsers keep 4096"
        each = sizes(found.data)
        facts["keys"] = (
            {key: {"size": size, "owner": OWNERS.get(key)} for key, size in each.items()},
            "".join(f"\n  {size:>5} bytes  {key}{_owned(key)}" for key, size in each.items()),
        )
        if (user := found.data.get("_user_id")) is not None:
            fresh = bool(found.data.get("_fresh"))
            facts["logged in"] = {"user_id": user, "fresh": fresh}, f"user {user!r}, {'' if fresh else 'not '}fresh"
    out.put(facts, found.data)
    return _verdict(found, out)


def _owned(key: str) -> str:
    return f", {OWNERS[key]}" if key in OWNERS else ""


def _sign(options: argparse.Namespace, out: "_Output") -> int:
    settings = _settings(options)
    text = options.data if options.data not in (None, "-") else sys.stdin.read()
    try:
        data = settings.serializer.loads(text)
    except Exception as error:  # a tag in it may raise anything
        raise _Problem(f"the data is no JSON: {error}") from error
    if not isinstance(data, dict) or not data:
        raise _Problem("the data is no JSON object with something in it: write '{\"user\": 7}'")
    side = ClientSide(settings, lambda: options.at if options.at is not None else time.time())
    session = settings.session_class(data)
    session.mark_modified()
    line = side.write(session, CookieAction.SET)
    cookie = line.decode() if options.set_cookie else set_cookie_value(line).decode()
    out.say(cookie, {"set_cookie" if options.set_cookie else "cookie": cookie})
    return GOOD


def _rotate(options: argparse.Namespace, out: "_Output") -> int:
    settings = _settings(options)
    value = _cookie(options)
    found = examine(value, settings, now=time.time())
    if found.problem is not None or found.signed is None:
        out.put(_facts(found), None)
        return _verdict(found, out)
    signed = ClientSide(settings).sign_again(value)
    out.say(signed.decode(), {"cookie": signed.decode(), "key": found.key})
    return GOOD


def _doctor(options: argparse.Namespace, out: "_Output") -> int:
    if options.url:
        findings = examine_url(options.url, options.cookie_name or "session")
    else:
        try:
            findings = examine_settings(_settings(options))
        except SettingsError as error:
            findings = [Finding("error", str(error))]
    if options.json:
        out.say("", [{"level": finding.level, "text": finding.text} for finding in findings])
    for finding in findings:
        out.note(finding.level, finding.text)
    return BAD if any(finding.level == "error" for finding in findings) else GOOD


def _verdict(found: Examination, out: "_Output") -> int:
    if found.problem is None:
        out.note("ok", "the cookie is good")
        return GOOD
    out.note("error", f"the cookie is refused: {found.problem}")
    return BAD


# Facts: for programs, and for people.


def _facts(found: Examination) -> "dict[str, tuple[Any, str]]":
    compressed = ", compressed" if found.compressed else ""
    return {
        "size": (found.size, f"{found.size} bytes"),
        "payload": (found.text_size, f"{found.text_size} bytes of JSON{compressed}" if found.text_size else ""),
        "signed": (found.signed, "" if found.signed is None else _moment(found.signed)),
        "problem": (found.problem, found.problem or ""),
    }


def _facts_of_keys(found: Examination, settings: Settings, now: float) -> "dict[str, tuple[Any, str]]":
    facts: dict[str, tuple[Any, str]] = {"key": (None, "none of those that are known")}
    if found.key is not None:
        facts["key"] = found.key, "the current secret" if found.key == 0 else f"fallback {found.key}"
    if found.signed is not None:
        age = int(now) - found.signed
        left = int(settings.permanent_lifetime.total_seconds()) - age
        facts["age"] = age, _span(age)
        facts["good for"] = left, _span(left) if left >= 0 else f"over since {_span(-left)}"
    return facts


def _span(seconds: int) -> str:
    days, rest = divmod(abs(seconds), 24 * 60 * 60)
    text = f"{days} d {rest // 3600} h" if days else f"{rest // 3600} h {rest % 3600 // 60} min {rest % 60} s"
    return f"{'-' if seconds < 0 else ''}{text.removeprefix('0 h ').removeprefix('0 min ')}"


def _moment(second: int) -> str:
    try:
        return datetime.fromtimestamp(second, UTC).isoformat(" ").replace("+00:00", " UTC")
    except (OverflowError, OSError, ValueError):
        return f"{second} s since 1970, which is no date"


# What a command is given


def _cookie(options: argparse.Namespace) -> bytes:
    text = options.cookie if options.cookie not in (None, "-") else sys.stdin.read()
    name = options.cookie_name or "session"
    for line in text.splitlines():
        value = cookie_in(line, name)
        if value:
            return value
    raise _Problem(f"there is no cookie {name!r} in what was given: paste its value, or a Cookie or Set-Cookie line")


def cookie_in(line: str, name: str) -> bytes | None:
    """Return the value of cookie *name* in a line as people paste it: a header, its value, or the cookie's value."""
    line = line.strip().lstrip("<> ")  # as curl -v and some browsers show it
    field, colon, rest = line.partition(":")
    kind = field.strip().lower() if colon else ""
    if kind not in ("cookie", "set-cookie"):
        kind, rest = "", line
    raw = rest.strip().strip("'\"").encode("latin-1", "replace")
    if kind == "set-cookie":
        return set_cookie_value(raw) if raw.partition(b"=")[0].strip() == name.encode() else None
    if kind == "cookie" or f"{name}=" in line:
        return find_cookie(raw, name.encode())
    return raw if raw and not any(character in raw for character in b" ;,") else None


def _settings(options: argparse.Namespace) -> Settings:
    prefix = options.env_prefix
    changes: dict[str, Any] = {}
    if options.secret_file:
        changes["secret"] = _first_line(options.secret_file)
    if options.fallback_file:
        changes["secret_fallbacks"] = tuple(_first_line(path) for path in options.fallback_file)
    if options.max_age is not None:
        changes["permanent_lifetime"] = options.max_age
    for name in ("cookie_name", "salt", "key_derivation"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    if options.digest is not None:
        changes["digest_method"] = _digest(options.digest)
    if "secret" not in changes and f"{prefix}SECRET_KEY" not in os.environ:
        changes["secret"] = _asked(prefix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doctor says what there is to say
        return Settings.from_env(prefix, **changes)


def _asked(prefix: str) -> str:
    if not sys.stdin.isatty():
        raise _Problem(f"there is no secret: set {prefix}SECRET_KEY, or write --secret-file FILE")
    return getpass("Secret: ")


def _first_line(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _Problem(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    return text.splitlines()[0] if text else ""


def _digest(name: str) -> Any:
    import hashlib

    return getattr(hashlib, name)


# What it says


class _Output:
    """Says things to people, or all at once as JSON to programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._colored = _wants_color()

    def put(self, facts: "Mapping[str, tuple[Any, str]]", data: Any) -> None:
        """Say what was found; each fact as a program has it, and as people do, "" for nothing to say."""
        if self._as_json:
            self.say("", {**{name.replace(" ", "_"): value for name, (value, _) in facts.items()}, "data": data})
            return
        width = max(len(name) for name, (_, text) in facts.items() if text)
        for name, (_, text) in facts.items():
            if text:
                print(f"{self._paint('name', f'{name}:')}{' ' * (width - len(name))} {_printable(text)}")
        if data is not None:
            print(_printable(json.dumps(data, indent=2, ensure_ascii=False)))

    def say(self, text: str, data: Any) -> None:
        print(json.dumps(data) if self._as_json else text)

    def note(self, level: str, text: str) -> None:
        if not self._as_json:
            print(f"{self._paint(level, f'{level}:')} {_printable(text)}")

    def _paint(self, color: str, text: str) -> str:
        return f"\x1b[{_COLORS[color]}m{text}\x1b[0m" if self._colored else text


def _printable(text: str) -> str:
    """Return text in which nothing tells the terminal what to do, and that its encoding has."""
    text = "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _wants_color() -> bool:
    if os.environ.get("NO_COLOR"):  # no-color.org
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


# How it is spelled


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\nWrite {self.prog} --help for what there is.\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="asgi-flask-session", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, act: Callable[[argparse.Namespace, _Output], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(command=act)
        added.add_argument("--json", action="store_true", help="for programs: one JSON value")
        added.add_argument("--cookie-name", metavar="NAME", help="of the session cookie (default: session)")
        return added

    def with_cookie(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
        added.add_argument(
            "cookie", nargs="?", metavar="COOKIE", help="the value, or a Cookie or Set-Cookie line (default: stdin)"
        )
        return added

    with_cookie(command("decode", _decode, "Show what is in a cookie, without the secret."))
    _with_secret(with_cookie(command("verify", _verify, "Say whether a cookie is good, by which key, for how long.")))
    _with_secret(with_cookie(command("explain", _explain, "Say what is in a cookie, whose it is, what is wrong.")))
    sign = _with_secret(command("sign", _sign, "Make a cookie of a JSON object; Flask's tags are understood."))
    sign.add_argument("data", nargs="?", metavar="JSON", help="the session (default: stdin)")
    sign.add_argument("--set-cookie", action="store_true", help="print the whole Set-Cookie line")
    sign.add_argument("--at", type=int, metavar="SECONDS", help="sign as of this time since the epoch")
    _with_secret(
        with_cookie(command("rotate", _rotate, "Sign a good cookie again with the current secret, as old as it is."))
    )
    doctor = _with_secret(command("doctor", _doctor, "Check the settings in the environment, or the answer of a URL."))
    doctor.add_argument("url", nargs="?", metavar="URL", help="a page that sets the session cookie")
    return parser


def _with_secret(added: argparse.ArgumentParser) -> argparse.ArgumentParser:
    group = added.add_argument_group("secret and settings, otherwise Flask's names in the environment")
    group.add_argument("--env-prefix", default="FLASK_", metavar="PREFIX", help="of those names (default: FLASK_)")
    group.add_argument("--secret-file", metavar="FILE", help="its first line is the secret")
    group.add_argument("--fallback-file", action="append", metavar="FILE", help="an older secret; may be repeated")
    group.add_argument("--salt", help="(default: cookie-session)")
    group.add_argument("--digest", choices=("sha1", "sha256", "sha384", "sha512"), help="(default: sha1)")
    group.add_argument("--key-derivation", choices=("hmac", "django-concat", "concat", "none"), help="(default: hmac)")
    group.add_argument("--max-age", type=int, metavar="SECONDS", help="the lifetime (default: 31 days)")
    return added
