"""pervade evaluate RUN DATA: a run measured on other labelled data than its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pervade import api
from pervade.core.errors import CheckpointError, ConfigError, DataError
from pervade.engine.predictions import read_columns
from tests.data.drawing import class_folders, encoded, pixels
from tests.data.sounds import tone
from tests.data.sounds import write as write_sound


@pytest.fixture
def august(tmp_path: Path) -> Path:
    """Pictures that the run has never seen, six of each class."""
    root = tmp_path / "august"
    for colour, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for seed in range(6):
            (root / name / f"{seed}.png").write_bytes(encoded(pixels(colour, 100 + seed)))
    return root


def test_the_same_figures_on_other_data(pervade, run: Path, august: Path) -> None:
    before = (run / "results" / "evaluate@best.json").read_bytes()
    pervade("report", run)
    outcome = pervade("evaluate", run, august)
    assert outcome.status == 0, outcome
    (name,) = [each.name for each in (run / "measured").iterdir()]
    assert name.startswith("august-")
    assert f"checkpoint 'best' on {name}, n = 12" in outcome.out
    result = json.loads((run / "results" / f"evaluate@best@{name}.json").read_text())
    assert result["data"]["source"] == str(august)
    assert result["data"]["hash"][:8] == name.removeprefix("august-")
    assert result["n"] == 12
    columns = read_columns(run / "predictions" / f"best@{name}.parquet")
    right = float((columns["target"] == columns["prediction"]).mean())
    assert result["metrics"]["accuracy"]["value"] == right
    own = json.loads(before)
    assert result["metrics"].keys() == own["metrics"].keys()
    # What guessing would reach is known from the run's own training data.
    assert result["details"]["baseline"]["name"] == own["details"]["baseline"]["name"]
    assert result["details"]["train_counts"] == own["details"]["train_counts"]
    assert (run / "results" / "evaluate@best.json").read_bytes() == before
    page = (run / f"report-{name}.html").read_text()
    assert f"measured on <b><bdi>{name}</bdi></b>" in page
    assert '<a href="report.html">' in page
    assert f'<a href="report-{name}.html">' in (run / "report.html").read_text()
    assert "which are not the data of its training" in page
    assert "report.html" in outcome.out or f"report-{name}.html" in outcome.out
    # As a package, the same; and by predict.
    again = api.load(run)
    found = again.evaluate(data=august)
    assert found["data"]["name"] == name
    assert found["metrics"] == result["metrics"]
    assert again.on("august").results()["metrics"] == result["metrics"]
    difference = again.predict_proba([august / each for each in columns["id"]]) - columns["probabilities"]
    assert np.abs(difference).max() < 1e-6
    # The run's own report is of its own data, and leads to the page.
    assert name not in again.report().read_text().partition("Measured on other data, too")[0]


def test_what_the_run_learnt_from_is_left_out(pervade, run: Path, august: Path) -> None:
    stored = json.loads((run / "data.json").read_text())["columns"]
    train, validation = (
        [path for path, split in zip(stored["path"], stored["split"], strict=True) if split == name]
        for name in ("train", "validation")
    )
    for number, path in enumerate((*train[:2], *validation[:1])):
        shutil.copy(path, august / "cat" / f"known-{number}.png")
    outcome = pervade("evaluate", run, august)
    said = f"{3 if validation else 2} of {14 + bool(validation)} rows are byte by byte what the run was trained on"
    assert said in outcome.err + outcome.out
    assert "n = 12" in outcome.out
    assert f"n = {14 + bool(validation)}" in pervade("evaluate", run, august, "--keep-known").out
    # The run's very own data: its test rows are left.
    own = Path(json.loads((run / "data.json").read_text())["source"])
    tests = stored["split"].count("test")
    assert f"n = {tests}" in pervade("evaluate", run, own).out
    only = august.parent / "only" / "cat"
    only.mkdir(parents=True)
    shutil.copy(train[0], only / "a.png")
    pervade("evaluate", run, only.parent).refuses("byte by byte what the run was trained on", "--keep-known")


def test_classes_that_it_does_not_know(pervade, run: Path, august: Path) -> None:
    class_folders(august, ("newt",), count=3)
    outcome = pervade("evaluate", run, august)
    assert "n = 12" in outcome.out
    assert "its class 'newt' was not learnt" in outcome.err + outcome.out
    (result,) = (run / "results").glob("evaluate@best@august-*.json")
    assert json.loads(result.read_text())["data"]["left_out"] == 3
    shutil.rmtree(august / "cat")
    shutil.rmtree(august / "dog")
    pervade("evaluate", run, august).refuses("no row is of a class that was learnt: there are 'newt'", "'cat', 'dog'")


def test_one_class_alone_can_be_measured(pervade, run: Path, august: Path) -> None:
    shutil.rmtree(august / "dog")
    outcome = pervade("evaluate", run, august, "--json")
    assert outcome.status == 0, outcome
    result = json.loads(outcome.out)
    assert result["n"] == 6
    assert result["metrics"]["accuracy"]["value"] is not None


def test_columns_and_splits_of_a_table(pervade, run: Path, august: Path) -> None:
    files = sorted(each.relative_to(august).as_posix() for each in august.rglob("*.png"))
    lines = [f"{file},{file.partition('/')[0]},{'test' if i % 3 else 'train'}" for i, file in enumerate(files)]
    (august / "list.csv").write_text("\n".join(["picture,animal,split", *lines]))
    table = august / "list.csv"
    outcome = pervade("evaluate", run, table, "--label-column", "animal", "--file-column", "picture")
    assert outcome.status == 0, outcome
    assert "measured on all 12 rows, whatever their split (4 train, 8 test)" in outcome.err + outcome.out
    assert "n = 12" in outcome.out
    outcome = pervade("evaluate", run, table, "--label-column", "animal", "--split", "test")
    assert "checkpoint 'best' on list-test-" in outcome.out
    assert "n = 8" in outcome.out
    table.write_text("\n".join(["picture,animal,split", *(f"{each.rpartition(',')[0]},test" for each in lines)]))
    assert "n = 12" in pervade("evaluate", run, table, "--label-column", "animal").out  # nothing to train on is needed
    pervade("evaluate", run, table, "--split", "dev", "--label-column", "animal").refuses("no split 'dev'", "12 test")
    pervade("evaluate", run, table, "--label-column", "beast").refuses("has no column 'beast'")
    pervade("evaluate", run, table, "--text-column", "animal").refuses("--text-column 'animal' is not for")
    pervade("evaluate", run, "--label-column", "animal").refuses("label_column", "other data")


def test_two_checkpoints_and_two_runs_on_the_same_data(pervade, run: Path, august: Path, tmp_path: Path) -> None:
    for name in ("best", "last"):
        assert pervade("evaluate", run, august, "--checkpoint", name).status == 0
    outcome = pervade("compare", run, run, "--checkpoint", "best", "--checkpoint", "last", "--data", "august")
    assert outcome.status == 0, outcome
    assert "on 12 pictures of the data august-" in outcome.out
    other = shutil.copytree(run, tmp_path / "runs" / "other")
    assert "on 12 pictures" in pervade("compare", run, other, "--data", "august").out
    pervade("compare", run, other, "--data", "july").refuses("was measured on no data called 'july'", "august-")
    next((other / "predictions").glob("best@august-*")).unlink()
    pervade("compare", run, other, "--data", "august").refuses("was not measured by the checkpoint 'best'", "DATA")
    with pytest.raises(CheckpointError, match="no data called 'july'"):
        api.load(run).on("july")


def test_what_cannot_be_measured(pervade, run: Path, tmp_path: Path) -> None:
    pervade("evaluate", run, tmp_path / "nowhere").refuses("nowhere is not there")
    with pytest.raises(DataError):
        api.load(run).evaluate(data=tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="keep_known: these are for other data"):
        api.load(run).evaluate(keep_known=True)
    assert not (run / "measured").exists()


def test_columns_that_were_named_for_other_data(pervade, run: Path, august: Path) -> None:
    """The run was trained on a table with a column of its own, and these are class folders."""
    path = run / "checkpoints" / "best" / "preprocess.json"
    stored = json.loads(path.read_text())
    stored["domain"]["label_pattern"] = "^z(.)"
    path.write_text(json.dumps(stored))
    outcome = pervade("evaluate", run, august)
    assert outcome.status == 0, outcome
    assert "what the run was trained with (--label-pattern ^z(.)) does not fit these data" in outcome.err + outcome.out
    pervade("evaluate", run, august, "--label-pattern", "^y(.)").refuses("fits --label-pattern '^y(.)'")


def wrong_kinds(root: Path) -> dict[str, str]:
    """Data of other kinds than pictures, and what each looks made for."""
    table, books, sounds = root / "reviews.csv", root / "books", root / "sounds"
    table.write_text("text,label\n" + "".join(f"we saw it {i} times,{'good' if i % 2 else 'bad'}\n" for i in range(20)))
    for folder in (books, sounds / "low", sounds / "high"):
        folder.mkdir(parents=True)
    for i in range(3):
        (books / f"{i}.txt").write_text(f"Once there was a fox.\nIt ran {i} miles.\n")
        for pitch, hertz in (("low", 300.0), ("high", 900.0)):
            write_sound(sounds / pitch / f"{i}.wav", tone(hertz))
    return {
        str(table): "text-classification (one class for each text or pair of texts)",
        str(books): "text-generation (writes on from a text)",
        str(sounds): "audio-classification (one class for each recording)",
        "gym://CartPole-v1": "reinforcement-learning (acts in an environment)",
    }


def test_data_of_another_kind_are_told_from_what_the_run_reads(pervade, run: Path, tmp_path: Path) -> None:
    for data, made_for in wrong_kinds(tmp_path).items():
        told = f"{run} reads pictures, and {data} looks made for {made_for}; give pictures, or learn from these: "
        pervade("evaluate", run, data).refuses(f"{told}pervade train {data}")
        outcome = pervade("predict", run, data)
        assert outcome.status == 2
        told = f"nothing is predicted: {run} reads pictures, and none of what was given can be used"
        assert outcome.err.splitlines()[-1] == told
        assert "no column of texts" not in outcome.err


def test_pictures_are_no_texts(pervade, photos: Path) -> None:
    run = Path(__file__).parent.parent / "old_runs" / "texts"
    with pytest.raises(DataError, match=r"reads texts with labels, and .*photos looks made for image-classification"):
        api.load(run).evaluate(data=photos)
