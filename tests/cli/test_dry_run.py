"""pervade train --dry-run."""

from __future__ import annotations

from pathlib import Path


def test_a_dry_run_says_it_and_leaves_nothing(pervade, shapes: Path, tmp_path: Path) -> None:
    outcome = pervade("train", shapes, "--init", "random", "--dry-run", "--runs", tmp_path / "runs")
    assert outcome.status == 0
    assert "; drawn by chance: validation and test" in outcome.err
    assert "read: seen of a picture when it is judged: " in outcome.err
    assert "data: " in outcome.err
    assert "task: image-classification, as the data look (another with --task)" in outcome.err
    assert "model: small-cnn" in outcome.err.splitlines()
    assert "rungs: plain, trained, blend; no frozen: no published network is at hand" in outcome.err
    assert "trained 1 pass" not in outcome.err
    assert not (tmp_path / "runs").exists()
