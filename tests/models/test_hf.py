"""Image classifiers of the library transformers, from folders that are made here; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from pervade.core import spec
from pervade.core.contracts import Model, Pixels, Tokens
from pervade.core.errors import CheckpointError, ConfigError, ResourceError
from pervade.domains.image import Image
from pervade.engine.building import build
from pervade.init.pretrained import Pretrained
from pervade.testing import check_model, check_spec
from pervade.weights import locate

DOMAIN = Image(size=32, labels=("cat", "dog", "owl"), mean=(0.4,) * 3, deviation=(0.2,) * 3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vit and resnet, tiny, with random weights, as `save_pretrained` writes them."""
    import transformers as library

    root = tmp_path_factory.mktemp("hub")
    names = dict(enumerate(("owl", "cat", "dog")))
    configs = {
        "vit": library.ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=8,
        ),
        "resnet": library.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    }
    for name, config in configs.items():
        config.num_labels = 3
        config.id2label, config.label2id = names, {label: i for i, label in names.items()}
        torch.manual_seed(1)
        library.AutoModelForImageClassification.from_config(config).save_pretrained(root / name)
        settings = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
        (root / name / "preprocessor_config.json").write_text(json.dumps(settings))
    return root


def pictures(side: int = 32, channels: int = 3) -> dict[str, list]:
    return Pixels((channels, side, side), (0.5,) * channels, (0.25,) * channels)


def model(path: Path) -> Model:
    return spec.decode(f"hf:{path}", Model)


