"""What a training decided so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pervade.core.errors import CheckpointError
from pervade.core.run import RunDirectory
from pervade.run.settling import Best, CrossFit


@dataclass(kw_only=True)
class Plan(Best):
    """Kept in the state, so that a resumed run goes on deciding the same."""

    passes: int
    best_pass: float = 0  # 2.4: in the third pass
    elapsed: float = 0.0  # seconds of training, over all sittings
    setup: float = 0.0  # seconds before training, over all sittings
    judged: int | None = None  # rows of the validation split, where time is short; None: all
    every: int | None = None  # passes between two judgements, where it is; None: as the recipe says
    told: bool = False  # how many passes there is time for was said
    paused: float = 0.0  # the share of the steps at which it was last paused
    finished: bool = False
    settling: CrossFit | None = None  # for the best pass; None: nothing is settled, or the run is older than that

    @classmethod
    def of(cls, stored: dict[str, Any], run: RunDirectory) -> Plan:
        """Raises CheckpointError where what the state kept is no plan."""
        try:
            return TypeAdapter(cls).validate_python(stored)
        except ValidationError as error:
            first = error.errors()[0]
            fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise CheckpointError(
                f"{run.state / 'state.json'} is damaged ({fault}); go on from a copy of the run, or train again"
            ) from None
