"""Several models as one: what they say together, how much each counts, and that it is a model like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pervade
from pervade.core import files
from pervade.core.contracts import Context, Recipe, Several, Tokens
from pervade.core.errors import ConfigError, DataError, TrainingError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows, Table
from pervade.data.rows.sources.whole import Whole
from pervade.domains.bag import Bag
from pervade.domains.composite import Composite
from pervade.domains.text import Text
from pervade.engine.predictor import Predictor
from pervade.init.members import Members
from pervade.models.blend import Blend
from pervade.models.linear import Linear
from pervade.models.transformer import Transformer
from pervade.run import blending, rungs
from pervade.run.candidates import Candidates
from pervade.run.ladder import Rung
from pervade.run.training import Options
from pervade.tasks.classify import Classify
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag
from tests import texts
from tests.data.drawing import class_folders


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pervade.Run]]:
    """Two models of one data set, and where the data lie."""
    folder = tmp_path_factory.mktemp("members")
    data = texts.write(folder / "reviews.tsv", texts.reviews(120))
    asked = {"recipe": texts.recipe(epochs=1), "task": "text-classification", "runs": folder, "options": Options()}
    run = pervade.fit(data, ladder=["plain", "trained", "blend"], name="run", **asked)
    return data, {name: pervade.load(run.path / "members" / name) for name in ("plain", "trained")}


def together(members: dict[str, pervade.Run], weights: dict[str, float]) -> Recipe:
    own = {name: run.recipe() for name, run in members.items()}
    return replace(
        own["trained"],
        domain=Composite({name: recipe.domain for name, recipe in own.items()}),
        model=Blend({name: recipe.model for name, recipe in own.items()}, weights),
        init=Members({name: str(run.path) for name, run in members.items()}),
        source=Whole(),
        epochs=0,
    )


def test_a_blend_says_the_weighted_sum_of_what_its_members_say_and_is_a_run_like_any_other(
    members, tmp_path: Path
) -> None:
    data, runs = members
    weights = {"plain": 0.75, "trained": 0.5}
    blend = pervade.fit(data, recipe=together(runs, weights), runs=tmp_path, name="blend", options=Options())
    given = ["the film was superb", "a dull and awful plot", "very"]
    logits = 0.0
    for name, run in runs.items():
        loaded = run.load()
        rows, _ = loaded.domain.prepare(Rows({"id": given, "text": given}), lambda done, total: None, keep=False)
        table = Predictor(loaded.network, loaded.domain, loaded.task).table(rows)
        logits = logits + weights[name] * np.log(table["probabilities"])
    temperature = files.read_json(blend.path / "checkpoints/last/decision.json").get("temperature", 1.0)
    wanted = torch.from_numpy(logits / temperature).softmax(1).numpy()
    np.testing.assert_allclose(blend.predict_proba(given), wanted, atol=1e-6)
    figures = blend.evaluate()
    assert "TF-IDF" in figures["details"]["baseline"]["name"]
    assert figures["n"] == runs["plain"].directory.read_data()["columns"]["split"].count("test")
    more = texts.write(tmp_path / "more.tsv", texts.reviews(30, seed=3), head="words\tmeant\n")
    again = blend.evaluate(data=str(more), keep_known=True, text_column="words", label_column="meant")
    assert again["n"] == 30
    table = texts.write(tmp_path / "asked.tsv", [(text,) for text in given], head="words\n")
    told = blend.stream(str(table), text_column="words")
    assert [answer["top"] for answer in told] == [answer["top"] for answer in blend.predict(given)]
    assert blend.report().is_file()
    # What it did not learn is told by the strongest member's features: the words that it counts.
    strangers = [(f"call me at {number} for a prize", "spam") for number in range(30)]
    apart = blend.evaluate(unlike=texts.write(tmp_path / "calls.tsv", strangers))
    unlike = apart["details"]["unlike"]
    assert "of what the blend's strongest member, plain, counts in a row" in unlike["features"]
    assert unlike["rows"]["other"] == 30
    assert unlike["scores"]["distance"]["auroc"]["value"] > 0.9
    pictures = class_folders(tmp_path / "pictures", count=2)
    with pytest.raises(DataError, match=r"nothing of .*pictures can be used, and .*blend reads texts with labels"):
        blend.evaluate(unlike=pictures)


def test_rungs_that_are_no_better_together_are_not_put_together(members) -> None:
    """The network made one pass, and takes from what the words say that are counted."""
    _, runs = members
    found = files.read_json(runs["plain"].path.parents[1] / "ladder.json")
    assert [rung["state"] for rung in found["rungs"]] == ["complete", "complete", "passed by"]
    assert "no better than plain alone" in found["rungs"][2]["reason"]


def two_that_know_half(n: int = 400) -> tuple[list[Table], np.ndarray]:
    """Each is sure of the rows of one half, and right on them; of the others it says nearly nothing."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, n)
    tables = []
    for half in range(2):
        knows = (np.arange(n) % 2) == half
        sure = np.where(knows, 0.95, 0.5 + 0.02 * rng.normal(size=n))
        one = np.where(target == 1, sure, 1 - sure)
        probabilities = np.stack([1 - one, one], 1)
        row = {"row": np.arange(n), "group": np.arange(n), "target": target, "probabilities": probabilities}
        tables.append({**row, "prediction": probabilities.argmax(1)})
    return tables, target


