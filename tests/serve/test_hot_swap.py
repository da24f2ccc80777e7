"""Another version under load, one that does not load, a run that is deleted, and a stop, on a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pervade import api
from pervade.core.errors import CheckpointError
from pervade.serve import reloading
from pervade.serve.reloading import Source
from pervade.serve.served import About, Given
from pervade.serve.served import Field as Takes
from tests.serve.listening import ADMIN, Answer, Listening, everything
from tests.serve.served import serving

ABOUT = About("pets", "000000000000", "best", "text-classification", (Takes("input", "text", "Text"),), "texts")


@dataclass
class Versioned:
    """Answers with its own version, in so many seconds; asked after it was closed it says so."""

    version: str
    seconds: float = 0.002
    closed: bool = False
    asked: int = 0

    @property
    def about(self) -> About:
        return replace(ABOUT, version=self.version)

    def answers(self, inputs: Sequence[Given], top: int, compute: Any = None) -> list[dict[str, Any]]:
        time.sleep(self.seconds)
        self.asked += len(inputs)
        said = "closed" if self.closed else self.version
        return [{"input": given.content["input"], "label": said, "error": None} for given in inputs]

    def close(self) -> None:
        self.closed = True


@dataclass
class Stored:
    """A checkpoint, as a run's folder would hold it."""

    version: str | None = "aaaaaaaaaaaa"
    damaged: str = ""
    seconds: float = 0.002
    opened: list[Versioned] = field(default_factory=list)

    def open(self) -> Versioned:
        if self.damaged:
            raise CheckpointError(self.damaged)
        if self.version is None:
            raise CheckpointError("runs/pets is not there")
        self.opened.append(Versioned(self.version, self.seconds))
        return self.opened[-1]

    def stamp(self) -> tuple[str, str] | None:
        return None if self.version is None else (self.version, self.damaged)


@dataclass
class Swapping:
    server: Listening
    stored: Stored

    def asks(self, text: str) -> dict[str, Any]:
        body = json.dumps({"inputs": [text]}).encode()
        answer = self.server.asks("POST", "/v1/models/pets/predict", body, content_type="application/json")
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def count(self, outcome: str) -> int:
        metrics = self.server.asks(path="/metrics").body.decode()
        line = f'pervade_reloads_total{{model="pets",outcome="{outcome}"}} '
        return int(float(metrics.partition(line)[2].partition("\n")[0] or 0))

    def reload(self, query: str = "") -> Answer:
        return self.server.asks("POST", f"/admin/reload{query}", authorization=f"Bearer {ADMIN}")


@contextmanager
def swapping(stored: Stored, **fields: Any) -> Iterator[Swapping]:
    sources = {"pets": Source(stored.open, stored.stamp)}
    with serving(stored.open(), sources=sources, **fields) as (server, _):
        yield Swapping(server, stored)


def test_no_request_is_lost_or_mixed_while_models_are_swapped() -> None:
    with swapping(Stored()) as pets:
        seen: Counter[tuple[str, str]] = Counter()
        wrong: list[Any] = []
        done = threading.Event()

        def ask(number: int) -> None:
            while not done.is_set():
                text = f"{number} {time.monotonic()}"
                try:
                    answer = pets.asks(text)
                    seen[answer["version"], answer["answers"][0]["label"]] += 1
                    assert answer["answers"][0]["input"] == text
                except Exception as error:
                    wrong.append(error)

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for client in clients:
            client.start()
        versions = [f"{number:012x}" for number in range(1, 6)]
        for version in versions:
            pets.stored.version = version
            assert json.loads(pets.reload().body)[0]["outcome"] == "changed"
            until = time.monotonic() + 5
            while not seen[version, version] and time.monotonic() < until:
                time.sleep(0.005)
        done.set()
        for client in clients:
            client.join()
        assert not wrong
        assert {said for _, said in seen} == {"aaaaaaaaaaaa", *versions}
        assert all(version == said for version, said in seen)
        assert [model.closed for model in pets.stored.opened] == [True] * 5 + [False]


def test_the_request_that_began_before_a_swap_ends_with_what_it_began_with() -> None:
    with swapping(Stored(seconds=0.4)) as pets:
        body = json.dumps({"inputs": ["slow"]}).encode()
        head = f"POST /v1/models/pets/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        with pets.server.connected() as client:
            client.sendall(head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + body)
            while not pets.server.server.server_state.tasks:
                time.sleep(0.005)
            pets.stored.version, pets.stored.seconds = "bbbbbbbbbbbb", 0.0
            assert pets.reload().status == 200
            assert pets.asks("new")["version"] == "bbbbbbbbbbbb"
            slow = json.loads(Answer.of(everything(client)).body)
        assert (slow["version"], slow["answers"][0]["label"]) == ("aaaaaaaaaaaa", "aaaaaaaaaaaa")


def test_a_checkpoint_that_does_not_load_leaves_the_old_one(capsys: pytest.CaptureFixture[str]) -> None:
    with swapping(Stored()) as pets:
        pets.stored.version, pets.stored.damaged = "bbbbbbbbbbbb", "model.safetensors is damaged"
        answer = pets.reload()
        told = json.loads(answer.body)
        assert (answer.status, told["code"]) == (409, "not_reloaded")
        assert "model.safetensors is damaged" in told["detail"]
        assert "aaaaaaaaaaaa goes on" in told["detail"]
        assert pets.asks("still")["version"] == "aaaaaaaaaaaa"
        assert pets.count("failed") == 1
        assert "pets was not reloaded" in capsys.readouterr().err
        pets.stored.damaged = ""
        assert json.loads(pets.reload().body)[0]["version"] == "bbbbbbbbbbbb"


