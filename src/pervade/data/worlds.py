"""Several copies of an environment, stepped together: in this process, by Gymnasium's own arithmetic for all at once
where it has some, or in worker processes.

    worlds = open_worlds(plan)
    observations = worlds.reset()
    step = worlds.step(actions)              # worlds whose episode ended have begun the next one already

Every episode begins with a seed of its own, so what happened in it is its seed and its actions: that is how a run that
was interrupted puts its environments back where they were, whatever they are. It is checked against what was seen last;
an environment that does not repeat itself begins a new episode, and that is said.

An environment that raises is made anew and counted; one that hardly ever gets anywhere is given up with its own error.
An episode that is measured is played again from its start where that happens.

Axis letters: n worlds; the axes after it are those of one observation.
"""

from __future__ import annotations

import contextlib
import copy
import multiprocessing
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import shared_memory
from typing import Any, Protocol

import numpy as np

from pervade.core import seed as seeds
from pervade.core.errors import DataError
from pervade.data import environments, spaces

# Seeds of training lie above, those of evaluation below: so that no episode is met in both.
TRAINING_SEEDS = 2**30
PATIENCE = 5  # crashes in a row, without 10 steps between two, after which an environment is given up
STEPS_BETWEEN = 10
ANSWER = 600.0  # seconds without an answer after which a worker process is taken for stuck


@dataclass(frozen=True)
class Plan:
    """What is to be stepped. `seeds`: for every world the seeds of its episodes, None: without end, from `seed`."""

    name: str
    count: int
    observation: dict[str, Any]
    action: dict[str, Any]
    longest: int
    stack: int = 1
    arguments: dict[str, Any] = field(default_factory=dict)
    training: bool = True
    seed: int = 0
    episodes: tuple[tuple[int, ...], ...] | None = None
    processes: int = 0
    render: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.observation["shape"])

    @property
    def dtype(self) -> Any:
        return np.dtype(self.observation["dtype"])


@dataclass(frozen=True)
class Episode:
    """One that is over. `cut`: it was ended for its length, and not by the environment."""

    world: int
    seed: int
    total: float
    length: int
    cut: bool = False


@dataclass
class Step:
    """What all worlds gave. `finals`: by world whose episode ended, the observation it ended with. `idle` worlds gave
    nothing that counts: they were beginning anew, or have no episodes left."""

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    finals: dict[int, np.ndarray]
    idle: np.ndarray | None = None


