"""The Open Inference Protocol as its clients speak it (tritonclient), and what does not speak it."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from PIL import Image

from pervade import api
from pervade.run import exported, serving
from pervade.serve import tensors
from pervade.serve.faults import Fault
from tests.serve.graphs import graph as graph
from tests.serve.served import server

Both = tuple[triton.InferenceServerClient, httpx.Client]


def speaking(client: httpx.Client) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(f"{client.base_url.host}:{client.base_url.port}")


@pytest.fixture(scope="module")
def clients(pictures: api.Run, promised: api.Run, graph: Path) -> Iterator[Both]:
    opened = [serving.opened(str(run.path), Path()) for run in (pictures, promised)]
    with server(*opened, serving.opened(str(graph), Path(), name="graph")) as (plain, _):
        client = speaking(plain)
        yield client, plain
        client.close()


def held(name: str, array: np.ndarray, datatype: str = "BYTES", binary: bool = True) -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_the_server_and_its_models(clients: Both) -> None:
    client, _ = clients
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for name in ("shapes", "reviews", "graph"):
        assert client.is_model_ready(name)
        told = client.get_model_metadata(name)
        assert client.get_model_metadata(name, told["versions"][0]) == told
    assert client.get_model_metadata("reviews")["inputs"] == [{"name": "input", "datatype": "BYTES", "shape": [-1]}]
    told = client.get_model_metadata("graph")
    assert told["inputs"] == [{"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert told["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}
    assert not client.is_model_ready("nothing")


@pytest.mark.parametrize("binary", [True, False])
def test_texts_are_answered_as_predict_answers(clients: Both, promised: api.Run, binary: bool) -> None:
    client, _ = clients
    asked = ["so fine", "so dull and bland", "čau 你好"]
    given = held("input", np.array([text.encode() for text in asked], object), binary=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probability", "answer", "label")]
    told = client.infer("reviews", [given], outputs=wanted, request_id="17", parameters={"top": 2})
    known = promised.predict(asked, top=2)
    assert told.get_response()["id"] == "17"
    assert [json.loads(one) for one in told.as_numpy("answer")] == known
    shares = [[one["probability"] for one in answer["top"]] for answer in known]
    assert told.as_numpy("probability").tolist() == shares
    label = told.as_numpy("label")[0, 0]
    assert (label.decode() if binary else label) == known[0]["top"][0]["label"]


def test_pictures_as_files(clients: Both, pictures: api.Run, shapes: Path) -> None:
    """As they are, or in JSON as base64; without a word about outputs all of them come as binary data."""
    client, plain = clients
    files = sorted(shapes.rglob("*.png"))[:3]
    told = client.infer("shapes", [held("input", np.array([path.read_bytes() for path in files], object))])
    known = [answer["top"] for answer in pictures.predict(files)]
    assert [json.loads(one)["top"] for one in told.as_numpy("answer")] == known
    data = [base64.b64encode(path.read_bytes()).decode() for path in files]
    body = {"inputs": [{"name": "input", "shape": [3, 1], "datatype": "BYTES", "data": data}]}
    answer = plain.post("/v2/models/shapes/infer", json=body).json()
    by_name = {one["name"]: one for one in answer["outputs"]}
    assert [json.loads(one)["top"] for one in by_name["answer"]["data"]] == known
    assert by_name["probability"]["shape"] == [3, 2]


@pytest.mark.parametrize("binary", [True, False])
def test_a_graph_takes_its_own_tensors(clients: Both, graph: Path, shapes: Path, binary: bool) -> None:
    client, _ = clients
    file = sorted(shapes.rglob("*.png"))[0]
    pixels = np.asarray(Image.open(file).convert("RGB"))[None]
    wanted = exported.opened(str(graph)).computed({"pixels": pixels})
    told = client.infer("graph", [held("pixels", pixels, "UINT8", binary)])
    assert told.as_numpy("probabilities").tolist() == wanted["probabilities"].tolist()
    assert told.as_numpy("prediction").tolist() == wanted["prediction"].tolist()
    by_file = client.infer("graph", [held("input", np.array([file.read_bytes()], object))])
    assert by_file.as_numpy("label").shape == (1, 2)


TENSOR: dict[str, Any] = {"name": "input", "shape": [1], "datatype": "BYTES", "data": ["so fine"]}
BAD: list[tuple[int, Any, str]] = [
    (400, b"{", "the body is no JSON"),
    (400, [], "the body is []"),
    (400, {}, "inputs is null"),
    (400, {"inputs": []}, "at least one tensor"),
    (400, {"inputs": [TENSOR | {"shape": [2]}]}, "1 elements, and its shape is [2]"),
    (400, {"inputs": [TENSOR | {"shape": [-1]}]}, "whole numbers from 0 on"),
    (400, {"inputs": [TENSOR | {"shape": [2**39, 2**39]}]}, "1 elements"),
    (400, {"inputs": [TENSOR | {"datatype": "STRING"}]}, "give one of BYTES"),
    (400, {"inputs": [TENSOR | {"data": [1]}]}, "which is no BYTES"),
    (400, {"inputs": [TENSOR | {"data": [None]}]}, "give texts or numbers"),
    (400, {"inputs": [TENSOR | {"data": [[[[[[[[[["a"]]]]]]]]]]}]}, "fewer axes"),
    (400, {"inputs": [TENSOR | {"datatype": "FP32", "data": [1.5]}]}, "send it as BYTES"),
    (400, {"inputs": [TENSOR | {"datatype": "UINT8", "data": [300]}]}, "a number that UINT8 does not"),
    (400, {"inputs": [TENSOR | {"shape": [0], "data": []}]}, "at least once"),
    (400, {"inputs": [TENSOR, TENSOR]}, "the same name"),
    (400, {"inputs": [TENSOR | {"name": "text"}]}, "reviews takes input"),
    (400, {"inputs": [TENSOR | {"parameters": {"binary_data_size": 9}}]}, "0 bytes are left"),
    (400, {"inputs": [TENSOR], "outputs": [{"name": "logits"}]}, "there is no output 'logits'"),
    (400, {"inputs": [TENSOR], "parameters": {"top": 0}}, "whole number from 1"),
    (413, {"inputs": [TENSOR | {"shape": [300], "data": ["a"] * 300}]}, "300 inputs are too many"),
    (422, {"inputs": [TENSOR | {"data": [""]}]}, "it is empty"),
]


@pytest.mark.parametrize(("status", "body", "words"), BAD)
def test_what_is_refused(clients: Both, status: int, body: Any, words: str) -> None:
    """In the protocol's own shape, in one sentence."""
    _, plain = clients
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = plain.post("/v2/models/reviews/infer", content=content)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}
    assert words in answer.json()["error"]


