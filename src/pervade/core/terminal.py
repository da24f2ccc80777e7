"""The one way out to the terminal: `echo` for what was asked for, on standard output, `tell` for all else, on standard
error. Both take one line, and what could steer a terminal or forge a further line in it is shown as an escape.

Where standard error cannot be written, nobody can be told, and the work goes on. Where standard output cannot, the
command ends: quietly, with the status of SIGPIPE, where its reader went away, else with one line that says so.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from pervade.core.errors import ResourceError

# Control characters, marks without width or that turn the reading direction, halves of characters, line separators.
STEERING = ("Cc", "Cf", "Cs", "Zl", "Zp")
JOINERS = "\u200c\u200d"  # between letters of Persian and Hindi and inside emoji, where they belong
# A name that is read from the right, set apart as Unicode asks for: nothing in it reaches beyond it.
ISOLATED = re.compile("\u2068([^\u2066-\u2069]*)\u2069")


def visible(text: object, keep: str = "") -> str:
    """The text with everything that steers a terminal as an escape; the characters in `keep` stay.

    >>> print(visible("a\\tb\\x1b[2J"))
    a\\tb\\x1b[2J
    """
    whole, parts, last = str(text), [], 0
    if whole.isascii() and whole.isprintable():
        return whole
    for match in ISOLATED.finditer(whole):
        parts += [_escaped(whole[last : match.start()], keep), "\u2068", _escaped(match[1], keep), "\u2069"]
        last = match.end()
    return "".join([*parts, _escaped(whole[last:], keep)])


def _escaped(text: str, keep: str) -> str:
    return "".join(
        sign.encode("unicode_escape").decode() if _steers(sign) and sign not in keep else sign for sign in text
    )


def _steers(character: str) -> bool:
    return unicodedata.category(character) in STEERING and character not in JOINERS


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON whose strings are exact: what steers a terminal, or what standard output cannot encode, stands as \\uXXXX in
    them."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"

    def safe(sign: str) -> str:
        # Inside strings line breaks are escaped already: those left are the layout.
        plain = sign == "\n" or not (_steers(sign) or sign.encode(encoding, "ignore") == b"")
        return sign if plain else json.dumps(sign)[1:-1]

    return text if text.isascii() and "\x7f" not in text else "".join(map(safe, text))


def echo(*fields: object, end: str = "\n", keep: str = "") -> None:
    """A line of what was asked for, a tab between its fields. Raises ResourceError where it cannot be written,
    SystemExit where nobody reads any more."""
    try:
        print(*(visible(field, keep) for field in fields), sep="\t", end=end, flush=True)  # noqa: T201
    except OSError as error:
        _to_nowhere(1)
        if isinstance(error, BrokenPipeError):
            raise SystemExit(128 + signal.SIGPIPE) from None
        problem = f"standard output cannot be written ({error.strerror}); send it to a file: > FILE"
        raise ResourceError(problem) from None


def tell(line: str) -> None:
    """A line for whoever watches."""
    if sys.stderr is not None:  # closed, in a program that imports Pervade: print would take standard output instead
        print(visible(line), file=SafeStderr(sys.stderr), flush=True)


class SafeStderr:
    """Standard error, which never fails: where it is closed or full, or its reader or its terminal is gone, all that
    follows goes nowhere."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with self._nowhere_in_need():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._nowhere_in_need():
            self.stream.flush()

    @contextmanager
    def _nowhere_in_need(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            _to_nowhere(2)


def leave() -> None:
    """What a library left in the buffer of standard output, before the command ends."""
    try:
        sys.stdout.flush()
    except OSError:
        _to_nowhere(1)


def _to_nowhere(descriptor: int) -> None:
    """What still waits to be written goes there too, or Python would fail once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def open_streams() -> None:
    """Of a command, first of all: opens the standard streams that whoever started it has closed. Else the next file
    that is opened would be in their place, and what a library prints would go into it. Writing to a standard output
    that was closed fails, as anywhere else. What an encoding has no signs for stands as an escape."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            flags = os.O_WRONLY if descriptor == 2 else os.O_RDONLY
            nowhere = os.open(os.devnull, flags)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