class Worlds(Protocol):
    count: int

    @property
    def crashes(self) -> int: ...

    def reset(self) -> np.ndarray: ...

    def step(self, actions: np.ndarray) -> Step: ...

    def finished(self) -> list[Episode]:
        """The episodes that ended since the last call, in order."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> int:
        """Puts the environments back; returns how many could not be, and began a new episode."""
        ...

    def broken_off(self) -> list[int]:
        """Worlds that began a new episode between two steps, so that no `Step` told of it, since the last call."""
        ...

    def observations(self) -> np.ndarray: ...

    def render(self) -> Any: ...

    def close(self) -> None: ...


class World:
    """One environment, which begins again by itself. `now` is the observation to act on."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.plan, self.number = plan, number
        self.write = spaces.writer(plan.action)
        self.floating = plan.dtype.kind == "f"
        self.crashes = self.row = 0
        self.since_crash = STEPS_BETWEEN
        self.began = 0  # episodes begun
        self.over = False  # no episodes left
        self.repeating: int | None = None  # the seed of an episode that is gone through again
        self.done: list[Episode] = []
        self.make()

    def make(self) -> None:
        plan = self.plan
        self.env = environments.make(plan.name, plan.arguments, plan.training, plan.render)
        self.read = spaces.reader(self.env.observation_space)

    def begin(self) -> np.ndarray | None:
        """The first observation of the next episode; None where there is none left."""
        while True:
            seed = self._next_seed()
            if seed is None:
                self.over = True
                return None
            self.began += 1
            try:
                seen, info = self.env.reset(seed=seed)
                frame = self.read(seen)
            except Exception as error:
                self.seed = seed
                self._note_crash(error, f"reset(seed={seed})")
                continue
            break
        self._note_game(info)
        if getattr(self.env, "anew", True):
            self.seed, self.log = seed, list[np.ndarray]()
        self.total, self.age = 0.0, 0
        if self.plan.stack == 1:
            self._take(frame)
        else:
            self.now = np.repeat(frame, self.plan.stack, axis=0)
        return self.now

    def _next_seed(self) -> int | None:
        own = self.plan.episodes
        if self.repeating is not None:
            return self.repeating
        if own is None:
            return int(seeds.generator(self.plan.seed, 7, self.number, self.began).integers(TRAINING_SEEDS, 2**31))
        return own[self.number][self.began] if self.began < len(own[self.number]) else None

    def step(self, action: np.ndarray) -> tuple[float, bool, bool, np.ndarray | None]:
        """Reward, terminated, truncated, and the observation an episode ended with."""
        try:
            seen, reward, terminated, truncated, info = self.env.step(self.write(action))
            frame = self.read(seen)
            self._take(frame)
        except DataError:
            raise
        except Exception as error:
            return self._crashed(error)
        try:
            reward = float(reward)
        except (TypeError, ValueError):
            reward = environments.number(self.plan.name, reward, self._when(1))
        if not -np.inf < reward < np.inf:
            raise DataError(environments.not_finite(self.plan.name, "reward", reward, self._when(1)))
        self.log.append(action)
        self.total += reward
        self.age += 1
        self.since_crash += 1
        cut = self.age >= self.plan.longest and not (terminated or truncated)
        if not (terminated or truncated or cut):
            return reward, False, False, None
        final = np.array(self.now)  # a copy, for an environment that gives the same array again
        if self.floating and not np.isfinite(final).all():
            raise DataError(environments.not_finite(self.plan.name, "observation", final, self._when()))
        if not self._note_game(info, cut) and (not hasattr(self.env, "anew") or cut):
            self.done.append(Episode(self.number, self.seed, self.total, self.age, cut))
        if self.plan.episodes is not None:
            self.row = 0
        self.begin()
        return reward, bool(terminated), not terminated, final

    def _note_game(self, info: Any, cut: bool = False) -> bool:
        """Takes note of a whole game, where a life is an episode (data/atari.py)."""
        whole = info.get("episode") if isinstance(info, dict) else None
        if not isinstance(whole, dict):
            return False
        self.done.append(Episode(self.number, self.seed, float(whole["return"]), int(whole["length"]), cut))
        return True

    def _when(self, further: int = 0) -> str:
        return f"step {self.age + further} of an episode (seed {self.seed})"

    def _take(self, frame: np.ndarray) -> None:
        plan = self.plan
        if plan.stack > 1:
            self.now = np.concatenate([self.now[1:], frame])
            return
        if frame.shape != plan.shape:
            raise DataError(
                f"{plan.name}: {self._when(1)} gave an observation of shape {frame.shape}, where observation_space "
                f"says {plan.shape}; mend one of the two"
            )
        self.now = frame

    def _crashed(self, error: Exception) -> tuple[float, bool, bool, np.ndarray | None]:
        """The episode is cut off where it was; one that is measured begins again."""
        final = np.array(self.now)
        self._note_crash(error, self._when(1))
        self.begin()
        if self.plan.episodes is not None:
            return 0.0, False, False, None
        return 0.0, False, True, final

    def _note_crash(self, error: Exception, when: str) -> None:
        """Counts and makes the environment anew. Raises DataError where it crashed too often."""
        self.crashes += 1
        measured = self.plan.episodes is not None
        if measured:
            self.began -= 1
        self.row = self.row + 1 if self.since_crash < STEPS_BETWEEN or measured else 1
        self.since_crash = 0
        if self.row >= PATIENCE:
            raise DataError(
                f"{self.plan.name} raised an error {self.row} times in a row, in {when}: {environments.fault(error)}; "
                "mend the environment"
            ) from error
        with contextlib.suppress(Exception):  # of an environment that is broken anyway
            self.env.close()
        self.make()

    # what a resumed run needs

    def state_dict(self) -> dict[str, Any]:
        return {
            "began": self.began,
            "seed": self.seed,
            "age": self.age,
            "total": self.total,
            "crashes": self.crashes,
            "log": np.stack(self.log) if self.log else np.zeros((0, 1), np.int64),
            "now": np.array(self.now),
        }

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Goes through the episode again. False where it came out otherwise, and a new one was begun."""
        try:
            repeated = self._repeat(state)
        except Exception:
            repeated = False
        self.crashes, self.began = state["crashes"], state["began"]
        self.row, self.since_crash = 0, STEPS_BETWEEN
        if not repeated:
            self.env.close()
            self.make()
            self.done = []
            self.begin()
        return repeated

    def _repeat(self, state: dict[str, Any]) -> bool:
        self.env.close()
        self.make()
        self.repeating = state["seed"]
        try:
            self.begin()
            for action in np.asarray(state["log"]):
                self.step(action)
        finally:
            self.repeating = None
        self.age, self.total, self.done = state["age"], state["total"], []
        return bool(np.array_equal(self.now, state["now"]))


class Here:
    """Worlds in this process."""

    def __init__(self, plan: Plan, numbers: Sequence[int] | None = None) -> None:
        self.plan = plan
        self.worlds = [World(plan, number) for number in (range(plan.count) if numbers is None else numbers)]
        self.count = len(self.worlds)
        self.now = np.zeros((self.count, *plan.shape), plan.dtype)
        self.floating = plan.dtype.kind == "f"
        self.broken: list[int] = []

    @property
    def crashes(self) -> int:
        return sum(world.crashes for world in self.worlds)

    def reset(self) -> np.ndarray:
        for place, world in enumerate(self.worlds):
            first = world.begin()
            if first is not None:
                self.now[place] = first
        if self.floating and not np.isfinite(self.now.sum()):
            self._blame(self.now)
        return self.now.copy()

    def step(self, actions: np.ndarray) -> Step:
        count = self.count
        rewards = np.zeros(count, np.float32)
        terminated, truncated = np.zeros(count, bool), np.zeros(count, bool)
        finals: dict[int, np.ndarray] = {}
        idle = None
        now = np.empty_like(self.now)
        for place, world in enumerate(self.worlds):
            if world.over:
                idle = np.zeros(count, bool) if idle is None else idle
                idle[place] = True
                now[place] = self.now[place]
                continue
            rewards[place], over, cut, final = world.step(actions[place])
            now[place] = world.now
            if final is not None:
                terminated[place], truncated[place] = over, cut
                finals[place] = final
        if self.floating and not np.isfinite(now.sum()):
            self._blame(now)
        self.now = now
        return Step(now, rewards, terminated, truncated, finals, idle)

    def _blame(self, now: np.ndarray) -> None:
        for world, seen in zip(self.worlds, now, strict=True):
            if not np.isfinite(seen).all():
                raise DataError(environments.not_finite(self.plan.name, "observation", seen, world._when()))

    def finished(self) -> list[Episode]:
        found = []
        for world in self.worlds:
            if world.done:
                found += world.done
                world.done = []
        return found

    def observations(self) -> np.ndarray:
        return self.now

    def state_dict(self) -> dict[str, Any]:
        return {"worlds": [world.state_dict() for world in self.worlds]}

    def load_state_dict(self, state: dict[str, Any]) -> int:
        repeated = [world.load_state_dict(each) for world, each in zip(self.worlds, state["worlds"], strict=True)]
        for place, world in enumerate(self.worlds):
            self.now[place] = world.now
        self.broken = [place for place, again in enumerate(repeated) if not again]
        return len(self.broken)

    def broken_off(self) -> list[int]:
        found, self.broken = self.broken, []
        return found

    def render(self) -> Any:
        """A picture of the first; None where it cannot draw, which keeps nobody from acting in it."""
        with contextlib.suppress(Exception):
            return self.worlds[0].env.render()
        return None

    def close(self) -> None:
        for world in self.worlds:
            world.env.close()


class AtOnce:
    """Gymnasium's own environments that step all worlds in one go (CartPole has such). One random generator serves all,
    and a world whose episode is over takes one idle step to begin the next."""

    def __init__(self, plan: Plan) -> None:
        library = environments.gymnasium()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.env = library.make_vec(
                plan.name, num_envs=plan.count, vectorization_mode="vector_entry_point", **plan.arguments
            )
        self.plan, self.count, self.crashes = plan, plan.count, 0
        self.inner: Any = self.env.unwrapped
        self.start = plan.action["start"][0]
        self.total, self.age = np.zeros(plan.count), np.zeros(plan.count, np.int64)
        self.resting = np.zeros(plan.count, bool)  # the episode ended in the last step
        self.done: list[Episode] = []
        self.now = np.zeros((plan.count, *plan.shape), plan.dtype)

    def reset(self) -> np.ndarray:
        seed = int(seeds.generator(self.plan.seed, 7).integers(TRAINING_SEEDS, 2**31))
        self.now = self.env.reset(seed=seed)[0]
        return self.now

    def step(self, actions: np.ndarray) -> Step:
        seen, rewards, terminated, truncated, _ = self.env.step(actions[:, 0] + self.start)
        self.total += rewards
        self.age += 1
        idle = None
        if self.resting.any():
            idle = self.resting
            self.total[idle] = 0.0
            self.age[idle] = 0
        over = terminated | truncated
        finals: dict[int, np.ndarray] = {}
        if over.any():
            for place in np.flatnonzero(over):
                finals[int(place)] = seen[place]
                self.done.append(Episode(int(place), -1, float(self.total[place]), int(self.age[place])))
        self.resting, self.now = over, seen
        return Step(seen, rewards, terminated, truncated & ~terminated, finals, idle)

    def finished(self) -> list[Episode]:
        found, self.done = self.done, []
        return found

    def observations(self) -> np.ndarray:
        return self.now

    def state_dict(self) -> dict[str, Any]:
        """Whatever of the environment is numbers: it has no other state."""
        own = {k: v for k, v in vars(self.inner).items() if isinstance(v, (np.ndarray, int, float)) and k != "num_envs"}
        return {
            "own": {name: copy.copy(value) for name, value in own.items()},
            "random": copy.deepcopy(self.inner.np_random.bit_generator.state),
            "total": self.total.copy(),
            "age": self.age.copy(),
            "resting": self.resting.copy(),
            "now": np.array(self.now),
        }

    def load_state_dict(self, state: dict[str, Any]) -> int:
        self.env.reset(seed=0)
        for name, value in state["own"].items():
            setattr(self.inner, name, copy.copy(value))
        self.inner.np_random.bit_generator.state = state["random"]
        self.total, self.age, self.resting, self.now = (
            np.array(state[name]) for name in ("total", "age", "resting", "now")
        )
        return 0

    def broken_off(self) -> list[int]:
        return []

    def render(self) -> Any:
        return None

    def close(self) -> None:
        self.env.close()


def has_one_for_all(plan: Plan) -> bool:
    if environments.own(plan.name) or plan.count < 2 or plan.episodes is not None or plan.name.startswith("ALE/"):
        return False
    spec = environments.gymnasium().registry.get(plan.name)
    entry = getattr(spec, "vector_entry_point", None)
    # Those of phys2d need jax, and are for those who ask for it.
    return bool(entry) and not plan.name.startswith("phys2d/") and plan.longest >= (spec.max_episode_steps or 0)


def open_worlds(plan: Plan) -> Worlds:
    if plan.processes > 0 and plan.count > 1:
        return Processes(plan)
    if has_one_for_all(plan):
        return AtOnce(plan)
    return Here(plan)


# worker processes


class _Shared:
    """One block of memory with all that passes between the processes at every step."""

    FIELDS = ("observations", "finals", "rewards", "flags", "actions")

    def __init__(self, plan: Plan, name: str | None = None) -> None:
        n, width = plan.count, len(plan.action["sizes"] if plan.action["kind"] == "discrete" else plan.action["low"])
        kind = np.int64 if plan.action["kind"] == "discrete" else np.float32
        layout = [
            ((n, *plan.shape), plan.dtype),
            ((n, *plan.shape), plan.dtype),
            ((n,), np.dtype(np.float32)),
            ((n, 3), np.dtype(np.bool_)),  # terminated, truncated, idle
            ((n, width), np.dtype(kind)),
        ]
        sizes = [-(-int(np.prod(shape)) * dtype.itemsize // 64) * 64 for shape, dtype in layout]
        self.memory = shared_memory.SharedMemory(name, create=name is None, size=sum(sizes))
        start = 0
        for field_name, (shape, dtype), size in zip(self.FIELDS, layout, sizes, strict=True):
            setattr(self, field_name, np.ndarray(shape, dtype, self.memory.buf, start))
            start += size

    observations: np.ndarray
    finals: np.ndarray
    rewards: np.ndarray
    flags: np.ndarray
    actions: np.ndarray

    def release(self) -> None:
        for name in self.FIELDS:
            setattr(self, name, None)
        self.memory.close()


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    """Inside, a process that is started does not run the user's script once more, which would train in it again."""
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
    vars(main).pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


