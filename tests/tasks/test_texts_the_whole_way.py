"""From a table of texts to a report: trained, evaluated, predicted, beside a linear model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.errors import ConfigError, DataError
from pervade.data.text import vocabulary
from pervade.domains.text import Text
from pervade.engine import predictions
from pervade.recipes import choose, text
from pervade.run.training import Options
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag
from tests.texts import encoder_folder, recipe, reviews, write


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("texts") / "reviews.tsv", reviews(240))


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    run = pervade.fit(table, recipe=recipe(), name="a", runs=tmp_path_factory.mktemp("runs"), options=Options())
    run.evaluate()
    run.report()
    return run


def test_it_learns_and_stands_beside_a_linear_model(run: pervade.Run) -> None:
    result = run.results()
    assert result["metrics"]["accuracy"]["value"] > 0.9
    baseline = result["details"]["baseline"]
    assert baseline["name"] == "TF-IDF of words and logistic regression"
    assert baseline["metrics"]["accuracy"]["value"] > 0.9
    apart = baseline["differences"]["accuracy"]
    own = result["metrics"]["accuracy"]["value"] - baseline["metrics"]["accuracy"]["value"]
    assert apart["difference"] == pytest.approx(own)
    assert result["details"]["constant"]["metrics"]["accuracy"]["value"] == pytest.approx(0.5, abs=0.1)
    # The linear model's figures come from a predictions file as well, of the same rows.
    plain = predictions.read_columns(run.path / baseline["predictions"])
    ours = predictions.read_columns(run.path / result["predictions"])
    assert list(plain["row"]) == list(ours["row"])
    assert (plain["target"] == plain["prediction"]).mean() == baseline["metrics"]["accuracy"]["value"]


def test_the_report_says_so(run: pervade.Run) -> None:
    page = run.report().read_text(encoding="utf-8")
    assert "TF\u2011IDF of words and logistic regression" in page
    assert "texts" in page
    assert "picture" not in page


def test_predict_is_what_evaluate_does(run: pervade.Run) -> None:
    path = run.directory.predictions("best", "test")
    columns = predictions.read_columns(path)
    known = files.read_json(run.directory.data)["columns"]["text"]
    given = [known[row] for row in columns["row"]]
    found = run.predict_proba(given)
    assert np.abs(found - columns["probabilities"]).max() < 1e-6
    one = run.predict(given[0])[0]
    assert one["input"] == given[0]
    assert one["top"][0]["label"] == columns["label"][0]


def test_files_and_tables_are_predicted(run: pervade.Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the film was superb", encoding="utf-8")
    write(tmp_path / "more.tsv", [("so awful", "x"), ("very warm", "x")])
    found = run.predict([tmp_path / "a.txt", tmp_path / "more.tsv"])
    assert [each["top"][0]["label"] for each in found] == ["good", "bad", "good"]
    assert "it is not there" in run.predict("missing.txt")[0]["error"]


def test_a_new_process_finds_the_tokenizer(run: pervade.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for digest in list(vocabulary.assets.known):
        monkeypatch.delitem(vocabulary.assets.known, digest)
    vocabulary.tokenizer.cache_clear()
    assert run.predict("a lovely film")[0]["top"][0]["label"] == "good"


def test_the_tokenizer_is_learnt_from_the_training_split_alone(run: pervade.Run) -> None:
    data = files.read_json(run.directory.data)["columns"]
    train = [each for each, split in zip(data["text"], data["split"], strict=True) if split == "train"]
    expected = vocabulary.keep(vocabulary.learn(train, "wordpiece", 400))
    assert run.load().domain.tokenizer == expected
    everything = vocabulary.keep(vocabulary.learn(data["text"], "wordpiece", 400))
    assert everything != expected


def test_what_is_cut_is_said(table: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Screen(type(Options().screen)):
        def say(self, text: str) -> None:
            said.append(text)

    asked = recipe(domain=Text(length=8, num_tokens=400), epochs=1)
    pervade.fit(table, recipe=asked, name="a", runs=tmp_path, options=Options(Screen()))
    assert any("of 240 texts are longer than 8 tokens (the longest has" in line for line in said), said


def test_several_labels(tmp_path: Path) -> None:
    rows = [
        (t, "|".join(["warmth"] * (label == "good") + ["long"] * (len(t.split()) > 8))) for t, label in reviews(240)
    ]
    table = write(tmp_path / "tags.tsv", rows, "text\ttags\n")
    asked = text.asked(recipe(epochs=8), "text-multi-label-classification")
    run = pervade.fit(table, recipe=asked, name="a", runs=tmp_path, options=Options())
    result = run.evaluate()
    assert isinstance(run.load().task, Tag)
    assert result["metrics"]["mean_average_precision"]["value"] > 0.8
    assert result["details"]["baseline"]["name"] == "TF-IDF of words and one logistic regression a label"


def test_numbers(tmp_path: Path) -> None:
    rows = [(t, 10.0 + 5 * (label == "good")) for t, label in reviews(240)]
    rows = [(t, value + number % 3) for number, (t, value) in enumerate(rows)]
    table = write(tmp_path / "stars.tsv", rows, "text\tscore\n")
    asked = text.asked(recipe(epochs=8), "text-regression")
    run = pervade.fit(table, recipe=asked, name="a", runs=tmp_path, options=Options())
    result = run.evaluate()
    assert isinstance(run.load().task, Regress)
    assert result["metrics"]["mean_absolute_error"]["value"] < 1.5
    assert result["details"]["baseline"]["name"] == "TF-IDF of words and ridge regression"


def test_chinese(tmp_path: Path) -> None:
    words = {"好": ["很好", "不错", "满意", "喜欢"], "差": ["太差", "糟糕", "失望", "难吃"]}
    rng = np.random.default_rng(0)
    rows = [(f"这家酒店{rng.choice(words[label])}，{number}号房间", label) for number in range(120) for label in words]
    run = pervade.fit(write(tmp_path / "酒店.tsv", rows, ""), recipe=recipe(), runs=tmp_path, options=Options())
    result = run.evaluate()
    assert result["metrics"]["accuracy"]["value"] > 0.9
    assert result["details"]["baseline"]["name"] == "TF-IDF of characters and logistic regression"
    assert run.labels == ("好", "差") or set(run.labels) == {"好", "差"}


def test_pairs(tmp_path: Path) -> None:
    """Whether the second text names the first's mood: neither alone tells."""
    rng = np.random.default_rng(0)
    moods = ["warm", "fine", "superb"], ["cold", "dull", "awful"]
    rows = []
    for number in range(300):
        mood, said = rng.integers(0, 2, 2)
        label = "same" if mood == said else "other"
        rows.append((f"it was {rng.choice(moods[mood])}", f"{rng.choice(moods[said])} it was {number}", label))
    table = write(tmp_path / "pairs.tsv", rows, "sentence1\tsentence2\tlabel\n")
    run = pervade.fit(table, recipe=recipe(epochs=1), name="a", runs=tmp_path, options=Options())
    run.evaluate()
    assert run.load().domain.pair
    found = run.predict("it was warm\tsuperb it was")[0]
    assert {each["label"] for each in found["top"]} == {"same", "other"}
    assert "reads pairs" in run.predict("it was warm")[0]["error"]


