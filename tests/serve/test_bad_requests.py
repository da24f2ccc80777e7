"""What hostile and unlucky clients send to a real run behind its guard: each gets one sentence, and the next is
answered as if nothing had been."""

from __future__ import annotations

import base64
import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pervade import api
from pervade.run import serving
from tests.cli.test_full_disk import file_limit, save_again
from tests.serve import served
from tests.serve.listening import ADMIN, Answer, Listening
from tests.serve.test_limits import bomb

PREDICT = "/v1/models/shapes/predict"


@contextmanager
def serving_run(run: Path, **fields: Any) -> Iterator[Listening]:
    source = serving.source(str(run), Path())
    with served.serving(source.open(), sources={"shapes": source}, **fields) as (server, _):
        yield server


@pytest.fixture(scope="module")
def shapes_served(pictures: api.Run) -> Iterator[Listening]:
    with serving_run(pictures.path, max_body=3_000_000, max_pixels=1_000_000) as server:
        yield server


@pytest.fixture
def server(shapes_served: Listening) -> Iterator[Listening]:
    """After each test a good request is answered as before it."""
    before = good(shapes_served)
    yield shapes_served
    assert good(shapes_served) == before
    assert shapes_served.guard.held == 0


def picture(side: int = 20) -> bytes:
    held = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)).save(held, "PNG")
    return held.getvalue()


def good(server: Listening) -> dict[str, Any]:
    answer = upload(server, picture())
    assert answer.status == 200, answer
    return json.loads(answer.body)


def form(content: bytes, name: str = "a.png") -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + b"\r\n--x--\r\n"


def upload(server: Listening, content: bytes, name: str = "a.png") -> Answer:
    return server.asks("POST", PREDICT, form(content, name), content_type="multipart/form-data; boundary=x")


def asks(server: Listening, inputs: Any, path: str = PREDICT) -> Answer:
    return server.asks("POST", path, json.dumps({"inputs": inputs}).encode(), content_type="application/json")


def refusal(answer: Answer, status: int, *words: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.body)
    assert told["status"] == status
    assert "\n" not in told["detail"] and "Traceback" not in told["detail"] and "/tmp" not in told["detail"]
    for word in words:
        assert word in told["detail"]


@pytest.mark.parametrize("side", [2_000, 30_000, 2_000_000_000])
def test_a_decompression_bomb(server: Listening, side: int) -> None:
    refusal(upload(server, bomb(side, side)), 413, "1,000,000", "smaller")
    refusal(asks(server, [{"base64": base64.b64encode(bomb(side, side)).decode()}]), 413)


@pytest.mark.parametrize("content", [b"", b"no picture", picture()[:60], b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_pictures_that_are_none(server: Listening, content: bytes) -> None:
    refusal(upload(server, content), 422)


@pytest.mark.parametrize(
    "name", ["../../../etc/cron.d/x", "/etc/passwd", "a\x00b.png", "x" * 5000 + ".png", "C:\\x.png", ""]
)
def test_names_of_files_are_shown_and_nothing_else(server: Listening, name: str) -> None:
    answer = upload(server, picture(), name)
    assert answer.status in (200, 400, 422), answer
    if answer.status == 200:
        assert len(json.loads(answer.body)["answers"][0]["input"]) <= 255


@pytest.mark.parametrize(
    "given", ["/etc/passwd", "file:///etc/passwd", "http://localhost:1/x.png", {"path": "/etc/passwd"}]
)
def test_no_path_and_no_address_is_opened(server: Listening, given: Any) -> None:
    refusal(asks(server, [given]), 422)


# Of a form that is cut off Starlette leaves the file to the garbage collector, which removes it at once.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "body", [b"", b"--x", b"--x\r\n\r\n", b"--x--", form(picture())[:-30], b"\0" * 3000, b"--x\r\nA" + b"b" * 90_000]
)
def test_malformed_multipart(server: Listening, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer = server.asks("POST", PREDICT, body, content_type="multipart/form-data; boundary=x")
    assert answer.status in (400, 422)
    refusal(answer, answer.status)
    assert caplog.records == []  # in which the form would be


def test_a_form_of_very_many_parts(server: Listening) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    answer = server.asks("POST", PREDICT, part * 50_000 + b"--x--\r\n", content_type="multipart/form-data; boundary=x")
    refusal(answer, answer.status)
    assert answer.status in (400, 413)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100_000,
        b'{"inputs": [1e999]}',
        b'{"inputs": [' + b"9" * 6000 + b"]}",
        b"\xff\xfe",
        b'{"inputs": [NaN]}',
    ],
)
def test_malformed_json(server: Listening, body: bytes) -> None:
    answer = server.asks("POST", PREDICT, body, content_type="application/json")
    assert answer.status in (400, 422)
    refusal(answer, answer.status)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "image/png", "", "application/x-www-form-urlencoded"]
)
def test_a_wrong_content_type(server: Listening, kind: str) -> None:
    refusal(server.asks("POST", PREDICT, b'{"inputs": ["a"]}', content_type=kind), 415, "application/json")


