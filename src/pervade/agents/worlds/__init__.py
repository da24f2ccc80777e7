"""Several copies of an environment, stepped together: in this process, by Gymnasium's own arithmetic for all at once
where it has some, or in worker processes.

    worlds = open_worlds(plan)
    observations = worlds.reset()
    step = worlds.step(actions)              # worlds whose episode ended have begun the next one already

Every episode begins with a seed of its own, so what happened in it is its seed and its actions: that is how a run that
was interrupted puts its environments back where they were, whatever they are. It is checked against what was seen last;
an environment that does not repeat itself begins a new episode, and that is said.

An environment that raises is made anew and counted; one that hardly ever gets anywhere is given up with its own error.
An episode that is measured is played again from its start where that happens.

Axis letters: n worlds; the axes after it are those of one observation.
"""

from __future__ import annotations

from pervade.agents.worlds.in_process import InProcess, World
from pervade.agents.worlds.plan import TRAINING_SEEDS, Episode, Plan, Step, Worlds, news
from pervade.agents.worlds.processes import Processes
from pervade.agents.worlds.vectorised import Vectorised, has_one_for_all


def open_worlds(plan: Plan) -> Worlds:
    if plan.processes > 0 and plan.count > 1:
        return Processes(plan)
    if has_one_for_all(plan):
        return Vectorised(plan)
    return InProcess(plan)
