"""A damaged file of a run is named in one line, whatever in it is of another type than it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch

from pervade.core import files

BEST = "checkpoints/best/"
FAULTS = [
    ("predict", f"{BEST}decision.json", "temperature", 0, "temperature is 0"),
    ("predict", f"{BEST}decision.json", "temperature", 1e-300, "temperature is 1e-300"),
    ("predict", f"{BEST}decision.json", "temperature", True, "temperature is True"),
    ("predict", f"{BEST}architecture.json", "tied", [], "tied is []"),
    ("predict", f"{BEST}architecture.json", "tied", {"a": "b"}, "there is no weight 'b'"),
    ("predict", f"{BEST}architecture.json", "outputs", {"logits": 7}, "its architecture gives {'logits': 7}"),
    ("predict", f"{BEST}architecture.json", "format", True, "its format is True"),
    ("evaluate", "data.json", "columns", {"id": ["a", "b"], "split": ["test"]}, "its columns differ in length"),
    ("evaluate", "data.json", "columns", [], "columns is []"),
    ("evaluate", "data.json", "columns", {"id": ["a", "a"]}, "an id stands twice"),
]


@pytest.mark.parametrize(("verb", "name", "field", "value", "said"), FAULTS, ids=[str(each[2:4]) for each in FAULTS])
def test_a_field_of_another_type(pervade, run: Path, photos: Path, verb, name, field: str, value: Any, said) -> None:
    data = json.loads((run / name).read_text())
    (run / name).write_text(json.dumps({**data, field: value}))
    pervade(verb, run, *([photos] if verb == "predict" else [])).refuses(
        Path(name).name if "weight" not in said and "gives" not in said else "best", said
    )


def test_weights_that_are_no_numbers(pervade, run: Path, photos: Path) -> None:
    path = run / BEST / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    name = sorted(weights)[0]
    weights[name] = weights[name].float() * float("nan")
    safetensors.torch.save_file(weights, path)
    data = json.loads((run / BEST / "architecture.json").read_text())
    (run / BEST / "architecture.json").write_text(json.dumps({**data, "sha256": files.sha256(path)}))
    pervade("predict", run, photos).refuses(f"the weight {name!r} holds values that are no numbers")


@pytest.mark.parametrize(("field", "value"), [("n", True), ("metrics", []), ("predictions", "../../etc/passwd")])
def test_results_that_are_damaged_are_named_in_the_report(pervade, run: Path, field: str, value: Any) -> None:
    path = run / "results" / "evaluate@best.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert pervade("report", run).status == 0
    assert f"evaluate@best.json is damaged ({field} is" in (run / "report.html").read_text().replace("&#39;", "'")
