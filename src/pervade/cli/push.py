"""pervade push: a model on the Hugging Face Hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import CheckpointOption, RunArgument, RunsOption
from pervade.core.terminal import echo

AddressArgument = Annotated[str, typer.Argument(metavar="hf://OWNER/NAME", help="A repository of the Hub.")]


def add_to(app: typer.Typer) -> None:
    app.command()(push)


def push(
    run: RunArgument,
    address: AddressArgument,
    checkpoint: CheckpointOption = None,
    private: Annotated[bool, typer.Option("--private/--public", help="Who can see a new repository.")] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Push without asking.")] = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Put a model on the Hugging Face Hub: the folder for transformers that it was exported to, or its checkpoint, with
    its card and figures. No rows, no predictions. What goes is shown, and asked about, before it goes."""
    from pervade.core import run as directories
    from pervade.core.errors import ConfigError
    from pervade.run import publishing

    name = publishing.repository(address)
    directory = directories.find(run, runs)
    parcel = publishing.parcel(directory, checkpoint)
    hub = publishing.Hub(push=True)
    for line in publishing.before(hub, name, parcel, private):
        echo(line)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nothing was pushed, since nobody was there to be asked; add --yes")
        typer.confirm("Push?", abort=True)
    echo(publishing.push(hub, name, parcel, private))
