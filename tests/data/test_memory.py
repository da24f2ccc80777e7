"""What an agent remembers is what it saw, once; what it is drawn from is told of completely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pervade.agents import memory
from pervade.agents.memory import NOTHING, Layout, Memory, Priorities
from pervade.agents.sources.replay import Replay
from pervade.core.errors import ConfigError, ResourceError
from pervade.tasks.dqn import DQN
from tests import own_environments
from tests.acting import Sum, fitted, source_of


@pytest.fixture(autouse=True)
def _mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with own_environments.written(tmp_path):
        yield


def of_numbers(*episodes: tuple[int, bool], capacity: int = 100, stack: int = 1) -> Memory:
    """One world whose observation is 10 * episode + step, its reward 1, 2, 3, …; an episode is (steps, over for good).

    A cut-off episode's last moment is one in which nothing was done.
    """
    ring = Memory(Layout(1, capacity, (1,), "float32", stack))
    for number, (steps, over) in enumerate(episodes):
        for age in range(steps):
            seen = np.array([10.0 * number + age], np.float32)
            ring.note(0, seen, age % 2, age + 1.0, age, over and age == steps - 1)
        if not over:
            ring.note(0, np.array([10.0 * number + steps], np.float32), NOTHING, 0.0, steps, False)
    return ring


def recalled(ring: Memory, at: int, steps: int, discount: float = 0.5) -> tuple[float, ...]:
    """input, action, reward, discount, next of one moment."""
    told = ring.recall(np.array([0]), np.array([at]), steps, discount)
    return tuple(float(told[name].reshape(-1)[-1]) for name in ("input", "action", "reward", "discount", "next"))


def test_every_observation_stands_once() -> None:
    """Two episodes of 3 and 2 steps, the first over for good, take 3 + 2 + 1 moments: what follows is the next's."""
    ring = of_numbers((3, True), (2, False))
    assert ring.moments == 6
    np.testing.assert_array_equal(ring.seen[0, :6, 0], [0, 1, 2, 10, 11, 12])
    np.testing.assert_array_equal(ring.action[0, :6], [0, 1, 0, 0, 1, NOTHING])


def test_rewards_of_several_steps_by_hand() -> None:
    """γ = 0.5, rewards 1, 2, 3 and an end; then 1, 2 and a cut."""
    ring = of_numbers((3, True), (2, False), (4, False))
    # One step: the reward, and half of what follows; an end has nothing after it.
    assert recalled(ring, 0, 1) == (0, 0, 1, 0.5, 1)
    assert recalled(ring, 2, 1)[:4] == (2, 0, 3, 0)
    # Two steps: 1 + 0.5 * 2 and a quarter of what is seen then; 2 + 0.5 * 3 and the end.
    assert recalled(ring, 0, 2) == (0, 0, 2, 0.25, 2)
    assert recalled(ring, 1, 2)[:4] == (1, 1, 3.5, 0)
    # Three steps from the first: 1 + 1 + 0.75, all to the end. From the last, no reward of the next episode.
    assert recalled(ring, 0, 3)[:4] == (0, 0, 2.75, 0)
    assert recalled(ring, 2, 3)[:4] == (2, 0, 3, 0)
    # Cut off: 1 + 0.5 * 2 and a quarter of what was seen last (12), though three were asked; from 11 a half of it.
    assert recalled(ring, 3, 3) == (10, 0, 2, 0.25, 12)
    assert recalled(ring, 4, 3) == (11, 1, 2, 0.5, 12)


def test_what_must_never_be_drawn() -> None:
    ring = of_numbers((3, True), (2, False), (4, False))
    # 0 1 2 | 10 11 12 | 20 21 22 23 24: in 12 and 24 nothing was done; what follows from the newest n is not known yet.
    np.testing.assert_array_equal(np.flatnonzero(ring.usable(1)[0]), [0, 1, 2, 3, 4, 6, 7, 8, 9])
    np.testing.assert_array_equal(np.flatnonzero(ring.usable(3)[0]), [0, 1, 2, 3, 4, 6, 7])
    # A ring of eight, in which the three oldest were overwritten: 22 23 24 | 10 11 12 | 20 21
    full = of_numbers((3, True), (2, False), (4, False), capacity=8)
    np.testing.assert_array_equal(full.seen[0, :, 0], [22, 23, 24, 10, 11, 12, 20, 21])
    np.testing.assert_array_equal(np.flatnonzero(full.usable(1)[0]), [0, 1, 3, 4, 6, 7])
    # Of pictures seen four at a time those of the three oldest are gone.
    stacked = of_numbers((3, True), (2, False), (4, False), capacity=8, stack=4)
    np.testing.assert_array_equal(np.flatnonzero(stacked.usable(1)[0]), [0, 1, 6, 7])


