"""What the page is told: what a model says of itself, and an agent's episodes."""

from __future__ import annotations

import base64
import io
import re
from importlib import resources
from pathlib import Path

import pytest
from PIL import Image

from pervade import api
from pervade.agents import film
from pervade.core import files
from pervade.core.run import RunDirectory
from pervade.run import serving
from pervade.run.introducing import introduction
from pervade.serve import page_routes
from pervade.serve.served import Introduction
from tests import trainings
from tests.serve.served import Counting, server

PAGE = resources.files("pervade.serve").joinpath("page")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("agent")
    return trainings.trained(trainings.TRAININGS["rollouts"].asked(folder), folder / "runs" / "rollouts")


def test_a_model_says_what_its_report_says(promised: api.Run) -> None:
    promised.evaluate()
    said = introduction(promised.directory, "best")
    report = promised.report().read_text("utf-8")
    assert said.does == "This model tells “bad” from “good”." and said.does in report
    assert said.measured in report and said.measured.startswith("On ")
    assert [promise in report for promise in said.promises] == [True]
    bars = files.read_json(promised.directory.result("evaluate", "best"))["details"]["reliability"]
    known = [(bar["low"], bar["high"], bar["accuracy"], bar["count"]) for bar in bars if bar["count"]]
    assert [(one.low, one.high, one.right, one.n) for one in said.sureness] == known
    assert sum(one.n for one in said.sureness) == files.read_json(promised.directory.result("evaluate", "best"))["n"]
    assert introduction(promised.directory, "other").measured == ""  # of a checkpoint that was not measured
    assert introduction(RunDirectory(promised.path / "nothing"), "best") == Introduction()


def test_the_page_is_told_of_every_model(promised: api.Run, agent: api.Run) -> None:
    served = [serving.opened(str(run.path), Path()) for run in (promised, agent)]
    with server(*served, Counting()) as (client, _):
        told = {model["name"]: model for model in client.get("/v1/page").json()["models"]}
    assert list(told) == ["reviews", "rollouts", "lengths"]
    assert [model["plays"] for model in told.values()] == [False, True, False]
    assert told["reviews"]["takes"] == [{"name": "input", "kind": "text", "title": "Text", "suffixes": []}]
    assert told["rollouts"]["does"] == "This model acts in CartPole-v1."
    assert all(model["watched"] for model in told.values())
    assert {model["writes"] for model in told.values()} == {""}
    assert told["lengths"]["does"] == ""  # one that says nothing of itself


def test_an_episode_is_the_one_that_predict_plays(agent: api.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (known,) = agent.play(1, 5)
    with server(serving.opened(str(agent.path), Path()), Counting()) as (client, _):
        episode = client.post("/v1/models/rollouts/episode", json={"seed": 5}).json()
        assert {name: episode[name] for name in known} == known
        pictures = [Image.open(io.BytesIO(base64.b64decode(frame))) for frame in episode["frames"]]
        assert len(pictures) == -(-known["length"] // episode["frames_every"])
        assert {max(picture.size) for picture in pictures} == {film.SIDE}
        assert len(episode["chances"]) == len(episode["value"]) == -(-known["length"] // episode["every"])
        assert not episode["cut"]
        monkeypatch.setattr(film, "MOST_STEPS", 3)
        short = client.post("/v1/models/rollouts/episode", json={"seed": 5}).json()
        assert (short["length"], short["return"], short["cut"], len(short["frames"])) == (3, 3.0, True, 3)
        for wrong in (-1, 2**31, "5", None, 1.5):
            assert client.post("/v1/models/rollouts/episode", json={"seed": wrong}).status_code == 422
        refused = client.post("/v1/models/lengths/episode", json={})
        assert refused.status_code == 422 and "does not act" in refused.json()["detail"]
        assert client.post("/v1/models/nobody/episode", json={}).status_code == 404


def test_files_of_the_page_and_nothing_else() -> None:
    with server(Counting()) as (client, _):
        page = client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        named = set(re.findall(r'"/page/([^"]+)"', page.text))
        scripts = {file.name for file in PAGE.iterdir() if file.name.endswith(".js")}
        assert scripts <= named  # each is fetched at once, and none waits for the one that asks for it
        for name in named:
            sent = client.get(f"/page/{name}")
            assert sent.content == PAGE.joinpath(name).read_bytes()
            again = client.get(f"/page/{name}", headers={"If-None-Match": sent.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
        for name in ("served.py", "..%2fserved.py", "%2e%2e/served.py", "main.js/", ""):
            assert client.get(f"/page/{name}").status_code in (400, 404)


def test_every_string_is_in_both_languages() -> None:
    text = PAGE.joinpath("strings.js").read_text("utf-8")
    known = {name: (one, two) for name, one, two in re.findall(r'^  "([\w-]+)": \["(.+)", "(.+)"\],$', text, re.M)}
    assert len(known) == text.count('": ["') > 80
    for one, two in known.values():
        assert sorted(re.findall(r"\{\w+\}", one)) == sorted(re.findall(r"\{\w+\}", two))
    others = [file.read_text("utf-8") for file in PAGE.iterdir() if file.name.endswith(".js")]
    asked = {name for other in others for name in re.findall(r'\bt\("([\w-]+)"', other)}
    assert asked <= set(known)
    assert set(known) - asked <= {name for other in others for name in re.findall(r'"([\w-]+)"', other)} | {
        f"{begins}-{kind}" for begins in ("choose", "drop") for kind in ("file", "picture", "sound")
    } | {"its-label", "its-seed"}


def test_types_are_known_of_all_files() -> None:
    assert {file.name for file in PAGE.iterdir()} == set(page_routes.files())
