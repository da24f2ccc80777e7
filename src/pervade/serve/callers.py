"""Whether a request comes from where it may: by what name the server was called, and from which page.

A web page elsewhere can have a browser send requests to this machine: under its own name, which it lets point here for
a moment (DNS rebinding), or under ours, as a form, a picture or a script (cross-site). The first shows in Host, the
second in Origin and Sec-Fetch-Site. None of the three can be written by a page.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from pervade.serve.faults import Fault

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ANY = frozenset({"0.0.0.0", "::", ""})
AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?")
LONGEST = 270  # signs of a name and a port
PORTS = {"http": "80", "https": "443"}


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches a server that listens at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def names(host: str, allowed: Iterable[str]) -> frozenset[str]:
    """What a server that listens at `host` may be called."""
    own = set() if host in ANY else {host}
    return frozenset(plain(name) for name in (*LOOPBACK, *own, *allowed))


def plain(name: str) -> str:
    """One spelling of a host's name or address."""
    name = name.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def require_called(headers: Mapping[str, list[str]], known: frozenset[str], here: str | None) -> str:
    """The Host of a request, by one of the `known` names or the address `here` at which it came in. Raises Fault."""
    given = headers.get("host", [])
    if len(given) != 1 or len(given[0]) > LONGEST or not (parts := AUTHORITY.fullmatch(given[0])):
        raise Fault(400, "a request names one host in the header Host, such as localhost:8000")
    name = plain(parts[1])
    if name not in known and (here is None or name != plain(here)):
        raise Fault(421, f"this server is not called {name}; start it with --allow-host {name} if it is meant to be")
    return given[0].lower()


def require_same_origin(headers: Mapping[str, list[str]], method: str, host: str, scheme: str) -> None:
    """Raises Fault where a page of another origin than `host`'s sends the request. A link to this server may be
    followed from anywhere."""
    told = headers.get("origin", [])
    kind = "".join(headers.get("sec-fetch-site", ["none"]))
    followed = (
        method in ("GET", "HEAD")
        and not told
        and headers.get("sec-fetch-mode") == ["navigate"]
        and headers.get("sec-fetch-dest") == ["document"]
    )
    same = all(_same(origin, host, scheme) for origin in told) and len(told) < 2
    if not same or (kind not in ("none", "same-origin") and not followed):
        raise Fault(403, "a page of another origin asks; open this server's own page, or ask without a browser")


def _same(origin: str, host: str, scheme: str) -> bool:
    """A proxy in front may have taken the TLS off, so a page by https may ask a server by http; not the other way."""
    kind, _, authority = origin.lower().partition("://")
    if kind not in PORTS or (scheme == "https" and kind != "https"):
        return False
    there, here = AUTHORITY.fullmatch(authority), AUTHORITY.fullmatch(host)
    if there is None or here is None:
        return False
    port = PORTS[kind]
    return (plain(there[1]), there[2] or port) == (plain(here[1]), here[2] or port)