DOMAIN = Text(labels=("bad", "good"), counts=(200, 200), rows=400)


def test_both_count_where_each_knows_what_the_other_does_not() -> None:
    tables, target = two_that_know_half()
    found = blending.weights(Classify(), tables, [1.0, 1.0], DOMAIN)
    assert min(found) > 0.3
    assert sum(found) == pytest.approx(1.0)
    table = Classify().blended(tables, found, DOMAIN)
    assert (table["prediction"] == target).mean() > 0.95
    accuracy = Classify().metrics(DOMAIN)["accuracy"]
    assert blending.shown(accuracy, tables[0], table) == 1
    assert blending.shown(accuracy, table, tables[0]) == -1
    assert blending.shown(accuracy, table, table) == 0
    assert blending.shown(Classify().metrics(DOMAIN)["log_loss"], table, tables[0]) == -1  # of which less is better


def with_probability(right: float, n: int) -> Table:
    """Rows of the second class, each with this probability of it."""
    probabilities = np.tile([1 - right, right], (n, 1))
    return {"row": np.arange(n), "group": np.arange(n), "target": np.ones(n, int), "probabilities": probabilities}


def test_shares_are_the_mean_of_those_tried_by_the_probability_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either alone is tried: one says of two rows 0.8 x 0.8 = 0.64, the other one 0.4 x 0.4 = 0.16."""
    monkeypatch.setattr(blending, "STEPS", 1)
    pair = [with_probability(0.8, 2), with_probability(0.4, 2)]
    assert blending.weights(Classify(), pair, [1.0, 1.0], DOMAIN) == pytest.approx([0.8, 0.2])
    pair = [with_probability(0.8, 1), with_probability(0.4, 1)]
    assert blending.weights(Classify(), pair, [1.0, 1.0], DOMAIN) == pytest.approx([2 / 3, 1 / 3])
    assert blending.weights(Classify(), [pair[0]] * 4, [1.0] * 4, DOMAIN) == pytest.approx([0.25] * 4)


def test_of_three_models_all_shares_are_tried() -> None:
    assert list(blending._divisions(2, 3)) == [(0, 0, 2), (0, 1, 1), (0, 2, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0)]
    assert len(list(blending._divisions(blending.STEPS, 3))) == 66


def test_few_rows_leave_shares_near_to_equal_and_many_do_not() -> None:
    few, many = (
        blending.weights(Classify(), [with_probability(0.9, n), with_probability(0.6, n)], [1.0, 1.0], DOMAIN)
        for n in (2, 200)
    )
    assert 0.5 < few[0] < 0.7
    assert many == [1.0, 0.0]  # what is less than a tenth is nothing


def test_what_rows_say_of_a_table_is_a_density_of_the_task() -> None:
    from scipy.stats import laplace

    said = {"target": np.array([0, 1]), "probabilities": np.array([[0.9, 0.1], [0.7, 0.3]])}
    np.testing.assert_allclose(Classify().log_likelihood(said), np.log([0.9, 0.3]))
    labels = {"target": np.array([[1, 0], [0, 1]]), "probabilities": np.array([[0.9, 0.2], [0.4, 0.5]])}
    np.testing.assert_allclose(Tag().log_likelihood(labels), np.log([0.9 * 0.8, 0.6 * 0.5]))
    numbers = {"target": np.array([1.0, 2.0, 7.0]), "prediction": np.array([2.0, 2.0, 5.0])}
    wanted = laplace.logpdf([1.0, 0.0, 2.0], scale=1.0)  # whose errors are 1 on average, as these are
    np.testing.assert_allclose(Regress().log_likelihood(numbers), wanted)
    exact = {"target": np.array([1.0]), "prediction": np.array([1.0])}
    assert np.isfinite(Regress().log_likelihood(exact)).all()


@pytest.mark.parametrize(
    ("right", "sure", "wrong", "taken"),
    [(27, 0.9, 0.2, "blend"), (25, 0.9, 0.45, "blend"), (21, 0.95, 0.45, "plain"), (27, 0.85, 0.1, "plain")],
)
def test_a_blend_is_taken_where_rows_are_likelier_unless_it_is_shown_to_be_worse(
    right: int, sure: float, wrong: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 rows the plain rung has 27, at log-likelihood 27 ln 0.9 + 3 ln 0.1 = -9.8, and the blends -7.7, -6.6, -8.3
    and -11.3. McNemar's p of 2 rows to none is 2 / 2^2 = 0.5, of 6 to none 0.031."""

    def table(correct: int, sure: float, wrong: float) -> Table:
        said = np.where(np.arange(30) < correct, sure, wrong)
        rows = {"row": np.arange(30), "group": np.arange(30), "target": np.zeros(30, int)}
        return {**rows, "probabilities": np.stack([said, 1 - said], 1), "prediction": (said < 0.5).astype(int)}

    tables = {"plain": table(27, 0.9, 0.1), "trained": table(24, 0.9, 0.1), "blend": table(right, sure, wrong)}
    monkeypatch.setattr(Candidates, "headline", lambda self: ("accuracy", Classify().metrics(DOMAIN)["accuracy"]))
    monkeypatch.setattr(Candidates, "tables", lambda self, rungs, without=None: [tables[rung.name] for rung in rungs])
    monkeypatch.setattr(Candidates, "crossed", lambda self, rungs: tables[rungs[0].name])
    candidates = Candidates(RunDirectory(Path("run")), replace(texts.recipe(), task=Classify()), ())
    assert candidates.best([Rung("plain"), Rung("trained"), Rung("blend")], without=0).name == taken
    assert candidates.best([Rung("plain"), Rung("trained")]).name == "plain"
    # One that few validation rows alone judge has to be shown to be better, as any rung has.
    assert candidates.best([Rung("plain", folds=5), Rung("trained"), Rung("blend")]).name == "plain"


