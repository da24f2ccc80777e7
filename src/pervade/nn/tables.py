"""Networks that hold tables whose length no model says, but what was counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class HasTables(Protocol):
    def make_room(self, tables: Mapping[str, Tensor]) -> None:
        """Makes the network's tables as large as these, which are then loaded into it. Raises CheckpointError where
        they do not belong together."""
        ...
