"""A run with predictions of its test rows and an exported graph, which nobody changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pervade import api


@pytest.fixture(scope="session")
def graph(pictures: api.Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph, inside its run."""
    run = api.load(shutil.copytree(pictures.path, tmp_path_factory.mktemp("graph") / "shapes"))
    run.evaluate()
    return run.export(rows=4).path
