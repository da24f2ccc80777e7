"""Forms that are no ONNX graph are opened in a fresh process, compared with the run on its test rows, or not kept.

A fresh process takes seconds to begin, so that one form is enough by default.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pervade.core import files
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import Loaded
from pervade.export.diffusers import DiffusersFolder
from pervade.export.gguf import Gguf
from pervade.export.huggingface import HuggingFaceFolder
from pervade.export.torch import TorchProgram
from pervade.models.resnet import ResNet
from pervade.run import exporting, reopening
from pervade.tasks.denoise import Denoise
from tests import exports
from tests.data.drawing import encoded, pixels
from tests.export.test_diffusers import CANVAS, SAME, drawn
from tests.exports import PICTURES, checkpoint


def run_of(folder: Path, rows: dict[str, list[Any]]) -> RunDirectory:
    """A run of which there is nothing but test rows."""
    run = RunDirectory(folder / "run")
    run.path.mkdir()
    files.write_json(run.data, {"columns": {**rows, "split": ["test"] * len(rows["id"])}})
    return run


def pictures(folder: Path, count: int = 3) -> RunDirectory:
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(encoded(pixels(number % 3, number, 90)))
    digests = [files.sha256(path) for path in paths]
    names = [path.name for path in paths]
    return run_of(
        folder, {"id": names, "path": [str(path) for path in paths], "hash": digests, "label": ["ape"] * count}
    )


def texts(folder: Path, count: int = 3) -> RunDirectory:
    said = [f"the film number {number} was fun and the plot dull " * 2 for number in range(count)]
    return run_of(folder, {"id": [f"text {number}" for number in range(count)], "text": said, "hash": ["1"] * count})


def ending(loaded: Loaded) -> Loaded:
    """With a token that texts end by."""
    domain: Any = loaded.domain
    return replace(loaded, domain=replace(domain, ends=(3,)))


@pytest.mark.slow
def test_torch(tmp_path: Path) -> None:
    loaded = checkpoint(ResNet(width=8), PICTURES, temperature=1.7)
    made = exporting.export(pictures(tmp_path), loaded, TorchProgram(), tmp_path / "out")
    told = files.read_json(tmp_path / "out" / "parity.json")
    assert told["decoded"] == made.parity["decoded"]
    assert told["decoded"]["rows"] == 3
    assert told["decoded"]["difference"] <= told["tolerance"] == 1e-5
    assert told["decoded"]["changed"] == 0


@pytest.mark.slow
def test_openvino(tmp_path: Path) -> None:
    from pervade.export.openvino import OpenVino

    loaded = checkpoint(ResNet(width=8), PICTURES, temperature=1.7)
    told = exporting.export(pictures(tmp_path), loaded, OpenVino(), tmp_path / "out").parity
    assert told["decoded"]["difference"] <= told["tolerance"] == 1e-5
    assert told["decoded"]["rows"] == 3


@pytest.mark.slow  # twice
def test_hugging_face_and_what_answers_otherwise_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, run = checkpoint(ResNet(width=8, stem="7x7"), PICTURES, temperature=1.7), pictures(tmp_path)
    told = exporting.export(run, loaded, HuggingFaceFolder(), tmp_path / "out").parity
    assert told["batches"]["rows"] == 3
    assert told["batches"]["difference"] <= told["tolerance"] == 1e-4
    assert "changed" not in told["batches"]  # it decides nothing
    before = (tmp_path / "out" / "parity.json").read_bytes()
    whole = HuggingFaceFolder.__call__

    def bent(self: HuggingFaceFolder, loaded: Loaded, folder: Path) -> Path:
        from safetensors.torch import load_file, save_file

        place = whole(self, loaded, folder)
        weights = load_file(place)
        weights["classifier.1.bias"][0] += 0.01
        save_file(weights, place, metadata={"format": "pt"})
        return place

    monkeypatch.setattr(HuggingFaceFolder, "__call__", bent)
    with pytest.raises(ConfigError, match=r"answers otherwise than the run, first 0\.png: .* differ by") as caught:
        exporting.export(run, loaded, HuggingFaceFolder(), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out" / "parity.json").read_bytes() == before


@pytest.mark.slow  # starts an interpreter that loads transformers; test_gguf.py and test_huggingface.py read them again
@pytest.mark.parametrize("exporter", [Gguf(), HuggingFaceFolder()])
def test_writers(tmp_path: Path, exporter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, run = ending(exports.writer(tmp_path / "base")), texts(tmp_path)
    told = exporting.export(run, loaded, exporter, tmp_path / "out").parity
    assert told["batches"]["rows"] >= 3
    assert told["batches"]["difference"] <= told["tolerance"] == 1e-4
    monkeypatch.setattr("pervade.run.parity.MOST", 1)  # at least one
    assert len(list(reopening._affordable(reopening._batches(run, loaded, 3)))) == 1


@pytest.mark.slow
def test_diffusers_is_asked_about_noise_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    loaded = drawn(checkpoint(SAME, CANVAS, Denoise(schedule="linear")))
    run = run_of(tmp_path, {"id": ["a"]})
    told = exporting.export(run, loaded, DiffusersFolder(), tmp_path / "out", say=said.append).parity
    assert told["otherwise"]["rows"] == 4
    assert told["otherwise"]["difference"] <= told["tolerance"] == 1e-4
    assert "seeded noise" in told["compared"]
    assert f"compared: {told['compared']}" in said


def test_a_form_that_cannot_be_opened_again_says_so(tmp_path: Path) -> None:
    class Other:
        kind = "export"

    told = reopening.measure(
        run_of(tmp_path, {"id": []}), exports.writer(tmp_path / "base"), Other(), tmp_path, None, 3
    )
    assert told["compared"].startswith("nothing: ")
