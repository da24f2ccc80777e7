"""What environments show and take, in all the forms that Gymnasium has, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces as library

from pervade import api
from pervade.agents import environments, spaces
from pervade.core.errors import DataError
from pervade.domains.environment import Environment
from pervade.run.training import Options
from pervade.testing import check_domain
from tests import own_environments
from tests.asking import asked

SMALL = ("domain.environments=2", "domain.episodes=2", "source.steps=16", "source.epochs=1", "domain.processes=0")


@pytest.fixture(autouse=True)
def _mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)  # such networks are too small for more
    with own_environments.written(tmp_path):
        yield


# observations

ONE = library.Box(0, 9, (1,), np.float32)


@pytest.mark.parametrize(
    ("space", "given", "expected"),
    [
        (library.Box(-1, 1, (2,), np.float32), np.array([0.5, -0.5], np.float32), [0.5, -0.5]),
        (library.Box(-1, 1, (2, 2), np.float64), np.array([[0.5, 0], [1, -1]]), [0.5, 0, 1, -1]),
        (library.Box(-5, 5, (3,), np.int64), np.array([1, -2, 3]), [1, -2, 3]),
        (library.Discrete(3), 1, [0, 1, 0]),
        (library.Discrete(3, start=2), 4, [0, 0, 1]),
        (library.MultiBinary(3), np.array([1, 0, 1], np.int8), [1, 0, 1]),
        (library.MultiDiscrete([2, 3]), np.array([1, 0]), [0, 1, 1, 0, 0]),
        (library.Tuple((library.Discrete(2), ONE)), (1, np.array([0.25])), [0, 1, 0.25]),
        # In the order of the space, whatever that of the observation is.
        (library.Dict(b=library.Discrete(2), a=ONE), {"a": np.array([7.0]), "b": 0}, [1, 0, 7]),
    ],
)
def test_whatever_is_seen_becomes_one_row_of_numbers(space, given, expected: list[float]) -> None:
    described = spaces.observation(space, "it")
    assert described == {"shape": [len(expected)], "picture": False, "dtype": "float32"}
    np.testing.assert_allclose(np.asarray(spaces.reader(space)(given), np.float32), expected)


@pytest.mark.parametrize(("form", "shape"), [((4, 5, 3), [3, 4, 5]), ((4, 5), [1, 4, 5]), ((4, 5, 1), [1, 4, 5])])
def test_pictures_come_channels_first_in_bytes(form: tuple[int, ...], shape: list[int]) -> None:
    space = library.Box(0, 255, form, np.uint8)
    assert spaces.observation(space, "it") == {"shape": shape, "picture": True, "dtype": "uint8"}
    given = np.arange(np.prod(form), dtype=np.uint8).reshape(form)
    read = spaces.reader(space)(given)
    assert list(read.shape) == shape
    assert read[0, 1, 2] == given.reshape(4, 5, -1)[1, 2, 0]


@pytest.mark.parametrize(
    ("form", "shape", "place"),
    [
        ((3, 36, 40), [3, 36, 40], lambda c, y, x: (c, y, x)),  # channels first, as after a wrapper for torch
        ((4, 84, 84), [4, 84, 84], lambda c, y, x: (c, y, x)),  # frames that are stacked
        ((36, 40, 12), [12, 36, 40], lambda c, y, x: (y, x, c)),
        ((2, 36, 40, 3), [6, 36, 40], lambda c, y, x: (c // 3, y, x, c % 3)),  # stacked pictures of colours
        ((2, 3, 36, 40), [6, 36, 40], lambda c, y, x: (c // 3, c % 3, y, x)),
    ],
)
def test_pictures_in_any_order_of_channels(form, shape, place) -> None:
    space = library.Box(0, 255, form, np.uint8)
    assert spaces.observation(space, "it") == {"shape": shape, "picture": True, "dtype": "uint8"}
    given = np.random.default_rng(0).integers(0, 256, form, dtype=np.uint8)
    read = spaces.reader(space)(given)
    assert list(read.shape) == shape
    for at in ((1, 2, 3), (2 if shape[0] > 2 else 1, 35, 39)):
        assert read[at] == given[place(*at)]


@pytest.mark.parametrize("form", [(8, 8, 12), (12, 8, 8), (64, 64, 64), (5, 36, 36, 7), (128,)])
def test_boards_and_memory_in_bytes_are_numbers(form: tuple[int, ...]) -> None:
    space = library.Box(0, 255, form, np.uint8)
    assert spaces.observation(space, "it") == {"shape": [int(np.prod(form))], "picture": False, "dtype": "float32"}
    assert spaces.reader(space)(np.ones(form, np.uint8)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_numbers_of_any_width_are_read_in_single_precision(dtype) -> None:
    read = spaces.reader(library.Box(-5, 5, (2,), dtype))(np.array([1, -2], dtype))
    assert read.dtype == np.float32 and read.tolist() == [1, -2]


# actions


@pytest.mark.parametrize(
    ("space", "row", "expected"),
    [
        (library.Discrete(3), [2], 2),
        (library.Discrete(3, start=5), [2], 7),
        (library.MultiDiscrete([2, 3]), [1, 2], [1, 2]),
        (library.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 5], [1, -1]]), [1, 2, 3, 0], [[1, 7], [4, -1]]),
        (library.MultiBinary(2), [1, 0], [1, 0]),
        (library.MultiBinary((2, 2)), [1, 0, 0, 1], [[1, 0], [0, 1]]),
        (library.Box(-2, 3, (2, 2), np.float32), [0, 1, 2, 3], [[0, 1], [2, 3]]),
        (library.Box(-np.inf, np.inf, (2,), np.float64), [1e6, -1e6], [1e6, -1e6]),
    ],
)
def test_actions_reach_the_environment_in_its_own_form(space, row: list[float], expected) -> None:
    action = spaces.action(space, "it")
    discrete = action["kind"] == "discrete"
    written = spaces.writer(action)(np.array(row, np.int64 if discrete else np.float32))
    np.testing.assert_array_equal(written, expected)
    assert space.contains(written) or space.dtype == np.float64
    if isinstance(space, library.Discrete):
        assert type(written) is int


def test_open_ends_of_an_action_survive_json() -> None:
    action = spaces.action(library.Box(np.array([0, -1], np.float32), np.array([np.inf, 1], np.float32)), "it")
    assert action["low"] == [0, -1]
    assert action["high"] == [None, 1]
    assert spaces.unpacked(action)["high"] == [np.inf, 1]


# looking at an environment


def test_what_is_learnt_of_an_environment() -> None:
    about = environments.look("CartPole-v1")
    assert about.observation == {"shape": [4], "picture": False, "dtype": "float32"}
    assert about.action == {"kind": "discrete", "sizes": [2], "start": [0], "form": "number"}
    assert (about.longest, about.stack, about.repeats) == (500, 1, True)
    assert environments.look("mine:Own").longest is None
    assert not environments.look("mine:Unrepeatable").repeats
    atari = environments.look("ALE/Pong-v5")
    assert (atari.observation["shape"], atari.longest, atari.stack) == ([4, 84, 84], 27_000, 4)


def test_what_somebody_elses_code_raises_is_told_with_its_place() -> None:
    lines = Path("mine.py").read_text().splitlines()
    line = 1 + next(i for i, each in enumerate(lines) if "the motor does not answer" in each)
    with pytest.raises(DataError, match=rf"RuntimeError: the motor does not answer \(.*mine.py, line {line}\)"):
        environments.look("mine:RaisesAtOnce")


def test_a_class_is_found_in_the_current_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments.look("mine:Own")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="there is no module 'yours'"):
        environments.look("yours:Own")
    with pytest.raises(DataError, match="has no class 'Own3'; did you mean 'Own'"):
        environments.look("mine:Own3")


def test_a_module_that_does_not_run_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "halfway.py").write_text("import a_package_that_nobody_has\n")
    (tmp_path / "wrong.py").write_text("class Env(:\n")
    with pytest.raises(DataError, match="needs the package 'a_package_that_nobody_has', which is not installed"):
        environments.look("halfway:Env")
    with pytest.raises(DataError, match="wrong:Env cannot be made: SyntaxError"):
        environments.look("wrong:Env")


@pytest.mark.parametrize("name", ["CartPole-v1", "mine:Pictures"])
def test_the_domain_keeps_its_contract(name: str) -> None:
    fitted, rows = check_domain(Environment(name, episodes=3, environments=2), f"gym://{name}")
    assert list(rows.column("split")) == ["train"] * 2 + ["test"] * 6
    # No episode that measures can be met in training, whose seeds begin at 2**30.
    assert max(seed for seed in rows.column("seed")) < 2**30
    assert fitted.name == name  # type: ignore[attr-defined]


def test_seeds_that_are_none_are_left_out() -> None:
    rows, wrong = asked(Environment(name="CartPole-v1"), ["3", "many", "-1", "99999999999", "0"])
    assert list(rows.column("seed")) == [3, 0]
    assert [each.source for each in wrong] == ["many", "-1", "99999999999"]
    assert "a whole number from 0 to" in wrong[0].reason


# learning in them


@pytest.mark.parametrize(
    "name",
    [
        "FrozenLake-v1", "Blackjack-v1", "Pendulum-v1", "mine:TwoAtOnce", "mine:Grid", "mine:Switches", "mine:FromFive",
        "mine:Plane", "mine:Unbounded", "mine:HalfBounded", "mine:Halves", "mine:Doubles", "mine:Whole", "mine:Named",
        "mine:InTurn", "mine:RewardInNumpy", "mine:RewardInAnArray", "mine:Draws", "mine:Pictures", "mine:Steered",
    ],
)  # fmt: skip
def test_ppo_learns_in_every_form(name: str, tmp_path: Path) -> None:
    run = api.fit(f"gym://{name}", steps=128, runs=tmp_path / "runs", settings=SMALL, options=Options(), threads=1)
    metrics = run.evaluate()["metrics"]
    assert np.isfinite(metrics["mean_return"]["value"])
    if name == "mine:FromFive":
        assert 0 <= metrics["mean_return"]["value"] <= 10
    if name == "mine:RewardInAnArray":
        assert metrics["mean_return"]["value"] == 5


@pytest.mark.parametrize("name", ["FrozenLake-v1", "mine:FromFive", "mine:Named", "mine:Halves", "mine:Pictures"])
def test_dqn_learns_in_every_form(name: str, tmp_path: Path) -> None:
    settings = ["domain.environments=2", "domain.episodes=2", "domain.processes=0"]
    settings += ["source.begin=20", "source.steps=32", "source.every=8", "source.lessons=1", "source.size=200"]
    run = api.fit(
        f"gym://{name}", algorithm="dqn", steps=84, runs=tmp_path, settings=settings, options=Options(), threads=1
    )
    assert np.isfinite(run.evaluate()["metrics"]["mean_return"]["value"])


def test_any_network_for_pictures_may_look(tmp_path: Path) -> None:
    settings = (*SMALL, "model.network.width=8", "precision=fp32", "domain.episodes=1")
    run = api.fit(
        "gym://mine:Pictures",
        model="resnet18",
        steps=64,
        runs=tmp_path,
        settings=settings,
        options=Options(),
        threads=1,
    )
    assert np.isfinite(run.evaluate()["metrics"]["mean_return"]["value"])


def test_arguments_make_it_another_environment(tmp_path: Path) -> None:
    """A lake that is not slippery has one way, so what a policy does by its likeliest actions is always the same."""
    settings = (*SMALL, 'domain.arguments={"is_slippery": false, "map_name": "8x8"}')
    run = api.fit("gym://FrozenLake-v1", steps=512, runs=tmp_path, settings=settings, options=Options(), threads=1)
    loaded = run.load()
    assert loaded.domain.observation["shape"] == [64]  # type: ignore[attr-defined]
    env = environments.make("FrozenLake-v1", loaded.domain.arguments)  # type: ignore[attr-defined]
    assert len(env.unwrapped.P[0][0]) == 1
    env.close()
