"""R1, W1: cookies in headers."""

import pytest

from asgi_flask_session.cookies import (
    SetCookie,
    add_vary,
    cookie_among,
    cookie_header,
    find_cookie,
    is_deletion,
    quoted,
    set_cookie_value,
)
from asgi_flask_session.settings import Settings

SECRET = "a-secret-of-the-tests-only"

FOUND = [
    (b"session=a", b"a"),
    (b"session=first; session=second", b"first"),
    (b"x=1; session=a; y=2", b"a"),
    (b"x=1;session=a;y=2", b"a"),
    (b"session=a;y=2;z=3", b"a"),
    (b" \t session \t = \t a \t ;", b"a"),
    (b"session=", b""),
    (b"session", b""),
    (b"session; session=a", b""),
    (b"session=a=b==", b"a=b=="),
    (b"session==abcdef", b"=abcdef"),
    (b"xsession=a", None),
    (b"sessionx=a", None),
    (b"xsession=session; session=a", b"a"),
    (b"session session=a", None),
    (b"session=a b", None),
    (b"session=a b; session=c", b"c"),
    (b"Session=a", None),
    (b"=session=a", None),
    (b"==session=a; session=b", b"b"),
    (b"", None),
    (b";;;", None),
    (b"x=session", None),
    # quoted values, as Werkzeug reads them
    (b'session="a"', b"a"),
    (b'session="a;b"; x=1', b"a;b"),
    (b'session="a\\"b\\\\c\\073"', b'a"b\\c;'),
    (b'session="\\400\\x"', b"400x"),
    (b'session=""', b""),
    (b'session="' + b"\\141" * 16_384 + b'"', b"a" * 16_384),  # as long as a session may be
    (b'session="a', None),
    (b'session="a"b', None),
    (b'session=a"b"', None),
    (b'session="a" ; x', b"a"),
    (b'x="; session=evil; "; session=a', b"a"),
    (b'x="; session=a', b"a"),
    (b'x="a"b; session=a', b"a"),
    (b'"session"=a; session=b', b"b"),
    (b'x="1"; y=2; session=a', b"a"),
    (b'x="1"; session', b""),
    (b'x y="1"; session=a', b"a"),
    (b'="1; session=a', b"a"),
    (b'x="\\', None),
    (b'session="a";', b"a"),
    (b'x="a\\\nb"; session=a', b"a"),
    # other white space is part of the name
    *((b"%csession=a" % byte, None) for byte in b"\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\x00\r\n"),
    *((text.encode() + b"session=a", None) for text in "\u2000\u3000\x85\ufeff"),
]


@pytest.mark.parametrize(("header", "expected"), FOUND, ids=[repr(header)[:70] for header, _ in FOUND])
def test_find_cookie(header, expected):
    """K5, K6."""
    assert find_cookie(header, b"session") == expected


def test_cookie_header_of_none_one_and_several():
    host = (b"host", b"h")
    assert cookie_header([host]) == (None, None)
    assert cookie_header([host, (b"cookie", b"a=1")]) == (b"a=1", None)
    assert cookie_header([(b"cookie", b"a=1"), host, (b"cookie", b"b=2")]) == (
        b"a=1; b=2",
        [host, (b"cookie", b"a=1; b=2")],
    )


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], None),
        ([(b"host", b"a=1")], None),
        ([(b"cookie", b"b=2")], None),
        ([(b"cookie", b"b=2; a=1")], b"1"),
        ([(b"cookie", b"b=2"), (b"cookie", b"a=1")], b"1"),
    ],
)
def test_cookie_among_the_headers_of_a_request(headers, value):
    assert cookie_among(headers, b"a") == value


LINES = [
    ({}, b"session=v; HttpOnly; Path=/"),
    ({"cookie_httponly": False}, b"session=v; Path=/"),
    (
        {
            "cookie_name": "__Secure-s",
            "cookie_domain": ".X.Example.com:80",
            "cookie_path": "/a b;c".replace(";", ","),
            "cookie_secure": True,
            "cookie_samesite": "none",
            "cookie_partitioned": True,
        },
        b"__Secure-s=v; Domain=X.Example.com; Secure; HttpOnly; Path=/a%20b,c; SameSite=None; Partitioned",
    ),
    ({"cookie_domain": "b\xfccher.example"}, b"session=v; Domain=xn--bcher-kva.example; HttpOnly; Path=/"),
]


@pytest.mark.parametrize(("settings", "line"), LINES, ids=[line.decode() for _, line in LINES])
def test_set_cookie_line(settings, line):
    assert SetCookie(Settings(secret=SECRET, **settings)).set(b"v", None) == line


def test_line_that_deletes():
    spell = SetCookie(Settings(secret=SECRET, cookie_domain="example.com", cookie_samesite="Lax"))
    assert spell.delete() == (
        b"session=; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0;"
        b" HttpOnly; Path=/; SameSite=Lax"
    )


