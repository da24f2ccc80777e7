"""Hidden words: an encoder learns pairs of them, alone and from published weights, and what follows starts from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pervade
from pervade.core import files, spec
from pervade.core.contracts import EarlyStopping, Model, Recipe
from pervade.core.errors import ConfigError
from pervade.core.types import Rows
from pervade.data.text import vocabulary
from pervade.data.text.corpus import IGNORED
from pervade.domains.masked import Masked
from pervade.engine import predictions
from pervade.init.pretrained import Pretrained
from pervade.models.transformer import Transformer
from pervade.nn.filler import Filler
from pervade.recipes import cloze
from pervade.run.training import Options
from tests.questions import squad
from tests.questions import write as write_questions
from tests.texts import encoder_folder, reviews, write

PAIRS = {"paris": "france", "rome": "italy", "cairo": "egypt", "lima": "peru", "oslo": "norway"}


def sentences(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    cities = rng.choice(list(PAIRS), count)
    return [f"{city} in {PAIRS[city]} {number % 7}" for number, city in enumerate(cities)]


def small(**fields: object) -> Recipe:
    torch.set_num_threads(1)
    known = replace(
        cloze.scratch(Transformer(width=32, depth=1, heads=2, dropout=0.0)),
        domain=Masked(length=16, num_tokens=300, share=0.25),
        early_stopping=EarlyStopping("masked_perplexity", every=10),
        epochs=40,
        batch_size=4,
        workers=0,
        validation=0.1,
        test=0.1,
    )
    return replace(known, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(each, "x") for each in sentences(400)]
    return write(tmp_path_factory.mktemp("cloze") / "texts.tsv", rows)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    made = small(optimizer=replace(small().optimizer, lr=5e-3))  # type: ignore[type-var]
    run = pervade.fit(data, recipe=made, name="a", runs=tmp_path_factory.mktemp("runs"), options=Options())
    run.evaluate()
    return run


def test_it_learns_which_words_go_together(run: pervade.Run) -> None:
    result = run.results()
    assert result["metrics"]["masked_accuracy"]["value"] > 0.55
    baseline = result["details"]["baseline"]
    assert baseline["metrics"]["masked_accuracy"]["value"] < 0.3
    assert baseline["metrics"]["masked_perplexity"]["value"] > 2 * result["metrics"]["masked_perplexity"]["value"]
    found = run.predict("lima in [MASK] 3")[0]
    assert found["top"][0]["label"] == "peru"
    assert len(found["gaps"]) == 1
    two = run.predict("oslo [MASK] [MASK] 3")[0]
    assert [gap[0]["label"] for gap in two["gaps"]] == ["in", "norway"]
    assert "top" not in two


def test_its_figures_are_sums_over_its_predictions(run: pervade.Run) -> None:
    table = predictions.read_columns(run.directory.predictions("best", "test"))
    value = run.results()["metrics"]["masked_accuracy"]["value"]
    assert value == pytest.approx(table["right"].sum() / table["tokens"].sum())
    again = run.evaluate()
    assert again["metrics"]["masked_accuracy"]["value"] == value  # what is hidden depends on the text alone


def test_other_questions_go_on_from_it(run: pervade.Run, tmp_path: Path) -> None:
    table = write(tmp_path / "reviews.tsv", reviews(120))
    more = pervade.fit(
        table, init=str(run.path), ladder=["trained"], name="a", runs=tmp_path / "runs", epochs=1, options=Options()
    )
    started = files.read_json(more.directory.init)
    assert not [name for name in started["new"] if not name.startswith("head.")]
    assert more.load().domain.tokenizer == run.load().domain.tokenizer  # type: ignore[attr-defined]
    asked = write_questions(tmp_path / "asked.json", squad(20))
    answers = pervade.fit(
        asked,
        init=str(run.path),
        name="b",
        ladder=["trained"],
        runs=tmp_path / "runs",
        epochs=1,
        options=Options(),
        settings=["domain.length=32"],
    )
    assert not [name for name in files.read_json(answers.directory.init)["new"] if not name.startswith("head.")]
    # And filling in itself goes on, head and all.
    further = pervade.fit(
        write(tmp_path / "more.tsv", [(each, "x") for each in sentences(80)]),
        task="fill-mask",
        init=str(run.path),
        name="c",
        ladder=["trained"],
        runs=tmp_path / "runs",
        epochs=1,
        options=Options(),
    )
    assert not files.read_json(further.directory.init)["new"]


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_published_encoder_goes_on_with_its_head(kind: str, data: Path, tmp_path: Path) -> None:
    import transformers

    folder = encoder_folder(tmp_path / "encoder", kind)
    run = pervade.fit(
        data,
        task="fill-mask",
        model=f"hf:{folder}",
        name="a",
        runs=tmp_path / "runs",
        epochs=1,
        options=Options(),
        settings=["domain.length=24"],
    )
    started = files.read_json(run.directory.init)
    assert not started["new"]
    # The same guesses as the library makes with the same weights.
    model = spec.decode(f"hf:{folder}", Model)
    domain = Masked(length=24, tokenizer_from=str(folder)).fit(Rows({"id": ["a"], "text": ["b"], "size": [1]}))
    network = model.build(domain.inputs(), {"logits": domain.inputs().vocabulary})
    assert isinstance(network, Filler)
    Pretrained(str(folder)).apply(network, model, domain)
    tokens = torch.randint(6, 60, (2, 10))
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        assert torch.allclose(network.eval()(tokens)["logits"], theirs(tokens).logits, atol=1e-5)


def test_what_is_hidden() -> None:
    texts = sentences(80)
    digest = vocabulary.keep(vocabulary.learn(texts, "wordpiece", 300))
    domain = Masked(length=64, tokenizer=digest)
    stream = np.array(vocabulary.tokenizer(digest).encode(" ".join(texts), add_special_tokens=False).ids)
    windows = np.stack([stream[start : start + 65] for start in range(160)])
    batch = domain.asks(windows, np.random.default_rng(0))
    asked, target, shown = batch["asked"], batch["target"], batch["input"]
    assert asked.shape == (160, round(0.15 * 63))
    assert (shown[:, 0] == vocabulary.special(digest, vocabulary.BEGINNING)).all()
    before = torch.from_numpy(windows[:, :-1])
    assert (before.gather(1, asked) == target).all()
    others = torch.ones_like(shown, dtype=torch.bool).scatter(1, asked, False)
    others[:, 0] = False
    assert (shown[others] == before[others]).all()
    now = shown.gather(1, asked)
    hidden = (now == vocabulary.special(digest, vocabulary.MASK)).float().mean()
    same_as_before = (now == target).float().mean()
    assert hidden == pytest.approx(0.8, abs=0.04)
    assert same_as_before == pytest.approx(0.1, abs=0.05)


def test_the_end_of_a_text_is_not_asked_for() -> None:
    digest = vocabulary.keep(vocabulary.learn(sentences(50), "wordpiece", 300))
    end = vocabulary.special(digest, vocabulary.SEPARATOR)
    domain = Masked(length=16, tokenizer=digest)
    batch = domain.asks(np.full((4, 17), end), np.random.default_rng(0))
    assert (batch["target"] == IGNORED).all()
    assert (batch["input"][:, 1:] == end).all()


def test_a_text_without_a_gap(run: pervade.Run, tmp_path: Path) -> None:
    found = run.predict(["nothing here", "rome in [MASK] 1"])
    assert [each["input"] for each in found] == ["nothing here", "rome in [MASK] 1"]
    assert "it has no [MASK]" in found[0]["error"]
    assert found[1]["top"][0]["label"] == "italy"


def test_texts_that_cannot_be_filled_in(run: pervade.Run) -> None:
    """Each is named with its reason, and the others go on."""
    given = ["caf\udce9 [MASK]", "word " * 40 + "[MASK]", "rome in [MASK] 1"]
    found = run.predict(given)
    reasons = {each["input"]: each["error"] for each in found if each["error"]}
    assert "half a character" in reasons[given[0]]
    assert "the model reads 16 at once" in reasons[given[1]]
    assert len(found) == 3


def test_a_tokenizer_that_cannot_hide(data: Path, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "encoder")
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text().replace("[MASK]", "[X]"))), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no token \[MASK\] or <mask>, which filling in words needs"):
        pervade.fit(data, task="fill-mask", model=f"hf:{folder}", name="a", runs=tmp_path / "runs", options=Options())


def test_split_tables_and_class_folders(tmp_path: Path) -> None:
    write(tmp_path / "tables" / "train.tsv", reviews(20))
    write(tmp_path / "tables" / "dev.tsv", reviews(6, seed=1))
    (tmp_path / "tables" / "labels.txt").write_text("bad\ngood\n", encoding="utf-8")
    rows, _ = Masked().read(tmp_path / "tables")
    assert sorted(rows.column("split")) == ["train"] * 20 + ["validation"] * 6
    for label in ("a", "b"):
        (tmp_path / "folders" / label).mkdir(parents=True)
        (tmp_path / "folders" / label / "x.txt").write_text(f"a text of {label}", encoding="utf-8")
    rows, _ = Masked().read(tmp_path / "folders")
    assert list(rows.column("id")) == ["a/x.txt", "b/x.txt"]
