"""From a table to predictions and the report, for several labels and for numbers, on pictures that can be learnt."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from typer.testing import CliRunner

from pervade import api
from pervade.cli import _register, app
from pervade.core import files
from pervade.core.errors import DataError
from pervade.engine.predictions import read_columns
from pervade.run.progress import Silent
from pervade.run.training import Options

SMALL = ("domain.size=12", "domain.margin=1.0", "domain.augment=false", "model.units=[16]", "average=null")
PICTURES = 160


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey squares of 12 pixels, brighter or darker, some with a white left edge, some with a red top."""
    folder = tmp_path_factory.mktemp("marked")
    rng = np.random.default_rng(0)
    labels, numbers = ["image,labels"], ["image,level"]
    for number in range(PICTURES):
        level = rng.uniform(20, 180)
        left, top = rng.random(2) < (0.5, 0.25)
        pixels = np.full((12, 12, 3), level) + rng.normal(0, 8, (12, 12, 3))
        pixels[:, :4] += 75 * left
        pixels[:4, :, 0] += 75 * top
        Pillow.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        labels.append(f"{number}.png,{'|'.join(name for name, has in (('left', left), ('top', top)) if has)}")
        numbers.append(f"{number}.png,{level:.2f}")
    (folder / "labels.csv").write_text("\n".join(labels))
    (folder / "level.csv").write_text("\n".join(numbers))
    return folder


def train(source: Path, runs: Path, **more: object) -> api.Run:
    run = api.fit(
        source,
        model="reference-mlp",
        runs=runs,
        name=source.stem,
        settings=[*SMALL, "optimizer.lr=0.01", "epochs=25", "batch_size=16", "workers=0"],
        options=Options(Silent()),
        **more,  # type: ignore[arg-type]
    )
    run.evaluate()
    return run


