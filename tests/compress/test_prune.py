"""What is pruned is the network without the channels that are worth least, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from pervade.compress.prune import Narrowed, Prune
from pervade.core import spec
from pervade.core.contracts import Compressed, Model, Tokens
from pervade.core.errors import ConfigError
from pervade.engine import channels
from pervade.engine.multiply_adds import multiply_adds
from pervade.engine.recovery import recovery
from pervade.init.pretrained import Pretrained
from pervade.init.random import Random
from pervade.models.convnext import ConvNeXt
from pervade.models.mobilenet import MobileNet
from pervade.models.reference_mlp import ReferenceMLP
from pervade.models.resnet import ResNet
from pervade.models.small_cnn import SmallCNN
from pervade.models.sound_cnn import SoundCNN
from pervade.models.text_cnn import TextCNN
from pervade.models.transformer import Transformer
from pervade.models.vit import ViT
from pervade.nn.backbone import Backbone
from pervade.tasks.distil import Distil
from pervade.testing import check_spec
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.sgd import SGD
from tests.subjects import OUTPUTS, TOKENS, WAVEFORM, again, answers, batch_of, pixels, subject

PICTURES = pixels(16)


class Two(nn.Module):
    """Two dense layers of 32 between 768 numbers and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(768, 32), nn.Linear(32, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(gelu(self.second(gelu(self.first(x.flatten(1))))))


def made_of(body: nn.Module, width: int, step: Prune) -> Compressed:
    return step(subject(ReferenceMLP(), PICTURES, network=Backbone(PICTURES, OUTPUTS, body, width)))


@pytest.mark.parametrize("criterion", ["taylor", "magnitude"])
def test_what_does_nothing_goes_first(criterion: Any) -> None:
    """Of the first layer's 32 numbers 16 are always zero: without them the answers are the same, and of the 26,160
    multiply-adds (768 x 32 + 32 x 32 + 32 x 16 + 16 x 3) 13,360 are left."""
    torch.manual_seed(0)
    body = Two()
    dead = torch.randperm(32)[:16]
    with torch.no_grad():
        for value in (body.first.weight, body.first.bias):
            value[dead] = 0
        body.second.weight[:, dead] = 0
    network = Backbone(PICTURES, OUTPUTS, body, 16).eval()
    before = answers(network, PICTURES)
    made = Prune(0.52, criterion, epochs=0)(subject(ReferenceMLP(), PICTURES, network=network))
    assert body.first.weight.shape == (16, 768)
    assert body.second.weight.shape == (32, 16)
    assert multiply_adds(network, batch_of(PICTURES)) == 16 * 768 + 16 * 32 + 32 * 16 + 16 * 3
    assert torch.allclose(answers(made.network, PICTURES), before, atol=1e-5)
    assert made.summary.endswith("multiply-adds a row 0.02616 to 0.01336 million (51%)")
    assert made.changes == (
        Narrowed(
            {"body.first.weight": (16, 768), "body.first.bias": (16,), "body.second.weight": (32, 16)},
            {"body.first.out_features": 16, "body.second.in_features": 16},
        ),
    )
    check_spec(made.changes[0])


def test_what_moves_the_answers_least_goes_first() -> None:
    """Large weights do not count where what reads them hardly does: magnitude is misled, the outputs are not."""
    torch.manual_seed(0)
    body = Two()
    with torch.no_grad():
        body.first.weight[:16] *= 10
        body.first.bias[:16] *= 10
        body.second.weight[:, :16] *= 1e-4
    network = Backbone(PICTURES, OUTPUTS, body, 16).eval()
    kept = body.first.weight[16:].clone()
    before = answers(network, PICTURES)
    made = Prune(0.52, "taylor", epochs=0)(subject(ReferenceMLP(), PICTURES, network=network))
    assert torch.equal(made.network.body.first.weight, kept)
    assert torch.allclose(answers(made.network, PICTURES), before, atol=1e-2)


FAMILIES = [
    (ResNet(depth=10, width=32), pixels(32)),
    (ResNet(depth=50, width=16), pixels(32)),
    (SmallCNN(), pixels(32)),
    (MobileNet("v1", width=0.5), pixels(32)),
    (MobileNet("v3-small"), pixels(32)),
    (ViT("tiny", blocks=2), pixels(32)),
    (Transformer(width=64, depth=2), TOKENS),
    (SoundCNN(), WAVEFORM),
]


@pytest.mark.parametrize(("model", "inputs"), FAMILIES, ids=lambda value: type(value).__name__)
def test_it_is_the_same_network_when_it_is_loaded(model: Any, inputs: Any) -> None:
    asked = subject(model, inputs)
    before = multiply_adds(asked.loaded.network, batch_of(inputs))
    made = Prune(0.7, "magnitude", epochs=2)(asked)
    assert multiply_adds(made.network, batch_of(inputs)) <= 0.7 * before
    assert made.network is asked.loaded.network
    loaded = again(made, model, inputs)
    assert torch.equal(answers(loaded, inputs), answers(made.network, inputs))
    assert all(head.out_features == 3 for head in loaded.head.values())
    assert made.learns is not None
    assert made.learns.changes == made.changes
    assert made.learns.task == Distil(asked.recipe.task, str(asked.place))
    assert made.begins_there
    loaded.train()(batch_of(inputs)["input"], mask=batch_of(inputs).get("mask"))["logits"].sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())
    if inputs is TOKENS:
        batch = batch_of(inputs)
        loaded.eval()
        seen = loaded.forward_embedded(loaded.embed(batch["input"]), batch["input"], batch["mask"])["logits"]
        assert torch.equal(seen, loaded(batch["input"], batch["mask"])["logits"])


