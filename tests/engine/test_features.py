"""Features of a frozen body: the same batches as without them, and a cache that is never wrong nor in the way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pervade.core.protocols import Context, Domain
from pervade.core.types import Rows
from pervade.data.loader import Loader
from pervade.domains.image import Image
from pervade.engine import features
from pervade.engine.fit import Learner
from pervade.models.resnet import ResNet
from pervade.nn.backbone import Backbone
from pervade.tasks.classify import Classify
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from pervade.train.tuning.freeze import Freeze


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def pictures(shapes: Path, views: int = 1) -> tuple[Domain, Rows]:
    domain = Image(size=16, augment=False, views=views)
    rows, _ = domain.prepare(domain.read(shapes)[0], lambda done, total: None)
    rows = rows.select(range(20, 40))
    return domain.fit(rows), rows


def network(domain: Domain) -> Backbone:
    torch.manual_seed(0)
    built = ResNet(width=16).build(domain.inputs(), {"logits": 2})
    assert isinstance(built, Backbone)
    return built


def computed(net: Backbone, domain: Domain, rows: Rows) -> Domain:
    return features.compute(net, domain, rows, 0, lambda done, total: None)


def test_a_label_that_was_mended_is_learnt(shapes: Path) -> None:
    """The pictures, their numbers and the count of every label are the same: only two rows change places."""
    domain, rows = pictures(shapes)
    net, targets = network(domain), list(rows.column("target"))
    first, last = targets.index("left"), targets.index("right")
    mended = list(targets)
    mended[first], mended[last] = "right", "left"
    for labels in (targets, mended):
        known = rows.with_columns(target=labels)
        (batch,) = Loader(known, computed(net, domain, known), 32, seed=0, training=False)
        assert [domain.labels[number] for number in batch["target"].tolist()] == labels


@pytest.mark.parametrize("views", [1, 2, 10])
def test_batches_are_those_of_the_pictures(shapes: Path, views: int) -> None:
    """In training too: the same rows in the same order, of each the same views, and the same losses."""
    domain, rows = pictures(shapes, views)
    net = network(domain).eval()
    two = [Loader(rows, each, 8, seed=3) for each in (domain, computed(net, domain, rows))]
    for of_pictures, of_features in zip(*two, strict=True):
        assert of_pictures.keys() == of_features.keys()
        for name in of_pictures.keys() - {"input"}:
            assert torch.equal(of_pictures[name], of_features[name])
        with torch.no_grad():
            wanted = net.features(of_pictures["input"])
        torch.testing.assert_close(of_features["input"], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kept", [False, True])
def test_a_row_of_several_views_is_one_row(shapes: Path, kept: bool) -> None:
    domain, rows = pictures(shapes, views=2)
    net = network(domain)
    source = Loader(rows, computed(net, domain, rows) if kept else domain, 8, seed=0)
    learner = Learner(Classify(), net, Context(domain), SGD(lr=0.1), Constant(), 10, tuning=Freeze(), micro_batch=5)
    moments = list(learner.fit(source, 1))
    assert [moment.rows for moment in moments if moment.kind == "step"] == [7, 7, 6]
