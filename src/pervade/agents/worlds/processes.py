"""Environments in worker processes, which write what they see into memory that all share."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import shared_memory
from typing import Any

import numpy as np

from pervade.agents import environments
from pervade.agents.worlds.in_process import PATIENCE, InProcess
from pervade.agents.worlds.plan import Episode, Plan, Step
from pervade.core import download, signals, trust
from pervade.core.errors import DataError

ANSWER = 600.0  # seconds without an answer after which a worker process is taken for stuck


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
    """A worker: its share of the worlds, until the pipe closes. That its environment may run, its parent has asked."""
    signals.left_to_parent()
    trust.name(plan.name)
    with download.announcing(lambda text: None):  # the parent has said so too
        environments.check_trust(plan.name)
    shared = _Shared(plan, name)
    worlds: InProcess | None = None
    try:
        while True:
            what, given = pipe.recv()
            if what == "close":
                break
            try:
                worlds = worlds or InProcess(plan, numbers)
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


def _answer(worlds: InProcess, numbers: list[int], shared: _Shared, what: str, given: Any) -> Any:
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
        environments.check_trust(plan.name)
        self.plan, self.count = plan, plan.count
        number = min(plan.processes, plan.count)
        self.shares = [list(map(int, share)) for share in np.array_split(np.arange(plan.count), number)]
        # A fresh interpreter: forking one in which torch has threads may hang.
        self.context = multiprocessing.get_context("spawn")
        with signals.held_back():  # multiprocessing starts a process that looks after shared memory
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
        with _nameless_main(), signals.held_back():
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
        if signals.asked() or -(worker.exitcode or 0) in signals.ASKING:
            raise signals.WorkerStopped  # no crash: it would be counted, and the run resumed by other episodes
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
        episodes, self.done = self.done, []
        return episodes

    def observations(self) -> np.ndarray:
        return self.shared.observations.copy()

    def state_dict(self) -> dict[str, Any]:
        return {"worlds": [world for share in self._ask("state") for world in share["worlds"]], "lost": self.lost}

    def load_state_dict(self, state: dict[str, Any]) -> int:
        crashes = [sum(state["worlds"][i]["crashes"] for i in share) for share in self.shares]
        self.lost, self.counts = state["lost"], crashes
        given = [{"worlds": [state["worlds"][i] for i in share]} for share in self.shares]
        self.broken = [place for share in self._ask("load", given) for place in share]
        return len(self.broken)

    def broken_off(self) -> list[int]:
        broken, self.broken = self.broken, []
        return broken

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
