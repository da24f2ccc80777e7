"""The account of how data were read: gathered, said, kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pervade
from pervade.core import files
from pervade.data.read import account
from pervade.engine import checkpoint
from tests.small_run import recipe


def test_notes_are_gathered_once_each_and_nowhere_else() -> None:
    account.note("nobody listens")
    with account.gathered() as notes:
        account.note("texts: column 'body'", "--text-column")
        account.note("texts: column 'body'", "--text-column")
        with account.gathered() as inner:
            account.note("inside")
        account.note("not used: id")
    assert notes == ["texts: column 'body' (--text-column)", "not used: id"]
    assert inner == ["inside"]


def test_a_run_keeps_its_account(shapes: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shapes, data)
    (data / "left" / "notes.doc").write_text("not a picture")
    run = pervade.fit(data, recipe=recipe(epochs=1), name="a", runs=tmp_path)
    lines = files.read_json(run.directory.remarks)["account"]
    assert any(
        line.endswith("drawn by chance: validation and test (--seed, -o validation=SHARE, -o test=SHARE)")
        for line in lines
    )
    assert "left out: 1, files ending in '.doc' are not read (--on-bad-file fail)" in lines
    written = run.directory.recipe.read_text(encoding="utf-8")
    assert all(f"# {line}\n" in written for line in lines)
    assert checkpoint.read_recipe(run.directory.recipe) == run.recipe()
    assert "left out: 1, files ending in" in run.report().read_text(encoding="utf-8")
