"""What a response owes to the session, in the objects that Quart has for it."""

from contextlib import suppress

from quart import Response, has_websocket_context, websocket
from werkzeug.datastructures import Headers

from asgi_flask_session.cookies import add_vary
from asgi_flask_session.unavailable import TRY_AGAIN_LATER, answer_in


async def refuse(response: Response) -> None:
    """Answer 503, or close a websocket where the server can send no response to its handshake."""
    if has_websocket_context() and "websocket.http.response" not in (websocket.scope.get("extensions") or {}):
        with suppress(RuntimeError):  # it is closed
            await websocket.close(TRY_AGAIN_LATER, "session store not available")
    answer_in(response)


def vary_by_cookie(headers: Headers) -> None:
    """Make the response vary by cookie, beside whatever else it varies by."""
    there = headers.getlist("Vary")
    if not there:
        headers.add("Vary", "Cookie")
        return
    vary = [(b"vary", value.encode("latin-1")) for value in there]
    add_vary(vary)
    headers.setlist("Vary", [value.decode("latin-1") for _, value in vary])
