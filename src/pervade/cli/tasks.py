"""pervade tasks: what can be learnt."""

from __future__ import annotations

import typer

from pervade.core.terminal import echo


def add_to(app: typer.Typer) -> None:
    app.command()(tasks)


def tasks() -> None:
    """List the tasks, by the Hugging Face Hub's names, with the data each takes."""
    from pervade import recipes

    for name, (_, description) in recipes.tasks().items():
        echo(f"{name:34}{description}")
