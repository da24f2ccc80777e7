"""Texts of several requests, written together: each joins at any token and leaves when it is over.

The model's thread writes for `SLICE` seconds, then other models have their turn. What is new is handed to the event
loop once a token. How many wait is bounded, and how long a request takes; a client that goes away frees its place.
"""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from pervade.core.errors import PervadeError
from pervade.core.terminal import tell
from pervade.serve.faults import Fault
from pervade.serve.figures import Figures
from pervade.serve.settings import Settings

SLICE = 0.05  # seconds

Asked: TypeAlias = "str | list[dict[str, str]]"


class Written(Protocol):
    """A text under way."""

    @property
    def asked(self) -> int:
        """Tokens there are to go on from."""
        ...

    @property
    def number(self) -> int:
        """Tokens that were written."""
        ...

    @property
    def over(self) -> bool: ...

    @property
    def reason(self) -> str:
        """Why: "stop" or "length"."""
        ...

    @property
    def text(self) -> str:
        """All of it."""
        ...

    def news(self) -> str:
        """What was not told yet."""
        ...


class Writer(Protocol):
    """Writes several texts at once; called in the models' own thread, one call at a time."""

    takes_turns: bool  # whether it answers in conversations
    length: int  # tokens where nobody says how many

    def begin(self, asked: Asked, wanted: Mapping[str, Any]) -> Written:
        """With fields of its sampling (nn/sampling.py) that are wanted. Raises PervadeError where it cannot be."""
        ...

    def has_room(self, text: Any) -> bool:
        """In memory."""
        ...

    def join(self, text: Any) -> None: ...

    def leave(self, text: Any) -> None: ...

    def reset(self) -> None:
        """No text is there any more."""
        ...

    def step(self) -> Sequence[Any]:
        """Writes a token of each text whose turn it is, and returns these; those that are over have left."""
        ...


@runtime_checkable
class Writes(Protocol):
    """A `Served` that writes."""

    @property
    def writer(self) -> Writer | None: ...


class News(NamedTuple):
    text: str
    reason: str | None  # why it is over; None: it is not
    asked: int  # tokens
    written: int  # tokens so far


@dataclass(eq=False)
class Stream:
    """One request. The event loop waits for `events`; the models' thread looks at `gone`."""

    asked: Asked
    wanted: Mapping[str, Any]
    pieces: bool  # whether it is told as it comes
    until: float
    loop: asyncio.AbstractEventLoop
    events: asyncio.Queue[News | Fault] = field(default_factory=asyncio.Queue)
    gone: bool = False
    text: Written | None = None


