"""What a person reads while work goes on."""

from __future__ import annotations

import pytest

from pervade.run import progress


def test_names_of_figures_are_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    with progress.Plain().bar("training") as bar:
        bar(1, 4, loss=0.25, word_error_rate=0.5)
    assert capsys.readouterr().err == "training: 25%, ? left, loss 0.25, word error rate 0.5\n"
