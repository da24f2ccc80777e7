"""The same model, served as somebody without Pervade's server would: what benchmarks/serve.py starts.

    python benchmarks/serve_peers.py RUN PORT

A plain FastAPI endpoint that reads one input, calls the eager network and gives probabilities. Inputs are read by the
run's own domain. A picture is the request's body; a text is {"text": …}. serve_litserve.py has the same model.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

from pervade.core import runtime

runtime.prepare(threads=2)

import torch

import pervade
from pervade.core.contracts import Context
from pervade.core.types import LeftOut
from pervade.data.read import division, inputs


class Model:
    def __init__(self, run: str) -> None:
        self.loaded = pervade.load(run).load()
        self.network = self.loaded.network.eval()

    def read(self, given: str | bytes) -> Any:
        """A text, or the bytes of a file, as the network's input."""
        if isinstance(given, str):
            return self.example([{"id": "text", "text": given}])
        with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
            file.write(given)
            file.flush()
            return self.example(list(inputs.entries(self.loaded.domain, [file.name])))

    def example(self, entries: list[Any]) -> Any:
        rows = division.rows([entry for entry in entries if not isinstance(entry, LeftOut)])
        rows, _ = self.loaded.domain.prepare(rows, lambda done, total: None, keep=False)
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
        given = json.loads(body)["text"] if body[:1] == b"{" else body
        return model.answers([model.read(given)])[0]

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    fastapi(sys.argv[1], int(sys.argv[2]))
