"""Direct preference optimisation: its loss by hand, and a model that learns to prefer."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pervade
from pervade.core.contracts import Context, Recipe
from pervade.core.errors import ConfigError, DataError
from pervade.data.text.corpus import IGNORED
from pervade.domains.preferences import Preferences, looks_like_preferences
from pervade.engine import checkpoint, predictions
from pervade.engine.predictor import Predictor
from pervade.engine.step import only_phase
from pervade.metrics.estimate import estimate
from pervade.metrics.preference import longer_baseline, preference_metrics
from pervade.models.gpt import GPT
from pervade.recipes import choose as choose_recipe
from pervade.recipes import preference
from pervade.run.training import Options
from pervade.tasks.prefer import Prefer, log_probabilities
from pervade.testing import check_domain, check_task
from pervade.train.optim.sgd import SGD
from tests import chats
from tests.small_run import weights


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    """A model that answers with a colour, and ends it more often with a full stop than with !."""
    folder = tmp_path_factory.mktemp("base")
    rows = [{**row, "completion": row["completion"] + "!.."[i % 3]} for i, row in enumerate(chats.colours(200))]
    table = chats.write(folder / "c.jsonl", rows)
    return pervade.fit(table, recipe=chats.recipe(), name="base", runs=folder, options=Options())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chats.write(tmp_path_factory.mktemp("pairs") / "pairs.jsonl", chats.tastes(160, seed=3))


def recipe(base: pervade.Run, pairs: Path, **fields: Any) -> Recipe:
    torch.set_num_threads(1)
    task, chosen = choose_recipe(pairs, None, None, str(base.path))
    assert task == "text-preference"
    small = replace(chosen, optimizer=replace(chosen.optimizer, lr=2e-3), epochs=4, workers=0, test=0.3)
    return replace(small, **fields)


@pytest.fixture(scope="module")
def run(base: pervade.Run, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    runs = tmp_path_factory.mktemp("runs")
    run = pervade.fit(pairs, recipe=recipe(base, pairs), name="a", runs=runs, options=Options())
    run.evaluate()
    return run


def shares(run: pervade.Run, network: torch.nn.Module) -> float:
    """Of the run's test rows, by another network."""
    loaded = run.load()
    stored = json.loads(run.directory.data.read_text())["columns"]
    rows = pervade.core.types.Rows(stored).where("split", "test")
    table = Predictor(network, loaded.domain, loaded.task).table(rows)
    return float((table["chosen"] > table["rejected"]).mean())


def test_it_learns_to_prefer(run: pervade.Run, base: pervade.Run) -> None:
    result = run.results()
    found = result["metrics"]["chosen_likelier"]
    assert found["n"] == 48
    assert found["method"] == "Wilson"
    assert found["value"] > 0.9
    assert shares(run, base.load().network) < 0.5
    baseline = result["details"]["baseline"]
    assert baseline["metrics"]["chosen_likelier"]["value"] == 0.5  # all answers are as long
    columns = predictions.read_columns(run.path / result["predictions"])
    assert found["value"] == (columns["chosen"] > columns["rejected"]).mean()
    assert list(columns["chosen_tokens"]) == list(columns["rejected_tokens"])
    page = run.report().read_text(encoding="utf-8")
    assert "finds the preferred of two answers the likelier" in page
    assert "What it answers" in page
    assert "taking the longer answer" in page


def test_it_answers_as_it_was_taught(run: pervade.Run) -> None:
    said = [each["text"] for each in run.predict([row["prompt"] for row in chats.colours(40, seed=8)], temperature=0)]
    assert not any(text.endswith(".") for text in said)
    assert sum(text.endswith("!") for text in said) > 30


def test_the_model_as_it_was_before_is_in_the_state(run: pervade.Run, base: pervade.Run) -> None:
    """From where a resumed run takes it: the network has learnt meanwhile."""
    state = checkpoint._read_packed(run.directory.state)["learner"]
    for name, value in base.load().network.state_dict().items():
        assert torch.equal(state["companions"][f"reference.{name}"], value)
        assert not torch.equal(state["network"][name], value)


def test_micro_batches_change_nothing(base: pervade.Run, pairs: Path, tmp_path: Path) -> None:
    plain = recipe(base, pairs, optimizer=SGD(lr=0.01), precision="fp32", epochs=1)
    one, other = (
        pervade.fit(pairs, recipe=replace(plain, micro_batch=size), name=f"m{size}", runs=tmp_path, options=Options())
        for size in (None, 3)
    )
    first, one, other = base.load().network.state_dict(), weights(one.directory), weights(other.directory)
    moved = max(float((one[name] - first[name]).abs().max()) for name in one)
    apart = max(float((one[name] - other[name]).abs().max()) for name in one)
    assert apart < 1e-3 * moved


# the loss


