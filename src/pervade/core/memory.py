"""Memory: how much there is, how much a network would take, and what is said where it runs out.

Libraries tell of it in ways of their own: Python, numpy and pyarrow by MemoryError, torch by RuntimeError with other
words for every device, the system by ENOMEM. `during` makes of each one ResourceError that says what was being done and
what to change.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pervade.core.errors import OutOfMemoryError, PervadeError, ResourceError

MARKS: tuple[str, ...] = (
    "allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "ALLOC_FAILED",
    "size calculation over",
)
MARKS += ("can't start new thread",)  # whose stack does not fit
MODULES = 100_000  # parts of a network; the largest that are published have 60,000
CGROUP = Path("/sys/fs/cgroup")  # a container's own limit, which the machine's free memory does not show


def ran_out(error: BaseException) -> bool:
    """Whether it says that memory did not suffice."""
    if isinstance(error, MemoryError):
        return True
    told = getattr(error, "errno", None) == errno.ENOMEM or any(mark in str(error) for mark in MARKS)
    return told and not isinstance(error, PervadeError)


@contextmanager
def during(doing: str, remedy: str) -> Iterator[None]:
    """Inside, or in a function that this decorates, memory that runs out is an OutOfMemoryError: "memory ran out while
    DOING; REMEDY"."""
    try:
        yield
    except Exception as error:  # of any kind, since each library has its own; all others go on
        if not ran_out(error):
            raise
        asked = re.search(r"allocate\D{0,30}([\d.]+ ?(?:[KMGT]i?B|bytes))", str(error))
        much = f" ({asked[1]} were asked for at once)" if asked else ""
        told = f"memory ran out while {doing}{much}; what was saved before is there; {remedy}"
        raise OutOfMemoryError(told) from None


def available() -> int:
    """Bytes that are free, in this container where there is one."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        most, used = ((CGROUP / name).read_text(encoding="utf-8") for name in ("memory.max", "memory.current"))
        cached = re.search(r"^inactive_file (\d+)$", (CGROUP / "memory.stat").read_text(encoding="utf-8"), re.M)
        return free if most.strip() == "max" else min(free, int(most) - int(used) + int(cached[1] if cached else 0))
    except (OSError, ValueError):  # another system, or no container
        return free


@contextmanager
def counted(name: str, most: int, reason: str) -> Iterator[None]:
    """Inside, whatever network is built is counted as its parts are put together, before its weights are filled.

    Raises ResourceError where these take more than `most` bytes, "and REASON", or it has more than MODULES parts.
    """
    from torch.nn.modules import module as torch_module

    taken = parts = 0

    def weigh(module: Any, key: str, tensor: Any) -> None:
        nonlocal taken
        taken += 0 if tensor is None else tensor.numel() * tensor.element_size()
        if taken > most:
            raise OutOfMemoryError(f"the weights of {name} take more than {most / 1e9:,.3g} GB, and {reason}")

    def count(module: Any, key: str, part: Any) -> None:
        nonlocal parts
        parts += 1
        if parts > MODULES:
            raise ResourceError(f"{name} has more than {MODULES:,} layers; take fewer blocks, or another model")

    hooks = (
        torch_module.register_module_parameter_registration_hook(weigh),
        torch_module.register_module_buffer_registration_hook(weigh),
        torch_module.register_module_module_registration_hook(count),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
