"""The command line: through main(), a pipe and a terminal."""

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from secrets import token_hex

import pytest
from driver import SECRET
from hypothesis import example, given
from hypothesis import strategies as st
from itsdangerous import Signer, TimestampSigner, URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode

from asgi_flask_session import Settings
from asgi_flask_session.cli import cookie_in, main
from asgi_flask_session.doctor import examine_headers
from asgi_flask_session.examination import examine, in_flask

COMMAND = [sys.executable, "-m", "asgi_flask_session"]
OTHER = "another secret that is long enough"
DATA = {"_user_id": "7", "_fresh": True, "csrf_token": "a" * 40, "cart": [{" t": [1, 2]}]}


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("FLASK_", "NO_COLOR", "FORCE_COLOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FLASK_SECRET_KEY", SECRET)


@pytest.fixture
def run(capsys):
    def run(*arguments):
        status = main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def signed(run):
    def signed(data=DATA, *options):
        status, out, _ = run("sign", json.dumps(data), *options)
        assert status == 0
        return out.strip()

    return signed


def test_a_signed_cookie_is_good_and_holds_what_was_signed(run, signed):
    status, out, _ = run("verify", "--json", signed())
    found = json.loads(out)
    assert (status, found["data"], found["key"], found["problem"]) == (0, DATA, 0, None)


def test_decode_asks_for_no_secret_and_says_that_nothing_is_verified(run, signed, monkeypatch):
    cookie = signed()
    monkeypatch.delenv("FLASK_SECRET_KEY")
    status, out, _ = run("decode", cookie)
    assert status == 0
    assert '"_user_id": "7"' in out
    assert "not verified" in out