def test_the_loss_by_hand() -> None:
    output = {
        "chosen": torch.tensor([-3.0, -5.0]),
        "rejected": torch.tensor([-4.0, -2.0]),
        "reference_chosen": torch.tensor([-3.5, -5.0]),
        "reference_rejected": torch.tensor([-3.0, -2.0]),
    }
    batch = {"row": torch.arange(2)}
    parts = Prefer(beta=0.5).loss(output, batch)
    margin = 0.5 * ((-3.0 + 3.5) - (-4.0 + 3.0))  # 0.75
    expected = [math.log(1 + math.exp(-margin)), math.log(2)]
    assert parts["loss"].tolist() == pytest.approx(expected)
    assert parts["margin"].tolist() == pytest.approx([0.75, 0.0])
    assert parts["accuracy"].tolist() == [1.0, 0.0]
    smooth = Prefer(beta=0.5, smoothing=0.1).loss(output, batch)
    assert smooth["loss"][0] == pytest.approx(0.9 * expected[0] + 0.1 * math.log(1 + math.exp(margin)))


def fitted(base: pervade.Run, table: Path, **fields: Any) -> tuple[Any, Any, Any]:
    domain, rows = check_domain(Preferences(**{"tokenizer_from": str(base.path), "length": 64, **fields}), table)
    torch.manual_seed(0)
    model = GPT(width=16, depth=1, heads=2)
    return domain, rows, model.build(domain.inputs(), Prefer().outputs(domain))


def test_log_probabilities_by_hand(base: pervade.Run, tmp_path: Path) -> None:
    """Of an answer with its end, each by itself and without padding."""
    table = chats.write(
        tmp_path / "p.jsonl",
        [
            {"prompt": "the cat?", "chosen": "red and black", "rejected": "no"},
            {"prompt": "the dog, which was seen?", "chosen": "pink", "rejected": "none of the colours"},
        ],
    )
    domain, rows, network = fitted(base, table)
    network.eval()
    batch = domain.collate([each for row in rows for each in domain.transform(row, None)])
    with torch.inference_mode():
        found = log_probabilities(network, batch)
        for i, row in enumerate(rows):
            for name in ("chosen", "rejected"):
                asked = domain.transform({"messages": row["messages"]}, None)[0]["input"].tolist()
                answer = [*domain._cut(row[name], []), domain.ends[0]]
                likely = network(torch.tensor([[*asked, *answer]]))["logits"][0].log_softmax(-1)
                by_hand = sum(float(likely[len(asked) + place - 1, token]) for place, token in enumerate(answer))
                assert float(found[name][i]) == pytest.approx(by_hand, rel=1e-5)
    table = Prefer().predictions(found, {**batch, "row": torch.arange(2)}, Context(domain))
    assert table["chosen_tokens"][0] == int((batch["target"][0] != IGNORED).sum())


def test_the_contracts(base: pervade.Run, pairs: Path) -> None:
    """The batch can be cut, with the model as it was beside it, which gets no gradient and does not learn."""
    domain, rows, network = fitted(base, pairs)
    task = Prefer(beta=1.0)
    companions = task.companions(network, domain)
    assert companions is not None
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    batch = domain.collate([each for i in range(5) for each in domain.transform(rows[i], None)])
    batch["row"] = torch.arange(5)
    context = Context(domain, companions)
    check_task(task, network, batch, context)
    assert all(parameter.grad is None for parameter in companions.parameters())
    phase = only_phase(task, network, context)
    assert {id(each) for each in phase.parameters} == {id(each) for each in network.parameters()}
    assert not companions.get_submodule("reference").training
    before = task.forward(network, batch, context)
    assert not torch.equal(before["chosen"], before["reference_chosen"])


def test_figures_by_hand() -> None:
    columns = {
        "row": np.arange(4),
        "group": np.arange(4),
        "chosen": np.array([-2.0, -4.0, -9.0, -1.0]),
        "rejected": np.array([-3.0, -3.0, -8.0, -1.0]),
        "chosen_tokens": np.array([2, 8, 3, 1]),
        "rejected_tokens": np.array([2, 2, 4, 1]),
    }
    found = estimate(preference_metrics(), columns)
    assert found["chosen_likelier"].value == 0.25  # as likely is no preference
    assert found["chosen_likelier_per_token"].value == 0.5  # -1 to -1.5, -0.5 to -1.5, -3 to -2, -1 to -1
    assert found["chosen_likelier"].method == "Wilson"
    longer = longer_baseline(columns)
    assert longer["metrics"]["chosen_likelier"]["value"] == pytest.approx((0.5 + 1 + 0 + 0.5) / 4)
    assert longer["differences"]["chosen_likelier"]["difference"] == pytest.approx(0.25 - 0.5)
    grouped = estimate(preference_metrics(), {**columns, "group": np.array([0, 0, 1, 2])})
    assert grouped["chosen_likelier"].method == "jackknife over 3 groups, with Student's t"


# data