@pytest.fixture(scope="session")
def tagged(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    return train(pictures / "labels.csv", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def measured(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    return train(pictures / "level.csv", tmp_path_factory.mktemp("runs"))


def call(*arguments: object) -> tuple[int, str]:
    _register()
    outcome = CliRunner().invoke(app, [str(each) for each in arguments])
    return outcome.exit_code, outcome.output


def test_labels_are_learnt(tagged: api.Run) -> None:
    result = tagged.results()
    assert files.read_json(tagged.directory.environment)["task"] == "image-multi-label-classification"
    figures = result["metrics"]
    prior = result["details"]["baseline"]["metrics"]["mean_average_precision"]
    assert figures["mean_average_precision"]["value"] > prior["high"]
    assert figures["f1_micro"]["value"] > 0.8
    columns = read_columns(tagged.directory.predictions("best", "test"))
    assert (
        columns["target"].shape
        == columns["prediction"].shape
        == columns["probabilities"].shape
        == (len(columns["row"]), 2)
    )
    stored = files.read_json(tagged.directory.data)["columns"]["target"]
    for row, target in zip(columns["row"], columns["target"], strict=True):
        assert [name for name, has in zip(("left", "top"), target, strict=True) if has] == sorted(stored[row])
    decided = files.read_json(tagged.directory.checkpoint("best") / "decision.json")["thresholds"]
    assert columns["threshold"][0].tolist() == [decided["left"], decided["top"]]


def test_numbers_are_learnt(measured: api.Run) -> None:
    result = measured.results()
    assert files.read_json(measured.directory.environment)["task"] == "image-regression"
    figures = result["metrics"]
    assert (
        figures["mean_absolute_error"]["high"] < result["details"]["baseline"]["metrics"]["mean_absolute_error"]["low"]
    )
    assert figures["r2"]["value"] > 0.8
    assert figures["coverage"]["low"] < 0.9 < figures["coverage"]["high"]
    columns = read_columns(measured.directory.predictions("best", "test"))
    stored = files.read_json(measured.directory.data)["columns"]["target"]
    assert columns["target"].tolist() == [stored[row] for row in columns["row"]]
    assert np.allclose(columns["high"] - columns["prediction"], result["details"]["reach"])


def test_predict_agrees_with_evaluate(tagged: api.Run, measured: api.Run) -> None:
    for run, column in ((tagged, "probabilities"), (measured, "prediction")):
        columns = read_columns(run.directory.predictions("best", "test"))
        stored = files.read_json(run.directory.data)["columns"]["path"]
        answers = run.predict([stored[row] for row in columns["row"]], top=2)
        for answer, wanted in zip(answers, columns[column], strict=True):
            if column == "prediction":
                assert answer["value"] == pytest.approx(wanted, rel=1e-6)
            else:
                by_name = {each["label"]: each["probability"] for each in answer["top"]}
                assert [by_name["left"], by_name["top"]] == pytest.approx(wanted.tolist(), abs=1e-6)


def test_what_predict_prints(tagged: api.Run, measured: api.Run, pictures: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    inputs = [bad, *(pictures / f"{i}.png" for i in range(12))]
    status, text = call("predict", tagged.path, *inputs)
    assert status == 0
    assert "no label (likeliest: " in text
    status, text = call("predict", tagged.path, *inputs, "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["input"] for row in rows} == {str(each) for each in inputs}
    assert {row["label"] for row in rows} == {"", "left", "top"}
    assert {row["error"] for row in rows if row["input"] != str(bad)} == {""}
    status, text = call("predict", measured.path, *inputs, "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 13
    assert all(float(r["low"]) < float(r["value"]) < float(r["high"]) for r in rows if not r["error"])
    status, text = call("predict", measured.path, inputs[1])
    assert "(90%: " in text
    status, text = call("predict", measured.path, inputs[1], "--json")
    assert json.loads(text).keys() == {"input", "value", "low", "high", "coverage", "error"}
    status, text = call("predict", measured.path, bad, "--csv")
    assert status == 2
    assert "input,error\n" in text


def test_reports(tagged: api.Run, measured: api.Run) -> None:
    page = tagged.report().read_text()
    for words in (
        "This model says which of 2 labels a picture has.",
        "Label by label",
        "Said from",
        "have a label too many or too few",
        "Rows with all labels right",
    ):
        assert words in page
    card = tagged.directory.model_card.read_text()
    assert "pipeline_tag: image-classification" in card
    page = measured.report().read_text()
    for words in (
        "This model estimates a number from a picture.",
        "it was off by",
        "Answer against truth",
        "Largest errors",
    ):
        assert words in page
    assert "mae" in measured.directory.model_card.read_text()


def test_the_task_is_detected_and_can_be_overruled(pictures: Path, tmp_path: Path) -> None:
    lines = [line.split(",") for line in (pictures / "level.csv").read_text().splitlines()[1:]]
    classes = [f"{name},{int(float(level) > 100)}" for name, level in lines]
    (pictures / "classes.csv").write_text("\n".join(["image,level", *classes]))
    run = train(pictures / "classes.csv", tmp_path, epochs=1)
    assert files.read_json(run.directory.environment)["task"] == "image-classification"
    (pictures / "again.csv").write_text((pictures / "classes.csv").read_text())
    run = train(pictures / "again.csv", tmp_path, epochs=1, task="image-regression")
    assert run.results()["details"]["scatter"]


def test_a_column_in_several_spellings_is_refused(pictures: Path, tmp_path: Path) -> None:
    (pictures / "mixed.csv").write_text('image,labels\n0.png,left|top\n1.png,"left, top"\n2.png,top\n3.png,left\n')
    with pytest.raises(DataError, match=r"mixed\.csv, row 1 parts its labels by \| .*row 2 by commas"):
        api.fit(pictures / "mixed.csv", runs=tmp_path, model="reference-mlp", options=Options(Silent()))
    assert not list(tmp_path.iterdir())
