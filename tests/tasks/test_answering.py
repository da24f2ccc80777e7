"""Conversations from a table to a model that answers."""

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
from pervade.core.contracts import Context, Opening
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import LeftOut, Rows
from pervade.data.read import account
from pervade.data.rows.sources.by_length import ByLength
from pervade.data.text import vocabulary
from pervade.data.text.corpus import IGNORED
from pervade.domains.corpus import Corpus
from pervade.domains.instructions import Instructions, looks_like_instructions
from pervade.engine import predictions
from pervade.engine.predictor import Predictor
from pervade.models.gpt import GPT
from pervade.nn.sampling import Sampling
from pervade.recipes import choose as choose_recipe
from pervade.run.training import Options
from pervade.tasks.language_model import LanguageModel, write
from pervade.testing import check_domain, check_task
from tests import chats
from tests.asking import asked as asked_of


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chats.write(tmp_path_factory.mktemp("chats") / "colours.jsonl", chats.colours(200))


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    run = pervade.fit(table, recipe=chats.recipe(), name="a", runs=tmp_path_factory.mktemp("runs"), options=Options())
    run.evaluate()
    return run


def test_it_learns_a_rule(run: pervade.Run) -> None:
    new = [row for row in chats.colours(300, seed=5) if row["prompt"] not in {r["prompt"] for r in chats.colours(200)}]
    answers = run.predict([row["prompt"] for row in new[:100]], temperature=0)
    assert sum(a["text"] == row["completion"] for a, row in zip(answers, new[:100], strict=True)) >= 97


def test_its_figures_are_of_the_answers(run: pervade.Run) -> None:
    result = run.results()
    found = result["metrics"]["bits_per_byte"]
    assert found["low"] < found["value"] < found["high"] < 0.3
    assert found["n"] == result["n"] == 30
    columns = predictions.read_columns(run.path / result["predictions"])
    said = dict(enumerate(row["completion"] for row in chats.colours(200)))
    assert list(columns["bytes"]) == [len(said[row]) for row in columns["row"]]
    assert found["value"] == pytest.approx(columns["bits"].sum() / columns["bytes"].sum())
    assert result["details"]["baseline"]["name"] == "xz -9e that has seen the training text"
    assert "samples" not in result["details"]


def test_the_report_shows_answers_to_what_it_never_learnt_from(run: pervade.Run) -> None:
    replies = run.results()["details"]["replies"]
    columns = predictions.read_columns(run.path / run.results()["predictions"])
    assert len(replies) == 4
    assert {each["id"] for each in replies} <= set(columns["id"])
    assert [each["reply"] for each in replies] == [each["answer"] for each in replies]
    page = run.report().read_text(encoding="utf-8")
    assert "What it answers" in page
    assert replies[0]["messages"][0]["content"] in page
    assert "This model answers in a conversation" in page


def test_all_ways_of_asking_are_one(run: pervade.Run, tmp_path: Path) -> None:
    text = chats.colours(1, seed=9)[0]["prompt"]
    messages = [{"role": "user", "content": text}]
    (tmp_path / "question.txt").write_text(text)
    rows = chats.write(tmp_path / "rows.jsonl", [{"prompt": text, "completion": "x"}, {"prompt": text}])
    asked = [text, messages, str(tmp_path / "question.txt"), str(rows)]
    found = [each["text"] for each in run.predict(asked, temperature=0)]
    found += [run.predict(messages, temperature=0)[0]["text"]]
    found += ["".join(run.write(given, temperature=0)) for given in (text, messages)]
    assert len(found) == 8
    assert len(set(found)) == 1
    assert found[0]


