"""What training showed of classes is taken out of probabilities by Bayes' rule, and which class is answered."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pervade.core.contracts import Context
from pervade.core.types import Table
from pervade.domains.image import Image
from pervade.models.reference_mlp import ReferenceMLP
from pervade.tasks.classify import Classify
from pervade.tasks.tag import Tag

DOMAIN = Image(size=4, channels=1, labels=("a", "b"), counts=(90, 10), rows=100, mean=(0.5,), deviation=(0.25,))
SHOWING = [
    Classify(class_weights="balanced"),
    Classify(class_weights="effective", beta=0.9),
    Classify(logit_adjustment=1.0),
    Classify(logit_adjustment=0.5, class_weights="balanced"),
]


def predicted(task: Classify, logits: object, decision: dict | None = None) -> Table:
    given = torch.as_tensor(np.asarray(logits, np.float64))
    batch = {"row": torch.arange(len(given))}
    return task.predictions({"logits": given}, batch, Context(DOMAIN, decision=decision or {}))


def test_where_nothing_is_known_of_a_row_its_probabilities_are_the_shares() -> None:
    """A network that was shown as many of each class says 0.5 of such a row; of the data 0.9 are "a"."""
    for task in (Classify(class_weights="balanced"), Classify(evenly_drawn=True), Classify(logit_adjustment=1.0)):
        assert predicted(task, [[0.0, 0.0]])["probabilities"][0].tolist() == pytest.approx([0.9, 0.1])
    # Weighed and drawn: what is shown of "b" is 81 times what there is.
    twice = Classify(class_weights="balanced", evenly_drawn=True)
    assert predicted(twice, [[0.0, 0.0]])["probabilities"][0, 1].item() == pytest.approx(1 / 82)


@pytest.mark.parametrize("task", SHOWING, ids=str)
def test_what_was_learnt_by_weights_becomes_what_is_learnt_without(task: Classify) -> None:
    """Of a feature with two values a linear model can learn any odds: it says how often each class comes with each."""
    feature, target = np.repeat([0, 0, 1, 1], [60, 2, 30, 8]), np.repeat([0, 1, 0, 1], [60, 2, 30, 8])
    features = np.eye(2)[feature]
    seen = {}
    for own in (task, Classify()):
        head = own.fit_head(features, target, np.arange(100), DOMAIN, (1e6,))["logits"]
        seen[own] = predicted(own, head(np.eye(2)))["probabilities"][:, 1].numpy()
    np.testing.assert_allclose(seen[task], [2 / 62, 8 / 38], atol=2e-4)
    np.testing.assert_allclose(seen[Classify()], [2 / 62, 8 / 38], atol=2e-4)


def test_the_loss_of_adjusted_logits_by_hand() -> None:
    """0.9 and 0.1 of the classes: of equal logits the truth "b" has the probability 0.1, and "a" 0.9."""
    task, network = Classify(logit_adjustment=1.0), ReferenceMLP((4,)).build(DOMAIN.inputs(), {"logits": 2})
    companions = task.companions(network, DOMAIN)
    batch = {"row": torch.arange(2), "input": torch.rand(2, 1, 4, 4), "target": torch.tensor([0, 1])}
    output = task.forward(network, batch, Context(DOMAIN, companions))
    told = task.loss({**output, "logits": torch.zeros(2, 2)}, batch)["loss"]
    assert told.tolist() == pytest.approx([-math.log(0.9), -math.log(0.1)])
    assert "log_share" not in task.forward(network, batch, Context(DOMAIN))


def test_effective_weights_are_those_of_the_loss() -> None:
    task, network = (
        Classify(class_weights="effective", beta=0.9),
        ReferenceMLP((4,)).build(DOMAIN.inputs(), {"logits": 2}),
    )
    companions = task.companions(network, DOMAIN)
    assert companions is not None
    weight = companions.get_buffer("class_weights")
    assert (weight[1] / weight[0]).item() == pytest.approx((1 - 0.9**90) / (1 - 0.9**10))
    batch = {"row": torch.arange(2), "input": torch.rand(2, 1, 4, 4), "target": torch.tensor([0, 1])}
    parts = task.loss(task.forward(network, batch, Context(DOMAIN, companions)), batch)
    logits = network(batch["input"])["logits"]
    mean = parts["loss"].sum() / parts["count"].sum()
    torch.testing.assert_close(mean, F.cross_entropy(logits, batch["target"], weight=weight))


def odds(probability: float) -> list[float]:
    return [0.0, math.log(probability / (1 - probability))]


def test_balanced_answers_are_those_that_are_likelier_than_usual() -> None:
    """A tenth is "b": a row is answered "b" from a probability of 0.1 on; with smoothed targets, which are 0.9 x 0.1 +
    0.05 in the mean, from 0.14 on, until a temperature below 1 undoes that."""
    for smoothing, threshold in ((0.0, 0.1), (0.1, 0.14)):
        task = Classify(answering="balanced", smoothing=smoothing)
        logits = [odds(threshold - 0.01), odds(threshold + 0.01)]
        table = predicted(task, logits)
        assert table["label"] == ["a", "b"]
        assert table["probabilities"][1, 1].item() == pytest.approx(threshold + 0.01)
        assert predicted(task, logits, {"temperature": 1.0})["label"] == ["a", "b"]
        cooled = [[0.5 * value for value in odds(share)] for share in (0.09, 0.11)]
        assert predicted(task, cooled, {"temperature": 0.5})["label"] == ["a", "b"]
    weighed = Classify(answering="balanced", class_weights="balanced")
    assert predicted(weighed, [[0.0, -0.1], [0.0, 0.1]])["label"] == ["a", "b"]  # as the network itself would say
    assert predicted(Classify(class_weights="balanced"), [[0.0, 0.1]])["label"] == ["a"]


def judged(rows: int = 400) -> dict:
    """Calibrated: of ten rows that are "b" with 0.3, 0.05 and 0.02, about as many are."""
    second = np.tile([0.3, 0.05, 0.02, 0.02], rows // 4)
    drawn = np.random.default_rng(0).random(rows)
    target = (drawn < second).astype(np.int64)
    return {"row": np.arange(rows), "target": target, "probabilities": np.stack([1 - second, second], 1)}


def test_auto_decides_by_the_validation_rows() -> None:
    task, columns = Classify(answering="auto", calibrate=False), judged()
    decision = task.decide(columns, DOMAIN)
    assert decision["answers"] == "balanced"
    assert decision["tried"]["likeliest"]["balanced_accuracy"] == 0.5
    assert decision["tried"]["balanced"]["balanced_accuracy"] > 0.6
    logits = np.log(columns["probabilities"])
    table = predicted(task, logits, decision)
    assert table["label"] == ["b" if p > 0.2 else "a" for p in columns["probabilities"][:, 1]]
    assert predicted(task, logits, {**decision, "answers": "likeliest"})["label"] == ["a"] * 400
    # Where what is likelier than usual is never "b", the rows refuse it.
    refused = {**columns, "target": (columns["probabilities"][:, 1] < 0.03).astype(np.int64)}
    assert task.decide(refused, DOMAIN)["answers"] == "likeliest"


def test_rows_that_are_to_decide_are_answered_as_they_will_decide() -> None:
    """A network too unsure of itself, by a temperature of 2: its answers are those of the temperature that these rows
    will settle, so that passes and rungs are judged as they are delivered."""
    task, columns = Classify(answering="balanced"), judged(4000)
    soft = 0.5 * np.log(columns["probabilities"])
    batch = {"row": torch.arange(4000), "target": torch.from_numpy(columns["target"])}
    context = Context(DOMAIN, decided=False)
    table = task.predictions({"logits": torch.from_numpy(soft)}, batch, context)
    table = task.reduce({name: np.asarray(values) for name, values in table.items()}, DOMAIN)
    decision = task.decide(table, DOMAIN)
    assert decision["temperature"] == pytest.approx(0.5, abs=0.1)
    assert table["label"] == predicted(task, soft, decision)["label"]
    assert set(np.asarray(table["label"])[columns["probabilities"][:, 1] > 0.2]) == {"b"}
    few = task.reduce(
        {name: np.asarray(values)[:4] for name, values in table.items()} | {"prior": np.full((4, 2), np.nan)}, DOMAIN
    )
    assert few["label"] == ["b", "b", "b", "b"]  # of so few rows nothing is settled


def test_what_is_settled_has_the_same_names_whoever_settles() -> None:
    """Halves of the validation split settle for each other (run/settling.py)."""
    halves = [{name: values[half::2] for name, values in judged().items()} for half in (0, 1)]
    for task in (Classify(answering="auto"), Classify(answering="balanced")):
        first, second = (task.decide(half, DOMAIN) for half in halves)
        assert first.keys() == second.keys()
        assert first["answers"] == "balanced"
    assert Classify().decide(judged(), DOMAIN).keys() == {"temperature"}


def test_views_and_blends_answer_as_one_row_does() -> None:
    task = Classify(answering="balanced")
    one = predicted(task, [odds(0.12), odds(0.12), odds(0.05)])
    parts = {
        **{name: np.asarray(values) for name, values in one.items()},
        "row": np.array([0, 0, 1]),
        "part": np.array([0, 1, 0]),
    }
    assert task.reduce(parts, DOMAIN)["label"] == ["b", "a"]
    tables = [
        {name: np.asarray(values) for name, values in predicted(task, logits).items()}
        for logits in ([odds(0.2)], [odds(0.06)])
    ]
    assert task.blended(tables, (0.5, 0.5), DOMAIN)["label"] == ["b"]  # the root of 0.25 x 0.064 is odds of 0.126
    assert task.blended(tables, (0.1, 0.9), DOMAIN)["label"] == ["a"]
    assert task.answers(task.blended(tables, (0.5, 0.5), DOMAIN), DOMAIN, 2)[0]["top"][0]["label"] == "b"


def test_a_blend_takes_out_what_each_member_holds() -> None:
    """Two members with logits of evenly drawn rows, weighed 0.5 and 1.0: what both hold is taken out once."""
    task = Classify(evenly_drawn=True, answering="balanced")
    logits = [np.array([[0.3, 0.9], [0.1, -2.0]]), np.array([[1.0, 0.2], [0.0, 0.4]])]
    tables = [{name: np.asarray(values) for name, values in predicted(task, own).items()} for own in logits]
    apart = task.blended(tables, (0.5, 1.0), DOMAIN)
    whole = predicted(task, 0.5 * logits[0] + logits[1])
    np.testing.assert_allclose(apart["probabilities"], whole["probabilities"], atol=1e-12)
    assert apart["label"] == whole["label"]


def test_what_was_shown_is_no_part_of_what_a_network_is_too_unsure_of() -> None:
    """Evenly drawn, and too unsure by a temperature of 2: 0.5 cools it, and a row of which nothing is known has the
    shares as its probabilities all the same."""
    task = Classify(evenly_drawn=True, answering="balanced")
    honest = judged(4000)
    raw = 0.5 * (np.log(honest["probabilities"]) - np.log([0.9, 0.1]))
    decision = task.decide({**honest, "probabilities": predicted(task, raw)["probabilities"].numpy()}, DOMAIN)
    assert decision["temperature"] == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(predicted(task, raw, {"temperature": 0.5})["probabilities"], honest["probabilities"])
    assert predicted(task, [[0.0, 0.0]], decision)["probabilities"][0].tolist() == pytest.approx([0.9, 0.1])


def test_labels_that_were_weighed_are_said_as_before_and_their_probabilities_are_honest() -> None:
    domain = replace(DOMAIN, target="labels", counts=(50, 10), rows=100)
    context, batch = Context(domain), {"row": torch.arange(2), "target": torch.zeros(2, 2)}
    output = {"logits": torch.tensor([[0.1, 0.1], [-0.1, -0.1]])}
    raw, honest = (
        Tag(class_weights="balanced", corrected=own).predictions(output, batch, context) for own in (False, True)
    )
    assert raw["prediction"].tolist() == honest["prediction"].tolist() == [[1, 1], [0, 0]]
    assert honest["threshold"][0].tolist() == pytest.approx([0.5, 0.1])
    assert honest["probabilities"][0].tolist() == pytest.approx(
        [1 / (1 + math.exp(-0.1)), 1 / (1 + 9 * math.exp(-0.1))]
    )
    weighed = Tag(class_weights="balanced", corrected=True)
    features, target = np.ones((100, 1)), np.zeros((100, 2))
    target[:50, 0] = target[:10, 1] = 1
    head = weighed.fit_head(features, target, np.arange(100), domain, (1.0,))["logits"]
    assert head(features)[0].tolist() == pytest.approx([0.0, 0.0], abs=1e-3)  # as likely as not, once weighed


def test_answers_do_not_hang_on_the_shares_of_classes_that_validate() -> None:
    """A calibrated model, whose probabilities are by Bayes' rule of three looks. Where as many of each class validate a
    temperature makes it less sure, and p / share would then answer every look by "b"."""
    look = np.array([[0.6, 0.35, 0.05], [0.2, 0.2, 0.6]])  # how often each is of each class
    logits = np.log(look.T * [0.9, 0.1])
    decisions = []
    for counts in ((900, 100), (500, 500)):
        times = np.rint(look * np.array(counts)[:, None]).astype(int)
        target, seen = (np.repeat(np.indices(times.shape)[axis].ravel(), times.ravel()) for axis in (0, 1))
        rows = predicted(Classify(answering="balanced"), logits[seen])
        open_rows = {**rows, "target": target, "prior": rows["prior"] * np.nan}
        undecided = Classify(answering="auto").reduce(open_rows, DOMAIN)
        assert (undecided["prediction"] == np.array([0, 0, 1])[seen]).all()
        columns = {"row": np.arange(1000), "target": target, "probabilities": rows["probabilities"].numpy()}
        decisions.append(Classify(answering="auto").decide(columns, DOMAIN))
        assert predicted(Classify(answering="auto"), logits, decisions[-1])["label"] == ["a", "a", "b"]
    same, shifted = decisions
    assert same["answers_temperature"] == same["temperature"] == pytest.approx(1, abs=1e-3)
    assert shifted["answers_temperature"] == pytest.approx(1, abs=0.01)
    assert shifted["temperature"] > 1.5
    before = {name: value for name, value in shifted.items() if name != "answers_temperature"}
    assert predicted(Classify(answering="auto"), logits, before)["label"] == ["b", "b", "b"]


def test_a_graph_answers_by_shares_that_32_bits_do_not_hold() -> None:
    """At 70 times the temperature the share of "b" is 9 ** -70 of that of "a", e ** -153.8: what lies above is "b"."""

    class Said(torch.nn.Module):
        def forward(self, input: torch.Tensor, mask: None = None) -> dict[str, torch.Tensor]:
            return {"logits": input}

    decision = {"answers": "balanced", "temperature": 1.0, "answers_temperature": 70.0}
    logits = torch.tensor([[0.0, -150.0], [0.0, -160.0], [0.0, 3.0]])
    context = Context(DOMAIN, decision=decision, targets=False)
    made = Classify().deployed(Said(), {"input": logits}, context)
    assert made["prediction"].tolist() == predicted(Classify(), logits, decision)["prediction"].tolist() == [1, 0, 1]
    assert torch.equal(made["probabilities"], logits.softmax(1))
