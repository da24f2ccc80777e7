"""A damaged file of a run is named in one line, whatever in it is of another type than it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch

from pervade.core import files
from pervade.core.errors import CheckpointError
from pervade.engine import predictions

BEST = "checkpoints/best/"
FAULTS = [
    ("predict", f"{BEST}decision.json", "temperature", 0, "temperature is 0"),
    ("predict", f"{BEST}decision.json", "temperature", 1e-300, "temperature is 1e-300"),
    ("predict", f"{BEST}decision.json", "temperature", True, "temperature is True"),
    ("predict", f"{BEST}architecture.json", "tied", [], "tied is []"),
    ("predict", f"{BEST}architecture.json", "tied", {"a": "b"}, "there is no weight 'b'"),
    (
        "predict",
        f"{BEST}architecture.json",
        "outputs",
        {"logits": 7},
        "the outputs of its architecture are {'logits': 7}",
    ),
    ("predict", f"{BEST}architecture.json", "format", True, "its format is True"),
    ("evaluate", "data.json", "columns", {"id": ["a", "b"], "split": ["test"]}, "its columns differ in length"),
    ("evaluate", "data.json", "columns", [], "columns is []"),
    ("evaluate", "data.json", "columns", {"id": ["a", "a"]}, "an id stands twice"),
    ("evaluate", "data.json", "columns", {"id": ["a"], "split": ["all"]}, "columns.split.0 is 'all'"),
    ("evaluate", "data.json", "columns", {"id": ["a"]}, "it has no column 'split'"),
    ("resume", "state/state.json", "state", 7, "state is 7"),
    ("resume", "state/state.json", "state", {"learner": {"step": "x"}}, "state.learner.step is 'x'"),
    ("resume", "state/state.json", "state", {"extra": {"passes": True}}, "state.extra.passes is True"),
    ("resume", "state/state.json", "state", {"$tensor": "nowhere"}, "damaged ('nowhere' is missing)"),
    ("resume", "state/state.json", "state", {"world": 1}, "state is damaged ('learner' is missing)"),
]


@pytest.mark.parametrize(("verb", "name", "field", "value", "said"), FAULTS, ids=[str(each[2:4]) for each in FAULTS])
def test_a_field_of_another_type(pervade, run: Path, photos: Path, verb, name, field: str, value: Any, said) -> None:
    data = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps({**data, field: value}))
    pervade(verb, run, *([photos] if verb == "predict" else [])).refuses(
        Path(name).name.removesuffix(".json") if "weight" not in said and "of its architecture" not in said else "best",
        said,
    )


def test_a_label_that_stands_twice(pervade, run: Path, photos: Path) -> None:
    path = run / BEST / "preprocess.json"
    data = json.loads(path.read_text())
    data["domain"]["labels"][1] = data["domain"]["labels"][0]
    path.write_text(json.dumps(data))
    pervade("predict", run, photos).refuses("preprocess.json", "stands twice")


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers(pervade, run: Path, photos: Path, value: str) -> None:
    path = run / BEST / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    name = sorted(weights)[0]
    weights[name] = weights[name].float() * 0 + float(value)
    safetensors.torch.save_file(weights, path)
    data = json.loads((run / BEST / "architecture.json").read_text())
    (run / BEST / "architecture.json").write_text(json.dumps({**data, "sha256": files.sha256(path)}))
    pervade("predict", run, photos).refuses(f"the weight {name!r} holds values that are no numbers, or infinite")


@pytest.mark.parametrize(("field", "value"), [("n", True), ("metrics", []), ("predictions", "../../etc/passwd")])
def test_results_that_are_damaged_are_named_in_the_report(pervade, run: Path, field: str, value: Any) -> None:
    path = run / "results" / "evaluate@best.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert pervade("report", run).status == 0
    assert f"evaluate@best.json is damaged ({field}" in (run / "report.html").read_text().replace("&#39;", "'")


@pytest.mark.parametrize(
    ("name", "value"), [("confusion", [["x", 0], [0, 1]]), ("confusion", 7), ("reliability", [{}])]
)
def test_details_that_cannot_be_drawn(pervade, run: Path, name: str, value: Any) -> None:
    path = run / "results" / "evaluate@best.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "details": {**stored["details"], name: value}}))
    pervade("report", run).refuses("evaluate@best.json", "is damaged", "measure again with `pervade evaluate")
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(("field", "value"), [("step", "x"), ("pass", True), ("loss", [1]), ("event", 7)])
def test_a_line_of_the_log(pervade, run: Path, field: str, value: Any) -> None:
    log = run / "log.jsonl"
    first, *rest = log.read_text().splitlines()
    log.write_text("\n".join([json.dumps({**json.loads(first), field: value}), *rest]) + "\n")
    assert pervade("report", run).status == 0
    assert f"log.jsonl is damaged ({field} is" in (run / "report.html").read_text()


def test_pictures_of_predictions_are_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is as much as its bytes, of which four are a value: 3 rows of 40 are 30 values, and 3 of "row"."""
    pictures = np.arange(120, dtype=np.uint8).reshape(3, 40)
    predictions.write_columns(tmp_path / "some.parquet", {"row": np.arange(3), "picture": pictures}, {})
    monkeypatch.setattr(predictions, "MOST_VALUES", 33)
    assert (predictions.read_columns(tmp_path / "some.parquet")["picture"] == pictures).all()
    monkeypatch.setattr(predictions, "MOST_VALUES", 32)
    with pytest.raises(CheckpointError, match="unpack to 33 values"):
        predictions.read_columns(tmp_path / "some.parquet")


def test_predictions_that_unpack_to_more_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "predictions" / "best@test.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"row": [7] * 5000, "target": [1] * 5000}), path)
    assert len(predictions.read_columns(path)["row"]) == 5000
    monkeypatch.setattr(predictions, "MOST_VALUES", 9999)
    with pytest.raises(CheckpointError, match=r"unpack to 10,000 values, and at most 9,999 "):
        predictions.read_columns(path)
    pq.write_table(pa.table({"row": [0]}), tmp_path / "other.parquet")
    path.unlink()
    path.symlink_to(tmp_path / "other.parquet")
    assert predictions.read_columns(path, tmp_path)["row"].tolist() == [0]
    with pytest.raises(CheckpointError, match="leads out of"):
        predictions.read_columns(path, path.parent)
