"""pervade evaluate: figures with intervals, from one predictions file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.options import CheckpointOption, DeviceOption, RunArgument, RunsOption, TrustOption
from pervade.core.terminal import echo, json_text


def add_to(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    run: RunArgument,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="Other labelled data to measure it on: a folder, a table, hf://… Unless given, its own.",
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    split: Annotated[
        str | None,
        typer.Option(help="train, validation or test; unless given, the test split, and of DATA all rows."),
    ] = None,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    all_figures: Annotated[bool, typer.Option("--all", help="Show every class, however many there are.")] = False,
    label_column: Annotated[str | None, typer.Option(help="DATA: which column holds the labels.")] = None,
    text_column: Annotated[str | None, typer.Option(help="DATA: which column holds the texts (a pair: a,b).")] = None,
    file_column: Annotated[str | None, typer.Option(help="DATA: which column names the files.")] = None,
    label_pattern: Annotated[
        str | None, typer.Option(metavar="REGEX", help="DATA: what of a file's name is its label.")
    ] = None,
    group_by: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="DATA: which column says what belongs together.")
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="DATA: which column says the splits; none: no column does.")
    ] = None,
    group_pattern: Annotated[
        str | None, typer.Option(metavar="REGEX", help="DATA: what of a file's name says what belongs together.")
    ] = None,
    keep_known: Annotated[
        bool, typer.Option("--keep-known", help="DATA: measure rows too that the run was trained on, byte by byte.")
    ] = False,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Measure a run's model, on a split of its data or on other DATA: every figure with its 95% interval, beside the
    baseline."""
    from pervade import api
    from pervade.cli.outcome import show

    given = {"label_column": label_column, "text_column": text_column, "file_column": file_column}
    given |= {"label_pattern": label_pattern, "group_column": group_by, "group_pattern": group_pattern}
    given |= {"split_column": split_column}
    flags: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    loaded = api.load(run, runs)
    result = loaded.evaluate(checkpoint, split, device, data=data, keep_known=keep_known, **flags)
    if as_json:
        echo(json_text(result, indent=1), keep="\n")
        return
    show(result, all_figures)
    if "data" in result:
        echo()
        echo(f"report  {loaded.on(result['data']['name']).directory.report}")
