"""The same model, served by LitServe with batching on (at most 32, waiting 5 ms), one worker: what benchmarks/serve.py
starts.

    python benchmarks/serve_litserve.py RUN PORT

A picture is the file of a form, a text {"text": …}.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import litserve as ls
from serve_peers import Model

MOST, WAIT = 32, 0.005  # inputs together, and seconds


@dataclass
class Api(ls.LitAPI):
    run: str

    def __post_init__(self) -> None:
        super().__init__(max_batch_size=MOST, batch_timeout=WAIT)

    def setup(self, device: Any) -> None:
        self.model = Model(self.run)

    def decode_request(self, request):  # without a type: what is sent is JSON, or a form
        return self.model.read(request["file"].file.read() if "file" in request else request["text"])

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, examples: list[Any]) -> list[list[float]]:
        return self.model.answers(examples)

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return {"probabilities": output}


if __name__ == "__main__":
    server = ls.LitServer(Api(sys.argv[1]), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="error", generate_client_file=False)
