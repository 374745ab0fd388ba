"""Clients that send header fields as they are told to, and show the fields that came."""

import json
import socket
from dataclasses import dataclass
from typing import Any

import h2.config
import h2.connection
import h2.events
import h11
from frameworks.drive import cookie_of, data_of
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

DEADLINE = 10  # seconds for one exchange

Fields = list[tuple[str, str]]


@dataclass
class Response:
    status: int
    fields: Fields
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def session(self) -> dict[str, Any] | None:
        """What the browser's session becomes: None if it stays as it was, {} if it ends."""
        lines = self.all("set-cookie")
        assert len(lines) <= 1, lines
        if not lines:
            return None
        value = lines[0].partition(";")[0].removeprefix("session=")
        return data_of(value) if value else {}


def session_cookie(data: dict[str, Any]) -> tuple[str, str]:
    return ("cookie", f"session={cookie_of(data)}")


def http1(port: int, target: str, fields: Fields) -> Response:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(
        method="GET", target=target, headers=[("host", "localhost"), ("connection", "close"), *fields]
    )
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as wire:
        wire.sendall(connection.send(request) + connection.send(h11.EndOfMessage()))
        response = Response(0, [])
        while True:
            match connection.next_event():
                case h11.NEED_DATA:
                    connection.receive_data(wire.recv(65536))
                case h11.Response(status_code=status, headers=headers):
                    response = Response(
                        status, [(name.decode(), value.decode()) for name, value in headers.raw_items()]
                    )
                case h11.Data(data=data):
                    response.body += data
                case h11.EndOfMessage():
                    return response


def http2(port: int, target: str, fields: Fields) -> Response:
    """Send one request without an upgrade or TLS, by prior knowledge (RFC 9113, 3.3)."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    request = [(":method", "GET"), (":path", target), (":scheme", "http"), (":authority", "localhost"), *fields]
    connection.send_headers(1, request, end_stream=True)
    response = Response(0, [])
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as wire:
        while True:
            wire.sendall(connection.data_to_send())
            data = wire.recv(65536)
            assert data, "the server closed the connection"
            for event in connection.receive_data(data):
                match event:
                    case h2.events.ResponseReceived(headers=headers):
                        response = Response(int(dict(headers)[":status"]), headers)
                    case h2.events.DataReceived(data=data, flow_controlled_length=length):
                        response.body += data
                        connection.acknowledge_received_data(length, 1)
                    case h2.events.StreamEnded():
                        return response
                    case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                        raise ConnectionError(repr(event))


def websocket(port: int, path: str, fields: Fields) -> Response:
    """Shake hands and read one message; a handshake that is denied is a response like another."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as wire:
        try:
            with connect(f"ws://localhost:{port}{path}", sock=wire, additional_headers=fields) as connection:
                answer, body = connection.response, connection.recv(DEADLINE)
        except InvalidStatus as refusal:
            answer, body = refusal.response, refusal.response.body or b""
    return Response(answer.status_code, list(answer.headers.raw_items()), body)


PROTOCOLS = {"HTTP/1.1": http1, "HTTP/2": http2}
