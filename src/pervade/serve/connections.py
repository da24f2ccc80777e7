"""Connections: what uvicorn leaves without a bound. A head that comes drop by drop, or never ends; a connection that
nobody uses; a body that is still sent after its answer; an answer that is not fetched.

There are at most so many connections. One more takes the place of the one that has waited longest for its next request,
so that any number of idle ones keeps nobody out; where all are at work it is told to come again.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pervade.serve import faults
from pervade.serve.faults import Fault
from pervade.serve.guard import HEADERS
from pervade.serve.settings import Settings

# Seconds that is still taken, and thrown away, what comes after an answer: where a connection is closed with something
# unread, its client may not get to see the answer.
LINGER, LINGER_REFUSED = 5.0, 1.0
HANDSHAKE = 10.0  # seconds
FILES = 20_000  # open files that are asked of the system
RESERVED = 200  # open files beside connections: weights, temporary files, libraries
SLOW = Fault(408, "the head of this request did not come in time; send it faster")
LONG = Fault(431, "the head of a request has at most 64 KiB; send a shorter address and fewer headers")
BROKEN = Fault(400, "this is no HTTP request; ask by HTTP/1.1, with https:// where the server has a certificate")
MANY = Fault(503, "all connections of this server are at work; ask again in a moment", headers={"Retry-After": "1"})
LONGEST_HEAD = 65_536  # bytes


class Idle(dict["Connection", None]):
    """Connections that wait for a head, the longest waiting first."""


def configured(app: Any, settings: Settings) -> uvicorn.Config:
    """How uvicorn runs an application. It logs nothing (serve/guard.py does), says nothing of itself, and believes no
    header about who asks. Nor does what reads forms, which would write down what it could not read."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    return uvicorn.Config(
        app,
        http=functools.partial(Connection, settings=settings, idle=Idle(), most=room(settings.max_connections)),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",  # without a handler Python would print warnings, with what clients sent in them
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=math.ceil(settings.head_within),
        timeout_graceful_shutdown=math.ceil(settings.stop_within),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )


class Server(uvicorn.Server):
    """uvicorn's, with less patience for a handshake (TLS) that does not come. A minute is usual, in which nobody counts
    the connection."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens on the `sockets` that it is given."""
        await super().startup([])
        context = self.config.ssl
        patience = None if context is None else HANDSHAKE
        for listening in sockets or []:
            self.servers.append(
                await asyncio.get_running_loop().create_server(
                    self._connection,
                    sock=listening,
                    ssl=context,
                    backlog=self.config.backlog,
                    ssl_handshake_timeout=patience,
                )
            )

    def _connection(self) -> asyncio.Protocol:
        state = {"server_state": self.server_state, "app_state": self.lifespan.state}
        return self.config.http_protocol_class(config=self.config, **state)  # type: ignore[call-arg]


def room(most: int) -> int:
    """How many connections there can be, of `most`: each is an open file, and a process has so many of these."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return most
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(most + RESERVED, FILES)  # so that those that are shaking hands over TLS have room, too
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return most if soft == resource.RLIM_INFINITY else max(min(most, soft - RESERVED), 1)


class Connection(HttpToolsProtocol):
    """One connection. It waits for a head, or answers a request, or throws the rest of a body away."""

    def __init__(self, *args: Any, settings: Settings, idle: Idle, most: int, **named: Any) -> None:
        super().__init__(*args, **named)
        self.settings, self.idle, self.most = settings, idle, most
        self.timer: asyncio.TimerHandle | None = None
        self.unread: asyncio.TimerHandle | None = None
        self.head = 0  # bytes of a head that is not whole yet
        self.in_body = self.deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            if not self.idle:
                self._refuse(MANY)
                return
            next(iter(self.idle)).drop()
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        if self.deaf or self.transport.is_closing():
            return
        if not self.in_body:
            self.head += len(data)
        super().data_received(data)
        if not self.in_body and self.head > LONGEST_HEAD and not self._at_work():
            self._refuse(LONG)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self.head, self.in_body = 0, True
        super().on_headers_complete()
        self.cycle.transport = Writing(self)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        self.in_body = False
        super().on_message_complete()
        if not self._at_work():
            self._stop_waiting()
            self._wait_for_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._at_work():  # the next request was sent with the last
            return
        if self.in_body:
            self._arm(LINGER, self.drop)
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread = self.loop.call_later(self.settings.body_within, self.drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.unread is not None:
            self.unread.cancel()
            self.unread = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(BROKEN)

    def timeout_keep_alive_handler(self) -> None:
        self.drop()

    def drop(self) -> None:
        """Ends it at once, whatever is on its way."""
        self._stop_waiting()
        self.transport.abort()

    def _at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._arm(self.settings.head_within, self._head_is_late)
        self.idle[self] = None

    def _arm(self, seconds: float, then: Any) -> None:
        self._stop_waiting()
        self.timer = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        self.idle.pop(self, None)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _head_is_late(self) -> None:
        if self.head:
            self._refuse(SLOW)
        else:
            self.drop()

    def _refuse(self, fault: Fault) -> None:
        """An answer where there is no request yet that the application could be asked."""
        self._stop_waiting()
        if self.deaf or self._at_work() or len(self.connections) > self.most + RESERVED // 2:
            self.drop()  # another answer is on its way, or there is no room for good manners
            return
        body, kind = faults.body(fault, "")
        own = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        own += [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
        head = b"".join(b"%b: %b\r\n" % pair for pair in [*own, *HEADERS, *self.server_state.default_headers])
        self.transport.write(STATUS_LINE[fault.status] + head + b"\r\n" + body)
        self.finish(LINGER_REFUSED)

    def finish(self, seconds: float) -> None:
        """Nothing more is said, nor listened to; what still comes is thrown away for so long."""
        if not self.transport.can_write_eof():  # TLS
            self.transport.close()
        elif not self.transport.is_closing():
            self.deaf = True
            self.transport.write_eof()
            self._arm(seconds, self.drop)


class Writing:
    """What an answer is written to: it ends a connection no sooner than its client has read the answer."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.write = connection.transport.write
        self.is_closing = connection.transport.is_closing

    def close(self) -> None:
        if self.connection.in_body:
            self.connection.finish(LINGER)
        else:
            self.connection.transport.close()
