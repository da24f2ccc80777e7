"""pervade report: one page to read, and a model card."""

from __future__ import annotations

from pathlib import Path

import typer

from pervade.cli.options import RunArgument, RunsOption
from pervade.core.terminal import echo


def add_to(app: typer.Typer) -> None:
    app.command()(report)


def report(run: RunArgument, runs: RunsOption = Path("runs")) -> None:
    """Write report.html and MODEL_CARD.md from what lies in the run."""
    from pervade import api

    echo(api.load(run, runs).report())