@pytest.mark.parametrize("tuning", [None, "freeze", "lora"])
def test_from_an_encoder_of_the_hub(table: Path, tmp_path: Path, tuning: str | None) -> None:
    folder = encoder_folder(tmp_path / "bert")
    flags = {"model": f"hf:{folder}", "tuning": tuning, "epochs": 2, "lr": 1e-3}
    run = pervade.fit(table, name="a", runs=tmp_path, options=Options(), settings=["workers=0"], **flags)
    started = files.read_json(run.directory.init)
    assert started["init"]["use"] == "pretrained"
    assert all(name.startswith("head.") for name in (each.partition(":")[0] for each in started["new"]))
    given = ["the film was superb", "so awful"]
    assert np.array_equal(run.predict_proba(given), pervade.load(run.path).predict_proba(given))
    # Its folder is not needed any more.
    for each in folder.iterdir():
        each.unlink()
    assert pervade.load(run.path).predict_proba(given).shape == (2, 2)


def test_from_a_run_with_its_tokenizer(run: pervade.Run, table: Path, tmp_path: Path) -> None:
    other = pervade.fit(table, init=run.path, epochs=1, name="b", ladder=["trained"], runs=tmp_path, options=Options())
    assert other.load().domain.tokenizer == run.load().domain.tokenizer
    assert not files.read_json(other.directory.init)["new"]


