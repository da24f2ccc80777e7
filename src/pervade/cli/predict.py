"""pervade predict: what the model says of new files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.options import CheckpointOption, DeviceOption, RunArgument, RunsOption


def add_to(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    run: RunArgument,
    inputs: Annotated[list[str], typer.Argument(metavar="FILE|FOLDER…", help="What to predict.")],
    top: Annotated[int, typer.Option(min=1, help="How many of the likeliest answers.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A table, one line an answer.")] = False,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    runs: RunsOption = Path("runs"),
) -> None:
    """Predict files or folders of files. A file that cannot be used is named with the reason; the others go on."""
    from pervade import api
    from pervade.core.errors import ConfigError

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; choose one")
    answered = 0
    if as_csv:
        typer.echo(_line(["input", "rank", "label", "probability", "error"]))
    for row in api.load(run, runs).stream(inputs, top, checkpoint, device):
        answered += "error" not in row
        if as_json:
            typer.echo(json.dumps(row, ensure_ascii=False))
        elif as_csv:
            for line in _csv(row):
                typer.echo(line)
        elif "error" in row:
            typer.echo(f"left out: {row['input']!r}: {row['error']}", err=True)
        else:
            typer.echo(f"{row['input']}\t{_text(row)}")
    if not answered:
        raise typer.Exit(2)


def _text(row: dict[str, Any]) -> str:
    if "top" in row:
        return "  ".join(f"{each['label']} {each['probability']:.1%}" for each in row["top"])
    return "  ".join(f"{name} {value}" for name, value in row.items() if name != "input")


def _csv(row: dict[str, Any]) -> list[str]:
    if "error" in row:
        return [_line([row["input"], "", "", "", row["error"]])]
    return [
        _line([row["input"], rank, each["label"], repr(each["probability"]), ""])
        for rank, each in enumerate(row.get("top", []), start=1)
    ]


def _line(fields: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(fields)
    return buffer.getvalue()
