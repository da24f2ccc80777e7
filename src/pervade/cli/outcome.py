"""What train, resume and evaluate say at their end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pervade.core.terminal import echo, tell

WIDTHS = (24, 8, 18, 8, 8)  # letters of the columns, at least: name, value, interval, n, baseline
MOST_SINGLE = 15  # figures of single classes that a terminal is filled with: five classes


@contextmanager
def stoppable() -> Iterator[None]:
    """Turns a stop by signal, after the state was saved, into a line and the usual exit status."""
    from pervade.run.stopping import Stopped

    try:
        yield
    except Stopped as stop:
        tell(f"stopped and saved; go on with: pervade resume {stop.path}")
        sys.exit(128 + stop.number)


def finish(run: Any) -> None:
    """Evaluates, writes the report, and says where everything is. All ranks evaluate; only the first one speaks."""
    from pervade.run.stopping import stopping_at_once
    from pervade.run.workflow import telling

    with stopping_at_once(run.path), telling(run.directory):
        result = run.concluded()
        split = next((name for name in ("test", "validation") if run.has_split(name)), None)
        if result is None and split is not None:
            result = run.evaluate(split=split)
        if os.environ.get("RANK", "0") != "0":
            return
        report = run.report()  # first: whoever reads our lines may go away in the middle
    if result is None:
        echo("nothing was held out, so nothing is measured; pervade evaluate RUN DATA does so on other data")
        result = {}
    else:
        show(result, run.words)
        _advise(run, result)
    model = run.path / "members" / next(iter(result["members"])) if "members" in result else run.path
    echo()
    echo(f"run     {run.path}")
    echo(f"report  {report}")
    echo(f"try     pervade predict {model} {run.recipe().domain.given}")


def _advise(run: Any, result: dict[str, Any]) -> None:
    """What may help, where hardly more was learnt than the commonest answer."""
    from pervade.metrics.baseline import against_constant, beats_baseline, never_answered
    from pervade.report import advice, record

    unbeaten = beats_baseline(result) is False or against_constant(result) in (0, -1)
    if (unbeaten or never_answered(result)) and (told := advice.instead(record.read(run.directory))):
        echo()
        echo(told)


def show(result: dict[str, Any], words: Any, all_figures: bool = False) -> None:
    """One sentence, then the figures as a table: value, 95% interval, what it is computed over, beside the baseline.

    With many classes the figures of single ones are left to the report unless `all_figures`. `words` are the run's.
    """
    from pervade.metrics.baseline import headline

    metrics, details = result["metrics"], result["details"]
    baseline = (details.get("baseline") or {}).get("metrics", {})
    what = f"checkpoint {result['checkpoint']!r}"
    if "members" in result:
        number, kind = len(result["members"]), result["kind"]
        pooled = kind == "folds" and "data" not in result
        what = f"{number} folds together" if pooled else f"mean of {number} {kind}"
    echo()
    where = f"{result['data']['name']}" if "data" in result else f"the {result['split']} split"
    name = headline(result)
    number = result["n"] if name is None else min(result["n"], metrics[name]["n"])  # of an agent, episodes of a kind
    echo(f"{what} on {where}, n = {number:,}")
    for sentence in [*_sentences(result, words), *_promises(details)]:
        echo(sentence)
    single = [name for name in metrics if "[" in name]
    hidden = single if len(single) > MOST_SINGLE and not all_figures else []
    echo()
    shown = {name: metric for name, metric in metrics.items() if name not in hidden}
    _table([_row(name, metric, baseline.get(name)) for name, metric in shown.items()])
    if hidden:
        echo(f"and {len(hidden)} figures of single classes: in the report, or `pervade evaluate RUN --all`")
    if "members" in result:
        _show_members(result, most=1 if hidden or not all_figures else len(metrics))


def show_unlike(result: dict[str, Any], words: Any) -> None:
    """How the other rows are told from the run's own: by its own score, then by each of the others."""
    from pervade.report.sections import unlike

    told = result["details"]["unlike"]
    rows = f"n = {told['rows']['other']:,} beside {result['n']:,} of the {result['split']} split"
    echo()
    echo(f"checkpoint {result['checkpoint']!r} on {told['name']}, {rows}")
    for sentence in unlike.sentences(told, words):
        echo(sentence)


def named(name: str, higher_is_better: bool | None) -> str:
    return f"{name} (lower is better)" if higher_is_better is False else name


