"""MixUp and CutMix: by hand, against torchvision, in the loader and in the losses of every kind of target; and the
averaging of views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2

from pervade import api
from pervade.core import spec
from pervade.core.contracts import Augment, Context, Recipe, Task
from pervade.core.contracts.abilities import CouplesRows
from pervade.core.errors import ConfigError
from pervade.core.types import Rows
from pervade.data.rows.loader import Loader
from pervade.data.rows.parts import average
from pervade.domains.image import Image
from pervade.domains.sound import Sound
from pervade.engine import predictions
from pervade.engine.batches import cut
from pervade.engine.fit import Learner
from pervade.engine.predictor import Predictor
from pervade.engine.step import mixed_loss
from pervade.recipes import image, sound
from pervade.tasks.classify import Classify
from pervade.train.augment.cutmix import CutMix, rectangle
from pervade.train.augment.mixup import MixUp
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from tests.asking import asked
from tests.cli.small import SETTINGS
from tests.data.drawing import class_folders


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def batch(rows: int = 6, side: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(rows, side, side, 3, generator=generator).permute(0, 3, 1, 2)
    return {"row": torch.arange(rows), "input": pixels, "target": torch.arange(rows) % 3}


def share(mixed: dict[str, torch.Tensor]) -> float:
    assert mixed["mix"].shape == (len(mixed["row"]),) and len(mixed["mix"].unique()) == 1
    return float(mixed["mix"][0])


MIXERS = [MixUp(alpha=1.0), CutMix()]


class TestMixing:
    def test_mixup_by_hand(self) -> None:
        pixels = torch.zeros(2, 1, 1, 1)
        pixels[1] = 1.0
        mixed = MixUp(alpha=1.0)({"row": torch.arange(2), "input": pixels, "target": torch.tensor([4, 7])}, rng())
        own = share(mixed)
        assert 0.05 < own < 0.95
        assert torch.allclose(mixed["input"].flatten(), torch.tensor([1 - own, own]))
        assert mixed["target"].tolist() == [4, 7] and mixed["other_target"].tolist() == [7, 4]

    def test_cutmix_by_hand(self) -> None:
        """Row i is filled with i: what is not i came from row i - 1, and its area is what the share says."""
        pixels = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 12, 10).contiguous()
        for seed in range(20):
            given = {"row": torch.arange(5), "input": pixels, "target": torch.arange(5)}
            mixed = CutMix()(given, rng(seed))
            own = mixed["input"] == torch.arange(5.0).reshape(5, 1, 1, 1)
            assert torch.allclose(own.float().mean((1, 2, 3)), mixed["mix"], atol=1e-6)
            strange = mixed["input"][~own].reshape(5, -1)
            assert torch.equal(strange, mixed["other_target"].float()[:, None].expand_as(strange))
            inside = torch.nonzero(~own[0, 0])
            if len(inside):
                height, width = (inside.max(0).values - inside.min(0).values + 1).tolist()
                assert height * width == len(inside), "a rectangle"
        assert torch.equal(pixels, torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 12, 10)), "what came in stays"

    def test_mixup_is_torchvisions(self) -> None:
        given = batch()
        mixed = MixUp(alpha=1.0)(given, rng(3))
        theirs = v2.MixUp(num_classes=3)
        theirs.make_params = lambda flat: {"lam": share(mixed)}
        pixels, target = theirs(given["input"], given["target"])
        assert torch.allclose(mixed["input"], pixels, atol=1e-6)
        assert torch.allclose(soft_target(mixed), target, atol=1e-6)

    @pytest.mark.parametrize("seed", range(5))
    def test_cutmix_is_torchvisions(self, seed: int) -> None:
        given, draw = batch(), rng(seed)
        mixed = CutMix()(given, rng(seed))
        draw.random()
        box = rectangle(draw.beta(1.0, 1.0), 8, 8, draw)
        theirs = v2.CutMix(num_classes=3)
        theirs.make_params = lambda flat: {"box": box, "lam_adjusted": share(mixed)}
        pixels, target = theirs(given["input"], given["target"])
        assert torch.equal(mixed["input"], pixels)
        assert torch.allclose(soft_target(mixed), target, atol=1e-6)

    @pytest.mark.parametrize("mixer", MIXERS)
    def test_randomness_is_the_generators(self, mixer: Augment) -> None:
        before = torch.get_rng_state()
        one, same, other = mixer(batch(), rng(5)), mixer(batch(), rng(5)), mixer(batch(), rng(6))
        assert torch.equal(one["input"], same["input"]) and torch.equal(one["mix"], same["mix"])
        assert not torch.equal(one["input"], other["input"])
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("mixer", MIXERS)
    def test_layout_and_type_stay(self, mixer: Augment) -> None:
        mixed = mixer(batch(), rng())
        assert mixed["input"].is_contiguous(memory_format=torch.channels_last)
        assert mixed["input"].dtype == mixed["mix"].dtype == torch.float32

    @pytest.mark.parametrize("mixer", MIXERS)
    def test_probability(self, mixer: Augment) -> None:
        sometimes = replace(mixer, probability=0.3)
        assert 60 < sum("mix" in sometimes(batch(2, 4), rng(seed)) for seed in range(300)) < 120
        never = batch()
        assert replace(mixer, probability=0.0)(never, rng()) is never

    def test_shares_follow_beta(self) -> None:
        shares = [share(MixUp(alpha=0.2)(batch(2, 4), rng(seed))) for seed in range(500)]
        assert abs(np.mean(shares) - 0.5) < 0.06
        assert abs(np.var(shares) - 0.25 / 1.4) < 0.02, "a b / ((a + b)^2 (a + b + 1))"

    def test_a_batch_is_mixed_once(self) -> None:
        mixed = MixUp()(batch(), rng())
        assert CutMix()(mixed, rng()) is mixed

    def test_one_row_is_mixed_with_itself(self) -> None:
        alone = batch(1)
        assert torch.allclose(MixUp(alpha=1.0)(alone, rng())["input"], alone["input"])

    @pytest.mark.parametrize("mixer", MIXERS)
    def test_what_cannot_be_mixed(self, mixer: Augment) -> None:
        without = {name: value for name, value in batch().items() if name != "target"}
        tokens = {"row": torch.arange(2), "input": torch.zeros(2, 5, dtype=torch.int64), "target": torch.arange(2)}
        two = {**batch(), "input": {"image": batch()["input"]}}
        for given in (without, tokens, two):
            with pytest.raises(ConfigError, match="mixes pictures that have a target"):
                mixer(given, rng())


def soft_target(mixed: dict[str, torch.Tensor]) -> torch.Tensor:
    own = mixed["mix"][:, None]
    return own * F.one_hot(mixed["target"], 3) + (1 - own) * F.one_hot(mixed["other_target"], 3)


@dataclass(frozen=True)
class Several(Task):
    """Labels as floats (n, k), summed over labels."""

    def loss(self, output, batch):
        losses = F.binary_cross_entropy_with_logits(output["logits"], batch["target"], reduction="none")
        return {"loss": losses.sum(1), "count": torch.full((len(losses),), 3.0)}


@dataclass(frozen=True)
class Number(Task):
    def loss(self, output, batch):
        return {"loss": (output["logits"][:, 0] - batch["target"]).square()}


@dataclass(frozen=True)
class Comparing(Number, CouplesRows):
    pass


class TestLosses:
    def test_classes_are_the_cross_entropy_of_the_soft_target(self) -> None:
        mixed, logits = MixUp(alpha=1.0)(batch(), rng()), torch.randn(6, 3)
        parts = mixed_loss(Classify(), {"logits": logits}, mixed)
        assert torch.allclose(parts["loss"], F.cross_entropy(logits, soft_target(mixed), reduction="none"))
        right = F.one_hot(logits.argmax(1), 3)
        assert torch.allclose(parts["accuracy"], (right * soft_target(mixed)).sum(1))

    def test_several_labels(self) -> None:
        labels, logits = (torch.rand(6, 3) < 0.5).float(), torch.randn(6, 3)
        mixed = CutMix()({**batch(), "target": labels}, rng(1))
        own = mixed["mix"][:, None]
        wanted = F.binary_cross_entropy_with_logits(
            logits, own * labels + (1 - own) * labels.roll(1, 0), reduction="none"
        )
        parts = mixed_loss(Several(), {"logits": logits}, mixed)
        assert torch.allclose(parts["loss"], wanted.sum(1), atol=1e-5) and parts["count"].tolist() == [3.0] * 6

    def test_numbers(self) -> None:
        mixed = MixUp(alpha=1.0)({**batch(), "target": torch.tensor([1.0, 2, 3, 4, 5, 6])}, rng())
        own = share(mixed)
        loss = mixed_loss(Number(), {"logits": torch.zeros(6, 1)}, mixed)["loss"]
        assert torch.allclose(loss[:2], torch.tensor([own * 1 + (1 - own) * 36, own * 4 + (1 - own) * 1]))

    def test_the_cut_of_a_batch_does_not_matter(self) -> None:
        mixed = MixUp(alpha=1.0)(batch(), rng())
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))

        def losses(piece):
            return mixed_loss(Classify(), {"logits": network(piece["input"])}, piece)["loss"]

        assert torch.allclose(torch.cat([losses(piece) for piece in cut(mixed, 4)]), losses(mixed), atol=1e-6)


class TestInTheLoop:
    def loader(self, *mixers: Augment, **more) -> Loader:
        pixels = [rng(i).integers(0, 256, (18, 18, 3), dtype=np.uint8) for i in range(10)]
        rows = Rows({"id": [str(i) for i in range(10)], "pixels": pixels, "target": ["a", "b"] * 5})
        domain = Image(size=16, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.25,) * 3)
        return Loader(rows, domain, 5, seed=0, augment=mixers, **more)

    def test_a_resumed_loader_mixes_alike_whatever_the_threads(self) -> None:
        mixers = (MixUp(probability=0.5), CutMix())
        first = self.loader(*mixers)
        whole = [*first, *first]
        shares = [share(each) for each in whole]
        assert len(set(shares)) == 4
        later = self.loader(*mixers, workers=2)
        later.load_state_dict({"epoch": 1, "position": 1})
        (last,) = list(later)
        assert torch.equal(last["input"], whole[3]["input"]) and share(last) == shares[3]

    def test_evaluation_is_never_mixed(self) -> None:
        assert all("mix" not in each for each in self.loader(MixUp(), training=False))

    @pytest.mark.parametrize("micro_batch", [None, 2])
    def test_training_takes_the_mixed_loss(self, micro_batch: int | None) -> None:
        torch.manual_seed(0)
        source = self.loader(MixUp(alpha=1.0))
        first = next(iter(source))
        domain = source.domain
        network = image.ReferenceMLP((4,)).build(domain.inputs(), {"logits": 2})
        wanted = mixed_loss(Classify(), network(first["input"]), first)["loss"].mean().detach()
        source.load_state_dict({"epoch": 0, "position": 0})
        learner = Learner(Classify(), network, Context(domain), SGD(), Constant(), 10, micro_batch=micro_batch)
        next(learner.fit(source, 1))
        assert learner.averages()["loss"] == pytest.approx(float(wanted), rel=1e-5)


class TestTheRecipe:
    @pytest.mark.parametrize("text", ["mixup", "[mixup]", "[{use: mixup}]", "{use: mixup}"])
    def test_spellings(self, text: str) -> None:
        found = spec.decode(spec.change(spec.encode(image.default()), [f"augment={text}"]), Recipe)
        assert found.augment == (MixUp(),)

    def test_either_of_two(self) -> None:
        text = "augment=[{use: mixup, probability: 0.5}, cutmix]"
        found = spec.decode(spec.change(spec.encode(image.default()), [text]), Recipe)
        assert found.augment == (MixUp(probability=0.5), CutMix())

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("[mixupp]", "did you mean 'mixup'"),
            ("3", "expected the name of a augment, got 3"),
            ("[{use: mixup, alpha: 0}]", "it must be a number above 0 up to 100"),
            ("[{use: cutmix, probability: 2}]", "it must be a number from 0 up to 1"),
            ("[mixup, cutmix]", "a probability below 1"),
        ],
    )
    def test_bad_values(self, text: str, complaint: str) -> None:
        with pytest.raises(ConfigError, match=complaint):
            spec.decode(spec.change(spec.encode(image.default()), [f"augment={text}"]), Recipe)

    def test_tasks_that_compare_rows(self) -> None:
        with pytest.raises(ConfigError, match=r"Comparing compares them.*leave it out"):
            replace(image.default(), task=Comparing(), augment=(MixUp(),))
        replace(image.default(), task=Comparing(), augment=(MixUp(probability=0.0),))


class TestAverage:
    def test_by_hand(self) -> None:
        table = {
            "row": np.array([7, 7, 3, 3, 7]),
            "part": np.array([0, 1, 0, 1, 2]),
            "value": np.array([1.0, 2.0, 10.0, 20.0, 6.0]),
            "vector": np.array([[1.0, 0], [0, 1], [2, 2], [4, 4], [5, 5]]),
            "name": ["seven", "x", "three", "x", "x"],
            "target": np.array([1, 1, 0, 0, 1]),
        }
        joined = average(table, ["value", "vector"])
        assert list(joined) == ["row", "value", "vector", "name", "target"]
        assert joined["row"].tolist() == [7, 3] and joined["value"].tolist() == [3.0, 15.0]
        assert joined["vector"].tolist() == [[2.0, 2.0], [3.0, 3.0]]
        assert joined["name"] == ["seven", "three"] and joined["target"].tolist() == [1, 0]

    def test_without_parts(self) -> None:
        table = {"row": np.arange(3), "value": np.arange(3.0)}
        assert average(table, ["value"]) is table


class TestViews:
    def test_classify_joins_views(self) -> None:
        """Three classes: one view says a, one says b, together they say c. By hand: sqrt(0.6 x 0.02), sqrt(0.38^2)."""
        probabilities = np.array([[0.6, 0.02, 0.38], [0.02, 0.6, 0.38], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])
        domain = Image(labels=("a", "b", "c"))
        table = {
            "row": np.array([0, 0, 1, 1]),
            "part": np.array([0, 1, 0, 1]),
            "prediction": probabilities.argmax(1),
            "label": ["a", "b", "b", "b"],
            "probabilities": probabilities,
        }
        joined = Classify().reduce(table, domain)
        root = np.sqrt(0.6 * 0.02)
        wanted = np.array([root, root, 0.38]) / (2 * root + 0.38)
        assert joined["label"] == ["c", "b"] and joined["prediction"].tolist() == [2, 1]
        assert np.allclose(joined["probabilities"], [wanted, [0.1, 0.8, 0.1]])

    def test_the_temperature_of_joined_lines_fits_the_views(self) -> None:
        """Joining what the temperature changed is the same as changing what was joined."""
        logits = torch.randn(8, 3, dtype=torch.float64)
        given = {"row": torch.arange(4).repeat_interleave(2), "part": torch.arange(2).repeat(4)}
        domain = Image(labels=("a", "b", "c"))

        def joined(decision: dict) -> np.ndarray:
            context = Context(domain, decision=decision)
            table = Classify().predictions({"logits": logits}, given, context)
            return Classify().reduce(predictions.concatenate([table]), domain)["probabilities"]

        sharper = joined({}) ** 2
        assert np.allclose(joined({"temperature": 0.5}), sharper / sharper.sum(1, keepdims=True))

    def test_the_flag(self) -> None:
        """Pictures are seen mirrored too, recordings heard slower and faster; what -o says comes after it."""
        assert api.configure(image.mlp(), tta=False).domain.views == image.mlp().domain.views
        seen, heard = replace(image.mlp(), domain=Image()), replace(sound.scratch(), domain=Sound())
        assert [api.configure(each, tta=True).domain.views for each in (seen, heard)] == [2, 3]
        assert api.configure(seen, ["domain.views=10"], tta=True).domain.views == 10

    def test_evaluate_and_predict_agree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        data = class_folders(tmp_path / "photos", count=12)
        settings = [*SETTINGS, "domain.views=10"]
        run = api.fit(data, model="reference-cnn", epochs=1, settings=settings, runs=tmp_path / "runs")
        run.evaluate()
        (file,) = (run.path / "predictions").glob("*test.parquet")
        columns = predictions.read_columns(file)
        assert "part" not in columns and len(set(columns["row"])) == len(columns["row"])
        paths = [data / name for name in columns["id"]]
        assert np.abs(run.predict_proba(paths) - columns["probabilities"]).max() < 1e-6
        assert np.allclose(columns["probabilities"].sum(1), 1)
        # and it is the views that were averaged, not one of them
        one = run.load()
        single = replace(one.domain, views=1)
        rows, _ = asked(single, paths)
        rows, _ = single.prepare(rows, lambda done, of: None, keep=False)
        alone = Predictor(one.network, single, one.task, one.decision).table(rows)
        assert np.abs(alone["probabilities"] - columns["probabilities"]).max() > 1e-6
        assert pq.read_schema(file).names.count("row") == 1
