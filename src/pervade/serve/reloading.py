"""Another version of a model under a running server: where somebody asks for it, or where its checkpoint changed.

The new one is opened beside the old one, in a thread of its own, while the old one answers. Only when it is whole does
it take the old one's place. Where it cannot be opened the old one goes on, and that is said.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from pervade.core import memory, runtime
from pervade.core.errors import PervadeError
from pervade.core.terminal import tell
from pervade.serve.guard import where
from pervade.serve.served import Served
from pervade.serve.shelf import Shelf

EVERY = 2.0  # seconds between two looks at the checkpoints


@dataclass(frozen=True)
class Source:
    """Where a model comes from."""

    open: Callable[[], Served]
    stamp: Callable[[], Hashable]  # another one once there is another checkpoint; None where there is none any more


@dataclass(frozen=True)
class Outcome:
    name: str
    version: str  # that answers now
    before: str  # that answered until then
    error: str = ""  # why there is no other one

    @property
    def what(self) -> str:
        return "failed" if self.error else "unchanged" if self.version == self.before else "changed"

    def __str__(self) -> str:
        if self.error:
            return f"{self.name} was not reloaded, and version {self.version} goes on: {self.error}"
        if self.version == self.before:
            return f"{self.name} is what it was, version {self.version}"
        return f"{self.name} answers by version {self.version} from now on; it was {self.before}"


class Reloading:
    """What becomes of each reload is told the terminal and the figures."""

    def __init__(self, sources: Mapping[str, Source], shelf: Shelf) -> None:
        self.sources, self.shelf = sources, shelf
        self.turn = threading.Lock()  # one at a time: two versions of one model are in memory, not three
        self.done = threading.Event()
        self.stamps = {name: source.stamp() for name, source in sources.items()}
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Looks at the checkpoints from now on, until `stop`. To be called in the event loop that answers."""
        self.loop = asyncio.get_running_loop()
        threading.Thread(target=self._look, name="reloading", daemon=True).start()

    def stop(self) -> None:
        self.done.set()

    def reload(self, name: str) -> Outcome:
        """Opens it again. May take as long as loading takes; to be called in a thread."""
        with self.turn:
            before = next(about.version for about in self.shelf.abouts() if about.name == name)
            self.stamps[name] = self.sources[name].stamp()
            new: Served | None = None
            try:
                with memory.during(f"{name} was opened again", "stop the server and start it anew"):
                    new = self.sources[name].open()
                if new.about.version == before:
                    new.close()
                else:
                    self._put(new)
                outcome = Outcome(name, new.about.version, before)
            except PervadeError as error:
                outcome = Outcome(name, before, before, str(error))
            except Exception as error:  # whatever it is, the old one goes on, and the watching too
                outcome = Outcome(name, before, before, f"an error that was not foreseen, {where(error)}")
            if outcome.what != "changed":  # else the shelf does, once the last request of the old one is over
                new = None
                runtime.give_back()
        tell(f"reload  {outcome}")
        self.shelf.figures.reloads.labels(name, outcome.what).inc()
        return outcome

    def _put(self, new: Served) -> None:
        """Between two steps of the event loop: no request takes the old one in that moment."""

        async def put() -> None:
            self.shelf.put(new)

        assert self.loop is not None, "start was called"
        asyncio.run_coroutine_threadsafe(put(), self.loop).result()

    def _look(self) -> None:
        last = dict(self.stamps)
        while not self.done.wait(EVERY):
            for name, source in self.sources.items():
                before, last[name] = last[name], source.stamp()
                if last[name] == self.stamps[name] or last[name] != before:  # nothing new, or not at rest yet
                    continue
                if last[name] is None:
                    self.stamps[name] = None
                    tell(f"reload  the checkpoint of {name} is gone; what was loaded of it goes on")
                else:
                    self.reload(name)
