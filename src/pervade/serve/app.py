"""The application: routes and what stands before them, each from a file of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from pervade import __version__
from pervade.serve import (
    admin_routes,
    documents,
    handlers,
    inference_protocol,
    metrics_routes,
    openai_routes,
    page_routes,
    predict_routes,
    watch_routes,
)
from pervade.serve.answered import Gone, Server
from pervade.serve.guard import GONE, Guard, Seen, logged
from pervade.serve.reloading import Reloading
from pervade.serve.settings import Settings
from pervade.serve.shelf import Shelf
from pervade.serve.tokens import Tokens

Routes: TypeAlias = Callable[[Server], APIRouter]
Before: TypeAlias = Any  # a class of ASGI middleware, (app, server)

ROUTES: tuple[Routes, ...] = (
    predict_routes.routes,
    inference_protocol.routes,
    watch_routes.routes,
    openai_routes.routes,
    metrics_routes.routes,
    documents.routes,
    page_routes.routes,
)
BEFORE: tuple[Before, ...] = ()  # what sees every request first, the outermost last


def application(shelf: Shelf, settings: Settings, reloading: Reloading | None = None) -> FastAPI:
    server = Server(shelf, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if reloading is not None:
            reloading.start()
        yield
        if reloading is not None:
            reloading.stop()
        await shelf.close()

    app = FastAPI(
        title="Pervade",
        summary="Models that were trained with Pervade, asked over HTTP.",
        version=__version__,
        docs_url=None,  # FastAPI's pages load script from elsewhere; ours is documents.py
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    for routes in ROUTES:
        app.include_router(routes(server))
    if reloading is not None:
        app.include_router(admin_routes.routes(reloading))
    handlers.install(app)
    app.add_exception_handler(Gone, _gone)
    for before in BEFORE:
        app.add_middleware(before, server=server)
    return app


def guarded(
    shelf: Shelf,
    settings: Settings,
    tokens: Tokens | None,
    admin: Tokens,
    reloading: Reloading | None = None,
    log: Callable[[Seen], None] = logged,
) -> Guard:
    """The application behind its guard, as it is served."""

    def seen(request: Seen) -> None:
        log(request)
        shelf.figures.count(request)

    return Guard(application(shelf, settings, reloading), settings, tokens, admin, log=seen)


async def _gone(request: Request, error: Any) -> Response:
    return Response(status_code=GONE)
