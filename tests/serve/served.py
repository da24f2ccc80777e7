"""Servers for tests: real ones, on loopback, in a thread of this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from pervade.serve.app import guarded
from pervade.serve.guard import Seen
from pervade.serve.reloading import Reloading, Source
from pervade.serve.served import About, Compute, Field, Given, Served
from pervade.serve.settings import Settings
from pervade.serve.shelf import Shelf
from pervade.serve.tokens import Tokens
from tests.serve.listening import ADMIN, Listening, listening


class Counting:
    """Answers how long a text is, `seconds` after it was asked, and remembers who was asked together."""

    def __init__(self, name: str = "lengths", seconds: float = 0.0, version: str = "1") -> None:
        takes = (Field("input", "text", "Text"),)
        self.about = About(name, version, "best", "text-classification", takes, "texts")
        self.seconds, self.closed = seconds, False
        self.batches: list[list[str]] = []

    def answers(self, inputs: Sequence[Given], top: int, compute: Compute) -> list[dict[str, Any]]:
        asked = [str(given.content["input"]) for given in inputs]

        def computed() -> None:
            time.sleep(self.seconds)
            self.batches.append(asked)

        compute(computed)
        if "raise" in asked:
            raise ValueError(f"one of {len(asked)}")
        return [
            {"input": text, "length": len(text), "version": self.about.version, "top": top, "error": None}
            for text in asked
        ]

    def close(self) -> None:
        self.closed = True


@contextmanager
def serving(
    *served: Served, sources: Mapping[str, Source] | None = None, tokens: Tokens | None = None, **settings: Any
) -> Iterator[tuple[Listening, Shelf]]:
    """A server of these models behind its guard, and its shelf; `sources` are where they are opened again from."""
    chosen = Settings(**{"port": 0, "stop_within": 5.0, **settings})
    shelf, seen = Shelf(chosen), list[Seen]()
    for one in served:
        shelf.put(one)
    reloading = None if sources is None else Reloading(sources, shelf)
    with listening(guarded(shelf, chosen, tokens, Tokens(made=[ADMIN]), reloading, seen.append)) as server:
        server.seen = seen
        yield server, shelf


@contextmanager
def server(*served: Served, **settings: Any) -> Iterator[tuple[httpx.Client, Shelf]]:
    """A client of a server of these models, and its shelf."""
    with (
        serving(*served, **settings) as (listening, shelf),
        httpx.Client(base_url=listening.address, timeout=30) as client,
    ):
        yield client, shelf
