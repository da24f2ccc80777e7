"""pervade evaluate: figures with intervals, from one predictions file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import CheckpointOption, DeviceOption, RunArgument, RunsOption, TrustOption
from pervade.core.terminal import echo, json_text


def add_to(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    run: RunArgument,
    checkpoint: CheckpointOption = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    all_figures: Annotated[bool, typer.Option("--all", help="Show every class, however many there are.")] = False,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Measure a run's model on a split: every figure with its 95% interval, beside the baseline."""
    from pervade import api
    from pervade.cli.outcome import show

    result = api.load(run, runs).evaluate(checkpoint, split, device)
    if as_json:
        echo(json_text(result, indent=1), keep="\n")
    else:
        show(result, all_figures)
