"""The plain rung of what writes: an n-gram model, from texts to what it writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pervade
from pervade.core import files
from pervade.core.contracts import Recipe
from pervade.core.errors import ConfigError
from pervade.data.rows.sources.whole import Whole
from pervade.engine import predictions
from pervade.models.gpt import GPT
from pervade.recipes import language
from pervade.run import rungs
from pervade.run.training import Options
from pervade.tasks.language_model import LanguageModel
from tests import chats
from tests.tasks import test_writing as writing

stories, recipe, story = writing.stories, writing.recipe, writing.story


def climb(data: Path, runs: Path, names: str = "plain", made: Recipe | None = None, **more) -> pervade.Run:
    made = made or recipe(epochs=1)
    rungs = names.split(",")
    run = pervade.fit(
        data, recipe=made, task="text-generation", ladder=rungs, runs=runs, name="run", options=Options(), **more
    )
    run.evaluate()
    return run


@pytest.fixture(scope="module")
def run(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    return climb(stories, tmp_path_factory.mktemp("runs"), "plain,trained")


def test_what_is_to_be_known_of_the_stories_is_found_at_once(run: pervade.Run) -> None:
    """A line of about 50 bytes holds two choices of two words: 2 bits."""
    record = files.read_json(run.path / "ladder.json")
    assert record["taken"] == "plain"
    assert record["metric"] == "bits_per_byte"
    plain, trained = record["rungs"]
    assert plain["value"] < trained["value"]
    assert 0.04 < run.results()["metrics"]["bits_per_byte"]["value"] < 0.07
    assert "members/plain" not in str(list((run.path / "predictions").iterdir()))
    assert "ngram" in run.report().read_text(encoding="utf-8")


def test_it_writes_such_stories(run: pervade.Run) -> None:
    loaded = pervade.load(run.path)
    (written,) = loaded.predict(["the cat"])
    assert re.match(r" (sees|likes) a small bird and then it sleeps\.\nthe", written["text"])
    assert written == loaded.predict(["the cat"])[0]


def test_its_figures_are_those_of_the_written_probabilities(run: pervade.Run) -> None:
    columns = predictions.read_columns(run.directory.predictions("best", "test"))
    assert list(columns["bytes"]) == [len(story(int(name[:2])).encode()) for name in columns["id"]]
    assert np.all(np.asarray(columns["bits"]) > 24)  # two for each of twelve lines


def test_answers_alone_are_counted(tmp_path: Path) -> None:
    data = chats.write(tmp_path / "colours.jsonl", chats.colours(60))
    made = language.instructed(recipe(epochs=1, validation=0.2))
    made = replace(made, domain=replace(made.domain, length=64, num_tokens=320))
    result = climb(data, tmp_path / "runs", made=made).results()
    assert result["metrics"]["bits_per_byte"]["value"] < 3
    assert len(result["details"]["replies"]) == 4


@pytest.mark.parametrize(
    "text",
    [
        "很好的书，我喜欢。很好的书，我不喜欢。",
        "word",
        " ".join(f"{number:x}" for number in range(700)),
    ],
    ids=["without blanks", "one word", "nothing twice"],
)
def test_texts_of_other_kinds(text: str, tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text(text + "0123456789"[number], encoding="utf-8")
    made = recipe(validation=0.2, domain=replace(recipe().domain, length=512, num_tokens=800))
    value = climb(tmp_path, tmp_path / "runs", made=made).results()["metrics"]["bits_per_byte"]["value"]
    assert 0 < value < 12


def test_what_goes_on_learning_is_the_network(run: pervade.Run) -> None:
    with pytest.raises(ConfigError, match="--init RUN/members/trained"):
        language.recipe(init=str(run.path))
    assert isinstance(language.recipe(init=str(run.path / "members" / "trained")).model, GPT)


def test_a_large_text_is_counted_in_part() -> None:
    from pervade.core.contracts import Context, Opening
    from pervade.core.types import Rows

    rows = Rows({"id": list(map(str, range(10))), "size": [30] * 10})
    opening = Opening(rows, LanguageModel(), None, Context(None), 32, seed=0)
    assert Whole(100).remarks(opening) == ["of 10 rows 4 are learnt from: all would be too many to hold at once"]
    assert list(Whole(100).open(opening).rows.column("id")) == ["0", "3", "6", "9"]
    assert Whole().remarks(opening) == Whole(300).remarks(opening) == []
    one_is_huge = replace(opening, rows=Rows({"id": ["0", "1", "2"], "size": [10_000, 60, 20]}))
    assert list(Whole(100).open(one_is_huge).rows.column("id")) == ["1", "2"]
    assert list(Whole(10).open(one_is_huge).rows.column("id")) == ["2"]


def test_what_has_no_such_rung() -> None:
    planned = rungs.plan(recipe(), "text-generation", ["all"])
    assert isinstance(planned["plain"], Recipe)
    assert planned["frozen"] == "no linear layer answers this task"
    assert planned["blend"] == "the answers of this task cannot be put together"
    with pytest.raises(ConfigError, match="--ladder plain"):
        language.recipe("ngram")