class Writing:
    """The texts that one model writes, in `thread`."""

    def __init__(self, name: str, writer: Writer, settings: Settings, thread: Executor, figures: Figures) -> None:
        self.name, self.writer, self.settings, self.thread, self.figures = name, writer, settings, thread, figures
        self.waiting: deque[Stream] = deque()
        self.running: dict[Any, Stream] = {}
        self.lock = threading.Lock()  # of `waiting` and `active`
        self.active = False

    async def write(self, asked: Asked, wanted: Mapping[str, Any], pieces: bool) -> AsyncIterator[News]:
        """What is written, piece by piece, or all of it at once. Raises Fault: 400 where that cannot be asked, 429
        where too many wait already, 503 where it takes longer than the deadline."""
        until = time.monotonic() + self.settings.deadline
        stream = Stream(asked, wanted, pieces, until, asyncio.get_running_loop())
        self._admit(stream)
        try:
            while True:
                event = await stream.events.get()
                if isinstance(event, Fault):
                    raise event
                yield event
                if event.reason is not None:
                    return
        finally:
            stream.gone = True
            with self.lock:
                if stream in self.waiting:
                    self.waiting.remove(stream)

    def _admit(self, stream: Stream) -> None:
        with self.lock:
            number = len(self.waiting)
            if number < self.settings.max_queue:
                self.waiting.append(stream)
                if not self.active:
                    self.active = True
                    self.thread.submit(self._turn)
        self.figures.waiting.labels(self.name).set(number)
        if number >= self.settings.max_queue:
            self.figures.turned_away.labels(self.name, "queue").inc()
            sentence = f"{number:,} texts wait already, and {self.settings.max_queue:,} may; ask again in 1 s"
            raise Fault(429, sentence, "queue_full", headers={"Retry-After": "1"})

    # in the models' thread

    def _turn(self) -> None:
        began = time.monotonic()
        try:
            while time.monotonic() - began < SLICE:
                self._join()
                with self.lock:
                    self.active = bool(self.running or self.waiting)
                if not self.running:
                    break
                self._tell(self.writer.step())
        except Exception as error:  # what nobody foresaw ends these texts, and not the thread
            self._end_all(error)
        self.figures.computing.labels(self.name).inc(time.monotonic() - began)
        self.figures.waiting.labels(self.name).set(len(self.waiting))
        with self.lock:
            self.active = bool(self.running or self.waiting)
            if self.active:
                self.thread.submit(self._turn)

    def _join(self) -> None:
        """Those that wait, in their order, as long as there is room; those that nobody waits for any more leave."""
        for text in [text for text, stream in self.running.items() if self._lost(stream)]:
            self.writer.leave(text)
            del self.running[text]
        with self.lock:
            waiting = deque(stream for stream in self.waiting if not self._lost(stream))
            self.waiting = waiting
        while len(self.running) < self.settings.max_batch:
            with self.lock:
                if not self.waiting:
                    return
                stream = self.waiting.popleft()
            try:
                text = stream.text = stream.text or self.writer.begin(stream.asked, stream.wanted)
            except PervadeError as error:
                code = "context_length_exceeded" if type(error).__name__ == "TooLong" else "invalid_prompt"
                self._hand_over([(stream, Fault(400, str(error), code))])
                continue
            except Exception as error:
                self._hand_over([(stream, _unforeseen(error))])
                continue
            if not self.writer.has_room(text):
                with self.lock:
                    self.waiting.appendleft(stream)
                return
            self.running[text] = stream
            self.writer.join(text)

    def _lost(self, stream: Stream) -> bool:
        """Whether nobody waits for it, or nobody is to wait longer, who is told so."""
        if stream.gone or time.monotonic() <= stream.until:
            return stream.gone
        self.figures.turned_away.labels(self.name, "deadline").inc()
        late = f"the text was not written within {self.settings.deadline:g} s; ask for fewer tokens, or again later"
        self._hand_over([(stream, Fault(503, late, "deadline", headers={"Retry-After": "1"}))])
        return True

    def _tell(self, texts: Sequence[Any]) -> None:
        events: list[tuple[Stream, News]] = []
        for text in texts:
            stream = self.running[text]
            if text.over:
                del self.running[text]
                whole = text.news() if stream.pieces else text.text
                events.append((stream, News(whole, text.reason, text.asked, text.number)))
            elif stream.pieces and (new := text.news()):
                events.append((stream, News(new, None, text.asked, text.number)))
        self._hand_over(events)

    def _end_all(self, error: Exception) -> None:
        fault = _unforeseen(error)
        self._hand_over([(stream, fault) for stream in self.running.values()])
        self.running.clear()
        self.writer.reset()

    def _hand_over(self, events: Sequence[tuple[Stream, News | Fault]]) -> None:
        """To the event loop, all in one go."""
        if events and not (loop := events[0][0].loop).is_closed():
            loop.call_soon_threadsafe(_put, events)


def _put(events: Sequence[tuple[Stream, News | Fault]]) -> None:
    for stream, event in events:
        stream.events.put_nowait(event)


def _unforeseen(error: Exception) -> Fault:
    if isinstance(error, PervadeError):
        return Fault(500, str(error))
    place = traceback.extract_tb(error.__traceback__)[-1]
    tell(f"writing met a fault of the server: {type(error).__name__} at {place.filename}:{place.lineno}")
    return Fault(500, "this is a fault of the server, which was not foreseen; the request got no answer")
