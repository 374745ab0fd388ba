"""The answer to a request that the store cannot serve."""

from .asgi import Scope, Send

_RETRY_AFTER = b"5"  # seconds
_TEXT = b"The session store is not available. Please try again.\n"
_TRY_AGAIN_LATER = 1013  # a code of RFC 6455's registry


async def answer_unavailable(scope: Scope, send: Send) -> None:
    """Answer 503 with Retry-After (RFC 9110, 15.6.4), or close a handshake where the server can send no response."""
    kind = "http.response"
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": "session store not available"})
            return
        kind = "websocket.http.response"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(_TEXT)).encode("ascii")),
        (b"retry-after", _RETRY_AFTER),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": f"{kind}.start", "status": 503, "headers": headers})
    await send({"type": f"{kind}.body", "body": _TEXT})
