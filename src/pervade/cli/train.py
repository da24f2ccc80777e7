"""pervade train: from data to a trained, evaluated, reported model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from pervade.cli.groups import columns, learning, promising, takes
from pervade.cli.options import folds_of, seconds


def add_to(app: typer.Typer) -> None:
    app.command()(train)


@takes(columns, learning, promising)
def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A folder of class folders (pictures, recordings), a table of files or texts, or of recordings and "
            "what is said in them, a parquet file with pictures inside, a folder of text files to learn writing from, "
            "hf://OWNER/NAME, or gym://NAME, an environment to act in.",
        ),
    ],
    given: dict[str, Any],
    seeds: Annotated[
        int | None,
        typer.Option(max=1000, help="Train so many times, each by another seed, and show how far the figures spread."),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option(
            metavar="N|group|column",
            help="Cross-validate in N parts: every row is tested once, by a model that never saw it; group: each group "
            "(a speaker) is held out in turn (--group-pattern or --group-by says which); column: each fold that the "
            "data names (a column fold, or folders fold1, fold2 …).",
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="End after this long, evaluation and all: 90s, 10m, 1.5h.")
    ] = None,
    ladder: Annotated[
        str | None,
        typer.Option(
            metavar="RUNGS",
            help="Which ways to learn are tried, the cheapest first, of which the best by the validation split is "
            "delivered: some of plain,frozen,trained,blend, or all. Unless given: all where there is a choice and "
            "neither --model nor --recipe nor another way is named. trained: the network alone.",
        ),
    ] = None,
    best_of: Annotated[
        str,
        typer.Option(
            metavar="accuracy|size|speed",
            help="Of a ladder: the best, or, of the rungs that are not shown to be worse than it, the smallest or the "
            "fastest to predict.",
        ),
    ] = "accuracy",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard files too.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, say how and what is there, and stop before training.")
    ] = False,
) -> None:
    """Train a model on DATA, evaluate it on what it never saw, and write the report."""
    from pervade import api
    from pervade.cli.outcome import finish, stoppable
    from pervade.core.errors import DataError

    if not data:  # an unset variable of the shell; a path of no letters would be the current folder
        raise DataError("DATA is empty; give a folder or a table")
    given |= {"folds": folds_of(folds), "time_limit": seconds(time_limit)}
    with stoppable():
        given |= {"seeds": seeds, "ladder": ladder, "best_of": best_of}
        if dry_run:
            api.open_data(data, **{key: value for key, value in given.items() if key != "name"})
            return
        options = replace(given.pop("options"), tensorboard=tensorboard)
        finish(api.fit(data, options=options, **given))
