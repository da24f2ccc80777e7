"""pervade pull: what `pervade push` put on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import RunsOption
from pervade.cli.push import AddressArgument
from pervade.core.terminal import echo


def add_to(app: typer.Typer) -> None:
    app.command()(pull)


def pull(
    address: AddressArgument,
    name: Annotated[str | None, typer.Option("--name", help="What it is to be called here.")] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Get a model from the Hugging Face Hub that was pushed by Pervade, as a run, or as the folder for transformers
    that it is there. Every file is checked by its SHA-256."""
    from pervade.run import publishing

    repository = publishing.repository(address)
    echo(publishing.pull(publishing.Hub(push=False), repository, runs, name))
