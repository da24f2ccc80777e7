"""What cannot be understood is refused with one sentence, and what the server says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.serve.served import Counting, server

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with server(Counting(), max_inputs=4, max_body=5000) as (client, _):
        yield client


@pytest.mark.parametrize(
    ("status", "words", "sent"),
    [
        (400, "the body is no JSON (line 1, column 12: Expecting value)", {"content": b'{"inputs": ', "headers": JSON}),
        (400, "the body is not UTF-8", {"content": b'{"inputs": ["\xff"]}', "headers": JSON}),
        (400, "lie more than", {"content": b"[" * 2000 + b"]" * 2000, "headers": JSON}),
        (400, "NaN", {"content": b'{"inputs": ["a"], "top": NaN}', "headers": JSON}),
        (
            400,
            "the form cannot be read",
            {"content": b"--x\r\nnothing", "headers": {"content-type": "multipart/form-data"}},
        ),
        (413, "5 inputs are too many", {"json": {"inputs": ["a"] * 5}}),
        (
            415,
            "content type 'text/plain' is not read here",
            {"content": b"a", "headers": {"content-type": "text/plain"}},
        ),
        (415, "content type '' is not read here", {"content": b"a"}),
        (422, "the body is no object", {"json": ["a"]}),
        (422, "inputs is no list", {"json": {}}),
        (422, "inputs is no list", {"json": {"inputs": "a"}}),
        (422, "inputs is no list", {"json": {"inputs": []}}),
        (422, "'input' is no field of a request", {"json": {"input": ["a"], "inputs": ["a"]}}),
        (422, "top is '0'", {"json": {"inputs": ["a"], "top": 0}}),
        (422, "top is 'True'", {"json": {"inputs": ["a"], "top": True}}),
        (422, "inputs[1] is no text", {"json": {"inputs": ["a", None]}}),
        (422, "inputs[0]: 'b' is no field; lengths takes input (text)", {"json": {"inputs": [{"b": "a"}]}}),
        (422, "half a character", {"content": b'{"inputs": ["\\ud800"]}', "headers": JSON}),
        (422, "nothing is asked", {"files": [("top", (None, "3"))]}),
        (422, "top is 'x'", {"files": [("top", (None, "x")), ("input", (None, "a"))]}),
    ],
)
def test_bad_requests(client: httpx.Client, status: int, words: str, sent: dict[str, Any]) -> None:
    told = client.post("/v1/models/lengths/predict", **sent)
    assert told.status_code == status, told.text
    assert told.headers["content-type"] == "application/problem+json"
    assert words in told.json()["detail"] and told.json()["status"] == status


def test_unknown_models_and_addresses(client: httpx.Client) -> None:
    told = client.post("/v1/models/length/predict", json={"inputs": ["a"]})
    assert told.status_code == 404
    assert told.json()["detail"] == "there is no model 'length' here; did you mean 'lengths'?"
    for path in ("/index", "/v1/models/../../etc/passwd", "/v1/models/lengths/../../../etc/passwd", "/static/%2e%2e/x"):
        assert client.get(path).status_code in (400, 404), path
    assert client.get("/v1/models/lengths/predict").status_code == 405


def test_a_fault_of_the_server_is_told_as_such(client: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    told = client.post("/v1/models/lengths/predict", json={"inputs": ["raise"]})
    assert told.status_code == 500 and told.json()["detail"].startswith("this is a fault of the server")
    said = capsys.readouterr().err
    assert "ValueError at " in said and "one of" not in said
    assert client.post("/v1/models/lengths/predict", json={"inputs": ["a"]}).status_code == 200


def test_what_the_server_says_of_itself(client: httpx.Client) -> None:
    client.post("/v1/models/lengths/predict", json={"inputs": ["a", "b"]})
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    figures = client.get("/metrics").text
    assert 'pervade_model_info{checkpoint="best",model="lengths",version="1"} 1.0' in figures
    assert 'pervade_requests_total{method="POST",route="/v1/models/{run}/predict",status="200"}' in figures
    assert 'pervade_waiting_inputs{model="lengths"} 0.0' in figures
    page = client.get("/docs").text
    assert "<script" not in page and "http:" not in page and "https:" not in page
    assert "/v1/models/{run}/predict" in page and "lengths" in page
    about = client.get("/openapi.json").json()
    assert {"/v1/models/{run}/predict", "/healthz", "/readyz", "/metrics"} <= about["paths"].keys()
