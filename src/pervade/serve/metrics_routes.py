"""/healthz, /readyz and /metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from pervade.serve.answered import PROBLEMS, Server
from pervade.serve.faults import Fault

OK: dict[int | str, dict[str, Any]] = {
    200: {"description": "So it is.", "content": {"application/json": {"schema": {"type": "object"}}}}
}


def routes(server: Server) -> APIRouter:
    router = APIRouter(tags=["state"])

    @router.get("/healthz", summary="Whether the process answers", response_class=Response, responses=OK)
    async def healthz() -> Response:
        return Response('{"status": "ok"}', media_type="application/json")

    @router.get(
        "/readyz",
        summary="Whether models can be asked",
        response_class=Response,
        responses={**OK, 503: PROBLEMS[503]},
    )
    async def readyz() -> Response:
        if not server.shelf.ready:
            raise Fault(503, "the server stops, and takes nothing new; ask another one", "stopping")
        return Response('{"status": "ready"}', media_type="application/json")

    @router.get(
        "/metrics",
        summary="Figures of this server, as Prometheus reads them",
        response_class=Response,
        responses={200: {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(generate_latest(server.shelf.figures.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
