"""How many threads compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from pervade.core import runtime, seed


def of_numpy() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))  # loaded by now
    return {each["num_threads"] for each in threadpool_info() if each["internal_api"] == "openblas"}


def test_threads_are_torchs_and_numpys_and_given_back() -> None:
    before = torch.get_num_threads(), of_numpy()
    with runtime.threads(1):
        assert torch.get_num_threads() == 1
        assert of_numpy() <= {1}  # of none where numpy computes by something else
    with runtime.threads(None):
        assert (torch.get_num_threads(), of_numpy()) == before
    assert (torch.get_num_threads(), of_numpy()) == before


def test_where_the_generators_of_a_gpu_were_they_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.tensor([17]))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: put.append((int(state), device)))
    before = torch.get_rng_state()
    with seed.kept():
        torch.rand(3)
        assert not put
    assert put == [(17, 3)]
    assert torch.equal(torch.get_rng_state(), before)
