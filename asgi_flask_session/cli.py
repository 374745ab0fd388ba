"""Look into Flask's session cookies from a shell.

A cookie is an argument, or comes on standard input; a whole Cookie: or Set-Cookie: line may be pasted. The
secret is never an argument: it is FLASK_SECRET_KEY in the environment, the first line of a file, or asked for.

    asgi-flask-session decode COOKIE
    curl -si https://example.org/ | asgi-flask-session explain --secret-file FILE

Exit status: 0 for a cookie that is good, or settings without an error; 1 for one that is not; 2 where the command
could not be carried out.
"""

import argparse
import codecs
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from getpass import GetPassWarning, getpass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from . import __version__
from .client_side import ClientSide
from .cookies import find_cookie, set_cookie_value
from .doctor import Finding, examine_settings, examine_url
from .errors import SettingsError, UnwritableSession
from .examination import OWNERS, Examination, examine, in_flask, sizes
from .policy import CookieAction
from .settings import Settings

GOOD, BAD, USAGE = 0, 1, 2
_LAST_SECOND = 2**36  # of a cookie that sign makes: what comes after it has no date in the calendar, with its lifetime

_COLORS = {"ok": "32", "warning": "33", "error": "31", "name": "1"}  # of ECMA-48


class _Problem(Exception):
    """What keeps a command from being carried out, in a sentence for its user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command, and return its exit status."""
    options = _parser().parse_args(arguments)
    out = _Output(as_json=options.json)
    try:
        status = int(options.command(options, out))
        sys.stdout.flush()
    except (_Problem, SettingsError, UnwritableSession) as problem:
        print(f"asgi-flask-session: {problem}", file=sys.stderr)
        if options.json:
            print(json.dumps({"error": str(problem)}))
        return USAGE
    except KeyboardInterrupt:
        return 130  # as a shell has it for SIGINT
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return GOOD
    return status


# The commands


def _decode(options: argparse.Namespace, out: "_Output") -> int:
    given = _given(options, _cookie_name(options, "FLASK_"))
    found = examine(given.value)
    out.put(_facts(found, given) | {"verified": (False, "")}, found.data)
    out.note("warning", _UNKNOWN)
    return BAD if found.problem else GOOD


_UNKNOWN = (
    "not verified: without the secret nobody can tell who wrote this, when, whether it was changed, and whether it is"
    " still good"
)


def _verify(options: argparse.Namespace, out: "_Output") -> int:
    settings, now = _settings(options), time.time()
    given = _given(options, settings.cookie_name)
    found = examine(given.value, settings, now=now)
    out.put(_facts(found, given) | _facts_of_keys(found, settings, now), None if found.key is None else found.data)
    return _verdict(found, out)


def _explain(options: argparse.Namespace, out: "_Output") -> int:
    settings, now = _settings(options), time.time()
    given = _given(options, settings.cookie_name)
    found = examine(given.value, settings, now=now)
    facts = _facts(found, given) | _facts_of_keys(found, settings, now)
    if not found.sid:
        verdict, why = in_flask(given.value, settings, now=now)
        facts["in Flask"] = (
            {"verdict": verdict, "why": why or None},
            _of_flask(verdict, why, good=found.problem is None),
        )
    if found.data is not None:
        pair = len(settings.cookie_name) + 1 + found.size
        limit = "browsers keep 4096" if pair <= 4096 else "more than the 4096 of browsers: they keep the old cookie"
        facts["name=value"] = pair, f"{pair} bytes; {limit}"
        each = sizes(found.data)
        facts["keys"] = (
            {key: {"size": size, "owner": OWNERS.get(key)} for key, size in each.items()},
            "".join(f"\n  {size:>5} bytes  {key}{_owned(key)}" for key, size in each.items()),
        )
        if (user := found.data.get("_user_id")) is not None:
            fresh = bool(found.data.get("_fresh"))
            facts["logged in"] = {"user_id": user, "fresh": fresh}, f"user {user!r}, {'' if fresh else 'not '}fresh"
            if found.problem is not None:
                facts["logged in"] = None, f"nobody, for the cookie is refused; it names user {user!r}"
    out.put(facts, found.data)
    return _verdict(found, out)


def _of_flask(verdict: str, why: str, *, good: bool) -> str:
    said = "answered with a 500" if verdict == "500" else verdict
    because = f" ({why})" if why else ""
    if good == (verdict == "accepted") and verdict != "500":
        return f"{said}, as here{because}"
    return f"{said}{because}; here it is {'good' if good else 'an empty session'}"


def _owned(key: str) -> str:
    return f", {OWNERS[key]}" if key in OWNERS else ""


