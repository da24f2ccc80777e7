"""`pervade compress`: checkpoints beside the one that they came from, which stays; what it refuses, and how."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pervade import api
from pervade.core import files, spec
from pervade.core.contracts import Task
from pervade.core.errors import ConfigError, DataError, ResourceError
from pervade.engine import checkpoint
from pervade.models.reference_mlp import ReferenceMLP
from pervade.run import compressed_curve, compressed_speeds, compressing, timing
from pervade.run.progress import Silent
from pervade.run.training import Options
from tests.data.drawing import class_folders

SPARSE = ("--steps", "sparse", "-o", "sparse.epochs=1")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "TURN", 0.001)
    monkeypatch.setattr(timing, "ROUNDS", 1)


def test_a_process_that_does_not_answer_says_why(tmp_path: Path) -> None:
    """What it said last; of memory only where it was killed, as Linux does where that has run out."""
    broken, feed = tmp_path / "broken.onnx", {"x": np.zeros(1, np.float32)}
    broken.write_bytes(b"no graph")
    with pytest.raises(ResourceError, match=r"could not be timed: .*broken") as caught:
        timing.measure([timing.Side("graph", {"graph": str(broken)}, 8)], [feed])
    assert "memory" not in str(caught.value)
    about = {"feeds": "", "names": [], "rows": 0, "threads": 1}
    with timing._Child(timing.Side("graph", {}, 8), tmp_path / "side.json", about) as child:
        child.process.kill()
        with pytest.raises(ResourceError, match="graph could not be timed: its process was killed; free some memory"):
            child.ask({"memory": True})


@pytest.mark.slow  # writes two graphs, and starts three processes
def test_speeds_are_those_of_graphs_in_processes_of_their_own(pervade, run: Path, brief: None) -> None:
    assert pervade("compress", run, "--steps", "sparse", "-o", "sparse.epochs=0", "--threads", "1").status == 0
    told = files.read_json(run / "results" / "compress@sparse.json")["details"]["compressed"]
    assert set(told["speeds"]) == {"eager", "graph", "compressed"}
    assert told["threads"] == 1
    agreement = told["agreement"]
    assert (agreement["changed"], agreement["first"], agreement["rows"] > 0) == (0, None, True)
    assert agreement["difference"] <= 1e-5
    assert "answers as the network does in torch: 0 of" in (run / "report.html").read_text()
    for speed in told["speeds"].values():
        assert 0 < speed["latency"] <= speed["latency_p99"]
        assert speed["size"] > 0
        assert speed["throughput"] > 0
    # numpy and ONNX Runtime alone take less than torch
    assert told["speeds"]["graph"]["memory"] < told["speeds"]["eager"]["memory"]
    assert told["speeds"]["eager"]["size"] == (run / "checkpoints" / "best" / "model.safetensors").stat().st_size
    assert "in eager torch" in (run / "report.html").read_text()


def test_a_step_leaves_a_checkpoint_that_is_like_any_other(pervade, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained for a pass, measured, told; compared, answering, evaluated, and in the report. Without the packages that
    write and run graphs no speed is told, and that is said."""
    monkeypatch.setattr(compressed_speeds, "find_spec", lambda name: None)
    best, last = (contents(run / "checkpoints" / name) for name in ("best", "last"))
    outcome = pervade("compress", run, *SPARSE)
    assert outcome.status == 0, outcome.err
    assert "replaced" not in outcome.err
    assert (contents(run / "checkpoints" / "best"), contents(run / "checkpoints" / "last")) == (best, last)
    assert not (run / "compressing").exists()
    about = files.read_json(run / "checkpoints" / "sparse" / "architecture.json")
    assert about["compressed_from"] == "best"
    assert [step["use"] for step in about["compressed_by"]] == ["sparse"]
    result = files.read_json(run / "results" / "compress@sparse.json")
    told = result["details"]["compressed"]
    gap = told["differences"][told["headline"]]
    assert gap["first"] == files.read_json(run / "results" / "evaluate@best.json")["metrics"]["accuracy"]["value"]
    assert gap["second"] == files.read_json(run / "results" / "evaluate@sparse.json")["metrics"]["accuracy"]["value"]
    assert "speeds" not in told
    assert "no speed is told: the package onnx is not installed; pip install 'pervade[deploy]'" in outcome.err
    half = checkpoint.load_checkpoint(api.load(run).directory, "sparse")
    zeros = [
        float((value == 0).float().mean()) for name, value in half.network.state_dict().items() if "filter" in name
    ]
    assert all(share == pytest.approx(0.5, abs=0.1) for share in zeros)
    page = (run / "report.html").read_text()
    assert 'id="compressed"' in page
    assert pervade("compare", run, run, "--checkpoint", "best", "--checkpoint", "sparse").status == 0
    assert json.loads(pervade("evaluate", run, "--checkpoint", "sparse", "--json").out)["checkpoint"] == "sparse"
    assert pervade("resume", run).status == 0
    assert (run / "results" / "compress@sparse.json").exists()
    pervade("merge", run, "--checkpoint", "sparse").refuses("has no adapters to merge")


