"""S9, ST-60 to ST-62: the address of a client, as far as it can be believed."""

import ipaddress
import socket
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_flask_session.addresses import client_address


def behind(*fields, proxies=1, client=("10.0.0.1", 50000)):
    """Return the address where *fields* are those of X-Forwarded-For."""
    headers = [(b"host", b"example.com"), *((b"x-forwarded-for", field) for field in fields), (b"accept", b"*/*")]
    return client_address({"type": "http", "client": client, "headers": headers}, proxies)


SPELLINGS = [
    ("127.0.0.1", "127.0.0.1"),
    ("192.0.2.255", "192.0.2.255"),
    ("192.0.2.1:443", "192.0.2.1"),
    ("192.0.2.1:65535", "192.0.2.1"),
    ("[192.0.2.1]:443", "192.0.2.1"),
    ("2001:db8::1", "2001:db8::1"),
    ("2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
    ("2001:DB8::ABCD", "2001:db8::abcd"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("[2001:DB8::1]:8080", "2001:db8::1"),
    ("::1", "::1"),
    ("::", "::"),
    ("::ffff:192.0.2.1", "192.0.2.1"),
    ("::FFFF:c000:0201", "192.0.2.1"),
    ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
    ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
    ("fe80::1%eth0", "fe80::1"),
    ("FE80::1%25", "fe80::1"),
    ("[fe80::1%eth0]:80", "fe80::1"),
]

GARBAGE = [
    "", " ", "\xa0192.0.2.1", "unknown", "_hidden", "localhost", "example.com:80", "testclient", "<local>", "-", "*",
    "None", "0", "1",
    "192.0.2", "192.0.2.1.5", "192.0.2.256", "192.0.2.01", "0x7f.0.0.1", "3221225985", "192.0.2.1/24", "192.0.2.1%eth0",
    "192.0.2.1:", "192.0.2.1:http", "192.0.2.1:443:80", "192.0.2.1;", "192.0.2.1 192.0.2.2", ":80", "[]", "[]:80", "[",
    "]", "[::1", "::1]", "[::1]x", "[::1]:", "[::1]:x", "[[::1]]", "[[::1]:80", "[::1]]:80", "2001:db8::1::2", ":::",
    "12345::", "2001:db8:1:2:3:4:5:6:7", "fe80::1%", "fe80::1%a%b", "for=192.0.2.1", '"192.0.2.1"', '"[2001:db8::1]"',
    "192.0.2.1\n", "\x00192.0.2.1", "192.0.2.\xb9", "192.0.2.1\xa0", "\u0661.2.3.4", "a" * 100_000, "1." * 50_000,
    ":" * 50_000, "[" * 50_000,
]  # fmt: skip


@pytest.mark.parametrize(("spelled", "address"), SPELLINGS)
def test_address_is_spelled_one_way(spelled, address):
    """ST-62."""
    assert client_address({"client": (spelled, 50000)}, 0) == address
    assert behind(spelled.encode()) == address


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: repr(text[:30]))
def test_what_is_no_address_is_none(text):
    assert client_address({"client": (text, 50000)}, 0) is None
    assert behind(text.encode("utf-8")) is None
    assert behind(text.encode("latin-1", "replace")) is None


@pytest.mark.parametrize("client", [None, (), [], (None, None), (None, 0), ("", 0), (b"127.0.0.1", 1), (2130706433, 1)])
def test_client_without_an_address_is_none(client):
    """As on a unix socket."""
    assert client_address({"client": client}, 0) is None


def test_scope_that_does_not_tell_the_client_is_none():
    assert client_address({"headers": []}, 0) is None


@pytest.mark.parametrize("client", [("192.0.2.1", 1), ["192.0.2.1", 1], ("192.0.2.1", None)])
def test_client_as_servers_give_it(client):
    assert client_address({"client": client}, 0) == "192.0.2.1"


# Behind proxies

A, B, C, FORGED = b"192.0.2.1", b"192.0.2.2", b"192.0.2.3", b"203.0.113.66"

PROXIES = [
    # without any, the header is the client's own word
    (0, [A], "10.0.0.1"),
    (0, [], "10.0.0.1"),
    (0, [b"rubbish"], "10.0.0.1"),
    # one
    (1, [A], "192.0.2.1"),
    (1, [FORGED + b", " + A], "192.0.2.1"),
    (1, [FORGED + b"," + FORGED + b"," + A], "192.0.2.1"),
    (1, [FORGED, A], "192.0.2.1"),
    (1, [b" \t" + A + b"\t "], "192.0.2.1"),
    (1, [b"\n" + A], None),
    (1, [A + b"," + b"unknown"], None),
    (1, [A + b","], None),
    (1, [], None),
    (1, [b""], None),
    # two
    (2, [A + b", " + B], "192.0.2.1"),
    (2, [A, B], "192.0.2.1"),
    (2, [FORGED + b", " + A + b" ,\t" + B], "192.0.2.1"),
    (2, [FORGED, A, B], "192.0.2.1"),
    (2, [FORGED + b"," + A, B], "192.0.2.1"),
    (2, [b"rubbish, " + A + b", " + B], "192.0.2.1"),
    (2, [A + b", rubbish"], "192.0.2.1"),  # the nearest proxy's is its own business
    (2, [b"rubbish, " + B], None),
    (2, [b", " + B], None),
    (2, [B], None),
    (2, [], None),
    # three
    (3, [A + b", " + B + b", " + C], "192.0.2.1"),
    (3, [FORGED, FORGED, A, B, C], "192.0.2.1"),
    (3, [b"[2001:DB8::1]:1, " + B, C], "2001:db8::1"),
    (3, [A + b", " + B], None),
    (100, [A], None),
    (100, [A + b"," * 99], "192.0.2.1"),
]


@pytest.mark.parametrize(("proxies", "fields", "address"), PROXIES)
def test_address_behind_proxies(proxies, fields, address):
    """ST-60, ST-61."""
    assert behind(*fields, proxies=proxies) == address


@pytest.mark.parametrize("name", [b"forwarded", b"x-real-ip", b"x-forwarded-host", b"client-ip", b"x_forwarded_for"])
def test_other_headers_are_not_believed(name):
    scope = {"client": ("10.0.0.1", 1), "headers": [(name, FORGED)]}
    assert client_address(scope, 0) == "10.0.0.1"
    assert client_address(scope, 1) is None


def test_header_with_proxies_counts_where_the_client_is_not_told():
    assert behind(A, client=None) == "192.0.2.1"


@given(st.lists(st.binary(max_size=30), max_size=3), st.lists(st.ip_addresses(), min_size=1, max_size=3))
def test_whatever_the_client_sends_the_proxies_are_believed(sent, hops):
    entries = [*sent, *(str(hop).encode() for hop in hops)]
    expected = client_address({"client": (str(hops[0]), 1)}, 0)
    assert behind(b",".join(entries), proxies=len(hops)) == expected
    assert behind(*entries, proxies=len(hops)) == expected


@given(st.ip_addresses(), st.booleans())
def test_address_is_none_other(address, packed):
    """The same bytes, whatever the spelling."""
    mapped = getattr(address, "ipv4_mapped", None)
    spelled = getattr(address, "exploded" if packed else "compressed").upper()
    found = client_address({"client": (spelled, 1)}, 0)
    assert ipaddress.ip_address(found) == (mapped or address)
    family = socket.AF_INET6 if ":" in found else socket.AF_INET
    assert socket.inet_ntop(family, socket.inet_pton(family, found)) == found or "." in found[3:]


@given(st.text())
def test_whatever_a_server_says_is_an_address_or_none(text):
    found = client_address({"client": (text, 1)}, 0)
    assert found is None or client_address({"client": (found, 1)}, 0) == found


def test_nearest_of_a_million_entries_is_found_without_a_list_of_them():
    field = b"," * 1_000_000 + A
    tracemalloc.start()
    try:
        assert behind(field) == "192.0.2.1"
        assert tracemalloc.get_traced_memory()[1] < 4 * len(field)
    finally:
        tracemalloc.stop()
