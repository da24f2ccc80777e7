"""What those who published weights say of the terms on which they can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from pervade.weights import licence


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("---\nlicense: apache-2.0\ntags:\n- a\n---\ntext", "apache-2.0 (README.md)"),
        ("---\nlicense:\n- mit\n- cc0-1.0\n---\n", "mit, cc0-1.0 (README.md)"),
        ("---\nlicense: other\n---\n", "other (README.md)"),
        ("---\nlicense: &a mit\n---\n", "The terms (LICENSE)"),  # an anchor, which is not read
        ("# license: mit", "The terms (LICENSE)"),
    ],
)
def test_the_card_says_it_or_the_file(card: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "LICENSE").write_text("\n  The terms\nof use\n")
    assert licence.beside(tmp_path) == said


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"---\nlicense: \xff\n---\n")
    assert licence.beside(tmp_path) == ""
