"""Features of a frozen body: the same batches as without them, and a cache that is never wrong nor in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from pervade.core.contracts import Context, Domain
from pervade.core.types import Rows
from pervade.data.rows import cache
from pervade.data.rows.loader import Loader
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
    cache.warn.cache_clear()
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


def test_features_count_under_the_limit_and_the_longest_unused_goes_first(
    shapes: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each entry is 20 features of 512 axes, 41 kB and a little; the pixels beside them are 20 kB of 60 pictures."""
    domain, rows = pictures(shapes)
    (pixels,) = [each for each in cache_folder.with_name("decoded").iterdir() if each.is_dir()]
    net = network(domain)
    computed(net, domain, rows)
    (first,) = cache_folder.iterdir()
    size = sum(each.stat().st_size for each in first.iterdir())
    monkeypatch.setenv("PERVADE_CACHE_GB", str(2.5 * size / 1e9))
    os.utime(pixels, (1, 1))
    os.utime(first, (2, 2))
    halves = rows.with_columns(target=list(reversed(rows.column("target"))))
    computed(net, domain, halves)
    assert first.exists()
    assert not pixels.exists()  # the longest unused
    (second,) = set(cache_folder.iterdir()) - {first}
    os.utime(second, (1, 1))
    computed(net, domain, rows)  # used again
    assert first.stat().st_mtime > 1000
    computed(net, domain, rows.with_columns(target=["left"] * len(rows)))
    assert first.exists()
    assert not second.exists()
    assert sum(each.stat().st_size for each in cache_folder.glob("*/*")) <= cache.limit()


def test_what_a_killed_process_left_is_removed(shapes: Path, cache_folder: Path) -> None:
    domain, rows = pictures(shapes)
    cache_folder.mkdir(parents=True)
    (cache_folder / ".0123456789abcdef.safetensors.4711.tmp").write_bytes(b"half")
    computed(network(domain), domain, rows)
    assert [each.suffix for each in cache_folder.iterdir()] == [""]  # the entry alone


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000])
def test_an_entry_that_is_not_what_was_written_is_made_anew(shapes: Path, cache_folder: Path, content: bytes) -> None:
    domain, rows = pictures(shapes)
    net = network(domain)
    first = computed(net, domain, rows).input
    (kept,) = cache_folder.glob("*/*.safetensors")
    kept.unlink()  # what it was is mapped
    kept.write_bytes(content)
    assert torch.equal(computed(net, domain, rows).input, first)


def test_over_the_limit_works_and_says_so(
    shapes: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    domain, rows = pictures(shapes)
    monkeypatch.setenv("PERVADE_CACHE_GB", "0.00001")
    batch = next(iter(Loader(rows, computed(network(domain), domain, rows), 32, seed=0)))
    assert torch.isfinite(batch["input"]).all()
    assert not list(cache_folder.glob("*"))
    assert "the next run computes features anew, because the cache cannot be used: they take 0.0 GB" in caplog.text
    assert "raise PERVADE_CACHE_GB" in caplog.text


def test_a_cache_that_is_turned_off_says_nothing(
    shapes: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    domain, rows = pictures(shapes)
    monkeypatch.setenv("PERVADE_CACHE_GB", "0")
    computed(network(domain), domain, rows)
    assert not list(cache_folder.glob("*"))
    assert not caplog.records


def test_folder_that_cannot_be_written(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    domain, rows = pictures(shapes)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "file"))
    batch = next(iter(Loader(rows, computed(network(domain), domain, rows), 32, seed=0)))
    assert torch.isfinite(batch["input"]).all()
    assert "because the cache cannot be used" in caplog.text
    assert "set PERVADE_CACHE" in caplog.text


def test_a_full_disk_is_no_end(
    shapes: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    domain, rows = pictures(shapes)

    def full(tensors: dict, path: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    computed(network(domain), domain, rows)
    assert "No space left on device" in caplog.text
    assert not list(cache_folder.glob("*"))


def test_progress_counts_rows_of_which_each_has_several_views(shapes: Path) -> None:
    domain, rows = pictures(shapes, views=2)
    seen: list[tuple[int, int]] = []
    features.compute(network(domain), domain, rows, 0, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (20, 20)
    assert all(done <= total for done, total in seen)
