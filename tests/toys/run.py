"""Runs one toy in a process of its own: `python -m tests.toys.run NAME FOLDER [KILL_AT_STEP] [TEACHER]`.

With KILL_AT_STEP the process kills itself (SIGKILL, nothing is cleaned up) in the middle of that optimiser step.
Run it again without, and it goes on from the last saved state.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path

import torch

from pervade.core.contracts import Recipe
from pervade.core.run import RunDirectory
from pervade.engine.fit import Learner
from pervade.run import workflow
from pervade.run.training import Options


def recipe_of(name: str, *arguments: str) -> Recipe:
    return importlib.import_module(f"tests.toys.{name}").recipe(*arguments)


def run_toy(name: str, folder: Path, *arguments: str) -> RunDirectory:
    """Trains, or goes on training; saves as often as it can."""
    torch.set_num_threads(1)
    run = RunDirectory(folder)
    if not run.recipe.exists():
        folder.mkdir(parents=True, exist_ok=True)
        workflow.begin(run, recipe_of(name, *arguments), workflow.Request(name))
    workflow.train(run, workflow.requested(run), options=Options(save_every=0.02))
    return run


def kill_at(step: int) -> None:
    take = Learner._take_step

    def step_or_die(self, batch):
        if self.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, batch)

    Learner._take_step = step_or_die


if __name__ == "__main__":
    name, folder, kill, *arguments = sys.argv[1:]
    importlib.import_module(f"tests.toys.{name}")
    if int(kill):
        kill_at(int(kill))
    run_toy(name, Path(folder), *arguments)
