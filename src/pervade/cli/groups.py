"""Options that more than one verb has, declared once, in groups.

A group is a function whose parameters are options, and which returns what they say as the Python face takes it.
`@takes` gives a verb the options of groups behind its own; it gets what the groups return as one dict, `given`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.options import (
    FileColumnOption,
    RunsOption,
    SaveEveryOption,
    TextColumnOption,
    TrustOption,
    finite,
    rate,
    shares_of,
)

Group = Callable[..., dict[str, Any]]


def takes(*groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a verb, which has a parameter `given`, the options of these groups in its place."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        options = {group: inspect.signature(group, eval_str=True).parameters for group in groups}
        own = inspect.signature(verb, eval_str=True)
        parameters = [option for option in own.parameters.values() if option.name != "given"]
        parameters += [option for of_group in options.values() for option in of_group.values()]

        @wraps(verb)
        def command(**values: Any) -> None:
            given: dict[str, Any] = {}
            for group, of_group in options.items():
                given |= group(**{name: values.pop(name) for name in of_group})
            verb(**values, given=given)

        keyword = inspect.Parameter.KEYWORD_ONLY
        command.__signature__ = own.replace(parameters=[one.replace(kind=keyword) for one in parameters])  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


def columns(
    label_column: Annotated[
        str | None,
        typer.Option(
            help="Tables of pictures, recordings or texts: which column is to be learnt (several of 0 and 1: a,b,c)."
        ),
    ] = None,
    file_column: FileColumnOption = None,
    text_column: TextColumnOption = None,
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
    encoding: Annotated[
        str | None,
        typer.Option(
            help="Text files and tables of texts: their encoding, where it is not UTF-8; several by commas: the first "
            "that fits, file by file."
        ),
    ] = None,
) -> dict[str, Any]:
    """What a table or a folder is read by, in every verb that reads labelled data."""
    return {
        "label_column": label_column,
        "file_column": file_column,
        "text_column": text_column,
        "label_pattern": label_pattern,
        "group_pattern": group_pattern,
        "group_column": group_by,
        "split_column": split_column,
        "encoding": encoding,
    }


def learning(
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
            help="Of two classes the one whose finding is measured: by the areas under curves, and the curves. Unless "
            "given, the last in the order of their names (of ham and spam, spam; of 0 and 1, 1).",
        ),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option(
            "--tta",
            help="Judge each picture mirrored too, each recording slower and faster too, and average: two or three "
            "times the time (most recipes do so anyway).",
        ),
    ] = False,
    condition: Annotated[
        str | None,
        typer.Option(metavar="none|label", help="Pictures to be made: by class (label), or whatever they show."),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Pictures to be made: the run whose network judges them; unless given, one that learns from the same "
            "pictures before.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; unless given, made from data and model.")] = None,
    task: Annotated[str | None, typer.Option(help="What to learn (`pervade tasks`); unless given, detected.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Which network (`pervade models`), or hf:NAME, a published one.")
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
    imbalance: Annotated[
        str | None,
        typer.Option(
            metavar="none|weights|oversample|undersample|focal|generate|auto",
            help="What is done about rare classes; unless given, auto where the rarest has under a fifth of its fair "
            "share, which answers so that each class counts the same, unless that is worse on the validation split.",
        ),
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
) -> dict[str, Any]:
    """What one training is asked to do; a search's trials are such, too. Raises ConfigError where two exclude each
    other."""
    from pervade.core.errors import ConfigError
    from pervade.engine.checkpoint import read_recipe
    from pervade.run import progress
    from pervade.run.pacing import process_start
    from pervade.run.training import Options

    if recipe is not None and (model is not None or task is not None):
        raise ConfigError("--recipe names model and task itself; leave out --model and --task, or change it with -o")
    if freeze and lora:
        raise ConfigError("--freeze and --lora exclude each other; choose one")
    if recipe is not None and (freeze or lora):
        raise ConfigError("--recipe says itself how weights are tuned; leave out --freeze and --lora, or set -o tuning")
    if on_bad_file not in ("leave-out", "fail"):
        raise ConfigError(f"--on-bad-file {on_bad_file!r} is unknown; allowed: leave-out, fail")
    began = process_start()
    loaded = time.monotonic() - began
    return {
        "options": Options(progress.screen(), save_every, on_bad_file, began=began, loaded=loaded),
        "task": task,
        "model": model,
        "recipe": read_recipe(recipe, error=ConfigError) if recipe is not None else None,
        "name": name,
        "runs": runs,
        "settings": setting or [],
        "algorithm": algorithm,
        "steps": steps,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": rate(lr),
        "seed": seed,
        "tuning": "freeze" if freeze else "lora" if lora else None,
        "init": init,
        "imbalance": imbalance,
        "join_spellings": join_spellings,
        "positive": positive,
        "tta": tta,
        "condition": condition,
        "judge": judge,
        "device": device,
        "precision": precision,
        "workers": workers,
        "threads": threads,
    }


def promising(
    min_recall: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]SHARE",
            help="Classes: find at least so many of the rows of this class, 0.95 of 1; may be given again for others. "
            "Without NAME: of two classes the positive one.",
        ),
    ] = None,
    max_false_alarms: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]SHARE",
            help="Classes: call at most so many of the rows of other classes this one, 0.02 of 1; may be given again.",
        ),
    ] = None,
    cost: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Classes: answer what costs least by this table (csv), a line for each true class and a column for "
            "each answer, with their names.",
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            metavar="SHARE",
            help="Give sets of classes, or ranges of numbers, that hold the truth so often, 0.9 of 1.",
        ),
    ] = None,
    coverage_by: Annotated[
        str | None,
        typer.Option(
            metavar="class|group",
            help="What --coverage is promised of by itself: each class, or new groups.",
        ),
    ] = None,
    max_risk: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            metavar="SHARE",
            help="Answer only where at most so many of the answers are wrong, 0.02 of 1; else say so.",
        ),
    ] = None,
) -> dict[str, Any]:
    """What is to hold of answers: half of the validation rows are kept for it, and choose nothing else."""
    return {
        "min_recall": shares_of("--min-recall", min_recall),
        "max_false_alarms": shares_of("--max-false-alarms", max_false_alarms),
        "costs": cost,
        "coverage": coverage,
        "coverage_by": coverage_by,
        "max_risk": max_risk,
    }
