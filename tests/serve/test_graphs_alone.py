"""A server of exported graphs, in a process that cannot import torch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

from pervade.run import exported
from tests.serve.graphs import graph as graph

BLOCKED = "import sys; sys.modules['torch'] = None; from pervade import cli; cli.run()"


def test_it_starts_soon_and_answers_as_predict(graph: Path, shapes: Path) -> None:
    file = sorted(shapes.rglob("*.png"))[0]
    (known,) = exported.opened(str(graph)).stream([str(file)], 3, print, encoding=None)
    command = [sys.executable, "-c", BLOCKED, "serve", str(graph), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip().partition("#")[0]
        name = graph.parent.resolve().parent.parent.name
        sent = {"file": (file.name, file.read_bytes())}
        told = httpx.post(f"{address}v1/models/{name}/predict", files=sent).raise_for_status().json()
        assert told["answers"] == [json.loads(json.dumps({**known, "input": file.name}))]
        assert sum(psutil.Process(process.pid).cpu_times()[:2]) < 4  # seconds, however busy the machine is
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
