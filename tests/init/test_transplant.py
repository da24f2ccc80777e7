"""Names fitted, heads replaced, and refusals that say what fits and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pervade.core import registry
from pervade.core.contracts import Pixels
from pervade.core.errors import CheckpointError, ConfigError
from pervade.domains.image import Image
from pervade.init.pretrained import Pretrained
from pervade.nn.backbone import Backbone
from pervade.nn.own import Own
from pervade.weights.checkpoint import IMAGENET_MEAN, Checkpoint
from pervade.weights.mapping import match, match_in_order
from pervade.weights.transplant import transplant


def build(
    name: str = "resnet10", channels: int = 3, classes: int = 2, seed: int = 0, output: str = "logits", **fields: object
) -> Backbone:
    cls, preset = registry.find("model", name)
    torch.manual_seed(seed)
    fields = {**preset, **({"width": 8} if "resnet" in name else {}), **fields}
    inputs = Pixels((channels, 32, 32), (0.5,) * channels, (0.25,) * channels)
    return cls(**fields).build(inputs, {output: classes})


def foreign(network: Backbone, prefix: str = "", classifier: str = "fc") -> dict[str, Tensor]:
    """As others would have saved the same network."""
    body = {f"{prefix}{name}": value for name, value in network.body.state_dict().items()}
    head = {f"{prefix}{classifier}.{name}": value for name, value in network.head["logits"].state_dict().items()}
    return body | head


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "backbone.", "encoder.", "_orig_mod.", "module.model.encoder.", "net.0."]
)
def test_any_prefix(prefix: str) -> None:
    old, new = build(seed=1), build(seed=2)
    started = transplant(new, Checkpoint("file", foreign(old, prefix)))
    assert same(old.body, new.body)
    assert same(old.head, new.head)  # as many classes, without names: taken as they are, and said
    assert "the head's 2 classes have no names there and are taken in their order" in started.summary
    assert (f"names without {prefix!r}" in started.summary) == bool(prefix)
    assert not started.left_out


@pytest.mark.parametrize("name", ["alexnet-like", "mobilenet-v1-0.25", "convnext-atto", "vit-tiny"])
def test_other_networks(name: str) -> None:
    if name == "alexnet-like":
        name = "reference-cnn"
    old, new = build(name, seed=1), build(name, seed=2)
    transplant(new, Checkpoint("file", foreign(old, "module.")))
    assert same(old.body, new.body)


def test_the_head_is_replaced_where_classes_differ() -> None:
    old, new = build(classes=5, seed=1), build(classes=2, seed=2)
    before = {name: value.clone() for name, value in new.head.state_dict().items()}
    started = transplant(new, Checkpoint("file", foreign(old)))
    assert same(old.body, new.body)
    assert all(torch.equal(before[name], value) for name, value in new.head.state_dict().items())
    assert "the head is new (5 classes there, 2 here)" in started.summary
    assert started.left_out[0] == "fc.weight: the head: 5 classes there, 2 here"
    assert started.new == tuple(f"head.logits.{n}: the head: 5 classes there, 2 here" for n in ("weight", "bias"))


def test_classes_are_put_into_our_order() -> None:
    old, new = build(classes=3, seed=1), build(classes=3, seed=2)
    checkpoint = Checkpoint("file", foreign(old), labels=("owl", "cat", "dog"))
    transplant(new, checkpoint, labels=("cat", "dog", "owl"))
    assert torch.equal(new.head["logits"].weight, old.head["logits"].weight[[1, 2, 0]])
    other = build(classes=3, seed=3)
    started = transplant(other, checkpoint, labels=("cat", "dog", "fox"))
    assert "the head is new (other classes there)" in started.summary


@pytest.mark.parametrize("there", [("ann", "bob"), ("ann", "bob", "eve")])
@pytest.mark.parametrize(("output", "size"), [("embedding", 5), ("embedding", 2), ("value", 1)])
def test_only_classes_have_names(output: str, size: int, there: tuple[str, ...]) -> None:
    """The rows of an embedding are dimensions: neither the same people nor others say anything about them."""
    old, new = build(classes=size, seed=1, output=output), build(classes=size, seed=2, output=output)
    started = transplant(new, Checkpoint("file", old.state_dict(), labels=there), labels=("bob", "ann"))
    assert same(old.head, new.head)
    assert "head" not in started.summary
    assert not started.new
    other = build(classes=7, seed=3, output=output)
    assert (
        f"the head is new ({size} outputs there, 7 here)"
        in transplant(other, Checkpoint("file", old.state_dict())).summary
    )


def test_the_last_layer_of_a_network_from_python() -> None:
    """It is as good a head as any, and what it was asked for says whether it counts classes."""

    def own(output: str) -> nn.Module:
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        return Own(module).build(Pixels((3, 8, 8), (0.5,) * 3, (0.25,) * 3), {output: 2})

    for output, order in (("logits", [1, 0]), ("embedding", [0, 1])):
        old, new = own(output), own(output)
        transplant(new, Checkpoint("file", old.state_dict(), labels=("cat", "dog")), labels=("dog", "cat"))
        assert torch.equal(new.module[3].weight, old.module[3].weight[order])


def test_counters_of_batch_normalisation_may_be_missing() -> None:
    old, new = build(seed=1), build(seed=2)
    weights = {name: value for name, value in foreign(old).items() if "num_batches" not in name}
    started = transplant(new, Checkpoint("file", weights))
    assert not started.new
    torch.testing.assert_close(new.body.bn1.running_mean, old.body.bn1.running_mean)


def test_half_precision_is_widened() -> None:
    old, new = build(seed=1), build(seed=2)
    weights = {name: value.half() if value.is_floating_point() else value for name, value in foreign(old).items()}
    transplant(new, Checkpoint("file", weights))
    assert new.body.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(new.body.conv1.weight, old.body.conv1.weight, atol=1e-3, rtol=1e-3)


def test_another_first_convolution_is_new() -> None:
    old, new = build(seed=1, stem="7x7"), build(seed=2, stem="3x3")
    started = transplant(new, Checkpoint("file", foreign(old)))
    assert "body.conv1.weight: another shape: 8 x 3 x 7 x 7 there, 8 x 3 x 3 x 3 here" in started.new


def test_positions_are_stretched() -> None:
    cls, _ = registry.find("model", "vit-tiny")
    small = cls(blocks=1, patch=4).build(Pixels((3, 16, 16), (0.5,) * 3, (0.25,) * 3), {"logits": 2})
    large = cls(blocks=1, patch=4).build(Pixels((3, 32, 32), (0.5,) * 3, (0.25,) * 3), {"logits": 2})
    started = transplant(large, Checkpoint("file", foreign(small)))
    assert "encoder.pos_embedding stretched from 4 x 4 to 8 x 8 places" in started.summary
    there, here = (network.body.encoder.pos_embedding.detach() for network in (small, large))
    assert torch.equal(here[:, 0], there[:, 0])
    torch.testing.assert_close(here[0, 1:].mean(0), there[0, 1:].mean(0), atol=2e-3, rtol=0)


def test_the_auxiliary_head_of_inception() -> None:
    with torch.device("meta"):
        from torchvision.models import inception_v3

        names = {name: value.shape for name, value in inception_v3(init_weights=False).state_dict().items()}
    weights = {name: torch.full(shape, 0.5) for name, shape in names.items()}
    network = build_inception()
    started = transplant(network, Checkpoint("file", weights))
    assert [each.partition(":")[0] for each in started.new] == [
        f"head.{head}.{part}" for head in ("logits", "auxiliary.fc") for part in ("weight", "bias")
    ]
    assert [each.partition(":")[0] for each in started.left_out] == [
        f"{head}.{part}" for head in ("AuxLogits.fc", "fc") for part in ("weight", "bias")
    ]


def build_inception() -> nn.Module:
    cls, fields = registry.find("model", "inception")
    return cls(**fields).build(Pixels((3, 75, 75), (0.5,) * 3, (0.25,) * 3), {"logits": 2})


class TestRefusals:
    def refuse(self, network: Backbone, weights: dict[str, Tensor], message: str) -> None:
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with pytest.raises(CheckpointError, match=message):
            transplant(network, Checkpoint("file.pth", weights), model="resnet")
        assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())

    def test_another_architecture(self) -> None:
        weights = foreign(build("mobilenet-v1-0.25"))
        self.refuse(
            build(), weights, r"is of another network than resnet: 0 of the body's .* are not in it \(the first: "
        )

    def test_another_width(self) -> None:
        message = r"have another shape \(body.conv1.weight is 8 x 3 x 3 x 3 here, 16 x 3 x 3 x 3 there\)"
        self.refuse(build(), foreign(build(width=16)), message)

    def test_fewer_than_half(self) -> None:
        weights = {name: value for name, value in foreign(build()).items() if "layer4" in name}
        self.refuse(build(), weights, r"\d+ of the body's \d+ weights fit")

    def test_a_grey_checkpoint_for_colour_pictures(self) -> None:
        message = r"was trained on grey pictures \(1 channel\), and the network is for colour .* domain.channels=1"
        self.refuse(build(), foreign(build(channels=1)), message)

    def test_a_colour_checkpoint_for_grey_pictures(self) -> None:
        message = r"was trained on colour pictures \(3 channels\), .* set -o domain.channels=3"
        self.refuse(build(channels=1), foreign(build()), message)

    def test_not_finite(self) -> None:
        weights = foreign(build())
        weights["layer1.0.conv1.weight"] = weights["layer1.0.conv1.weight"] * float("nan")
        self.refuse(build(), weights, r"not finite \(body.layer1.0.conv1.weight\)")


class TestByOrder:
    def test_where_all_shapes_agree(self) -> None:
        old, new = build(seed=1), build(seed=2)
        names = [f"layer_{i}.{name.rpartition('.')[2]}" for i, name in enumerate(foreign(old))]
        weights = dict(zip(names, foreign(old).values(), strict=True))
        started = transplant(new, Checkpoint("file", weights))
        assert same(old.body, new.body)
        assert "by their order, since names differ and all shapes agree" in started.summary

    def test_only_where_all_agree(self) -> None:
        own = {"a.weight": (2, 2), "a.bias": (2,), "b.weight": (3, 2)}
        assert match_in_order(own, {"x.weight": (2, 2), "x.bias": (2,), "y.weight": (3, 2)}) is not None
        assert match_in_order(own, {"x.weight": (2, 2), "x.bias": (2,), "y.weight": (4, 2)}) is None
        assert match_in_order(own, {"x.weight": (2, 2), "x.bias": (2,), "y.bias": (3, 2)}) is None
        assert match_in_order(own, {"x.weight": (2, 2), "x.bias": (2,)}) is None


def test_a_lone_name_finds_no_partner_by_chance() -> None:
    own = {"body.a.weight": (2,), "body.b.weight": (3,), "body.c.scale": (4,)}
    found = match(own, {"m.a.weight": (2,), "m.b.weight": (3,), "other.thing.scale": (4,)})
    assert found.pairs == {"body.a.weight": "m.a.weight", "body.b.weight": "m.b.weight"}


class TestNormalisation:
    model = registry.find("model", "reference-cnn")[0]()

    def domain(self, channels: int = 3) -> Image:
        return Image(size=32, channels=channels, labels=("a", "b"), mean=(0.4,) * channels, deviation=(0.2,) * channels)

    def file(self, folder: Path, channels: int = 3) -> str:
        torch.save(foreign(build("reference-cnn", channels)), folder / "w.pth")
        return str(folder / "w.pth")

    def test_imagenets_is_assumed_and_said(self, tmp_path: Path) -> None:
        init = Pretrained(self.file(tmp_path))
        domain = init.adapt(self.domain(), self.model)
        assert domain.mean == IMAGENET_MEAN
        started = init.apply(build("reference-cnn"), self.model, domain)
        assert "ImageNet's mean and deviation, which is assumed (-o init.mean" in started.summary

    def test_the_datas_own_for_grey_pictures(self, tmp_path: Path) -> None:
        init = Pretrained(self.file(tmp_path, 1))
        assert init.adapt(self.domain(1), self.model).mean == (0.4,)

    def test_what_is_set(self, tmp_path: Path) -> None:
        init = Pretrained(self.file(tmp_path), mean=(0.1, 0.2, 0.3))
        assert init.adapt(self.domain(), self.model).mean == (0.1, 0.2, 0.3)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"mean": (0.5,)}, "init.mean has 1 numbers, but the pictures have 3 channels"),
            ({"deviation": (0.1, 0.0, 0.1)}, "must be above 0"),
        ],
    )
    def test_what_does_not_fit(self, tmp_path: Path, fields: dict, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            Pretrained(self.file(tmp_path), **fields).adapt(self.domain(), self.model)