@pytest.mark.parametrize("name", ["vit", "resnet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_takes_a_step(folders: Path, name: str, channels: int) -> None:
    batch = {"row": torch.arange(4), "input": torch.rand(4, channels, 32, 32)}
    check_model(model(folders / name), pictures(32, channels), {"logits": 3}, batch)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_its_weights_give_its_numbers(folders: Path, name: str) -> None:
    """Body and head, the head's classes put into our order, on pixels normalised as the checkpoint says."""
    import transformers as library

    init, chosen = Pretrained(str(folders / name)), model(folders / name)
    domain = init.adapt(DOMAIN, chosen)
    assert (domain.mean, domain.deviation) == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    network = chosen.build(domain.inputs(), {"logits": 3})
    started = init.apply(network, chosen, domain)
    assert not started.left_out
    assert not started.new
    original = library.AutoModelForImageClassification.from_pretrained(folders / name).eval()
    x = torch.rand(2, 3, 32, 32)
    normal = (x - torch.tensor(domain.mean).view(3, 1, 1)) / torch.tensor(domain.deviation).view(3, 1, 1)
    with torch.no_grad():
        expected = original(pixel_values=normal).logits[:, [1, 2, 0]]
        torch.testing.assert_close(network.eval()(x)["logits"], expected, rtol=1e-4, atol=1e-5)


def test_other_sizes_stretch_the_positions(folders: Path) -> None:
    init, chosen = Pretrained(str(folders / "vit")), model(folders / "vit")
    network = chosen.build(pictures(48), {"logits": 2})
    started = init.apply(network, chosen, Image(size=48, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.2,) * 3))
    assert "stretched from 4 x 4 to 6 x 6 places" in started.summary
    assert "the head is new (3 classes there, 2 here)" in started.summary
    assert [each.partition(":")[0] for each in started.new] == ["head.logits.weight", "head.logits.bias"]


def test_the_config_is_all_it_takes(folders: Path, tmp_path: Path) -> None:
    """The spec builds, and survives JSON, after the folder is gone; names of classes are not kept."""
    copy = tmp_path / "copy"
    shutil.copytree(folders / "vit", copy)
    made = model(copy)
    shutil.rmtree(copy)
    check_spec(made)
    again = spec.decode(json.loads(json.dumps(spec.encode(made))), Model)
    assert again.build(pictures(), {"logits": 2})(torch.rand(1, 3, 32, 32))["logits"].shape == (1, 2)
    assert "id2label" not in spec.encode(made)["config"]


class TestRefusals:
    def test_code_in_the_config(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "auto_map": {"AutoModel": "code.py"}}))
        with pytest.raises(ConfigError, match=r"code of its own .* no code runs from a file"):
            model(tmp_path)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"model_type": "bert"}, "is of the kind 'bert', no image classifier; did you mean 'beit'"),
            ({"model_type": "timm_wrapper", "architecture": "resnet50"}, "take --model timm:resnet50"),
            ({}, "is of the kind 'None', no image classifier"),
        ],
    )
    def test_other_kinds(self, tmp_path: Path, settings: dict, message: str) -> None:
        (tmp_path / "config.json").write_text(json.dumps(settings))
        with pytest.raises(ConfigError, match=message):
            model(tmp_path).build(pictures(), {"logits": 2})

    def test_a_damaged_config(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(CheckpointError, match=r"config.json is damaged"):
            model(tmp_path)

    def test_a_folder_without_config(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"the folder holds no config.json"):
            model(tmp_path)

    def test_no_name(self) -> None:
        with pytest.raises(ConfigError, match="--model hf:microsoft/resnet-18"):
            spec.decode("hf", Model).build(pictures(), {"logits": 2})

    def test_offline(self) -> None:
        with pytest.raises(CheckpointError, match=r"PERVADE_OFFLINE=1 forbids downloads; copy .* name it hf:FOLDER"):
            spec.decode("hf:nobody/nothing-that-is-there", Model)

    def test_no_such_name_can_be(self) -> None:
        with pytest.raises(CheckpointError, match="neither a folder that is there nor a name on the Hugging Face Hub"):
            spec.decode("hf:a/b/c", Model)


class TestHostileConfigs:
    """A config.json may ask for anything. It is refused in one line before memory or time is spent on it: as a model's
    folder, and in the recipe of a run that was received."""

    @pytest.mark.parametrize("received", [False, True])
    @pytest.mark.parametrize(
        ("kind", "settings", "message"),
        [
            ("vit", {"num_hidden_layers": 10**7}, r"asks for 10,000,000 layers \(num_hidden_layers\)"),
            ("resnet", {"depths": [1, 10**7]}, r"asks for 10,000,000 layers \(depths\)"),
            ("vit", {"vision_config": {"num_hidden_layers": 1e300}}, "asks for 1e.300 layers"),
            ("vit", {"hidden_size": 10**6, "num_attention_heads": 10}, "weights of hf:.* take more than"),
            ("bert", {"vocab_size": 10**10}, "weights of hf:.* take more than"),
            ("bert", {"max_position_embeddings": 10**10}, "weights of hf:.* take more than"),
            ("bert", {"hidden_size": "large"}, "cannot be built from its config.json .*Field 'hidden_size' expected"),
            ("bert", {"num_attention_heads": 0}, "cannot be built from its config.json .*ZeroDivisionError"),
            ("vit", {"hidden_act": "os.system"}, "cannot be built from its config.json"),
            ("vit", {"vision_config": 7}, "cannot be built from its config.json"),
        ],
    )
    def test_in_one_line(self, kind: str, settings: dict, message: str, received: bool, tmp_path: Path) -> None:
        config = {"model_type": kind, **settings}
        (tmp_path / "config.json").write_text(json.dumps(config))
        stored = {"use": "hf", "name": "some/where", "config": {**config, "_name_or_path": "some/where"}}
        texts = Tokens(8, 16)
        inputs = texts if kind == "bert" else pictures()
        with pytest.raises((ConfigError, ResourceError), match=message) as caught:
            build(spec.decode(stored, Model) if received else model(tmp_path), inputs, {"logits": 2})
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("size", [[], "x", None, {"height": 32}])
    def test_a_size_that_is_none(self, size: object, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "image_size": size}))
        with pytest.raises(ConfigError, match=r"image_size .* is no number"):
            _ = model(tmp_path).side

    def test_beside_weights(self, folders: Path, tmp_path: Path) -> None:
        folder = tmp_path / "vit"
        shutil.copytree(folders / "vit", folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 10**7}))
        with pytest.raises(ConfigError, match="asks for 10,000,000 layers"):
            locate.read(folder)
