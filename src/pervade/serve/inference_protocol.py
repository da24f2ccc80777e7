"""The Open Inference Protocol v2 over HTTP, which clients of Triton, KServe, OpenVINO's server and others speak
(tensors.py). A model is asked in one of two ways:

    BYTES [n], one tensor a field    texts, and files as they are (in JSON as base64): what `predict` is asked, answered
                                     by "answer" BYTES [n], the JSON that `predict --json` prints, and, of a model that
                                     sorts into classes, "label" BYTES and "probability" FP64 [n, top], likeliest first
    the tensors of its signature     of an exported graph alone: numbers in, numbers out
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from pervade import __version__
from pervade.core.contracts import TensorSpec
from pervade.serve import asking, tensors
from pervade.serve.answered import REASONS, Server, unless_gone
from pervade.serve.batching import Answer
from pervade.serve.faults import Fault
from pervade.serve.served import About, Field, Given, Served, TakesTensors
from pervade.serve.settings import Settings
from pervade.serve.shelf import Place
from pervade.serve.tensors import Tensor, bad

Answering: TypeAlias = Callable[..., Awaitable[Response]]
Decorator: TypeAlias = Callable[[Answering], Answering]

ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": why, "content": {"application/json": {"schema": ERROR}}} for status, why in REASONS.items()
}
MODEL, VERSION = "/v2/models/{run}", "/v2/models/{run}/versions/{version}"
ANYTHING: dict[str, Any] = {"type": "object"}


def routes(server: Server) -> APIRouter:
    router = APIRouter(tags=["Open Inference Protocol v2"])

    def get(path: str, summary: str, operation: str) -> Decorator:
        told: dict[str, Any] = {
            "description": "As the protocol has it.",
            "content": {"application/json": {"schema": ANYTHING}},
        }
        errors: dict[int | str, dict[str, Any]] = {503: ERRORS[503]}
        errors |= {404: ERRORS[404]} if "{run}" in path else {}
        return router.get(
            path, summary=summary, operation_id=operation, response_class=Response, responses={200: told, **errors}
        )

    @get("/v2", "What the server is", "v2_server")
    async def server_metadata() -> Response:
        return _json({"name": "pervade", "version": __version__, "extensions": ["binary_tensor_data"]})

    @get("/v2/health/live", "Whether the process answers", "v2_live")
    async def live() -> Response:
        return _json({"live": True})

    @get("/v2/health/ready", "Whether all models can be asked", "v2_ready")
    async def ready() -> Response:
        _require_ready(server)
        return _json({"ready": True})

    @get(f"{MODEL}/ready", "Whether a model can be asked", "v2_model_ready")
    async def model_ready(run: str) -> Response:
        return _model_ready(server, run)

    @get(f"{VERSION}/ready", "Whether a version of a model can be asked", "v2_version_ready")
    async def version_ready(run: str, version: str) -> Response:
        return _model_ready(server, run, version)

    @get(MODEL, "What a model takes and gives", "v2_model_metadata")
    async def model_metadata(run: str) -> Response:
        with server.shelf.taken(run) as place:
            return _json(metadata(place.served))

    @get(VERSION, "What a version of a model takes and gives", "v2_version_metadata")
    async def version_metadata(run: str, version: str) -> Response:
        with server.shelf.taken(run, version) as place:
            return _json(metadata(place.served))

    def post(path: str, operation: str) -> Decorator:
        answer = {"application/json": {"schema": ANYTHING}, "application/octet-stream": {}}
        told: dict[int | str, dict[str, Any]] = {200: {"description": "The outputs.", "content": answer}}
        return router.post(
            path,
            summary="Ask a model by tensors",
            operation_id=operation,
            response_class=Response,
            responses=told | ERRORS,
            openapi_extra=described(),
        )

    @post(f"{MODEL}/infer", "v2_infer")
    async def infer(run: str, request: Request) -> Response:
        return await _infer(server, request, run)

    @post(f"{VERSION}/infer", "v2_version_infer")
    async def version_infer(run: str, version: str, request: Request) -> Response:
        return await _infer(server, request, run, version)

    return router


def _json(told: Mapping[str, Any]) -> Response:
    return Response(json.dumps(told, ensure_ascii=False), media_type="application/json")


def _require_ready(server: Server) -> None:
    if not server.shelf.ready:
        raise Fault(503, "the server stops, and takes nothing new; ask another one", "stopping")


def _model_ready(server: Server, run: str, version: str | None = None) -> Response:
    with server.shelf.taken(run, version) as place:
        _require_ready(server)
        return _json({"name": place.served.about.name, "ready": True})


def metadata(served: Served) -> dict[str, Any]:
    """Of a graph its own tensors; it takes and gives those of every model, too."""
    about = served.about
    inputs = [_described(field.name, "BYTES", [-1]) for field in about.takes]
    outputs = [_described("answer", "BYTES", [-1])]
    if _classifies(about):
        outputs += [_described("label", "BYTES", [-1, -1]), _described("probability", "FP64", [-1, -1])]
    platform = "pervade"
    if isinstance(served, TakesTensors):
        inputs, outputs = ([_of_spec(spec) for spec in specs] for specs in (served.takes, served.gives))
        platform = "onnx_onnxv1"
    told = {"name": about.name, "versions": [about.version], "platform": platform}
    return {**told, "inputs": inputs, "outputs": outputs}


def _described(name: str, datatype: str, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


def _of_spec(spec: TensorSpec) -> dict[str, Any]:
    shape = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
    return _described(spec.name, tensors.NAMES[spec.type], shape)


def _classifies(about: About) -> bool:
    return bool(about.labels) and about.task.endswith("classification")


async def _infer(server: Server, request: Request, run: str, version: str | None = None) -> Response:
    with server.shelf.taken(run, version) as place:
        if encoding := request.headers.get("content-encoding"):
            raise Fault(415, f"content encoding {encoding[:40]!r} is not read here; send the body as it is")
        length, body = request.headers.get("inference-header-content-length"), await request.body()
        asked = await asyncio.to_thread(tensors.read, body, length)
        made = await unless_gone(request, _answered(place, asked, server.settings))
        about = {"model_name": place.served.about.name, "model_version": place.served.about.version}
        content, headers = await asyncio.to_thread(tensors.write, about, made, asked)
        return Response(content, headers=headers)


async def _answered(place: Place, asked: tensors.Request, settings: Settings) -> list[Tensor]:
    served, about = place.served, place.served.about
    names = {tensor.name for tensor in asked.inputs}
    if len(names) < len(asked.inputs):
        raise bad("two inputs have the same name; give each once")
    if isinstance(served, TakesTensors) and names == {spec.name for spec in served.takes}:
        feeds = _feeds(asked.inputs, served.takes, settings)
        (answer,) = _without_fault(await place.batching.answers([Given("tensors", feeds)], asking.TOP))
        return [Tensor(name, array) for name, array in answer["outputs"].items()]
    if names != (fields := {field.name for field in about.takes}):
        ways = [", ".join(sorted(fields))]
        ways += [", ".join(spec.name for spec in served.takes)] if isinstance(served, TakesTensors) else []
        there = ", ".join(sorted(names))
        raise bad(f"the inputs are {there[:80]!r}; {about.name} takes {' or '.join(ways)}")
    top = asked.parameters.get("top", asking.TOP)
    if type(top) is not int or not 1 <= top <= asking.MOST_TOP:
        raise bad(f"the parameter top is {str(top)[:40]!r}; give a whole number from 1 to {asking.MOST_TOP:,}")
    given = _given(asked.inputs, about, settings)
    return outputs(_without_fault(await place.batching.answers(given, top)), _classifies(about))


def _without_fault(answers: Sequence[Answer]) -> Sequence[Answer]:
    """Raises Fault where an input has no answer: a tensor has one for each."""
    if (fault := next((one for one in answers if one["error"] is not None), None)) is not None:
        raise Fault(422, f"{fault['input']}: {fault['error']}", "input_unusable")
    return answers


def _given(inputs: Sequence[Tensor], about: About, settings: Settings) -> list[Given]:
    """An input for each element; of several fields the tensors must be equally long."""
    (size, *others) = {tensor.array.size for tensor in inputs}
    if others or not size:
        sizes = ", ".join(f"{tensor.name} {list(tensor.array.shape)}" for tensor in inputs)
        raise bad(f"the shapes are {sizes}; give each field as often as the others, and at least once")
    if size > settings.max_inputs:
        raise Fault(413, f"{size:,} inputs are too many, one request may have {settings.max_inputs:,}; send several")
    fields = {field.name: field for field in about.takes}
    columns = {tensor.name: _contents(tensor, fields[tensor.name]) for tensor in inputs}
    numbered = range(1, size + 1)
    made = []
    for number in numbered:
        content = {name: column[number - 1] for name, column in columns.items()}
        name = f"inputs[{number - 1}]" if any(isinstance(value, bytes) for value in content.values()) else ""
        made.append(Given(name, content, number))
    return made


def _contents(tensor: Tensor, field: Field) -> list[Any]:
    if tensor.datatype != "BYTES":
        raise bad(f"{tensor.name} is {tensor.datatype}, and it is to be a {field.kind}; send it as BYTES")
    made: list[Any] = []
    for one in tensor.array.ravel():
        try:
            if field.kind in asking.FILES:
                made.append(one if isinstance(one, bytes) else base64.b64decode(one, validate=True))
                continue
            text = one.decode() if isinstance(one, bytes) else one
            text.encode()
            messages = json.loads(text) if field.kind == "messages" and text.startswith("[") else text
            made.append(messages)
        except binascii.Error:
            raise bad(f"{tensor.name} is a {field.kind}, and in JSON it is to be base64; encode its bytes so") from None
        except (UnicodeError, ValueError, RecursionError):
            raise bad(f"{tensor.name} holds what is no {field.kind} in UTF-8; encode it so") from None
    return made


def _feeds(inputs: Sequence[Tensor], takes: Sequence[TensorSpec], settings: Settings) -> dict[str, np.ndarray]:
    """The tensors as a graph takes them. Raises Fault where type or shape are others, or there are too many rows."""
    by_name, axes = {tensor.name: tensor for tensor in inputs}, dict[str, int]()
    for spec in takes:
        tensor, wanted = by_name[spec.name], tensors.NAMES[spec.type]
        shape = tensor.array.shape
        if tensor.datatype != wanted:
            raise bad(f"{spec.name} is {tensor.datatype}, and this model takes {wanted}: {spec.meaning}")
        fits = len(shape) == len(spec.shape) and 0 not in shape
        for length, axis in zip(shape, spec.shape, strict=False):
            fits &= length == (axes.setdefault(axis, length) if isinstance(axis, str) else axis)
        if not fits:
            raise bad(
                f"{spec.name} has the shape {list(shape)}, and this model takes {list(spec.shape)}: {spec.meaning}"
            )
    if (rows := max(tensor.array.shape[0] for tensor in inputs)) > settings.max_inputs:
        raise Fault(413, f"{rows:,} rows are too many, one request may have {settings.max_inputs:,}; send several")
    return {name: tensor.array for name, tensor in by_name.items()}


def outputs(answers: Sequence[Answer], classifies: bool) -> list[Tensor]:
    """What is answered, as tensors."""
    texts = np.array([json.dumps(answer, ensure_ascii=False) for answer in answers], object)
    made = [Tensor("answer", texts)]
    if classifies:
        width = max(len(answer["top"]) for answer in answers)
        labels, shares = np.full((len(answers), width), "", object), np.zeros((len(answers), width))
        for row, answer in enumerate(answers):
            for place, one in enumerate(answer["top"]):
                labels[row, place], shares[row, place] = one["label"], one["probability"]
        made += [Tensor("label", labels), Tensor("probability", shares)]
    return made


def described() -> dict[str, Any]:
    """The body as OpenAPI has it."""
    shape = {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": tensors.MOST_AXES}
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": shape,
            "datatype": {"enum": ["BYTES", *tensors.TYPES]},
            "parameters": ANYTHING,
            "data": {"type": "array"},
        },
    }
    output = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "parameters": ANYTHING},
    }
    most = {"maxItems": tensors.MOST_TENSORS}
    schema = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "parameters": ANYTHING,
            "inputs": {"type": "array", "items": tensor, "minItems": 1, **most},
            "outputs": {"type": "array", "items": output, **most},
        },
    }
    binary: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    content = {"application/json": {"schema": schema}, "application/octet-stream": binary}
    return {"requestBody": {"required": True, "content": content}}
