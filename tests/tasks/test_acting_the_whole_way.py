"""Agents from the environment's name to figures. That they are resumed bit for bit is in tests/test_resume.py."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pervade import api
from pervade.engine.predictions import read_columns
from pervade.run.training import Options

FEW = ("domain.episodes=6",)
REPLAY = ("source.begin=200", "source.steps=256", "source.every=16", "source.lessons=4", "source.size=1000")
AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {"data": "gym://CartPole-v1", "steps": 4096, "settings": FEW},
    "dqn": {
        "data": "gym://CartPole-v1",
        "algorithm": "dqn",
        "steps": 2000,
        "settings": (
            *FEW,
            *REPLAY,
            "source.priority=0.6",
            "source.ahead=3",
            "task.dueling=true",
            "domain.environments=2",
        ),
    },
    "ppo-in-processes": {
        "data": "gym://CartPole-v1",
        "steps": 2048,
        "settings": (*FEW, "domain.processes=2", "domain.environments=4", "source.steps=128"),
    },
    "continuous": {"data": "gym://Pendulum-v1", "steps": 4096, "settings": FEW},
}


Measured = Callable[[str], tuple[api.Run, dict[str, Any]]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """An agent, trained and evaluated once, and its results."""
    folder = tmp_path_factory.mktemp("runs")

    @cache
    def of(name: str) -> tuple[api.Run, dict[str, Any]]:
        run = api.fit(**AGENTS[name], name=name, runs=folder, options=Options())
        return run, run.evaluate()

    return of


@pytest.mark.parametrize("name", AGENTS)
def test_what_is_measured(name: str, measured: Measured) -> None:
    run, result = measured(name)
    columns = read_columns(run.directory.predictions("last", "test"))
    assert set(columns) == {"row", "id", "group", "return", "length", "cut", "seed", "drawn"}
    assert list(columns["seed"]) == [*range(10_000_000, 10_000_006)] * 2
    assert list(columns["drawn"]) == [False] * 6 + [True] * 6
    assert columns["group"][0] == columns["group"][6]  # the same beginning
    assert columns["group"][0] != columns["group"][1]
    totals = np.asarray(columns["return"])
    assert result["metrics"]["mean_return"]["value"] == pytest.approx(totals[:6].mean())
    assert result["metrics"]["mean_return"]["n"] == 6
    assert result["metrics"]["mean_return_drawn"]["value"] == pytest.approx(totals[6:].mean())
    assert result["details"]["baseline"]["name"] == "a random policy"
    if name.startswith("ppo"):  # a moment's learning is little for the others
        assert result["details"]["baseline"]["differences"]["mean_return"]["difference"] > 0
    if name == "ppo":
        assert (totals == np.asarray(columns["length"])).all()  # CartPole gives 1 a step
        assert result["metrics"]["mean_return"]["low"] > result["details"]["baseline"]["metrics"]["mean_return"]["high"]


@pytest.mark.parametrize("name", AGENTS)
def test_a_single_episode_is_that_of_the_evaluation(name: str, measured: Measured) -> None:
    run, _ = measured(name)
    columns = read_columns(run.directory.predictions("last", "test"))
    (alone,) = run.predict(["10000003"])
    assert (alone["return"], alone["length"]) == (columns["return"][3], columns["length"][3])
    several = run.predict([str(10_000_000 + i) for i in (5, 3, 0)])
    assert [each["return"] for each in several] == [columns["return"][i] for i in (5, 3, 0)]
    # Evaluated again, the file says the same again.
    run.evaluate()
    again = read_columns(run.directory.predictions("last", "test"))
    for column in ("return", "length", "seed", "drawn"):
        np.testing.assert_array_equal(columns[column], again[column])


@pytest.mark.parametrize("name", ["ppo", "dqn", "continuous"])
def test_an_episode_to_look_at(name: str, measured: Measured) -> None:
    run, result = measured(name)
    episode = result["details"]["episode"]
    columns = read_columns(run.directory.predictions("last", "test"))
    assert (episode["seed"], episode["return"]) == (10_000_000, pytest.approx(columns["return"][0], rel=1e-5))
    assert episode["length"] == columns["length"][0]
    film = run.path / episode["film"]["file"]
    with Image.open(io.BytesIO(film.read_bytes())) as picture:
        assert picture.n_frames > 5  # type: ignore[attr-defined]
        assert picture.size[0] > 50
    assert len(episode["value"]) == -(-episode["length"] // episode["every"])


def test_what_is_logged(measured: Measured) -> None:
    entries = [each for each in measured("ppo")[0].directory.read_log() if each["event"] == "step"]
    taken = [each["environment_steps"] for each in entries]
    assert taken == sorted(taken)
    assert 4096 * 0.9 < taken[-1] <= 4096 + 256  # with the first steps by chance, without idle ones
    ended = [each for each in entries if each["episodes"]]
    assert ended
    assert all(each["return"] == each["episode_length"] for each in ended)
    assert {"value_error", "entropy", "kl", "lr"} <= entries[-1].keys()