def test_pairs_as_common_sets_have_them(tmp_path: Path) -> None:
    asked, yes, no = (
        {"role": r, "content": c} for r, c in (("user", "hm?"), ("assistant", "yes"), ("assistant", "no"))
    )
    same_pair = [
        {"prompt": "hm?", "chosen": "yes", "rejected": "no"},
        {"prompt": "hm?", "chosen": [asked, yes], "rejected": [asked, no]},
        {"prompt": [asked], "chosen": [yes], "rejected": [no]},
        {"Prompt": None, "Chosen": [asked, yes], "Rejected": [asked, no]},
    ]
    for number, record in enumerate(same_pair):
        table = chats.write(tmp_path / f"{number}.jsonl", [record])
        assert looks_like_preferences(table)
        rows, left_out = Preferences().read(table)
        assert not left_out
        row = rows[0]
        assert (row["messages"], row["chosen"], row["rejected"]) == ([asked], "yes", "no")
        assert "group" not in rows


def test_pairs_to_one_question_stand_in_one_split(tmp_path: Path) -> None:
    records = [{"prompt": str(i // 2), "chosen": f"a{i}", "rejected": "b"} for i in range(8)]
    rows, _ = Preferences().read(chats.write(tmp_path / "p.jsonl", records))
    groups = list(rows.column("group"))
    assert groups[::2] == groups[1::2]
    assert len(set(groups)) == 4


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    asked, yes = {"role": "user", "content": "hm?"}, {"role": "assistant", "content": "yes"}
    bad = {
        "its chosen is empty": {"prompt": "a", "chosen": "", "rejected": "b"},
        "its rejected is empty": {"prompt": "a", "chosen": "b", "rejected": None},
        "its prompt is empty": {"prompt": "", "chosen": "a", "rejected": "b"},
        "both answers are the same": {"prompt": "a", "chosen": "b", "rejected": "b"},
        "its chosen does not end with an answer": {"prompt": "a", "chosen": [yes, asked], "rejected": "b"},
        "in its rejected: its message 1 has the role 'bot'; allowed: assistant, system, tool, user": {
            "prompt": "a",
            "chosen": "b",
            "rejected": [{"role": "bot", "content": "c"}],
        },
        "its answers are to different conversations; they may differ in their last message alone": {
            "prompt": "a",
            "chosen": [asked, yes],
            "rejected": [{**asked, "content": "what?"}, {**yes, "content": "no"}],
        },
    }
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    rows, left_out = Preferences().read(chats.write(tmp_path / "p.jsonl", [*bad.values(), good]))
    assert [each.reason for each in left_out] == list(bad)
    assert len(rows) == 1
    with pytest.raises(DataError, match="has no columns chosen and rejected, only prompt"):
        Preferences().read(chats.write(tmp_path / "q.jsonl", [{"prompt": "a"}]))


def test_long_pairs_lose_the_beginning_of_what_was_asked(base: pervade.Run, tmp_path: Path) -> None:
    records = [
        {"prompt": "the cat is red. " * 30, "chosen": "yes", "rejected": "no, it is not"},
        {"prompt": "the cat?", "chosen": "it is " * 60, "rejected": "no"},
    ]
    domain, rows, _ = fitted(base, chats.write(tmp_path / "p.jsonl", records), length=32)
    for row in rows:
        (example,) = domain.transform(row, None)
        assert len(example["input"]) == len(example["rejected"]) == 31
        asked, chosen, rejected, cut = domain._pair(row)
        assert cut
        assert asked == domain._pair({**row, "chosen": "x", "rejected": "y"})[0][-len(asked) :]
        assert len(asked) >= min(16, len(domain._pair({**row, "chosen": "x", "rejected": "y"})[0]))
        assert domain.ends[0] in rejected
        assert chosen
    assert any(line.startswith("2 of 2 pairs do not fit 32 tokens") for line in domain.remarks(rows))


def test_there_must_be_something_to_go_on_from(pairs: Path, tmp_path: Path) -> None:
    for init in (None, "random"):
        with pytest.raises(ConfigError, match=r"goes on from a model that writes: name one with --init RUN"):
            pervade.fit(pairs, init=init, name="a", runs=tmp_path, options=Options())
    assert not (tmp_path / "a").exists()
    shape = preference.recipe()
    with pytest.raises(ConfigError, match="learnt by a model that writes already"):
        pervade.fit(pairs, recipe=shape, name="a", runs=tmp_path, options=Options())
    assert not (tmp_path / "a").exists()


def test_a_run_that_does_not_write_is_refused(shapes: Path, pairs: Path, tmp_path: Path) -> None:
    from tests.small_run import recipe as pictures

    other = pervade.fit(shapes, recipe=pictures(epochs=1), name="a", runs=tmp_path, options=Options())
    with pytest.raises(ConfigError, match=r"writes text here is a gpt|trains a gpt"):
        pervade.fit(pairs, init=str(other.path), name="b", runs=tmp_path, options=Options())