def test_rows_of_two_speakers_do_not_tell_how_much_each_is_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tables, _ = two_that_know_half(40)
    apart = [{**table, "group": np.arange(40) % 2} for table in tables]
    monkeypatch.setattr(Candidates, "tables", lambda self, rungs: apart)
    monkeypatch.setattr(Candidates, "domain", lambda self: DOMAIN)
    recipe, rungs = replace(texts.recipe(), task=Classify()), [Rung("plain"), Rung("trained")]
    with pytest.raises(TrainingError, match="validation rows of 2 groups do not tell how much each is to count"):
        Candidates(RunDirectory(Path("run")), recipe, rungs).together(recipe)


def test_a_useless_model_counts_nothing_and_scales_stay_in_the_weights() -> None:
    tables, target = two_that_know_half()
    right = np.stack([1 - target, target], 1) * 0.9 + 0.05
    good = {**tables[0], "probabilities": right, "prediction": target}
    noise = {**good, "probabilities": np.full_like(right, 0.5), "prediction": np.zeros_like(target)}
    assert blending.weights(Classify(), [good, noise], [0.5, 2.0], DOMAIN) == [0.5, 0.0]


def test_rows_are_answered_by_weights_that_others_found() -> None:
    """In the first half one model is right and the other one knows nothing, in the second half it is the other way
    round: so each half is answered by the model that knows nothing of it."""
    tables, target = two_that_know_half(400)
    half = (np.arange(400) >= 200).astype(int)
    right, nothing = np.stack([1 - target, target], 1) * 0.9 + 0.05, np.full((400, 2), 0.5)
    know = [np.where((half == side)[:, None], right, nothing) for side in (0, 1)]
    pair = [{**tables[0], "probabilities": own, "prediction": own.argmax(1)} for own in know]
    found = blending.crossed(Classify(), pair, [[1.0, 1.0], [1.0, 1.0]], dict(enumerate(half)), DOMAIN)
    np.testing.assert_allclose(found["probabilities"], nothing)
    assert found["row"].tolist() == list(range(400))
    alone = blending.crossed(Classify(), pair, [[1.0, 1.0], [1.0, 1.0]], dict.fromkeys(range(400), 0), DOMAIN)
    assert (alone["prediction"] == target).all()  # rows of a single group have no other half


