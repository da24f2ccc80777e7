"""pervade export: a model in a form that others open, and how far its answers are from the run's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import CheckpointOption, RunsOption, TrustOption, finite
from pervade.core.terminal import echo, tell


def add_to(app: typer.Typer) -> None:
    app.command()(export)


def export(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run: its folder, or its name in --runs.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="onnx|torch|openvino|huggingface|gguf|diffusers", help="In which form.")
    ] = "onnx",
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="How far its numbers may be from the run's; unless given, 1e-5 or, by format, 1e-4; 0.1 if quantised.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=10**6, help="Test rows that are compared, at most.")] = 1000,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder; unless given, export/FORMAT in the run.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Tell what can be exported, and end.")] = False,
    checkpoint: CheckpointOption = None,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Write a model in a form that others open. Its answers are compared with the run's, on test rows."""
    from pervade import api
    from pervade.core.errors import ConfigError
    from pervade.run import exporting, parity

    if listed:
        can = exporting.exportable()
        lines = exporting.table()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        echo(f"yes: of the domains {', '.join(can['domains'])}; never of {', '.join(can['other domains'])}")
        echo("some: of networks that the library knows; of which not, export says why")
        return
    if run is None:
        raise ConfigError("name the run to export, or --list what can be")
    made = api.load(run, runs).export(form, checkpoint, folder=out, tolerance=tolerance, rows=rows)
    compared = {"decoded": "rows", "files": "files", "batches": "examples of rows", "otherwise": "of these"}
    for told, of in ((made.parity[how], of) for how, of in compared.items() if made.parity.get(how)):
        decided = f", {told['changed']} decisions changed" if "changed" in told else ""
        furthest = f"largest difference {told['difference']:.1e}{decided}"
        close = not told.get("changed") and told["difference"] <= parity.TOLERANCE
        said = "same answers as the run" if close else "answers within what is allowed"
        tell(f"{said}: {told['rows']:,} {of}, {furthest}")
    echo(made.path)