def _row(name: str, metric: dict[str, Any], beside: dict[str, Any] | None) -> tuple[str, ...]:
    interval = f"{_number(metric['low'])} to {_number(metric['high'])}" if metric["low"] is not None else "none"
    plain = "" if beside is None else _number(beside["value"])
    return (
        named(name, metric.get("higher_is_better")),
        _number(metric["value"]),
        interval,
        f"{metric['n']:,}",
        plain,
        metric.get("why") or metric["method"],
    )


def _table(rows: list[tuple[str, ...]]) -> None:
    """As wide as what stands in it: returns of agents have more digits than shares, and longer names."""
    needed = [max((len(row[column]) for row in rows), default=0) for column in range(len(WIDTHS))]
    needed = [needed[0] + 1, needed[1], needed[2] + 1, *needed[3:]]
    name, value, interval, number, beside = (max(least, own) for least, own in zip(WIDTHS, needed, strict=True))
    for row in [("", "value", "95% interval", "n", "baseline", "method"), *rows]:
        figures = f"{row[1]:>{value}}  {row[2]:{interval}}{row[3]:>{number}}  {row[4]:>{beside}}"
        echo(f"{row[0]:{name}}{figures}  {row[5]}")


def _show_members(result: dict[str, Any], most: int) -> None:
    """Every member's own figure, and how they spread; of the first `most` figures."""
    for name, metric in list(result["metrics"].items())[:most]:
        mean, deviation = metric["mean"], metric["deviation"]
        spread = "" if mean is None else f"mean {_number(mean)}, deviation {_number(deviation)}"
        echo()
        name = named(name, metric.get("higher_is_better"))
        echo(f"{name}{' ':{max(24 - len(name), 1)}}{spread}")
        for member, own in metric["members"].items():
            interval = f"{_number(own['low'])} to {_number(own['high'])}" if own["low"] is not None else "none"
            echo(f"  {member:22}{_number(own['value']):>8}  {interval:18}{own['n']:>8,}  its own rows")


def _sentences(result: dict[str, Any], words: Any) -> list[str]:
    """The headline with its interval, beside the baseline, and what was never answered; none where no figure is
    defined."""
    from pervade.metrics.baseline import (
        against_constant,
        beats_baseline,
        falls_behind,
        headline,
        never_answered,
        only_by_balance,
    )
    from pervade.report import standing, wording
    from pervade.report.record import Figure
    from pervade.run.progress import spaced

    name = headline(result)
    if name is None:
        return []
    own, baseline = Figure.of(name, result["metrics"][name], words), result["details"].get("baseline") or {}
    called = own.words
    text = f"{called.reached or spaced(name)} {wording.figure(own)}"
    if own.low is not None:
        text += f" ({called.written(own.low)} to {called.written(own.high)})"
    silent = result["details"].get("unwritten")
    never = wording.join([wording.quoted(label) for label in never_answered(result)], most=5)
    more = [f"never answered, though among these rows: {never}"] if never else []
    constant = (result["details"].get("constant") or {}).get("name", "guessing")
    if (side := against_constant(result)) in (0, -1):
        more.insert(0, f"{'WORSE than' if side else 'NOT shown to be better than'} {constant}, which takes no learning")
    more += [f"of {silent:,} of {result['n']:,} nothing was written"] if silent else []
    other = (baseline.get("metrics") or {}).get(name)
    beside = [*filter(None, [standing.balance(result)])]
    if other is None or other["value"] is None:
        return [text, *beside, *more]
    text += f", {baseline['name']} would {'be on' if called.reached else 'reach'} {called.written(other['value'])}"
    guessing = called.reached and "predictions" not in baseline
    unproven = f": NOT shown to be better than {'guessing' if guessing else 'that'}"
    if falls_behind(result):
        unproven = ": WORSE than that"
    if only_by_balance(result):
        unproven = ": better only where each class counts the same"
    shown = beats_baseline(result) in (True, None) and not only_by_balance(result)
    return [text + ("" if shown else unproven), *beside, *standing.sentences(result), *more]


def _promises(details: dict[str, Any]) -> list[str]:
    """What became of each promise."""
    from pervade.engine import promises

    return [
        f"promise{' NOT kept on these rows' * bool(told.get('broken'))}: {told['sentence']}"
        if told["kept"]
        else promises.not_kept(told["flag"], told["why"])
        for told in details.get("promises", ())
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