@pytest.mark.slow  # 28 million weights
def test_convnext() -> None:
    model, inputs = ConvNeXt("tiny"), pixels(64)
    made = Prune(0.7, epochs=0)(subject(model, inputs))
    assert torch.equal(answers(again(made, model, inputs), inputs), answers(made.network, inputs))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    config = transformers.BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
    )
    folder = tmp_path_factory.mktemp("hub") / "bert"
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def test_an_encoder_of_transformers(bert: Path) -> None:
    model = spec.decode(f"hf:{bert}", Model)
    made = Prune(0.8, epochs=0)(subject(model, TOKENS))
    assert torch.equal(answers(again(made, model, TOKENS), TOKENS), answers(made.network, TOKENS))
    assert any("intermediate.dense" in name for name in made.changes[0].shapes)


@pytest.mark.parametrize(
    ("name", "inputs", "count", "share"),
    [
        ("transformer", TOKENS, "attention.heads", 0.55),
        ("timm:test_vit", pixels(160), "attn.num_heads", 0.6),
        ("bert", TOKENS, "self.num_attention_heads", 0.6),
    ],
)
def test_whole_heads_of_attention_go(name: str, inputs: Any, count: str, share: float, bert: Path) -> None:
    """Of each layer half of them: queries, keys and values, and what reads them."""
    called = {"bert": f"hf:{bert}"}.get(name, name)
    model = Transformer(width=64, depth=2, heads=4) if name == "transformer" else spec.decode(called, Model)
    asked = subject(model, inputs)
    made = Prune(share, scope="layer", criterion="magnitude", epochs=0)(asked)
    change = made.changes[0]
    if name == "transformer":
        assert change.counts["body.encoder.blocks.0.attention.heads"] == 2
        assert change.shapes["body.encoder.blocks.0.attention.into.weight"] == (96, 64)
        assert change.shapes["body.encoder.blocks.0.attention.out.weight"] == (64, 32)
    assert any(path.endswith(count) for path in change.counts)
    assert torch.equal(answers(again(made, model, inputs), inputs), answers(made.network, inputs))


def test_what_is_normalised_together_stays() -> None:
    """Channels of a residual stream that is normalised as a whole are no zeros when they are gone."""
    made = Prune(0.7, epochs=0)(subject(Transformer(width=64, depth=2), TOKENS))
    assert made.changes[0].shapes
    assert all(".feed." in name or ".attention." in name for name in made.changes[0].shapes)
    assert "left as they are" in made.summary


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_of_each_layer_the_same_share(share: float) -> None:
    """As far as multiples of 8 allow it; and of the multiply-adds that are asked for nearly all are left."""
    asked = subject(ResNet(depth=10, width=64), pixels(32))
    layers = [module for module in asked.loaded.network.modules() if isinstance(module, nn.Conv2d)]
    before, count = [layer.out_channels for layer in layers], multiply_adds(asked.loaded.network, batch_of(pixels(32)))
    made = Prune(share, scope="layer", criterion="magnitude", epochs=0, round_to=8)(asked)
    kept = [layer.out_channels / whole for layer, whole in zip(layers, before, strict=True)]
    assert max(kept) - min(kept) < 0.2
    assert all(layer.out_channels % 8 == 0 for layer in layers)
    assert 0.9 * share < multiply_adds(made.network, batch_of(pixels(32))) / count <= share


