"""OpenAI's interface: /v1/models, /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/audio/transcriptions."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import struct
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from pervade.serve import asking, faults
from pervade.serve import openai_parameters as parameters
from pervade.serve.answered import Server, encoded, unless_gone
from pervade.serve.faults import Fault
from pervade.serve.openai_parameters import refuse
from pervade.serve.served import About, Given
from pervade.serve.settings import Settings
from pervade.serve.shelf import Place
from pervade.serve.writing import Asked, News, Writing

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "required": ["message", "type"]}},
}
WHY = {
    400: "What is asked cannot be answered.",
    401: "A token is missing or wrong.",
    403: "This is not for who asks, or not for where they ask from.",
    404: "There is no such model.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    421: "The server is not called so.",
    429: "Too many wait already.",
    503: "There was no answer in time, or the server stops.",
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": why, "content": {"application/json": {"schema": ERROR}}} for status, why in WHY.items()
}
TEXT = {"type": "string", "pattern": "^[^\\u0000]*$"}
MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {"role": {"type": "string", "enum": list(parameters.ROLES)}, "content": TEXT},
    "additionalProperties": False,
}
SSE = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
FORMATS = ("json", "text", "verbose_json")
# Of a request about a recording: what is not done, with the values by which it asks for nothing; and what makes no
# difference: the model has its language, and all times that are known are told.
NOT_DONE = {"temperature": ("0", "0.0"), "prompt": ("",), "stream": ("false", "False")}
PASSED_OVER = ("language", "timestamp_granularities")
STARTED = int(time.time())


def routes(server: Server) -> APIRouter:
    router = APIRouter(tags=["openai"])
    settings = server.settings

    @router.get("/v1/models", summary="The models that are served", response_class=Response)
    async def models() -> Response:
        return await encoded({"object": "list", "data": [_model(about) for about in server.shelf.abouts()]})

    @router.get("/v1/models/{run}", summary="One of them", responses=ERRORS, response_class=Response)
    async def model(run: str) -> Response:
        with server.shelf.taken(run) as place:
            return await encoded(_model(place.served.about))

    @router.post(
        "/v1/chat/completions",
        summary="Let a model answer in a conversation",
        responses=ERRORS,
        response_class=Response,
        openapi_extra=_body("messages", {"type": "array", "minItems": 1, "items": MESSAGE}),
    )
    async def chat(request: Request) -> Response:
        there = parameters.fields(await asking.json_body(request), "messages", *parameters.WRITING)
        return await _write(server, request, there, [parameters.messages(there.get("messages"))], True)

    @router.post(
        "/v1/completions",
        summary="Let a model write on from a text",
        responses=ERRORS,
        response_class=Response,
        openapi_extra=_body("prompt", _several(settings)),
    )
    async def completions(request: Request) -> Response:
        there = parameters.fields(await asking.json_body(request), "prompt", *parameters.WRITING)
        return await _write(server, request, there, list(parameters.prompts(there.get("prompt", ""), settings)), False)

    @router.post(
        "/v1/embeddings",
        summary="Embeddings of texts or files",
        responses=ERRORS,
        response_class=Response,
        openapi_extra=_body("input", _several(settings)),
    )
    async def embeddings(request: Request) -> Response:
        there = parameters.fields(await asking.json_body(request), "input", "encoding_format", "dimensions")
        given = there.get("input")
        several = given if isinstance(given, list) else [given]
        if not 0 < len(several) <= settings.max_inputs:
            refuse(f"input holds {len(several):,} inputs; send 1 to {settings.max_inputs:,}", "input")
        kind = there.get("encoding_format", "float")
        if kind not in ("float", "base64"):
            refuse(f"encoding_format is {parameters.short(kind)}; allowed: float, base64", "encoding_format")
        with server.shelf.taken(there["model"]) as place:
            inputs = [_embedded(one, place.served.about, number) for number, one in enumerate(several, start=1)]
            answers = await unless_gone(request, place.batching.answers(inputs, 1))
        return await encoded(_embeddings(answers, there, kind))

    @router.post(
        "/v1/audio/transcriptions",
        summary="What is said in a recording",
        responses=ERRORS,
        response_class=Response,
        openapi_extra=_form(),
    )
    async def transcriptions(request: Request) -> Response:
        name, called, content, kind = await _recording(request, settings.max_body)
        with server.shelf.taken(name) as place:
            about = place.served.about
            if about.task != "automatic-speech-recognition":
                refuse(f"{about.name} does not transcribe recordings; GET /v1/models lists what is served", "model")
            inputs = [Given(called[: asking.LONGEST_NAME], {about.takes[0].name: content})]
            (answer,) = await unless_gone(request, place.batching.answers(inputs, 1))
        if answer["error"] is not None:
            refuse(f"{answer['input']}: {answer['error']}", "file", "input_unusable")
        return PlainTextResponse(answer["text"] + "\n") if kind == "text" else await encoded(_transcript(answer, kind))

    return router


def _model(about: About) -> dict[str, Any]:
    own = {"task": about.task, "version": about.version, "checkpoint": about.checkpoint}
    return {"id": about.name, "object": "model", "created": STARTED, "owned_by": "pervade", **own}


def _several(settings: Settings) -> dict[str, Any]:
    """A text, or as many as a request may hold."""
    return {"anyOf": [TEXT, {"type": "array", "minItems": 1, "maxItems": settings.max_inputs, "items": TEXT}]}


def _body(field: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = {"model": {"type": "string"}, field: schema}
    body = {"type": "object", "required": ["model", field], "properties": properties}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}


def _form() -> dict[str, Any]:
    properties = {
        "model": {"type": "string"},
        "file": {"type": "string", "format": "binary"},
        "response_format": {"type": "string", "enum": list(FORMATS)},
    }
    body = {"type": "object", "required": ["model", "file"], "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": body}}}}


# texts


async def _write(
    server: Server, request: Request, there: Mapping[str, Any], asked: Sequence[Asked], chat: bool
) -> Response:
    how = parameters.writing(there, server.settings)
    if how.stream and len(asked) > 1:
        refuse("prompt holds several texts, which are not written as one stream; send them one by one", "prompt")
    with ExitStack() as held:
        place = held.enter_context(server.shelf.taken(there["model"]))
        writing = _writing(place, chat)
        wanted = {"length": min(writing.writer.length, server.settings.max_tokens), **how.wanted}
        if how.stream:
            events = writing.write(asked[0], wanted, True)
            first = await unless_gone(request, _first(events))
            form = _Form(place.served.about, chat, how.usage)
            # The model is held until the stream ends.
            told = _told(form, first, events, held.pop_all(), request.url.path)
            return StreamingResponse(told, media_type="text/event-stream", headers=SSE)
        told_all = await unless_gone(request, _gathered(writing, asked, wanted))
        return await encoded(_completion(place.served.about, chat, told_all))


def _writing(place: Place, chat: bool) -> Writing:
    name, writing = place.served.about.name, place.writing
    if writing is None:
        refuse(f"{name} writes no texts; ask it at /v1/models/{name}/predict", "model", "model_not_supported")
    if chat and not writing.writer.takes_turns:
        sentence = f"{name} writes on from texts and takes no turns in conversations; ask it at /v1/completions"
        refuse(sentence, "model", "model_not_supported")
    return writing


async def _first(events: AsyncIterator[News]) -> News:
    return await anext(events)


async def _gathered(writing: Writing, asked: Sequence[Asked], wanted: Mapping[str, Any]) -> list[News]:
    async def whole(one: Asked) -> News:
        async with aclosing(writing.write(one, wanted, False)) as events:  # type: ignore[type-var]
            return await anext(events)

    working = [asyncio.ensure_future(whole(one)) for one in asked]
    try:
        return await asyncio.gather(*working)
    finally:
        for task in working:  # where one of several is refused the others are in vain
            task.cancel()


def _usage(asked: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _completion(about: About, chat: bool, told: Sequence[News]) -> dict[str, Any]:
    choices = []
    for index, news in enumerate(told):
        said = (
            {"message": {"role": "assistant", "content": news.text, "refusal": None}} if chat else {"text": news.text}
        )
        choices.append({"index": index, **said, "logprobs": None, "finish_reason": news.reason})
    return {
        "id": _id(chat),
        "object": "chat.completion" if chat else "text_completion",
        "created": int(time.time()),
        "model": about.name,
        "system_fingerprint": about.version,
        "choices": choices,
        "usage": _usage(sum(news.asked for news in told), sum(news.written for news in told)),
    }


def _id(chat: bool) -> str:
    return f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}"


class _Form:
    """Events of a stream. What all have in common is written once."""

    def __init__(self, about: About, chat: bool, usage: bool) -> None:
        self.chat, self.with_usage = chat, usage
        common = {
            "id": _id(chat),
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": int(time.time()),
            "model": about.name,
            "system_fingerprint": about.version,
        }
        self.before = f"data: {json.dumps(common)[:-1]}, "
        self.after = (', "usage": null' if usage else "") + "}\n\n"

    def begin(self) -> str:
        return self._event('{"role": "assistant", "content": ""}', "null") if self.chat else ""

    def piece(self, news: News) -> str:
        text = json.dumps(news.text)
        told = self._event(f'{{"content": {text}}}' if self.chat else text, "null") if news.text else ""
        if news.reason is not None:
            told += self._event("{}" if self.chat else '""', json.dumps(news.reason))
        return told

    def usage(self, news: News) -> str:
        return f'{self.before}"choices": [], "usage": {json.dumps(_usage(news.asked, news.written))}}}\n\n'

    def _event(self, said: str, reason: str) -> str:
        name = "delta" if self.chat else "text"
        choice = f'{{"index": 0, "{name}": {said}, "logprobs": null, "finish_reason": {reason}}}'
        return f'{self.before}"choices": [{choice}]{self.after}'


async def _told(
    form: _Form, first: News, events: AsyncIterator[News], held: ExitStack, path: str
) -> AsyncIterator[str]:
    with held:
        async with aclosing(events):  # type: ignore[type-var]
            try:
                news, told = first, form.begin()
                while news.reason is None:
                    yield told + form.piece(news)
                    news, told = await anext(events), ""
                yield told + form.piece(news) + (form.usage(news) if form.with_usage else "") + "data: [DONE]\n\n"
            except Fault as fault:
                yield f"data: {faults.body(fault, path)[0].decode()}\n\n"


# embeddings


def _embedded(one: Any, about: About, number: int) -> Given:
    """An input: a text, or, of pictures and sounds, a data: URL that holds it."""
    if len(about.takes) != 1 or about.takes[0].kind not in ("text", *asking.FILES):
        refuse(f"{about.name} reads {about.reads}, of which there are no embeddings", "model", "model_not_supported")
    (field,) = about.takes
    text = parameters.plain(one, "input")
    if field.kind == "text":
        return Given("", {field.name: text}, number)
    head, _, data = text.partition(",")
    try:
        if not head.startswith("data:") or not head.endswith(";base64"):
            raise ValueError
        return Given(f"input-{number}", {field.name: base64.b64decode(data, validate=True)}, number)
    except (binascii.Error, ValueError):
        refuse(f"input is to be a {field.kind}, as data:image/png;base64,… has it; nothing is fetched", "input")


def _embeddings(answers: Sequence[dict[str, Any]], there: Mapping[str, Any], kind: str) -> dict[str, Any]:
    rows = []
    for index, answer in enumerate(answers):
        if answer["error"] is not None:
            refuse(f"{answer['input'][:80]}: {answer['error']}", "input", "input_unusable")
        if "embedding" not in answer:
            refuse(f"{there['model']} gives no embeddings; GET /v1/models lists what is served", "model")
        vector = answer["embedding"]
        if there.get("dimensions", len(vector)) != len(vector):
            refuse(
                f"dimensions is {parameters.short(there['dimensions'])}; this model gives {len(vector)}", "dimensions"
            )
        packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if kind == "base64" else vector
        rows.append({"object": "embedding", "index": index, "embedding": packed})
    usage = {"prompt_tokens": 0, "total_tokens": 0}  # of tokens nothing is known here
    return {"object": "list", "data": rows, "model": there["model"], "usage": usage}


# recordings


async def _recording(request: Request, most: int) -> tuple[str, str, bytes, str]:
    """The model's name, what the file is called, its bytes, and the form of the answer."""
    try:
        async with request.form(max_files=1, max_fields=32, max_part_size=most) as form:
            sent: dict[str, Any] = {name.removesuffix("[]"): value for name, value in form.multi_items()}
            given = sent.pop("file", None)
            if not isinstance(given, UploadFile):
                refuse("file is not given; send the recording as a form's file", "file", "missing_required_parameter")
            content = await given.read()
    except HTTPException as error:
        raise Fault(error.status_code, f"the form cannot be read ({error.detail}); mend it") from None
    for name, nothing in NOT_DONE.items():
        if sent.pop(name, nothing[0]) not in nothing:
            refuse(f"{name} is not done here; leave it out", name, "unsupported_parameter")
    for name in PASSED_OVER:
        sent.pop(name, None)
    kind = sent.pop("response_format", "json")
    if kind not in FORMATS:
        refuse(f"response_format is {parameters.short(kind)}; allowed: {', '.join(FORMATS)}", "response_format")
    return parameters.fields(sent)["model"], given.filename or "file", content, kind


def _transcript(answer: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if kind == "json":
        return {"text": answer["text"]}
    words = answer.get("words") or []
    told = {
        "task": "transcribe",
        "language": "",
        "duration": words[-1]["end"] if words else 0.0,
        "text": answer["text"],
    }
    if not words:
        return told
    times = [{key: word[key] for key in ("word", "start", "end")} for word in words]
    segment = {"id": 0, "start": words[0]["start"], "end": words[-1]["end"], "text": answer["text"]}
    return {**told, "words": times, "segments": [segment]}
