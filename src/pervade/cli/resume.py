"""pervade resume: go on where a run was stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import RunArgument, RunsOption, SaveEveryOption, TrustOption
from pervade.core.terminal import tell


def add_to(app: typer.Typer) -> None:
    app.command()(resume)


def resume(
    run: RunArgument,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
    save_every: SaveEveryOption = 30.0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard files too.")] = False,
) -> None:
    """Go on training a run that was stopped or killed, to the same weights as if it never had been."""
    from pervade import api
    from pervade.cli.outcome import finish, stoppable
    from pervade.report import record
    from pervade.run import progress
    from pervade.run.pacing import process_start
    from pervade.run.training import Options

    began = process_start()
    loaded = time.monotonic() - began
    options = Options(progress.screen(), save_every, tensorboard=tensorboard, began=began, loaded=loaded)
    stored = api.load(run, runs).directory
    if record.read(stored).finished:
        tell(f"{stored.path} is finished: nothing is left to be trained")
    with stoppable():
        finish(api.resume(run, runs, options=options))
