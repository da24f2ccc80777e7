"""The command under "Make it again" of the report gives the very recipe that the run was trained by."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from pervade.core import plain_yaml
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.report.record import read
from pervade.report.sections import reproduce
from pervade.run import workflow
from tests.data.drawing import class_folders
from tests.data.sounds import speakers


class _Chosen(ConfigError):
    """Raised when the recipe is written, so that nothing is trained."""


def pictures(root: Path) -> Path:
    return class_folders(root / "my photos")


def texts(root: Path) -> Path:
    rows = "".join(f"this is film number {i},{('good', 'bad')[i % 2]}\n" for i in range(12))
    (root / "texts.csv").write_text("text,label\n" + rows)
    return root / "texts.csv"


def recordings(root: Path) -> Path:
    return speakers(root / "sounds")


def books(root: Path) -> Path:
    (root / "books").mkdir()
    for i in range(3):
        (root / "books" / f"{i}.txt").write_text(f"It was a night of number {i}.\n" * 400)
    return root / "books"


def pole(root: Path) -> str:
    return "gym://CartPole-v1"


@pytest.mark.parametrize(
    ("make", "flags"),
    [
        (pictures, ""),
        (pictures, "--model resnet18 --seed 3 --epochs=2 -o domain.flip=false --lr find"),
        (pictures, "--folds 3 --time-limit 90s"),
        (pictures, "--seeds 2 --init random -o 'optimizer={use: sgd, lr: 0.1}'"),
        (texts, "--text-column text --label-column label"),
        (texts, "--task fill-mask --threads 2"),
        (recordings, "--group-pattern '_(.+)$'"),
        (books, ""),
        (pole, ""),
        (pole, "--algorithm dqn --steps 5000 -odomain.environments=2"),
    ],
)
def test_it_is_the_same_recipe(make: Any, flags: str, pervade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[tuple[Any, dict[str, Any], Any]] = []
    begin = workflow.begin

    def stop(run: RunDirectory, *rest: Any) -> None:
        begin(run, *rest)
        plan = plain_yaml.read(run.members) if run.members.exists() else None
        begun.append((read(run), plain_yaml.read(run.recipe), plan))
        raise _Chosen("chosen")

    monkeypatch.setattr(workflow, "begin", stop)
    pervade("train", make(tmp_path), *shlex.split(flags)).refuses("chosen")
    record, recipe, plan = begun[0]
    if recipe["threads"] == "auto":  # the first step settles it
        recipe["threads"] = record.recipe["threads"] = 2
    command = shlex.split(reproduce.command(record) or "")
    assert command[0] == "pervade"
    pervade(*command[1:]).refuses("chosen")
    _, again, plan_again = begun[1]
    rungs = [rung for made in (plan, plan_again) for rung in ((made or {}).get("rungs") or {}).values()]
    for own in [recipe, again, *(rung for rung in rungs if isinstance(rung, dict))]:
        own["init"].pop("because", None)  # why it was chosen: it was asked for now
        own["threads"] = 2 if own["threads"] == "auto" else own["threads"]
    assert again == recipe
    assert plan_again == plan