def test_what_was_broken_off_is_not_gone_across() -> None:
    """A resumed environment that does not repeat itself: what comes next does not follow from what was done last."""
    ring = of_numbers((3, True))
    ring.note(0, np.array([10.0], np.float32), 1, 1.0, 0, False)
    ring.note(0, np.array([11.0], np.float32), 1, 2.0, 1, False)
    ring.break_off(0)
    ring.note(0, np.array([20.0], np.float32), 1, 5.0, 0, False)
    assert recalled(ring, 3, 3) == (10, 1, 1, 0.5, 11)
    assert not ring.usable(1)[0, 4]


# pictures, as an agent saw them


@pytest.mark.parametrize("size", [1000, 40], ids=["growing", "wrapped"])
@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize("priority", [0.0, 0.6])
def test_pictures_are_stacked_as_they_were_seen(size: int, ahead: int, priority: float) -> None:
    """Counter's pictures are the number of their step: so what was seen in step a are the steps max(a - 3, 0) to a, and
    each episode's rewards are 1 a step until it ended (even lengths) or was cut off (odd ones)."""
    domain = fitted("mine:Counter", environments=2, processes=0, stack=4)
    spec = Replay(size=size, begin=20, steps=300, every=2, ahead=ahead, discount=0.5, priority=priority)
    source = source_of(spec, domain, DQN(), Value(), batch_size=16)
    ages, kinds = set(), set()
    for batch in one_pass(source, lambda batch: batch["reward"]):
        seen = batch["input"][:, :, 0, 0].numpy().astype(int)
        age = seen[:, -1]
        np.testing.assert_array_equal(seen, np.maximum(age[:, None] - [3, 2, 1, 0], 0))
        assert np.array_equal(batch["input"], np.broadcast_to(seen[:, :, None, None], batch["input"].shape))
        then = batch["next"][:, :, 0, 0].numpy().astype(int)
        worth, reward = batch["discount"].numpy(), batch["reward"].numpy()
        for row in range(16):
            if worth[row] == 0:  # ended for good within the steps ahead
                steps = round(np.log2(1 / (1 - reward[row] / 2)))
                assert 1 <= steps <= ahead
                assert (age[row] + steps) % 2 == 0
            else:
                steps = then[row, -1] - age[row]
                assert 1 <= steps <= ahead
                np.testing.assert_array_equal(then[row], np.maximum(then[row, -1] - np.array([3, 2, 1, 0]), 0))
                assert worth[row] == 0.5**steps
                assert reward[row] == 2 * (1 - 0.5**steps)
                if steps < ahead:
                    assert then[row, -1] % 2 == 1  # cut off in its last step
            kinds.add((bool(worth[row] == 0), steps))
        ages |= set(age.tolist())
    assert ages == set(range(8))
    assert kinds == {(over, steps) for over in (False, True) for steps in range(1, ahead + 1)}


def one_pass(source, surprise) -> Iterator[dict]:
    """As the learner goes through it."""
    for batch in source:
        yield batch
        if source.feedback(batch, {"surprise": surprise(batch)}):
            return


class Value(Sum):
    """Values of two actions."""

    def forward(self, input, mask=None):
        return {"value": super().forward(input)["value"].expand(-1, 2)}


def test_what_is_drawn_is_what_is_usable() -> None:
    """Both ways of drawing know the same moments, all of them, in a ring that has wrapped."""
    domain = fitted("mine:Counter", environments=2, processes=0, stack=4)
    for priority in (0.0, 0.5):
        spec = Replay(size=60, begin=20, steps=240, every=2, ahead=3, priority=priority)
        source = source_of(spec, domain, DQN(), Value(), batch_size=64)
        for _ in one_pass(source, lambda batch: batch["weight"]):
            usable = source.memory.usable(3)
            place, at = source.drawn
            assert usable[place, at].all()
        if priority:
            leaves = source.priorities.of(np.arange(60)).reshape(2, 30) > 0
            np.testing.assert_array_equal(leaves, usable)
        else:
            place, at = source._uniform(5000, np.random.default_rng(0))
            times = np.zeros((2, 30))
            np.add.at(times, (place, at), 1)
            np.testing.assert_array_equal(times > 0, usable)
            # Each as likely as any: 5000 draws of 40 moments, 125 each within five standard deviations.
            assert abs(times[usable] - 5000 / usable.sum()).max() < 5 * np.sqrt(5000 / usable.sum())


