"""pervade compare: two models or more on the same rows, by paired tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.options import RunsOption
from pervade.cli.outcome import named
from pervade.core.terminal import echo, json_text, tell
from pervade.core.words import counted

MOST_SINGLE = 15  # figures of single classes that a terminal is filled with
MOST_SETTINGS = 12


def add_to(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    run: Annotated[
        list[str],
        typer.Argument(metavar="RUN RUN…", help="Runs to compare: the first with each of the others."),
    ],
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Which checkpoint: once for all runs, or once for each, in their order.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Other data than their own that all were measured on (pervade evaluate RUN DATA)."
        ),
    ] = None,
    reference: Annotated[
        int,
        typer.Option(
            min=1, max=10**6, metavar="NUMBER", help="Which of the runs is the one to compare with, by its place."
        ),
    ] = 1,
    allow_different_rows: Annotated[
        bool, typer.Option("--allow-different-rows", help="Compare the common rows where the splits differ.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes; unless given, compare.html, or compare-2.html and so on.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON; a page only with --out.")] = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Compare models on the same rows: is one better, by how much, how sure is that? Writes a page to look at."""
    from pervade.report import compare as page
    from pervade.run import comparing

    if checkpoint is None and data is None and comparing.are_seeds(run, runs):
        _ways(comparing.compare_seeds(run, runs), as_json)
        return
    comparison = comparing.compare(
        run,
        checkpoints=checkpoint or (),
        split=split,
        data=data,
        reference=reference - 1,
        allow_different_rows=allow_different_rows,
        runs=runs,
    )
    if as_json:
        if out is not None:
            page.write(comparison, out)
        echo(json_text(comparison.as_dict(), indent=1), keep="\n")
        return
    # First: whoever reads our lines may go away.
    written = _write(comparison) if out is None else page.write(comparison, out)
    _show(comparison)
    echo()
    echo(f"page    {written}")


def _write(comparison: Any) -> Path:
    """The page, as the first of compare.html, compare-2.html, compare-3.html … that is not there yet."""
    from pervade.report import compare as page

    number, path = 1, Path("compare.html")
    while True:
        try:
            path.open("x").close()  # so that two at once do not take the same name
            break
        except FileExistsError:
            number += 1
            path = Path(f"compare-{number}.html")
    try:
        return page.write(comparison, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _ways(comparisons: Any, as_json: bool) -> None:
    """Runs of several seeds: ways of training."""
    from pervade.report import wording

    if as_json:
        echo(json_text([pair.as_dict() for pair in comparisons], indent=1), keep="\n")
        return
    for pair in comparisons:
        counts = [counted(len(side), "seed") for side in (pair.figures[0].first, pair.figures[0].second)]
        echo()
        echo(f"{pair.second} ({counts[1]}) against {pair.first} ({counts[0]}), split {pair.split}")
        names = [named(figure.name, figure.higher_is_better) for figure in pair.figures]
        width = max(len(name) for name in names) + 2
        echo()
        echo(f"{'':{width}}{'interquartile means':>24}  {'difference':>10}  {'95% interval':22}  better in")
        for name, figure in zip(names, pair.figures, strict=True):
            values = " and ".join(map(figure.words.written, figure.middle))
            apart = figure.words.written(figure.difference["value"])
            better = "" if figure.better is None else wording.percent(figure.better["value"])
            better += "" if figure.better is None else f" ({_ends(figure.better, wording.percent)})"
            between = _ends(figure.difference, figure.words.written)
            echo(f"{name:{width}}{values:>24}  {apart:>10}  {between:22}  {better}")
    if min(min(len(f.first), len(f.second)) for pair in comparisons for f in pair.figures) < 3:
        echo()
        echo("fewer than three seeds: how sure that is cannot be told")
    echo()
    echo("better in: the chance that one training of the second does better than one of the first")


def _ends(figure: dict[str, Any], written: Any) -> str:
    return "none" if figure["low"] is None else f"{written(figure['low'])} to {written(figure['high'])}"


def _show(comparison: Any) -> None:
    from pervade.report import compare_words

    echo()
    echo(f"on {compare_words.counted(comparison)}")
    for text in comparison.rows:
        tell(f"not all rows are the same: {text}")
    for index in range(1, len(comparison.sides)):
        echo(compare_words.sentence(comparison, index))
        for words in (compare_words.classes, compare_words.cure, compare_words.promised):
            if text := words(comparison, index):
                echo(text)
    for side, differences in zip(comparison.sides[1:], comparison.differences, strict=True):
        _table(comparison, side.name, differences)
    shown = list(comparison.settings.items())[:MOST_SETTINGS]
    echo()
    echo("set differently" if shown else "set differently: nothing, the recipes are the same")
    wide = max([24, *(len(path) + 2 for path, _ in shown)])
    for path, values in shown:
        echo(f"  {path:{wide}}{'  |  '.join(str(value) for value in values)}")
    if len(comparison.settings) > len(shown):
        echo(f"  and {len(comparison.settings) - len(shown)} more, on the page")


def _table(comparison: Any, second: str, differences: dict[str, Any]) -> None:
    from pervade.report import compare_words

    first = comparison.sides[0].name
    single = [name for name in differences if "[" in name]
    hidden = single if len(single) > MOST_SINGLE else []
    if hidden:  # what each class gains or loses is what a cure for rare ones is judged by
        recalls = [name for name in single if name.startswith("recall[")]
        kept = recalls if len(recalls) <= MOST_SINGLE else [name for name in recalls if differences[name].shown]
        hidden = [name for name in single if name not in kept[:MOST_SINGLE]]
    widths = [max(len(name), 9) for name in (first[:24], second[:24])]
    head = f"{first[:24]:>{widths[0]}}  {second[:24]:>{widths[1]}}"
    told = {name: named(name, difference.higher_is_better) for name, difference in differences.items()}
    wide = max(24, *(len(told[name]) + 2 for name in differences if name not in hidden))
    echo()
    echo(f"{'':{wide}}{head}  {'difference':>12}  {'95% interval':20}  p")
    for name, gap in differences.items():
        if name in hidden:
            continue
        words = compare_words.words_of(comparison, name)
        values = [words.written(None if value != value else value) for value in (gap.first, gap.second)]
        pair = f"{values[0]:>{widths[0]}}  {values[1]:>{widths[1]}}"
        difference = compare_words.amount(words, gap.difference, signed=True).removesuffix(" points")
        interval = compare_words.interval(words, gap.low, gap.high)
        p = compare_words.probability(gap.adjusted).removeprefix("p ").removeprefix("= ")
        echo(f"{told[name]:{wide}}{pair}  {difference:>12}  {interval:20}  {p}")
    if hidden:
        echo(f"and {len(hidden)} figures of single classes, on the page")
