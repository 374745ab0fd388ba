"""A WSGI environ as the scope of an ASGI server."""

import pytest

from asgi_flask_session.environ import scope_of


def test_scope_of_a_request():
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.url_scheme": "https",
        "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/cart",
        "QUERY_STRING": "a=1",
        "HTTP_USER_AGENT": "UA/1",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "50000",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
    }
    assert scope_of(environ) == {
        "type": "http",
        "method": "POST",
        "scheme": "https",
        "root_path": "/shop",
        "path": "/shop/cart",
        "query_string": b"a=1",
        "headers": [(b"user-agent", b"UA/1")],
        "client": ("192.0.2.1", 50000),
        "server": ("localhost", 80),
    }


def test_nothing_need_be_there():
    assert scope_of({}) == {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "root_path": "",
        "path": "",
        "query_string": b"",
        "headers": [],
        "client": None,
        "server": None,
    }
    assert scope_of({"REMOTE_ADDR": ""})["client"] is None


def test_what_is_no_latin_1_is_replaced():
    scope = scope_of({"QUERY_STRING": "a=\u20ac", "HTTP_X": "\u20ac"})
    assert (scope["query_string"], scope["headers"]) == (b"a=?", [(b"x", b"?")])


@pytest.mark.parametrize("port", ["", "abc", "db8", "-", "9" * 5000])
def test_port_that_is_none_is_0(port):
    assert scope_of({"SERVER_NAME": "localhost", "SERVER_PORT": port})["server"] == ("localhost", 0)
