"""An application with nothing but addresses to knock at, and what its answers are held to."""

from __future__ import annotations

import asyncio
import json

from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from pervade.core.errors import ResourceError
from pervade.serve import handlers
from tests.serve.listening import Answer, Listening


class Question(BaseModel):
    text: str
    top: int = 1


def application() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    handlers.install(app)

    @app.get("/")
    def page() -> str:
        return "page"

    @app.post("/v1/models/{run}/predict")
    async def predict(run: str, question: Question) -> dict[str, str]:
        return {"run": run, "text": question.text}

    @app.post("/v1/upload")
    async def upload(files: list[UploadFile]) -> list[int]:
        return [len(await file.read()) for file in files]

    @app.post("/v1/bytes")
    async def count(request: Request) -> int:
        return len(await request.body())

    @app.post("/v1/chat/completions")
    async def chat(question: Question) -> str:
        return question.text

    @app.post("/v2/models/{run}/infer")
    async def infer(run: str, question: Question) -> str:
        return question.text

    @app.get("/v1/mistake")
    async def mistake() -> str:
        raise KeyError("a secret of the client")

    @app.get("/v1/full")
    async def full() -> str:
        raise ResourceError("cannot write /secret/place") from OSError(28, "No space left on device")

    @app.get("/v1/slow")
    async def slow() -> str:
        await asyncio.sleep(0.5)
        return "late"

    @app.get("/v1/much")
    async def much() -> StreamingResponse:
        return StreamingResponse(b"x" * 65536 for _ in range(2000))

    @app.post("/admin/reload")
    async def reload() -> str:
        return "done"

    return app


def refusal(answer: Answer, status: int, *words: str) -> None:
    """One sentence as application/problem+json."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    told = json.loads(answer.body)
    assert told["status"] == status
    assert "\n" not in told["detail"]
    for word in words:
        assert word in told["detail"]


def ask(server: Listening, text: str = "hello", **headers: str) -> Answer:
    body = json.dumps({"text": text}).encode()
    told = {"content_type": "application/json", **headers}
    return server.asks("POST", "/v1/models/pets/predict", body, **told)
