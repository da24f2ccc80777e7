"""What every request passes before and after the application: who asks, by what name, from which page, how much and how
fast it sends; and what every answer bears.

    connection        serve/connections.py: heads that do not come, connections that nobody uses
    path, Host        no way up, by a name that is ours (serve/callers.py)
    Origin            no page of elsewhere
    Authorization     tokens (serve/tokens.py), where a file of them is given; always for what changes the server
    body              counted while it comes, never read ahead
    answer            security headers, a request id, one line in the log; a fault in the shape that its path asks for

Pure ASGI, since Starlette's middleware of functions would hold a streamed answer back.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pervade.core.terminal import tell
from pervade.serve import callers, faults, handlers
from pervade.serve.faults import Fault
from pervade.serve.settings import Settings
from pervade.serve.tokens import Tokens

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What a browser is to keep to. A page that needs more sends a policy of its own.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=(), payment=(), usb=()"),
    (b"cache-control", b"no-store"),
)
ABOUT_BROWSERS = {"host", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"}
READ = {"content-length", "transfer-encoding", "authorization", *ABOUT_BROWSERS}
BEARER = re.compile(r"bearer +([^\s,]+) *", re.IGNORECASE)
IN_QUERY = re.compile(r"(?:^|[&;])(?:access_|api_|auth_)?(?:token|key)=", re.IGNORECASE)
GONE = 499  # what the log says where the client went away before there was an answer, as nginx does


@dataclass(frozen=True)
class Doors:
    """Which requests need which token, by method and path."""

    admin: Callable[[str, str], bool] = lambda method, path: path.startswith("/admin/")
    # The page, which asks for a token itself, and what asks whether the server lives. Nothing of a model is in them.
    free: frozenset[str] = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/favicon.ico"}) | {
        "/v2/health/live",
        "/v2/health/ready",
    }
    free_below: tuple[str, ...] = ("/page/",)

    def is_free(self, method: str, path: str) -> bool:
        return method in ("GET", "HEAD") and (path in self.free or path.startswith(self.free_below))


@dataclass
class Seen:
    """All that is kept of a request."""

    id: str
    method: str
    began: float
    route: str = "-"  # the template, never the path
    status: int = GONE
    received: int = 0  # bytes of its body
    sent: int = 0
    seconds: float = 0.0


def logged(seen: Seen) -> None:
    sizes = f"{seen.received} {seen.sent}"
    tell(f"{seen.id} {seen.method} {seen.route} {seen.status} {sizes} {1000 * seen.seconds:.1f} ms")


@dataclass
class Guard:
    """ASGI middleware around all of an application.

    `tokens` are asked of everyone where they are given; `admin` tokens open what `doors` calls so, and everything
    else."""

    app: ASGIApp
    settings: Settings
    tokens: Tokens | None
    admin: Tokens
    doors: Doors = field(default_factory=Doors)
    log: Callable[[Seen], None] = logged
    held: int = 0  # bytes of all bodies under way

    def __post_init__(self) -> None:
        self.names = callers.names(self.settings.host, self.settings.allow_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Passage(self, scope, receive, send).go()
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)

    def require(self, scope: Scope, headers: dict[str, list[str]]) -> None:
        """Raises Fault where the request may not pass, whatever its body is."""
        path, method = scope["path"], scope["method"]
        require_plain(path, scope.get("raw_path") or b"")
        server = scope.get("server")
        here = server[0] if server and server[1] is not None else None  # without a port it is a socket in a folder
        host = callers.require_called(headers, self.names, here)
        callers.require_same_origin(headers, method, host, scope.get("scheme", "http"))
        self._require_token(method, path, headers, scope.get("query_string", b""))
        length = headers.get("content-length", ["0"])
        if len(length) > 1 or not (length[0].isascii() and length[0].isdigit()):
            raise Fault(400, "a request says its length once, as a whole number of bytes, in Content-Length")
        if len(length[0]) > 18 or int(length[0]) > self.settings.max_body:
            raise self.too_large()

    def _require_token(self, method: str, path: str, headers: dict[str, list[str]], query: bytes) -> None:
        admin = self.doors.admin(method, path)
        if not admin and (self.tokens is None or self.doors.is_free(method, path)):
            return
        which = "the server's admin token" if admin else "a token"
        told = {"WWW-Authenticate": 'Bearer realm="pervade"'}
        given = headers.get("authorization", [])
        if not given:
            if IN_QUERY.search(query.decode("latin-1")):
                why = "a token in the address is not taken, since addresses are written down on the way"
                raise Fault(401, f"{why}; send it as the header Authorization: Bearer TOKEN", headers=told)
            raise Fault(401, f"this needs {which}; send the header Authorization: Bearer TOKEN", headers=told)
        if len(given) > 1 or not (parts := BEARER.fullmatch(given[0])):
            raise Fault(401, "the header Authorization is to be one, of the form Bearer TOKEN", headers=told)
        if self.admin.hold(parts[1]):
            return
        known = self.tokens is not None and self.tokens.hold(parts[1])
        if known and admin:
            raise Fault(403, "this token may ask, and not change the server; send its admin token")
        if not known:
            told = {"WWW-Authenticate": 'Bearer realm="pervade", error="invalid_token"'}
            raise Fault(401, f"this token is not known here; send {which} as it was given out", headers=told)

    def too_large(self) -> Fault:
        return Fault(413, f"a request has at most {self.settings.max_body:,} bytes here; send less, or in several")


class Passage:
    """One request on its way through the guard."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.guard, self.scope = guard, scope
        self.receive, self.send = receive, send
        self.seen = Seen(secrets.token_hex(8), scope["method"], time.monotonic())
        self.fault: Fault | None = None  # of the body, which the application may take for one of its own
        self.begun = self.ended = False  # the answer
        self.whole = False  # the body
        self.gone = False  # the client

    async def go(self) -> None:
        try:
            self.guard.require(self.scope, self._headers())
            await self.guard.app(self.scope, self.take, self.give)
        except Fault as fault:
            self.fault = self.fault or fault
        except asyncio.CancelledError:  # asked to stop, and the time for it is over
            await self._tell(Fault(503, "the server stops; ask again in a moment", headers={"Retry-After": "5"}))
            raise
        except Exception as error:
            if self.gone:
                return
            known = handlers.of(error)
            if known.status >= 500 and not isinstance(error, Fault):
                tell(f"{self.seen.id} failed: {where(error)}")
            self.fault = self.fault or known
            if self.begun and not self.ended:
                raise  # which closes the connection: the client sees that the answer is cut off
        finally:
            if self.fault is not None:
                await self._tell(self.fault)
            self.guard.held -= self.seen.received
            self.seen.seconds = time.monotonic() - self.seen.began
            self.seen.route = getattr(self.scope.get("route"), "path", "-")
            self.guard.log(self.seen)

    def _headers(self) -> dict[str, list[str]]:
        headers: dict[str, list[str]] = {}
        for name, value in self.scope["headers"]:
            if (key := name.decode("latin-1").lower()) in READ:
                headers.setdefault(key, []).append(value.decode("latin-1").strip())
        return headers

    async def take(self) -> Message:
        """The next piece of the body. Raises Fault where it is too much or comes too slowly."""
        if self.whole:
            return await self.receive()
        settings = self.guard.settings
        try:
            patience = settings.body_within + self.seen.received / settings.slowest
            async with asyncio.timeout(self.seen.began + patience - time.monotonic()):
                message = await self.receive()
        except TimeoutError:
            slow = f"{settings.body_within:g} s, and a second more for every {settings.slowest:,} bytes of it"
            self.fault = Fault(408, f"the body of this request did not come in time ({slow}); send it faster")
            raise self.fault from None
        if message["type"] != "http.request":
            self.gone = True
            return message
        size = len(message.get("body", b""))
        self.seen.received += size
        self.guard.held += size
        self.whole = not message.get("more_body", False)
        if self.seen.received > settings.max_body:
            self.fault = self.guard.too_large()
        elif self.guard.held > settings.max_held:
            busy = "the requests under way hold as much as this server takes at once; ask again in a moment"
            self.fault = Fault(429, busy, headers={"Retry-After": "1"})
        if self.fault is not None:
            raise self.fault
        return message

    async def give(self, message: Message) -> None:
        """A piece of the application's answer; nothing of it where the request turned out to be at fault, or its
        client went away before it was whole."""
        if (self.fault is not None or self.gone) and not self.begun:
            return
        if message["type"] == "http.response.start":
            self.begun, self.seen.status = True, message["status"]
            message = {**message, "headers": self._dressed(message.get("headers", ()))}
        elif message["type"] == "http.response.body":
            self.seen.sent += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        await self.send(message)

    def _dressed(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        own = [(name.lower(), value) for name, value in headers]
        there = {name for name, _ in own}
        more = [(name, value) for name, value in HEADERS if name not in there]
        return [*own, *more, (b"x-request-id", self.seen.id.encode())]

    async def _tell(self, fault: Fault) -> None:
        """The fault as an answer, where there is none yet."""
        if self.begun or self.gone:
            return
        self.begun = self.ended = True
        body, kind = faults.body(fault, self.scope["path"])
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
        self.seen.status, self.seen.sent = fault.status, len(body)
        start: dict[str, Any] = {"type": "http.response.start", "status": fault.status}
        await self.send({**start, "headers": self._dressed(headers)})
        await self.send({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})


def require_plain(path: str, raw: bytes) -> None:
    """Raises Fault at a path that leads upwards, or that two programs might read differently."""
    lowered = raw.lower()
    crooked = any(part in (".", "..") for part in re.split(r"[/\\]", path)) or "\\" in path or not path.isprintable()
    if crooked or b"%2f" in lowered or b"%5c" in lowered or not path.startswith("/"):
        raise Fault(400, "an address here has neither . nor .. nor a backslash nor an encoded slash as a part of it")


def where(error: BaseException) -> str:
    """What kind of error it was and where it came up, and nothing that a client sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__} at {place}"
