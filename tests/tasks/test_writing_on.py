"""Causal language models of the Hub's layout: from a folder to what they write, finetuned whole; nothing is
downloaded."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import pervade
from pervade.core import spec
from pervade.core.contracts import Model, Recipe, Tokens
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.types import Rows
from pervade.data.text import vocabulary
from pervade.domains.corpus import Corpus
from pervade.init.pretrained import Pretrained
from pervade.init.random import Random
from pervade.models.gpt import GPT
from pervade.models.hf import HuggingFace
from pervade.nn.sampling import Sampling, choose
from pervade.recipes import choose as choose_recipe
from pervade.recipes import language
from pervade.run.training import Options
from pervade.tasks.language_model import end_of, ends_of, write
from pervade.testing import check_model, check_recipe
from pervade.train.tuning.freeze import Freeze
from tests import chats
from tests.texts import encoder_folder, reviews, writer_folder

KINDS = ("gpt2", "llama")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    for kind in KINDS:
        writer_folder(root / kind, kind)
    return root


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(20):
        (folder / f"{number:02d}.txt").write_text("\n".join(text for text, _ in reviews(12, seed=number)))
    return folder


def recipe(folder: Path, **fields) -> Recipe:
    torch.set_num_threads(1)
    made = language.recipe(f"hf:{folder}")
    small = replace(made, domain=replace(made.domain, length=24), epochs=2, batch_size=8, validation=0.1, test=0.2)
    return replace(small, **fields)


def built(folder: Path) -> tuple[torch.nn.Module, Corpus, Model]:
    """The network with the folder's weights, and the domain with its tokenizer."""
    made = language.recipe(f"hf:{folder}")
    domain = made.domain.fit(Rows({"id": ["a"]}))
    network = made.model.build(domain.inputs(), made.task.outputs(domain)).eval()
    started = made.init.apply(network, made.model, domain)
    assert not started.new
    assert not started.left_out
    return network, domain, made.model


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_transformers_says(folders: Path, kind: str) -> None:
    """Tied weights and others; the scores of no token are cut off, and padding at the end changes nothing."""
    import transformers

    network, domain, model = built(folders / kind)
    original = transformers.AutoModelForCausalLM.from_pretrained(folders / kind).eval()
    tokens = torch.randint(0, 300, (2, 9))
    with torch.no_grad():
        expected = original(input_ids=tokens).logits
        found = network(tokens)["logits"]
        assert found.shape[-1] == domain.inputs().vocabulary == expected.shape[-1] - 7
        torch.testing.assert_close(found, expected[..., :-7], rtol=1e-4, atol=1e-4)
        padded = torch.cat([tokens, torch.zeros(2, 3, dtype=torch.int64)], 1)
        torch.testing.assert_close(network(padded)["logits"][:, :9], found, rtol=1e-4, atol=1e-4)
    outputs = {"logits": domain.inputs().vocabulary}
    check_model(model, domain.inputs(), outputs, {"row": torch.arange(2), "input": tokens})


