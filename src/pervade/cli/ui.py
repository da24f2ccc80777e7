"""pervade ui: a page over a folder of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pervade.core.terminal import echo


def add_to(app: typer.Typer) -> None:
    app.command()(ui)


def ui(
    runs: Annotated[Path, typer.Argument(metavar="[RUNS]", help="The folder that holds the runs.")] = Path("runs"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="NUMBER", help="At which the page is served; 0: any that is free.")
    ] = 8765,
    admin_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Tokens, one a line, that starting and stopping a training takes; unless given, one is made and "
            "printed with the address.",
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Look whether the page could be served, and end.")] = False,
) -> None:
    """Serve a page to look at runs, compare them, and start and stop trainings, on this machine alone."""
    from pervade.ui import serving

    serving.serve(runs, port, admin_token_file, lambda address: echo(f"page    {address}"), check)
