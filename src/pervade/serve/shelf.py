"""What is served now, by name. A model is replaced without a lost or mixed request: each keeps the one that it began
with, which is closed once its last request is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from pervade.core import runtime
from pervade.core.errors import nearest
from pervade.serve.batching import Batching
from pervade.serve.faults import Fault
from pervade.serve.figures import Figures
from pervade.serve.served import About, HasReference, Served
from pervade.serve.settings import Settings
from pervade.serve.watch import Watch
from pervade.serve.writing import Writes, Writing

LAST = 1.0  # seconds that a model has for what nobody waits for any more


@dataclass
class Place:
    served: Served
    batching: Batching
    writing: Writing | None  # of a model that writes
    requests: int = 0  # under way
    replaced: bool = False


class Shelf:
    """All models compute in one thread, so that they do not take the cores from each other and the event loop computes
    nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.figures = settings, Figures()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self.ready = True  # off while the server stops
        self.left = False  # whether something was still computed when it had stopped
        self._places: dict[str, Place] = {}

    def put(self, served: Served) -> None:
        """Serves it under its name, in place of what was there."""
        about, before = served.about, self._places.get(served.about.name)
        watch = None
        if self.settings.watch:
            watch = Watch(served.reference() if isinstance(served, HasReference) else {})
        queue = (self.settings, self.thread, self.figures)
        writer = served.writer if isinstance(served, Writes) else None
        writing = None if writer is None else Writing(about.name, writer, *queue)
        self._places[about.name] = Place(served, Batching(served, *queue, watch), writing)
        if before is not None:
            old = before.served.about
            self.figures.model.remove(old.name, old.version, old.checkpoint)
            before.replaced = True
            self._close_unused(before)
        self.figures.model.labels(about.name, about.version, about.checkpoint).set(1)

    def abouts(self) -> list[About]:
        return [place.served.about for place in self._places.values()]

    def watches(self) -> dict[str, Watch]:
        places = self._places.items()
        return {name: place.batching.watch for name, place in places if place.batching.watch is not None}

    @contextmanager
    def taken(self, name: str, version: str | None = None) -> Iterator[Place]:
        """What a request asks, for as long as it lasts. Raises Fault 404 where there is no such model, or it is served
        in another version."""
        place = self._places.get(name)
        if place is None:
            name = name[:80]
            raise Fault(404, f"there is no model {name!r} here; {nearest(name, self._places)}", "model_not_found")
        if version is not None and version != place.served.about.version:
            there = place.served.about.version
            raise Fault(404, f"{name} is served in version {there}, not {version[:80]!r}", "version_not_found")
        place.requests += 1
        try:
            yield place
        finally:
            place.requests -= 1
            self._close_unused(place)

    def _close_unused(self, place: Place) -> None:
        if place.replaced and not place.requests:
            place.batching.reading.shutdown(wait=False)
            self.thread.submit(place.served.close)
            self.thread.submit(runtime.give_back)

    async def close(self) -> None:
        """Closes every model, behind what is still computed; what takes longer than LAST is left."""
        self.ready = False
        closed = [self.thread.submit(place.served.close) for place in self._places.values()]
        for pool in (self.thread, *(place.batching.reading for place in self._places.values())):
            pool.shutdown(wait=False)
        if closed:
            await asyncio.wait([asyncio.wrap_future(one) for one in closed], timeout=LAST)
        self.left = not all(one.done() for one in closed)
