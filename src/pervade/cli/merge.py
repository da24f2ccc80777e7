"""pervade merge: a model with adapters as one that needs nothing beside it."""

from __future__ import annotations

from pathlib import Path

import typer

from pervade.cli.options import CheckpointOption, RunArgument, RunsOption, TrustOption
from pervade.core.terminal import echo


def add_to(app: typer.Typer) -> None:
    app.command()(merge)


def merge(
    run: RunArgument,
    checkpoint: CheckpointOption = None,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Work a run's adapters (--lora) into its weights. The new checkpoint, merged, predicts the same, holds all its
    weights, and is used by --checkpoint merged."""
    from pervade import api

    echo(api.load(run, runs).merge(checkpoint))
