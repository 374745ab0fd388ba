"""The page's files, served from memory."""

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("page")
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js", "/icon.svg": "icon.svg"}
TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}


class Static:
    def __init__(self) -> None:
        self.files = {path: (FOLDER / name).read_bytes() for path, name in FILES.items()}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
            return
        body = self.files.get(scope["path"])
        if body is None:
            status, content_type, body = 404, b"text/plain", b"There is nothing here.\n"
        else:
            status, content_type = 200, TYPES[Path(FILES[scope["path"]]).suffix]
        headers = [
            (b"content-type", content_type),
            (b"content-security-policy", b"default-src 'self'"),
            (b"cache-control", b"no-cache"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