def test_the_task_is_told_by_the_data(table: Path, tmp_path: Path) -> None:
    assert choose(table, None, None, "random")[0] == "text-classification"
    stars = write(tmp_path / "s.tsv", [(t, n * 1.37) for n, (t, _) in enumerate(reviews(60))], "text\tscore\n")
    assert choose(stars, None, None, "random")[0] == "text-regression"
    tags = write(tmp_path / "t.tsv", [(t, "a|b" if n % 3 else "b") for n, (t, _) in enumerate(reviews(60))])
    assert choose(tags, None, None, "random")[0] == "text-multi-label-classification"


def test_who_names_a_column_of_texts_has_texts(table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no column 'txt'; did you mean 'text'"):
        pervade.fit(table, text_column="txt", init="random", runs=tmp_path, options=Options())


def test_another_encoding_is_texts_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f"这家酒店很{'好' if n % 2 else '差'}{n},{'good' if n % 2 else 'bad'}\n" for n in range(80)]
    path.write_bytes(("text,label\n" + "".join(lines)).encode("gb18030"))
    with pytest.raises(DataError, match=r"read it with --encoding gb"):
        pervade.fit(path, init="random", runs=tmp_path, options=Options())
    settings = ["domain.encoding=gb18030", "epochs=1", "workers=0"]
    run = pervade.fit(path, init="random", ladder=["trained"], runs=tmp_path, options=Options(), settings=settings)
    assert files.read_json(run.directory.data)["columns"]["text"][0] == "这家酒店很差0"


def test_worse_than_the_linear_model_and_no_better_than_one_class_is_said(table: Path, tmp_path: Path) -> None:
    asked = recipe(epochs=1, optimizer=replace(recipe().optimizer, lr=1e-9))
    run = pervade.fit(table, recipe=asked, name="a", runs=tmp_path, options=Options())
    result = run.evaluate()
    assert result["details"]["baseline"]["differences"]["accuracy"]["high"] < 0
    page = run.report().read_text(encoding="utf-8")
    assert "which takes no learning: nothing here shows that it learnt anything" in page


def test_a_label_seen_in_the_test_split_only(tmp_path: Path) -> None:
    write(tmp_path / "d" / "train.tsv", reviews(40))
    write(tmp_path / "d" / "test.tsv", [*reviews(20, seed=1), ("quite odd", "odd"), ("so odd", "odd")])
    with pytest.raises(DataError, match="class 'odd' stands in the test split"):
        pervade.fit(tmp_path / "d", recipe=recipe(), name="a", runs=tmp_path, options=Options())


def test_a_text_longer_than_the_model_can_take(table: Path, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "bert")
    with pytest.raises(ConfigError, match="takes 40 tokens at most"):
        pervade.fit(
            table, model=f"hf:{folder}", settings=["domain.length=99"], name="a", runs=tmp_path, options=Options()
        )


def test_every_text_recipe_is_for_its_task() -> None:
    for name in text.TASKS:
        made = text.recipe(None, name, "random")
        assert replace(made, epochs=1).domain.target in ("class", "labels", "number")


def test_folds_stand_beside_a_linear_model_of_each(table: Path, tmp_path: Path) -> None:
    run = pervade.fit(table, recipe=recipe(epochs=1), name="a", runs=tmp_path, folds=3, options=Options())
    result = run.results()
    baseline = result["details"]["baseline"]
    assert baseline["name"] == "TF-IDF of words and logistic regression, trained anew in each fold"
    assert baseline["metrics"]["accuracy"]["n"] == result["n"] == 240
    apart = result["metrics"]["accuracy"]["value"] - baseline["metrics"]["accuracy"]["value"]
    assert baseline["differences"]["accuracy"]["difference"] == pytest.approx(apart)
    assert result["details"]["constant"]["differences"]["accuracy"]["difference"] > 0
    page = run.report().read_text(encoding="utf-8")
    assert "trained anew in each fold" in page
