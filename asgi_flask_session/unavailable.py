"""The answer to a request that the store cannot serve."""

from typing import Any

from .asgi import Scope, Send
from .errors import StoreUnavailable
from .logs import logger

UNAVAILABLE_TEXT = b"The session store is not available. Please try again.\n"
UNAVAILABLE_HEADERS = (
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"content-length", str(len(UNAVAILABLE_TEXT)).encode("ascii")),
    (b"retry-after", b"5"),  # seconds
    (b"cache-control", b"no-store"),
)
TRY_AGAIN_LATER = 1013  # a code of RFC 6455's registry


def log_unavailable(error: StoreUnavailable) -> None:
    """Tell the operator why requests are answered so."""
    logger().error("the session store is not available: %s", error)


def answer_in(response: Any) -> None:
    """Turn whatever response of Werkzeug's kind an app has made into the same 503."""
    response.headers.clear()
    response.status_code = 503
    response.set_data(UNAVAILABLE_TEXT)
    for name, value in UNAVAILABLE_HEADERS:
        response.headers[name.decode("ascii")] = value.decode("ascii")


async def answer_unavailable(scope: Scope, send: Send) -> None:
    """Answer 503 with Retry-After (RFC 9110, 15.6.4), or close a handshake where the server can send no response."""
    kind = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "session store not available"})
            return
        kind = "websocket.http.response"
    await send({"type": f"{kind}.start", "status": 503, "headers": list(UNAVAILABLE_HEADERS)})
    await send({"type": f"{kind}.body", "body": UNAVAILABLE_TEXT})
