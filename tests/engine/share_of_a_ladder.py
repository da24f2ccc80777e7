"""What one rank of two does for test_ranks_on_a_ladder.py.

python share_of_a_ladder.py FOLDER RANK     reads FOLDER/reviews.tsv, writes FOLDER/RANK.json and four runs
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import pervade
from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.domains.bag import Bag
from pervade.engine import ranks
from pervade.engine.fit import Learner
from pervade.run import blending
from pervade.run.candidates import Candidates
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from tests import texts

STEP = 6  # the one of plain, and some of the next rung's


def climb(folder: Path, name: str) -> bool:
    """Whether it was stopped."""
    more = {"ladder": ["plain", "trained", "blend"], "name": name, "runs": folder, "options": Options()}
    try:
        recipe = texts.recipe(epochs=2, threads=1)
        pervade.fit(folder / "reviews.tsv", recipe=recipe, task="text-classification", **more).evaluate()
    except Stopped:
        return True
    return False


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    fit, take, steps = Bag.fit, Learner._take_step, 0

    def failing(self: Bag, train: Rows) -> Bag:
        if rank == 1:
            raise DataError("this rank has no words")
        return fit(self, train)

    def stopping(self: Learner, batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == STEP and rank == 1:
            signal.raise_signal(signal.SIGTERM)
        return take(self, batch)

    stopped = [climb(folder, "whole")]
    Bag.fit = failing
    stopped.append(climb(folder, "failing"))
    Bag.fit, Learner._take_step = fit, stopping
    stopped.append(climb(folder, "stopped"))
    ranks.wait()
    taken = json.loads((folder / "stopped" / "ladder.json").read_text())["taken"]
    ranks.wait()
    pervade.resume(folder / "stopped", options=Options())
    Candidates.loses = lambda *asked: False
    blending.weights = lambda task, tables, scales, domain: [scale / 2 for scale in scales]
    asked = {
        "recipe": texts.recipe(epochs=2, threads=1),
        "task": "text-classification",
        "ladder": "plain,trained,blend",
    }
    pervade.tune(folder / "reviews.tsv", trials=2, runs=folder, name="searched", options=Options(), **asked)
    (folder / f"{rank}.json").write_text(json.dumps({"stopped": stopped, "taken": taken}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
