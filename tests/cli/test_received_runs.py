"""A run that was received is data: whatever its files name, no code runs because of it unless the person who uses it
says so, each time anew."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import itertools
import json
import shutil
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pervade import api
from pervade.agents import worlds
from pervade.core import registry, trust
from pervade.core.errors import ConfigError, PervadeError
from pervade.engine import checkpoint
from pervade.run.training import Options

# What runs when it is imported leaves a file behind; its class is a sound environment.
CANARY = """
import pathlib
import gymnasium, numpy as np
pathlib.Path("it_ran").touch()
class Bird(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    age = 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.age = 0
        return np.zeros(4, np.float32), {}
    def step(self, action):
        self.age += 1
        return np.zeros(4, np.float32), 1.0, self.age > 4, False, {}
def fly(**anything):
    pathlib.Path("it_flew").touch()
    return Bird()
"""
FEW = ("-odomain.environments=2", "-odomain.episodes=2", "--steps", "0", "--runs", "runs", "--name", "received")


@pytest.fixture(autouse=True)
def _canary(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (workplace / "canary.py").write_text(CANARY)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(trust, "_named", set())
    monkeypatch.setattr(trust, "_allowed", False)
    yield
    sys.modules.pop("canary", None)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of CartPole, which learnt nothing."""
    settings = ["domain.environments=2", "domain.episodes=2"]
    runs = tmp_path_factory.mktemp("sent")
    return api.fit("gym://CartPole-v1", steps=0, settings=settings, runs=runs, options=Options()).path


@pytest.fixture
def received(sent: Path, workplace: Path) -> Path:
    return shutil.copytree(sent, workplace / "runs" / "received")


def rename(run: Path, name: str, arguments: dict[str, object] | None = None) -> None:
    """In every file of the run that says which environment it is."""
    arguments = arguments or {}
    for path in run.rglob("preprocess.json"):
        data = json.loads(path.read_text())
        data["domain"] |= {"name": name, "arguments": arguments}
        path.write_text(json.dumps(data))
    for path in run.rglob("recipe.yaml"):
        data = yaml.safe_load(path.read_text())
        data["domain"] |= {"name": name, "arguments": arguments}
        path.write_text(yaml.safe_dump(data))
    for path in (run / "environment.json", run / "data.json"):
        path.write_text(path.read_text().replace("gym://CartPole-v1", f"gym://{name}"))
    (run / "origin.json").unlink(missing_ok=True)  # whoever changes the others can do without it, too


@pytest.mark.parametrize("verb", ["predict", "evaluate", "resume", "resume from the data on"])
def test_a_class_that_a_file_names_is_refused_by_module_and_file(
    verb: str, pervade, received: Path, workplace: Path
) -> None:
    rename(received, "canary:Bird")
    verb, _, anew = verb.partition(" ")
    if anew:
        for name in ("data.json", "preprocess.json"):
            (received / name).unlink()
    path = list(sys.path)
    pervade(verb, received).refuses("canary:Bird", f"module canary, {workplace / 'canary.py'}", "--trust-remote-code")
    assert not (workplace / "it_ran").exists()
    assert "canary" not in sys.modules
    assert sys.path == path, "the current folder must not come on the import path"


def test_the_very_case_that_was_reported(pervade, received: Path, workplace: Path) -> None:
    for name in ("os:system", "posix:system"):
        rename(received, name, {"command": "touch it_ran"})
        for verb in ("predict", "evaluate", "resume"):
            pervade(verb, received).refuses(name, "--trust-remote-code")
        pervade("predict", received, "--trust-remote-code").refuses(f"{name} is no gymnasium.Env")
    assert not (workplace / "it_ran").exists()


def test_worker_processes_are_asked_for_too(workplace: Path) -> None:
    plan = worlds.Plan("canary:Bird", 2, {"shape": [4], "dtype": "float32"}, {"kind": "discrete", "sizes": [2]}, 9)
    with pytest.raises(ConfigError, match=r"canary:Bird.*--trust-remote-code"):
        worlds.Processes(plan)
    assert not (workplace / "it_ran").exists()


def test_an_old_gym_environment_names_a_module_in_its_arguments(pervade, received: Path) -> None:
    rename(received, "GymV21Environment-v0", {"env_id": "canary:Bird-v0"})
    pervade("predict", received).refuses("GymV21Environment-v0", "--trust-remote-code")


def test_where_it_is_trusted_it_is_said_and_must_be_an_environment(pervade, received: Path, workplace: Path) -> None:
    rename(received, "canary:fly")
    pervade("predict", received, "--trust-remote-code").refuses("canary:fly is no gymnasium.Env")
    assert not (workplace / "it_flew").exists()
    rename(received, "canary:Bird")
    ran = pervade("predict", received, "--trust-remote-code")
    assert ran.status == 0
    assert f"running code that is not ours: canary:Bird (module canary, {workplace / 'canary.py'})" in ran.err
    pervade("predict", received).refuses("--trust-remote-code")  # each time anew


def test_what_one_has_named_oneself_runs(pervade, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pervade("train", "gym://canary:Bird", *FEW).status == 0
    monkeypatch.setattr(trust, "_named", set())  # as in another process
    pervade("predict", "received").refuses("canary:Bird", "--trust-remote-code")
    for verb in ("predict", "evaluate", "resume"):
        assert pervade(verb, "received", "--trust-remote-code").status == 0, verb
    assert pervade("report", "received").status == 0  # which reads the run's files alone


def _holds_text(hint: Any) -> bool:
    return any(base in (hint, typing.get_origin(hint)) for base in (str, dict)) or any(
        _holds_text(each) for each in typing.get_args(hint)
    )


def test_no_registered_spec_imports_what_a_file_names(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind, every field that holds a text or settings, though the module could be imported."""
    monkeypatch.setenv("PERVADE_OFFLINE", "1")
    monkeypatch.syspath_prepend(workplace)
    code = {"use": "canary:Bird", "name": "canary:Bird", "auto_map": {"AutoConfig": "canary.Bird"}, "kind": "canary"}
    every = [(kind, name) for kind in registry.PACKAGES for name in registry.names(kind)]
    before, cases = set(sys.modules), 0
    for kind, name in every:
        cls, _ = registry.find(kind, name)
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = [each.name for each in dataclasses.fields(cls) if each.init and _holds_text(hints[each.name])]
        for field, value in itertools.product(fields, ("canary:Bird", "canary", "hf-hub:canary/canary", code)):
            cases += 1
            data = {"use": name, field: value}
            recipe = {"format": 1, "domain": "digits", "task": "classify", kind: data}
            (workplace / "recipe.yaml").write_text(yaml.safe_dump(recipe))
            (workplace / "preprocess.json").write_text(json.dumps({"format": 1, "domain": data}))
            for read in (checkpoint.read_recipe, checkpoint.read_domain):
                with contextlib.suppress(PervadeError):
                    read(workplace / ("recipe.yaml" if read is checkpoint.read_recipe else "preprocess.json"))
    known = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), "pervade"}
    assert {each for each in set(sys.modules) - before if each.partition(".")[0] not in known} == set()
    assert not (workplace / "it_ran").exists()
    assert cases > 200
