"""POST /v1/models/{run}/predict: what `pervade predict --json` says, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from pervade.serve import asking
from pervade.serve.answered import PROBLEMS, Server, encoded, unless_gone
from pervade.serve.batching import Answer
from pervade.serve.faults import Fault

SCHEMA = {
    "type": "object",
    "required": ["model", "version", "checkpoint", "answers"],
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "string"},
        "checkpoint": {"type": "string"},
        "answers": {"type": "array", "items": {"type": "object", "required": ["input", "error"]}},
    },
}


def routes(server: Server) -> APIRouter:
    router = APIRouter(tags=["predict"])
    said = {"application/json": {"schema": SCHEMA}}
    told: dict[int | str, dict[str, Any]] = {200: {"description": "An answer for each input.", "content": said}}

    @router.post(
        "/v1/models/{run}/predict",
        summary="Ask a model",
        description="One answer for each input, in their order, with the keys that `pervade predict --json` prints; "
        '"error" says why an input has none. Where no input can be used the status is 422.',
        responses=told | PROBLEMS,
        response_class=Response,
        openapi_extra=dict(asking.described(server.settings)),
    )
    async def predict(run: str, request: Request) -> Response:
        with server.shelf.taken(run) as place:
            about = place.served.about
            asked = await asking.read(request, about, server.settings)
            answers = await unless_gone(request, place.batching.answers(asked.inputs, asked.top))
        if all(answer["error"] is not None for answer in answers):
            more = f" (and {len(answers) - 1:,} more)" if len(answers) > 1 else ""
            raise Fault(422, f"{answers[0]['input']}: {answers[0]['error']}{more}", "input_unusable")
        told = {"model": about.name, "version": about.version, "checkpoint": about.checkpoint}
        return await encoded({**told, "answers": alike(answers)})

    return router


def alike(answers: Sequence[Answer]) -> list[Answer]:
    """With the same keys: what has no answer has those of the first that has one."""
    first = next((answer for answer in answers if answer["error"] is None), {})
    return [answer if answer["error"] is None else dict.fromkeys(first) | answer for answer in answers]