def test_refusals(pervade, run: Path) -> None:
    before = contents(run / "checkpoints" / "best")
    for words, *flags in (
        (["'prun' is unknown; did you mean 'prune'"], "--steps", "prun"),
        (["names no step; allowed:", "prune"], "--steps", ","),
        (["names 'prune' twice"], "--steps", "prune,prune"),
        (["unknown setting 'shar'; did you mean 'share'", "sparse:"], "--steps", "sparse", "-o", "sparse.shar=1"),
        (["int8 makes whole numbers, which int4 cannot take; take one of the two"], "--steps", "int8,int4"),
        (["int8 makes whole numbers, which prune cannot take; put prune before it"], "--steps", "int8,distil,prune"),
        (["'prune.share=0.5' is of no step here (sparse)"], "--steps", "sparse", "-o", "prune.share=0.5"),
        (["'best' is a checkpoint that is to stay as it is"], "--steps", "sparse", "--name", "best"),
        (["'a/b' cannot be a checkpoint's name"], "--steps", "sparse", "--name", "a/b"),
        (["--student reference-cnn is for a step that has one"], "--steps", "sparse", "--student", "reference-cnn"),
        (["Invalid value for '--max-drop'"], "--max-drop", "-0.1"),
        (["Invalid value for '--max-drop'"], "--max-drop", "1.1"),
        (["--target 'speed' is unknown"], "--max-drop", "0.1", "--target", "speed"),
        (["give that, too: --max-drop 0.01"], "--target", "size"),
        (["has no checkpoint 'bst'"], "--steps", "sparse", "--checkpoint", "bst"),
    ):
        pervade("compress", run, *flags).refuses(*words)
    assert contents(run / "checkpoints" / "best") == before
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last"]


@pytest.mark.parametrize(
    ("task", "step", "remedy"),
    [
        ("dqn", "int8", "--student perceptron"),
        ("ppo", "prune", "--student perceptron"),
    ],
)
def test_steps_that_are_not_for_agents(task: str, step: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=f"^{step}: .* an agent by {task} .*{remedy}$"):
        compressing.require_for_agent(spec.decode(task, Task), compressing.steps_of([step]))


@pytest.mark.parametrize(("task", "names"), [("dqn", ["distil"]), ("ppo", ["distil"]), ("classify", ["prune", "int8"])])
def test_steps_that_fit(task: str, names: list[str]) -> None:
    steps = compressing.steps_of(names)
    compressing.require_for_agent(spec.decode(task, Task), steps)  # which raises where they do not
    assert compressing.called(steps) == "-".join(names)


