"""How much a network computes for one row, counted and not timed: products of matrices, convolutions, attention."""

from __future__ import annotations

import torch
from torch.nn import Module

from pervade.core.types import Batch
from pervade.engine.batches import cut


def multiply_adds(network: Module, batch: Batch) -> int:
    """Multiplications, each with its addition, of the first row of the batch, padding and all."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    row = cut(batch, 1)[0]
    # Of kernels that do several steps at once nothing is known to the counter.
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(row["input"], mask=row.get("mask"))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return int(counter.get_total_flops()) // 2


def told(before: int, after: int) -> str:
    """
    >>> told(1_820_000_000, 901_000_000)
    'multiply-adds a row 1,820 to 901 million (50%)'
    """
    return f"multiply-adds a row {before / 1e6:,.4g} to {after / 1e6:,.4g} million ({after / before:.0%})"
