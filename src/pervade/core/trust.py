"""Whether code that comes with a model may run. Only the person who starts the process says so, each time anew: no
recipe, checkpoint or run can, since these come from others too."""

from __future__ import annotations

_allowed = False


def allow(yes: bool = True) -> None:
    """From now on, in this process: `--trust-remote-code`, and `pervade.trust_remote_code()` in Python."""
    global _allowed
    _allowed = yes


def allowed() -> bool:
    return _allowed
