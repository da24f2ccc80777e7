"""Error rates against jiwer, and by hand."""

import jiwer
import numpy as np
import pytest

from pervade.metrics import transcription
from pervade.metrics.estimate import estimate

REFERENCES = ["the cat sat on the mat", "one two three", "hello", "a b c d"]
HYPOTHESES = ["the cat sit on mat", "one two two three", "", "a b c d"]


def columns(references=REFERENCES, hypotheses=HYPOTHESES, group=None) -> dict:
    n = len(references)
    return {
        "row": np.arange(n),
        "group": np.arange(n) if group is None else np.array(group),
        **transcription.table(references, hypotheses),
    }


def test_as_jiwer_says() -> None:
    found = estimate(transcription.transcription_metrics(), columns())
    words, characters = jiwer.process_words(REFERENCES, HYPOTHESES), jiwer.process_characters(REFERENCES, HYPOTHESES)
    assert found["word_error_rate"].value == pytest.approx(words.wer) == pytest.approx(4 / 14)
    assert found["character_error_rate"].value == pytest.approx(characters.cer)
    assert found["sentences_right"].value == 0.25
    table = columns()
    for kind in transcription.KINDS:
        assert table[f"word_{kind}"].sum() == getattr(words, kind)
        assert table[f"character_{kind}"].sum() == getattr(characters, kind)


def test_speakers_are_drawn_whole() -> None:
    """Half of the speakers are always right, the others in one of two words: as sure as of twelve sentences."""
    references = ["one two"] * 240
    hypotheses = ["one two"] * 120 + ["two"] * 120
    found = estimate(transcription.transcription_metrics(), columns(references, hypotheses, np.arange(240) // 20))
    assert found["word_error_rate"].value == 0.25
    assert (found["word_error_rate"].low, found["word_error_rate"].high) == pytest.approx((0.11, 0.39), abs=0.03)
    assert "by group" in found["word_error_rate"].method


def test_more_errors_than_words() -> None:
    table = columns(["a"], ["b c d"])
    assert transcription.errors_of(table, "word").tolist() == [3]


def test_confusions() -> None:
    found = transcription.confusions(REFERENCES * 2, HYPOTHESES * 2, 3)
    assert found == [
        {"said": "", "written": "two", "times": 2},
        {"said": "hello", "written": "", "times": 2},
        {"said": "sat", "written": "sit", "times": 2},
    ]
