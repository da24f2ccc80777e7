"""What all routes share: the server, what they say of faults, and a client that may go away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from pervade.serve.settings import Settings
from pervade.serve.shelf import Shelf

T = TypeVar("T")

PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
}
REASONS = {
    400: "The body cannot be read.",
    401: "A token is missing or wrong.",
    403: "This is not for who asks, or not for where they ask from.",
    404: "There is no such model.",
    408: "The body came too slowly.",
    413: "The body, or what is in it, is too large.",
    415: "The body is of a kind that is not read.",
    421: "The server is not called so.",
    422: "What is asked cannot be answered.",
    429: "Too many wait already.",
    503: "There was no answer in time, or the server stops.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": why, "content": {"application/problem+json": {"schema": PROBLEM}}}
    for status, why in REASONS.items()
}
AT_ONCE = 64  # answers that are written in the event loop; more in a thread


@dataclass(frozen=True)
class Server:
    shelf: Shelf
    settings: Settings


class Gone(Exception):
    """The client went away; there is nobody to be told anything."""


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What comes of the work, which is given up where the client goes away. Its body must have been read. Raises
    Gone."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def encoded(told: dict[str, Any]) -> Response:
    many = len(told.get("answers", ())) > AT_ONCE
    text = await asyncio.to_thread(_text, told) if many else _text(told)
    return Response(text, media_type="application/json")


def _text(told: Any) -> bytes:
    return json.dumps(told, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