def _sign(options: argparse.Namespace, out: "_Output") -> int:
    settings = _settings(options)
    text = options.data if options.data not in (None, "-") else _standard_input("JSON", "strict")
    if options.at is not None and not 0 < options.at <= _LAST_SECOND:
        raise _Problem(f"--at is {options.at}: write seconds since 1970, from 1 to {_LAST_SECOND}")
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
    given = _given(options, settings.cookie_name)
    found = examine(given.value, settings, now=time.time())
    if found.sid and found.problem is None:
        raise _Problem("it is a signed id: the application signs it again, of a session that is in a store")
    if found.problem is not None:
        out.put(_facts(found, given), None)
        return _verdict(found, out)
    signed = ClientSide(settings).sign_again(given.value)
    out.say(signed.decode(), {"cookie": signed.decode(), "key": found.key})
    return GOOD


def _doctor(options: argparse.Namespace, out: "_Output") -> int:
    if options.url:
        findings = examine_url(options.url, _cookie_name(options, options.env_prefix))
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
        good = "the id is signed by a key of ours: whether there is a session, only the store knows"
        out.note("ok", good if found.sid else "the cookie is good")
        return GOOD
    out.note("error", f"the cookie is refused: {found.problem}")
    return BAD


# Facts: for programs, and for people.


def _facts(found: Examination, given: "_Given") -> "dict[str, tuple[Any, str]]":
    compressed = ", compressed" if found.compressed else ""
    several = f"{given.times} of this name came; the first counts, as in Flask" if given.times > 1 else ""
    return {
        "cookies": (given.times, several),
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
        facts["age"] = age, _span(age) if age >= 0 else f"{_span(-age)} in the future"
        if found.key is not None and age >= 0:
            left = int(settings.permanent_lifetime.total_seconds()) - age
            facts["good for"] = left, _span(left) if left >= 0 else f"over since {_span(-left)}"
    return facts


def _span(seconds: int) -> str:
    days, rest = divmod(seconds, 24 * 60 * 60)
    text = f"{days} d {rest // 3600} h" if days else f"{rest // 3600} h {rest % 3600 // 60} min {rest % 60} s"
    return text.removeprefix("0 h ").removeprefix("0 min ")


def _moment(second: int) -> str:
    try:
        return datetime.fromtimestamp(second, UTC).isoformat(" ").replace("+00:00", " UTC")
    except (OverflowError, OSError, ValueError):
        return f"{second} s since 1970, which is no date"


# What a command is given


class _Given(NamedTuple):
    """The cookie that a command is to look at, and how many of its name came with it."""

    value: bytes
    times: int = 1


def _given(options: argparse.Namespace, name: str) -> _Given:
    text = options.cookie if options.cookie not in (None, "-") else _standard_input("Cookie", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines:
        # Of a whole response only its headers count: a line of its body may look like a value.
        if (value := cookie_in(line, name)) and (len(lines) == 1 or f"{name}=" in line):
            return _Given(value, max(1, len(re.findall(rf"(?:^|[\s;'\"]){re.escape(name)}=", line))))
    raise _Problem(f"there is no cookie {name!r} in what was given: paste its value, or a Cookie or Set-Cookie line")


def _standard_input(what: str, errors: str) -> str:
    """Return what comes on standard input, or is typed in one line."""
    if sys.stdin.isatty():
        print(f"{what}: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline()
    raw = sys.stdin.buffer.read()
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as Windows' own shell may write
    try:
        return raw.decode("utf-16" if wide else "utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise _Problem("what came on standard input is no text") from error


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


def _cookie_name(options: argparse.Namespace, prefix: str) -> str:
    """Return the name of the cookie for what needs no secret, and so has no settings."""
    return options.cookie_name or os.environ.get(f"{prefix}SESSION_COOKIE_NAME") or "session"


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
    with warnings.catch_warnings():
        warnings.simplefilter("error", GetPassWarning)  # a secret is not typed where it can be seen
        try:
            if os.name != "nt" or sys.stdin.isatty():  # Windows' asks a console that nobody may look at
                return getpass("Secret: ")  # of the terminal, even where a cookie is piped in
        except (EOFError, GetPassWarning):
            pass
    raise _Problem(f"there is no secret: set {prefix}SECRET_KEY, or write --secret-file FILE")


def _first_line(path: str) -> str:
    try:
        text = Path(path).read_text("utf-8-sig")
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
                blanks = "" if text.startswith("\n") else " " * (width - len(name) + 1)
                print(f"{self._paint('name', f'{name}:')}{blanks}{_printable(text)}")
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
