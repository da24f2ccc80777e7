"""pervade demo: the whole way in about a minute, with nothing but what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import RunsOption
from pervade.core.terminal import echo, tell

PASSES = 12  # over the digits, which take seconds


def add_to(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None, runs: RunsOption = Path("runs")
) -> None:
    """Learn scikit-learn's handwritten digits in several ways, evaluate the best, predict, and write the report. No
    network needed."""
    from pervade import api
    from pervade.cli.outcome import finish, stoppable
    from pervade.data.image import digits

    data = digits.write(runs / ".demo-data")
    tell(f"1,797 handwritten digits, 8 x 8 pixels, are in {data}")
    with stoppable():
        run = api.fit(data, init="random", epochs=PASSES, name=name, runs=runs, wish="demo")
        finish(run)
    sample = sorted(data.glob("*/*.png"))[:: 1797 // 5][:5]
    echo()
    echo("five of them, predicted:")
    for row in run.predict(sample, top=2):
        shown = "  ".join(f"{answer['label']} {answer['probability']:.1%}" for answer in row["top"])
        echo(f"  {Path(row['input']).relative_to(data)}  {shown}")