def test_with_a_cache_as_without(run: pervade.Run) -> None:
    """Of a rendered question, beyond what the model sees at once too."""
    loaded = run.load()
    example = loaded.domain.transform({"text": chats.colours(1, seed=8)[0]["prompt"]}, None)[0]["input"].tolist()
    network, end = loaded.network, loaded.domain.ends[0]
    found = list(write(network, example, Sampling(temperature=0, length=90), end=-1))
    text, kept = list(example), list(example)
    for _ in range(90):
        if len(kept) > network.longest:
            kept = text[-(network.longest // 2) :]
        with torch.inference_mode():
            token = int(network(torch.tensor([kept]))["logits"][0, -1].argmax())
        text.append(token)
        kept = [*kept, token]
    assert found == text[len(example) :]
    assert end in found


def test_a_conversation_keeps_its_turns(run: pervade.Run, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from pervade.cli.predict import _take_turns

    said, given = iter(["one?", " ", "two?"]), []

    def ask(prompt: str) -> str:
        try:
            return next(said)
        except StopIteration:
            raise EOFError from None

    def answer(messages: list[dict[str, str]]):
        given.append([dict(each) for each in messages])
        yield from ("an", "swer")

    monkeypatch.setattr("builtins.input", ask)
    _take_turns(answer)
    assert [[each["content"] for each in messages] for messages in given] == [["one?"], ["one?", "answer", "two?"]]
    assert given[1][1]["role"] == "assistant"
    assert capsys.readouterr().out == "answer\nanswer\n"
    assert run.takes_turns


def test_going_on_from_a_run(run: pervade.Run, tmp_path: Path) -> None:
    """Its weights, tokenizer and template; what it knows it knows still."""
    data = chats.write(tmp_path / "more.jsonl", chats.colours(60, seed=3))
    task, recipe = choose_recipe(data, None, None, str(run.path))
    assert task == "text-generation"
    recipe = replace(recipe, epochs=1, optimizer=replace(recipe.optimizer, lr=1e-9), workers=0, test=0.3)
    again = pervade.fit(data, recipe=recipe, name="b", runs=tmp_path, options=Options())
    before, after = run.load(), again.load()
    fields = ("tokenizer", "template", "bos", "eos", "length")
    assert [getattr(before.domain, each) for each in fields] == [getattr(after.domain, each) for each in fields]
    init = json.loads(again.directory.init.read_text())
    assert not init["new"]
    assert not init["left_out"]
    assert "head" not in init["summary"]
    assert again.evaluate()["metrics"]["bits_per_byte"]["value"] < 0.3


def test_folds_ask_every_row_once(table: Path, tmp_path: Path) -> None:
    run = pervade.fit(table, recipe=chats.recipe(epochs=1), folds=2, name="f", runs=tmp_path, options=Options())
    assert run.results()["metrics"]["bits_per_byte"]["n"] == 200


# the loss


def small(table: Path, **fields: Any) -> tuple[Instructions, Rows, torch.nn.Module]:
    fitted, rows = check_domain(Instructions(**{"length": 64, "num_tokens": 400, **fields}), table)
    torch.manual_seed(0)
    task = LanguageModel()
    network = GPT(width=16, depth=1, heads=2).build(fitted.inputs(), task.outputs(fitted)).eval()  # type: ignore[arg-type]
    return fitted, rows, network  # type: ignore[return-value]


TWO_TURNS = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "the cat is red. the cat?"},
    {"role": "assistant", "content": "red"},
    {"role": "user", "content": "and the [END] dog?"},
    {"role": "assistant", "content": "not said"},
]


def test_the_loss_is_of_the_answers_alone(tmp_path: Path) -> None:
    table = chats.write(tmp_path / "c.jsonl", [{"messages": TWO_TURNS}, {"messages": TWO_TURNS[1:3]}])
    domain, rows, network = small(table)
    made = vocabulary.tokenizer(domain.tokenizer)
    end = made.token_to_id("[END]")

    def cut(text: str) -> list[int]:
        return made.encode(text, add_special_tokens=False).ids

    head = cut("### system\nbe kind\n\n### user\nthe cat is red. the cat?\n\n### assistant\n")
    between = cut("\n\n") + cut("### user\nand the [END] dog?\n\n### assistant\n")
    tokens = [end, *head, *cut("red"), end, *between, *cut("not said"), end]
    learnt = [False] * (1 + len(head)) + [True] * (len(cut("red")) + 1)
    learnt += [False] * len(between) + [True] * (len(cut("not said")) + 1)
    with torch.inference_mode():
        likely = network(torch.tensor([tokens]))["logits"][0].log_softmax(-1)
    by_hand = -sum(float(likely[i - 1, tokens[i]]) for i in range(len(tokens)) if learnt[i])
    batch = domain.collate(domain.transform(rows[0], None))
    batch["row"] = torch.tensor([0])
    assert batch["input"][0].tolist() == tokens[:-1]
    with torch.inference_mode():
        parts = LanguageModel().loss(LanguageModel().forward(network, batch, Context(domain)), batch)
    assert float(parts["loss"][0]) == pytest.approx(by_hand, rel=1e-5)
    assert float(parts["count"][0]) == sum(learnt)
    with torch.inference_mode():
        output = LanguageModel().infer(network, batch, Context(domain))
    columns = LanguageModel().predictions(output, batch, Context(domain))
    assert columns["bits"][0] == pytest.approx(by_hand / math.log(2), rel=1e-5)
    assert columns["bytes"][0] == len("rednot said")


def test_what_is_asked_is_how_training_begins(tmp_path: Path) -> None:
    """With the template of the tokenizer's own model, which is stored."""
    folder = chats.tokenizer_folder(tmp_path / "model")
    table = chats.write(tmp_path / "c.jsonl", [{"messages": TWO_TURNS}])
    domain, rows, _ = small(table, tokenizer_from=str(folder), length=128)
    assert (domain.template, domain.eos) == (chats.CHATML, "<|im_end|>")
    whole = domain.transform(rows[0], None)[0]
    for upto in (2, 4):
        asked = domain.transform({"messages": TWO_TURNS[:upto]}, None)[0]["input"]
        assert whole["input"][: len(asked)].tolist() == asked.tolist()
        assert whole["target"][len(asked) - 1] != IGNORED
        assert whole["target"][len(asked) - 2] == IGNORED
    last = vocabulary.tokenizer(domain.tokenizer).token_to_id("<|im_end|>")
    assert whole["target"][-1] == last == domain.ends[0]


def test_long_conversations_come_in_windows(tmp_path: Path) -> None:
    """Each token of an answer is foretold once, and what has none is passed over."""
    long = [{"role": "user", "content": "the cat is red. " * 30}, {"role": "assistant", "content": "so it is " * 40}]
    table = chats.write(tmp_path / "c.jsonl", [{"messages": long}, {"messages": TWO_TURNS}])
    domain, rows, network = small(table, length=32)
    windows = domain.transform(rows[0], None)
    tokens, learnt = domain._learnt(long)
    asked = [int(t) for window in windows for t in window["target"] if t != IGNORED]
    assert asked == tokens[learnt].tolist()
    assert all((window["target"] != IGNORED).any() and len(window["input"]) <= 32 for window in windows)
    for window in windows[1:]:
        assert (window["target"][:16] == IGNORED).all()
    (said,) = [line for line in domain.remarks(rows) if "windows" in line]
    assert said.startswith(f"2 of 2 conversations are longer than 32 tokens (the longest has {len(tokens):,})")
    result = Predictor(network, domain, LanguageModel(), batch_size=1).table(rows)
    assert result["tokens"].tolist() == [len(asked), int(domain._learnt(TWO_TURNS)[1].sum())]
    source = ByLength().open(Opening(rows, LanguageModel(), network, Context(domain), 2, seed=0))
    assert sum(int((batch["target"] != IGNORED).sum()) for batch in source) == sum(result["tokens"])


def test_a_short_batch_and_a_long_one_make_one_table(tmp_path: Path) -> None:
    """Running text too: documents of one window came first, and had no part."""
    (tmp_path / "short.txt").write_text("abc")
    (tmp_path / "long.txt").write_text("a longer text " * 40)
    fitted, rows = check_domain(Corpus(length=16, num_tokens=300), tmp_path)
    network = GPT(width=16, depth=1, heads=2).build(fitted.inputs(), LanguageModel().outputs(fitted))
    table = Predictor(network, fitted, LanguageModel(), batch_size=1).table(rows)
    assert dict(zip(rows.column("id"), table["bytes"], strict=True)) == {"short.txt": 3, "long.txt": 560}


def test_the_contracts(table: Path) -> None:
    domain, rows, network = small(table)
    batch = domain.collate([each for i in range(4) for each in domain.transform(rows[i], None)])
    check_task(LanguageModel(), network, {**batch, "row": torch.arange(4)}, Context(domain))


# data


def messages(*said: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def test_rows_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    good = messages(("user", "hm?"), ("assistant", "yes"), ("user", "thanks"))
    bad = {
        "it has no answer: none of its messages is the assistant's": messages(("user", "hm?")),
        "its message 1 has the role 'usr'; did you mean 'user'?": messages(("usr", "hm?"), ("assistant", "yes")),
        "its message 2 has the role 'bot'; allowed: assistant, system, tool, user": messages(
            ("user", "a"), ("bot", "b")
        ),
        "its answer is empty": messages(("user", "hm?"), ("assistant", " \x00 ")),
        "its message 1 is empty": messages(("user", ""), ("assistant", "yes")),
        "its message 2 is empty": messages(("user", "a"), ("assistant", None)),
        "its answer holds half a character (a lone surrogate), which no file could hold; mend it": messages(
            ("user", "hm?"), ("assistant", "a\ud83d")
        ),
        "its message 1 has no role and content": {"messages": ["hm?", "yes"]},
        "it is empty": {"messages": []},
        "it is a dict, neither a text nor a list of messages": {"messages": {"role": "user"}},
    }
    path = tmp_path / "c.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in [good, *bad.values()]))
    rows, left_out = Instructions().read(path)
    assert [each.reason for each in left_out] == list(bad)
    assert left_out[0].source == "c.jsonl#2"
    assert rows.column("messages") == [good["messages"][:2]]
    path.write_text(json.dumps(bad["its answer is empty"]))
    with pytest.raises(DataError, match=r"no row can be used; the first, c.jsonl#1: its answer is empty"):
        Instructions().read(path)


def test_control_characters_are_taken_out(tmp_path: Path) -> None:
    table = chats.write(tmp_path / "c.jsonl", [messages(("user", "a\x07b\ufeff"), ("assistant", "c\x1b[0m\n\td"))])
    rows, _ = Instructions().read(table)
    assert [each["content"] for each in rows.column("messages")[0]] == ["ab", "c[0m\n\td"]


@pytest.mark.parametrize(
    ("record", "question"),
    [
        ({"instruction": "add", "input": "1 2", "output": "3"}, "add\n\n1 2"),
        ({"Instruction": "add", "input": "", "output": "3"}, "add"),
        ({"instruction": "add", "context": "1 2", "response": "3"}, "add\n\n1 2"),
        ({"prompt": "add", "completion": 3}, "add"),
        (
            {"prompt": [{"role": "user", "content": "add"}], "completion": [{"role": "assistant", "content": "3"}]},
            "add",
        ),
        (messages(("system", ""), ("user", "add"), ("assistant", "3")), "add"),
    ],
)
def test_columns_that_are_known(record: dict[str, Any], question: str, tmp_path: Path) -> None:
    table = chats.write(tmp_path / "c.jsonl", [record])
    rows, _ = Instructions().read(table)
    assert [each["content"] for each in rows.column("messages")[0]] == [question, "3"]
    assert choose_recipe(table, None, None, "random")[1].domain == Instructions()
    assert not looks_like_instructions(chats.write(tmp_path / "l.jsonl", [{**record, "label": "good"}]))


Q, A = {"role": "user", "content": "add 1 2"}, {"role": "assistant", "content": "3"}


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def said(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    """As ShareGPT writes them."""
    return [{"from": who, "value": what} for who, what in turns]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"conversations": said(("human", "add 1 2"), ("gpt", "3"))}, [Q, A]),
        ({"conversations": said(("system", "sums"), ("user", "add 1 2"), ("assistant", "3"))}, [system("sums"), Q, A]),
        ({"conversations": [Q, A], "system": "sums"}, [system("sums"), Q, A]),
        ({"conversations": json.dumps(said(("human", "add 1 2"), ("gpt", "3"))), "system": ""}, [Q, A]),
        # Two of the system are one, which a template knows.
        ({"messages": [system("b"), Q, A], "system": "a"}, [system("a\n\nb"), Q, A]),
        ({"messages": [system("a"), system("b"), Q, A]}, [system("a\n\nb"), Q, A]),
        # A greeting comes first; what tools say is read and not learnt.
        ({"conversations": said(("gpt", "hi"), ("human", "add 1 2"), ("gpt", "3"))}, [{**A, "content": "hi"}, Q, A]),
        (
            {"conversations": said(("human", "add 1 2"), ("function_call", "sum"), ("observation", "3"), ("gpt", "3"))},
            [Q, {**A, "content": "sum"}, {"role": "tool", "content": "3"}, A],
        ),
        ({"messages": [{**Q, "content": [{"type": "text", "text": "add 1 2"}]}, A], "images": []}, [Q, A]),
        (
            {"instruction": "add", "input": "1 2", "output": "3", "history": [["add 0 1", "1"]], "system": "sums"},
            [system("sums"), {**Q, "content": "add 0 1"}, {**A, "content": "1"}, {**Q, "content": "add\n\n1 2"}, A],
        ),
        ({"instruction": "add 1 2", "output": "3", "history": "[]"}, [Q, A]),
        (
            {"prompt": "add 1 2", "completion": "3", "history": '[["hm?", "yes"]]'},
            [{**Q, "content": "hm?"}, {**A, "content": "yes"}, Q, A],
        ),
    ],
)
def test_conversations_as_others_write_them(record: dict[str, Any], expected: list[Any], tmp_path: Path) -> None:
    table = chats.write(tmp_path / "c.jsonl", [record])
    assert looks_like_instructions(table)
    rows, left_out = Instructions().read(table)
    assert (rows.column("messages")[0], left_out) == (expected, [])
    asked, _ = asked_of(Instructions(), table)  # and as questions, without the last answer
    assert asked.column("messages")[0] == expected[:-1]


