"""The process, set up for speed before torch is imported; and which device and precision a run takes.

`prepare` must come first, because torch reads its environment when it loads. What it sets, and what that was worth to
the reference CNN (224x224, batch 32, fp32, channels last, 2 cores without bf16 instructions; images/s):

                                            training   inference
    as torch comes                             40.7        112
    M_MMAP_MAX = 0                             54          171
    and M_TRIM_THRESHOLD                       64          217
    and THP_MEM_ALLOC_ENABLE                   66          228

glibc takes large blocks from the kernel and gives them back after every step, and the kernel clears each page again:
307,000 page faults a step, none afterwards. The price is that a process keeps the memory of its largest step.

Tried and left out: OMP_WAIT_POLICY=passive (operators of a millisecond 10-80% slower), OMP_PROC_BIND (no gain, and it
ties threads to cores that others may want), flushing denormals (no gain, and other numbers), M_TOP_PAD beyond 64 MiB.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pervade.core.types import Json

# Number in <malloc.h>, and value, of each option of mallopt(3).
ALLOCATOR = {
    "M_MMAP_MAX": (-4, 0),  # large blocks come from the heap, which is kept, not from mmap, which is not
    "M_TRIM_THRESHOLD": (-1, -1),  # never give the top of the heap back; any number would be capped at 2 GiB
    "M_TOP_PAD": (-2, 64 << 20),  # bytes: the heap grows in few large steps
}
ONE_HEAP = {"M_ARENA_MAX": (-8, 1)}  # each thread's own would be kept, too
IDLE = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "0"}  # turns of GNU's OpenMP; milliseconds of Intel's
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}  # without either, bf16 on a processor is emulated: 3.5 times slower than fp32
PRECISIONS = ("auto", "fp32", "bf16")
DEVICES = ("auto", "cpu", "cuda", "mps")

_record: dict[str, Json] = {}


def prepare(threads: int | None = None) -> dict[str, Json]:
    """Sets the allocator and torch's environment; returns what was set, for environment.json.

    `threads` is the number torch computes with; None leaves the choice to OMP_NUM_THREADS, or to torch (all cores).
    Whatever the user has set in the environment stays. Where torch is loaded already the allocator and the threads
    still take effect, huge pages do not. Calling it again changes at most the threads.
    Raises ConfigError where `threads` is below 1.
    """
    if not _record:
        loaded = "torch" in sys.modules
        if not loaded:
            # Read once, when torch first allocates: blocks of 2 MiB and more then ask for huge pages.
            os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        _record["torch_loaded_before"] = loaded
        _record["allocator"] = _set_allocator(ALLOCATOR)
        _record["huge_pages"] = os.environ.get("THP_MEM_ALLOC_ENABLE")
        _record["threads"] = os.environ.get("OMP_NUM_THREADS")
    if threads is not None:
        _set_threads(threads)
        _record["threads"] = str(threads)
    return dict(_record)


def rest_when_idle() -> None:
    """Of a process that mostly waits: threads without work sleep after a tenth of a millisecond, and not after several,
    in which they take the cores of others; and what threads that come and go have freed serves all others. Whatever the
    user has set stays. To be called before torch is imported, and before there are threads."""
    for name, value in IDLE.items():
        os.environ.setdefault(name, value)
    _set_allocator(ONE_HEAP)


def give_back() -> None:
    """Lets go of what nothing holds any more, and gives its memory back to the system, which the allocator of `prepare`
    does not do by itself. Takes tenths of a second."""
    gc.collect()
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _has_glibc() -> bool:
    """Not on macOS, Windows and musl, whose allocators have none of this."""
    try:
        return "CS_GNU_LIBC_VERSION" in os.confstr_names and bool(os.confstr("CS_GNU_LIBC_VERSION"))
    except (AttributeError, OSError, ValueError):
        return False


def _set_allocator(options: Mapping[str, tuple[int, int]]) -> dict[str, Json]:
    """Those that glibc took."""
    if not _has_glibc():
        return {}
    mallopt = ctypes.CDLL(None).mallopt
    taken: dict[str, Json] = {}
    for name, (number, value) in options.items():
        # MALLOC_MMAP_MAX_ and its like are the user's own way to say it.
        if f"MALLOC_{name.removeprefix('M_')}_" not in os.environ and mallopt(number, value) == 1:
            taken[name] = value
    return taken


def _set_threads(threads: int) -> None:
    from pervade.core.errors import ConfigError

    if threads < 1:
        raise ConfigError(f"threads is {threads}; it must be 1 or more, or unset to use all cores")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    torch: Any = sys.modules.get("torch")  # not imported here: that takes seconds, and may not be wanted at all
    if torch is not None:
        torch.set_num_threads(threads)


@contextmanager
def threads(number: int | str | None) -> Iterator[None]:
    """Inside, torch and numpy compute with so many threads; None, or a word: with as many as they do anyway."""
    import torch

    number = number if isinstance(number, int) else None
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        # numpy's linear algebra starts threads for 64 rows of 128 units already, which takes longer than the work
        with contextlib.nullcontext() if number is None else _numpy_threads(number):
            yield
    finally:
        torch.set_num_threads(before)


def _numpy_threads(number: int) -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(internal_api="openblas").limit(limits=number)


def training_precision(device: str, asked: str = "auto") -> str:
    """ "bf16" (autocast over fp32 weights) or "fp32". "auto" takes bf16 where the hardware computes in it.

    Raises ConfigError where `asked` is none of auto, fp32, bf16.
    """
    from pervade.core.errors import ConfigError, nearest

    if asked not in PRECISIONS:
        raise ConfigError(f"precision is {asked!r}; {nearest(asked, PRECISIONS)}")
    if asked != "auto":
        return asked
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if kind == "cpu" and processor_flags() & BF16_FLAGS else "fp32"


def processor_flags() -> set[str]:
    """What Linux says the processor can do; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    for line in text.splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def pick_device(asked: str = "auto") -> str:
    """The device to compute on: for "auto" cuda, else mps, else cpu. "cuda:1" names the second GPU.

    Raises ConfigError where the device asked for is unknown or not there.
    """
    from pervade.core.errors import ConfigError, nearest

    kind, _, number = asked.partition(":")
    if kind not in DEVICES or (number and not (kind == "cuda" and number.isdecimal())):
        raise ConfigError(f"device is {asked!r}; {nearest(asked, [*DEVICES, 'cuda:0'])}")
    if kind == "cpu":
        return asked
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    apple = torch.backends.mps.is_available()
    if kind == "auto":
        return "cuda" if gpus else "mps" if apple else "cpu"
    if (kind == "mps" and not apple) or (kind == "cuda" and int(number or 0) >= gpus):
        there = ["cpu", *(f"cuda:{i}" for i in range(gpus)), *(["mps"] if apple else [])]
        raise ConfigError(f"device {asked!r} is not here; this machine has {', '.join(there)}: leave --device at auto")
    return asked
