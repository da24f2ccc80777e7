"""Another version of a model under a running server: where somebody asks for it, or where its checkpoint changed.

The new one is opened beside the old one, in a thread of its own, while the old one answers. Only when it is whole does
it take the old one's place. Where it cannot be opened the old one goes on, and that is said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from pervade.core import memory
from pervade.core.errors import PervadeError
from pervade.core.terminal import tell
from pervade.serve.guard import where
from pervade.serve.served import Served

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
    """`current` gives what a name answers by now, `put` has a model answer from now on, and closes the one before once
    nobody asks it any more. What becomes of each reload is told the terminal and `counted`."""

    def __init__(
        self,
        sources: Mapping[str, Source],
        current: Callable[[str], Served],
        put: Callable[[Served], None],
        counted: Callable[[Outcome], None],
    ) -> None:
        self.sources, self.current, self.put, self.counted = sources, current, put, counted
        self.turn = threading.Lock()  # one at a time: two versions of one model are in memory, not three
        self.done = threading.Event()
        self.stamps = {name: source.stamp() for name, source in sources.items()}
        self.thread: threading.Thread | None = None

    def reload(self, name: str) -> Outcome:
        """Opens it again. May take as long as loading takes; to be called in a thread."""
        with self.turn:
            before = self.current(name).about.version
            stamp = self.sources[name].stamp()
            try:
                with memory.during(f"{name} was opened again", "stop the server and start it anew"):
                    new = self.sources[name].open()
                if new.about.version == before:
                    new.close()
                else:
                    self.put(new)
                outcome = Outcome(name, new.about.version, before)
            except PervadeError as error:
                outcome = Outcome(name, before, before, str(error))
            except Exception as error:  # whatever it is, the old one goes on, and the watching too
                outcome = Outcome(name, before, before, f"an error that was not foreseen, {where(error)}")
            self.stamps[name] = stamp
        tell(f"reload  {outcome}")
        self.counted(outcome)
        return outcome

    def watch(self) -> None:
        """Looks at the checkpoints from now on, until `stop`."""
        self.thread = threading.Thread(target=self._look, name="reloading", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.done.set()
        if self.thread is not None:
            self.thread.join(EVERY)

    def _look(self) -> None:
        last: dict[str, Any] = dict(self.stamps)
        while not self.done.wait(EVERY):
            for name, source in self.sources.items():
                stamp, before = source.stamp(), last[name]
                last[name] = stamp
                if stamp == self.stamps[name] or stamp != before:  # nothing new, or not at rest yet
                    continue
                if stamp is None:
                    self.stamps[name] = None
                    tell(f"reload  the checkpoint of {name} is gone; what was loaded of it goes on")
                else:
                    self.reload(name)
