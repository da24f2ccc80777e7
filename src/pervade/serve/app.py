"""The application: routes and what stands before them, each from a file of its own."""

from __future__ import annotations

import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TypeAlias

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pervade import __version__
from pervade.core.terminal import tell
from pervade.serve import documents, faults, metrics_routes, predict_routes
from pervade.serve.answered import Gone, Server
from pervade.serve.faults import Fault
from pervade.serve.figures import Figures
from pervade.serve.settings import Settings
from pervade.serve.shelf import Shelf

Routes: TypeAlias = Callable[[Server], APIRouter]
Before: TypeAlias = Any  # a class of ASGI middleware, (app, server)

ROUTES: tuple[Routes, ...] = (
    predict_routes.routes,
    metrics_routes.routes,
    documents.routes,
)
BEFORE: tuple[Before, ...] = ()  # what sees every request first, the outermost last

SAID = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address takes another method; /docs lists which",
}
CLOSED = 499  # as nginx calls a request whose client went away; in figures alone


def application(shelf: Shelf, settings: Settings) -> FastAPI:
    server = Server(shelf, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await shelf.close()

    app = FastAPI(
        title="Pervade",
        summary="Models that were trained with Pervade, asked over HTTP.",
        version=__version__,
        docs_url=None,  # FastAPI's pages load script from elsewhere; ours is documents.py
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        max_body_size=settings.max_body,
    )
    for routes in ROUTES:
        app.include_router(routes(server))
    app.add_exception_handler(Fault, _fault)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Gone, _gone)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Counted, figures=shelf.figures)
    for before in BEFORE:
        app.add_middleware(before, server=server)
    return app


def answer(fault: Fault, path: str) -> Response:
    content, kind = faults.body(fault, path)
    return Response(content, fault.status, dict(fault.headers), kind)


async def _fault(request: Request, error: Any) -> Response:
    return answer(error, request.url.path)


async def _http(request: Request, error: Any) -> Response:
    """What Starlette itself refuses."""
    said = SAID.get(error.status_code) or f"{error.detail or HTTPStatus(error.status_code).phrase}; mend the request"
    return answer(Fault(error.status_code, said, headers=error.headers or {}), request.url.path)


async def _gone(request: Request, error: Any) -> Response:
    return Response(status_code=CLOSED)


async def _invalid(request: Request, error: Any) -> Response:
    """What FastAPI's own validation refuses."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "the body"
    return answer(Fault(422, f"{where}: {first['msg']}; mend the request", parameter=where), request.url.path)


class Counted:
    """Counts requests by route and status, and how long they took. What nobody foresaw is told a client as such, and
    whoever runs the server by its kind and place alone: a message may hold what the client sent."""

    def __init__(self, app: ASGIApp, figures: Figures) -> None:
        self.app, self.figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            tell(f"a request met a fault of the server: {type(error).__name__} at {place.filename}:{place.lineno}")
            if not status:
                fault = Fault(500, "this is a fault of the server, which was not foreseen; the request got no answer")
                await answer(fault, scope["path"])(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.figures.requests.labels(scope["method"][:10], route, str(status or CLOSED)).inc()
            self.figures.seconds.labels(route).observe(time.monotonic() - began)
