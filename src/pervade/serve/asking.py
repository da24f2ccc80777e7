"""From the body of a request to inputs. Texts are texts, whatever file has such a name, and nothing is fetched.

{"inputs": ["so much fun", …], "top": 3}                                  texts, seeds, labels
{"inputs": [{"question": "Who?", "context": "It was Anna."}, …]}          of several fields
{"inputs": [{"base64": "…", "name": "cat.jpg"}, …]}                       files
{"inputs": [[{"role": "user", "content": "Who?"}], …]}                    conversations
multipart/form-data                                                       each file an input; texts by field
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import Request

from pervade.core import files
from pervade.serve import limits
from pervade.serve.faults import Fault
from pervade.serve.served import About, Field, Given
from pervade.serve.settings import Settings

FILES = ("picture", "sound", "file")  # kinds that come as bytes
TOP = 3  # as of `pervade predict`
MOST_TOP = 10**6
AT_ONCE = 1 << 16  # bytes of JSON that are read in the event loop; more in a thread
LONGEST_NAME = 255  # characters of a file's name that are shown


@dataclass(frozen=True)
class Asked:
    inputs: list[Given]
    top: int


class Upload(NamedTuple):
    name: str  # as the client calls it
    content: bytes


async def read(request: Request, about: About, settings: Settings) -> Asked:
    """What a request asks of a model. Raises Fault where it cannot be understood, or asks too much."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("application/json", "multipart/form-data"):
        if kind == "application/json":
            asked = of_json(await json_body(request), about, settings)
        else:
            asked = await _of_form(request, about, settings)
        if any(field.kind in FILES for field in about.takes):
            await asyncio.to_thread(limits.require, asked.inputs, about.takes, settings)
        else:
            limits.require(asked.inputs, about.takes, settings)
        return asked
    raise Fault(
        415,
        f"content type {kind[:80]!r} is not read here; send application/json or multipart/form-data",
        headers={"Accept": "application/json, multipart/form-data"},
    )


async def json_body(request: Request) -> Any:
    """Raises Fault 400 where the body is no JSON, or lies deeper in itself than files of ours may."""
    body = await request.body()
    try:
        return _parsed(body) if len(body) < AT_ONCE else await asyncio.to_thread(_parsed, body)
    except UnicodeDecodeError:
        raise Fault(400, "the body is not UTF-8, which JSON is written in; encode it so") from None
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise Fault(400, f"the body is no JSON ({where}{why}); mend it") from None


def _parsed(body: bytes) -> Any:
    return files.parse_json(body.decode("utf-8"))


def of_json(body: Any, about: About, settings: Settings) -> Asked:
    """Raises Fault 422 with the field that is at fault."""
    if not isinstance(body, dict):
        _refuse('the body is no object; write {"inputs": [ … ]}')
    if unknown := [name for name in body if name not in ("inputs", "top")]:
        _refuse(f"{unknown[0][:80]!r} is no field of a request; allowed: inputs, top", unknown[0][:80])
    inputs, top = body.get("inputs"), body.get("top", TOP)
    if not isinstance(inputs, list) or not inputs:
        _refuse('inputs is no list of one input or more; write {"inputs": [ … ]}', "inputs")
    _bounded(len(inputs), settings)
    if isinstance(top, bool) or not isinstance(top, int) or not 1 <= top <= MOST_TOP:
        _refuse(f"top is {str(top)[:80]!r}; it must be a whole number from 1 to {MOST_TOP:,}", "top")
    return Asked([_given(one, about, number) for number, one in enumerate(inputs, start=1)], top)


def _given(one: Any, about: About, number: int) -> Given:
    where, only = f"inputs[{number - 1}]", about.takes[0] if len(about.takes) == 1 else None
    if only is not None and (not isinstance(one, dict) or ("base64" in one and only.kind in FILES)):
        name, value = _value(one, only, where)
        return Given(name, {only.name: value}, number)
    if not isinstance(one, dict):
        first = about.takes[0]
        if first.kind != "label":  # whose other fields may be left out
            _refuse(f"{where} is no object with the fields {_named(about)}, which {about.name} takes", where)
        one = {first.name: one}
    fields = {field.name: field for field in about.takes}
    if unknown := [key for key in one if key not in fields]:
        _refuse(f"{where}: {unknown[0][:80]!r} is no field; {about.name} takes {_named(about)}", where)
    if lacking := [key for key, field in fields.items() if key not in one and field.kind not in ("seed", "label")]:
        _refuse(f"{where} has no field {lacking[0]!r}; {about.name} takes {_named(about)}", where)
    told = {key: _value(value, fields[key], f"{where}.{key}") for key, value in one.items()}
    return Given(next((name for name, _ in told.values() if name), ""), {k: v for k, (_, v) in told.items()}, number)


