"""How a server runs, with every bound in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    host: str = "127.0.0.1"  # loopback; another one needs `token_file`
    port: int = 8000
    threads: int | None = None  # that models compute with; None: a thread a core
    max_batch: int = 32  # inputs that are answered together, at most
    max_wait: float = 0.005  # seconds that the first of a batch waits for others, at most
    max_queue: int = 256  # inputs that wait, at most; one more is told to come again (429)
    max_body: int = 64 * 2**20  # bytes of a request
    max_held: int = 512 * 2**20  # bytes of all requests under way
    max_connections: int = 1000  # one more takes the place of the one that is idle longest
    head_within: float = 20.0  # seconds from a connection's start, or its last answer, to a request's last header
    body_within: float = 30.0  # seconds that a body takes at most, and one more for every `slowest` bytes of it
    slowest: int = 16_384  # bytes a second
    max_inputs: int = 256  # of one request
    max_pixels: int = 50_000_000  # of a picture, decoded
    max_seconds: float = 600.0  # of a recording
    max_text: int = 1_000_000  # characters of a text
    max_tokens: int = 4096  # that one request may have written
    deadline: float = 60.0  # seconds from a request's end to its answer, at most
    stop_within: float = 30.0  # seconds that requests under way have after SIGTERM
    token_file: Path | None = None  # a token a line; read again where it changed
    admin_token_file: Path | None = None  # of what changes the server's state; without it one is made at the start
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_tls: bool = False  # what stands before the server (a proxy, an ingress) speaks TLS for it
    allow_host: tuple[str, ...] = ()  # names by which it may be called, beside its own
    watch: bool = True  # whether what comes in is compared with what was learnt from
