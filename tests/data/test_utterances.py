"""Recordings that transcription learns from, and those that are left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pervade.core.contracts import Context, Opening
from pervade.core.errors import DataError
from pervade.core.types import Output, Rows
from pervade.data.rows.sources.utterances import Utterances
from pervade.domains.transcripts import Transcripts
from pervade.tasks.transcribe import Transcribe

RATE = 1000


class Tenths(nn.Module):
    """A frame every tenth of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.asked: list[int] = []

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Output:
        self.asked.append(input.shape[2])
        frames = input.shape[2] // 100
        return {"logits": torch.zeros(len(input), frames, 3), "frames": torch.ones(len(input), frames)}


def opening(seconds: list[float], texts: list[str], silent: int | None = None) -> Opening:
    samples = [np.full(round(each * RATE), 0 if i == silent else 99, np.int16) for i, each in enumerate(seconds)]
    names, sizes = [f"{i}.wav" for i in range(len(texts))], [len(each) for each in samples]
    rows = Rows({"id": names, "text": texts, "samples": samples, "size": sizes})
    domain = Transcripts(rate=RATE, chunk=2.0, overlap=0.0, alphabet=("", "a", "b"))
    return Opening(rows, Transcribe(), Tenths(), Context(domain), batch_size=2, seed=0)


def test_what_cannot_be_learnt_from_is_left_out_and_said() -> None:
    """a b a b in 0.5 s fits into five frames; a a a takes five, and 0.4 s has four."""
    given = opening([0.5, 3.0, 1.0, 1.0, 0.4], ["abab", "a", "x", "a", "aaa"], silent=3)
    told = Utterances().remarks(given)
    assert [each.split(" of 5 recordings ")[1] for each in told] == [
        "are longer than the 1.92 s that are heard at once (domain.chunk) (the first, 1.wav: 3.0 s)",
        "have nothing in their transcripts that the model can write (the first, 2.wav: 'x')",
        "are silent, and have transcripts (the first, 3.wav: 'a')",
        "say more than can be aligned (the first, 4.wav: 0.40 s make 4 frames, and its transcript needs 5)",
    ]
    assert [batch["row"].tolist() for batch in Utterances().open(given)] == [[0]]


def test_rows_are_looked_at_once() -> None:
    given = opening([0.5, 0.4], ["abab", "aaa"])
    Utterances().remarks(given)
    network: Tenths = given.model  # type: ignore[assignment]
    asked = len(network.asked)
    Utterances().open(given)
    assert asked and len(network.asked) == asked


def test_nothing_is_left() -> None:
    with pytest.raises(DataError, match=r"the first row, 0\.wav: 0\.40 s make 4 frames, and its transcript needs 5"):
        Utterances().open(opening([0.4], ["aaa"]))