def test_importance_weights_make_good_for_priorities() -> None:
    """(n p)^-β over its largest (Schaul et al. 2016, section 3.4); β rises from 0.4 to 1 over the training."""
    domain = fitted("mine:Own", environments=1, processes=0)
    spec = Replay(size=100, begin=50, steps=50, every=5, priority=1.0, weight=0.4)
    source = source_of(spec, domain, DQN(), Value(), batch_size=8, passes=1)
    for batch in one_pass(source, lambda batch: batch["input"].abs().sum(1)):
        place, at = source.drawn
        leaf = place * 100 + at
        chance = source.priorities.of(leaf) / source.priorities.total
        power = 0.4 + 0.6 * source.steps_taken / 100
        expected = (source.memory.moments * chance) ** -power
        np.testing.assert_allclose(batch["weight"], expected / expected.max(), rtol=1e-5)
    np.testing.assert_allclose(source.priorities.of(leaf), batch["input"].abs().sum(1) + 1e-6, rtol=1e-5)


# priorities


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 10).map(lambda x: 0.0 if x < 0.5 else x), min_size=2, max_size=40).filter(any),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=10),
)
def test_draws_against_cumulative_sums(values: list[float], shares: list[float]) -> None:
    """Where a share of the whole falls among the cumulative sums, but for rounding at their edges."""
    tree = Priorities(len(values))
    tree.set(np.arange(len(values)), np.array(values))
    sums = np.cumsum(values)
    assert tree.total == pytest.approx(sums[-1])
    for share, found in zip(shares, tree.draw(np.array(shares)), strict=True):
        assert values[found] > 0
        assert sums[found] - values[found] - 1e-9 <= share * sums[-1] <= sums[found] + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 33), st.lists(st.tuples(st.integers(0, 32), st.floats(0, 5)), max_size=30))
def test_a_tree_that_is_changed_is_the_tree_of_what_it_was_changed_to(count: int, changes: list) -> None:
    tree, plain = Priorities(count), np.zeros(count)
    for place, value in changes:
        tree.set(np.array([place % count]), np.array([value]))
        plain[place % count] = value
    np.testing.assert_array_equal(tree.of(np.arange(count)), plain)
    assert tree.total == pytest.approx(plain.sum())
    np.testing.assert_allclose(tree.tree[1 : tree.leaves], tree.tree[2::2] + tree.tree[3::2])


def test_draws_come_as_often_as_priorities_say() -> None:
    tree = Priorities(4)
    tree.set(np.arange(4), np.array([1.0, 0.0, 2.0, 5.0]))
    drawn = np.bincount(tree.draw(np.random.default_rng(0).random(8000)), minlength=4)
    np.testing.assert_allclose(drawn / 8000, [1 / 8, 0, 2 / 8, 5 / 8], atol=0.02)


# its size, and its pieces on disk


def test_a_memory_that_does_not_fit_is_refused_before_it_is_taken() -> None:
    layout = Layout(4, 1_000_000, (1, 84, 84), "uint8", 4)
    assert layout.bytes == 1_000_000 * (84 * 84 + 8 + 4 + 4 + 1 + 8)
    layout.require_memory(10**10)
    with pytest.raises(
        ResourceError, match=r"a memory of 1,000,000 moments takes 7.08 GB, and 4 GB are free"
    ) as refused:
        layout.require_memory(4 * 10**9)
    fits = int(str(refused.value).rpartition("source.size=")[2].split()[0])
    Layout(4, fits, (1, 84, 84), "uint8", 4).require_memory(4 * 10**9)


def filled(count: int, capacity: int = 20, ring: Memory | None = None) -> Memory:
    """Two worlds; the second gets a moment for every two of the first."""
    ring = ring or Memory(Layout(2, capacity, (3,), "float32"))
    start = int(ring.written[0])
    for number in range(start, start + count):
        for place in (0, 1) if number % 2 else (0,):
            seen = np.array([place, number, 0.5], np.float32)
            ring.note(place, seen, number % 3, number / 7, number % 5, number % 11 == 0)
    return ring


