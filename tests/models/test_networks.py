"""What each architecture promises beyond the contract that tests/test_contracts.py checks for all of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pervade.core import registry
from pervade.core.contracts import Context, Pixels
from pervade.core.errors import ConfigError
from pervade.domains.image import Image
from pervade.engine.step import only_phase
from pervade.models.convnext import ConvNeXt
from pervade.models.inception import Inception
from pervade.models.resnet import ResNet
from pervade.models.vit import ViT
from pervade.nn.backbone import Backbone
from pervade.tasks.classify import Classify


def pictures(side: int, channels: int = 3) -> dict[str, list]:
    return Pixels((channels, side, side), (0.5,) * channels, (0.25,) * channels)


def build(name: str, side: int = 32, channels: int = 3) -> Backbone:
    cls, fields = registry.find("model", name)
    torch.manual_seed(0)
    return cls(**fields).build(pictures(side, channels), {"logits": 2})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [  # torchvision's own counts, less a head of 1,000 classes and plus one of 2
        ("alexnet", 61_100_840 - 4097 * 998),
        ("resnet18", 11_689_512 - 513 * 998),
        ("resnet34", 21_797_672 - 513 * 998),
        ("resnet50", 25_557_032 - 2049 * 998),
        ("mobilenet-v2", 3_504_872 - 1281 * 998),
        ("mobilenet-v3-small", 2_542_856 - 1025 * 998),
        ("convnext-tiny", 28_589_128 - 769 * 998),
        ("vit-base", 86_567_656 - 769 * 998),
    ],
)
def test_as_many_weights_as_published(name: str, parameters: int) -> None:
    cls, fields = registry.find("model", name)
    with torch.device("meta"):
        network = cls(**fields).build(pictures(224), {"logits": 2})
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_same_numbers_as_torchvision() -> None:
    """The same weights give the same features: the order of layers, strides and paddings are the original's."""
    from torchvision.models import mobilenet_v3_small, resnet50

    for name, original in (("resnet50", resnet50()), ("mobilenet-v3-small", mobilenet_v3_small())):
        network = build(name, 128).eval()
        body = {key: value for key, value in original.state_dict().items() if f"body.{key}" in network.state_dict()}
        network.body.load_state_dict(body, strict=True)
        last = "fc" if name == "resnet50" else "classifier"
        setattr(original, last, nn.Identity() if name == "resnet50" else nn.Sequential(*original.classifier[:-1]))
        x = torch.rand(2, 3, 128, 128)
        with torch.no_grad():
            torch.testing.assert_close(network.body(x), original.eval()(x))


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18", 5),
        ("resnet50", 5),
        ("mobilenet-v1-0.25", 3),
        ("convnext-atto", 8),
        ("vit-tiny", 13),
        ("alexnet", 3),
    ],
)
def test_stages_hold_every_weight_once_from_input_to_output(name: str, stages: int) -> None:
    network = build(name, 64)
    found = network.stages()
    assert len(found) == stages
    seen = [id(p) for stage in found for p in stage.parameters()]
    assert sorted(seen) == sorted(id(p) for p in network.body.parameters())
    first = next(module for module in network.body.modules() if isinstance(module, nn.Conv2d))
    assert id(first.weight) in {id(p) for p in found[0].parameters()}
    # A stage put into evaluation mode takes the network's own modules with it.
    found[0].eval()
    assert not first.training


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        (
            "alexnet",
            62,
            "alexnet needs pictures of at least 63 x 63 pixels, not 62 x 62; set -o domain.size=63 or more",
        ),
        ("inception", 74, "inception needs pictures of at least 75 x 75 pixels, not 74 x 74"),
        ("convnext-atto", 6, "needs pictures of at least 8 x 8 pixels, not 6 x 6"),
        ("reference-cnn", 7, "needs pictures of at least 8 x 8"),
        ("timm:test_vit", 24, "timm:test_vit needs pictures of at least 32 x 32 pixels, not 24 x 24"),
    ],
)
def test_pictures_too_small(name: str, side: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, side)


