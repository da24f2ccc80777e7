"""Every number flag refuses what is none, or lies outside its range, in one line."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from pervade import api, cli
from pervade.core.contracts import EarlyStopping, Recipe
from pervade.core.errors import ConfigError
from pervade.recipes import image
from pervade.run.training import Options


def number_flags() -> Iterator[tuple[str, str, bool, float | None]]:
    """The verb, the flag, whether it takes fractions, and the least that it takes, of all flags that take a number."""
    cli._register()
    for command in cli.app.registered_commands:
        assert command.callback is not None
        for name, hint in typing.get_type_hints(command.callback, include_extras=True).items():
            kind, *more = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
            kinds = {int, float} & {kind, *typing.get_args(kind)}
            if kinds and more:
                flag = next(iter(more[0].param_decls or ()), f"--{name.replace('_', '-')}")
                yield command.name or command.callback.__name__, flag, float in kinds, more[0].min


FLAGS = sorted(number_flags(), key=str)


def test_every_number_flag_has_a_least_value() -> None:
    """But for those that say themselves that they are too few."""
    assert len(FLAGS) > 20
    assert {flag for _, flag, _, least in FLAGS if least is None} == {"--seeds", "--trials"}


@pytest.mark.parametrize(("verb", "flag"), [(verb, flag) for verb, flag, fractions, _ in FLAGS if fractions])
def test_a_flag_refuses_what_is_no_number(verb: str, flag: str, pervade) -> None:
    for value in ("nan", "-inf"):
        pervade(verb, "nothing", f"{flag}={value}").refuses(f"Invalid value for '{flag}': ")


def test_a_flag_refuses_what_is_below_its_range(pervade) -> None:
    for flag in ("--batch-size", "--workers", "--steps"):
        pervade("train", "nothing", f"{flag}=-1").refuses(f"Invalid value for '{flag}': ")


@pytest.mark.parametrize(
    "path",
    ["early_stopping.patience", "early_stopping.every", "epochs", "batch_size", "optimizer.lr", "clip_norm", "test"],
)
@pytest.mark.parametrize("value", ["-1", ".nan", "nan", ".inf", "-.inf"])
def test_a_setting_refuses_them_too(path: str, value: str) -> None:
    with pytest.raises(
        ConfigError, match=f"^(setting )?'?{path}'?: .*(does not fit; it must be|is not a finite number)"
    ):
        api.configure(image.recipe(init="random"), [f"{path}={value}"])


def test_a_recipe_from_python_is_looked_at_as_well(tmp_path: Path) -> None:
    from dataclasses import replace

    recipe: Recipe = image.recipe(init="random")
    for faulty in (
        replace(recipe, early_stopping=EarlyStopping("accuracy", patience=-1)),
        replace(recipe, epochs=-1),
        replace(recipe, clip_norm=float("nan")),
    ):
        with pytest.raises(ConfigError, match="does not fit; it must be"):
            api.fit(tmp_path, recipe=faulty, runs=tmp_path / "runs", options=Options())
    assert not (tmp_path / "runs").exists()
