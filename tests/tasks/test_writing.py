"""A language model from a folder of texts to what it writes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

import pervade
from pervade.core import registry
from pervade.core.contracts import Context, Pixels, Recipe, Tokens
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.data.rows import cache
from pervade.data.text import corpus, vocabulary
from pervade.data.text.corpus import IGNORED
from pervade.domains.corpus import Corpus, looks_like_running_text
from pervade.domains.text import Text
from pervade.engine import predictions
from pervade.models.gpt import GPT
from pervade.nn.sampling import Sampling, choose, truncated
from pervade.recipes import choose as choose_recipe
from pervade.recipes import language
from pervade.run.training import Options
from pervade.tasks.language_model import LanguageModel, write
from pervade.testing import check_domain, check_task

WORDS = ("the", "cat", "dog", "sees", "likes", "a", "small", "bird", "and", "then", "sleeps")


def story(seed: int, lines: int = 12) -> str:
    rng = np.random.default_rng(seed)
    told = [
        f"the {rng.choice(WORDS[1:3])} {rng.choice(WORDS[3:5])} a small bird and then it sleeps.\n"
        for _ in range(lines)
    ]
    return "".join(told)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stories")
    for number in range(30):
        (folder / f"{number:02d}.txt").write_text(story(number), encoding="utf-8")
    return folder


def recipe(**fields) -> Recipe:
    torch.set_num_threads(1)
    small = replace(
        language.scratch(GPT(width=32, depth=2, heads=2)),
        domain=Corpus(length=32, num_tokens=320),
        epochs=6,
        batch_size=8,
        validation=0.1,
        test=0.2,
    )
    return replace(small, **fields)


@pytest.fixture(scope="module")
def run(stories: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    run = pervade.fit(stories, recipe=recipe(), name="a", runs=tmp_path_factory.mktemp("runs"), options=Options())
    run.evaluate()
    return run


def test_it_learns(run: pervade.Run, stories: Path) -> None:
    result = run.results()
    found = result["metrics"]["bits_per_byte"]
    assert found["low"] < found["value"] < found["high"] < 1.0  # evenly guessed letters cost 8
    assert result["n"] == 6
    columns = predictions.read_columns(run.path / result["predictions"])
    assert list(columns["bytes"]) == [len(story(int(name[:2])).encode()) for name in columns["id"]]
    assert found["value"] == pytest.approx(columns["bits"].sum() / columns["bytes"].sum())
    assert result["details"]["baseline"]["name"] == "xz -9e that has seen the training text"
    assert len(result["details"]["samples"]) == 4
    page = run.report().read_text(encoding="utf-8")
    assert "What it writes" in page
    assert "This model writes on from a text" in page


def test_it_writes_the_same_by_the_same_seed(run: pervade.Run) -> None:
    one, again, other = (run.predict("the cat", seed=seed, length=20)[0]["text"] for seed in (1, 1, 2))
    assert one == again != other
    assert "".join(run.write("the cat", seed=1, length=20)) == one
    assert run.predict("the cat", temperature=0, length=12)[0]["text"].split()[0] in WORDS
    stopped = run.predict("the cat", temperature=0, length=60, stop=["."])[0]["text"]
    assert "." not in stopped
    with pytest.raises(ConfigError, match=r"sampling\.temperature"):
        run.predict("the cat", temperature=-1)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0, length=80), Sampling(length=80, seed=3, top_k=5)])
def test_with_a_cache_as_without(run: pervade.Run, sampling: Sampling) -> None:
    """Beyond the longest text too, where the older half is forgotten."""
    loaded = run.load()
    end = vocabulary.require(loaded.domain.tokenizer, vocabulary.END, "this")
    found = list(write(loaded.network, [end], sampling, end))
    text, kept, random = [end], [end], torch.Generator().manual_seed(sampling.seed)
    longest = loaded.network.longest
    for _ in range(sampling.length):
        if len(kept) > longest:
            kept = text[-(longest // 2) :]
        with torch.inference_mode():
            token = choose(loaded.network(torch.tensor([kept]))["logits"][0, -1], text, sampling, random)
        if token == end:
            break
        text.append(token)
        kept = [*kept, token]
    assert found == text[1:]


def test_what_is_written_is_one_field_of_a_table(run: pervade.Run) -> None:
    import csv
    import io

    from pervade.cli.predict import _Table

    table = _Table(run.load().task.display)
    lines = table.lines({"input": "a", "text": "one\ntwo, three", "error": None})
    assert list(csv.reader(io.StringIO("\n".join(lines))))[1][:2] == ["a", "one\ntwo, three"]


def test_an_empty_file_is_nothing_to_go_on_from(run: pervade.Run, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (fault,) = run.predict(tmp_path / "empty.txt")
    assert "is empty" in fault["error"]


def test_only_models_that_write_take_such_settings(shapes: Path, tmp_path: Path) -> None:
    from tests.small_run import recipe as pictures

    other = pervade.fit(shapes, recipe=pictures(epochs=1), name="a", runs=tmp_path, options=Options())
    with pytest.raises(ConfigError, match="temperature: this model writes nothing"):
        other.predict(shapes / "left", temperature=0.5)


# its parts


@given(some.lists(some.integers(0, 50), min_size=1, max_size=90), some.sampled_from([16, 17, 32]))
def test_every_token_is_foretold_once_with_half_a_window_before_it(tokens: list[int], length: int) -> None:
    whole = np.array([7, *tokens, 7])
    asked: list[int] = []
    windows = list(Corpus(length=length)._windows(whole, size=99))
    for window in windows:
        assert len(window["input"]) == len(window["target"]) <= length
        for place, target in enumerate(window["target"]):
            if target != IGNORED:
                assert place >= min(length // 2, len(asked))
                asked.append(int(target))
    assert asked == whole[1:].tolist()
    assert sum(window["bytes"] for window in windows) == 99


def test_the_domain_keeps_its_contract(stories: Path) -> None:
    fitted, rows = check_domain(Corpus(length=16, num_tokens=300), stories)
    assert len(rows) == 30
    model = GPT(width=16, depth=1, heads=2)
    task = LanguageModel()
    torch.manual_seed(0)
    network = model.build(fitted.inputs(), task.outputs(fitted))
    batch = fitted.collate([each for i in range(2) for each in fitted.transform(rows[i], None)])
    batch["row"] = torch.arange(len(batch["input"]))
    check_task(task, network, batch, Context(fitted))
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name


def test_all_models_that_write_are_built() -> None:
    for name in ("gpt", "gpt-tiny", "gpt-small", "gpt-base"):
        cls, fields = registry.find("model", name)
        with torch.device("meta"):
            network = cls(**fields).build(Tokens(300, 32, pooled=False, causal=True), {"logits": 300})
            assert network(torch.zeros(2, 5, dtype=torch.int64))["logits"].shape == (2, 5, 300)
    with pytest.raises(ConfigError, match="gpt writes text"):
        GPT().build(Pixels((3, 8, 8), (0.5,) * 3, (0.25,) * 3), {"logits": 2})


def test_truncation_by_hand() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert truncated(logits[None], [2], [1.0])[0].tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert truncated(logits[None], [0], [0.7])[0].tolist() == pytest.approx([0.625, 0.375, 0, 0])
    assert truncated(logits[None], [0], [0.5])[0].tolist() == pytest.approx([1, 0, 0, 0])
    assert truncated(logits[None], [0], [0.01])[0].tolist() == pytest.approx([1, 0, 0, 0])
    random = torch.Generator().manual_seed(0)
    drawn = [choose(logits, [], Sampling(temperature=1.0, top_p=1.0), random) for _ in range(4000)]
    assert np.bincount(drawn, minlength=4) / 4000 == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_repetition_is_penalised_on_both_sides_of_zero() -> None:
    sampling = Sampling(temperature=0, repetition_penalty=2.0)
    random = torch.Generator()
    assert choose(torch.tensor([3.0, 2.0]), [0], sampling, random) == 1  # 3 / 2 < 2
    assert choose(torch.tensor([-1.0, -1.5]), [0], sampling, random) == 1  # -1 x 2 < -1.5


def test_copies_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = corpus.Tokens(np.arange(100, dtype=np.uint16), np.array([0, 100]))
    shares = corpus.overlap([list(range(5, 20)), list(range(20, 5, -1)), [1, 2], [*range(8), 99]], known, 8)
    assert shares == [1.0, 0.0, None, 0.5]


def test_the_stream_lies_in_a_file_and_is_made_once(stories: Path) -> None:
    fitted, rows = check_domain(Corpus(length=16, num_tokens=300), stories)
    found = fitted.tokens(rows)
    assert isinstance(found.stream, np.memmap)
    made = vocabulary.tokenizer(fitted.tokenizer)
    end = vocabulary.require(fitted.tokenizer, vocabulary.END, "this")
    first = found.stream[: found.starts[1]].tolist()
    assert first == [*made.encode(story(0), add_special_tokens=False).ids, end]
    assert [found.document(place) for place in (0, int(found.starts[1]) - 1, int(found.starts[1]))] == [0, 0, 1]
    again = corpus.tokens(fitted.tokenizer, list(rows.column("hash")), lambda i: pytest.fail("it is there already"))
    assert np.array_equal(again.stream, found.stream)


def test_a_token_file_that_is_not_what_was_written_is_made_anew(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut to a third it would be trained on as it is; of garbage no tokenizer knows the tokens."""
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    fitted, rows = check_domain(Corpus(length=16, num_tokens=300), stories)
    whole = np.array(fitted.tokens(rows).stream)
    place = next(iter((tmp_path / "cache" / "features").glob("*/tokens.bin"))).parent
    for name, change in (
        ("tokens.bin", lambda data: data[: len(data) // 3]),
        ("tokens.bin", lambda data: b"\xff" * len(data)),
        ("tokens.bin", lambda data: b""),
        ("starts.npy", lambda data: b"odd"),
        ("whole.json", lambda data: b"{}"),
    ):
        data = (place / name).read_bytes()
        (place / name).unlink()  # whoever reads it keeps what it maps
        (place / name).write_bytes(change(data))
        again = fitted.tokens(rows)
        assert np.array_equal(again.stream, whole)
        assert again.starts[-1] == len(whole)


@pytest.mark.parametrize("room", ["0", "0.0000001"])
def test_the_stream_is_held_in_memory_where_the_cache_has_no_room(
    room: str, stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache.warn.cache_clear()
    fitted, rows = check_domain(Corpus(length=16, num_tokens=300), stories)
    whole = np.array(fitted.tokens(rows).stream)
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PERVADE_CACHE_GB", room)
    held = fitted.tokens(rows)
    assert np.array_equal(held.stream, whole)
    assert not list(tmp_path.glob("cache/features/*"))
    assert ("raise PERVADE_CACHE_GB" in caplog.text) == (room != "0")  # 0 is what was asked for


def test_windows_are_cut_anew_in_every_pass_and_are_as_many(stories: Path) -> None:
    from pervade.core.contracts import Opening

    fitted, rows = check_domain(Corpus(length=16, num_tokens=300), stories)
    opened = [
        language.Stream().open(Opening(rows, LanguageModel(), None, Context(fitted), 4, seed=0)) for _ in range(2)
    ]
    passes = [[batch["input"] for batch in opened[0]] for _ in range(2)]
    assert len(passes[0]) == len(passes[1]) == len(opened[0])
    assert not torch.equal(passes[0][0], passes[1][0])
    iterator = iter(opened[1])
    next(iterator)
    state = opened[1].state_dict()
    other = language.Stream().open(Opening(rows, LanguageModel(), None, Context(fitted), 4, seed=0))
    other.load_state_dict(state)
    rest = [batch["input"] for batch in other]
    assert len(rest) == len(passes[0]) - 1
    assert all(torch.equal(a, b) for a, b in zip(rest, passes[0][1:], strict=True))
    batch = next(iter(other))
    assert torch.equal(batch["input"][:, 1:], batch["target"][:, :-1])


# data


def test_one_large_file_is_cut_at_lines(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("".join(f"line {i}: 很好\n" for i in range(20_000)), encoding="utf-8")
    rows, _ = Corpus().read(path)
    assert len(rows) > 3
    pieces = [Corpus().document(row) for row in rows]
    assert "".join(pieces) == path.read_text(encoding="utf-8")
    assert all(piece.endswith("\n") for piece in pieces)
    path.write_text("很" * 100_000, encoding="utf-8")
    assert "".join(Corpus().document(row) for row in Corpus().read(path)[0]) == "很" * 100_000


def test_bad_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("a good text", encoding="utf-8")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes("größer".encode("latin-1"))
    (tmp_path / "zero.txt").write_bytes(b"a\0b")
    rows, left_out = Corpus().read(tmp_path)
    rows, lost = Corpus().prepare(rows, lambda done, total: None)
    assert list(rows.column("id")) == ["good.txt"]
    reasons = {each.source: each.reason for each in [*left_out, *lost]}
    assert reasons["empty.txt"] == "it is empty"
    assert reasons["zero.txt"] == "it holds bytes of 0, so it is no text"
    assert reasons["latin.txt"].startswith("is not UTF-8 (byte 2)")
    with pytest.raises(DataError, match=r"gone is not there; give a folder of text files"):
        Corpus().read(tmp_path / "gone")


def test_too_little_text(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("abcdefgh"[number], encoding="utf-8")
    with pytest.raises((ConfigError, DataError), match=r"too few to learn from|nothing is left"):
        pervade.fit(tmp_path, recipe=recipe(), name="a", runs=tmp_path / "runs", options=Options())


def test_a_table_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(f'{{"text": "{story(i, 1).strip()}"}}\n' for i in range(9)))
    rows, _ = Corpus().read(path)
    assert rows.column("text")[0] == story(0, 1).strip()


def test_what_running_text_is_told_by(stories: Path, tmp_path: Path) -> None:
    assert looks_like_running_text(stories)
    assert looks_like_running_text(stories / "00.txt")
    assert choose_recipe(stories, None, None)[0] == "text-generation"
    other = tmp_path / "other"
    other.mkdir()
    (other / "README.md").write_text("about these pictures")
    (other / "labels.txt").write_text("cat dog")
    assert not looks_like_running_text(other)
    (other / "notes.txt").write_text("a text")
    assert looks_like_running_text(other)
    (other / "a.tsv").write_text("a text\t1")
    assert not looks_like_running_text(other)
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a text of a class")
    (other / "a.tsv").unlink()
    for each in other.iterdir():
        each.unlink()
    assert not looks_like_running_text(tmp_path)
    assert choose_recipe(tmp_path, None, None, "random")[0] == "text-classification"
    (tmp_path / "about.txt").write_text("what lies beside class folders is about them")
    for name in ("good", "bad"):
        for number in range(3):
            (tmp_path / name / f"{number}.txt").write_text("a text of a class")
        (tmp_path / name / "LICENSE.txt").write_text("as you like")
    assert choose_recipe(tmp_path, None, None, "random")[0] == "text-classification"
    rows, left_out = Text().read(tmp_path)
    assert len(rows) == 8
    assert {each.source for each in left_out} >= {"about.txt", "bad/LICENSE.txt", "good/LICENSE.txt"}


def test_split_folders(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.txt").write_text(f"a text to {split}")
    rows, _ = Corpus().read(tmp_path)
    assert dict(zip(rows.column("id"), rows.column("split"), strict=True)) == {
        "test/a.txt": "test",
        "train/a.txt": "train",
        "val/a.txt": "validation",
    }
    assert looks_like_running_text(tmp_path)


def test_figures_by_hand() -> None:
    from pervade.metrics.language import language_metrics

    columns = {"bits": np.array([8.0, 24.0]), "bytes": np.array([4, 4]), "tokens": np.array([2, 2])}
    metrics = language_metrics()
    assert metrics["bits_per_byte"].compute(columns, np.ones(2)) == 4.0
    assert metrics["perplexity"].compute(columns, np.ones(2)) == 256.0
    assert math.isnan(metrics["bits_per_byte"].compute(columns, np.zeros(2)))
    assert Rows({"id": []}).length == 0
