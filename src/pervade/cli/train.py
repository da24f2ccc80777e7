"""pervade train: from data to a trained, evaluated, reported model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.options import RunsOption, SaveEveryOption, TrustOption, folds_of, rate, seconds


def add_to(app: typer.Typer) -> None:
    app.command()(train)


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
    name: Annotated[str | None, typer.Option(help="Name of the run; unless given, made from data and model.")] = None,
    task: Annotated[str | None, typer.Option(help="What to learn (`pervade tasks`); unless given, detected.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Which network (`pervade models`), or hf:NAME, a published one.")
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Tables of pictures, recordings or texts: which column is to be learnt (several of 0 and 1: a,b,c)."
        ),
    ] = None,
    file_column: Annotated[
        str | None, typer.Option(help="Tables of pictures or recordings: which column names the files.")
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(
            help="Tables of texts, or of recordings and what is said in them: which column holds the text (two for "
            "pairs of texts: a,b)."
        ),
    ] = None,
    label_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Folders of pictures or recordings: what of a file's name is its label, in brackets: '^(\\d)_' takes "
            "7 of 7_anna_3.wav. A pattern with a slash in it reads the path below the data.",
        ),
    ] = None,
    group_pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Pictures and recordings, with transcripts too: what of a file's name says what belongs together (who "
            "speaks) and is not divided, whatever its class: '_(.+)_' takes anna of 7_anna_3.wav. A pattern with a "
            "slash in it reads the path below the data: '([^/]+)/[^/]+$' takes the folder that a file lies in.",
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Tables: which column says what belongs together and is not divided; one that is called group, "
            "subject, patient, person, speaker or the like is found. none: no column.",
        ),
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Tables: which column says what is train, validation and test; one that is called split, is_valid or "
            "the like is found. none: no column, splits are drawn by chance.",
        ),
    ] = None,
    join_spellings: Annotated[
        bool,
        typer.Option(
            "--join-spellings", help="Labels that differ in case, width and blanks alone (Spam, SPAM) are one label."
        ),
    ] = False,
    positive: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which of two classes is looked for, as areas under curves say; unless given, the last.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe.yaml, such as another run's, instead of the model's own recipe.")
    ] = None,
    algorithm: Annotated[
        str | None, typer.Option(metavar="ppo|dqn", help="In an environment: how to learn; unless given, ppo.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=0, max=10**12, help="In an environment: how many steps to act; 0 measures the first weights."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="Passes: how often every example is seen.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, max=10**6, help="Examples in one step.")] = None,
    lr: Annotated[str | None, typer.Option(help="Learning rate at its peak; or find: by a short test first.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**62 - 1, help="Seed of all that is random: same seed, same result.")
    ] = None,
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
    init: Annotated[
        str | None,
        typer.Option(
            help="Where the first weights come from: random, pretrained (those published for --model; said before they "
            "are downloaded), a file of weights, a folder in the Hugging Face Hub's layout, or a run. Unless given: "
            "pretrained where published weights can be had, else random."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of training: auto, fp32 or bf16.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=256, help="Threads that read examples ahead.")] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=512, help="Threads that compute; unless given, one or all, whichever is faster."),
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Train the last layer alone, on features that the others compute once.")
    ] = False,
    lora: Annotated[
        bool, typer.Option("--lora", help="Train small adapters beside weights that stay (see `pervade merge`).")
    ] = False,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta",
            help="Judge each picture mirrored too, each recording slower and faster too, and average: two or three "
            "times the time (most recipes do so anyway).",
        ),
    ] = False,
    time_limit: Annotated[
        str | None, typer.Option(help="End after this long, evaluation and all: 90s, 10m, 1.5h.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("-o", metavar="PATH=VALUE", help="Any setting of recipe.yaml: -o optimizer.momentum=0.8"),
    ] = None,
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
    on_bad_file: Annotated[
        str, typer.Option(metavar="leave-out|fail", help="What to do with a file that cannot be used.")
    ] = "leave-out",
    save_every: SaveEveryOption = 30.0,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard files too.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read the data, say how and what is there, and stop before training.")
    ] = False,
) -> None:
    """Train a model on DATA, evaluate it on what it never saw, and write the report."""
    from pervade import api, progress
    from pervade.cli.outcome import finish, stoppable
    from pervade.core.errors import ConfigError, DataError
    from pervade.engine.checkpoint import read_recipe
    from pervade.pacing import process_start
    from pervade.training import Options

    if recipe is not None and (model is not None or task is not None):
        raise ConfigError("--recipe names model and task itself; leave out --model and --task, or change it with -o")
    if freeze and lora:
        raise ConfigError("--freeze and --lora exclude each other; choose one")
    if recipe is not None and (freeze or lora):
        raise ConfigError("--recipe says itself how weights are tuned; leave out --freeze and --lora, or set -o tuning")
    if not data:  # an unset variable of the shell; a path of no letters would be the current folder
        raise DataError("DATA is empty; give a folder or a table")
    if on_bad_file not in ("leave-out", "fail"):
        raise ConfigError(f"--on-bad-file {on_bad_file!r} is unknown; allowed: leave-out, fail")
    began = process_start()
    options = Options(
        progress.screen(), save_every, on_bad_file, tensorboard, began=began, loaded=time.monotonic() - began
    )
    asked: dict[str, Any] = {
        "task": task,
        "model": model,
        "recipe": read_recipe(recipe, error=ConfigError) if recipe is not None else None,
        "name": name,
        "runs": runs,
        "settings": setting or [],
        "options": options,
        "algorithm": algorithm,
        "steps": steps,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": rate(lr),
        "seed": seed,
        "seeds": seeds,
        "folds": folds_of(folds),
        "tuning": "freeze" if freeze else "lora" if lora else None,
        "init": init,
        "label_column": label_column,
        "file_column": file_column,
        "text_column": text_column,
        "label_pattern": label_pattern,
        "group_pattern": group_pattern,
        "group_column": group_by,
        "split_column": split_column,
        "join_spellings": join_spellings,
        "positive": positive,
        "tta": tta,
        "device": device,
        "precision": precision,
        "workers": workers,
        "threads": threads,
        "time_limit": seconds(time_limit),
    }
    with stoppable():
        if dry_run:
            api.look(data, **{key: value for key, value in asked.items() if key not in ("name", "seeds")})
            return
        finish(api.fit(data, **asked))
