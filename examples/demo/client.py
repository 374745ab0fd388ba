"""A browser's share: keeps the session cookie, and counts how many came with each response."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

COOKIE = "session"


class Fault(Exception):
    """What was found where something else should have been."""


class Client:
    """Keeps of several cookies of one name the last, as browsers do.

    Not a client with a cookie jar: Python's handles deletions first, and tells nobody of a second cookie.
    """

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url).netloc
        self.cookie: str | None = None
        self.cookies_sent: list[tuple[str, int]] = []  # per response: to which request, how many

    def get(self, path: str, **query: object) -> Any:
        return self._json("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, **body: object) -> Any:
        return self._json("POST", path, json.dumps(body), "application/json")

    def page(self, path: str) -> str:
        return self._request("GET", path)

    def submit(self, path: str, **fields: str) -> None:
        """Send an HTML form."""
        self._request("POST", path, urlencode(fields), "application/x-www-form-urlencoded")

    def handshake(self, path: str, **query: str) -> None:
        """Open a websocket, and close it."""
        headers = {} if self.cookie is None else {"Cookie": self.cookie}
        url = f"ws://{self.address}{path}?{urlencode(query)}"
        try:
            with connect(url, additional_headers=headers, proxy=None, open_timeout=60) as websocket:
                assert websocket.response is not None
                self._keep(f"websocket {path}", websocket.response.headers.get_all("set-cookie"))
        except (OSError, WebSocketException) as error:
            raise Fault(f"websocket {path}: {error!r}") from error

    def _json(self, *request: str) -> Any:
        text = self._request(*request)
        try:
            return json.loads(text)
        except ValueError as error:
            raise Fault(f"{request[0]} {request[1]} was answered with no JSON") from error

    def _request(self, method: str, path: str, body: str | None = None, content_type: str = "") -> str:
        headers = {} if self.cookie is None else {"Cookie": self.cookie}
        if body is not None:
            headers["Content-Type"] = content_type
        connection = HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        except (OSError, HTTPException, ValueError) as error:
            raise Fault(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        self._keep(f"{method} {path}", response.headers.get_all("set-cookie", []))
        if response.status >= 400:
            raise Fault(f"{method} {path} was answered with {response.status}")
        return text

    def _keep(self, request: str, lines: list[str]) -> None:
        ours = [line for line in lines if line.startswith(f"{COOKIE}=")]
        self.cookies_sent.append((request, len(ours)))
        for line in ours:
            pair, *attributes = line.split("; ")
            self.cookie = None if "Max-Age=0" in attributes else pair