def _value(value: Any, field: Field, where: str) -> tuple[str, bytes | str | list[Any]]:
    """What a file is called, and the field's content."""
    if field.kind in FILES:
        if not isinstance(value, dict) or not isinstance(value.get("base64"), str) or value.keys() - {"base64", "name"}:
            how = 'send it as a file (multipart/form-data), or {"base64": "…"}'
            _refuse(f"{where} is to be a {field.kind}: {how}", where)
        name = value.get("name", where)
        if not isinstance(name, str):
            _refuse(f"{where}: its name is no text", where)
        try:
            return name[:LONGEST_NAME], base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError):
            _refuse(f"{where}: base64 does not hold base64; encode the bytes of the file so", where)
    if field.kind == "messages" and isinstance(value, list):
        return "", value
    if field.kind == "seed" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)[:80]
    if not isinstance(value, str):
        _refuse(f"{where} is no text, and {field.title.lower()} is to be one", where)
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(f"{where} holds half a character (a lone surrogate), which is no text; mend it", where)
    return "", value


async def _of_form(request: Request, about: About, settings: Settings) -> Asked:
    """Each file is an input; of texts each, or, where an input has several fields, one of each."""
    most = settings.max_inputs + len(about.takes) + 1
    try:
        async with request.form(max_files=most, max_fields=most, max_part_size=settings.max_body) as form:
            parts = [
                (name, value) if isinstance(value, str) else (name, Upload(value.filename or name, await value.read()))
                for name, value in form.multi_items()
            ]
    except HTTPException as error:
        raise Fault(error.status_code, f"the form cannot be read ({error.detail}); mend it") from None
    by_bytes = next((field for field in about.takes if field.kind in FILES), None)
    top, inputs, texts = TOP, list[Given](), dict[str, str]()
    for name, value in parts:
        number = len(inputs) + 1
        if isinstance(value, Upload) and by_bytes is not None:
            inputs.append(Given(value.name[:LONGEST_NAME], {by_bytes.name: value.content}, number))
            continue
        text = value if isinstance(value, str) else _decoded(value)
        if name == "top":
            top = int(text) if text.isdecimal() and len(text) < 8 else 0
            if not 1 <= top <= MOST_TOP:
                _refuse(f"top is {text[:80]!r}; it must be a whole number from 1 to {MOST_TOP:,}", "top")
        elif len(about.takes) == 1 and by_bytes is None:
            inputs.append(Given("", {about.takes[0].name: text}, number))
        elif not any(field.name == name and field.kind not in FILES for field in about.takes):
            _refuse(f"{name[:80]!r} is no field that {about.name} takes as text; it takes {_named(about)}", name[:80])
        else:
            texts[name] = text
    if texts:
        inputs.append(_given(dict(texts), about, len(inputs) + 1))
    if not inputs:
        _refuse(f"nothing is asked; send {_named(about)}")
    _bounded(len(inputs), settings)
    return Asked(inputs, top)


def _decoded(file: Upload) -> str:
    try:
        return file.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse(f"{file.name[:LONGEST_NAME]} is not UTF-8, and a text is to be; encode it so")


def _bounded(number: int, settings: Settings) -> None:
    if number > settings.max_inputs:
        most = f"one request may have {settings.max_inputs:,}"
        raise Fault(413, f"{number:,} inputs are too many, {most}; send several requests", "too_many_inputs")


def _named(about: About) -> str:
    return ", ".join(f"{field.name} ({field.kind})" for field in about.takes)


def _refuse(sentence: str, parameter: str = "") -> NoReturn:
    raise Fault(422, sentence, parameter=parameter)


def described(settings: Settings) -> Mapping[str, Any]:
    """The body as OpenAPI has it."""
    value = {
        "anyOf": [
            {"type": "string"},
            {"type": "integer"},
            {"type": "array", "items": {"type": "object"}},
            {"type": "object", "additionalProperties": True},
        ]
    }
    top = {"type": "integer", "minimum": 1, "maximum": MOST_TOP, "default": TOP}
    inputs = {"type": "array", "minItems": 1, "maxItems": settings.max_inputs, "items": value}
    schema = {
        "type": "object",
        "properties": {"inputs": inputs, "top": top},
        "required": ["inputs"],
        "additionalProperties": False,
    }
    file = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form = {"type": "object", "properties": {"file": file, "top": top}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}
