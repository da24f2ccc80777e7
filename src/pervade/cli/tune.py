"""pervade tune: search over settings of the recipe, within a limit of time or trials."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from pervade.cli.options import RunsOption, SaveEveryOption, TrustOption, seconds


def add_to(app: typer.Typer) -> None:
    app.command()(tune)


def tune(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="What to learn from, as `pervade train` takes it: a folder of class folders, a table of files or "
            "texts, hf://OWNER/NAME, gym://NAME …",
        ),
    ],
    time_limit: Annotated[
        str | None, typer.Option(help="For everything, the final evaluation included: 10m, 1.5h.")
    ] = None,
    trials: Annotated[int | None, typer.Option(max=10**6, help="How many trials at most.")] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=RANGE",
            help="A field to vary: optimizer.lr=1e-4..1e-1:log, batch_size=[32, 64]. Without any, the recipe's own.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; unless given, made from data and model.")] = None,
    task: Annotated[str | None, typer.Option(help="What to learn (`pervade tasks`); unless given, detected.")] = None,
    model: Annotated[str | None, typer.Option(help="Which network (`pervade models`).")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A recipe.yaml to start from.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="Of a trial: how often every example is seen.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**62 - 1, help="Seed of the search and of every trial.")
    ] = None,
    init: Annotated[str | None, typer.Option(help="Where the first weights come from.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of training: auto, fp32 or bf16.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=256, help="Threads that read ahead.")] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=512, help="Threads that compute; unless given, one or all, whichever is faster."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("-o", metavar="PATH=VALUE", help="Any setting that stays: -o optimizer.momentum=0.8"),
    ] = None,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
    save_every: SaveEveryOption = 30.0,
) -> None:
    """Search for better settings. Trials are judged on the validation split; the best is evaluated on test, once."""
    from pervade import api, progress
    from pervade.cli.outcome import finish, stoppable
    from pervade.core.errors import ConfigError, DataError
    from pervade.engine.checkpoint import read_recipe
    from pervade.pacing import process_start
    from pervade.training import Options

    if recipe is not None and (model is not None or task is not None):
        raise ConfigError("--recipe names model and task itself; leave out --model and --task, or change it with -o")
    if not data:
        raise DataError("DATA is empty; give a folder or a table")
    began = process_start()
    options = Options(progress.screen(), save_every, began=began, loaded=time.monotonic() - began)
    with stoppable():
        run = api.tune(
            data,
            time_limit=seconds(time_limit),
            trials=trials,
            search=search or [],
            task=task,
            model=model,
            recipe=read_recipe(recipe, error=ConfigError) if recipe is not None else None,
            name=name,
            runs=runs,
            settings=setting or [],
            options=options,
            epochs=epochs,
            seed=seed,
            init=init,
            device=device,
            precision=precision,
            workers=workers,
            threads=threads,
        )
        finish(run)
