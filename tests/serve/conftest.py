"""Small runs that are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from pervade import api
from pervade.run.training import Options
from tests import texts
from tests.small_run import recipe

SOLVED = (
    "domain=bag",
    "optimizer={use: linear-solver, strengths: [1.0]}",
    *("source=whole", "schedule=constant", "tuning=null"),
    *("validation=0.4", "threads=1", "workers=0"),
)


@pytest.fixture(scope="session")
def pictures(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    runs = tmp_path_factory.mktemp("served")
    return api.fit(shapes, recipe=recipe(epochs=1), runs=runs, name="shapes", options=Options())


@pytest.fixture(scope="session")
def promised(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    """Reviews, with sets that hold what is right nine times of ten."""
    folder = tmp_path_factory.mktemp("promised")
    data = texts.write(folder / "reviews.tsv", texts.reviews(300))
    chosen = {"model": "linear", "task": "text-classification", "epochs": 1, "settings": SOLVED, "coverage": 0.9}
    return api.fit(data, runs=folder / "runs", name="reviews", options=Options(), **chosen)
