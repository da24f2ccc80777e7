"""What changes the server. All of it lies below /admin/, which serve/guard.py opens for the admin token alone."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from pydantic import BaseModel

from pervade.core.errors import nearest
from pervade.serve.faults import Fault
from pervade.serve.reloading import Reloading


class Reloaded(BaseModel):
    name: str
    version: str  # that answers now
    before: str
    outcome: str  # changed or unchanged


def routes(reloading: Reloading) -> APIRouter:
    router = APIRouter(prefix="/admin", tags=["admin"])

    @router.post(
        "/reload",
        responses={
            404: {"description": "No such model is served"},
            409: {"description": "A checkpoint could not be opened; the version before goes on"},
        },
    )
    async def reload(model: str | None = None) -> list[Reloaded]:
        """Opens the checkpoint of `model`, or those of all, again. Requests under way end with the version that they
        began with."""
        if model is not None and model not in reloading.sources:
            raise Fault(404, f"no model is called {model[:200]!r} here; {nearest(model[:200], reloading.sources)}")
        names = list(reloading.sources) if model is None else [model]
        outcomes = [await asyncio.to_thread(reloading.reload, name) for name in names]
        if failed := [str(outcome) for outcome in outcomes if outcome.error]:
            raise Fault(409, "; ".join(failed), code="not_reloaded")
        return [Reloaded(name=one.name, version=one.version, before=one.before, outcome=one.what) for one in outcomes]

    return router