def test_memory_that_runs_out_while_a_model_is_opened_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with swapping(Stored()) as pets:

        def too_large(*settings: Any) -> Versioned:
            raise MemoryError

        monkeypatch.setattr("tests.serve.test_hot_swap.Versioned", too_large)
        assert pets.reload().status == 409
        assert pets.asks("still")["version"] == "aaaaaaaaaaaa"


def test_reloading_what_did_not_change_and_what_is_not_there() -> None:
    with swapping(Stored()) as pets:
        assert json.loads(pets.reload("?model=pets").body) == [
            {"name": "pets", "version": "aaaaaaaaaaaa", "before": "aaaaaaaaaaaa", "outcome": "unchanged"}
        ]
        assert [model.closed for model in pets.stored.opened] == [False, True]
        answer = pets.reload("?model=pet")
        assert (answer.status, "did you mean 'pets'?" in answer.body.decode()) == (404, True)
        assert pets.server.asks("GET", "/admin/reload", authorization=f"Bearer {ADMIN}").status == 405


def test_a_changed_checkpoint_is_taken_up_and_a_deleted_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reloading, "EVERY", 0.02)

    def wait(for_version: str) -> None:
        until = time.monotonic() + 5
        while pets.asks("x")["version"] != for_version and time.monotonic() < until:
            time.sleep(0.01)
        assert pets.asks("x")["version"] == for_version

    with swapping(Stored()) as pets:
        pets.stored.version = "bbbbbbbbbbbb"
        wait("bbbbbbbbbbbb")
        pets.stored.version, pets.stored.damaged = "cccccccccccc", "cut off"
        until = time.monotonic() + 5
        while not pets.count("failed") and time.monotonic() < until:
            time.sleep(0.01)
        pets.stored.version = None
        time.sleep(0.2)
        assert pets.asks("x")["version"] == "bbbbbbbbbbbb"
        assert (pets.count("changed"), pets.count("failed")) == (1, 1)  # not again and again
        pets.stored.version, pets.stored.damaged = "dddddddddddd", ""
        wait("dddddddddddd")
    assert capsys.readouterr().err.count("the checkpoint of pets is gone") == 1


def test_a_stop_waits_for_answers_under_way() -> None:
    with swapping(Stored(seconds=0.5), stop_within=5.0) as pets:
        answers: list[dict[str, Any]] = []
        clients = [threading.Thread(target=lambda: answers.append(pets.asks("x"))) for _ in range(3)]
        for client in clients:
            client.start()
        while len(pets.server.server.server_state.tasks) < 3:
            time.sleep(0.005)
        pets.server.server.should_exit = True
        for client in clients:
            client.join()
        assert [answer["version"] for answer in answers] == ["aaaaaaaaaaaa"] * 3


def test_a_stop_does_not_wait_for_ever() -> None:
    """Neither for an answer that takes longer, nor for connections on which nobody asks; the client is told."""
    began = time.monotonic()
    with swapping(Stored(seconds=2.5), stop_within=1.0) as pets:
        idle = pets.server.connected()
        answers: list[Answer] = []
        body = json.dumps({"inputs": ["x"]}).encode()

        def ask() -> None:
            answers.append(pets.server.asks("POST", "/v1/models/pets/predict", body, content_type="application/json"))

        client = threading.Thread(target=ask)
        client.start()
        while not pets.server.server.server_state.tasks:
            time.sleep(0.005)
        pets.server.server.should_exit = True
        client.join()
        assert answers[0].status == 503
        assert time.monotonic() - began < 2.4
        idle.close()


@pytest.mark.slow  # starts an interpreter
def test_a_process_is_asked_to_stop_while_it_answers(pictures: api.Run, tmp_path: Path) -> None:
    call = [sys.executable, "-c", "from pervade.cli import run; run()", "serve", str(pictures.path), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(call, env=environment, cwd=tmp_path, **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        address, _, token = process.stdout.readline().strip().partition("#token=")
        port = int(address.rstrip("/").rpartition(":")[2])
        assert len(token) >= 40
        server = Listening(port, None, None)  # type: ignore[arg-type]
        until = time.monotonic() + 20
        while server.asks(path="/readyz").status != 200 and time.monotonic() < until:
            time.sleep(0.05)
        assert server.asks("POST", "/admin/reload", authorization=f"Bearer {token}").status == 200
        idle = server.connected()
        body = json.dumps({"inputs": [{"base64": ""}]}).encode()
        head = f"POST /v1/models/{pictures.path.name}/predict HTTP/1.1\r\nHost: localhost\r\n"
        with server.connected() as client:
            client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            client.sendall(body)
            assert Answer.of(everything(client)).status == 422  # an answer, and the connection is closed behind it
        assert process.wait(10) == 0
        idle.close()
        told = process.stderr.read()
        assert "Traceback" not in told and token not in told
        assert "POST /v1/models/{run}/predict 422" in told