def test_labels_and_numbers_are_put_together_too() -> None:
    probabilities = np.array([[0.9, 0.2], [0.4, 0.5]])
    table = {"row": np.arange(2), "probabilities": probabilities, "threshold": np.full((2, 2), 0.5)}
    other = {**table, "probabilities": 1 - probabilities}
    found = Tag().blended([table, other], [0.5, 0.5], DOMAIN)
    np.testing.assert_allclose(found["probabilities"], 0.5)
    one = {"row": np.arange(2), "prediction": np.array([1.0, 3.0]), "low": np.zeros(2), "high": np.ones(2)}
    two = {**one, "prediction": np.array([3.0, 5.0])}
    np.testing.assert_allclose(Regress().blended([one, two], [0.25, 0.75], DOMAIN)["prediction"], [2.5, 4.5])


def test_a_row_of_several_examples_says_their_mean() -> None:
    """Two views of a row weigh half each; a row of one is filled up with what does not count."""
    outputs = {"logits": 2}
    blend = Blend({"a": Linear()}, {"a": 2.0}).build(Several({"a": _Numbers().inputs()}), outputs)
    domain = Composite({"a": _Numbers()})
    batch = domain.collate([{"a": [_row(1.0), _row(3.0)]}, {"a": [_row(5.0)]}])
    layer = blend.members["a"].head["logits"]
    wanted = 2 * layer(torch.tensor([[2.0], [5.0]]))
    torch.testing.assert_close(blend(batch["input"])["logits"], wanted)


class _Numbers(Text):
    def inputs(self):
        from pervade.core.contracts import Observations

        return Observations((1,))

    def collate(self, examples):
        return {"input": torch.stack([example["input"] for example in examples])}


def _row(value: float) -> dict[str, torch.Tensor]:
    return {"input": torch.tensor([value])}


def test_what_does_not_fit_together_is_said() -> None:
    with pytest.raises(ConfigError, match="name one for each"):
        Blend({"a": Linear()}, {"a": 1.0}).build(Several({"b": Tokens(10, 4)}), {"logits": 2})
    with pytest.raises(ConfigError, match="weights are of"):
        Blend({"a": Linear()}, {})
    with pytest.raises(ConfigError, match="composite domain"):
        Members({"a": "x"}).adapt(Bag(), Transformer())
    assert rungs.asked(["blend", "plain"]) == ("plain", "blend")


def test_what_one_model_was_taught_by_smoothed_targets_is_not_asked_of_all_together() -> None:
    """Together they are calibrated: 6% is more than the 4.8% that is usual, and less than the 9.3% of smoothed ones."""
    domain = replace(Bag(), labels=("ham", "spam"), counts=(952, 48))
    one = Classify(smoothing=0.1, answering="balanced")
    output = {"logits": torch.tensor([[0.94, 0.06]]).log()}
    said = [
        task.predictions(output, {"row": torch.arange(1)}, Context(domain, decision={"temperature": 1.0}))
        for task in (one, blending.asked(one))
    ]
    assert [table["label"] for table in said] == [["ham"], ["spam"]]
    assert blending.asked(Regress()) == Regress()