def test_a_step_that_has_nothing_to_do_is_left_out_and_the_others_are_done(
    pervade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a linear model no channels can be taken out, and its weights can be rounded."""
    monkeypatch.setattr(compressed_speeds, "find_spec", lambda name: None)
    data = class_folders(tmp_path / "data", ("red", "green", "blue"), count=20)
    run = api.fit(data, ladder=["plain"], runs=tmp_path / "runs", name="run", options=Options(Silent()))
    run.evaluate()
    outcome = pervade("compress", run.path, "--steps", "prune,int8")
    assert outcome.status == 0, outcome.err
    assert "prune is left out, as the network has nothing for it: prune: no channels of" in outcome.err
    assert sorted(path.name for path in (run.path / "checkpoints").iterdir()) == ["best", "int8", "last"]
    result = files.read_json(run.path / "results" / "compress@int8.json")
    assert result["details"]["compressed"]["steps"] == ["int8"]
    assert [line.split(",")[0] for line in result["left_out"]] == ["prune is left out"]
    outcome = pervade("compress", run.path, "--steps", "prune,sparse")
    outcome.refuses("prune: no channels of", "sparse: ", "other --steps are distil, int4, int8, low-rank")


def test_a_name_is_that_of_what_was_done_last(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a loss of energy no layer has factors that are smaller, which is known once sparse is done."""
    monkeypatch.setattr(compressed_speeds, "of", lambda *asked: {"weights": [8, 8], "untimed": "here"})
    asked = {"settings": ["sparse.epochs=0", "low-rank.energy=1"], "name": "quick"}
    for _ in range(2):  # a second time it replaces the first
        (result,) = compressing.compress(api.load(run).directory, None, Silent(), steps=["sparse", "low-rank"], **asked)
    assert result["checkpoint"] == "quick"
    assert "low-rank is left out" in result["left_out"][0]
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last", "quick"]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_from_python(run: Path, share: float) -> None:
    with pytest.raises(ConfigError, match="is no share; give one from 0 to 1"):
        api.load(run).compress(["sparse"], max_drop=share)


def test_rows_that_are_gone(run: Path) -> None:
    data = files.read_json(run / "data.json")
    gone = Path(
        next(
            p
            for p, split in zip(*(data["columns"][name] for name in ("path", "split")), strict=True)
            if split == "train"
        )
    )
    place = gone if gone.is_absolute() else Path(data["source"]) / gone
    kept = place.read_bytes()
    place.unlink()
    try:
        with pytest.raises(DataError, match="put the data back"):
            api.load(run).compress(["sparse"])
    finally:
        place.write_bytes(kept)


def test_a_run_without_a_test_split(run: Path) -> None:
    stored = json.loads((run / "data.json").read_text())
    splits = ["validation" if split == "test" else split for split in stored["columns"]["split"]]
    stored["columns"]["split"] = splits
    (run / "data.json").write_text(json.dumps(stored))
    with pytest.raises(DataError, match="has no test split"):
        api.load(run).compress(["sparse"])


def test_a_student_that_does_not_fit_is_refused_before_other_steps(pervade, run: Path) -> None:
    for student, words in (("gpt-tiny", "distil: the student does not fit"), ("nobody", "unknown model 'nobody'")):
        pervade("compress", run, "--steps", "sparse,distil", "--student", student).refuses(words)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last"]


def test_a_network_from_python_is_refused_before_anything_is_made(run: Path) -> None:
    class Own(ReferenceMLP):
        pass

    directory = api.load(run).directory
    given = replace(checkpoint.read_recipe(run / "checkpoints" / "best" / "recipe.yaml"), model=Own())
    with pytest.raises(ConfigError, match=r"a part from Python that is not registered.*register the part"):
        compressing.compress(directory, given, Silent(), steps=["int8"])
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["best", "last"]
    assert not list((run / "results").glob("compress*"))


def test_what_was_timed_is_not_timed_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The speeds of the point that is picked are those of the result."""
    timed = []

    def speeds(*asked: object) -> dict:
        timed.append(asked)
        sides = {side: {"latency": latency} for side, latency in (("graph", 4.0), ("compressed", 1.0))}
        return {"weights": [8, 2], "speeds": sides, "threads": 1, "batch": 16, "processor": "one"}

    monkeypatch.setattr(compressed_speeds, "of", speeds)
    directory = api.load(run).directory
    asked = {"steps": ["sparse"], "settings": ["sparse.epochs=0"], "max_drop": 1.0, "threads": 1}
    (result,) = compressing.compress(directory, None, Silent(), **asked)
    told = result["details"]["compressed"]
    assert told["picked"] == "sparse"
    assert {key: told[key] for key in ("weights", "speeds", "threads", "batch", "processor")} == speeds()
    assert len(timed) == 2  # one of these here


def test_a_run_that_holds_runs(run: Path, pervade) -> None:
    shutil.copytree(run, run / "members" / "seed-0")
    shutil.rmtree(run / "checkpoints")
    files.write_json(run / "members.json", {"kind": "seeds", "number": 1})
    pervade("compress", run, "--steps", "sparse").refuses("holds 1 runs and no model of its own")


def test_a_full_disk_leaves_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(files, "_sync", full)
    with pytest.raises(ResourceError):
        api.load(run).compress(["sparse"], settings=["sparse.epochs=0"])
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


def test_stopping_keeps_what_was_there(pervade, run: Path, stop_at, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second compress to the same name is said, and, stopped while it learns, keeps the first one."""
    work = compressing.Work(api.load(run).directory, "best", None, Silent())
    compressing.make(work, compressing.steps_of(["sparse"], None, ["sparse.epochs=0"]))
    first, best = (contents(run / "checkpoints" / name) for name in ("sparse", "best"))
    stop_at(1)
    outcome = pervade("compress", run, *SPARSE)
    assert outcome.status == 128 + signal.SIGTERM
    assert "the checkpoint 'sparse' was there already; it will be replaced" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("stopped; what steps before this one made is kept")
    assert (contents(run / "checkpoints" / "sparse"), contents(run / "checkpoints" / "best")) == (first, best)
    assert not (run / "compressing").exists()
    # What was not made by a step is never replaced.
    shutil.copytree(run / "checkpoints" / "best", run / "checkpoints" / "mine")
    pervade("compress", run, *SPARSE, "--name", "mine").refuses("'mine' is a checkpoint that is to stay as it is")


def test_stopping_while_it_is_timed_keeps_all_of_what_was_to_be_replaced(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint, what was measured of it, and nothing beside."""
    monkeypatch.setattr(compressed_speeds, "of", lambda *asked: {"weights": [8, 8], "untimed": "here"})
    directory = api.load(run).directory
    name = "[中文]"
    asked = {"steps": ["sparse"], "name": name}
    compressing.compress(directory, None, Silent(), settings=["sparse.epochs=0"], **asked)

    def held() -> dict[str, bytes]:
        files_of = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path.relative_to(run)): path.read_bytes() for path in files_of}

    before = held()
    assert {f"results/compress@{name}.json", f"predictions/{name}@test.parquet"} <= set(before)

    def stop(*asked: object) -> None:
        assert (run / "checkpoints" / name / "model.safetensors").read_bytes() != before[
            f"checkpoints/{name}/model.safetensors"
        ]
        raise KeyboardInterrupt

    monkeypatch.setattr(compressed_speeds, "of", stop)
    with pytest.raises(KeyboardInterrupt):
        compressing.compress(directory, None, Silent(), settings=["sparse.epochs=0", "sparse.share=0.25"], **asked)
    assert held() == before


def test_a_pick_beside_an_original_at_chance_is_doubted() -> None:
    """63 of 100 right, with an interval from 53 to 72, beside 50 by guessing is better; 52, from 42 to 62, is not."""

    def result(low: float, value: float, high: float) -> dict:
        figure = {"value": value, "low": low, "high": high, "higher_is_better": True, "n": 100}
        guessing = {"metrics": {"accuracy": {"value": 0.5, "low": None, "high": None}}}
        return {"metrics": {"accuracy": figure}, "details": {"baseline": guessing}}

    assert compressed_curve.doubts(100, result(0.53, 0.63, 0.72), ["half as wide"]) == []
    (said,) = compressed_curve.doubts(100, result(0.42, 0.52, 0.62), ["half as wide"])
    assert said.startswith("the original is not shown to be better than its baseline")


def test_what_is_picked() -> None:
    """Of those within the bound the one that saves most; with none, the reasons."""

    def point(drop: float, latency: float) -> dict:
        return {"drop": drop, "n": 200, "speeds": {"graph": {"latency": 10.0}, "compressed": {"latency": latency}}}

    curve = {"prune": point(0.0, 6.0), "int8": point(0.01, 3.0), "sparse": point(0.03, 1.0)}
    assert compressed_curve.choose(curve, 0.01, "latency")[0] == "int8"
    assert compressed_curve.choose(curve, 0.0, "latency") == (
        "prune",
        "prune is picked: 40% less latency than the original, as good on 200 validation rows (0 allowed)",
    )
    name, why = compressed_curve.choose({"a": point(0.02, 5.0), "b": point(0.0, 9.5)}, 0.01, "latency")
    assert name is None
    assert why == "not worth it: a loses 2 points on 200 validation rows (1 allowed); b takes 5% less latency"


@pytest.mark.slow  # trains and times several
def test_the_curve_is_of_validation_rows_and_the_pick_meets_the_test_split(pervade, run: Path, brief: None) -> None:
    outcome = pervade("compress", run, *SPARSE, "--max-drop", "1", "--target", "size", "--json")
    assert outcome.status == 0, outcome.err
    result = json.loads(outcome.out)[0]
    told = result["details"]["compressed"]
    assert told["picked"] is None
    assert told["why"].startswith("not worth it: sparse takes")  # zeros take as much room
    assert not (run / "results" / "evaluate@sparse.json").exists()
    assert "Not worth it" in (run / "report.html").read_text()
