"""From SQuAD's JSON to a report: answers found in windows, joined, judged, predicted."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.domains.questions import Questions
from pervade.engine import predictions
from pervade.engine.predictor import Predictor
from pervade.metrics.span import score
from pervade.recipes import choose
from pervade.run.training import Options
from pervade.tasks.answer_span import best_margin
from tests.questions import recipe, squad, write
from tests.texts import encoder_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("questions") / "asked.json", squad(60))


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    run = pervade.fit(data, recipe=recipe(), name="a", runs=tmp_path_factory.mktemp("runs"), options=Options())
    run.evaluate()
    run.report()
    return run


def test_it_learns_and_stands_beside_a_rule(run: pervade.Run) -> None:
    result = run.results()
    assert result["metrics"]["f1"]["value"] > 0.8
    assert "by group" in result["metrics"]["exact_match"]["method"]  # questions of one paragraph depend on each other
    baseline = result["details"]["baseline"]
    assert baseline["metrics"]["f1"]["value"] < 0.6
    plain = predictions.read_columns(run.path / baseline["predictions"])
    found = [score(said, right, False)[1] for said, right in zip(plain["prediction"], plain["target"], strict=True)]
    assert np.mean(found) == pytest.approx(baseline["metrics"]["f1"]["value"])


def test_articles_are_not_divided_and_intervals_are_by_paragraph(run: pervade.Run) -> None:
    columns = files.read_json(run.directory.data)["columns"]
    splits: dict[str, set[str]] = {}
    for article, split in zip(columns["bundle"], columns["split"], strict=True):
        splits.setdefault(article, set()).add(split)
    assert all(len(each) == 1 for each in splits.values())
    assert len(set(columns["group"])) == 2 * len(splits)


def test_an_answer_is_a_piece_of_its_text(run: pervade.Run) -> None:
    table = predictions.read_columns(run.directory.predictions("best", "test"))
    contexts = files.read_json(run.directory.data)["columns"]["context"]
    for row, said, start, end in zip(table["row"], table["prediction"], table["start"], table["end"], strict=True):
        assert contexts[row][start:end] == said


def test_predict_is_what_evaluate_does(run: pervade.Run, tmp_path: Path) -> None:
    table = predictions.read_columns(run.directory.predictions("best", "test"))
    columns = files.read_json(run.directory.data)["columns"]
    given = [f"{columns['question'][row]}\t{columns['context'][row]}" for row in table["row"]]
    found = run.predict(given)
    assert [each["answer"] for each in found] == table["prediction"]
    assert np.abs([each["probability"] for each in found] - table["probability"]).max() < 1e-6
    with (tmp_path / "more.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["question", "context"], *(each.split("\t") for each in given[:3])])
    assert [each["answer"] for each in run.predict(tmp_path / "more.csv")] == table["prediction"][:3]
    (fault,) = run.predict("Which city is it?")
    assert "with a tab between" in fault["error"]


def test_the_report_shows_mistakes_in_their_texts(data: Path, tmp_path: Path) -> None:
    run = pervade.fit(data, recipe=recipe(epochs=1), name="a", runs=tmp_path, options=Options())
    run.evaluate()
    page = run.report().read_text(encoding="utf-8")
    assert "Mistakes it was surest of" in page
    assert "<mark>" in page
    assert "question" in page
    assert "picture" not in page


def test_texts_longer_than_a_window(tmp_path: Path) -> None:
    """Most answers lie beyond the first window, in texts of three windows. It takes more than 5 s: the encoder needs
    its passes to find words by what they are, not by where they stand."""
    data = write(tmp_path / "long.json", squad(60, long=25))
    known = recipe(domain=Questions(length=32, overlap=8, num_tokens=400), epochs=16)
    run = pervade.fit(data, recipe=known, name="a", runs=tmp_path / "runs", options=Options())
    result = run.evaluate()
    assert result["metrics"]["f1"]["value"] > 0.8
    table = predictions.read_columns(run.directory.predictions("best", "test"))
    assert len(set(table["row"])) == len(table["row"]) == result["n"]
    assert np.median(table["start"]) > 100


def test_questions_without_an_answer(tmp_path: Path) -> None:
    data = write(tmp_path / "v2.json", squad(60, unanswerable=True))
    run = pervade.fit(data, recipe=recipe(), name="a", runs=tmp_path / "runs", options=Options())
    result = run.evaluate()
    assert result["metrics"]["f1[unanswerable]"]["value"] > 0.8
    assert result["metrics"]["f1[answerable]"]["value"] > 0.7
    assert result["details"]["answers"]["unanswerable"] > 0
    decision = files.read_json(run.directory.checkpoint("best") / "decision.json")
    assert isinstance(decision["margin"], float)
    found = run.predict("Which colour is it?\tthe man went to see oslo and then he left with some old cat")
    assert found[0]["answer"] == ""
    assert found[0]["start"] == -1


def test_chinese_is_judged_by_character(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cities, animals = ("北京", "上海", "广州", "深圳"), ("小猫", "老虎", "白马", "金鱼")
    articles = []
    for number in range(60):
        city, animal = str(rng.choice(cities)), str(rng.choice(animals))
        context = f"他在{city}看见了一只{animal}，编号{number}。"
        asked = [
            {"id": f"{number}c", "question": "在哪个城市？", "answers": [_answer(city, context)]},
            {"id": f"{number}a", "question": "是什么动物？", "answers": [_answer(animal, context)]},
        ]
        articles.append({"paragraphs": [{"context": context, "qas": asked}]})
    data = write(tmp_path / "zh.json", {"data": articles})
    run = pervade.fit(data, recipe=recipe(), name="a", runs=tmp_path / "runs", options=Options())
    assert run.evaluate()["metrics"]["f1"]["value"] > 0.8
    assert run.load().domain.by_character  # type: ignore[attr-defined]


def _answer(text: str, context: str) -> dict[str, object]:
    return {"text": text, "answer_start": context.index(text)}


def test_an_encoder_of_the_hub_learns_it_too(data: Path, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    task, found = choose(data, None, f"hf:{folder}")
    assert task == "question-answering"
    small = replace(found, epochs=1, workers=0, domain=replace(found.domain, length=40, overlap=8))  # type: ignore[type-var]
    run = pervade.fit(data, recipe=small, name="a", runs=tmp_path / "runs", options=Options())
    assert 0 <= run.evaluate()["metrics"]["f1"]["value"] <= 1
    # Its features are those of tokens, as many as a text has: they are not kept, and a frozen body learns as well.
    frozen = pervade.fit(
        data,
        model=f"hf:{folder}",
        tuning="freeze",
        name="b",
        runs=tmp_path / "runs",
        epochs=1,
        options=Options(),
        settings=["domain.length=40"],
    )
    assert frozen.evaluate()["n"] > 0


def test_a_tokenizer_without_a_token_for_not_here(data: Path, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    path = folder / "tokenizer.json"
    known = json.loads(path.read_text(encoding="utf-8").replace("[CLS]", "[X]"))
    path.write_text(json.dumps(known), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no token \[CLS\] or <s>, which question answering needs"):
        pervade.fit(data, model=f"hf:{folder}", name="a", runs=tmp_path / "runs", options=Options())


def test_data_without_answers(tmp_path: Path) -> None:
    data = squad(4)
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                asked["answers"] = []
    path = write(tmp_path / "none.json", data)
    with pytest.raises(DataError, match="no question to learn from has an answer"):
        pervade.fit(path, recipe=recipe(), name="a", runs=tmp_path / "runs", options=Options())


def test_batches_of_one_kind_alone(tmp_path: Path) -> None:
    """A batch whose questions all have answers, and one whose have none, are written to one file."""
    path = write(tmp_path / "v2.json", squad(30, unanswerable=True))
    run = pervade.fit(path, recipe=recipe(epochs=1), name="a", runs=tmp_path / "runs", options=Options())
    loaded = run.load()
    rows = Rows(files.read_json(run.directory.data)["columns"])
    order = sorted(range(len(rows)), key=lambda i: len(rows.column("answers")[i]))
    rows = rows.select(order).with_columns(size=list(range(len(rows))))
    network, domain, task = loaded.network, loaded.domain, loaded.task
    made = tmp_path / "p.parquet"
    Predictor(network, domain, task, batch_size=4).write(made, rows, {})
    columns = predictions.read_columns(made)
    assert [len(each) for each in columns["target"]] == [len(each) for each in rows.column("answers")]


def test_an_answer_begins_with_a_letter_whatever_the_tokens(data: Path, tmp_path: Path) -> None:
    known = recipe(domain=Questions(length=64, overlap=16, num_tokens=400, tokenizer_kind="bpe"), epochs=1)
    run = pervade.fit(data, recipe=known, name="a", runs=tmp_path, options=Options())
    run.evaluate()
    table = predictions.read_columns(run.directory.predictions("best", "test"))
    contexts = files.read_json(run.directory.data)["columns"]["context"]
    for row, said, start, end in zip(table["row"], table["prediction"], table["start"], table["end"], strict=True):
        assert said == said.strip() == contexts[row][start:end]


def test_the_margin_at_which_all_is_answered() -> None:
    absent, one = np.array([2.0, np.inf]), np.array([1.0, 0.0])
    assert best_margin(absent, one, 1 - one) > 2