def test_what_cannot_be_read_of_them_is_named(tmp_path: Path) -> None:
    turns = said(("human", "what is it? <image>"), ("gpt", "a cat"))
    good = {"conversations": said(("human", "add"), ("gpt", "3"))}
    bad = {
        "it is about what its image shows, which is not read beside a text": {"conversations": turns, "image": "1.png"},
        "its message 1 has the role 'owner'; allowed: assistant, system, tool, user": {
            "conversations": said(("owner", "a"), ("gpt", "b"))
        },
        "it has no question: none of its messages before the answer is the user's": {
            "conversations": said(("system", "a"), ("gpt", "hi"), ("human", "bye"))
        },
        "the content of its message 1 is a list, not a text": {
            "conversations": [{"from": "human", "value": [{"type": "image_url"}]}, *turns[1:]]
        },
    }
    path = chats.write(tmp_path / "c.jsonl", [good, *bad.values(), {**good, "id": 7, "source": "x"}])
    with account.gathered() as notes:
        rows, left_out = Instructions().read(path)
    assert len(rows) == 2 and [each.reason for each in left_out] == list(bad)
    assert notes == [
        "conversations by the columns conversations; the answers alone are learnt",
        "columns that are not used: id, source",
    ]
    path = chats.write(tmp_path / "h.jsonl", [{"instruction": "a", "output": "b", "history": "long ago"}])
    with pytest.raises(DataError, match="its history is no list of questions and answers"):
        Instructions().read(path)


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_other_tables(suffix: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / f"c.{suffix}"
    talk = messages(("user", "hm, é?"), ("assistant", "yes"))["messages"]
    if suffix == "csv":
        path.write_text('messages,split,group\n"' + json.dumps(talk).replace('"', '""') + '",test,a\n')
    elif suffix == "json":
        path.write_text(json.dumps([{"messages": talk, "split": "test", "group": "a"}]))
    else:
        pq.write_table(pa.table({"messages": [talk], "split": ["test"], "group": ["a"]}), path)
    assert looks_like_instructions(path)
    rows, _ = Instructions().read(path)
    assert rows.column("messages") == [talk]
    assert (rows.column("split")[0], rows.column("group")[0]) == ("test", "a")


def test_split_tables(tmp_path: Path) -> None:
    for name in ("train", "test"):
        chats.write(tmp_path / f"{name}.jsonl", chats.colours(2, seed=len(name)))
    rows, _ = Instructions().read(tmp_path)
    assert list(rows.column("split")) == ["test", "test", "train", "train"]
    with pytest.raises(DataError, match="gone is not there; give a table of conversations"):
        Instructions().read(tmp_path / "gone")


def test_a_file_that_breaks_off_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps(chats.colours(1)[0]) + '\n{"prompt": "a", "comple')
    assert looks_like_instructions(path)
    with pytest.raises(DataError, match=r"c\.jsonl, line 2 is not JSON .*; mend the line"):
        Instructions().read(path)


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes('{"prompt": "größer", "completion": "größer"}\n'.encode("latin-1") * 20)
    assert looks_like_instructions(path)
    with pytest.raises(DataError, match=r"is not UTF-8 \(byte 14\).*read it with --encoding "):
        Instructions().read(path)
    rows, _ = Instructions(encoding="latin-1").read(path)
    assert rows.column("messages")[0][1]["content"] == "größer"


