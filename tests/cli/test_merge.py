"""A published model with adapters, by the command line alone: trained, used, merged, and used without its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.texts import reviews, writer_folder

SMALL = ["-o", "domain.length=24", "-o", "validation=0.1", "-o", "test=0.2", "--epochs", 1, "--name", "a"]


def texts(folder: Path) -> Path:
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02d}.txt").write_text("\n".join(text for text, _ in reviews(8, seed=number)))
    return folder


def test_from_adapters_to_a_checkpoint_that_needs_nothing(pervade, tmp_path: Path) -> None:
    base, data = writer_folder(tmp_path / "gpt2"), texts(tmp_path / "texts")
    outcome = pervade("train", data, "--model", f"hf:{base}", "--lora", *SMALL)
    assert outcome.status == 0
    assert "task: text-generation" in outcome.err
    write = ["predict", "a", "the film", "--temperature", 0, "--length", 8, "--json"]
    before = json.loads(pervade(*write).out)
    decision = Path("runs/a/checkpoints/best/decision.json")
    asked = {"use": "threshold", "min_recall": {"sick": 0.9}}
    promised = [{"promise": asked, "settled": {}, "n": 9, "kept": False, "why": "too few"}]
    decision.write_text(json.dumps({**json.loads(decision.read_text()), "promises": promised}))
    outcome = pervade("merge", "a")
    assert outcome.status == 0
    assert Path(outcome.out.strip()) == Path("runs/a/checkpoints/merged")
    sizes = [(Path("runs/a/checkpoints") / name / "model.safetensors").stat().st_size for name in ("best", "merged")]
    assert sizes[0] < sizes[1]
    assert json.loads(Path("runs/a/checkpoints/merged/decision.json").read_text())["promises"] == promised
    shutil.rmtree(base)
    pervade(*write).refuses("holds adapters alone", str(base), "pervade merge")
    pervade("evaluate", "a").refuses("holds adapters alone")
    assert json.loads(pervade(*write, "--checkpoint", "merged").out) == before
    assert pervade("evaluate", "a", "--checkpoint", "merged").status == 0
    assert pervade("report", "a").status == 0


def test_nothing_to_merge(pervade, run: Path) -> None:
    pervade("merge", run).refuses("checkpoints/best has no adapters to merge; it is complete as it is")
    pervade("merge", run, "--checkpoint", "bst").refuses("has no checkpoint 'bst'; did you mean 'best'")
