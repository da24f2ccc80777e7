"""Learning rates over a training, worked by hand and against torch's."""

from __future__ import annotations

import pytest
import torch

from pervade.core.contracts import Schedule
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.cosine import Cosine
from pervade.train.schedule.one_cycle import OneCycle


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(), {0.0: 1.0, 0.5: 1.0, 1.0: 1.0}),
        # Up along a line for a quarter; then cosines of 0, 60, 90 and 180 degrees, (1 + cos) / 2 of the way from 0.1.
        (Cosine(0.25, 0.1), {0.0: 0.0, 0.125: 0.5, 0.25: 1.0, 0.5: 0.1 + 0.9 * 0.75, 0.625: 0.55, 1.0: 0.1}),
        (Cosine(0.0), {0.0: 1.0, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 1.0: 0.0}),
        # Halfway up between 0.04 and 1, and down by 60, 90 and 180 degrees.
        (OneCycle(0.25, 0.04, 0.1), {0.0: 0.04, 0.125: 0.52, 0.25: 1.0, 0.5: 0.775, 0.625: 0.55, 1.0: 0.1}),
    ],
)
def test_values_by_hand(schedule: Schedule, values: dict[float, float]) -> None:
    assert [schedule.factor(progress) for progress in values] == pytest.approx(list(values.values()), abs=1e-12)


def test_one_cycle_is_torchs() -> None:
    """torch counts from 0 to total_steps - 1, and rises until step pct_start * total_steps - 1: 25 of 100 here."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=101, pct_start=26 / 101, div_factor=25, final_div_factor=400, cycle_momentum=False
    )
    ours = OneCycle(rise=0.25, start=1 / 25, end=1 / 25 / 400)
    for step in range(101):
        assert ours.factor(step / 100) == pytest.approx(theirs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        if step < 100:
            theirs.step()
