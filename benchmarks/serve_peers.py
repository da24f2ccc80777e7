"""The same model, served as somebody without Pervade's server would: what benchmarks/serve.py starts.

    python benchmarks/serve_peers.py fastapi|litserve RUN PORT

`fastapi` is a plain endpoint that reads one input and calls the eager network. `litserve` is LitServe with batching on
(at most 32, waiting 5 ms), one worker. Both read inputs by the run's own domain and give probabilities. A picture is
the request's body; a text is {"text": …}.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from pervade.core import runtime

runtime.prepare(threads=2)

import torch

import pervade
from pervade.core.contracts import Context
from pervade.core.types import LeftOut
from pervade.data.read import division, inputs

MOST, WAIT = 32, 0.005  # inputs together, and seconds


class Model:
    def __init__(self, run: str) -> None:
        self.loaded = pervade.load(run).load()
        self.network = self.loaded.network.eval()

    def read(self, body: bytes) -> Any:
        """One row. Texts come as JSON, else the body is a file."""
        if body[:1] == b"{":
            entries = [{"id": "text", "text": json.loads(body)["text"]}]
        else:
            with tempfile.NamedTemporaryFile(suffix=".jpg", delete=False) as file:
                file.write(body)
            entries = list(inputs.entries(self.loaded.domain, [file.name]))
        rows = division.rows([entry for entry in entries if not isinstance(entry, LeftOut)])
        rows, _ = self.loaded.domain.prepare(rows, lambda done, total: None, keep=False)
        if body[:1] != b"{":
            Path(file.name).unlink()
        return self.loaded.domain.transform(next(iter(rows)), None)[0]

    def answers(self, examples: list[Any]) -> list[list[float]]:
        with torch.inference_mode():
            batch = self.loaded.domain.collate(examples)
            output = self.loaded.task.infer(self.network, batch, Context(self.loaded.domain, targets=False))
            return output["logits"].softmax(1).tolist()


def fastapi(run: str, port: int) -> None:
    import uvicorn
    from fastapi import Body, FastAPI

    model, app = Model(run), FastAPI()

    @app.post("/predict")
    def predict(body: bytes = Body(media_type="application/octet-stream")) -> list[float]:
        return model.answers([model.read(body)])[0]

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def litserve(run: str, port: int) -> None:
    import litserve as ls
    from fastapi import Request

    class Api(ls.LitAPI):
        def setup(self, device: Any) -> None:
            self.model = Model(run)

        async def decode_request(self, request: Request) -> Any:
            return self.model.read(await request.body())

        def batch(self, inputs: list[Any]) -> list[Any]:
            return inputs

        def predict(self, examples: list[Any]) -> list[list[float]]:
            return self.model.answers(examples)

        def unbatch(self, output: list[Any]) -> list[Any]:
            return output

        def encode_response(self, output: Any) -> Any:
            return {"probabilities": output}

    api = Api(max_batch_size=MOST, batch_timeout=WAIT)
    ls.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=port, log_level="error", generate_client_file=False
    )


if __name__ == "__main__":
    {"fastapi": fastapi, "litserve": litserve}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
