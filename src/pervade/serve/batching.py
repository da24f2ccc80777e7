"""Inputs of several requests, answered together.

The first input of a batch waits for others, `max_wait` at most, and not at all while a batch is being computed: what
came meanwhile is the next one, which is read as soon as it is full. How many wait is bounded, and so is how long a
request waits; a client that goes away frees its places.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pervade.serve.faults import Fault
from pervade.serve.figures import Figures
from pervade.serve.served import Given, Served
from pervade.serve.settings import Settings
from pervade.serve.watch import Watch

Answer = dict[str, Any]
T = TypeVar("T")

BYTES = 4  # times the largest body: what may wait of uploaded files
BATCHES = 2  # of which one is read while the other is computed
LONGEST = 60  # seconds that a client is told to stay away, at most


@dataclass(frozen=True)
class Request:
    """What one client asks; its answers are told one by one."""

    top: int
    size: int  # bytes
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Waiting:
    given: Given
    request: Request
    answer: asyncio.Future[Answer]


class Unasked(Exception):
    """Nobody waits any more for what was to be computed."""


class Batching:
    """The queue in front of one model, which is computed in `thread`, and whose inputs are read in threads of its
    own."""

    def __init__(
        self, served: Served, settings: Settings, thread: Executor, figures: Figures, watch: Watch | None = None
    ) -> None:
        self.served, self.settings, self.thread, self.figures = served, settings, thread, figures
        self.watch = watch
        self.waiting: deque[Waiting] = deque()
        self.bytes = 0
        self.full = asyncio.Event()  # as many wait as a batch takes
        self.work: asyncio.Task[None] | None = None
        self.reading = ThreadPoolExecutor(BATCHES, thread_name_prefix="reading")
        self.under_way: set[asyncio.Task[None]] = set()  # batches
        self.pace = 0.0  # seconds an input, lately

    async def answers(self, inputs: Sequence[Given], top: int) -> list[Answer]:
        """An answer for each, in order. Raises Fault 429 where too many wait already, and 503 where the answer takes
        longer than the deadline."""
        name, deadline = self.served.about.name, self.settings.deadline
        request = Request(top, sum(_bytes(given) for given in inputs))
        self._admit(request, len(inputs))
        loop = asyncio.get_running_loop()
        mine = [Waiting(given, request, loop.create_future()) for given in inputs]
        self.waiting.extend(mine)
        self.bytes += request.size
        self._count()
        if self.work is None or self.work.done():
            self.work = loop.create_task(self._work())
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.gather(*(one.answer for one in mine))
        except TimeoutError:
            self.figures.turned_away.labels(name, "deadline").inc()
            raise Fault(
                503,
                f"no answer within {deadline:g} s, while {len(self.waiting):,} inputs wait; ask again later, or about "
                "fewer at once",
                "deadline",
                headers=self._later(),
            ) from None
        finally:
            for one in mine:
                if not one.answer.cancel() and not one.answer.cancelled():
                    one.answer.exception()  # else asyncio would say that nobody looked
            self.waiting = deque(one for one in self.waiting if not one.answer.done())
            self.bytes -= request.size
            self._count()

    def _admit(self, request: Request, number: int) -> None:
        settings, wait = self.settings, len(self.waiting)
        if wait + number <= settings.max_queue and self.bytes + request.size <= BYTES * settings.max_body:
            return
        self.figures.turned_away.labels(self.served.about.name, "queue").inc()
        raise Fault(
            429,
            f"{wait:,} inputs wait already, and {settings.max_queue:,} may; ask again in {self._seconds()} s",
            "queue_full",
            headers=self._later(),
        )

    def _seconds(self) -> int:
        return min(max(math.ceil(self.pace * len(self.waiting)), 1), LONGEST)

    def _later(self) -> dict[str, str]:
        return {"Retry-After": str(self._seconds())}

    def _count(self) -> None:
        (self.full.set if len(self.waiting) >= self.settings.max_batch else self.full.clear)()
        self.figures.waiting.labels(self.served.about.name).set(len(self.waiting))

    async def _work(self) -> None:
        while self.waiting:
            while len(self.under_way) >= BATCHES:
                await asyncio.wait(self.under_way, return_when=asyncio.FIRST_COMPLETED)
            if self.under_way:
                full = asyncio.ensure_future(self.full.wait())
                await asyncio.wait((full, *self.under_way), return_when=asyncio.FIRST_COMPLETED)
                full.cancel()
            if not self.waiting:
                continue
            left = self.waiting[0].request.since + self.settings.max_wait - time.monotonic()
            if left > 0:
                try:
                    async with asyncio.timeout(left):
                        await self.full.wait()
                except TimeoutError:
                    pass  # nobody else came
            if batch := self._next():
                task = asyncio.get_running_loop().create_task(self._answer(batch))
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)

    def _next(self) -> list[Waiting]:
        """Of those that wait the first, and others that want as much told."""
        batch: list[Waiting] = []
        others: deque[Waiting] = deque()
        while self.waiting:
            one = self.waiting.popleft()
            fits = len(batch) < self.settings.max_batch and (not batch or one.request.top == batch[0].request.top)
            (batch if fits else others).append(one)
        self.waiting = others
        self._count()
        return batch

    def _answers(self, batch: Sequence[Waiting]) -> tuple[list[Answer], float]:
        """In a thread that reads. And the seconds that the models' thread had to do with them."""
        inputs, top = [one.given for one in batch], batch[0].request.top
        spent = 0.0

        def compute(work: Callable[[], T]) -> T:
            def timed() -> T:
                nonlocal spent
                if all(one.answer.done() for one in batch):
                    raise Unasked
                began = time.monotonic()
                try:
                    return work()
                finally:
                    spent += time.monotonic() - began

            return self.thread.submit(timed).result()

        answers, takes = self.served.answers(inputs, top, compute), self.served.about.takes
        if self.watch is not None:
            for given, answer in zip(inputs, answers, strict=True):
                content = given.content.get(takes[0].name) if len(takes) == 1 else None
                self.watch.see(takes[0].kind, content, answer)
        return answers, spent

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        """Tells each its answer. What fails together is asked about request by request, so that nobody's input takes
        another's answer away."""
        name = self.served.about.name
        computed = asyncio.get_running_loop().run_in_executor(self.reading, self._answers, batch)
        await asyncio.wait([computed])
        error = computed.exception()
        if error is None:
            answers, took = computed.result()
            self.figures.computing.labels(name).inc(took)
            self.pace = took / len(batch) if not self.pace else 0.8 * self.pace + 0.2 * took / len(batch)
            self.figures.batch.labels(name).observe(len(batch))
            self.figures.inputs.labels(name).inc(len(batch))
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result(answer)
            return
        requests = {id(one.request): one.request for one in batch}
        for request in requests.values():
            theirs = [one for one in batch if one.request is request and not one.answer.done()]
            if theirs and len(requests) > 1:
                await self._answer(theirs)
            for one in theirs:
                if not one.answer.done():
                    one.answer.set_exception(error)


def _bytes(given: Given) -> int:
    return sum(value.nbytes if isinstance(value, np.ndarray) else len(value) for value in given.content.values())
