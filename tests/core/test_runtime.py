"""How many threads compute."""

from __future__ import annotations

import numpy as np
import torch
from threadpoolctl import threadpool_info

from pervade.core import runtime


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
