"""The transformer of our own and encoders of the Hub: positions, padding, caches, pairs, weights that fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pervade.core import registry, spec
from pervade.core.contracts import Model, Pixels, Tokens
from pervade.core.errors import ConfigError
from pervade.init.pretrained import Pretrained
from pervade.models.hf import HuggingFace
from pervade.models.text_cnn import TextCNN, _pooled
from pervade.nn import text_encoder
from pervade.nn.transformer import Rotary, Transformer
from pervade.recipes import text
from pervade.testing import check_model
from tests.texts import encoder_folder, fitted

INPUTS = Tokens(50, 16)
MASK = torch.tensor([[True] * 9, [True] * 5 + [False] * 4])


def tokens() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(1, 50, (2, 9)).where(MASK, torch.zeros((), dtype=torch.int64))


@pytest.mark.parametrize("pooled", [True, False])
def test_ours_takes_a_step(pooled: bool) -> None:
    cls, fields = registry.find("model", "transformer-tiny")
    batch = {"row": torch.arange(2), "input": tokens(), "mask": MASK}
    if pooled:
        check_model(cls(**fields), INPUTS, {"logits": 3}, batch)
    else:
        network = cls(**fields).build(replace(INPUTS, pooled=False), {"logits": 3})
        assert network(tokens(), mask=MASK)["logits"].shape == (2, 9, 3)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = Transformer(50, 16, 32, 2, 2, False, 0.0).eval()
    with torch.no_grad():
        padded = network(tokens(), MASK)[1, :5]
        alone = network(tokens()[1:, :5])[0]
    torch.testing.assert_close(padded, alone, rtol=1e-5, atol=1e-6)


SMALL = TextCNN(width=16, filters=4, units=8)


@pytest.mark.parametrize("separator", [None, 3])
def test_words_and_windows_take_a_step(separator: int | None) -> None:
    inputs = replace(INPUTS, separator=separator)
    given = tokens()
    given[:, 2] = 3
    check_model(SMALL, inputs, {"logits": 3}, {"row": torch.arange(2), "input": given, "mask": MASK})
    network = SMALL.build(inputs, {"logits": 3}).eval()
    with torch.no_grad():
        padded, alone = network(given, mask=MASK)["logits"][1:], network(given[1:, :5])["logits"]
        torch.testing.assert_close(padded, alone, rtol=1e-5, atol=1e-6)


def test_pooled_by_hand() -> None:
    features = torch.tensor([[[1.0, 2.0], [3.0, -1.0], [9.0, 9.0]]])
    assert _pooled(features, torch.tensor([[True, True, False]])).tolist() == [[2.0, 0.5, 3.0, 2.0]]
    assert _pooled(features, torch.tensor([[False] * 3])).tolist() == [[0.0] * 4]


def test_texts_of_a_pair_are_compared() -> None:
    """Of twins nothing lies between both, and the product is the square."""
    network = replace(SMALL, window=1).build(replace(INPUTS, separator=3), {"logits": 2}).eval()
    seen: list[torch.Tensor] = []
    network.body.dense.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    network(torch.tensor([[5, 6, 3, 5, 6, 3], [5, 6, 3, 7, 8, 3]]))
    one, other, apart, product = seen[0].chunk(4, 1)
    assert apart[0].abs().max() < 1e-6 < apart[1].abs().max()
    torch.testing.assert_close(product[0], one[0].square(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one[0], one[1])
    assert not torch.allclose(other[0], other[1])


def test_windows_answer_for_whole_texts_alone() -> None:
    for asked in (replace(INPUTS, pooled=False), replace(INPUTS, causal=True)):
        with pytest.raises(ConfigError, match="text-cnn says one thing of a whole text"):
            SMALL.build(asked, {"logits": 3})


def test_words_and_windows_are_what_learns_from_nothing() -> None:
    alone = text.recipe(init="random")
    assert alone.model == TextCNN()
    assert text.recipe("text-cnn", init="random") == alone
    named = text.recipe("transformer-tiny", init="random")
    assert (named.one_optimizer.lr, alone.one_optimizer.lr) == (1e-3, 2e-3)


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    rotary, (query, key) = Rotary(8, 20), torch.randn(2, 1, 1, 1, 8)
    scores = [(rotary(query, start + 3) * rotary(key, start)).sum().item() for start in (0, 5, 16)]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-5)
    assert (rotary(query, 0) * rotary(key, 7)).sum().item() != pytest.approx(scores[0], abs=1e-3)


def test_a_causal_one_sees_nothing_of_what_comes() -> None:
    torch.manual_seed(0)
    network = Transformer(50, 16, 32, 2, 2, True, 0.0).eval()
    some = tokens()[:1]
    other = some.clone()
    other[0, 5:] = 7
    with torch.no_grad():
        torch.testing.assert_close(network(some)[:, :5], network(other)[:, :5])
        assert not torch.allclose(network(some)[:, 5:], network(other)[:, 5:])


def test_with_a_cache_as_without() -> None:
    torch.manual_seed(0)
    network = Transformer(50, 16, 32, 2, 2, True, 0.0).eval()
    memory = network.memory(1, 16)
    with torch.no_grad():
        whole = network(tokens()[:1])
        pieces = [network(piece, memory=memory) for piece in tokens()[:1].split([4, 1, 1, 1, 1, 1], 1)]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-5, atol=1e-6)


def test_heads_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"must be a multiple of 2 x model\.heads"):
        registry.find("model", "transformer")[0](width=36, heads=4).build(INPUTS, {"logits": 2})
    with pytest.raises(ConfigError, match="reads text, not pictures; for pictures take"):
        registry.find("model", "transformer")[0]().build(Pixels((3, 8, 8), (0.5,) * 3, (0.25,) * 3), {"logits": 2})


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2", "modernbert", "distilbert", "electra"])
def test_encoders_of_the_hub(tmp_path: Path, kind: str) -> None:
    """What transformers itself computes, and a step in which every weight has a gradient."""
    import transformers

    folder = encoder_folder(tmp_path / kind, kind)
    model = spec.decode(f"hf:{folder}", Model)
    domain = fitted(folder, length=12)
    network = model.build(replace(domain.inputs(), pooled=False), {"logits": 2}).eval()
    started = Pretrained(str(folder)).apply(network, model, domain)
    assert not started.new or all(name.startswith("head.") for name in started.new), started
    original = transformers.AutoModel.from_pretrained(folder).eval()
    some, mask = torch.tensor([[5, 6, 7, 8], [5, 9, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    with torch.no_grad():
        expected = original(input_ids=some, attention_mask=mask.long()).last_hidden_state
        torch.testing.assert_close(network.features(some, mask)[mask], expected[mask], rtol=1e-4, atol=1e-5)
    batch = {"row": torch.arange(2), "input": some, "mask": mask}
    check_model(model, domain.inputs(), {"logits": 2}, batch) if kind == "bert" else None


def test_the_second_text_of_a_pair_is_told_apart(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "bert", "bert")
    model = spec.decode(f"hf:{folder}", Model)
    inputs = replace(fitted(folder, length=12).inputs(), separator=3, pooled=False)
    network = model.build(inputs, {"logits": 2}).eval()
    seen = {}
    network.body.network.embeddings.register_forward_pre_hook(
        lambda module, args, kwargs: seen.update(kwargs), with_kwargs=True
    )
    network(torch.tensor([[2, 7, 3, 8, 9, 3, 0]]), mask=torch.tensor([[True] * 6 + [False]]))
    assert seen["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 0]]


def test_refusals(tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "bert", "bert")
    model = spec.decode(f"hf:{folder}", Model)
    inputs = fitted(folder, length=12).inputs()
    with pytest.raises(ConfigError, match=r"takes 40 tokens at most, and domain\.length is 41"):
        model.build(replace(inputs, length=41), {"logits": 2})
    with pytest.raises(ConfigError, match="they do not belong together"):
        model.build(replace(inputs, vocabulary=99_999), {"logits": 2})
    config = folder / "config.json"
    config.write_text(config.read_text().replace("{", '{"auto_map": {"AutoModel": "own.Model"},', 1))
    with pytest.raises(ConfigError, match="comes with code of its own"):
        spec.decode(f"hf:{folder}", Model)


@pytest.mark.parametrize("kind", text_encoder.LAYERED)
def test_features_of_several_layers_are_the_means_of_each(tmp_path: Path, kind: str) -> None:
    folder = encoder_folder(tmp_path, kind)
    models = [HuggingFace(str(folder), layers=number) for number in (1, 2, 9)]
    tokens, mask = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    inputs = fitted(folder, length=16).inputs()
    networks = []
    for model in models:
        torch.manual_seed(0)
        networks.append(model.build(inputs, {"logits": 2}).eval())
    with torch.no_grad():
        last, two, three = (network.features(tokens, mask) for network in networks)
        hidden = networks[0].body.network(tokens, attention_mask=mask.long(), output_hidden_states=True).hidden_states
    before = (hidden[-2] * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(two, torch.cat([before, last], 1))
    assert three.shape == (2, 48)  # two layers, and the embeddings
    assert len({repr(network.body) for network in networks}) == 3  # by which cached features are known
