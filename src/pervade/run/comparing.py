"""Runs compared with one another: single models by the predictions of each, and ways of training by those of several
seeds. A part of the Python face (api.py)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pervade.core import memory
from pervade.core.contracts.capabilities import Acting
from pervade.core.errors import ConfigError
from pervade.core.run import RunDirectory, find
from pervade.engine import checkpoint
from pervade.evaluate.compare import Comparison
from pervade.evaluate.compare import compare as compare_predictions
from pervade.evaluate.compare_seeds import SeedsComparison, holds_seeds
from pervade.evaluate.compare_seeds import compare_seeds as compare_runs_of_seeds


class _Comparable(Protocol):
    """A run as the Python face has it (api.Run)."""

    @property
    def directory(self) -> RunDirectory: ...


@memory.during("runs were compared", "free some memory")
def compare(
    runs_to_compare: Sequence[_Comparable | str | Path],
    *,
    checkpoints: Sequence[str] = (),
    split: str = "test",
    data: str | None = None,
    reference: int = 0,
    allow_different_rows: bool = False,
    out: str | Path | None = None,
    runs: str | Path = "runs",
) -> Comparison:
    """Compares runs with the first of them, or with number `reference`, on the rows of `split`, by paired tests.

    `data` is the name, or its beginning, of other data that all of them were measured on (`Run.evaluate(data=…)`).
    `checkpoints` names one for all runs or one for each; `out` is where a page to look at goes. What comes back has
    `as_dict`. Raises CheckpointError where a run was not evaluated on the split, DataError where the runs' rows differ
    and `allow_different_rows` is off, ConfigError where they were asked for other things.
    """
    directories = _directories(runs_to_compare, runs)
    comparison = compare_predictions(
        directories if data is None else [run.on(data) for run in directories],
        checkpoints=checkpoints,
        split=split,
        reference=reference,
        allow_different_rows=allow_different_rows,
    )
    if out is not None:
        from pervade.report import compare as page

        page.write(comparison, Path(out))
    return comparison


def are_seeds(runs_to_compare: Sequence[str | Path], runs: str | Path = "runs") -> bool:
    """Whether all of these are runs of several seeds that act: no two of their episodes are the same row."""
    directories = _directories(runs_to_compare, runs)
    return all(
        holds_seeds(run) and isinstance(checkpoint.read_recipe(run.recipe).domain, Acting) for run in directories
    )


def compare_seeds(
    runs_to_compare: Sequence[_Comparable | str | Path], runs: str | Path = "runs"
) -> list[SeedsComparison]:
    """Runs of several seeds each, every one with the first: ways of training, and not single models. Raises ConfigError
    where one is no such run, CheckpointError where it is unfinished."""
    directories = _directories(runs_to_compare, runs)
    single = [run for run in directories if not holds_seeds(run)]
    if single or len(directories) < 2:
        which = f"{single[0].path} is a single one" if single else "there is one alone"
        raise ConfigError(f"ways of training are compared by runs of several seeds (--seeds 5), and {which}")
    return compare_runs_of_seeds(directories)


def _directories(given: Sequence[_Comparable | str | Path], runs: str | Path) -> list[RunDirectory]:
    return [find(run, Path(runs)) if isinstance(run, (str, Path)) else run.directory for run in given]
