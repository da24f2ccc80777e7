"""pervade evaluate: figures with intervals, from one predictions file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.groups import columns, takes
from pervade.cli.options import CheckpointOption, DeviceOption, RunArgument, RunsOption, TrustOption
from pervade.core.terminal import echo, json_text


def add_to(app: typer.Typer) -> None:
    app.command()(evaluate)


@takes(columns)
def evaluate(
    run: RunArgument,
    given: dict[str, Any],
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
        typer.Option(help="train, validation, promise or test; unless given, the test split, and of DATA all rows."),
    ] = None,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    all_figures: Annotated[bool, typer.Option("--all", help="Show every class, however many there are.")] = False,
    keep_known: Annotated[
        bool, typer.Option("--keep-known", help="DATA: measure rows too that the run was trained on, byte by byte.")
    ] = False,
    unlike: Annotated[
        str | None,
        typer.Option(
            metavar="OTHER",
            help="Instead: how well the model tells OTHER, a folder, a table or a file of whatever it did not learn, "
            "from the test split of its own data. Labels are not needed.",
        ),
    ] = None,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Measure a run's model, on a split of its data or on other DATA: every figure with its 95% interval, beside the
    baseline. Or measure how well it tells what it did not learn (--unlike)."""
    from pervade import api
    from pervade.cli.outcome import show, show_unlike

    flags = {name: value for name, value in given.items() if value is not None}
    loaded = api.load(run, runs)
    result = loaded.evaluate(checkpoint, split, device, data=data, keep_known=keep_known, unlike=unlike, **flags)
    if as_json:
        echo(json_text(result, indent=1), keep="\n")
        return
    if unlike is not None:
        show_unlike(result, loaded.words)
        echo()
        echo(f"report  {loaded.directory.report}")
        return
    show(result, loaded.words, all_figures)
    if "data" in result and "members" in result:
        echo()
        page = f"report-{result['data']['name']}.html"
        echo(f"reports {loaded.path / 'members' / '*' / page}")
    elif "data" in result:
        echo()
        echo(f"report  {loaded.on(result['data']['name']).directory.report}")
