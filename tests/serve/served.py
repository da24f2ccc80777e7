"""Servers for tests: real ones, on loopback, in a thread of this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from pervade.serve.app import application
from pervade.serve.served import About, Field, Given, Served
from pervade.serve.settings import Settings
from pervade.serve.shelf import Shelf


class Counting:
    """Answers how long a text is, `seconds` after it was asked, and remembers who was asked together."""

    def __init__(self, name: str = "lengths", seconds: float = 0.0, version: str = "1") -> None:
        takes = (Field("input", "text", "Text"),)
        self.about = About(name, version, "best", "text-classification", takes, "texts")
        self.seconds, self.closed = seconds, False
        self.batches: list[list[str]] = []

    def answers(self, inputs: Sequence[Given], top: int) -> list[dict[str, Any]]:
        time.sleep(self.seconds)
        asked = [str(given.content["input"]) for given in inputs]
        self.batches.append(asked)
        if "raise" in asked:
            raise ValueError(f"one of {len(asked)}")
        return [
            {"input": text, "length": len(text), "version": self.about.version, "top": top, "error": None}
            for text in asked
        ]

    def close(self) -> None:
        self.closed = True


@contextmanager
def server(*served: Served, **settings: Any) -> Iterator[tuple[httpx.Client, Shelf]]:
    """A client of a server of these models, and its shelf."""
    chosen = Settings(**settings)
    shelf = Shelf(chosen)
    for one in served:
        shelf.put(one)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(shelf, chosen), log_config=None, access_log=False, timeout_graceful_shutdown=5)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30) as client:
            yield client, shelf
    finally:
        running.should_exit = True
        thread.join()
        listening.close()