def _work(plan: Plan, numbers: list[int], name: str, pipe: Any) -> None:
    """A worker: its share of the worlds, until the pipe closes."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    shared = _Shared(plan, name)
    worlds: Here | None = None
    try:
        while True:
            what, given = pipe.recv()
            if what == "close":
                break
            try:
                worlds = worlds or Here(plan, numbers)
                pipe.send(("done", _answer(worlds, numbers, shared, what, given)))
            except DataError as error:
                pipe.send(("refused", str(error)))
            except Exception as error:  # a fault of ours: told in the parent, not in two processes
                pipe.send(("refused", f"{plan.name}: {environments.fault(error)}"))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        return  # the parent is gone, and so is the reason to be here
    finally:
        if worlds is not None:
            worlds.close()
        shared.release()


def _answer(worlds: Here, numbers: list[int], shared: _Shared, what: str, given: Any) -> Any:
    if what == "reset":
        shared.observations[numbers] = worlds.reset()
        return None
    if what == "load":
        worlds.load_state_dict(given)
        shared.observations[numbers] = worlds.observations()
        return [numbers[place] for place in worlds.broken_off()]
    if what == "state":
        return worlds.state_dict()
    step = worlds.step(shared.actions[numbers])
    idle = np.zeros(len(numbers), bool) if step.idle is None else step.idle
    shared.observations[numbers] = step.observations
    shared.rewards[numbers] = step.rewards
    shared.flags[numbers] = np.stack([step.terminated, step.truncated, idle], axis=1)
    for place, final in step.finals.items():
        shared.finals[numbers[place]] = final
    return worlds.finished(), worlds.crashes


class Processes:
    """Worlds shared out among worker processes, which write into shared memory. A process that dies is started again,
    its worlds begin new episodes, and it counts as a crash of each."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.count = plan, plan.count
        number = min(plan.processes, plan.count)
        self.shares = [list(map(int, each)) for each in np.array_split(np.arange(plan.count), number)]
        # A fresh interpreter: forking one in which torch has threads may hang.
        self.context = multiprocessing.get_context("spawn")
        self.shared = _Shared(plan)
        self.workers: list[Any] = [None] * number
        self.pipes: list[Any] = [None] * number
        self.done: list[Episode] = []
        self.counts = [0] * number
        self.lost = 0  # crashes that no living process counts
        self.deaths_in_a_row = 0
        self.broken: list[int] = []
        for which in range(number):
            self._start(which)

    @property
    def crashes(self) -> int:
        return sum(self.counts) + self.lost

    def _start(self, which: int) -> None:
        ours, theirs = self.context.Pipe()
        # Seeds of a process that was started again are others, or it would die of the same episode once more.
        plan = replace(self.plan, seed=self.plan.seed + 1_000_003 * self.lost)
        arguments = (plan, self.shares[which], self.shared.memory.name, theirs)
        worker = self.context.Process(target=_work, args=arguments, daemon=True)
        with _nameless_main():
            worker.start()
        theirs.close()
        self.workers[which], self.pipes[which] = worker, ours

    def _ask(self, what: str, given: Sequence[Any] | None = None) -> list[Any]:
        for which, pipe in enumerate(self.pipes):
            with contextlib.suppress(OSError):  # found out in the answer
                pipe.send((what, None if given is None else given[which]))
        return [self._hear(which, what) for which in range(len(self.pipes))]

    def _hear(self, which: int, what: str) -> Any:
        pipe = self.pipes[which]
        try:
            if not pipe.poll(ANSWER):
                raise DataError(
                    f"{self.plan.name}: a worker process has not answered for {ANSWER:.0f} s; the environment hangs"
                )
            kind, given = pipe.recv()
        except (EOFError, OSError):
            return self._died(which, what)
        if kind == "refused":
            raise DataError(given)
        if what == "step":
            self.deaths_in_a_row = 0
        return given

    def _died(self, which: int, what: str) -> Any:
        worker = self.workers[which]
        worker.join(5)
        self.deaths_in_a_row += 1
        if what not in ("step", "state") or self.deaths_in_a_row >= PATIENCE:
            raise DataError(
                f"{self.plan.name}: the worker process that runs it died (exit status {worker.exitcode}"
                f"{', ' + str(self.deaths_in_a_row) + ' times in a row' if self.deaths_in_a_row > 1 else ''}); try the "
                "environment by itself, in this process: -o domain.processes=0"
            )
        share = self.shares[which]
        self.lost += len(share) + self.counts[which]
        self.counts[which] = 0
        before = self.shared.observations[share].copy()
        self._start(which)
        self.pipes[which].send(("reset", None))
        self._hear(which, "reset")
        if what == "state":
            self.broken += share
            self.pipes[which].send(("state", None))
            return self._hear(which, "state")
        self.shared.finals[share] = before
        self.shared.rewards[share] = 0.0
        self.shared.flags[share] = (False, True, False)
        return [], 0

    def reset(self) -> np.ndarray:
        self._ask("reset")
        return self.shared.observations.copy()

    def step(self, actions: np.ndarray) -> Step:
        shared = self.shared
        shared.actions[:] = actions
        for which, (done, crashes) in enumerate(self._ask("step")):
            self.done += done
            self.counts[which] = crashes
        flags = shared.flags
        over = flags[:, 0] | flags[:, 1]
        finals = {int(place): shared.finals[place].copy() for place in np.flatnonzero(over)} if over.any() else {}
        idle = flags[:, 2].copy() if flags[:, 2].any() else None
        return Step(
            shared.observations.copy(), shared.rewards.copy(), flags[:, 0].copy(), flags[:, 1].copy(), finals, idle
        )

    def finished(self) -> list[Episode]:
        found, self.done = self.done, []
        return found

    def observations(self) -> np.ndarray:
        return self.shared.observations.copy()

    def state_dict(self) -> dict[str, Any]:
        return {"worlds": [each for share in self._ask("state") for each in share["worlds"]], "lost": self.lost}

    def load_state_dict(self, state: dict[str, Any]) -> int:
        crashes = [sum(state["worlds"][i]["crashes"] for i in share) for share in self.shares]
        self.lost, self.counts = state["lost"], crashes
        given = [{"worlds": [state["worlds"][i] for i in share]} for share in self.shares]
        self.broken = [place for share in self._ask("load", given) for place in share]
        return len(self.broken)

    def broken_off(self) -> list[int]:
        found, self.broken = self.broken, []
        return found

    def render(self) -> Any:
        return None

    def close(self) -> None:
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.send(("close", None))
        for worker in self.workers:
            worker.join(2)
            if worker.is_alive():
                worker.kill()
        for pipe in self.pipes:
            pipe.close()
        self.shared.release()
        with contextlib.suppress(FileNotFoundError):
            self.shared.memory.unlink()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at the interpreter's end anything may be gone
            if self.shared.observations is not None:
                self.close()


def news(episodes: Sequence[Episode], steps: int, crashes: int) -> dict[str, float]:
    """What is to be logged of episodes that ended: means, and counts so far."""
    found: dict[str, float] = {"environment_steps": steps, "episodes": len(episodes)}
    if episodes:
        found["return"] = float(np.mean([each.total for each in episodes]))
        found["episode_length"] = float(np.mean([each.length for each in episodes]))
    if crashes:
        found["crashes"] = crashes
    return found