@pytest.mark.usefixtures("_far_from_greenwich")
def test_expires_of_each_second():
    spell = SetCookie(Settings(secret=SECRET))
    dates = [spell.set(b"v", second).split(b"; ")[1] for second in (0, 0, 1, 1_700_000_000)]
    assert dates == [
        b"Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        b"Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        b"Expires=Thu, 01 Jan 1970 00:00:01 GMT",
        b"Expires=Tue, 14 Nov 2023 22:13:20 GMT",
    ]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ((b"set-cookie", b"session=a; Path=/"), b"a"),
        ((b"Set-Cookie", b" session = a ;x"), b"a"),
        ((b"set-cookie", b"session="), b""),
        ((b"set-cookie", b"session=a=b; Path=/"), b"a=b"),
        ((b"set-cookie", b"session=a; PATH = / ; HttpOnly"), b"a"),
        ((b"set-cookie", b"session"), None),
        ((b"set-cookie", b"xsession=a"), None),
        ((b"cookie", b"session=a"), None),
        ((b"set-cookie", b"session=a; Path=/old"), None),
        ((b"set-cookie", b"session=a; Path=/=x"), None),
        # other white space is part of the name, the value or the path
        ((b"set-cookie", b"\x0bsession=a"), None),
        ((b"set-cookie", b"session=\x0ba; Path=/"), b"\x0ba"),
        ((b"set-cookie", b"session=a; Path=/\x0b"), None),
        ((b"set-cookie", b"session=a; \x0bPath=/old"), b"a"),
        ((b"set-cookie", b"session=a; Path=/; Domain=example.com"), None),
    ],
)
def test_lines_that_set_this_cookie(header, value):
    found = SetCookie(Settings(secret=SECRET)).among([(b"x", b"session=1"), header])
    assert found == ([] if value is None else [header])
    assert [set_cookie_value(line) for _, line in found] == ([] if value is None else [value])


@pytest.mark.parametrize("domain", [b"x.example.com", b".X.Example.COM"])
def test_domain_and_path_are_part_of_which_cookie_it_is(domain):
    """RFC 6265, 5.3."""
    spell = SetCookie(Settings(secret=SECRET, cookie_domain="x.example.com", cookie_path="/a=b"))
    ours = (b"set-cookie", b"session=a; Path=/a=b; Domain=" + domain)
    assert spell.among([ours, (b"set-cookie", b"session=a; Path=/a=b"), (b"set-cookie", b"session=a")]) == [ours]


@pytest.mark.parametrize(
    ("line", "deletes"),
    [
        (b"s=v", False),
        (b"s=v; Max-Age=0", True),
        (b"s=v; max-age = -1", True),
        (b"s=v; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        (b"s=v; Max-Age=soon; Expires=Thu, 01 Jan 1970 00:00:00 GMT", True),
        (b"s=v; Expires=Fri, 31 Dec 9999 00:00:00 GMT", False),
        (b"s=v; Expires=never", False),
        (b"s=v; Expires=Tue, 14 Nov 2023 22:13:20 GMT", True),  # now
        (b"s=v; Expires=Tue, 14 Nov 2023 22:13:21 GMT", False),
        (b"s=v; Max-Age=" + b"0" * 5000, True),
    ],
)
def test_is_deletion(line, deletes):
    assert is_deletion(line, 1_700_000_000) is deletes


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("", b""),
        ("1|0123abcdef", b"1|0123abcdef"),
        ("a b", b'"a b"'),
        ("a;b,c", b'"a\\073b\\054c"'),
        ('"\\', b'"\\"\\\\"'),
        ("\u00fc", b'"\\303\\274"'),
    ],
)
def test_value_is_quoted_where_it_has_to_be(value, spelled):
    assert quoted(value) == spelled
    assert find_cookie(b"a=" + spelled, b"a") == value.encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [(b"vary", b"Cookie")]),
        ([(b"Vary", b"Origin")], [(b"Vary", b"Origin, Cookie")]),
        ([(b"vary", b"")], [(b"vary", b"Cookie")]),
        ([(b"vary", b" \t")], [(b"vary", b"Cookie")]),
        ([(b"vary", b"Origin,\tCOOKIE ")], [(b"vary", b"Origin,\tCOOKIE ")]),
        ([(b"vary", b"*")], [(b"vary", b"*")]),
        ([(b"vary", b"Origin,Cookie")], [(b"vary", b"Origin,Cookie")]),
        ([(b"vary", b"Cookie\x0b")], [(b"vary", b"Cookie\x0b, Cookie")]),  # another name
        ([(b"vary", b"\x0b")], [(b"vary", b"\x0b, Cookie")]),
        ([(b"vary", b"Cookies")], [(b"vary", b"Cookies, Cookie")]),
        (
            [(b"vary", b"A"), (b"VARY", b"B"), (b"x", b"Cookie")],
            [(b"vary", b"A, Cookie"), (b"VARY", b"B"), (b"x", b"Cookie")],
        ),
        ([(b"vary", b"A"), (b"vary", b"cookie")], [(b"vary", b"A"), (b"vary", b"cookie")]),
    ],
)
def test_add_vary(before, after):
    headers = [*before]
    add_vary(headers)
    assert headers == after
