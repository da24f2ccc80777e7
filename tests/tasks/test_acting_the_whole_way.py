"""Agents from the environment's name to figures, killed on the way and resumed to the same weights bit for bit."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pervade import api
from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.engine.predictions import read_columns
from pervade.run.training import Options
from tests.acting_run import AGENTS, trained
from tests.test_toys import assert_same_weights

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, api.Run]:
    """Every agent, trained without being disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)  # which must not matter: the processes below have all there are
    return {name: trained(name, folder / name) for name in AGENTS}


@pytest.mark.parametrize("name", AGENTS)
def test_killed_and_resumed(name: str, whole: dict[str, api.Run], tmp_path: Path) -> None:
    steps = files.read_json(whole[name].directory.checkpoint("last") / "architecture.json")["step"]
    middle = steps // 2 + 1
    killed = subprocess.run(
        [sys.executable, "-m", "tests.acting_run", name, str(tmp_path / name), str(middle)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    run = RunDirectory(tmp_path / name)
    assert not run.checkpoint("last").exists()
    assert files.read_json(run.state / "state.json", "state")["state"]["learner"]["step"] == middle
    pieces = list(run.state.glob("memory-*.safetensors"))
    assert len(pieces) >= 2 or name != "dqn"
    trained(name, tmp_path / name)
    assert_same_weights(whole[name].directory, run)
    if name == "dqn":
        assert_same_memory(whole[name].directory, run)


def assert_same_memory(one: RunDirectory, other: RunDirectory) -> None:
    """What was remembered is the same, though it was written in other pieces."""
    first, second = remembered(one), remembered(other)
    assert first.keys() == second.keys()
    assert len(first) == 1000
    assert first == second


def remembered(run: RunDirectory) -> dict[tuple[int, int], tuple]:
    """By environment and number: the moment."""
    from safetensors.numpy import load_file

    state = files.read_json(run.state / "state.json", "state")["state"]["source"]["memory"]
    found: dict[tuple[int, int], tuple] = {}
    for name, spans in state["names"]:
        piece, start = load_file(run.state / f"{name}.safetensors"), 0
        for place, (a, b) in enumerate(spans):
            for number in range(a, b):
                row = start + number - a
                moment = (
                    *piece["seen"][row].tolist(),
                    *(piece[key][row].item() for key in ("action", "reward", "age")),
                )
                found[place, number] = moment
            start += b - a
    latest = {place: max(number for p, number in found if p == place) for place, _ in found}
    return {key: each for key, each in found.items() if key[1] > latest[key[0]] - 500}


def test_the_same_seed_is_the_same_agent(whole: dict[str, api.Run], tmp_path: Path) -> None:
    assert_same_weights(whole["dqn"].directory, trained("dqn", tmp_path / "dqn").directory)
    settings = AGENTS["dqn"] | {"name": "other", "runs": tmp_path, "options": Options(), "seed": 1}
    with pytest.raises(AssertionError):
        assert_same_weights(whole["dqn"].directory, api.fit(**settings).directory)


@pytest.mark.parametrize("name", AGENTS)
def test_what_is_measured(name: str, whole: dict[str, api.Run]) -> None:
    run = whole[name]
    result = run.evaluate()
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
def test_a_single_episode_is_that_of_the_evaluation(name: str, whole: dict[str, api.Run]) -> None:
    run = whole[name]
    run.evaluate()
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
def test_an_episode_to_look_at(name: str, whole: dict[str, api.Run]) -> None:
    run = whole[name]
    episode = run.evaluate()["details"]["episode"]
    columns = read_columns(run.directory.predictions("last", "test"))
    assert (episode["seed"], episode["return"]) == (10_000_000, pytest.approx(columns["return"][0], rel=1e-5))
    assert episode["length"] == columns["length"][0]
    film = run.path / episode["film"]["file"]
    with Image.open(io.BytesIO(film.read_bytes())) as picture:
        assert picture.n_frames > 5  # type: ignore[attr-defined]
        assert picture.size[0] > 50
    assert len(episode["value"]) == -(-episode["length"] // episode["every"])


def test_what_is_logged(whole: dict[str, api.Run]) -> None:
    entries = [each for each in whole["ppo"].directory.read_log() if each["event"] == "step"]
    taken = [each["environment_steps"] for each in entries]
    assert taken == sorted(taken)
    assert 4096 * 0.9 < taken[-1] <= 4096 + 256  # with the first steps by chance, without idle ones
    ended = [each for each in entries if each["episodes"]]
    assert ended
    assert all(each["return"] == each["episode_length"] for each in ended)
    assert {"value_error", "entropy", "kl", "lr"} <= entries[-1].keys()
