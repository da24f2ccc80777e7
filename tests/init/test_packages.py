"""Published weights out of an installed package: found without the Hub and without running the package, known by their
digest, and taken for pictures by a ladder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pervade import api, recipes
from pervade.core import download, files
from pervade.core.contracts import Pixels
from pervade.core.errors import CheckpointError
from pervade.init.pretrained import Pretrained, out_of_reach
from pervade.init.random import Random
from pervade.models.hf import HuggingFace
from pervade.models.timm import Timm
from pervade.recipes import image, text
from pervade.run.training import Options
from pervade.weights import packages
from pervade.weights.hub import HubRepository
from pervade.weights.packages import Package
from pervade.weights.transplant import transplant
from tests import texts
from tests.init.test_starting import Heard


def install(site: Path, monkeypatch: pytest.MonkeyPatch, network: str, package: Package) -> None:
    """A package as pip leaves it, whose module must not be run."""
    about = site / f"{package.name.replace('-', '_')}-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.name}\nVersion: 0.1.0\n")
    module = site / Path(package.weights).parts[0]
    module.mkdir(exist_ok=True)
    (module / "__init__.py").write_text("raise RuntimeError('the package was run')\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setitem(packages.PACKAGES, network, package)


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual encoder of English texts in a package; the file of its weights."""
    path = texts.encoder_folder(tmp_path / "site" / "carries_encoder" / "model") / "model.safetensors"
    package = Package("carries-encoder", "carries_encoder/model/model.safetensors", files.sha256(path))
    install(tmp_path / "site", monkeypatch, text.ENGLISH, package)
    return path


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small network of timm under the names of another library, in a package; the file of its weights."""
    path = tmp_path / "site" / "carries_network" / "weights.pth"
    path.parent.mkdir(parents=True)
    body = Timm("test_efficientnet").build(Pixels((3, 32, 32), (0.5,) * 3, (0.5,) * 3), {"logits": 2}).body
    numbered = {
        f"_layer{place}.{name.rpartition('.')[2]}": value
        for place, (name, value) in enumerate(body.state_dict().items())
    }
    torch.save({**numbered, "_fc.weight": torch.rand(1000, 256), "_fc.bias": torch.rand(1000)}, path)
    package = Package("carries-network", "carries_network/weights.pth", files.sha256(path), (0.5,) * 3, (0.25,) * 3)
    install(tmp_path / "site", monkeypatch, "timm/test_efficientnet.r160_in1k", package)
    return path


def test_texts_take_the_encoder_and_say_where_it_was_found(encoder: Path, tmp_path: Path) -> None:
    recipe = text.recipe()
    assert recipe.model == HuggingFace(text.ENGLISH)
    assert isinstance(recipe.init, Pretrained)
    repository = HubRepository(text.ENGLISH)
    assert repository.path == encoder
    assert repository.tokenizer_folder() == encoder.parent
    screen = Heard()
    data = texts.write(tmp_path / "reviews.tsv", texts.reviews(60))
    settings = ["domain.length=16", "workers=0"]
    run = api.fit(
        data, runs=tmp_path / "runs", epochs=1, settings=settings, ladder=["trained"], options=Options(screen=screen)
    )
    said = next(line for line in screen.lines if line.startswith("init: "))
    assert f"weights from hf:{text.ENGLISH} in the installed package carries-encoder" in said
    assert run.recipe().domain.tokenizer_from == text.ENGLISH


def test_other_weights_than_were_published_are_refused(encoder: Path) -> None:
    encoder.write_bytes(encoder.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(CheckpointError, match=r"is not what was published .* install the package carries-encoder"):
        HubRepository(text.ENGLISH).read()


def test_where_the_package_is_not_installed_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.PACKAGES, text.ENGLISH, Package("no-such-package", "no/such.file", ""))
    assert packages.carrying(text.ENGLISH) is None
    assert isinstance(text.recipe().init, Random)


def test_what_lies_in_the_hubs_cache_comes_first(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / f"models--{text.ENGLISH.replace('/', '--')}" / "snapshots" / "abc"
    texts.encoder_folder(folder)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("abc")
    assert HubRepository(text.ENGLISH).path == folder / "config.json"
    assert HubRepository(text.ENGLISH).read().where == f"hf:{text.ENGLISH}"


def test_a_network_of_timm_under_other_names(network: Path) -> None:
    model = Timm("test_efficientnet")
    assert out_of_reach(model) is None
    checkpoint = model.published().read()
    assert (checkpoint.mean, checkpoint.deviation) == ((0.5,) * 3, (0.25,) * 3)
    made = model.build(Pixels((3, 32, 32), (0.5,) * 3, (0.25,) * 3), {"logits": 2})
    started = transplant(made, checkpoint)
    assert "by their order" in started.summary
    assert "the head is new (1,000 classes there, 2 here)" in started.summary
    there = list(checkpoint.weights.values())
    assert all(torch.equal(own, other) for own, other in zip(made.body.state_dict().values(), there, strict=False))


class TestALadderOfPictures:
    @pytest.fixture(autouse=True)
    def _candidates(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(image, "AT_HAND", ("resnet50", "timm:test_efficientnet"))

    def chosen(self, data: Path, **more: Any) -> tuple[Any, list[str]]:
        heard: list[str] = []
        with download.announcing(heard.append):
            return recipes.choose(data, None, more.pop("model", None), **more)[1], heard

    def test_takes_what_lies_here(self, network: Path, shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(image, "SMALL", 19)
        recipe, heard = self.chosen(shapes, ladder=True)
        assert recipe == image.finetune(Timm("test_efficientnet"))
        assert heard[-1] == f"ladder: timm:test_efficientnet is taken, whose published weights lie here: {network}"

    def test_alone_the_default_stays(self, network: Path, shapes: Path) -> None:
        recipe, _ = self.chosen(shapes)
        assert recipe == image.recipe(source=shapes)
        assert isinstance(recipe.init, Random)

    @pytest.mark.parametrize("named", [{"model": "resnet34"}, {"init": "random"}])
    def test_what_was_named_stays(self, network: Path, shapes: Path, named: dict[str, str]) -> None:
        assert isinstance(self.chosen(shapes, ladder=True, **named)[0].init, Random)

    def test_small_pictures_are_learnt_at_their_own_size(self, network: Path, shapes: Path) -> None:
        recipe, heard = self.chosen(shapes, ladder=True)
        assert isinstance(recipe.init, Random)
        assert heard[-1] == "ladder: timm:test_efficientnet lies here, and is not taken for pictures of 20 pixels"

    def test_where_nothing_lies_here_nothing_is_said(self, shapes: Path) -> None:
        recipe, heard = self.chosen(shapes, ladder=True)
        assert isinstance(recipe.init, Random)
        assert not heard
