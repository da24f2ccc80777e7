"""Every error that Pervade raises on purpose.

    PervadeError            the user can mend it; the command line prints it without a traceback
    ├── DataError           a file, folder or table cannot be used
    │   └── MisfitError     a column or pattern that was named does not go with it
    ├── ConfigError         a setting is unknown, misspelt or out of range (all faults of a recipe at once)
    │   ├── SizeError       a network does not take pictures of this size
    │   └── UnfitError      a step that makes networks smaller has nothing to do on this one
    ├── CheckpointError     a checkpoint or run is damaged, unfinished, or from a newer version
    ├── ResourceError       memory or disk ran out, or a file cannot be written
    │   ├── OutOfMemoryError  it was memory: something smaller may fit
    │   └── BusyError       another process is at work on this run
    ├── PromiseError        what is promised of answers cannot be kept
    ├── TrainingError       training went wrong in a way that going on would hide (a loss that is not finite)
    └── ContractError       a plug-in broke a contract of core/contracts/

A message names the value, what is allowed, and the remedy, in one line that a person can act on.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PervadeError(Exception):
    """The root. `exit_status` is what the command line leaves with: 2 where the input was refused, 1 otherwise."""

    exit_status = 1


class DataError(PervadeError):
    exit_status = 2


class MisfitError(DataError):
    """`asked` is what was named."""

    def __init__(self, message: str, asked: str | None = None) -> None:
        super().__init__(message)
        self.asked = asked


class ConfigError(PervadeError):
    """One or more faulty settings; `problems` holds one line each."""

    exit_status = 2

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class SizeError(ConfigError):
    """`why` without the `remedy`, where the size cannot be set."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}; {remedy}")
        self.why = why


class UnfitError(ConfigError):
    """Says why, and not what to take instead, which whoever knows the other steps adds."""


class CheckpointError(PervadeError):
    exit_status = 2


class ResourceError(PervadeError):
    exit_status = 2


class OutOfMemoryError(ResourceError):
    pass


class BusyError(ResourceError):
    pass


class TrainingError(PervadeError):
    pass


class PromiseError(PervadeError):
    pass


class ContractError(PervadeError):
    pass


def nearest(name: str, allowed: Iterable[str], inside: str = "") -> str:
    """The end of a message about an unknown name: the closest match, or everything that is allowed.

    `inside` is put before each name shown ("domain." for a setting of the domain).

    >>> nearest("resnet81", ["resnet18", "reference-cnn"])
    "did you mean 'resnet18'?"
    """
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.65)
    if close:
        return f"did you mean '{inside}{close[0]}'?"
    return f"allowed: {', '.join(inside + one for one in names) or 'none'}"
