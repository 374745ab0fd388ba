"""Headers of an ASGI scope."""

import pytest

from asgi_flask_session.asgi import header


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ({}, None),  # they may be missing
        ({"headers": []}, None),
        ({"headers": [(b"host", b"a"), (b"x", b"b")]}, b"a"),
        ({"headers": [(b"Host", b"a"), (b"host", b"b")]}, b"a,b"),
        ({"headers": [(b"hosts", b"a")]}, None),
    ],
)
def test_header(scope, value):
    assert header(scope, b"host") == value
