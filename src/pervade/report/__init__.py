"""report.html and MODEL_CARD.md, from what lies in a run directory.

    write(RunDirectory(Path("runs/pets")))

Nothing is trained, predicted or fetched. The same run directory gives the same bytes: there is no date and no random
name in them. The page is one file: style, charts and thumbnails lie inside it, and it runs no script.
"""

from __future__ import annotations

from pathlib import Path

from pervade.core import files, memory
from pervade.core.run import RunDirectory
from pervade.report import card, page
from pervade.report.record import drawing, read


@memory.during("the report was written", "free some memory, then `pervade report` the run")
def write(directory: RunDirectory) -> Path:
    """Writes both files and returns the report's path.

    Raises CheckpointError where the folder is no run, or a part of what was measured cannot be drawn; ResourceError
    where it cannot be written. A run that is unfinished, not evaluated or partly damaged has a report that says so.
    """
    record = read(directory)
    files.write_text(directory.report, page.build(record))
    if directory.measured:
        return directory.report
    with drawing(record, "the model card"):
        told = card.build(record)
    files.write_text(directory.model_card, told)
    return directory.report
