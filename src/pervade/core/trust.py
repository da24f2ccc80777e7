"""Whether code that is not ours may run. Only the person who starts the process says so, each time anew: no recipe,
checkpoint or run can, since these come from others too."""

from __future__ import annotations

_allowed = False
_named: set[str] = set()


def allow(yes: bool = True) -> None:
    """From now on, in this process: `--trust-remote-code`, and `pervade.trust_remote_code()` in Python."""
    global _allowed
    _allowed = yes


def allowed() -> bool:
    return _allowed


def name(code: str) -> None:
    """From now on, in this process, this alone may run (module:Class): it was named on the command line or in Python,
    and not by a file."""
    _named.add(code)


def named(code: str) -> bool:
    return code in _named
