"""What comes over the network, and that it never comes silently.

Every download is announced first: what, from where, how large. `PERVADE_OFFLINE=1` (or the Hugging Face Hub's own
`HF_HUB_OFFLINE=1`) forbids them all; proxies are taken from `https_proxy` as everywhere.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from pervade.core import files
from pervade.core.errors import CheckpointError
from pervade.core.terminal import tell

PATIENCE = 20.0  # seconds without a byte after which a server counts as gone
PIECE = 1 << 20  # bytes read at once
TRUE = ("1", "on", "yes", "true")


_say: ContextVar[Callable[[str], None]] = ContextVar("say", default=tell)


def announce(text: str) -> None:
    """Says one line where the caller's screen is; on standard error where nobody has said where that is."""
    _say.get()(text)


@contextmanager
def announcing(say: Callable[[str], None]) -> Iterator[None]:
    """Inside, `announce` goes to `say`."""
    token = _say.set(say)
    try:
        yield
    finally:
        _say.reset(token)


def offline() -> str | None:
    """The environment variable that forbids downloads, None where none does."""
    for name in ("PERVADE_OFFLINE", "HF_HUB_OFFLINE"):
        if os.environ.get(name, "").lower() in TRUE:
            return f"{name}={os.environ[name]}"
    return None


def reachable(host: str, seconds: float = 2.0) -> bool:
    """Whether the host, or the proxy in front of it, answers within this time."""
    port = 443
    proxy = urllib.request.getproxies().get("https")
    if proxy and not urllib.request.proxy_bypass(host):
        address = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
        host, port = address.hostname or host, address.port or 80
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except (OSError, UnicodeError):
        return False


def megabytes(size: int | None) -> str:
    """
    >>> megabytes(46_830_571)
    '47 MB'
    """
    if size is None:
        return "size unknown"
    if size < 100_000:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"


def remedies(what: str) -> str:
    """What to do where `what` cannot be downloaded, the end of a message."""
    return (
        f"copy {what} here and name it with --init PATH, start without it with --init random, or mend the way there "
        "(https_proxy for a proxy, HF_ENDPOINT for a mirror of the Hub, TORCH_HOME or HF_HOME for a folder that has it)"
    )


def fetch(url: str, to: Path, what: str, sha256: str = "") -> Path:
    """The file at `url`, in `to`; taken from there where it lies there already.

    `sha256` is the digest, or its beginning. Raises CheckpointError where downloads are forbidden, the server cannot be
    reached, or what came is not what was published.
    """
    if to.is_file():
        return to
    forbidden = offline()
    if forbidden:
        raise CheckpointError(f"{what} is not in {to.parent}, and {forbidden} forbids downloads; {remedies(url)}")
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer, files.temporary(to) as part:
            length = answer.headers.get("Content-Length")
            size = int(length) if length and length.isdigit() else None
            announce(f"downloading {what}: {megabytes(size)} from {url} to {to.parent}")
            digest, got = hashlib.sha256(), 0
            with part.open("wb") as file:
                while piece := answer.read(PIECE):
                    file.write(piece)
                    digest.update(piece)
                    got += len(piece)
            if size is not None and got != size:
                raise CheckpointError(f"{url} broke off after {megabytes(got)} of {megabytes(size)}; try again")
            if not digest.hexdigest().startswith(sha256):
                raise CheckpointError(
                    f"{url} is not what was published: its SHA-256 is {digest.hexdigest()[:16]}…, not {sha256}…; "
                    "something on the way changed it"
                )
            part.replace(to)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise CheckpointError(f"{what} cannot be downloaded from {url} ({reason}); {remedies(url)}") from None
    return to
