"""Environments that nothing can be learnt in are refused or given up with one line that names fault and remedy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests import own_environments

FEW = ("-odomain.environments=2", "-odomain.episodes=2", "-obatch_size=16", "--runs", "runs")
PPO = (*FEW, "-osource.steps=16", "-osource.epochs=1", "--steps", "512")
DQN = (*FEW, "--algorithm", "dqn", "-osource.begin=20", "-osource.steps=20", "-osource.every=4", "--steps", "60")


@pytest.fixture(autouse=True)
def _mine(workplace: Path) -> Iterator[None]:
    torch.set_num_threads(1)  # such networks are too small for more
    with own_environments.written(workplace):
        yield


def assert_nothing_left(workplace: Path) -> None:
    assert not (workplace / "runs").exists() or not list((workplace / "runs").iterdir())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("WrongShape", ["reset gave an observation of shape (4,), where observation_space says (3,)", "mend one"]),
        ("WrongDtype", ["observation of dtype float64, where observation_space says float32", "np.asarray"]),
        ("ALittleList", ["observation of type list, where observation_space says an array (3,)", "np.asarray"]),
        ("NaNReward", ["step 1 gave the reward nan", "division by zero"]),
        ("RewardIsNone", ["step 1 gave the reward None, which is no number; step returns (observation, reward"]),
        ("NaNObservation", ["reset gave the observation nan", "division by zero"]),
        ("RaisesAtOnce", ["RuntimeError: the motor does not answer", "mine.py, line "]),
        ("RaisesInReset", ["RuntimeError: the door is shut", "mine.py, line "]),
        ("NeedsAPackage", ["needs the package 'a_package_that_nobody_has', which is not installed; install it"]),
        ("NeedsAnExtra", ["needs a package that is not installed: needs mujoco", "pip install 'gymnasium[mujoco]'"]),
        ("NeedsLength", ["cannot be made", "'length'", "-o 'domain.arguments={"]),
        ("ResetGivesNoTuple", ["reset gave one value of type ndarray, and must give two: return observation, info"]),
        ("StepGivesFour", ["step gave 4 values, and must give five: return observation, reward, terminated"]),
        ("NoObservationSpace", ["is no gymnasium.Env; derive a class from gymnasium.Env, and name that one"]),
        ("SpaceForgotten", ["has no observation_space; derive it from gymnasium.Env"]),
        ("SeesASequence", ["observations of Sequence(Discrete(3), stack=False) have no fixed length", "wrap"]),
        ("SeesAText", ["observations of Text(", "have no fixed length", "wrap"]),
        ("SeesATextInside", ["observations of Dict(", "have no fixed length", "wrap"]),
        ("SeesAGraph", ["observations of Graph(", "have no fixed length", "wrap"]),
        ("DoesTwoThings", ["actions of Tuple(Discrete(2), Discrete(3)) are not known here; there are Discrete, Mult"]),
        ("DoesWholeNumbers", ["actions of Box(0, 5, (1,), int64) are not known here; there are Discrete, Multi"]),
        ("SameBuffer", ["share an object", "return a copy of the array"]),
        ("Own2", ["the module 'mine' has no class 'Own2'; did you mean 'Own'?"]),
    ],
)
def test_a_class_of_ones_own(name: str, words: list[str], pervade, workplace: Path) -> None:
    pervade("train", f"gym://mine:{name}", *PPO).refuses(f"mine:{name}" if name != "Own2" else "", *words)
    assert_nothing_left(workplace)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", ["gym:// names no environment; write for example gym://CartPole-v1"]),
        (
            "nowhere:Class",
            ["there is no module 'nowhere'", "write gym://module:Class, the module in the current folder"],
        ),
        ("CartPol-v1", ["Gymnasium knows no environment 'CartPol-v1'; did you mean 'CartPole-v1'?"]),
        ("CartPole-v9", ["Gymnasium knows no environment 'CartPole-v9'; there is CartPole-v1"]),
        ("Pong-v5", ["Gymnasium knows no environment 'Pong-v5'; there is ALE/Pong-v5"]),
        ("ALE/Pnog-v5", ["Gymnasium knows no environment 'ALE/Pnog-v5'; did you mean 'ALE/Pong-v5'?"]),
    ],
)
def test_a_name_that_means_nothing(name: str, words: list[str], pervade, workplace: Path) -> None:
    pervade("train", f"gym://{name}", *PPO).refuses(*words)
    assert_nothing_left(workplace)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gym://CartPole-v1", "--algorithm", "a2c"], ["--algorithm 'a2c' is unknown; allowed: dqn, ppo"]),
        (["gym://CartPole-v1", "--steps", "5"], ["--steps 5 are fewer than the first lesson takes", "source.steps"]),
        (["gym://CartPole-v1", "--algorithm", "dqn", "--steps", "1500"], ["--steps 1,500 are fewer than"]),
        (["gym://Pendulum-v1", *DQN], ["dqn makes one choice a step", "1 continuous number", "--algorithm ppo"]),
        (["gym://mine:TwoAtOnce", *DQN], ["dqn makes one choice a step", "2 choices at once", "--algorithm ppo"]),
        (
            ["gym://mine:TinyPictures", *PPO],
            ["needs pictures of at least 36 x 36 pixels, not 8 x 8; take --model perc"],
        ),
        (["gym://CartPole-v1", "--model", "resnet18", *PPO], ["resnet does not take observations that are 4 numbers"]),
        (["gym://CartPole-v1", "--model", "gpt-tiny", *PPO], ["gpt does not take observations that are 4 numbers"]),
        (["gym://CartPole-v1", "--model", "reference-mlp", *PPO], ["reference-mlp does not take observations that"]),
        (["gym://CartPole-v1", "-o", "domain.arguments={'colour': 3}", *PPO], ["colour", "domain.arguments"]),
        (["gym://CartPole-v1", "--task", "image-classification"], ["CartPole-v1 is not there"]),
    ],
)
def test_settings(arguments: list[str], words: list[str], pervade, workplace: Path) -> None:
    pervade("train", *arguments).refuses(*words)
    assert_nothing_left(workplace)


def test_an_algorithm_for_pictures_that_lie_in_a_folder(pervade, photos: Path, workplace: Path) -> None:
    pervade("train", photos, "--algorithm", "ppo").refuses("--algorithm 'ppo' is for acting in an environment (gym://")
    pervade("train", photos, "--steps", "100").refuses("--steps counts steps of an environment", "take --epochs")
    assert_nothing_left(workplace)


def test_a_memory_larger_than_there_is(pervade, workplace: Path) -> None:
    """Refused before any of it is taken, with a size that fits."""
    outcome = pervade("train", "gym://ALE/Pong-v5", *FEW, "--algorithm", "dqn", "-o", "source.size=1000000000")
    outcome.refuses("a memory of 1,000,000,000 moments takes", "are free; set -o source.size=")
    assert_nothing_left(workplace)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NaNObservationLater", ["mine:NaNObservationLater", "step 500 of an episode", "the observation nan"]),
        ("NaNRewardLater", ["mine:NaNRewardLater", "the reward nan", "division by zero"]),
        ("RaisesLater", ["5 times in a row", "RuntimeError: the motor does not answer", "mine.py, line"]),
        ("ResetsForTheLastTime", ["5 times in a row", "RuntimeError: the door is shut", "mine.py, line"]),
        ("ShapeChangesLater", ["observation of shape (5,), where observation_space says (3,)"]),
    ],
)
@pytest.mark.parametrize(
    "settings",
    [PPO, (*DQN, "-osource.steps=200", "-osource.every=50", "-osource.lessons=1", "--steps", "1420")],
    ids=["ppo", "dqn"],
)
def test_what_only_training_finds_out(settings: tuple, name: str, words: list[str], pervade) -> None:
    outcome = pervade("train", f"gym://mine:{name}", *settings, "-odomain.longest=1000000")
    assert outcome.status in (1, 2)
    assert "Traceback" not in outcome.err
    assert len(outcome.complaints) == 1, outcome.err
    for word in words:
        assert word in outcome.complaints[0]


def log_of(workplace: Path) -> list[dict]:
    (run,) = (workplace / "runs").iterdir()
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("settings", [PPO, (*DQN, "--steps", "400")], ids=["ppo", "dqn"])
def test_what_raises_now_and_then_is_learnt_in(settings: tuple, pervade, workplace: Path) -> None:
    outcome = pervade("train", "gym://mine:RaisesNowAndThen", *settings)
    assert outcome.status == 0, outcome
    crashes = [entry.get("crashes", 0) for entry in log_of(workplace) if entry["event"] == "step"]
    # Two environments, each of which raises in every 51st step.
    assert crashes[-1] in (2 * (200 // 51), 2 * ((512 + 256) // 2 // 51))
    assert crashes == sorted(crashes)


def test_what_never_ends_is_cut(pervade, workplace: Path) -> None:
    outcome = pervade("train", "gym://mine:NeverEnds", *PPO, "-odomain.longest=25")
    assert outcome.status == 0, outcome
    assert "sets no limit to an episode's length, so one is cut after 25 steps (-o domain.longest)" in outcome.err
    (run,) = (workplace / "runs").iterdir()
    metrics = json.loads((run / "results" / "evaluate@last.json").read_text())["metrics"]
    assert metrics["cut_share"]["value"] == 1
    assert metrics["mean_length"]["value"] == metrics["mean_return"]["value"] == 25


def test_what_does_not_repeat_itself_is_said(pervade) -> None:
    outcome = pervade("train", "gym://mine:Unrepeatable", *PPO)
    assert outcome.status == 0, outcome
    assert "goes on otherwise by the same seed and actions" in outcome.err


def test_what_cannot_draw_is_measured_all_the_same(pervade, workplace: Path) -> None:
    assert pervade("train", "gym://mine:DrawsBadly", *PPO).status == 0
    (run,) = (workplace / "runs").iterdir()
    episode = json.loads((run / "results" / "evaluate@last.json").read_text())["details"]["episode"]
    assert episode["film"] is None
    assert math.isclose(episode["return"], 10)
