import re
import socket
import urllib.error
import urllib.request

import pytest
from markupsafe import Markup

from examples.demo.values import same, samples

# Faults put into the demo, and what it should then find.
SABOTAGE = {
    "a tuple written as a list": (
        """
        from examples.demo import raw_app
        write_types = raw_app.write_types
        def lossy(session, seed):
            write_types(session, seed)
            session["tuple"] = list(session["tuple"])
        raw_app.write_types = lossy
        """,
        ["every type, written in raw ASGI, seen by Flask, FastAPI", "tuple: ("],
    ),
    "a log-out that is forgotten": (
        """
        from examples.demo import django_app
        django_app.log_out = lambda session: None
        """,
        ["logged out in Django, seen by Flask", "logged in is 'ada', not None"],
    ),
    "an app that fails": (
        """
        from examples.demo import litestar_app
        litestar_app.take_flashes = None
        """,
        ["message flashed in Flask, seen by Litestar: POST /litestar/flashes was answered with 500"],
    ),
    "a cookie sent twice": (
        """
        from quart import request
        from examples.demo.quart_app import app
        @app.after_request
        async def twice(response):
            if request.method == "GET" and "session" in request.cookies:
                for _ in range(2):
                    response.headers.add("Set-Cookie", f"session={request.cookies['session']}")
            return response
        """,
        ["GET /quart/session: 2 Set-Cookie"],
    ),
}


def test_check_of_the_demo(run):
    result = run("-m", "examples.demo", "--check")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.split().count("ok") == 6 * 6 * 4 + 6 * 2
    assert "WRONG" not in result.stdout
    assert re.search(r" of \d\d+ responses had one, 0 had more; 0 of \d\d+ reads had any", result.stdout)
    assert not re.search("[0-9a-f]{32}", result.stdout), "that may be the secret"
    assert result.stderr == ""


@pytest.mark.parametrize(("fault", "expected"), SABOTAGE.values(), ids=SABOTAGE.keys())
def test_check_of_a_sabotaged_demo(run, fault, expected):
    lines = [line[8:] for line in fault.splitlines()]
    start = "import sys; from examples.demo.__main__ import main; sys.exit(main(['--check']))"
    result = run("-c", "\n".join([*lines, start]))
    assert result.returncode == 1, result.stdout + result.stderr
    assert "WRONG" in result.stdout
    for text in expected:
        assert text in result.stdout


def test_port_that_is_taken(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("-m", "examples.demo", "--port", str(port))
    assert result.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in result.stderr
    assert "make demo PORT=8000" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("port", ["x", "-1", "65536"])
def test_port_that_is_none(run, port):
    result = run("-m", "examples.demo", f"--port={port}")
    assert result.returncode == 2
    assert "--port" in result.stderr


@pytest.mark.parametrize("app", ["flask", "fastapi", "litestar", "quart", "django", "raw"])
@pytest.mark.parametrize("route", ["set", "remove", "flash", "flashes", "logout"])
def test_get_of_what_changes_the_session(url, app, route):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{url}/{app}/{route}", timeout=60)
    error.value.close()
    assert error.value.code in (404, 405)
    assert error.value.headers["Set-Cookie"] is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        ([1], (1,)),
        ({"a": [1]}, {"a": [True]}),
        ({"a": None}, {}),
        ((1, 2), (1,)),
        ("<b>", Markup("<b>")),
        (b"a", "a"),
    ],
)
def test_same_of_values_that_differ(one, other):
    assert not same(one, other)
    assert not same(other, one)


def test_same_of_samples():
    assert same(samples(1), samples(1))
    assert not same(samples(1), samples(2))
