"""What is asked over HTTP is answered as `pervade predict --json` answers it."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from pervade import api
from pervade.core.terminal import json_text
from pervade.run import serving
from tests.serve.served import server


@pytest.fixture
def of_pictures(pictures: api.Run) -> Iterator[httpx.Client]:
    with server(serving.opened(str(pictures.path), Path())) as (client, _):
        yield client


@pytest.fixture
def of_texts(promised: api.Run) -> Iterator[httpx.Client]:
    with server(serving.opened(str(promised.path), Path())) as (client, _):
        yield client


def printed(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As they come out of `predict --json`."""
    return [json.loads(json_text(answer)) for answer in answers]


def picture(value: int) -> bytes:
    held = io.BytesIO()
    Image.fromarray(np.full((20, 24, 3), value, np.uint8)).save(held, "PNG")
    return held.getvalue()


def test_pictures_as_files(of_pictures: httpx.Client, pictures: api.Run, shapes: Path) -> None:
    files = sorted(shapes.rglob("*.png"))[:9]
    sent = [("file", (path.name, path.read_bytes())) for path in files]
    told = of_pictures.post("/v1/models/shapes/predict", files=sent, data={"top": "1"}).json()
    known = printed(pictures.predict(files, top=1))
    assert told["answers"] == [{**answer, "input": path.name} for answer, path in zip(known, files, strict=True)]
    assert told["checkpoint"] == "best" and len(told["version"]) == 12
    held = [{"base64": base64.b64encode(path.read_bytes()).decode(), "name": path.name} for path in files]
    assert of_pictures.post("/v1/models/shapes/predict", json={"inputs": held, "top": 1}).json() == told


def test_texts_with_what_is_promised_of_them(of_texts: httpx.Client, promised: api.Run) -> None:
    asked = [
        "so fine",
        "so dull and bland",
        "the plot",
        "a film that goes on and on and on and on and on, but was very warm",
    ]
    told = of_texts.post("/v1/models/reviews/predict", json={"inputs": asked}).json()["answers"]
    assert told == printed(promised.predict(asked))
    assert all({"set", "coverage"} <= answer.keys() for answer in told) and told[3]["input"].startswith("text 4: ")
    form = [("input", (None, text)) for text in asked]
    assert of_texts.post("/v1/models/reviews/predict", files=form).json()["answers"] == told


def test_a_text_is_one_even_where_a_file_is_called_so(
    of_texts: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lovely.txt").write_text("dull, dull, awful")
    (tmp_path / "lovely").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = ["lovely.txt", "lovely", str(tmp_path / "lovely.txt"), "file:///etc/passwd", "/etc/passwd", "more.csv"]
    told = of_texts.post("/v1/models/reviews/predict", json={"inputs": asked}).json()["answers"]
    assert [told[place]["input"] for place in (0, 1, 3, 4, 5)] == [asked[place] for place in (0, 1, 3, 4, 5)]
    assert all(answer["error"] is None for answer in told)
    assert told[0]["top"][0]["label"] == told[1]["top"][0]["label"] == "good"


@pytest.mark.parametrize("given", ["cat.png", {"path": "cat.png"}, {"base64": "cat.png"}, {"input": "cat.png"}, 3])
def test_no_path_is_opened(of_pictures: httpx.Client, given: object, shapes: Path, monkeypatch) -> None:
    monkeypatch.chdir(shapes / "left")
    os.link(shapes / "left" / "00.png", shapes / "left" / "cat.png")
    try:
        told = of_pictures.post("/v1/models/shapes/predict", json={"inputs": [given]})
    finally:
        (shapes / "left" / "cat.png").unlink()
    assert told.status_code == 422 and told.headers["content-type"] == "application/problem+json"
    assert told.json()["detail"].startswith("inputs[0]")


def test_what_cannot_be_used_is_named(of_pictures: httpx.Client, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sent = [("file", ("../../a.png", b"no picture")), ("file", ("same.png", picture(9)))]
    sent += [("file", ("same.png", picture(200))), ("file", ("empty.png", b""))]
    told = of_pictures.post("/v1/models/shapes/predict", files=sent)
    answers = told.json()["answers"]
    assert [answer["input"] for answer in answers] == ["../../a.png", "same.png", "same.png", "empty.png"]
    assert [answer["error"] is None for answer in answers] == [False, True, True, False]
    assert answers[0]["top"] is None and "(0 bytes)" in answers[3]["error"]
    none = of_pictures.post("/v1/models/shapes/predict", files=sent[:1])
    assert none.status_code == 422 and none.json()["detail"].startswith("../../a.png: ")
    assert str(tmp_path) not in told.text + none.text
    assert not list(tmp_path.iterdir())


def test_everyone_is_answered_as_predict_answers_each_alone(pictures: api.Run, shapes: Path) -> None:
    files = sorted(shapes.rglob("*.png"))[:24]
    known = {path.name: printed(pictures.predict([path]))[0] for path in files}
    last = serving.opened(str(pictures.path), Path(), "last", name="latest")
    with server(serving.opened(str(pictures.path), Path()), last, max_wait=0.05) as (client, shelf):

        def ask(path: Path) -> dict[str, Any]:
            sent = {"file": (path.name, path.read_bytes())}
            return client.post("/v1/models/shapes/predict", files=sent).json()["answers"][0]

        with ThreadPoolExecutor(8) as pool:
            told = list(pool.map(ask, files))
        assert told == [{**known[path.name], "input": path.name} for path in files]
        figures = client.get("/metrics").text
        together = float(re.findall(r'pervade_batch_inputs_count\{model="shapes"\} (\S+)', figures)[0])
        assert together < len(files)
        assert [about.checkpoint for about in shelf.abouts()] == ["best", "last"]
        sent = {"file": ("a.png", files[0].read_bytes())}
        (of_last,) = printed(pictures.predict([files[0]], checkpoint="last"))
        assert client.post("/v1/models/latest/predict", files=sent).json()["answers"] == [{**of_last, "input": "a.png"}]


def test_what_cannot_be_used_has_the_keys_of_its_own_request(of_texts: httpx.Client) -> None:
    asked = [["so fine"], ["  "], ["so dull", ""]]
    alone = [of_texts.post("/v1/models/reviews/predict", json={"inputs": inputs}).text for inputs in asked]
    assert '"detail"' in alone[1] and '"set": null' in alone[2]
