"""Checkpoints made anew by their names: until the new ones are whole, the old ones are set aside."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import measured_of


@contextmanager
def as_before_unless_finished(run: RunDirectory, names: Sequence[str]) -> Iterator[None]:
    """Inside, the checkpoints `names` may be replaced. Where it is left by a fault or a stop, those of them that were
    there before are there again, with all that was measured of them. Raises ResourceError where the disk is full."""
    there = [name for name in dict.fromkeys(names) if name in run.checkpoints()]
    if not there:
        yield
        return
    with files.temporary(run.path / "replaced") as folder:
        aside = RunDirectory(folder)
        with files.writing(folder):
            for path in _belonging(run, there):
                _link(path, folder / path.relative_to(run.path))
        try:
            yield
        except BaseException:  # a stop as well
            for path in _belonging(run, there):
                files.remove(path)
            for path in _belonging(aside, there):
                path.rename(run.path / path.relative_to(folder))
            raise


def _belonging(run: RunDirectory, names: Sequence[str]) -> list[Path]:
    paths = [path for name in names for path in (run.checkpoint(name), *measured_of(run, name))]
    return [path for path in paths if path.exists()]


def _link(source: Path, target: Path) -> None:
    """The same file under another name, since files of a run are replaced, never written into."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_file)
    else:
        _link_file(str(source), str(target))


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)
