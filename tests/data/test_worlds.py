"""Worlds give the same wherever they run, get over crashes, and are put back exactly."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pervade.agents import environments, worlds
from pervade.core import signals
from pervade.core.errors import DataError
from pervade.domains.environment import Environment
from tests import own_environments


@pytest.fixture(autouse=True)
def _mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with own_environments.written(tmp_path):
        yield


def plan_of(name: str, **settings) -> worlds.Plan:
    settings = {"count": 3, "seed": 5, "processes": 0, **settings}
    return Environment(name=name).fit(None).plan(**settings)  # type: ignore[arg-type]


def some_actions(plan: worlds.Plan, steps: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if plan.action["kind"] == "discrete":
        return np.stack([rng.integers(0, size, (steps, plan.count)) for size in plan.action["sizes"]], axis=-1)
    return rng.uniform(-1, 1, (steps, plan.count, len(plan.action["low"]))).astype(np.float32)


def lived(opened: worlds.Worlds, actions: np.ndarray) -> list[worlds.Step]:
    return [opened.step(each) for each in actions]


def assert_same(one: list[worlds.Step], other: list[worlds.Step]) -> None:
    for a, b in zip(one, other, strict=True):
        for name in ("observations", "rewards", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert a.finals.keys() == b.finals.keys()
        for place in a.finals:
            np.testing.assert_array_equal(a.finals[place], b.finals[place])


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"])
def test_worker_processes_give_what_this_one_gives(name: str) -> None:
    plan = plan_of(name, processes=2)
    actions = some_actions(plan, 250)
    in_process, shared = worlds.InProcess(plan), worlds.Processes(plan)
    try:
        np.testing.assert_array_equal(in_process.reset(), shared.reset())
        assert_same(lived(in_process, actions), lived(shared, actions))
        assert in_process.finished() == sorted_as(in_process, shared.finished())
    finally:
        in_process.close()
        shared.close()


def sorted_as(in_process: worlds.InProcess, episodes: list[worlds.Episode]) -> list[worlds.Episode]:
    """`InProcess` tells of its worlds in order, processes of all steps in order."""
    return sorted(episodes, key=lambda each: each.world)


def test_all_at_once_obeys_the_same_laws() -> None:
    """CartPole's arithmetic for all worlds: from the same state the same action leads where one world's would."""
    plan = plan_of("CartPole-v1", count=4)
    opened = worlds.open_worlds(plan)
    assert isinstance(opened, worlds.Vectorised)
    alone = environments.make("CartPole-v1")
    try:
        before = opened.reset()
        alone.reset(seed=0)
        resting = np.zeros(4, bool)
        for action in some_actions(plan, 200):
            state = np.array(opened.inner.state)
            step = opened.step(action)
            np.testing.assert_array_equal(resting, np.zeros(4, bool) if step.idle is None else step.idle)
            for place in range(4):
                if resting[place]:
                    assert np.abs(step.observations[place]).max() <= 0.05  # where episodes begin
                    assert step.rewards[place] == 0
                    continue
                alone.unwrapped.state = state[:, place]
                alone.unwrapped.steps_beyond_terminated = None
                seen, reward, terminated, _, _ = alone.unwrapped.step(int(action[place, 0]))
                np.testing.assert_allclose(step.observations[place], seen, rtol=1e-6, atol=1e-7)
                assert reward == step.rewards[place] == 1
                assert terminated == step.terminated[place]
                if terminated:
                    np.testing.assert_array_equal(step.finals[place], step.observations[place])
            resting = step.terminated | step.truncated
            before = step.observations
        assert np.isfinite(before).all()
        ended = opened.finished()
        assert len(ended) >= 4
        assert all(each.total == each.length for each in ended)
    finally:
        opened.close()
        alone.close()


def test_a_limit_of_its_own_holds_for_all_at_once() -> None:
    """CartPole-v0 ends after 200 steps, and its arithmetic for all worlds must not go on to 500."""
    plan = plan_of("CartPole-v0", count=2)
    assert plan.longest == 200
    opened = worlds.open_worlds(plan)
    try:
        seen = opened.reset()
        for _ in range(400):  # a policy that holds the pole up for long
            lean = (seen @ np.array([0.1, 0.5, 1.0, 1.0]) > 0).astype(np.int64)[:, None]
            seen = opened.step(lean).observations
        assert max(each.length for each in opened.finished()) == 200
    finally:
        opened.close()


# crashes


def test_a_killed_process_is_started_again_and_counted() -> None:
    opened = worlds.Processes(plan_of("mine:Own", processes=2, count=4))
    try:
        opened.reset()
        actions = some_actions(opened.plan, 30)
        lived(opened, actions[:5])
        before = opened.observations()
        kill(opened, 0)
        step = opened.step(actions[5])
        assert opened.crashes == 2  # of two worlds each
        np.testing.assert_array_equal(step.truncated, [True, True, False, False])
        np.testing.assert_array_equal(step.finals[1], before[1])
        np.testing.assert_array_equal(step.rewards, [0, 0, 1, 1])
        lived(opened, actions[6:])
        assert opened.crashes == 2
        assert len(opened.finished()) >= 8
    finally:
        opened.close()


def test_a_process_killed_between_two_steps_does_not_stop_a_save() -> None:
    opened = worlds.Processes(plan_of("mine:Own", processes=2, count=4))
    try:
        opened.reset()
        lived(opened, some_actions(opened.plan, 5))
        kill(opened, 1)
        state = opened.state_dict()
        assert len(state["worlds"]) == 4
        assert opened.broken_off() == [2, 3]
        assert opened.crashes == state["lost"] == 2
        lived(opened, some_actions(opened.plan, 5))
    finally:
        opened.close()


def kill(opened: worlds.Processes, which: int) -> None:
    os.kill(opened.workers[which].pid, signal.SIGKILL)
    while opened.workers[which].is_alive():
        time.sleep(0.01)


@pytest.mark.parametrize("processes", [0, 2])
def test_what_raises_now_and_then_goes_on(processes: int) -> None:
    opened = worlds.open_worlds(plan_of("mine:RaisesNowAndThen", processes=processes, count=2))
    try:
        opened.reset()
        cut = sum(int(step.truncated.sum()) for step in lived(opened, some_actions(opened.plan, 120)))
        assert opened.crashes == cut == 4  # after 50 steps and 51 more, in two worlds
    finally:
        opened.close()


def test_crashes_outlive_the_process_that_had_them() -> None:
    opened = worlds.Processes(plan_of("mine:RaisesNowAndThen", processes=2, count=2))
    try:
        opened.reset()
        lived(opened, some_actions(opened.plan, 60))
        assert opened.crashes == 2
        kill(opened, 0)
        lived(opened, some_actions(opened.plan, 5))
        assert opened.crashes == 3
        state = opened.state_dict()
    finally:
        opened.close()
    again = worlds.Processes(plan_of("mine:RaisesNowAndThen", processes=2, count=2))
    try:
        again.load_state_dict(state)
        assert again.crashes == 3
    finally:
        again.close()


def test_a_reset_that_raises_now_and_then_goes_on() -> None:
    opened = worlds.InProcess(plan_of("mine:RaisesInResetNowAndThen", count=2))
    opened.reset()
    lived(opened, some_actions(opened.plan, 250))
    assert opened.crashes == 2
    assert len(opened.finished()) == 50


@pytest.mark.parametrize(("name", "words"), [("RaisesLater", "in step"), ("ResetsForTheLastTime", "in reset")])
def test_what_never_works_again_is_given_up(name: str, words: str) -> None:
    opened = worlds.InProcess(plan_of(f"mine:{name}", count=1))
    opened.reset()
    with pytest.raises(DataError, match=f"raised an error 5 times in a row, {words}.*mine.py, line"):
        lived(opened, some_actions(opened.plan, 2000))


def test_a_measured_episode_is_played_again_after_a_crash() -> None:
    """The environment raises once in 50 steps, so of six episodes of ten steps by two seeds one is broken off."""
    plan = plan_of("mine:RaisesNowAndThen", count=1, episodes=((1, 2, 3, 4, 5, 6),))
    opened = worlds.InProcess(plan)
    opened.reset()
    steps = lived(opened, some_actions(plan, 60))
    assert steps[50].finals == {}
    found = opened.finished()
    assert [(each.seed, each.total) for each in found] == [(seed, 10) for seed in (1, 2, 3, 4, 5)]
    lived(opened, some_actions(plan, 11))
    assert [each.seed for each in opened.finished()] == [6]
    assert opened.worlds[0].over
    assert opened.crashes == 1


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("NaNRewardLater", "gave the reward nan; nothing can be learnt from that"),
        ("NaNObservationLater", "step 500 of an episode.*gave the observation nan; nothing can be learnt from that"),
        ("NaNAtTheEnd", "step 10 of an episode.*gave the observation nan"),
        ("ShapeChangesLater", r"gave an observation of shape \(5,\), where observation_space says \(3,\)"),
    ],
)
@pytest.mark.parametrize("processes", [0, 2])
def test_what_nothing_can_be_learnt_from_is_refused(name: str, fault: str, processes: int) -> None:
    opened = worlds.open_worlds(plan_of(f"mine:{name}", count=2, processes=processes))
    try:
        opened.reset()
        with pytest.raises(DataError, match=fault):
            lived(opened, some_actions(opened.plan, 600))
    finally:
        opened.close()


def test_an_episode_without_end_is_cut() -> None:
    plan = plan_of("mine:NeverEnds", count=2)
    assert plan.longest == 10_000
    opened = worlds.InProcess(Environment(name="mine:NeverEnds", longest=7).fit(None).plan(count=2))  # type: ignore[arg-type]
    opened.reset()
    steps = lived(opened, some_actions(plan, 20))
    assert [at for at, step in enumerate(steps, 1) if step.truncated.all()] == [7, 14]
    assert not any(step.terminated.any() for step in steps)
    assert [(each.length, each.cut) for each in opened.finished()] == [(7, True)] * 4


def test_an_array_that_is_used_again_does_not_change_what_was_seen() -> None:
    plan = worlds.Plan("mine:SameBuffer", 1, {"shape": [3], "dtype": "float32"}, plan_of("mine:Own").action, 100)
    opened = worlds.InProcess(plan)
    opened.reset()
    steps = lived(opened, some_actions(plan, 10))
    np.testing.assert_allclose(steps[9].finals[0], 0.5)
    np.testing.assert_allclose([step.observations[0, 0] for step in steps], [*np.arange(1, 10) / 20, 0])


# putting back


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "LunarLander-v3", "Pendulum-v1", "mine:Own"])
def test_worlds_are_put_back_exactly(name: str) -> None:
    plan = plan_of(name, count=2)
    actions = some_actions(plan, 330)
    put_back(worlds.InProcess(plan), worlds.InProcess(plan), actions)


def test_worlds_of_one_arithmetic_are_put_back_exactly() -> None:
    plan = plan_of("CartPole-v1", count=5)
    one, other = worlds.Vectorised(plan), worlds.Vectorised(plan)
    actions = some_actions(plan, 330)
    state = put_back(one, other, actions)
    # What a state holds does not change while worlds go on, nor by being loaded.
    third = worlds.Vectorised(plan)
    third.load_state_dict(state)
    assert_same(lived(third, actions[230:]), lived(put(worlds.Vectorised(plan), state), actions[230:]))


def test_worlds_in_processes_are_put_back_exactly() -> None:
    plan = plan_of("CartPole-v1", count=3, processes=2)
    put_back(worlds.Processes(plan), worlds.Processes(plan), some_actions(plan, 330))


def put(opened: worlds.Worlds, state: dict) -> worlds.Worlds:
    opened.load_state_dict(state)
    return opened


def put_back(one: worlds.Worlds, other: worlds.Worlds, actions: np.ndarray) -> dict:
    """Lives in one for a while, then goes on in it and in the other, which was given its state."""
    try:
        one.reset()
        lived(one, actions[:230])
        one.finished()
        state = one.state_dict()
        assert other.load_state_dict(state) == 0
        assert other.broken_off() == []
        np.testing.assert_array_equal(one.observations(), other.observations())
        assert_same(lived(one, actions[230:]), lived(other, actions[230:]))
        assert one.finished() == other.finished()
        return state
    finally:
        one.close()
        other.close()


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize(("name", "lost"), [("Unrepeatable", [0, 1, 2]), ("UnrepeatableLater", [0, 1, 2]), ("Own", [])])
def test_what_does_not_repeat_itself_begins_anew_and_is_counted(name: str, lost: list[int], processes: int) -> None:
    plan = plan_of(f"mine:{name}", processes=processes)
    actions = some_actions(plan, 40)
    one, other = worlds.open_worlds(plan), worlds.open_worlds(plan)
    try:
        one.reset()
        lived(one, actions[:15])
        assert other.load_state_dict(one.state_dict()) == len(lost)
        assert other.broken_off() == lost
        assert other.broken_off() == []
        lived(other, actions[15:])
        # A new episode is one that was not begun yet.
        seeds = [{each.seed for each in opened.finished()} for opened in (one, other)]
        assert not (lost and seeds[0] & seeds[1])
    finally:
        one.close()
        other.close()


# Atari


def test_atari_in_training_and_in_measuring() -> None:
    """Breakout: in training a lost life ends the episode and rewards are signs, yet whole games are told of."""
    training = plan_of("ALE/Breakout-v5", count=1, seed=1)
    assert training.shape == (4, 84, 84)
    opened = worlds.InProcess(training)
    opened.reset()
    steps, games = [], []
    for action in some_actions(training, 3000):
        steps.append(opened.step(action[:1]))
        games += opened.finished()
        if len(games) == 2:
            break
    rewards = np.concatenate([step.rewards for step in steps])
    assert set(np.unique(rewards)) <= {-1.0, 0.0, 1.0}
    ends = [at for at, step in enumerate(steps) if step.terminated[0]]
    assert len(ends) == 10  # five lives a game
    assert sum(each.length for each in games) == len(steps)
    assert games[0].seed != games[1].seed
    # A first picture stands there four times, also of the next life.
    for at in ends[:-1]:
        stack = steps[at].observations[0]
        assert all(np.array_equal(stack[0], each) for each in stack[1:])
        assert not np.array_equal(steps[at + 4].observations[0][0], steps[at + 4].observations[0][3])

    measured = worlds.InProcess(plan_of("ALE/Breakout-v5", count=1, training=False, episodes=((3,),)))
    measured.reset()
    rng, total, steps = np.random.default_rng(0), 0.0, 0
    while not measured.worlds[0].over:
        step = measured.step(rng.integers(0, 4, (1, 1)))
        total, steps = total + float(step.rewards[0]), steps + 1
    (game,) = measured.finished()
    assert (game.seed, game.total, game.length, game.cut) == (3, total, steps, False)


def test_actions_stick_in_atari() -> None:
    """Each frame the last action is taken once more with probability 0.25 (Machado et al. 2018)."""
    env = environments.make("ALE/Pong-v5")
    assert env.unwrapped.ale.getFloat("repeat_action_probability") == 0.25
    assert env.unwrapped.ale.getInt("frame_skip") in (0, 1)
    env.close()


def test_atari_is_put_back_in_the_middle_of_a_game() -> None:
    """A whole game is gone through again, over lives that were lost in it, sticky actions and all."""
    plan = plan_of("ALE/Breakout-v5", count=1, seed=1)
    one, other = worlds.InProcess(plan), worlds.InProcess(plan)
    one.reset()
    actions = some_actions(plan, 400)
    steps = lived(one, actions[:250])
    assert sum(step.terminated[0] for step in steps) >= 1  # a life, and no game
    one.finished()
    assert other.load_state_dict(one.state_dict()) == 0
    assert_same(lived(one, actions[250:]), lived(other, actions[250:]))
    assert one.finished() == other.finished()


@pytest.mark.parametrize("when", ["at once", pytest.param("later", marks=pytest.mark.slow)])
def test_a_signal_to_the_process_group_is_the_parents(when: str) -> None:
    """A worker that died of it would count as a crash, and the resumed run would live through other episodes."""
    opened = worlds.Processes(plan_of("CartPole-v1", count=2, processes=2))
    if when == "later":
        opened.reset()
    for worker in opened.workers:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os.kill(worker.pid, number)
    opened.reset()
    opened.step(np.zeros((2, 1), np.int64))
    assert opened.crashes == 0
    assert [len(opened.state_dict()["worlds"]), all(each.is_alive() for each in opened.workers)] == [2, True]
    opened.close()


@pytest.mark.slow  # two more interpreters start
def test_a_worker_that_dies_while_a_stop_is_asked_for_has_not_crashed() -> None:
    opened = worlds.Processes(plan_of("CartPole-v1", count=2, processes=2))
    opened.reset()
    told: list[int] = []
    with signals.answered(told.append), pytest.raises(signals.WorkerStopped):
        os.kill(os.getpid(), signal.SIGTERM)
        opened.workers[0].kill()
        opened.step(np.zeros((2, 1), np.int64))
    assert told == [signal.SIGTERM]
    assert opened.crashes == 0
    opened.close()
