"""What a model made, as files in a folder, and the sheet of pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pervade.core.types import Media
from pervade.data import media_files
from pervade.data.image.grid import grid, png
from pervade.data.media_files import MediaFiles
from pervade.data.sound import player


def picture(level: int, side: int = 4, channels: int = 3) -> np.ndarray:
    return np.full((side, side, channels), level, np.uint8)


def test_what_is_called_alike_gets_files_of_its_own(tmp_path: Path) -> None:
    sound, about = player.media(np.zeros(8), 8000)
    made = MediaFiles(tmp_path / "made")
    files = [made.write(sound, name) for name in ("a/b", "a-b", "a/b", "c", "contact-sheet")]
    assert [each.name for each in files] == ["a-b.wav", "a-b-2.wav", "a-b-3.wav", "c.wav", "contact-sheet-2.wav"]
    assert about == {"seconds": 0.001}
    assert made.finish() is None  # sounds have no sheet


def test_a_sheet_shows_the_first_pictures_and_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_files, "MOST_SHOWN", 4)
    made = MediaFiles(tmp_path)
    for level in range(6):
        made.write(Media("png", png(picture(40 * level))), str(level))
    assert made.finish() == f"sheet   {tmp_path / 'contact-sheet.png'} (the first 4 of 6)"
    sheet = np.asarray(Image.open(tmp_path / "contact-sheet.png"))
    side = 64  # small pictures are enlarged
    assert sheet.shape == (2 * side + 2, 2 * side + 2, 3)
    corners = [sheet[0, 0, 0], sheet[0, -1, 0], sheet[-1, 0, 0], sheet[-1, -1, 0]]
    assert corners == [0, 40, 80, 120]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "5.png")), picture(200))


def test_a_grid_has_its_rows_filled_with_white() -> None:
    page = grid([picture(level, 64, 1) for level in (0, 50, 100)], columns=2)
    assert page.shape == (130, 130, 1)
    assert [page[0, 0, 0], page[0, 129, 0], page[129, 0, 0], page[129, 129, 0]] == [0, 50, 100, 255]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(page)))), page[:, :, 0])
