"""pervade evaluate RUN --unlike OTHER: rows of whatever a run did not learn, told from its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pervade import api
from pervade.core import files
from pervade.core.errors import CheckpointError, ConfigError
from pervade.engine.predictions import read_columns
from pervade.evaluate import unlike
from tests.data.drawing import encoded
from tests.data.sounds import tone
from tests.data.sounds import write as write_sound
from tests.texts import reviews, write


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Fifty pictures of nothing, without labels."""
    folder = tmp_path / "noise"
    folder.mkdir()
    for seed in range(50):
        drawn = np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        (folder / f"{seed}.png").write_bytes(encoded(drawn))
    return folder


def test_other_pictures_are_told_from_its_own(pervade, run: Path, noise: Path) -> None:
    before = (run / "results" / "evaluate@best.json").read_bytes()
    outcome = pervade("evaluate", run, "--unlike", noise)
    assert outcome.status == 0, outcome
    (path,) = (run / "results").glob("unlike-noise-*@best.json")
    result = files.read_json(path)
    told = result["details"]["unlike"]
    columns = read_columns(run / result["predictions"])
    stored = json.loads((run / "data.json").read_text())["columns"]["split"]
    assert told["rows"]["other"] == 50
    assert told["rows"]["test"] == result["n"] == stored.count("test") == int((~columns["unlike"]).sum())
    assert list(told["scores"]) == ["distance", "energy", "max_probability"]
    for name, measured in told["scores"].items():
        assert measured["auroc"]["value"] == pytest.approx(roc_auc_score(columns["unlike"], columns[name]))
    assert told["best"] == "distance"
    assert result["metrics"]["auroc"] == told["scores"]["distance"]["auroc"]
    assert told["scores"]["distance"]["auroc"]["value"] > 0.9
    name = path.stem.partition("@")[0].removeprefix("unlike-")
    assert f"tells {name} from its own pictures: AUROC " in outcome.out
    # So few pictures were not trained on that no threshold can be settled, and that is said.
    assert stored.count("validation") < 19
    assert result["metrics"]["flagged"]["value"] is None
    assert "no threshold is settled, since 19 rows that were not trained on are needed" in outcome.out
    # The maximum probability is what evaluate says.
    own = read_columns(run / "predictions" / "best@test.parquet")
    mine = dict(zip(columns["row"], columns["max_probability"], strict=True))
    wanted = [1 - own["probabilities"][place].max() for place in range(len(own["row"]))]
    np.testing.assert_allclose([mine[row] for row in own["row"]], wanted, atol=1e-6)
    assert (run / "results" / "evaluate@best.json").read_bytes() == before
    page = (run / "report.html").read_text()
    assert "Unlike what was learnt" in page
    assert f"Tells {name} from its own pictures" in page
    assert json.loads(pervade("evaluate", run, "--unlike", noise, "--json").out)["metrics"] == result["metrics"]
    # A field of another type is named.
    told["scores"]["energy"]["points"] = [[2.0, 0.5]]
    path.write_text(json.dumps(result))
    with pytest.raises(CheckpointError, match=r"points\.0\.0 is 2\.0"):
        files.read_json(path)
    assert pervade("report", run).status == 0
    assert "is damaged" in (run / "report.html").read_text()


def test_a_threshold_is_settled_by_rows_that_chose_nothing(
    run: Path, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unlike, "FALSE_ALARMS", 0.2)  # for which few rows suffice
    path = run / "data.json"
    stored = json.loads(path.read_text())
    others = len(stored["columns"]["split"]) - 8
    stored["columns"]["split"] = [*["train"] * 4, *["promise"] * others, *["test"] * 4]
    path.write_text(json.dumps(stored))
    result = api.load(run).evaluate(unlike=noise)
    told = result["details"]["unlike"]
    assert told["settled_on"] == "promise"
    assert told["rows"] == {"train": 4, "settling": others, "test": 4, "other": 50}
    assert told["best"] == "max_probability"  # without validation rows there is nothing by which to choose another
    columns, measured = read_columns(run / result["predictions"]), told["scores"]["energy"]
    flagged = columns["energy"] > measured["threshold"]
    assert measured["flagged"]["value"] == flagged[columns["unlike"]].mean()
    assert measured["false_alarms"]["value"] == flagged[~columns["unlike"]].mean()
    assert (measured["false_alarms"]["n"], measured["flagged"]["n"]) == (4, 50)


def test_its_own_rows_are_left_out(pervade, run: Path, noise: Path) -> None:
    stored = json.loads((run / "data.json").read_text())
    own = Path(stored["source"])
    pervade("evaluate", run, "--unlike", own).refuses("are byte by byte the run's own", "give --unlike other data")
    shutil.copy(stored["columns"]["path"][0], noise / "own.png")
    outcome = pervade("evaluate", run, "--unlike", noise)
    assert "left out: 1; the first, " in outcome.err + outcome.out
    assert "n = 50 beside" in outcome.out


def test_what_cannot_be_told_apart(pervade, run: Path, noise: Path, tmp_path: Path) -> None:
    pervade("evaluate", run, "--unlike", tmp_path / "nowhere").refuses(
        "nowhere is not there", "--unlike takes a folder"
    )
    (tmp_path / "empty").mkdir()
    pervade("evaluate", run, "--unlike", tmp_path / "empty").refuses("empty", "reads pictures")
    table = write(tmp_path / "reviews.tsv", reviews(8))
    pervade("evaluate", run, "--unlike", table).refuses("reads pictures", "looks made for text-classification")
    (tmp_path / "sounds").mkdir()
    write_sound(tmp_path / "sounds" / "a.wav", tone(300.0))
    pervade("evaluate", run, "--unlike", tmp_path / "sounds").refuses("reads pictures")
    pervade("evaluate", run, noise, "--unlike", noise).refuses("leave out DATA, --split and --keep-known")
    pervade("evaluate", run, "--unlike", noise, "--split", "train").refuses("leave out DATA, --split")
    pervade("evaluate", run, "--unlike", noise, "--label-column", "a").refuses(
        "--label-column is of no use to --unlike"
    )
    pervade("evaluate", run, "--unlike", noise, "--text-column", "a").refuses("--text-column 'a' is not for pictures")
    with pytest.raises(ConfigError, match="--label-pattern is of no use"):
        api.load(run).evaluate(unlike=noise, label_pattern="^(.)")
    assert not list((run / "results").glob("unlike*"))


@pytest.mark.parametrize(("name", "what"), [("texts", "texts"), ("agent", "episodes")])  # numbers of texts, a policy
def test_a_task_without_classes(name: str, what: str, noise: Path) -> None:
    run = api.load(Path(__file__).parent.parent / "old_runs" / name)
    with pytest.raises(ConfigError, match=f"does not sort {what} into classes"):
        run.evaluate(unlike=noise)
