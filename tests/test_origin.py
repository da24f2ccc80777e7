"""A run goes on by what it was begun with, or says in one line what is another now."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import pervade
from pervade.core.errors import ConfigError
from pervade.engine import origin
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from tests.data.drawing import class_folders
from tests.small_run import recipe, same, stop_at, weights

__all__ = ["stop_at"]


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    return class_folders(tmp_path / "shapes", count=12)


def test_differences_are_named_by_their_paths() -> None:
    was = {"a": {"use": "x", "b": [1, 2]}, "c": {"use": "one", "d": 1}, "e": 1, "f": True}
    now = {"a": {"use": "x", "b": [1, 3]}, "c": {"use": "two", "d": 2}, "e": 1.0, "f": False, "g": None}
    assert list(origin.differences(was, now)) == [
        ("a.b", [1, 2], [1, 3]),
        ("c", "one", "two"),
        ("f", True, False),
    ]
    assert list(origin.differences(was, was)) == []


def edit(path: Path, where: str, value: Any) -> None:
    """Sets a setting in a recipe.yaml, or replaces a text in another file."""
    if path.suffix != ".yaml":
        assert where in path.read_text()
        path.write_text(path.read_text().replace(where, value, 1))
        return
    data = yaml.safe_load(path.read_text())
    *parents, last = where.split(".")
    place = data
    for parent in parents:
        place = place[parent]
    place[last] = value
    path.write_text(yaml.safe_dump(data))


EDITS = [
    ("recipe.yaml", "optimizer.lr", 0.5, "optimizer.lr was 0.02 and is 0.5; put that back"),
    ("recipe.yaml", "model", {"use": "reference-cnn"}, "model was 'reference-mlp' and is 'reference-cnn'"),
    ("recipe.yaml", "epochs", 7, "epochs was 3 and is 7"),
    ("recipe.yaml", "threads", 2, "threads was 1 and is 2"),
    ("recipe.yaml", "time_limit", 9.0, "time_limit was None and is 9.0"),
    ("data.json", "validation", "train", "data.json is another or gone"),
    ("preprocess.json", '"size": 16', '"size": 17', "preprocess.json is another or gone"),
]


def test_what_changed_between_stop_and_resume_is_refused(shapes: Path, tmp_path: Path, stop_at: Callable) -> None:
    whole = pervade.fit(shapes, recipe=recipe(threads=1), name="whole", runs=tmp_path, options=Options())
    stop_at(4)
    with pytest.raises(Stopped):
        pervade.fit(shapes, recipe=recipe(threads=1), name="a", runs=tmp_path, options=Options())
    run = tmp_path / "a"
    for name, where, value, said in EDITS:
        before = (run / name).read_bytes()
        state = (run / "state" / "state.json").read_bytes()
        edit(run / name, where, value)
        with pytest.raises(ConfigError, match=said) as caught:
            pervade.resume(run, options=Options())
        assert f"with --init {run}" in str(caught.value)
        assert (run / "state" / "state.json").read_bytes() == state
        (run / name).write_bytes(before)
    edit(run / "recipe.yaml", "workers", 1)
    resumed = pervade.resume(run, options=Options())
    assert same(weights(resumed.directory), weights(whole.directory))
    assert json.loads((run / "origin.json").read_text())["recipe"]["workers"] == 1
    edit(run / "recipe.yaml", "optimizer.lr", 0.5)  # the report does not tell of a training that never was
    assert "optimizer.lr was 0.02 and is 0.5" in resumed.report().read_text()


def test_a_recipe_may_change_before_the_first_step(shapes: Path, tmp_path: Path, monkeypatch) -> None:
    from pervade.run import workflow

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "load_rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pervade.fit(shapes, recipe=recipe(), name="a", runs=tmp_path, options=Options())
    edit(tmp_path / "a" / "recipe.yaml", "epochs", 1)
    run = pervade.resume(tmp_path / "a", options=Options())
    assert run.directory.plan()["passes"] == 1


@pytest.mark.parametrize("how", [{"seeds": 2}, {"folds": 2}])
def test_members_go_on_by_the_recipe_they_began_with(shapes: Path, tmp_path: Path, stop_at: Callable, how) -> None:
    stop_at(4)  # in the second member
    with pytest.raises(Stopped):
        pervade.fit(shapes, recipe=recipe(epochs=1), name="a", runs=tmp_path, options=Options(), **how)
    before = (tmp_path / "a" / "recipe.yaml").read_bytes()
    edit(tmp_path / "a" / "recipe.yaml", "epochs", 2)
    with pytest.raises(ConfigError, match="a is not what its training began with: epochs was 1 and is 2"):
        pervade.resume(tmp_path / "a", options=Options())
    (tmp_path / "a" / "recipe.yaml").write_bytes(before)
    edit(tmp_path / "a" / "data.json", '"test"', '"aside"')
    with pytest.raises(ConfigError, match=r"data\.json is another or gone"):
        pervade.resume(tmp_path / "a", options=Options())


def test_trials_go_on_by_the_recipe_they_began_with(shapes: Path, tmp_path: Path, stop_at: Callable) -> None:
    stop_at(2)
    with pytest.raises(Stopped):
        pervade.tune(
            shapes,
            recipe=recipe(epochs=1),
            name="a",
            runs=tmp_path,
            trials=2,
            search=["optimizer.lr=[0.01, 0.02]"],
            options=Options(),
        )
    before = (tmp_path / "a" / "recipe.yaml").read_bytes()
    edit(tmp_path / "a" / "recipe.yaml", "optimizer.momentum", 0.5)
    with pytest.raises(ConfigError, match=r"optimizer\.momentum was 0\.9 and is 0\.5"):
        pervade.resume(tmp_path / "a", options=Options())
    (tmp_path / "a" / "recipe.yaml").write_bytes(before)
    run = pervade.resume(tmp_path / "a", options=Options())
    pervade.resume(tmp_path / "a", options=Options())  # its recipe is the winner's now
    assert run.results()["n"] > 0