def test_a_trained_change_stays_below_it() -> None:
    """Pruned twice, the second list stands behind the first, and both are made again."""
    model, inputs = SmallCNN(), pixels(32)
    once = Prune(0.7, epochs=0)(subject(model, inputs))
    asked = subject(model, inputs, network=once.network)
    twice = Prune(0.6, epochs=0)(replace(asked, loaded=replace(asked.loaded, changes=once.changes)))
    assert [type(change) for change in twice.changes] == [Narrowed, Narrowed]
    assert torch.equal(answers(again(twice, model, inputs), inputs), answers(twice.network, inputs))


class Rearranged(nn.Module):
    """A layer whose 24 numbers are 4 heads of 6, which are normalised each for itself: torch-pruning follows it, and
    without some of them it would be another network."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(768, 24), nn.Linear(24, 16)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.first(x.flatten(1)).view(len(x), 4, 6)
        return self.last(heads.softmax(2).flatten(1))


@pytest.mark.parametrize(
    ("body", "width", "share", "said"),
    [
        (Two(), 16, 0.01, "% of the multiply-adds are left, and prune.share is 0.01; set it to"),
        (Rearranged(), 16, 0.5, "prune.share is 0.5|no channels of Backbone can be taken out"),
        (nn.Flatten(), 768, 0.5, "no channels of Backbone can be taken out"),
    ],
)
def test_what_it_cannot_do(body: nn.Module, width: int, share: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        made_of(body, width, Prune(share))
    assert "\n" not in str(caught.value)


def test_what_is_counted_somewhere_is_named_and_stays() -> None:
    network = Backbone(PICTURES, OUTPUTS, Rearranged(), 16).eval()
    whole, left = channels.groups(network, batch_of(PICTURES), {"head.logits"})
    assert "body.first" in left
    assert [group.name for group in whole] == ["body.last"]


def test_control_flow_that_torch_pruning_cannot_follow() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                raise RuntimeError("only where nothing is learnt")
            return x.flatten(1)

    with pytest.raises(ConfigError, match="cannot follow Backbone") as caught:
        made_of(Odd(), 768, Prune())
    assert "\n" not in str(caught.value)


def test_without_torch_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(ConfigError, match=r"pip install 'pervade\[deploy\]'"):
        made_of(Two(), 16, Prune())
    Narrowed({"body.first.weight": (16, 768)}).apply(Backbone(PICTURES, OUTPUTS, Two(), 16))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            Narrowed({"body.third.weight": (1,)}),
            "'body.third.weight' .* the network has no such weight",
        ),
        (Narrowed({"body.first.weight": (16, 769)}), "the network has .32, 768. there"),
        (Narrowed({"body.first.weight": (16,)}), "the network has .32, 768. there"),
        (Narrowed({}, {"body.first.width": 3}), "no count 'body.first.width'"),
    ],
)
def test_a_list_that_is_not_the_networks(change: Narrowed, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        change.apply(Backbone(PICTURES, OUTPUTS, Two(), 16))
    assert "\n" not in str(caught.value)


def test_pairs_of_texts() -> None:
    model, inputs = TextCNN(), Tokens(60, 24, separator=3)
    made = Prune(0.9, epochs=0)(subject(model, inputs))
    assert torch.equal(answers(again(made, model, inputs), inputs), answers(made.network, inputs))


@pytest.mark.parametrize(
    ("init", "optimizer", "lr", "expected"),
    [
        (Random(), SGD(lr=0.1), None, 2e-3),
        (Pretrained("there"), SGD(lr=0.1), None, 1e-4),
        (Pretrained("there"), AdamW(lr=2e-5), None, 2e-5),
        (Pretrained("there"), AdamW(lr=1e-3), None, 1e-4),
        (Random(), SGD(lr=0.1), 0.5, 0.5),
    ],
)
def test_how_fast_it_learns_again(init: Any, optimizer: Any, lr: float | None, expected: float) -> None:
    asked = subject(ReferenceMLP(), PICTURES)
    learns = recovery(replace(asked, recipe=replace(asked.recipe, init=init, optimizer=optimizer)), (), 3, lr)
    assert learns is not None
    assert learns.optimizer == AdamW(lr=expected)
    assert learns.epochs == 3
    assert recovery(asked, (), 0, lr) is None