FORMS = {
    "a value": "{}",
    "a quoted value": '"{}"',
    "a Cookie line": "Cookie: a=b; session={}; c=d",
    "what is in a Cookie line": "a=b; session={}",
    "a Set-Cookie line": "Set-Cookie: session={}; HttpOnly; Path=/",
    "a Set-Cookie line of curl -v": "< set-cookie: session={}; HttpOnly; Path=/",
    "a whole response": "HTTP/1.1 200 OK\r\nSet-Cookie: other=1\r\nSet-Cookie: session={}; Path=/\r\n",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_cookie_may_be_pasted_as(form, run, signed):
    status, out, _ = run("verify", "--json", form.format(signed()))
    assert (status, json.loads(out)["data"]) == (0, DATA)


@pytest.mark.parametrize("line", ["", "Cookie: other=1", "Set-Cookie: other=1", "a b", "other=1; more=2"])
def test_what_holds_no_cookie_of_the_name(line):
    assert not cookie_in(line, "session")


def test_another_name_and_other_settings_count(run, signed, tmp_path):
    options = ("--cookie-name", "shop", "--salt", "my-salt", "--digest", "sha256")
    cookie = signed(DATA, *options)
    assert run("verify", f"shop={cookie}", *options)[0] == 0
    assert run("verify", cookie)[0] == 1


def test_which_key_matched_is_said(run, signed, tmp_path):
    cookie = signed()
    (tmp_path / "new").write_text(OTHER + "\nnot this line\n")
    (tmp_path / "old").write_text(SECRET)
    (tmp_path / "older").write_text("a third secret that is long enough")
    files = [("--fallback-file", str(tmp_path / name)) for name in ("old", "older")]
    status, out, _ = run("verify", cookie, "--secret-file", str(tmp_path / "new"), *files[0], *files[1])
    assert status == 0
    assert "fallback 1" in out
    assert "fallback 2" in run("verify", cookie, "--secret-file", str(tmp_path / "new"), *files[1], *files[0])[1]


def test_rotate_signs_with_the_current_secret_and_keeps_the_age(run, signed, tmp_path):
    at = int(time.time()) - 1000
    cookie = signed(DATA, "--at", str(at))
    (tmp_path / "new").write_text(OTHER)
    (tmp_path / "old").write_text(SECRET)
    status, out, _ = run(
        "rotate", cookie, "--secret-file", str(tmp_path / "new"), "--fallback-file", str(tmp_path / "old")
    )
    assert status == 0
    status, out, _ = run("verify", "--json", out.strip(), "--secret-file", str(tmp_path / "new"))
    found = json.loads(out)
    assert (status, found["key"], found["signed"], found["data"]) == (0, 0, at, DATA)


def changed(cookie):
    return ("B" if cookie[0] == "A" else "A") + cookie[1:]


REFUSED = {
    "of another key": (lambda sign: changed(sign()), (), "no key of ours made the signature"),
    "too old": (lambda sign: sign(DATA, "--at", "1000000000"), (), "over the 2678400 s of permanent_lifetime"),
    "too old for the lifetime given": (
        lambda sign: sign(DATA, "--at", str(int(time.time()) - 100)),
        ("--max-age", "50"),
        "over the 50 s",
    ),
    "of the future": (lambda sign: sign(DATA, "--at", str(int(time.time()) + 100)), (), "in the future"),
    "an id": (lambda sign: "3Yq7aXl0B8mJ4cVtPz1R6wKdQhU5sNfGvEoLiTyMbCx", (), "the id of a session"),
    "an empty payload": (lambda sign: "..x", (), "no payload"),
    "no base64": (lambda sign: "!!!.aaaa.bbbb", (), "no key of ours made the signature"),
}


@pytest.mark.parametrize("command", ["verify", "explain", "rotate"])
@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_a_cookie_is_refused_that_is(row, command, run, signed):
    make, options, says = row
    status, out, _ = run(command, make(signed), *options)
    assert status == 1
    assert says in out


STORED_ID = "3Yq7aXl0B8mJ4cVtPz1R6wKdQhU5sNfGvEoLiTyMbCx"
OF_QUART_SESSION = "6c1a2f0e-9d0c-4b8e-8a52-0f6f3d1c7b9a"


def signed_id(secret=SECRET, salt="flask-session", sid=STORED_ID):
    return Signer(secret, salt, key_derivation="hmac").sign(sid).decode()


def token(secret=SECRET):
    return URLSafeTimedSerializer(secret, salt="wtf-csrf-token").dumps("a" * 40)


# What is pasted, and what decode, which has no key, and verify say of it: the status, and words of it.
NO_SESSIONS = {
    "an id": (STORED_ID, (1, "only the store knows"), (1, "only the store knows")),
    "an id of Quart-Session": (OF_QUART_SESSION, (1, "only the store knows"), (1, "only the store knows")),
    "a signed id": (signed_id(), (1, "signed: only the store"), (0, "key of ours: whether there is a session, only")),
    "a signed id of Quart-Session": (signed_id(salt="quart-session"), (1, "the id of a session"), (0, "ok: ")),
    "an id that others signed": (signed_id(OTHER), (1, "the id of a session"), (1, "no key of ours signed it")),
    "a CSRF token": (token(), (1, "CSRF token of Flask-WTF"), (1, "CSRF token of Flask-WTF")),
    "a remember cookie": ("7|" + "0a" * 64, (1, "remember cookie of Flask-Login"), (1, "and no session")),
    "a word": ("hello", (1, "payload.timestamp.signature"), (1, "payload.timestamp.signature")),
}


@pytest.mark.parametrize(("pasted", "decoded", "verified"), NO_SESSIONS.values(), ids=NO_SESSIONS)
def test_what_is_no_session_is_told_by_its_name(pasted, decoded, verified, run):
    for command, (status, says) in (("decode", decoded), ("verify", verified), ("explain", verified)):
        got, out, _ = run(command, pasted)
        assert (got, says in out) == (status, True), out


def test_a_signed_id_is_rotated_by_the_application(run):
    status, out, err = run("rotate", signed_id())
    assert (status, out) == (2, "")
    assert "in a store" in err


def forged(text, second=None):
    signer = TimestampSigner(SECRET, "cookie-session", key_derivation="hmac")
    if second is not None:
        signer.get_timestamp = lambda: second
    return signer.sign(base64_encode(text)).decode()


# Cookies that a key of ours signed: what verify says, and what Flask makes of them.
IN_FLASK = {
    "a good one": (lambda: forged(b'{"a":1}'), "the cookie is good", "accepted, as here"),
    "an old one": (lambda: forged(b'{"a":1}', 10**9), "permanent_lifetime", "refused, as here (Signature age"),
    "no object": (lambda: forged(b"[1]"), "no JSON object", "answered with a 500"),
    "no JSON": (lambda: forged(b"\xff"), "no tagged JSON", "answered with a 500"),
    "a broken tag": (lambda: forged(b'{"a":{" u":"zz"}}'), "no tagged JSON", "answered with a 500"),
    "a deep one": (
        lambda: forged(b'{"a":%s1%s}' % (b"[" * 500, b"]" * 500)),
        "nested deeper than 500",
        "accepted; here",
    ),
    "a huge one": (
        lambda: forged(b'{"a":"' + b"x" * 20000 + b'"}'),
        "longer than 16384",
        "accepted; here it is an empty",
    ),
    "another base64": (
        lambda: respelled(forged(b'{"a":1}')),
        "no key of ours",
        "accepted; here it is an empty session",
    ),
}


def respelled(cookie):
    """Change the two bits of the last character that stand for nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return cookie[:-1] + alphabet[alphabet.index(cookie[-1]) ^ 1]


@pytest.mark.parametrize(("make", "says", "flask"), IN_FLASK.values(), ids=IN_FLASK)
def test_explain_says_what_flask_makes_of(make, says, flask, run):
    out = run("explain", make())[1]
    assert says in out
    assert re.search(f"in Flask: +{re.escape(flask)}", out)


PIECES = st.sampled_from(
    [b".", b"..", b"=", b"-", STORED_ID.encode(), b"eyJhIjoxfQ", b"ZVPxAA", b"bnVsbA", b"\xff", b"|"]
)


@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=7).map(b"".join)), st.booleans())
@example(b"A" * 17000, True)
def test_nothing_that_is_pasted_makes_an_examination_fail(value, is_signed):
    settings = Settings(SECRET)
    if is_signed:
        value = TimestampSigner(SECRET, "cookie-session", key_derivation="hmac").sign(value)
    found = examine(value, settings, now=time.time())
    assert examine(value).size == found.size == len(value)
    verdict, why = in_flask(value, settings, now=time.time())
    assert bool(why) == (verdict != "accepted")
    if not found.sid and found.problem is None:
        assert verdict == "accepted"


def test_decode_says_what_cannot_be_known(run, signed):
    assert "who wrote this, when, whether it was changed, and whether it is still good" in run("decode", signed())[1]
    assert json.loads(run("decode", "--json", signed())[1])["verified"] is False


def test_of_several_cookies_the_first_is_told_to_count(run, signed):
    status, out, _ = run("verify", f"Cookie: session=old; session={signed()}")
    assert status == 1
    assert "2 of this name came; the first counts, as in Flask" in out


def test_the_name_of_the_cookie_is_in_the_environment_too(run, signed, monkeypatch):
    monkeypatch.setenv("FLASK_SESSION_COOKIE_NAME", "shop")
    line = f"Cookie: session=other; shop={signed()}"
    assert [run(command, line)[0] for command in ("decode", "verify", "explain", "rotate")] == [0] * 4


def test_a_second_beyond_the_calendar_is_told_as_a_number(run):
    forger = TimestampSigner(OTHER, "cookie-session", key_derivation="hmac")
    forger.get_timestamp = lambda: 2**63
    out = run("decode", forger.sign(base64_encode(b'{"a":1}')).decode())[1]
    assert "9223372036854775808 s since 1970, which is no date" in out


def test_no_lifetime_is_left_to_a_cookie_that_is_not_ours(run, signed):
    assert "good_for" not in json.loads(run("verify", "--json", changed(signed()))[1])


def test_a_payload_is_not_shown_that_no_key_signed(run, signed):
    assert "_user_id" not in run("verify", changed(signed()))[1]


def test_explain_names_sizes_and_owners(run, signed):
    status, out, _ = run("explain", signed())
    assert status == 0
    for part in ("csrf_token, Flask-WTF", "_user_id, Flask-Login", "user '7', fresh", "browsers keep 4096"):
        assert part in out
    found = json.loads(run("explain", "--json", signed())[1])
    assert next(iter(found["keys"])) == "csrf_token"  # the largest first
    assert found["keys"]["cart"] == {"size": len('"cart":[{" t":[1,2]}]'), "owner": None}


def test_explain_says_what_browsers_refuse(run, signed, caplog):
    out = run("explain", signed({"noise": token_hex(4000)}))[1]
    assert "more than the 4096 of browsers" in out
    assert "over the 4093 of max_cookie_size" in caplog.text  # sign has said so too


def test_a_refused_cookie_logs_nobody_in(run, signed):
    cookie = signed(DATA, "--at", "1000000000")
    assert "nobody, for the cookie is refused; it names user '7'" in run("explain", cookie)[1]
    assert json.loads(run("explain", "--json", cookie)[1])["logged_in"] is None


def test_nothing_in_a_cookie_tells_the_terminal_what_to_do(run, signed):
    out = run("explain", signed({"\x9b31m": "\x1b[31m\u202e"}))[1]
    assert not {"\x1b", "\x9b", "\u202e"} & set(out)


def test_sign_prints_the_whole_line_on_demand(run):
    line = run("sign", '{"a": 1, "_permanent": true}', "--set-cookie", "--at", "1")[1]
    value, _, rest = line.removeprefix("session=").partition("; ")
    assert (
        Signer(SECRET, "cookie-session", key_derivation="hmac").unsign(value)
        == b"eyJfcGVybWFuZW50Ijp0cnVlLCJhIjoxfQ.AQ"
    )
    assert rest == "Expires=Sun, 01 Feb 1970 00:00:01 GMT; HttpOnly; Path=/\n"


PROBLEMS = {
    "no JSON": (["sign", "{"], "no JSON"),
    "no object": (["sign", "[1]"], "no JSON object"),
    "an empty object": (["sign", "{}"], "no JSON object"),
    "no cookie": (["verify", "Cookie: other=1"], "no cookie 'session'"),
    "a file that is not there": (["verify", "x", "--secret-file", "/nowhere"], "/nowhere cannot be read"),
    "a setting that cannot work": (["verify", "x", "--cookie-name", "a b"], "cookie_name"),
    "no URL": (["doctor", "ftp://localhost"], "no URL of a web server"),
    "nobody there": (["doctor", "http://127.0.0.1:9"], "does not answer"),
    "a URL that is none": (["doctor", "http://exa mple/"], "does not answer"),
    "a time before all": (["sign", '{"a": 1}', "--at", "-1"], "--at is -1"),
    "a time after all": (["sign", '{"a": 1}', "--at", "99999999999999"], "--at is 99999999999999"),
    "a lifetime after all": (["verify", "x", "--max-age", "99999999999999999999"], "permanent_lifetime"),
    "more than a cookie holds": (["sign", json.dumps({"a": token_hex(20000)})], "at most 16384 are read back"),
}


@pytest.mark.parametrize(("arguments", "says"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_command_that_cannot_be_carried_out(arguments, says, run):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert says in err


@pytest.mark.parametrize(("arguments", "says"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_program_is_told_why_as_json(arguments, says, run):
    status, out, _ = run(*arguments, "--json")
    assert (status, says in json.loads(out)["error"]) == (2, True)


def test_the_last_second_has_a_date(run):
    assert run("sign", '{"_permanent": true}', "--at", str(2**36), "--max-age", str(365000 * 24 * 3600))[0] == 0


def test_an_empty_secret_file_is_no_secret(run, tmp_path):
    (tmp_path / "empty").write_text("")
    assert run("verify", "x", "--secret-file", str(tmp_path / "empty"))[0] == 2


def test_a_wrong_option_says_where_help_is(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--secret", "abc"])
    assert ended.value.code == 2
    assert "--help" in capsys.readouterr().err


# The doctor


def test_the_doctor_looks_at_the_settings(run, monkeypatch):
    status, out, _ = run("doctor")
    assert status == 0
    assert "cookie_samesite" in out
    for name, value in {"SECURE": "true", "SAMESITE": "Lax"}.items():
        monkeypatch.setenv(f"FLASK_SESSION_COOKIE_{name}", value)
    assert run("doctor") == (0, "ok: nothing is wrong with the settings\n", "")


SETTINGS = [
    ("SECRET_KEY", "short", "warning", "shorter than"),
    ("SESSION_COOKIE_HTTPONLY", "false", "warning", "any script"),
    ("PERMANENT_SESSION_LIFETIME", str(500 * 24 * 3600), "warning", "400 days"),
    ("MAX_COOKIE_SIZE", "0", "warning", "4093"),
    ("SESSION_COOKIE_SAMESITE", "None", "error", "cookie_secure"),
    ("SESSION_COOKIE_NAME", "__Host-session", "error", "__Host-"),
]


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row[0])
def test_the_doctor_finds_in_the_settings(row, run, monkeypatch):
    name, value, level, says = row
    monkeypatch.setenv(f"FLASK_{name}", value)
    status, out, _ = run("doctor", "--json")
    assert status == (level == "error")
    assert any(finding["level"] == level and says in finding["text"] for finding in json.loads(out))


@contextmanager
def answering(status, headers):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


GOOD_COOKIE = ("Set-Cookie", "session=abc; HttpOnly; Path=/; SameSite=Lax")
VARY = ("Vary", "Accept, Cookie")
ANSWERS = {
    "nothing": (200, [GOOD_COOKIE, VARY], 0, "nothing is wrong"),
    "nothing in a redirect": (302, [GOOD_COOKIE, VARY, ("Location", "/login")], 0, "nothing is wrong"),
    "nothing in an error": (401, [GOOD_COOKIE, VARY], 0, "nothing is wrong"),
    "no cookie": (200, [("Set-Cookie", "other=1")], 0, "sets no cookie 'session' (it sets: 'other')"),
    "two cookies": (200, [GOOD_COOKIE, GOOD_COOKIE, VARY], 1, "sets 2 cookies 'session'"),
    "no Vary": (200, [GOOD_COOKIE], 0, "no 'Vary: Cookie'"),
    "a large cookie": (200, [("Set-Cookie", f"session={'a' * 5000}; HttpOnly; SameSite=Lax"), VARY], 1, "5008 bytes"),
    "no HttpOnly": (200, [("Set-Cookie", "session=abc; SameSite=Lax"), VARY], 0, "not HttpOnly"),
    "no SameSite": (200, [("Set-Cookie", "session=abc; HttpOnly"), VARY], 0, "no SameSite"),
    "SameSite=None": (200, [("Set-Cookie", "session=abc; HttpOnly; SameSite=None"), VARY], 1, "needs Secure"),
    "Secure on http": (200, [("Set-Cookie", "session=abc; HttpOnly; Secure"), VARY], 1, "the URL is http"),
}


@pytest.mark.parametrize("row", ANSWERS.values(), ids=ANSWERS)
def test_the_doctor_finds_in_an_answer(row, run):
    answer, headers, status, says = row
    with answering(answer, headers) as url:
        got, out, _ = run("doctor", url)
    assert got == status
    assert says in out


@pytest.mark.parametrize(("attribute", "levels"), [("", ["warning"]), ("; Secure", ["ok"])])
def test_the_doctor_wants_secure_on_https(attribute, levels):
    found = examine_headers([GOOD_COOKIE[1] + attribute], ["Cookie"], "session", https=True)
    assert [finding.level for finding in found] == levels


def test_the_doctor_knows_the_prefixes_of_names(run):
    headers = [("Set-Cookie", "__Host-session=abc; HttpOnly; SameSite=Lax; Path=/a"), VARY]
    with answering(200, headers) as url:
        status, out, _ = run("doctor", url, "--cookie-name", "__Host-session")
    assert status == 1
    assert "needs Secure" in out
    assert "needs Path=/" in out


# A pipe, and a terminal


def test_a_pipe_takes_the_cookie_of_another_command():
    signed = subprocess.run([*COMMAND, "sign"], input='{"a": 1}', capture_output=True, text=True, check=True)
    done = subprocess.run([*COMMAND, "verify"], input=signed.stdout, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout


GIVEN = {
    "Windows line ends": lambda cookie: f"Cookie: session={cookie}\r\n".encode(),
    "a byte order mark": lambda cookie: f"\ufeff{cookie}\n".encode(),
    "UTF-16": lambda cookie: f"session={cookie}\r\n".encode("utf-16"),
    "a response with a binary body": lambda cookie: (
        f"Date:0\r\nSet-Cookie: session={cookie}\r\n\r\n".encode() + b"\xff\0"
    ),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_a_pipe_may_bring_the_cookie_with(given, signed):
    done = subprocess.run(
        [*COMMAND, "verify", "--json"], input=given(signed()), capture_output=True, check=False, env=STRICT | os.environ
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["data"] == DATA


STRICT = {"PYTHONIOENCODING": "utf-8:strict"}


@pytest.mark.parametrize("command", ["decode", "verify", "explain", "sign", "rotate"])
@pytest.mark.parametrize("noise", [b"", b"\xff\xfe\0", bytes(range(256)) * 64, b"\xff" * 100_000])
def test_a_pipe_that_brings_noise_is_refused(noise, command):
    done = subprocess.run([*COMMAND, command], input=noise, capture_output=True, check=False, env=STRICT | os.environ)
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr


def test_a_terminal_that_has_ascii_only_gets_escapes(signed):
    for environment in ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}):
        done = subprocess.run(
            [*COMMAND, "explain", signed({"n\xe4me": "\u20ac"})],
            capture_output=True,
            check=False,
            env=os.environ | environment,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert b'"n\\xe4me": "\\u20ac"' in done.stdout


def test_colours_may_be_forced_into_a_pipe(signed, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    main(["verify", signed()])
    assert "\x1b[32mok:\x1b[0m" in capsys.readouterr().out
    main(["verify", "--json", signed()])
    assert "\x1b" not in capsys.readouterr().out


def test_a_secret_file_may_come_from_windows(run, signed, tmp_path):
    (tmp_path / "secret").write_bytes(f"\ufeff{SECRET}\r\n".encode())
    assert run("verify", signed(), "--secret-file", str(tmp_path / "secret"))[0] == 0


def test_without_a_terminal_a_missing_secret_is_named(monkeypatch):
    monkeypatch.delenv("FLASK_SECRET_KEY")
    done = subprocess.run(
        [*COMMAND, "verify", "x"], input="", capture_output=True, text=True, check=False, start_new_session=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "set FLASK_SECRET_KEY, or write --secret-file FILE" in done.stderr


def on_a_terminal(arguments, answers=(), command=COMMAND, **environment):
    """Run a command on a terminal of its own, type *answers* where it asks, and return its status and its output."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which whoever runs the tests in the background ignores
        os.execvpe(command[0], [*command, *arguments], {**os.environ, "TERM": "xterm", **environment})
    said = b""
    answers = dict(answers)
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # how Linux says that the other side has ended
            part = b""
        if not part:
            break
        said += part
        for question in [question for question in answers if said.endswith(question.encode())]:
            os.write(terminal, answers.pop(question).encode() + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_asks_for_the_secret_unseen_and_has_colours(signed, monkeypatch):
    cookie = signed()
    monkeypatch.delenv("FLASK_SECRET_KEY")
    status, said = on_a_terminal(["verify", cookie], {"Secret: ": SECRET})
    assert status == 0
    assert SECRET not in said
    assert "\x1b[32mok:\x1b[0m" in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_asks_for_the_cookie_too(signed, monkeypatch):
    cookie = signed()
    monkeypatch.delenv("FLASK_SECRET_KEY")
    status, said = on_a_terminal(["verify"], {"Secret: ": SECRET, "Cookie: ": cookie})
    assert status == 0, said
    assert SECRET not in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_is_asked_for_the_secret_though_the_cookie_is_piped(signed, monkeypatch):
    line = f"echo {signed()} | {shlex.join(COMMAND)} verify"
    monkeypatch.delenv("FLASK_SECRET_KEY")
    status, said = on_a_terminal(["-c", line], {"Secret: ": SECRET}, command=["sh"])
    assert status == 0, said
    assert SECRET not in said


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_that_gives_no_secret_ends_the_command(signed, monkeypatch):
    cookie = signed()
    monkeypatch.delenv("FLASK_SECRET_KEY")
    status, said = on_a_terminal(["verify", cookie], {"Secret: ": "\x04"})
    assert status == 2
    assert "there is no secret" in said


def test_an_interrupt_has_the_status_of_a_shell(run, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("asgi_flask_session.cli.examine", interrupt)
    assert run("decode", "x") == (130, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_interrupts_the_command():
    status, said = on_a_terminal(["decode"], {"Cookie: ": "\x03"})
    assert (status, "Traceback" in said) == (130, False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_has_no_colours_where_they_are_not_wanted(signed):
    status, said = on_a_terminal(["verify", signed()], NO_COLOR="1")
    assert status == 0
    assert "\x1b[" not in said


def test_a_reader_that_has_seen_enough_is_no_error(signed):
    cookie = signed({"list": list(range(3000))})
    with subprocess.Popen(
        [*COMMAND, "decode"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        process.stdin.write(cookie.encode())
        process.stdin.close()
        assert process.stderr.read() == b""


def test_the_module_that_python_runs_does_nothing_when_it_is_imported(capsys):
    importlib.import_module("asgi_flask_session.__main__")
    assert capsys.readouterr() == ("", "")
