"""A model in a folder of transformers, as MLflow's python_function opens it. Needs transformers, and nothing else."""

import json
from pathlib import Path
from typing import Any


def _load_pyfunc(folder: str) -> Any:
    return Model(Path(folder))


class Model:
    """`predict` takes texts, or names of files of pictures, and gives the scores of each label by name."""

    def __init__(self, folder: Path) -> None:
        import transformers

        self.told = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
        architecture = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
        self.network = getattr(transformers, architecture).from_pretrained(folder, local_files_only=True).eval()
        pictures = self.told["pipeline"] == "image-classification"
        kind = transformers.AutoImageProcessor if pictures else transformers.AutoTokenizer
        self.prepare = kind.from_pretrained(folder, local_files_only=True)
        self.pictures = pictures

    def predict(self, inputs: Any, params: Any = None) -> list[dict[str, float]]:
        import torch

        given = list(inputs.iloc[:, 0] if hasattr(inputs, "iloc") else inputs)
        if not self.told["scores"]:
            raise ValueError(f"of {self.told['pipeline']} there are no scores of labels; use transformers.pipeline")
        with torch.no_grad():
            return [self.scores(one) for one in given]

    def scores(self, one: str) -> dict[str, float]:
        if self.pictures:
            from PIL import Image

            logits = self.network(**self.prepare(Image.open(one).convert("RGB"), return_tensors="pt")).logits[0]
        else:
            logits = self.network(**self.prepare(one, truncation=True, return_tensors="pt")).logits[0]
            logits = logits.mean(0) if self.told["mean"] else logits
        numbers = logits.softmax(-1) if self.told["scores"] == "softmax" else logits.sigmoid()
        return dict(zip(self.told["labels"], numbers.tolist(), strict=True))
