"""The page at "/", made of the files in page/; what it is told of the models beside what every client is; and episodes
to be watched there."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict
from functools import cache, partial
from importlib import resources
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from pervade.serve.answered import PROBLEMS, Server, encoded
from pervade.serve.faults import Fault
from pervade.serve.served import Introduced, Introduction, Plays, Served

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
LARGEST_SEED = 2**31 - 1


class Asked(BaseModel):
    """Which episode is played."""

    seed: Annotated[int, Field(strict=True, ge=0, le=LARGEST_SEED)] = 0


@cache
def files() -> dict[str, tuple[bytes, str, str]]:
    """By name, what each file of the page holds, its type, and its entity tag."""
    there = resources.files("pervade.serve").joinpath("page").iterdir()
    known = [(file.name, file.read_bytes()) for file in there if file.name.rpartition(".")[2] in TYPES]
    return {
        name: (data, TYPES[name.rpartition(".")[2]], f'"{hashlib.sha256(data).hexdigest()[:16]}"')
        for name, data in known
    }


def routes(server: Server) -> APIRouter:
    router, shelf = APIRouter(tags=["page"]), server.shelf
    introductions: dict[tuple[str, str], Introduction] = {}  # by name and version

    def sent(name: str, request: Request) -> Response:
        if name not in files():
            raise Fault(404, f"the page has no file {name[:80]!r}")
        data, kind, tag = files()[name]
        # A browser keeps it, and asks whether it still holds.
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=f"{kind}; charset=utf-8", headers=headers)

    @router.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return sent("index.html", request)

    @router.get("/page/{name}", include_in_schema=False)
    async def part(name: str, request: Request) -> Response:
        return sent(name, request)

    @router.get("/favicon.ico", include_in_schema=False)
    async def favicon(request: Request) -> Response:
        return sent("icon.svg", request)

    @router.get("/v1/page", summary="What the page says of each model")
    async def models() -> dict[str, list[dict[str, Any]]]:
        return {"models": [await told(about.name) for about in shelf.abouts()]}

    async def told(name: str) -> dict[str, Any]:
        with shelf.taken(name) as place:
            served, about = place.served, place.served.about
            key = (about.name, about.version)
            if key not in introductions:
                introductions[key] = await asyncio.to_thread(introduction, served)
            watched, writing = place.batching.watch is not None, place.writing
            writes = "" if writing is None else "chat" if writing.writer.takes_turns else "text"
            more = {"plays": isinstance(served, Plays), "writes": writes, "watched": watched}
            return {**asdict(about), **asdict(introductions[key]), **more}

    @router.post(
        "/v1/models/{run}/episode",
        summary="An episode of an agent, played and drawn",
        responses=PROBLEMS,
    )
    async def episode(run: str, asked: Asked) -> Response:
        """`frames` are PNG files in Base64, of every `frames_every`th step and `rate` a second; `chances`, `values` and
        `value` are what the agent makes of every `every`th step. A very long episode is broken off, and `cut`."""
        with shelf.taken(run) as place:
            served = place.served
            if not isinstance(served, Plays):
                raise Fault(422, f"{run[:80]!r} does not act in an environment; ask it at /v1/models/{{run}}/predict")
            play = partial(served.episode, asked.seed)
            return await encoded(await asyncio.get_running_loop().run_in_executor(shelf.thread, play))

    return router


def introduction(served: Served) -> Introduction:
    return served.introduction() if isinstance(served, Introduced) else Introduction()