def test_the_smallest_size_that_is_named_fits() -> None:
    assert build("alexnet", 63)(torch.rand(1, 3, 63, 63))["logits"].shape == (1, 2)
    assert build("inception", 75).eval()(torch.rand(1, 3, 75, 75))["logits"].shape == (1, 2)


@pytest.mark.parametrize("side", [20, 33])
def test_a_transformer_takes_any_size(side: int) -> None:
    network = ViT(blocks=1).build(pictures(side), {"logits": 2})
    assert network(torch.rand(2, 3, side, side))["logits"].shape == (2, 2)


class TestInception:
    def test_the_auxiliary_head_is_there_while_training_only(self) -> None:
        network = build("inception", 75)
        x = torch.rand(2, 3, 75, 75)
        output = network.train()(x)
        assert {name: tuple(value.shape) for name, value in output.items()} == {"logits": (2, 2), "auxiliary": (2, 2)}
        assert set(network.eval()(x)) == {"logits"}
        assert set(Inception(auxiliary=False).build(pictures(75), {"logits": 2})(x)) == {"logits"}

    def test_its_loss_counts_two_fifths(self) -> None:
        task = Classify()
        target = torch.tensor([0, 1])
        batch = {"row": torch.arange(2), "target": target}
        output = {"logits": torch.randn(2, 2), "auxiliary": torch.randn(2, 2)}
        own = nn.functional.cross_entropy(output["logits"], target, reduction="none")
        other = nn.functional.cross_entropy(output["auxiliary"], target, reduction="none")
        torch.testing.assert_close(task.loss(output, batch)["loss"], own + 0.4 * other)

    def test_it_is_trained_and_evaluated(self) -> None:
        domain = Image(size=75, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.25,) * 3)
        network = build("inception", 75).train()
        batch = {"row": torch.arange(2), "input": torch.rand(2, 3, 75, 75), "target": torch.tensor([0, 1])}
        parts = only_phase(Classify(), network, Context(domain)).loss(batch)
        parts["loss"].sum().backward()
        assert all(p.grad is not None for p in network.parameters())


def test_dropout_stands_before_the_head() -> None:
    network = ResNet(dropout=0.5).build(pictures(32), {"logits": 2})
    assert network.dropout.p == 0.5


def test_patches_follow_the_size() -> None:
    assert [ConvNeXt()._patch(side) for side in (32, 64, 224)] == [1, 2, 4]
    assert [ViT()._patch(side) for side in (32, 64, 224)] == [4, 8, 16]
    assert ViT(patch=2)._patch(224) == 2


class TestTimm:
    @pytest.mark.parametrize(
        "name", ["timm:test_resnet", "timm:test_vit", "timm:test_efficientnet", "timm:test_convnext"]
    )
    @pytest.mark.parametrize("channels", [1, 3])
    def test_any_network_has_body_head_and_stages(self, name: str, channels: int) -> None:
        network = build(name, 32, channels)
        assert network(torch.rand(2, channels, 32, 32))["logits"].shape == (2, 2)
        stages = network.stages()
        assert len(stages) > 2
        assert sum(p.numel() for s in stages for p in s.parameters()) == sum(
            p.numel() for p in network.body.parameters()
        )

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("timm:test_resnt", "timm has no network 'test_resnt'; did you mean timm:test_resnet"),
            ("timm:test_resnet.nowhere", "timm has no weights 'test_resnet.nowhere'; for test_resnet there are: timm:"),
            ("timm:hf-hub:owner/name", "timm has no network"),
            ("timm", "timm takes a network's name: --model timm:resnet50"),
        ],
    )
    def test_unknown_names(self, name: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            build(name)

    def test_the_size_its_weights_were_made_with(self) -> None:
        cls, fields = registry.find("model", "timm:test_resnet")
        assert cls(**fields).side == 160
        assert cls(**fields).published().name == "timm/test_resnet.r160_in1k"