def test_what_is_refused_of_binary_data(clients: Both) -> None:
    _, plain = clients

    def post(model: str, tensor: dict[str, Any], data: bytes, length: str | None = None) -> str:
        text = json.dumps({"inputs": [tensor]}).encode()
        headers = {"Inference-Header-Content-Length": length or str(len(text))}
        answer = plain.post(f"/v2/models/{model}/infer", content=text + data, headers=headers)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error"])

    texts = {key: TENSOR[key] for key in ("name", "shape", "datatype")}
    assert "write its length before each" in post(
        "reviews", texts | {"parameters": {"binary_data_size": 6}}, struct.pack("<I", 9) + b"so"
    )
    assert "0 elements" in post("reviews", texts | {"parameters": {"binary_data_size": 0}}, b"")
    assert "3 bytes stand behind" in post("reviews", TENSOR, b"abc")
    assert "give the number of bytes" in post("reviews", TENSOR, b"", "-1")
    assert "send all of it" in post("reviews", TENSOR, b"", "99999")
    pixels = {"name": "pixels", "shape": [1, 2, 2, 3], "datatype": "UINT8"}
    assert "are 12" in post("graph", pixels | {"parameters": {"binary_data_size": 11}}, bytes(11))
    floats = pixels | {"datatype": "FP32", "parameters": {"binary_data_size": 48}}
    assert "this model takes UINT8" in post("graph", floats, bytes(48))
    flat = pixels | {"shape": [12], "parameters": {"binary_data_size": 12}}
    assert "has the shape [12]" in post("graph", flat, bytes(12))


def test_other_versions_and_models(clients: Both) -> None:
    client, plain = clients
    for path in ("/v2/models/nothing", "/v2/models/reviews/versions/7", "/v2/models/reviews/versions/7/ready"):
        answer = plain.get(path)
        assert answer.status_code == 404
        assert answer.json().keys() == {"error"}
    with pytest.raises(triton.InferenceServerException, match="there is no model 'review' here; did you mean"):
        client.get_model_metadata("review")
    packed = plain.post("/v2/models/reviews/infer", content=b"", headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415


def test_tensors_come_back_as_they_were() -> None:
    """Every type, in both ways of writing."""
    asked = tensors.Request(None, {}, (), None)
    behind = tensors.Request("a", {"binary_data_output": True}, (), None)
    for datatype, name in tensors.TYPES.items():
        array = np.array([[0, 1], [1, 0]], name)
        for request in (asked, behind):
            body, headers = tensors.write({}, [tensors.Tensor("x", array)], request)
            length = headers.get("inference-header-content-length")
            text = body if length is None else body[: int(length)]
            again = json.dumps({"inputs": json.loads(text)["outputs"]}).encode() + body[len(text) :]
            size = None if length is None else str(len(again) - len(body) + len(text))
            (read,) = tensors.read(again, size).inputs
            assert read.datatype == datatype
            assert read.array.tolist() == array.tolist()
    with pytest.raises(Fault, match="no number"):
        tensors.write({}, [tensors.Tensor("x", np.array([np.inf]))], asked)


def test_the_example_of_the_page(promised: api.Run, capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "serving.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    with server(serving.opened(str(promised.path), Path(), name="reviews-ladder")) as (plain, _):
        told: dict[str, Any] = {}
        exec(example.replace("127.0.0.1:8000", f"127.0.0.1:{plain.base_url.port}"), told)
        told["client"].close()
    labels = [[one["label"] for one in answer["top"]] for answer in promised.predict(["so much fun", "so dull"])]
    assert (
        capsys.readouterr().out.split() == str(np.array([[label.encode() for label in row] for row in labels])).split()
    )
