"""A real server on a free port of loopback, in a thread of this process, and bytes sent to it as they are."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pervade.serve import connections
from pervade.serve.guard import Doors, Guard, Seen
from pervade.serve.settings import Settings
from pervade.serve.tokens import Tokens

ADMIN = "an-admin-token-of-tests"


@dataclass
class Listening:
    port: int
    guard: Guard
    server: connections.Server
    seen: list[Seen] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def sends(self, data: bytes) -> bytes:
        """Everything that comes back for these bytes."""
        with self.connected() as client:
            client.sendall(data)
            return everything(client)

    def asks(self, method: str = "GET", path: str = "/", body: bytes | None = None, **headers: str) -> Answer:
        """A request as it stands here: nothing is added but Host, Connection and a body's length."""
        given = {"host": f"localhost:{self.port}", "connection": "close"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if body is not None:
            given.setdefault("content-length", str(len(body)))
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value is not None)
        return Answer.of(self.sends(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, data: bytes) -> Answer:
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return cls(int(first.split()[1]), {name.lower(): value for name, value in pairs}, body)


def everything(client: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def listening(app: Any, tokens: Tokens | None = None, doors: Doors | None = None, **fields: Any) -> Iterator[Listening]:
    """The `app` behind a guard, with settings of these fields; or a guard as it is."""
    seen: list[Seen] = []
    if isinstance(app, Guard):
        guard = app
    else:
        settings = replace(Settings(port=0, stop_within=2.0), **fields)
        guard = Guard(app, settings, tokens, Tokens(made=[ADMIN]), doors or Doors(), seen.append)
    server = connections.Server(connections.configured(guard, guard.settings))
    own = socket.create_server(("127.0.0.1", 0), backlog=2048)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [own]}, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not getattr(server, "servers", None) and thread.is_alive() and time.monotonic() < until:
        time.sleep(0.005)
    assert server.started, "the server did not start"
    yield Listening(own.getsockname()[1], guard, server, seen)
    server.should_exit = True
    thread.join(20)
    own.close()
    assert not thread.is_alive(), "the server does not end"
