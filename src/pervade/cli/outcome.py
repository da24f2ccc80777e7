"""What train, resume and evaluate say at their end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer


@contextmanager
def stoppable() -> Iterator[None]:
    """Turns a stop by signal, after the state was saved, into a line and the usual exit status."""
    from pervade.training import Stopped

    try:
        yield
    except Stopped as stop:
        typer.echo(f"stopped and saved; go on with: pervade resume {stop.path}", err=True)
        sys.exit(128 + stop.number)


def finish(run: Any) -> None:
    """Evaluates, writes the report, and says where everything is. All ranks evaluate; only the first one speaks."""
    split = "test" if run.has_split("test") else "validation"
    result = run.evaluate(split=split)
    if os.environ.get("RANK", "0") != "0":
        return
    show(result)
    report = run.report()
    typer.echo(f"\nrun     {run.path}\nreport  {report}\ntry     pervade predict {run.path} FILE")


def show(result: dict[str, Any]) -> None:
    """The figures as a table: value, 95% interval, what it is computed over, beside the baseline."""
    baseline = (result["details"].get("baseline") or {}).get("metrics", {})
    typer.echo(f"\ncheckpoint {result['checkpoint']!r} on the {result['split']} split, n = {result['n']:,}\n")
    typer.echo(f"{'':24}{'value':>8}  {'95% interval':18}{'n':>8}  {'baseline':>8}  method")
    for name, each in result["metrics"].items():
        interval = f"{_number(each['low'])} to {_number(each['high'])}" if each["low"] is not None else "-"
        beside = _number(baseline[name]["value"]) if name in baseline else ""
        figures = f"{_number(each['value']):>8}  {interval:18}{each['n']:>8,}  {beside:>8}"
        typer.echo(f"{name:24}{figures}  {each.get('why') or each['method']}")
    if baseline:
        typer.echo(f"\nbaseline: {result['details']['baseline']['name']}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
