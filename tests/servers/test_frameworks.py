"""Six frameworks share one session over real sockets, on every server: the demo's own check, row by row."""

import pytest

from examples.demo import check, table
from examples.demo.client import Client

ON_TRIO = {"fastapi": "FastAPI", "litestar": "Litestar", "raw": "raw ASGI"}  # the others need asyncio


def test_six_frameworks_share_one_session(demo_server, monkeypatch):
    on_trio = demo_server.server.name.startswith("hypercorn-trio")
    if on_trio:
        monkeypatch.setattr(check, "APPS", ON_TRIO)
        monkeypatch.setattr(table, "APPS", ON_TRIO)
    lines = []
    rows = table.Table(lines.append)
    visitor = check.Visitor(Client(f"http://127.0.0.1:{demo_server.port}"), rows)
    visitor.types()
    visitor.flashes()
    visitor.empty()
    if not on_trio:
        visitor.log_in()
        visitor.log_out()
        visitor.forged_form()
        visitor.both_write()
    if demo_server.server.sends_accept_headers:
        visitor.websocket()
    visitor.cookies()
    assert rows.wrong == []
    assert len(lines) > 10


def test_row_with_a_wrong_cell_is_told(demo_server):
    """So that the test above can fail."""
    rows = table.Table(lambda text: None)
    visitor = check.Visitor(Client(f"http://127.0.0.1:{demo_server.port}"), rows)
    visitor.row("nothing written", lambda: None, lambda app: visitor.expect_value("raw", key="absent", value="1"))
    assert rows.wrong


@pytest.mark.parametrize("path", ["fastapi", "litestar", "raw"])
def test_framework_that_is_only_read_gets_no_cookie(demo_server, path):
    client = Client(f"http://127.0.0.1:{demo_server.port}")
    client.get(f"/{path}/session")
    assert [count for _, count in client.cookies_sent] == [0]
