"""Whole runs from first weights of every origin, and what is chosen where none is named."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pervade
from pervade import api
from pervade.core import download, files
from pervade.core.contracts import Pixels
from pervade.core.errors import CheckpointError, ConfigError
from pervade.init.pretrained import Pretrained, starting_from
from pervade.init.random import Random
from pervade.models.resnet import ResNet
from pervade.models.timm import Timm
from pervade.recipes import image
from pervade.run import exporting
from pervade.run.configuring import told
from pervade.run.training import Options
from pervade.weights.published import Published

SMALL = ("domain.size=16", "domain.augment=false", "domain.views=1", "precision=fp32", "workers=0")


class Heard:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, title: str) -> Any:
        from pervade.run.progress import Silent

        return Silent().bar(title)


def fit(shapes: Path, folder: Path, screen: Heard | None = None, **more: Any) -> api.Run:
    settings = [*SMALL, *more.pop("settings", ())]
    options = Options(screen=screen or Heard())
    return pervade.fit(shapes, runs=folder, settings=settings, options=options, epochs=1, ladder=["trained"], **more)


def weights(folder: Path, **fields: Any) -> Path:
    """A foreign file for a narrow residual network of 1,000 classes."""
    network = ResNet(depth=10, width=8, **fields).build(Pixels((3, 16, 16), (0.5,) * 3, (0.2,) * 3), {"logits": 1000})
    body = {f"module.{name}": value for name, value in network.body.state_dict().items()}
    torch.save({"state_dict": body | {"module.fc.weight": network.head["logits"].weight}}, folder / "w.pth")
    return folder / "w.pth"


NARROW = ("model.width=8",)


class TestRuns:
    def test_from_a_file(self, shapes: Path, tmp_path: Path) -> None:
        screen = Heard()
        run = fit(shapes, tmp_path / "runs", screen, model="resnet10", init=weights(tmp_path), settings=NARROW)
        said = next(line for line in screen.lines if line.startswith("init: "))
        assert "names without 'module.'" in said
        assert "the head is new (1,000 classes there, 2 here)" in said
        written = files.read_json(run.directory.init)
        assert len(written["loaded"]) > 50
        assert written["init"] == {"use": "pretrained", "source": str(tmp_path / "w.pth"), "mean": [], "deviation": []}
        assert run.load().domain.mean == (0.485, 0.456, 0.406)

    def test_from_a_run_by_its_name_with_its_network_size_and_classes(self, shapes: Path, tmp_path: Path) -> None:
        first = fit(shapes, tmp_path, name="first", model="resnet10", init="random", settings=NARROW)
        second = fit(shapes, tmp_path, init="first", settings=("optimizer.lr=1e-9",))
        assert second.recipe().model == first.recipe().model
        written = files.read_json(second.directory.init)
        assert (written["left_out"], written["new"]) == ([], [])
        assert "head.logits.weight" in written["loaded"]
        assert second.load().domain.mean == first.load().domain.mean
        x = str(next((shapes / "left").iterdir()))
        expected = first.predict_proba(x, checkpoint="best")
        np.testing.assert_allclose(second.predict_proba(x, checkpoint="last"), expected, atol=0.2)

    def test_from_a_frozen_run_training_distorts_again(self, shapes: Path, tmp_path: Path) -> None:
        """What the network sees is its own; how training distorts it belongs to the recipe."""
        seen = ["domain.size=20", "domain.margin=1.2", "domain.flip=false", "domain.channels=1"]
        settings = [*seen, *NARROW, "tuning=freeze", "domain.augment=false", "workers=0"]
        options = Options(screen=Heard())
        start = {"model": "resnet10", "init": "random", "name": "first", "epochs": 1}
        pervade.fit(shapes, runs=tmp_path, settings=settings, options=options, **start)
        found = image.recipe(init=str(tmp_path / "first")).domain
        assert found == replace(image.finetune().domain, size=20, margin=1.2, flip=False, channels=1)
        assert found.augment

    def test_from_a_run_with_adapters(self, shapes: Path, tmp_path: Path) -> None:
        """What the adapters add is in the weights: the new network says the same before it learns."""
        fit(shapes, tmp_path, name="first", model="resnet10", init="random", settings=NARROW)
        second = fit(shapes, tmp_path, name="second", init="first", settings=("tuning=lora", "optimizer.lr=1e-2"))
        third = fit(shapes, tmp_path, init="second", settings=("tuning=freeze", "optimizer.lr=1e-12"))
        written = files.read_json(third.directory.init)
        assert (written["left_out"], written["new"]) == ([], [])
        assert not any("lora" in name for name in third.load().network.state_dict())
        x = str(next((shapes / "left").iterdir()))
        one, other = (run.load() for run in (second, third))
        picture = torch.rand(2, 3, 16, 16)
        with torch.no_grad():
            expected, found = (each.network(picture)["logits"] for each in (one, other))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        assert second.predict(x)[0]["top"]

    def test_from_a_folder_of_the_hub_without_naming_the_network(self, shapes: Path, tmp_path: Path) -> None:
        import transformers

        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        transformers.AutoModelForImageClassification.from_config(config).save_pretrained(tmp_path / "hub")
        (tmp_path / "hub" / "README.md").write_text("---\nlicense: other\nlicense_name: for-study\n---\n# A network\n")
        run = fit(shapes, tmp_path / "runs", init=tmp_path / "hub")
        assert exporting.licence(run.directory).startswith(
            "of the weights that it began from, hub: for-study (README.md)"
        )
        assert run.recipe().model.name == str(tmp_path / "hub")
        # The run stands on its own once the folder is gone.
        (tmp_path / "hub").rename(tmp_path / "elsewhere")
        (run.path / "init.json").unlink()
        assert exporting.licence(run.directory).startswith("not recorded by the run")
        again = pervade.load(run.path)
        assert again.evaluate(split="test")["n"] == 8
        assert again.predict(str(next((shapes / "left").iterdir())))[0]["top"]

    def test_a_network_of_timm(self, shapes: Path, tmp_path: Path) -> None:
        run = fit(shapes, tmp_path, model="timm:test_resnet", settings=("domain.size=32",))
        assert pervade.load(run.path).evaluate(split="test")["n"] == 8

    def test_nothing_is_left_where_the_weights_do_not_fit(self, shapes: Path, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match="is damaged"):
            (tmp_path / "w.pth").write_bytes(b"damaged")
            fit(shapes, tmp_path / "runs", model="resnet10", init=tmp_path / "w.pth")
        assert not (tmp_path / "runs").exists()
        weights(tmp_path)
        with pytest.raises(CheckpointError, match="of another network than mobilenet"):
            fit(shapes, tmp_path / "runs", model="mobilenet-v1", init=tmp_path / "w.pth")
        assert not list((tmp_path / "runs").iterdir())

    def test_grey_weights_for_colour_pictures(self, shapes: Path, tmp_path: Path) -> None:
        network = ResNet(depth=10, width=8).build(Pixels((1, 16, 16), (0.5,), (0.2,)), {"logits": 2})
        torch.save(network.body.state_dict(), tmp_path / "grey.pth")
        with pytest.raises(CheckpointError, match=r"trained on grey pictures .* set -o domain.channels=1"):
            fit(shapes, tmp_path, model="resnet10", init=tmp_path / "grey.pth", settings=NARROW)


class TestOwnModules:
    def module(self, classes: int = 2) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))

    def test_a_module(self, shapes: Path, tmp_path: Path) -> None:
        module = self.module()
        before = {name: value.clone() for name, value in module.state_dict().items()}
        screen = Heard()
        run = fit(shapes, tmp_path, screen, model=module)
        assert any("weights as they came from Python" in line for line in screen.lines)
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
        assert run.evaluate(split="test")["n"] == 8
        x = str(next((shapes / "left").iterdir()))
        expected = run.predict_proba(x)
        # From Python, with the module, also later; from its folder alone it cannot be read, and that is said.
        np.testing.assert_array_equal(pervade.load(run.path, model=self.module()).predict_proba(x), expected)
        with pytest.raises(ConfigError, match="Own is not registered, so it cannot be loaded from a file"):
            pervade.load(run.path).predict(x)
        with pytest.raises(ConfigError, match="is not registered"):
            pervade.resume(run.path)
        assert pervade.resume(run.path, model=self.module()).load().name == "best"

    def test_a_function(self, shapes: Path, tmp_path: Path) -> None:
        asked = []

        def make(inputs: Any, outputs: Any) -> nn.Module:
            asked.append((inputs.shape, dict(outputs)))
            return self.module(outputs["logits"])

        run = fit(shapes, tmp_path, model=make)
        assert asked[0] == ((3, 16, 16), {"logits": 2})
        assert run.evaluate(split="test")["n"] == 8

    @pytest.mark.parametrize(
        ("module", "message"),
        [
            (
                nn.Sequential(nn.Flatten(), nn.Linear(768, 7)),
                r"of shape \(1, 7\) for one picture, but \(1, 2\) is needed",
            ),
            (nn.Linear(5, 2), "the network does not take a picture of 3 x 16 x 16"),
            (nn.LSTM(16, 2), "the network does not take|returned tuple"),
            (lambda inputs, outputs: 3, "the model's function returned int; it must return a torch.nn.Module"),
        ],
    )
    def test_what_does_not_fit(self, shapes: Path, tmp_path: Path, module: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            fit(shapes, tmp_path, model=module)


class TestChoosing:
    def test_names_and_paths(self, tmp_path: Path) -> None:
        assert starting_from("random") == Random()
        assert starting_from("pretrained") == Pretrained()
        (tmp_path / "w.pth").touch()
        assert starting_from(tmp_path / "w.pth") == Pretrained(str(tmp_path / "w.pth"))
        with pytest.raises(ConfigError, match=r"neither a way to start .* did you mean 'pretrained'"):
            starting_from("pretraind")

    def test_a_file_needs_the_networks_name(self, tmp_path: Path) -> None:
        (tmp_path / "w.pth").touch()
        with pytest.raises(ConfigError, match="does not say which network it is of; name it with --model"):
            image.recipe(None, init=str(tmp_path / "w.pth"))

    def test_pretrained_takes_the_finetuning_recipe(self) -> None:
        assert image.recipe("resnet50", init="pretrained").optimizer == image.finetune().optimizer
        assert image.recipe("inception", init="pretrained").domain.size == 299
        assert image.recipe("resnet50", init="random").init == Random()

    def test_offline_the_default_is_random_and_says_why(self) -> None:
        recipe = image.recipe()
        assert recipe == replace(image.default(), init=recipe.init)
        assert "PERVADE_OFFLINE=1 forbids downloads" in recipe.init.because
        assert told(recipe) == f"model: resnet, from random weights, since {recipe.init.because}"
        assert told(image.scratch(Timm("test_resnet"))) == "model: timm:test_resnet"
        network = nn.Linear(2, 2)
        assert "since no pretrained ones are within reach" in recipe.init.apply(network, recipe.model, None).summary

    def test_what_lies_in_the_cache_is_the_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        path = ResNet().published().path
        assert path == tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
        path.parent.mkdir(parents=True)
        path.touch()
        assert image.recipe() == image.finetune(ResNet())

    def test_a_named_model_takes_what_was_published_for_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        offline = [image.recipe(name) for name in ("resnet50", "convnext-tiny", "timm:test_resnet")]
        for each in offline:
            assert "PERVADE_OFFLINE=1 forbids downloads" in each.init.because
            assert each == replace(image.scratch(each.model), init=each.init)
        monkeypatch.delenv("PERVADE_OFFLINE")
        monkeypatch.setattr(download, "reachable", lambda host, seconds=2.0: True)
        assert image.recipe("resnet50") == image.finetune(ResNet(50))
        assert image.recipe("timm:test_resnet").init == Pretrained()
        assert image.recipe("resnet50", task="image-feature-extraction").init == Pretrained()
        assert image.recipe("resnet50", init="random").init == Random()

    @pytest.mark.parametrize("name", ["vit-tiny", "resnet10", "reference-cnn", "places-cnn", "convnext-atto"])
    def test_for_an_own_network_nothing_was_published_to_look_for(
        self, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(download, "reachable", lambda host, seconds=2.0: True)
        heard: list[str] = []
        with download.announcing(heard.append):
            assert image.recipe(name).init == Random()
        assert heard == []

    def test_a_folder_in_the_hubs_layout_is_its_own_source(self, tmp_path: Path) -> None:
        import transformers

        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        config.save_pretrained(tmp_path / "hub")
        recipe = image.recipe(f"hf:{tmp_path / 'hub'}")
        assert recipe.init.because.endswith("model.safetensors is not there")
        transformers.AutoModelForImageClassification.from_config(config).save_pretrained(tmp_path / "hub")
        recipe = image.recipe(f"hf:{tmp_path / 'hub'}")
        assert recipe == image.finetune(recipe.model)
        assert recipe.init == Pretrained()

    def test_out_of_reach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PERVADE_OFFLINE")
        monkeypatch.setattr(download, "reachable", lambda host, seconds=2.0: False)
        assert "download.pytorch.org does not answer" in image.recipe().init.because
        monkeypatch.setattr(download, "reachable", lambda host, seconds=2.0: True)
        assert image.recipe().init == Pretrained()

    def test_nothing_published(self, shapes: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no weights were published for mobilenet \(version=v1 width=0.25"):
            fit(shapes, tmp_path, model="mobilenet-v1-0.25", init="pretrained")
        with pytest.raises(ConfigError, match="init given is for a network from Python"):
            fit(shapes, tmp_path, model="resnet10", init="given")
        with pytest.raises(ConfigError, match="no weights were published for reference-cnn"):
            fit(shapes, tmp_path, model="reference-cnn", init="pretrained")

    @pytest.mark.parametrize("model", ["resnet18", "timm:test_resnet"])
    def test_offline_the_error_names_the_remedies(self, shapes: Path, tmp_path: Path, model: str) -> None:
        with pytest.raises(
            CheckpointError, match=r"PERVADE_OFFLINE=1 forbids .* --init PATH, .* --init random, .* proxy"
        ):
            fit(shapes, tmp_path, model=model, init="pretrained")

    def test_the_hubs_own_switch_counts_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PERVADE_OFFLINE")
        assert download.offline() is None
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert download.offline() == "HF_HUB_OFFLINE=1"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which this machine serves it."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments: Any) -> None:
            return

    monkeypatch.delenv("PERVADE_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


class TestDownloads:
    def published(self, url: str, digest: str) -> Published:
        return Published("somebody's weights", url, digest, (0.5,) * 3, (0.2,) * 3, ("a", "b"), 32)

    def test_said_before_checked_after_and_kept(self, server: tuple[Path, str]) -> None:
        folder, address = server
        torch.save({"a.weight": torch.rand(3)}, folder / "net-0.pth")
        digest = hashlib.sha256((folder / "net-0.pth").read_bytes()).hexdigest()
        published = self.published(f"{address}/net-0.pth", digest[:8])
        heard: list[str] = []
        with download.announcing(heard.append):
            assert set(published.read().weights) == {"a.weight"}
            published.read()
        assert len(heard) == 1
        assert heard[0].startswith("downloading somebody's weights: ")
        assert f" kB from {address}/net-0.pth to " in heard[0]

    def test_another_file_than_was_published(self, server: tuple[Path, str]) -> None:
        folder, address = server
        (folder / "net-1.pth").write_bytes(b"something else")
        published = self.published(f"{address}/net-1.pth", "00000000")
        with download.announcing(lambda text: None), pytest.raises(CheckpointError, match="is not what was published"):
            published.read()
        assert not published.path.exists()
        assert not list(published.path.parent.glob(".*.tmp"))

    def test_what_a_killed_download_left_is_removed_by_the_next(self, server: tuple[Path, str]) -> None:
        folder, address = server
        torch.save({"a.weight": torch.rand(3)}, folder / "net-3.pth")
        published = self.published(f"{address}/net-3.pth", "")
        left = published.path.parent / f".{published.path.name}.0badcafe.tmp"
        left.mkdir(parents=True)
        (left / published.path.name).write_bytes(b"half")
        with download.announcing(lambda text: None):
            published.read()
        assert not left.exists()

    def test_not_there(self, server: tuple[Path, str]) -> None:
        with pytest.raises(CheckpointError, match=r"(?i)cannot be downloaded .*not found.* --init PATH"):
            self.published(f"{server[1]}/nothing.pth", "").read()

    def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PERVADE_OFFLINE")
        monkeypatch.setenv("no_proxy", "*")
        with pytest.raises(CheckpointError, match=r"cannot be downloaded .* mend the way there"):
            self.published("http://127.0.0.1:9/net-2.pth", "").read()

    def test_without_a_screen_it_goes_to_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        download.announce("downloading something")
        assert capsys.readouterr().err == "downloading something\n"


class TestHub:
    """The Hub is played by its client library's functions; its cache is made here."""

    def test_from_the_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        from pervade.weights.hub import HubRepository

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        folder = tmp_path / "models--owner--name" / "snapshots" / "abc"
        folder.mkdir(parents=True)
        (folder.parents[1] / "refs").mkdir()
        (folder.parents[1] / "refs" / "main").write_text("abc")
        (folder / "config.json").write_text(json.dumps({"id2label": {"0": "x"}}))
        torch.save({"a.weight": torch.rand(2)}, folder / "pytorch_model.bin")
        repository = HubRepository("owner/name")
        assert repository.path.is_file()
        assert repository.read().labels == ("x",)

    def test_a_download_is_said_and_checked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub

        from pervade.weights.hub import HubRepository

        torch.save({"a.weight": torch.rand(2)}, tmp_path / "pytorch_model.bin")
        (tmp_path / "config.json").write_text("{}")
        digest = hashlib.sha256((tmp_path / "pytorch_model.bin").read_bytes()).hexdigest()

        class File:
            def __init__(self, name: str, size: int, sha256: str | None) -> None:
                self.rfilename, self.size = name, size
                self.lfs = type("Lfs", (), {"sha256": sha256}) if sha256 else None

        class Info:
            sha = "abc"
            siblings = (
                File("config.json", 70, None),
                File("pytorch_model.bin", 45_000_000, digest),
                File("README.md", 1_000_000, None),
            )

        monkeypatch.delenv("PERVADE_OFFLINE")
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *a, **k: Info)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, name, revision: str(tmp_path / name))
        heard: list[str] = []
        with download.announcing(heard.append):
            assert set(HubRepository("owner/other").read().weights) == {"a.weight"}
            said = (
                "downloading config.json, README.md, pytorch_model.bin: 46 MB from https://huggingface.co/owner/other"
            )
            assert heard == [said]
            Info.siblings[1].lfs.sha256 = "0" * 64
            with pytest.raises(CheckpointError, match="is not what was published"):
                HubRepository("owner/other").read()