@pytest.mark.parametrize(
    "name", ["shape", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%00", "x" * 3000, "shapes/../shapes"]
)
def test_unknown_models_and_ways_up(server: Listening, name: str) -> None:
    answer = asks(server, ["a"], f"/v1/models/{name}/predict")
    assert answer.status in (400, 404)
    refusal(answer, answer.status)


def test_uploads_of_a_full_disk(server: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not stay in memory while it is uploaded, and what the model reads it from."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    large = picture(700)
    assert len(large) > 2**20
    with file_limit(4096):
        refusal(upload(server, large), 507, "disk")
        held = base64.b64encode(large).decode()
        refusal(asks(server, [{"base64": held}]), 507, "disk")
    assert upload(server, large).status == 200
    assert list(tmp_path.iterdir()) == []


def test_clients_that_vanish_free_their_places() -> None:
    lengths = served.Counting(seconds=0.3)
    with served.serving(lengths, max_queue=4, max_inputs=4, max_batch=1) as (server, _):
        body = json.dumps({"inputs": ["a"]}).encode()
        head = f"POST /v1/models/lengths/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        clients = [server.connected() for _ in range(4)]
        for client in clients:
            client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        until = time.monotonic() + 5
        while len(server.server.server_state.tasks) < 4 and time.monotonic() < until:
            time.sleep(0.005)
        for client in clients:
            client.close()
        while server.server.server_state.tasks and time.monotonic() < until:
            time.sleep(0.005)
        assert asks(server, ["bcd"], "/v1/models/lengths/predict").status == 200
        assert len(lengths.batches) < 4  # nobody computed what nobody waits for
        assert [seen.status for seen in server.seen] == [499] * 4 + [200]


# A run that changes under the server


@pytest.fixture
def copied(pictures: api.Run, tmp_path: Path) -> Path:
    return shutil.copytree(pictures.path, tmp_path / "shapes")


def reload(server: Listening) -> Answer:
    return server.asks("POST", "/admin/reload", authorization=f"Bearer {ADMIN}")


def test_a_run_that_is_deleted_under_the_server(copied: Path) -> None:
    with serving_run(copied) as server:
        before = good(server)
        shutil.rmtree(copied)
        assert good(server) == before
        answer = reload(server)
        assert (answer.status, json.loads(answer.body)["code"]) == (409, "not_reloaded")
        assert good(server) == before


def test_a_checkpoint_that_changed_and_one_that_does_not_load(copied: Path) -> None:
    with serving_run(copied) as server:
        before = good(server)
        save_again(copied)
        (outcome,) = json.loads(reload(server).body)
        assert (outcome["outcome"], outcome["before"]) == ("changed", before["version"])
        after = good(server)
        assert after["version"] == outcome["version"] != before["version"]
        weights = copied / "checkpoints" / "best" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-100])
        assert reload(server).status == 409
        assert good(server) == after
