"""pervade compress: smaller and faster checkpoints of a run, measured beside where they came from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.options import CheckpointOption, RunArgument, RunsOption, TrustOption, finite, seconds
from pervade.core.terminal import echo, json_text, tell


def add_to(app: typer.Typer) -> None:
    app.command()(compress)


def compress(
    run: RunArgument,
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="STEP,…",
            help="What is done, in order, each leaving a checkpoint: prune, sparse, low-rank, distil, int8, int4. "
            "Unless given, int8.",
        ),
    ] = None,
    student: Annotated[
        str | None, typer.Option(metavar="MODEL", help="For distil: the smaller network that learns from this one.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            metavar="SHARE",
            help="Pick one by the validation split: the least of --target that loses no more of the headline figure, "
            "0.01 of 1. Without --steps each step is tried.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="latency|size|memory", help="What --max-drop picks for; unless given, latency."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the last checkpoint; unless given, its steps, joined by dashes.")
    ] = None,
    checkpoint: CheckpointOption = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("-o", metavar="STEP.FIELD=VALUE", help="Any setting of a step: -o low-rank.energy=0.95"),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="For all steps together: 10m, 1.5h. What there is no time for is left out.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=512, help="Threads that are timed with; unless given, two.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Make a run's model smaller and faster. Each step leaves a checkpoint, measured on the test split beside the one
    that it came from, which stays as it is: what was lost, and what was gained on this machine."""
    from pervade import api
    from pervade.report.sections import compressed
    from pervade.run.stopping import Stopped, stopping_at_once

    loaded = api.load(run, runs)
    asked: dict[str, Any] = {"student": student, "name": name, "settings": setting or [], "max_drop": max_drop}
    asked |= {"target": target, "time_limit": seconds(time_limit), "threads": threads}
    try:
        with stopping_at_once(loaded.path):
            results = loaded.compress(None if steps is None else steps.split(","), checkpoint, **asked)
            report = loaded.report()
    except Stopped as stop:
        tell(
            "stopped; what steps before this one made is kept, and checkpoints that were there before are as they were"
        )
        sys.exit(128 + stop.number)
    if as_json:
        echo(json_text(results, indent=1), keep="\n")
        return
    for result in results:
        echo()
        for line in compressed.sentences(result, loaded.words):
            echo(line)
    echo()
    echo(f"report  {report}")
    made = results[-1]["checkpoint"]
    if results[-1]["details"]["compressed"]["steps"]:
        echo(f"try     pervade predict {loaded.path} {loaded.recipe().domain.given} --checkpoint {made}")
