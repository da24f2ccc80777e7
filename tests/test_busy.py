"""What `benchmarks/busy.py` says of the processor, and which bound `benchmarks/deploy.py` asks for on it."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIDES = {"eager": {"latency": 0.012}, "graph": {"latency": 0.006}, "compressed": {"latency": 0.002}}


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # which the scripts set


def test_the_flags_of_a_processor_say_what_it_has_for_whole_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import busy

    monkeypatch.setattr(busy, "CPUINFO", tmp_path / "cpuinfo")
    assert busy.whole_numbers() is None
    one = "model name\t: {}\ncpu family\t: 6\nmodel\t\t: 143\nflags\t\t: fpu avx2 {}\n\n"
    busy.CPUINFO.write_text(2 * one.format("Sapphire Rapids", "avx512f avx512_vnni amx_tile amx_int8"))
    assert busy.whole_numbers() == ["amx_int8", "avx512_vnni"]
    assert busy.chip() == "Sapphire Rapids family 6 model 143"
    busy.CPUINFO.write_text(one.format("Haswell", "fma"))
    assert busy.whole_numbers() == []


@pytest.mark.parametrize(
    ("cell", "has", "told"),
    [
        (
            "resnet18",
            ["avx512_vnni"],
            "6.00 times eager (asked 5: met), 3.00 times the fp32 graph (not asked), on a chip",
        ),
        ("resnet18", [], "6.00 times eager (not asked), 3.00 times the fp32 graph (asked 2.5: met), on a chip without"),
        ("resnet18", None, "(with VNNI or AMX asked 5: met), 3.00 times the fp32 graph (without asked 2.5: met)"),
        ("pruned", [], "6.00 times eager (asked 1.7: met), 3.00 times the fp32 graph (nothing asked)"),
    ],
)
def test_the_bound_that_is_asked_is_the_one_of_the_chip(cell: str, has: list[str] | None, told: str) -> None:
    from deploy import asked, faster

    assert told in faster({"cell": cell, "whole_numbers": has, "speeds": SIDES})
    assert asked(2.4, 2.5) == "asked 2.5: MISSED"
