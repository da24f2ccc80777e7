"""A ladder of models: which rungs there are, what is chosen by which rows, what fails and is passed by, and that one
that was stopped delivers the best so far and goes on as if it never had been."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pervade
from pervade.core import files, registry
from pervade.core.contracts import Context, EarlyStopping, Opening, Recipe
from pervade.core.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    OutOfMemoryError,
    ResourceError,
    TrainingError,
)
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.data.rows.sources.whole import Whole
from pervade.domains.bag import Bag
from pervade.engine import predictions, ranks
from pervade.recipes import text
from pervade.run import choosing, settling, workflow
from pervade.run import rungs as rungs_module
from pervade.run.choosing import Chosen
from pervade.run.ladder import Ladder, Rung, ends_all
from pervade.run.progress import Silent
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.run.workflow import Request
from pervade.tasks import classify
from pervade.tasks.classify import Classify
from tests import texts
from tests.small_run import same, stop_at, weights

__all__ = ["stop_at"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return texts.write(tmp_path / "reviews.tsv", texts.reviews(120))


def climb(data: Path, runs: Path, names: str, recipe: Recipe | None = None, **more) -> pervade.Run:
    more = {"options": Options(), "name": "run", **more}
    asked = recipe or texts.recipe(epochs=1)
    return pervade.fit(data, recipe=asked, task="text-classification", ladder=names.split(","), runs=runs, **more)


def published(folder: Path) -> Recipe:
    """A small encoder, to be tuned."""
    small = text.recipe(init=str(texts.encoder_folder(folder)))
    return replace(small, epochs=1, workers=0)


def told(run: pervade.Run) -> dict[str, dict]:
    return {rung["name"]: rung for rung in files.read_json(run.path / "ladder.json")["rungs"]}


def test_the_best_on_validation_is_delivered_and_it_alone_meets_the_test_split(data: Path, tmp_path: Path) -> None:
    run = climb(data, tmp_path, "trained,plain")
    record, rungs = files.read_json(run.path / "ladder.json"), told(run)
    assert list(rungs) == ["plain", "trained"]  # the cheapest first, however they were named
    assert record["taken"] == "plain"  # one pass of a random network knows nothing yet
    assert rungs["plain"]["value"] > rungs["trained"]["value"]
    assert rungs["plain"]["n"] == len(
        predictions.read_columns(run.path / "members/plain/predictions/best@undecided.parquet")["row"]
    )
    measured = sorted(path.relative_to(run.path).as_posix() for path in run.path.rglob("*@test.parquet"))
    assert measured == ["predictions/best@test.parquet"]
    assert "always" in run.results()["details"]["baseline"]["name"]  # it is the simplest model itself
    assert same(weights(run.directory, "best"), weights(run.directory.member("plain"), "best"))
    assert run.predict(["the film was superb"])[0]["top"][0]["label"] == "good"
    page = run.report().read_text(encoding="utf-8")
    assert "Which model was taken" in page
    assert re.search(r"plain was taken: right answers \(accuracy\) \d+\.\d% on 18 rows", page)


def test_what_is_settled_is_by_the_half_without_which_it_is_taken_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify, "FEWEST_TO_CALIBRATE", 5)
    flipped = {"good": "bad", "bad": "good"}
    reviews = enumerate(texts.reviews(120))
    rows = [(words, label if number % 3 else flipped[label]) for number, (words, label) in reviews]
    run = climb(texts.write(tmp_path / "some_wrong.tsv", rows), tmp_path, "plain,trained")
    ladder = Ladder(run.directory, workflow.requested(run.directory), Options())
    ladder.open()
    plain, trained = ladder.complete()
    table = predictions.read_columns(run.path / "members/plain/predictions/best@undecided.parquet")
    half = np.array([ladder.half_of[row] for row in table["row"].tolist()])
    domain = run.load().domain
    wanted = [Classify().decide(settling.only(table, half == side), domain) for side in (0, 1)]
    whole = Classify().decide(table, domain)
    place = run.path / "checkpoints/best/decision.json"
    monkeypatch.setattr(Ladder, "_choice", lambda self, done, without=None: plain)
    ladder.deliver()
    assert files.read_json(place)["temperature"] == whole["temperature"]  # either half would take it
    for side in (0, 1):  # the choice needs the other half: so that one may not settle
        choice = {None: plain, 1 - side: trained, side: plain}
        monkeypatch.setattr(Ladder, "_choice", lambda self, done, without=None, choice=choice: choice[without])
        ladder.deliver()
        assert files.read_json(place)["temperature"] == wanted[side]["temperature"] != whole["temperature"]
    monkeypatch.setattr(Ladder, "_choice", lambda self, done, without=None: plain if without is None else trained)
    ladder.deliver()
    assert files.read_json(place)["temperature"] == whole["temperature"]
    assert any("had a say" in line for line in files.read_json(run.path / "remarks.json")["remarks"])


def test_training_begins_from_the_frozen_networks_head(data: Path, tmp_path: Path) -> None:
    run = climb(data, tmp_path / "runs", "plain,frozen,trained", published(tmp_path / "encoder"))
    began = files.read_json(run.path / "members/trained/init.json")
    assert began["init"]["source"] == str(run.path.absolute() / "members/frozen")
    assert not began["new"]
    assert "head.logits.weight" in began["loaded"]
    frozen, trained = (told(run)[name] for name in ("frozen", "trained"))
    assert frozen["state"] == trained["state"] == "complete"


@pytest.mark.parametrize(("best_of", "cost"), [("size", "bytes"), ("speed", "row_seconds")])
def test_the_cheapest_of_those_that_are_as_good(best_of: str, cost: str, data: Path, tmp_path: Path) -> None:
    """Both rungs learn such texts nearly whole, so that neither is shown to be worse on 18 rows."""
    run = climb(data, tmp_path, "plain,trained", texts.recipe(epochs=12), best_of=best_of)
    rungs = told(run)
    assert min(rung["value"] for rung in rungs.values()) > 0.9
    assert files.read_json(run.path / "ladder.json")["taken"] == min(rungs, key=lambda name: rungs[name][cost])
    assert min(rung[cost] for rung in rungs.values()) > 0


def test_what_is_to_be_best_is_known(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'size'"):
        climb(data, tmp_path, "plain,trained", best_of="sise")
    with pytest.raises(ConfigError, match=r"blend: there are no two other rungs"):
        rungs_module.plan(texts.recipe(), "text-classification", ["blend"])
    with pytest.raises(ConfigError, match="chooses among rungs"):
        pervade.fit(data, recipe=texts.recipe(), runs=tmp_path, best_of="size", options=Options())


def test_the_frozen_head_is_the_best_there_is(data: Path, tmp_path: Path) -> None:
    """No weights of a linear head on the same features have a smaller penalised loss than those that were found."""
    from sklearn.linear_model import LogisticRegression

    from pervade.data import linear

    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5)) * [1, 1, 1, 1, 0.01] + 3
    target = (features[:, 0] + rng.normal(size=60) > 3).astype(int)
    found = linear.classes(features, target, 2, (1.0,))
    scale = np.sqrt(features.var(0).mean())
    model = LogisticRegression(C=1.0, max_iter=1000).fit((features - features.mean(0)) / scale, target)
    logits = found(features)
    wanted = model.decision_function((features - features.mean(0)) / scale)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("names", "words"),
    [("plian", "did you mean 'plain'"), (" ,", "names no rung"), ("frozen", "no published network is at hand")],
)
def test_rungs_that_are_not_there(names: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        rungs_module.plan(texts.recipe(), "text-classification", rungs_module.asked(names))


def test_a_rung_that_these_data_have_not_is_said(data: Path, tmp_path: Path) -> None:
    run = climb(data, tmp_path, "plain,frozen")
    assert told(run)["frozen"]["state"] == "passed by"
    assert "no published network is at hand" in run.report().read_text(encoding="utf-8")


def test_all_rungs_have_a_name_together() -> None:
    assert rungs_module.asked(["all"]) == rungs_module.asked("plain, all") == rungs_module.RUNGS
    assert rungs_module.asked(" trained,,plain") == ("plain", "trained")


def test_a_ladder_needs_rows_that_choose() -> None:
    with pytest.raises(ConfigError, match="validation above 0"):
        rungs_module.plan(texts.recipe(validation=0.0), "text-classification", ["plain", "trained"])
    with pytest.raises(ConfigError, match="early_stopping"):
        rungs_module.plan(texts.recipe(early_stopping=EarlyStopping()), "text-classification", ["plain", "trained"])


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


TINY = ("model.width=16", "workers=0")


def unnamed(data: Path, runs: Path, *settings: str, **more) -> tuple[pervade.Run, list[str]]:
    """What `fit` makes of the data where no network is named, and what it says."""
    screen = Heard()
    flags = {"init": "random", "epochs": 1, "settings": [*TINY, *settings], "options": Options(screen=screen), **more}
    return pervade.fit(data, runs=runs, **flags), screen.lines


def test_where_nothing_is_named_all_rungs_are_climbed(data: Path, tmp_path: Path) -> None:
    run, said = unnamed(data, tmp_path / "runs")
    assert run.path.name == "reviews-ladder"
    assert {name: rung["state"] for name, rung in told(run).items()} == {
        "plain": "complete",
        "frozen": "passed by",
        "trained": "complete",
        "blend": told(run)["blend"]["state"],
    }
    assert "rungs: plain, trained, blend; no frozen: no published network is at hand (name one with " in "\n".join(said)
    assert "each rung learns from 84 rows and is judged by 18; trained makes up to 1 pass" in said
    expected = [line for line in said if line.startswith("expected of ")]
    assert re.fullmatch(r"expected of plain: (about|at most) \d+ s to read 102 rows, and longer until .*", expected[0])
    assert re.fullmatch(r"expected of trained: up to \d+ s for 1 pass", expected[1])
    assert re.fullmatch(r"expected of blend: about \d+ s beside reading the rows, .*", expected[2])
    assert said.index(expected[-1]) < said.index("rung plain:")
    assert run.results()["n"] == 18


def choose(data: Path | str, *settings: str, **asked) -> tuple[Chosen, list[str]]:
    screen = Heard()
    asked = {"init": "random", "settings": [*TINY, *settings], **asked}
    return choosing.choose(data, "runs", Options(screen=screen), **asked), screen.lines


@pytest.mark.parametrize(
    ("asked", "network"),
    [
        ({"ladder": ["trained"]}, "text-cnn"),
        ({"ladder": ["plain"], "folds": 2}, "linear"),
        ({"model": "transformer"}, "transformer"),
        ({"seeds": 2}, "text-cnn"),
        ({"folds": 2}, "text-cnn"),
        ({"settings": ["model=transformer"]}, "transformer"),
        ({"settings": ["tuning={use: freeze}"]}, "text-cnn"),
        ({"settings": ["validation=0"]}, "text-cnn"),
        ({"settings": ["early_stopping.metric=null"]}, "text-cnn"),
    ],
)
def test_what_names_one_way_is_one_training(asked: dict, network: str, data: Path) -> None:
    chosen, said = choose(data, **asked)
    assert chosen.rungs is None
    assert registry.name_of(type(chosen.recipe.model)) == network
    nothing_chooses = str(asked).count("validation") + str(asked).count("metric")
    assert sum("no ladder is climbed" in line for line in said) == nothing_chooses


def test_to_act_is_learnt_in_one_way() -> None:
    chosen, said = choose("gym://CartPole-v1", init=None, settings=[])
    assert chosen.rungs is None
    assert not any("ladder" in line or "rungs" in line for line in said)


def test_a_rate_is_sought_for_the_network_alone(tmp_path: Path) -> None:
    """Also by who goes on with a rung by itself, from what this was begun with."""
    run = RunDirectory(tmp_path / "run")
    rungs_module.begin(run, rungs_module.plan(texts.recipe(), "text-classification", ["plain", "trained"]))
    ladder = Ladder(run, Request("data", find_lr=True), Options())
    assert {rung.name: ladder._request(rung).find_lr for rung in ladder.rungs} == {"plain": False, "trained": True}


def test_one_rung_by_its_name_is_the_ladders_own(data: Path, tmp_path: Path) -> None:
    alone, _ = unnamed(data, tmp_path / "runs", ladder=["plain"])
    assert (alone.path.name, alone.directory.members.exists()) == ("reviews-linear", False)
    climbed, _ = unnamed(data, tmp_path / "runs", ladder=["plain", "frozen"])
    assert same(weights(alone.directory, "best"), weights(climbed.directory.member("plain"), "best"))
    with pytest.raises(ConfigError, match="--lr find tries rates"):
        choose(data, ladder=["plain"], lr="find")


def test_settings_leave_rungs_out(data: Path) -> None:
    assert list(choose(data, "ladder.blend=false", best_of="size")[0].rungs or ()) == ["plain", "frozen", "trained"]
    assert choose(data, "ladder.plain=false")[0].rungs is None
    for setting, words in {"bled=false": "did you mean 'blend'", "blend=no": "is neither true nor false"}.items():
        with pytest.raises(ConfigError, match=words):
            choose(data, f"ladder.{setting}")
    with pytest.raises(ConfigError, match="--model asks for one training"):
        choose(data, "ladder.blend=false", model="transformer")
    with pytest.raises(ConfigError, match="chooses among rungs, and this is one training"):
        choose(data, model="transformer", best_of="size")


def test_where_no_row_can_choose_the_network_is_trained_alone(tmp_path: Path) -> None:
    """Of the rows, which are all of one person but two, none is left for the validation split."""
    rows = [(text, label, "abc"[min(number, 2)]) for number, (text, label) in enumerate(texts.reviews(40))]
    data = texts.write(tmp_path / "few.tsv", rows, "text\tlabel\tperson\n")
    run, said = unnamed(data, tmp_path / "runs", "validation=0.01")
    assert "validation" not in run.directory.read_data()["columns"]["split"]
    assert not run.directory.members.exists()
    assert any("no ladder is climbed, but the network is trained alone: the validation" in line for line in said)
    assert run.predict(["a superb film"])[0]["top"]


def test_what_every_rung_stumbles_over_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    texts.write(tmp_path / "d" / "train.tsv", texts.reviews(40))
    texts.write(tmp_path / "d" / "test.tsv", [*texts.reviews(20, seed=1), ("quite odd", "odd"), ("so odd", "odd")])
    with pytest.raises(DataError, match=r"^[^;]*class 'odd' stands in the test split"):
        unnamed(tmp_path / "d", tmp_path / "runs")
    assert not list((tmp_path / "runs").iterdir())


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    """Texts without words, which no linear model on words can read."""
    rng = np.random.default_rng(0)
    rows = [("".join(rng.choice(list("?!;:"[number % 2 :]), 12)), ("bad", "good")[number % 2]) for number in range(80)]
    return texts.write(tmp_path / "signs.tsv", rows)


def test_a_rung_that_fails_is_said_and_passed_by(signs: Path, tmp_path: Path) -> None:
    run = climb(signs, tmp_path / "runs", "plain,trained")
    assert told(run)["plain"]["state"] == "passed by"
    assert "no words" in told(run)["plain"]["reason"]
    assert files.read_json(run.path / "ladder.json")["taken"] == "trained"
    assert "passed by" in run.report().read_text(encoding="utf-8")


def test_where_every_rung_fails_all_reasons_are_said(signs: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"plain: .*no words"):
        climb(signs, tmp_path / "runs", "plain,frozen")


def test_what_time_does_not_suffice_for_is_not_begun(data: Path, tmp_path: Path) -> None:
    run = climb(data, tmp_path, "plain,trained", texts.recipe(epochs=100_000), time_limit=6.0)
    assert told(run)["plain"]["state"] == "complete"
    assert run.results()["checkpoint"] == "best"


def test_features_are_not_computed_past_the_time_limit(data: Path, tmp_path: Path) -> None:
    """Where no rung is complete either, as when the plain one had no time."""
    late = Options(began=time.monotonic() - 60)
    with pytest.raises(TrainingError, match=r"the features of \d+ rows take about .* there are 0 s for them"):
        climb(data, tmp_path, "frozen", published(tmp_path / "encoder"), time_limit=50.0, options=late)


def test_a_blend_that_time_does_not_suffice_for_is_passed_by(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Ladder._begin

    def for_ever(self: Ladder, rung: Rung, rows: Rows) -> None:
        begin(self, rung, rows) if rung.name != "blend" else time.sleep(600)

    monkeypatch.setattr(Ladder, "_begin", for_ever)
    monkeypatch.setattr(Ladder, "_blending_until", lambda self: time.monotonic() + 0.1)
    run = climb(data, tmp_path, "plain,trained,blend")
    assert told(run)["blend"]["state"] == "passed by"
    assert "does not suffice to put the rungs together" in told(run)["blend"]["reason"]
    assert run.evaluate()["n"] > 0


def test_a_blend_may_take_half_of_the_time_that_is_left(tmp_path: Path) -> None:
    run, recipe = RunDirectory(tmp_path / "run"), texts.recipe(time_limit=100.0)
    rungs_module.begin(run, rungs_module.plan(recipe, "text-classification", ["plain", "trained"]))
    ladder = Ladder(run, Request("data"), Options(began=time.monotonic() - 60.0))
    assert (ladder._blending_until() or 0.0) - time.monotonic() == pytest.approx(20.0, abs=1.0)


def test_a_limit_that_is_over_at_once_still_gives_the_plain_rung(data: Path, tmp_path: Path) -> None:
    run = climb(data, tmp_path, "plain,trained", time_limit=0.1)
    assert {name: rung["state"] for name, rung in told(run).items()} == {"plain": "complete", "trained": "passed by"}
    assert "of less than 0.5 nothing is learnt" in told(run)["trained"]["reason"]


def test_one_that_was_stopped_delivers_the_best_so_far_and_goes_on_to_the_same(
    data: Path, tmp_path: Path, stop_at
) -> None:
    whole = climb(data, tmp_path / "whole", "plain,trained", texts.recipe(epochs=2))
    stop_at(6)
    with pytest.raises(Stopped):
        climb(data, tmp_path / "stopped", "plain,trained", texts.recipe(epochs=2))
    stopped = pervade.load(tmp_path / "stopped" / "run")
    assert files.read_json(stopped.path / "ladder.json")["taken"] == "plain"
    assert len(stopped.predict(["a superb film"])) == 1
    assert "this run is unfinished: its best so far" in (stopped.unfinished() or "")
    resumed = pervade.resume(stopped.path)
    assert resumed.unfinished() is None
    for name in ("plain", "trained"):
        assert same(weights(whole.directory.member(name)), weights(resumed.directory.member(name)))
    kept = [{**rung, "seconds": 0} for rung in told(whole).values()]
    assert kept == [{**rung, "seconds": 0} for rung in told(resumed).values()]
    assert json.dumps(whole.results()["metrics"]) == json.dumps(resumed.results()["metrics"])


def test_a_rung_whose_process_ended_before_it_was_judged_is_judged_by_the_next(data: Path, tmp_path: Path) -> None:
    run = climb(data, tmp_path, "plain,trained")
    judged, place = told(run), run.path / "ladder.json"
    stored = json.loads(place.read_text())
    for rung in stored["rungs"]:
        rung |= {"value": None, "low": None, "high": None, "n": 0}
    place.write_text(json.dumps({**stored, "taken": None}))
    resumed = pervade.resume(run.path, options=Options())
    assert files.read_json(place)["taken"] == "plain"
    assert told(resumed) == judged


def test_what_a_killed_process_used_is_known_from_the_state_of_its_rung(tmp_path: Path) -> None:
    """The rung was begun after 10 s; its state was saved when its training, begun 2 s later, had gone on for 30 s."""
    run = RunDirectory(tmp_path / "run")
    rungs_module.begin(run, rungs_module.plan(texts.recipe(), "text-classification", ["plain", "trained"]))
    rungs = [asdict(rung) for rung in (Rung("plain", "complete", seconds=8.0), Rung("trained"))]
    files.write_json(run.path / "ladder.json", {"rungs": rungs, "used": 10.0})
    state = run.member("trained").state / "state.json"
    for elapsed, used in ((30.0, 42.0), (30.0, 42.0), (40.0, 52.0)):  # read again it is the same; then it went on
        files.write_json(state, {"state": {"extra": {"setup": 12.0, "elapsed": elapsed}}})
        ladder = Ladder(run, Request("data"), Options())
        assert ladder.used == used
        assert [rung.seconds for rung in ladder.rungs] == [8.0, used - 10.0]
        assert time.monotonic() - ladder.began == pytest.approx(used, abs=1.0)


def test_one_that_was_changed_meanwhile_does_not_go_on(data: Path, tmp_path: Path, stop_at) -> None:
    stop_at(6)
    with pytest.raises(Stopped):
        climb(data, tmp_path, "plain,trained", texts.recipe(epochs=2))
    stored = json.loads((tmp_path / "run" / "data.json").read_text())
    stored["columns"]["split"] = ["train" if split == "test" else split for split in stored["columns"]["split"]]
    (tmp_path / "run" / "data.json").write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match=r"data.json was changed since the ladder was begun"):
        pervade.resume(tmp_path / "run")


def test_a_full_disk_ends_it_and_what_was_begun_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = workflow.train

    def full(run, *more) -> None:
        if run.name == "trained":
            raise ResourceError("No space left on device")
        train(run, *more)

    monkeypatch.setattr(workflow, "train", full)
    with pytest.raises(ResourceError, match="No space left"):
        climb(data, tmp_path, "plain,trained")
    assert told(pervade.load(tmp_path / "run"))["trained"]["state"] == "waiting"
    monkeypatch.setattr(workflow, "train", train)
    assert told(pervade.resume(tmp_path / "run"))["trained"]["state"] == "complete"


def test_memory_that_runs_out_passes_a_rung_by_where_no_other_rank_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ends_all(ResourceError("No space left on device"))
    assert not ends_all(TrainingError("the loss is nan"))
    assert not ends_all(OutOfMemoryError("full"))
    monkeypatch.setattr(ranks, "world", lambda: 2)
    assert ends_all(OutOfMemoryError("full"))


def test_one_long_text_takes_no_memory_for_the_short_ones() -> None:
    rows = [("a b c", "x"), ("d e f", "y")] * 100 + [(" ".join(f"w{number}" for number in range(5000)), "x")]
    columns = {"id": list(map(str, range(201))), "text": [text for text, _ in rows]}
    train = Rows({**columns, "target": [label for _, label in rows]})
    domain = Bag().fit(train)
    source = Whole().open(Opening(train, Classify(), torch.nn.Identity(), Context(domain), 32, seed=0))
    (batch,) = source
    assert sorted(batch["row"].tolist()) == list(range(201))
    widths = sorted(piece["input"]["places"].shape[1] for piece in batch["pieces"])
    assert widths[:-1] == [14] * 3  # five terms, and of each word, with the blanks beside it, three runs of letters
    assert widths[-1] > 5000


def test_what_learns_from_all_rows_knows_of_which_group_each_is() -> None:
    texts = [f"w{number}" for number in range(200)]
    said = [f"speaker {number % 7}" for number in range(200)]
    train = Rows({"id": texts, "text": texts, "target": ["x", "y"] * 100, "group": said}).where("target", "x")
    opening = Opening(train, Classify(), torch.nn.Identity(), Context(Bag().fit(train)), 32, seed=0)
    (batch,) = Whole().open(opening)
    row, group = (torch.cat([piece[name] for piece in batch["pieces"]]).tolist() for name in ("row", "group"))
    assert len(set(group)) == len(set(zip((said[number] for number in row), group, strict=True))) == 7