def test_what_a_template_refuses_is_left_out(tmp_path: Path) -> None:
    refusing = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system, please') }}{% endif %}" + chats.CHATML
    )
    folder = chats.tokenizer_folder(tmp_path / "model", refusing)
    table = chats.write(tmp_path / "c.jsonl", [{"messages": TWO_TURNS}, {"messages": TWO_TURNS[1:]}])
    domain = Instructions(tokenizer_from=str(folder))
    rows, left_out = domain.prepare(domain.read(table)[0], lambda done, total: None)
    assert list(rows.column("id")) == ["c.jsonl#2"]
    assert left_out[0].reason == "the chat template cannot render it (no system, please)"


def test_a_faulty_template_leaves_no_run(table: Path, tmp_path: Path) -> None:
    domain = replace(chats.recipe().domain, template="{% for %}")  # type: ignore[type-var]
    with pytest.raises(ConfigError, match="the chat template is no Jinja template"):
        pervade.fit(table, recipe=chats.recipe(domain=domain), name="a", runs=tmp_path, options=Options())
    assert not (tmp_path / "a").exists()


def test_questions_that_cannot_be_asked(run: pervade.Run) -> None:
    answers = run.predict(["a\ud83d", "the cat " * 100, "", "the cat is red. the cat?"], temperature=0)
    reasons = sorted(each["error"] for each in answers if each["error"])
    assert reasons[0].startswith("it has ")
    assert reasons[0].endswith("tokens, and the model reads 63 before it answers; cut it")
    assert reasons[1:] == [
        "it is empty",
        "its message 1 holds half a character (a lone surrogate), which no file could hold; mend it",
    ]
    assert [each["input"] for each in answers if each["text"] is not None] == ["the cat is red. the cat?"]
    with pytest.raises(DataError, match="nothing is asked"):
        list(run.write(TWO_TURNS))


