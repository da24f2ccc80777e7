"""`pervade serve` on the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from pervade import api
from pervade.core.errors import ConfigError
from pervade.core.terminal import json_text
from pervade.run import exported, serving
from pervade.serve.reloading import Source
from pervade.serve.settings import Settings
from tests.serve.served import Counting

LENGTHS = Source(Counting, lambda: None)
COMMAND = (sys.executable, "-c", "from pervade.cli import run; run()")


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two models are called 'lengths'"):
        serving.serve([LENGTHS, LENGTHS], Settings(port=0), print)


@pytest.mark.parametrize(
    ("graph", "name"),
    [("photos/export/onnx", "photos"), ("photos/export/onnx-int8", "photos"), ("model", "model"), ("a/b/c", "c")],
)
def test_a_graph_is_called_as_its_run_or_its_folder(tmp_path: Path, graph: str, name: str) -> None:
    assert exported.name_of(tmp_path / graph / "model.onnx") == name


MISSING = """
import sys
import importlib.util
missing, known = ("fastapi", "prometheus_client", "uvicorn"), importlib.util.find_spec
sys.modules.update(dict.fromkeys(missing))
importlib.util.find_spec = lambda name, *more: None if name in missing else known(name, *more)
from pervade.cli import run
run()
"""


@pytest.mark.parametrize("verb", ["serve", "ui"])
def test_packages_that_are_missing_are_said(verb: str, tmp_path: Path) -> None:
    """Before anything imports them, so in a process of its own."""
    asked = [sys.executable, "-c", MISSING, verb, str(tmp_path)]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    assert told.returncode != 0
    assert "not installed: fastapi, prometheus_client, uvicorn; pip install 'pervade[serve]'" in told.stderr


def test_an_address_that_is_taken_is_said() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ConfigError, match=r"127.0.0.1 port \d+ cannot be listened on .*; take another"),
    ):
        taken = other.getsockname()[1]
        serving.serve([LENGTHS], Settings(host="127.0.0.1", port=taken), print)


def test_elsewhere_it_is_not_reached_without_tokens_and_tls(tmp_path: Path) -> None:
    """Before anything is opened."""
    tokens = tmp_path / "tokens"
    for fields, words in (
        ({}, "--token-file"),
        ({"token_file": tokens}, "--tls-cert and --tls-key, or --behind-tls"),
        ({"token_file": tokens, "behind_tls": True}, "is no file"),
    ):
        with pytest.raises(ConfigError, match=words):
            serving.serve([], Settings(host="0.0.0.0", port=0, **fields), print)


@pytest.mark.slow  # an interpreter that imports torch
def test_it_answers_as_predict_and_stops_when_asked_to(pictures: api.Run, shapes: Path) -> None:
    file = next(iter(sorted(shapes.rglob("*.png"))))
    command = (*COMMAND, "serve", str(pictures.path), "--port", "0", "--stop-within", "5s")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().strip()
        match = re.fullmatch(r"(http://127\.0\.0\.1:\d+/)#token=[\w-]{43}", address)
        assert match, process.stderr.read()
        address = match[1]
        told: list[httpx.Response] = []

        def ask() -> None:
            sent = [("file", (str(file), file.read_bytes()))] * 50
            told.append(httpx.post(f"{address}v1/models/shapes/predict", files=sent, timeout=30))

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()
    known = json.loads(json_text(pictures.predict([file])[0]))
    assert told[0].json()["answers"] == [known] * 50
