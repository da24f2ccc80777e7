"""Memory that runs out is one line, whatever library tells of it; where a limit is set, it is a real one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from pervade.core import memory
from pervade.core.errors import ConfigError, ResourceError

HUGE = 1 << 62


def by_numpy() -> None:
    np.zeros(HUGE // 8)


def by_torch() -> None:
    torch.empty(HUGE // 8)


def by_torch_that_counts() -> None:
    torch.empty(2**40, 2**40)


def by_arrow() -> None:
    import pyarrow

    pyarrow.allocate_buffer(HUGE)


def by_python() -> None:
    bytearray(HUGE)


def by_a_graphics_card() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of …")


def by_the_system() -> None:
    raise OSError(12, "Cannot allocate memory")


ALL = (by_numpy, by_torch, by_torch_that_counts, by_arrow, by_python, by_a_graphics_card, by_the_system)


@pytest.mark.parametrize("way", ALL, ids=lambda way: way.__name__)
def test_every_way_of_running_out_is_one_line(way) -> None:
    with pytest.raises(ResourceError) as caught, memory.during("the figures were computed", "free some memory"):
        way()
    told = str(caught.value)
    assert told.startswith("memory ran out while the figures were computed")
    assert told.endswith("what was saved before is there; free some memory")
    assert "\n" not in told
    assert caught.value.exit_status == 2
    if way is by_a_graphics_card:
        assert "(20.00 GiB were asked for at once)" in told


def test_other_errors_stay_what_they_are() -> None:
    for error in (RuntimeError("shapes differ"), ConfigError("epochs: out of memory is no number"), ValueError("x")):
        with pytest.raises(type(error)), memory.during("nothing happened", "do something"):
            raise error
        assert not memory.ran_out(error)


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux alone")
def test_a_process_without_room_says_so() -> None:
    """An evaluation's bootstrap, a matrix product and a report's text, each a gigabyte in a process that has half."""
    code = """
import resource, numpy, torch
from pervade.core import memory
from pervade.core.errors import ResourceError
room = int(open("/proc/self/statm").read().split()[0]) * 4096 + (1 << 29)
resource.setrlimit(resource.RLIMIT_AS, (room, room))
for make in (lambda: numpy.ones((1 << 27,)), lambda: torch.ones(1 << 28), lambda: "x" * (1 << 30)):
    try:
        with memory.during("something was done", "take less"):
            make()
    except ResourceError as error:
        print(error)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    lines = found.stdout.splitlines()
    assert len(lines) == 3, found
    assert all(line.startswith("memory ran out while something was done") for line in lines)


def test_a_container_has_less_than_its_machine(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 bytes 900 are taken, 300 of them by files that were read once and may go: 400 are left."""
    for name, text in (
        ("memory.max", "1000\n"),
        ("memory.current", "900\n"),
        ("memory.stat", "anon 5\ninactive_file 300\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available() == 400
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available() > 10**6
