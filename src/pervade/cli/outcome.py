"""What train, resume and evaluate say at their end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

MOST_SINGLE = 15  # figures of single classes that a terminal is filled with: five classes


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
    report = run.report()  # first: whoever reads our lines may go away in the middle
    show(result)
    typer.echo(f"\nrun     {run.path}\nreport  {report}\ntry     pervade predict {run.path} FILE")


def show(result: dict[str, Any], all_figures: bool = False) -> None:
    """One sentence, then the figures as a table: value, 95% interval, what it is computed over, beside the baseline.

    With many classes the figures of single ones are left to the report unless `all_figures`.
    """
    metrics, details = result["metrics"], result["details"]
    baseline = (details.get("baseline") or {}).get("metrics", {})
    typer.echo(f"\ncheckpoint {result['checkpoint']!r} on the {result['split']} split, n = {result['n']:,}")
    if "accuracy" in metrics and "accuracy" in baseline:
        own, other = metrics["accuracy"], baseline["accuracy"]
        better = own["low"] is not None and own["low"] > (other["high"] or other["value"])
        typer.echo(
            f"right on {own['value']:.1%} ({own['low']:.1%} to {own['high']:.1%}), {details['baseline']['name']} "
            f"would be on {other['value']:.1%}{'' if better else ': NOT shown to be better than guessing'}"
            if own["low"] is not None
            else f"right on {own['value']:.1%}"
        )
    single = [name for name in metrics if "[" in name]
    hidden = single if len(single) > MOST_SINGLE and not all_figures else []
    typer.echo(f"\n{'':24}{'value':>8}  {'95% interval':18}{'n':>8}  {'baseline':>8}  method")
    for name, each in metrics.items():
        if name in hidden:
            continue
        interval = f"{_number(each['low'])} to {_number(each['high'])}" if each["low"] is not None else "none"
        beside = _number(baseline[name]["value"]) if name in baseline else ""
        figures = f"{_number(each['value']):>8}  {interval:18}{each['n']:>8,}  {beside:>8}"
        typer.echo(f"{name:24}{figures}  {each.get('why') or each['method']}")
    if hidden:
        typer.echo(f"and {len(hidden)} figures of single classes: in the report, or `pervade evaluate RUN --all`")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
