"""AutoGluon's side of autogluon_comparison.py: runs in its own environment, where there is no Pervade.

    python autogluon_side.py fit|first|predict TASK.json        (or: size NAME …, bytes that these packages take)

TASK.json: "kind" (texts, pictures), "predictor" (tabular, multimodal), "preset", "limit" in seconds, "seed", "train"
and "test" (parquet: text or image, and label), "network" (for texts a folder in the Hub's layout, for pictures timm's
name), "place" (where the predictor is kept), "answer" (a JSON file that is written here). `first` answers one row,
`predict` all.
"""

from __future__ import annotations

import json
import re
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any


def size(names: list[str]) -> int:
    """Bytes of the files of these packages and of all that they need, each counted once."""
    waiting, seen, total = list(names), set(), 0
    while waiting:
        match = re.match(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?", waiting.pop())
        assert match is not None
        name, extras = match[1].lower().replace("_", "-"), (match[2] or "").replace(" ", "").split(",")
        if (name, tuple(extras)) in seen:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # of another platform, or of an extra that was not asked for
            continue
        if not any(name == known for known, _ in seen):
            total += sum(
                path.stat().st_size for file in package.files or () if (path := Path(str(file.locate()))).exists()
            )
        seen.add((name, tuple(extras)))
        for line in package.requires or ():
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
            if extra is None or extra[1] in extras:
                waiting.append(line)
    return total


def tabular(task: dict[str, Any], train: Any) -> None:
    """What finds n-grams in texts, and learns trees and networks on them."""
    from autogluon.tabular import TabularPredictor

    predictor = TabularPredictor(label="label", path=task["place"], eval_metric="accuracy")
    predictor.fit(train, presets=task["preset"], time_limit=task["limit"])


def multimodal(task: dict[str, Any], train: Any) -> None:
    """One network, the same as on Pervade's side; the rest is as the preset has it."""
    import timm
    from autogluon.multimodal import MultiModalPredictor
    from autogluon.multimodal.models import timm_image

    # `pretrained=False` of AutoGluon 1.6.3 is heard only where nothing is fitted, so timm is told.
    timm_image.create_model = lambda name, pretrained, **more: timm.create_model(name, pretrained=False, **more)
    texts = task["kind"] == "texts"
    MultiModalPredictor(label="label", path=task["place"], eval_metric="accuracy").fit(
        train,
        presets=task["preset"],
        time_limit=task["limit"],
        seed=task["seed"],
        column_types={"text": "text"} if texts else {"image": "image_path"},
        hyperparameters={f"model.{'hf_text' if texts else 'timm_image'}.checkpoint_name": task["network"]},
    )


def load(task: dict[str, Any]) -> Any:
    if task["predictor"] == "tabular":
        from autogluon.tabular import TabularPredictor

        return TabularPredictor.load(task["place"])
    from autogluon.multimodal import MultiModalPredictor

    return MultiModalPredictor.load(task["place"])


def main(verb: str, task: dict[str, Any]) -> dict[str, Any]:
    import pandas

    if verb == "fit":
        start = time.monotonic()
        {"tabular": tabular, "multimodal": multimodal}[task["predictor"]](task, pandas.read_parquet(task["train"]))
        return {"fit": round(time.monotonic() - start, 2), "version": metadata.version("autogluon.core")}
    rows = pandas.read_parquet(task["test"]).drop(columns="label")
    rows = rows.head(1) if verb == "first" else rows
    return {"predicted": [str(label) for label in load(task).predict(rows)]}


if __name__ == "__main__":
    if sys.argv[1] == "size":
        print(size(sys.argv[2:]))
    else:
        given = json.loads(Path(sys.argv[2]).read_text())
        Path(given["answer"]).write_text(json.dumps(main(sys.argv[1], given)))