def save(ring: Memory, disk: dict[str, dict]) -> dict:
    """What a save writes: what is new; what is named no more is dropped."""
    pieces = ring.pieces()
    for name, get in pieces.items():
        if get is None:
            assert name in disk
        else:
            assert name not in disk
            disk[name] = {key: value.copy() for key, value in get().items()}
    for name in set(disk) - set(pieces):
        del disk[name]
    return ring.state_dict()


def assert_same_ring(one: Memory, other: Memory) -> None:
    for name in (*memory.FIELDS, "written"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("steps", [(4,), (4, 3), (10, 10), (7, 9, 8), (25,), (4, 25, 3), (3, 3, 3, 3, 3, 3, 3)])
def test_pieces_hold_the_ring(steps: tuple[int, ...]) -> None:
    ring, disk = Memory(Layout(2, 20, (3,), "float32")), {}
    for count in steps:
        filled(count, ring=ring)
        state = save(ring, disk)
    again = Memory(ring.layout)
    again.load_state_dict(state)
    again.load_pieces(disk.__getitem__)
    assert_same_ring(ring, again)
    # And what follows is written and loaded the same way.
    for each in (ring, again):
        filled(5, ring=each)
    state = save(again, disk)
    third = Memory(ring.layout)
    third.load_state_dict(state)
    third.load_pieces(disk.__getitem__)
    assert_same_ring(ring, third)


def test_a_piece_is_written_once_and_dropped_when_it_was_overwritten() -> None:
    ring, disk = Memory(Layout(2, 20, (3,), "float32")), {}
    filled(6, ring=ring)
    save(ring, disk)
    (first,) = disk
    assert {len(each) for each in disk[first].values()} == {6 + 3}
    filled(3, ring=ring)
    assert list(ring.pieces().values())[0] is None  # noqa: RUF015  # the first is not asked for again
    assert len(ring.names) == 2
    ring, disk = Memory(Layout(2, 20, (3,), "float32")), {}
    save(filled(6, ring=ring), disk)
    save(ring, disk)
    assert len(disk) == 1  # nothing new, nothing written
    save(filled(30, ring=ring), disk)
    assert len(disk) == 1  # all of the first was overwritten
    assert {len(each) for each in next(iter(disk.values())).values()} == {10 + 10}


# beginnings that are too short, memories that are too small


def test_a_beginning_that_is_too_short_to_learn_from_goes_on_until_it_is_not() -> None:
    domain = fitted("mine:Own", environments=2, processes=0)
    source = source_of(Replay(begin=1, steps=4, every=2, ahead=3), domain, DQN(), Value(), batch_size=4)
    batches = list(one_pass(source, lambda batch: batch["weight"]))
    assert len(batches) == 2
    assert source.memory.moments >= 8


def test_a_memory_too_small_for_a_lesson_is_refused() -> None:
    domain = fitted("mine:Counter", environments=8, processes=0, stack=4)
    with pytest.raises(ConfigError, match=r"a memory of 56 moments, shared by 8 environments.*source.size=64 or more"):
        source_of(Replay(size=56, ahead=3), domain, DQN(), Value())
    source = source_of(Replay(size=64, begin=200, steps=100, ahead=3), domain, DQN(), Value(), batch_size=4)
    assert len(list(one_pass(source, lambda batch: batch["weight"]))) == 25


def test_what_cannot_be_put_back_is_told_and_not_learnt_across() -> None:
    """An environment that does not repeat itself: after resuming, the last moment before has no future."""
    domain = fitted("mine:Unrepeatable", environments=2, processes=0)
    spec = Replay(size=100, begin=10, steps=20, every=2)
    one, other = (source_of(spec, domain, DQN(), Value(), batch_size=4) for _ in range(2))
    disk: dict[str, dict] = {}
    next(iter(one))
    assert "begun_anew" not in one.news()
    disk = {name: get() for name, get in one.pieces().items()}
    other.load_state_dict(one.state_dict())
    other.load_pieces(disk.__getitem__)
    last = other.memory.written - 1
    next(iter(other))
    assert other.news()["begun_anew"] == 2
    assert [int(other.memory.action[place, last[place]]) for place in (0, 1)] == [NOTHING, NOTHING]
    assert [int(other.memory.age[place, last[place] + 1]) for place in (0, 1)] == [0, 0]
