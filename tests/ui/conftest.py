"""A folder of runs as older versions wrote them (tests/old_runs), one that holds others and one that is damaged, behind
the guard as `pervade ui` puts it there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the page needs the extra serve")

from starlette.testclient import TestClient

from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.report import write
from pervade.serve.guard import Guard
from pervade.serve.settings import Settings
from pervade.serve.tokens import Tokens
from pervade.ui.app import DOORS, application
from pervade.ui.serving import MAX_BODY
from pervade.ui.trainings import Trainings

OLD = Path(__file__).parents[1] / "old_runs"


def guarded(runs: Path) -> tuple[Guard, str]:
    admin, token = Tokens.drawn()
    settings = Settings(port=8765, max_body=MAX_BODY)
    return Guard(application(runs, Trainings(runs)), settings, None, admin, DOORS, log=lambda seen: None), token


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, which nobody changes: pictures, pictures-2, texts, agent; seeds with two of them inside; broken."""
    runs = tmp_path_factory.mktemp("ui") / "runs"
    shutil.copytree(OLD, runs)
    for path in [one for one in runs.rglob("*.json*") if not one.name.startswith("tokenizer-")]:
        path.write_text(path.read_text().replace("@HERE", str(runs)))
    seeds = runs / "seeds"
    for name in ("pictures", "pictures-2"):
        shutil.copytree(runs / name, seeds / "members" / name)
    shutil.copy(runs / "pictures" / "recipe.yaml", seeds)
    files.write_json(seeds / "members.json", {"kind": "seeds", "members": ["pictures", "pictures-2"]})
    (runs / "broken").mkdir()
    (runs / "broken" / "recipe.yaml").write_text("{{{")
    write(RunDirectory(runs / "pictures"))
    return runs


@dataclass
class Page:
    """What the page's scripts would ask."""

    client: TestClient
    runs: Path
    token: str

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = self.client.get(path, params=query)
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers["content-type"] else answer

    def post(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    @property
    def admin(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@pytest.fixture
def page(made: Path) -> Iterator[Page]:
    app, token = guarded(made)
    with TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as client:
        yield Page(client, made, token)


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Iterator[Page]:
    """The same over a copy that a test may change."""
    runs = shutil.copytree(made, tmp_path / "runs")
    app, token = guarded(runs)
    with TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as client:
        yield Page(client, runs, token)
