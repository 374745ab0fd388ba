"""Sends requests to an ASGI app as a server does; the cookies are made and read by Flask itself.

No client library is between: cookie jars hide a second Set-Cookie of one name.
"""

import json
from dataclasses import dataclass
from typing import Any

import anyio
from driver import SECRET, Exchange, scope_for
from flask import Flask

FLASK = Flask("the_other_side")
FLASK.secret_key = SECRET
_SIGNER = FLASK.session_interface.get_signing_serializer(FLASK)

_LAST = {"http.response.body", "websocket.close", "websocket.http.response.body"}


def cookie_of(data: dict[str, Any]) -> str:
    return _SIGNER.dumps(data)


def data_of(value: str) -> dict[str, Any]:
    return _SIGNER.loads(value)


@dataclass
class Answer(Exchange):
    """What came back, and what the app raised at the server."""

    raised: BaseException | None = None

    def lines(self, name: str = "session") -> list[str]:
        return [line for line in self.set_cookies if line.startswith(f"{name}=")]

    @property
    def session(self) -> dict[str, Any] | None:
        """What the browser's session becomes: None if it stays as it was, {} if it ends."""
        lines = self.lines()
        assert len(lines) <= 1, lines
        if not lines:
            return None
        value = lines[0].partition(";")[0].removeprefix("session=")
        return data_of(value) if value else {}

    @property
    def status(self) -> int | None:
        return next((message["status"] for message in self.messages if "status" in message), None)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def causes(self) -> set[type[BaseException]]:
        """The types of what was raised and of what led to it: some frameworks put it into a group or another."""
        return set(_types(self.raised))


def _types(error: BaseException | None) -> list[type[BaseException]]:
    if error is None:
        return []
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else [error.__cause__]
    return [type(error), *(found for inner in inside for found in _types(inner))]


class Client:
    """Sends one request after another to *app*, each in an event loop of its own."""

    def __init__(self, app: Any, backend: str = "asyncio") -> None:
        self.app = app
        self.backend = backend

    def get(self, path: str, session: dict[str, Any] | None = None, **more: Any) -> Answer:
        """Send a GET request; *session* is what the browser's cookie holds, None if it has none."""
        more = {"type": "http", "http_version": "1.1", "scheme": "http", **more}
        headers = [(b"host", b"localhost"), *more.pop("headers", ())]
        scope = scope_for(
            None if session is None else cookie_of(session),
            path=path,
            headers=headers,
            raw_path=path.encode(),
            query_string=b"",
            client=("127.0.0.1", 50_000),
            server=("localhost", 80),
            asgi={"version": "3.0", "spec_version": "2.5"},
            state={},
            **more,
        )
        if scope["type"] == "websocket":
            del scope["method"]
        return anyio.run(self._exchange, scope, backend=self.backend)

    def websocket(self, path: str, session: dict[str, Any] | None = None) -> Answer:
        extensions = {"websocket.http.response": {}}
        return self.get(path, session, type="websocket", scheme="ws", subprotocols=[], extensions=extensions)

    async def _exchange(self, scope: dict[str, Any]) -> Answer:
        answer = Answer(scope=scope)
        finished = anyio.Event()
        to_come = [{"type": "websocket.connect"} if scope["type"] == "websocket" else {"type": "http.request"}]

        async def receive() -> dict[str, Any]:
            if to_come:
                return to_come.pop()
            await finished.wait()
            return {"type": f"{scope['type']}.disconnect", "code": 1000}

        async def send(message: dict[str, Any]) -> None:
            answer.messages.append(message)
            if message["type"] in _LAST and not message.get("more_body"):
                finished.set()

        try:
            with anyio.fail_after(20):
                await self.app(scope, receive, send)
        except Exception as error:  # noqa: BLE001  # whatever it is, a server would log it and go on
            answer.raised = error
        return answer