def test_the_oldest_turns_are_forgotten(run: pervade.Run) -> None:
    domain: Any = run.load().domain
    turns = [each for number in range(30) for each in ({"role": "user", "content": f"{number}?"}, TWO_TURNS[2])]
    asked = [TWO_TURNS[0], *turns, {"role": "user", "content": "now?"}]
    text = vocabulary.tokenizer(domain.tokenizer).decode(domain.transform({"messages": asked}, None)[0]["input"])
    assert text.startswith("### system\nbe kind\n\n### user\n2")
    assert text.endswith("### user\nnow?\n\n### assistant\n")
    assert np.all(domain.transform({"text": asked}, None)[0]["input"] == domain._question(asked))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"prompt": "a"}, {"prompt": None}, {"prompt": float("nan")}, {}],
            ["a", "it is empty", "it is empty", "it has"],
        ),
        (
            [{"messages": [{"role": "user", "content": "a"}]}, {"messages": [{"role": "user", "content": None}]}, {}],
            ["a", "its message 1 is empty", "it is empty"],
        ),
    ],
)
def test_rows_of_a_table_that_ask_nothing(rows: list[dict[str, Any]], told: list[str], tmp_path: Path) -> None:
    path = chats.write(tmp_path / "c.jsonl", rows)
    found = list(Instructions().asked(str(path)))
    assert len(found) == len(told)
    for number, (each, known) in enumerate(zip(found, told, strict=True), start=1):
        place, said = (
            (each.source, each.reason) if isinstance(each, LeftOut) else (each["id"], each["messages"][0]["content"])
        )
        assert (place, said[: len(known)]) == (f"{path}#{number}", known)
