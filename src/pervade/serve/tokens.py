"""Bearer tokens (RFC 6750): who may ask, and who may change the server.

A file holds one a line; empty lines and lines that begin with # are skipped. It is read again where it changed, so that
tokens are replaced under a running server: write the new one below the old, let clients change over, take the old one
out. Where the file cannot be used any more, no token of it is good until it can.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from pervade.core.errors import ConfigError
from pervade.core.terminal import tell

SHORTEST, LONGEST = 16, 1024  # characters: 16 drawn by `openssl rand -hex 8` are 64 random bits
MOST, MOST_BYTES = 1000, 2**20
SIGNS = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # of which RFC 6750 lets a token be made
UNSETTLED = 2.0  # seconds after a write in which a second one may bear the same time


class Tokens:
    """Those of a file, or made ones, of which only digests are kept."""

    def __init__(self, file: Path | None = None, made: Sequence[str] = ()) -> None:
        """Raises ConfigError as `read`."""
        self.file = file
        self.complaint = ""  # about the file, said once
        self.digests = [_digest(token) for token in made]
        self.stamp = self._look()
        if file is not None:
            self.digests = read(file)

    @classmethod
    def drawn(cls) -> tuple[Tokens, str]:
        """One token of 256 random bits, and what it is."""
        token = secrets.token_urlsafe(32)
        return cls(made=[token]), token

    def hold(self, token: str) -> bool:
        """Whether it is one of them. How long the answer takes says nothing of any of them."""
        if self.file is not None and (stamp := self._look()) != self.stamp:
            self.stamp = stamp
            self._read_again(self.file)
        asked = _digest(token)
        return sum([hmac.compare_digest(asked, known) for known in self.digests]) > 0

    def _read_again(self, file: Path) -> None:
        before, complaint = self.digests, ""
        try:
            self.digests = read(file)
        except ConfigError as error:
            self.digests, complaint = [], str(error)
        if complaint and complaint != self.complaint:
            tell(f"tokens  {complaint}; no token of it is good until then")
        elif not complaint and self.digests != before:
            tell(f"tokens  {file} was read again; it holds {len(self.digests)}")
        self.complaint = complaint

    def _look(self) -> tuple[float, ...]:
        """What tells one state of the file from another."""
        if self.file is None:
            return ()
        try:
            state = self.file.stat()
        except OSError as error:
            return (error.errno or 0,)
        now = time.time()
        again = now if now - state.st_mtime < UNSETTLED else 0.0
        return state.st_ino, state.st_size, state.st_mtime_ns, again


def read(file: Path) -> list[bytes]:
    """The digests of the tokens in a file. Raises ConfigError where it cannot be read, holds none, or one that is none;
    no token is in a message."""
    remedy = "write one token a line, such as `openssl rand -hex 32` prints"
    try:
        if not file.is_file():
            raise ConfigError(f"{file} is no file; {remedy}")
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        lines = data.decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the tokens of {file} cannot be read ({error}); {remedy}") from None
    tokens: list[str] = []
    for number, line in enumerate(lines, 1):
        token = line.strip(" \t\r")
        if not token or token.startswith("#"):
            continue
        if not SIGNS.fullmatch(token) or not SHORTEST <= len(token) <= LONGEST:
            raise ConfigError(
                f"{file}, line {number}, is no token: {SHORTEST} to {LONGEST:,} of the signs A-Z a-z 0-9 - . _ ~ + / "
                f"and = at the end; {remedy}"
            )
        tokens.append(token)
    if not tokens:
        raise ConfigError(f"{file} holds no token; {remedy}")
    if len(tokens) > MOST or len(data) > MOST_BYTES:
        raise ConfigError(f"{file} holds more than {MOST:,} tokens or {MOST_BYTES:,} bytes; keep fewer")
    return [_digest(token) for token in tokens]


def _digest(token: str) -> bytes:
    """Of one length for all, so that a comparison takes as long for each."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