@pytest.mark.parametrize("kind", [*KINDS, "mamba"])
@pytest.mark.parametrize("sampling", [Sampling(temperature=0, length=60), Sampling(length=60, seed=3, top_k=20)])
def test_with_a_cache_as_without(folders: Path, tmp_path: Path, kind: str, sampling: Sampling) -> None:
    """Beyond the longest text too, where the older half is forgotten; and whatever the network calls its cache."""
    network, _, _ = built(folders / kind if kind in KINDS else writer_folder(tmp_path / kind, kind))
    found = list(write(network, [9, 8], sampling, end=-1))
    text, kept, random = [9, 8], [9, 8], torch.Generator().manual_seed(sampling.seed)
    for _ in range(sampling.length):
        if len(kept) > network.longest:
            kept = text[-(network.longest // 2) :]
        with torch.inference_mode():
            token = choose(network(torch.tensor([kept]))["logits"][0, -1], text, sampling, random)
        text.append(token)
        kept = [*kept, token]
    assert found == text[2:]
    assert len(set(found)) > 3


def test_a_network_that_remembers_nothing_reads_again(folders: Path) -> None:
    network, _, _ = built(folders / "gpt2")
    expected = list(write(network, [9], Sampling(temperature=0, length=12), end=-1))
    forward = network.body.network.forward

    def forgetful(**settings):
        output = forward(**settings)
        output.cache = None
        return output

    forgetful.__signature__ = inspect.signature(forward)
    network.body.network.forward = forgetful
    assert list(write(network, [9], Sampling(temperature=0, length=12), end=-1)) == expected


def test_what_ends_a_text_is_what_the_model_says(folders: Path, tmp_path: Path) -> None:
    """config.json first, then generation_config.json; a name is guessed only where neither says anything."""
    made = language.recipe(f"hf:{folders / 'gpt2'}").domain.fit(Rows({"id": ["a"]}))
    number = vocabulary.tokenizer(made.tokenizer).token_to_id("<over>")
    assert made.ends == (number, 7)
    assert (end_of(made), ends_of(made)) == (number, (number, 7))
    with pytest.raises(ConfigError, match=r"no token \[END\] or"):
        end_of(replace(made, ends=()))
    first = [int(each) for each in write(_Always(7), [3], Sampling(length=5), number, (number, 7))]
    assert first == []
    with pytest.raises(ConfigError, match=r"domain.ends \[9999\] are not all among the"):
        replace(made, ends=(9999,)).fit(Rows({"id": ["a"]}))
    # Each text begins with what the tokenizer puts in front.
    begin = vocabulary.tokenizer(made.tokenizer).token_to_id("[CLS]")
    assert made.begins == (begin,)
    example = made.transform({"text": "fine", "id": "a", "hash": "b"}, None)[0]
    assert example["input"][0] == begin
    assert example["target"][-1] == number
    assert Corpus().begins == ()


def test_what_lies_in_the_hubs_cache_is_read_there(folders: Path, tmp_path: Path, monkeypatch) -> None:
    """generation_config.json too, where it has one; offline."""
    import shutil

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--some--body" / "snapshots" / "123"
    shutil.copytree(folders / "llama", snapshot)
    (tmp_path / "models--some--body" / "refs").mkdir()
    (tmp_path / "models--some--body" / "refs" / "main").write_text("123")
    made = language.recipe("hf:some/body")
    assert isinstance(made.init, Pretrained)
    assert made.domain.ends == language.recipe(f"hf:{folders / 'llama'}").domain.ends
    assert made.init.place(made.model) == "some/body of huggingface.co"
    assert not made.init.apply(
        made.model.build(made.domain.fit(Rows({"id": ["a"]})).inputs(), {"logits": 400}), made.model, made
    ).new
    (snapshot / "generation_config.json").unlink()
    assert language.recipe("hf:some/body").domain.ends == made.domain.ends[:1]


class _Always(torch.nn.Module):
    """A model that always says one token."""

    longest = 16

    def __init__(self, token: int) -> None:
        super().__init__()
        self.token, self.weight = token, torch.nn.Parameter(torch.zeros(1))

    def caches(self):
        class Cache:
            length = 0

        return [Cache()]

    def forward(self, tokens, caches=None):
        return {"logits": torch.nn.functional.one_hot(torch.full(tokens.shape, self.token), 10).float() * 100}


def test_the_first_word_keeps_its_space() -> None:
    """A tokenizer that marks words by the space before them takes it away from the first of a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE({"▁a": 0, "▁b": 1, "a": 2, "b": 3, "▁": 4}, [("▁", "a"), ("▁", "b")]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    digest = vocabulary.keep(made.to_str())
    assert vocabulary.tokenizer(digest).decode([1]) == "b"
    assert vocabulary.continued(digest, [1]) == " b"
    assert vocabulary.continued(digest, [3, 0]) == "b a"


@pytest.mark.parametrize("kind", KINDS)
def test_finetuned_and_asked(folders: Path, texts: Path, tmp_path: Path, kind: str) -> None:
    made = recipe(folders / kind)
    run = pervade.fit(texts, recipe=made, name="whole", runs=tmp_path, options=Options())
    losses = [each["loss"] for each in run.directory.read_log() if each["event"] == "step"]
    assert losses[-1] < losses[0]
    result = run.evaluate()
    assert result["metrics"]["bits_per_byte"]["value"] > 0
    assert len(result["details"]["samples"]) == 4
    one, other = (run.predict("the film", temperature=0, length=30)[0]["text"] for _ in range(2))
    assert one == other == "".join(run.write("the film", temperature=0, length=30))


def test_scores_are_judged_in_pieces(folders: Path, texts: Path, tmp_path: Path, monkeypatch) -> None:
    """A published vocabulary is large; the figures do not depend on how many rows go through at once."""
    run = pervade.fit(texts, recipe=recipe(folders / "gpt2", epochs=1), name="a", runs=tmp_path, options=Options())
    whole = run.evaluate()["metrics"]["bits_per_byte"]["value"]
    monkeypatch.setattr("pervade.tasks.language_model.MOST_SCORES", 10)
    assert run.evaluate()["metrics"]["bits_per_byte"]["value"] == pytest.approx(whole, rel=1e-5)


def test_the_recipe_is_chosen_by_where_weights_come_from(folders: Path, texts: Path, tmp_path: Path) -> None:
    finetuned = language.recipe(f"hf:{folders / 'llama'}")
    assert (finetuned.init, finetuned.epochs) == (Pretrained(), 3)
    by_folder = choose_recipe(texts, None, None, str(folders / "llama"))[1]
    assert isinstance(by_folder.init, Pretrained)
    assert by_folder.model == finetuned.model
    assert by_folder.domain == finetuned.domain
    scratch = language.recipe(f"hf:{folders / 'llama'}", init="random")
    assert isinstance(scratch.init, Random)
    assert scratch.domain.tokenizer_from == str(folders / "llama")
    assert scratch.epochs == 10
    for each in (finetuned, scratch):
        check_recipe(each)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text((folders / "llama" / "config.json").read_text())
    assert "is not there" in language.recipe(f"hf:{bare}").init.because
    with pytest.raises(CheckpointError, match=r"PERVADE_OFFLINE=1 forbids downloads; copy .* name it hf:FOLDER"):
        language.recipe("hf:nobody/nothing-that-is-there")


def test_going_on_from_a_run(folders: Path, texts: Path, tmp_path: Path) -> None:
    """With its tokenizer and all of its weights; of our own kind and of the Hub's."""
    torch.set_num_threads(1)
    ours = replace(
        language.scratch(GPT(width=32, depth=2, heads=2)),
        domain=Corpus(length=24, num_tokens=320),
        epochs=2,
        validation=0.1,
        test=0.2,
    )
    for name, made in (("ours", ours), ("theirs", recipe(folders / "gpt2", epochs=1))):
        first = pervade.fit(texts, recipe=made, name=name, runs=tmp_path, options=Options())
        known = first.load("best")
        settings = ["epochs=1", "optimizer.lr=1e-12", "validation=0.1", "test=0.2"]
        told = {"settings": settings, "ladder": ["trained"], "options": Options()}
        on = pervade.fit(texts, init=name, name=f"{name}-on", runs=tmp_path, **told)
        loaded = on.load()
        assert loaded.domain.tokenizer == known.domain.tokenizer
        assert loaded.domain.ends == known.domain.ends
        torch.testing.assert_close(loaded.network.state_dict(), known.network.state_dict(), rtol=0, atol=1e-7)
        assert "the body's" in on.directory.init.read_text()
        assert on.recipe().model == first.recipe().model


@pytest.mark.parametrize("tuning", [None, pytest.param("lora", marks=pytest.mark.slow)])  # trains twice
def test_it_learns_to_answer_and_what_is_preferred(tmp_path: Path, tuning: str | None) -> None:
    """A published model with its own template, whole and by adapters; then which of two answers is better."""
    torch.set_num_threads(1)
    folder = writer_folder(tmp_path / "gpt2")
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
    template += "{% if add_generation_prompt %}assistant: {% endif %}"
    settings = {"eos_token": "<over>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    asked = chats.write(tmp_path / "colours.jsonl", chats.colours(60))
    flags = {"runs": tmp_path, "tuning": tuning, "epochs": 1, "options": Options(), "settings": ["domain.length=40"]}
    run = pervade.fit(asked, model=f"hf:{folder}", name="answers", **flags)
    assert run.load().domain.eos == "<over>"
    assert run.evaluate()["n"] > 0
    assert isinstance(run.predict(chats.colours(1)[0]["prompt"])[0]["text"], str)
    rows = [{**row, "chosen": row["completion"], "rejected": "no"} for row in chats.colours(60)]
    pairs = chats.write(tmp_path / "pairs.jsonl", [{k: v for k, v in row.items() if k != "completion"} for row in rows])
    for name, start in (("on", {"init": str(run.path)}), ("at-once", {"model": f"hf:{folder}"})):
        preferring = pervade.fit(pairs, name=name, **start, **flags)
        assert preferring.evaluate()["metrics"]


class TestRefusals:
    def test_more_tokens_than_positions(self, folders: Path) -> None:
        network, domain, model = built(folders / "gpt2")
        with pytest.raises(ConfigError, match=r"takes 48 tokens at most, and domain\.length is 49"):
            model.build(replace(domain.inputs(), length=49), {"logits": domain.inputs().vocabulary})
        with pytest.raises(ConfigError, match="takes 48 tokens at most, and this text has 49"):
            network(torch.zeros(1, 49, dtype=torch.int64))
        caches = network.caches()
        network(torch.zeros(1, 48, dtype=torch.int64), caches=caches)
        with pytest.raises(ConfigError, match="takes 48 tokens at most, and this text has 49"):
            network(torch.zeros(1, 1, dtype=torch.int64), caches=caches)

    def test_another_tokenizer(self, folders: Path) -> None:
        _, domain, model = built(folders / "gpt2")
        with pytest.raises(ConfigError, match="they do not belong together"):
            model.build(replace(domain.inputs(), vocabulary=999), {"logits": 999})

    def test_a_damaged_config(self, folders: Path) -> None:
        config = json.loads((folders / "llama" / "config.json").read_text())
        for wrong in ({"hidden_size": "wide"}, {"hidden_act": "nothing-like-it"}, {"num_attention_heads": 0}):
            model = HuggingFace("x", {**config, **wrong, "_name_or_path": "x"})
            with pytest.raises(ConfigError, match=r"hf:x cannot be built from its config.json by transformers"):
                model.build(Tokens(300, 16, pooled=False, causal=True), {"logits": 300})

    def test_an_encoder(self, tmp_path: Path) -> None:
        folder = encoder_folder(tmp_path / "bert", "bert")
        with pytest.raises(ConfigError, match="of the kind 'bert', a network that fills in words"):
            language.recipe(f"hf:{folder}")
        other = encoder_folder(tmp_path / "distilbert", "distilbert")
        with pytest.raises(ConfigError, match="of the kind 'distilbert', no causal one"):
            language.recipe(f"hf:{other}")

    def test_a_network_whose_tokens_see_what_comes(self, folders: Path, monkeypatch) -> None:
        """A decoder by its name alone: BERT with is_decoder off, let through, would learn to copy."""
        config = json.loads((folders / "gpt2" / "config.json").read_text())
        monkeypatch.setattr("pervade.nn.decoder.writes", lambda config: True)
        size = config["vocab_size"]
        settings = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        model = HuggingFace("x", {"model_type": "bert", "vocab_size": size, "_name_or_path": "x", **settings})
        with pytest.raises(ConfigError, match="its tokens see those that come after them"):
            model.build(Tokens(size, 16, pooled=False, causal=True), {"logits": size})

    def test_other_models_and_weights_without_a_tokenizer(self, folders: Path) -> None:
        with pytest.raises(ConfigError, match="trains a gpt"):
            language.recipe("resnet18")
        with pytest.raises(ConfigError, match="comes with no tokenizer"):
            language.recipe("gpt-tiny", init=str(folders / "gpt2" / "model.safetensors"))
        with pytest.raises(ConfigError, match="does not say which network it is of; name it with --model"):
            language.recipe(init=str(folders / "gpt2" / "model.safetensors"))

    def test_the_head_alone(self, folders: Path, texts: Path) -> None:
        with pytest.raises(ConfigError, match="a language model has none apart from its body; take --lora"):
            choose_recipe(texts, "text-generation", f"hf:{folders / 'gpt2'}", None, "freeze")
        network = built(folders / "gpt2")[0]
        with pytest.raises(ConfigError, match="this network has none apart from its body"):
            Freeze().groups(network, list(network.parameters()))
        with pytest.raises(ConfigError, match="--init pretrained does not say which network"):
            language.recipe(init="pretrained")


def test_the_config_is_all_it_takes(tmp_path: Path) -> None:
    """The spec builds after the folder is gone; a folder is kept as a whole path."""
    import os
    import shutil

    folder = writer_folder(tmp_path / "gpt2")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        made = spec.decode("hf:gpt2", Model)
    finally:
        os.chdir(before)
    assert made.name == str(folder)
    shutil.rmtree(folder)
    again = spec.decode(json.loads(json.dumps(spec.encode(made))), Model)
    network = again.build(Tokens(300, 16, pooled=False, causal=True), {"logits": 300})
    assert network(torch.zeros(1, 5, dtype=torch.int64))["logits"].shape == (1, 5, 300)
