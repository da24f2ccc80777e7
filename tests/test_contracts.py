"""Walks every registry: what holds for one plug-in holds for all. Adding a file to a package adds it here."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import pervade
from pervade import recipes
from pervade.core import registry, spec
from pervade.core.contracts import Context, Inputs, Model, Observations, Pixels, Tokens, Waveform
from pervade.core.errors import ConfigError, ContractError
from pervade.core.types import Rows
from pervade.data.image import digits
from pervade.domains.image import Image
from pervade.promises.coverage import Coverage
from pervade.recipes import generation, image, rl, sound, synthesis
from pervade.tasks.classify import Classify
from pervade.testing import check_domain, check_model, check_promise, check_recipe, check_spec, check_task

PACKAGE = Path(pervade.__file__).parent

# DESIGN: imports point down only. The root package itself only forwards to the API when something is asked of it.
FLOORS = {
    "core": 0,
    **dict.fromkeys(("metrics", "nn"), 1),
    **dict.fromkeys(("models", "data", "weights"), 2),
    **dict.fromkeys(("domains", "tasks", "agents", "engine", "promises", "testing"), 3),
    **dict.fromkeys(("check", "forecast", "init", "train", "evaluate"), 4),
    **dict.fromkeys(("explain", "attack", "privacy", "compress", "export", "serve"), 4),
    **dict.fromkeys(("api", "run", "recipes", "report", "ui"), 5),
    **dict.fromkeys(("cli", "__main__"), 6),
}
STAGES = {name for name, floor in FLOORS.items() if floor == 4}


def imports() -> list[tuple[str, str, str]]:
    """(file, its part of the package, the part it imports) for every import inside the package, lazy ones too."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        part = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pervade":
                inside = node.module.split(".")[1:]
                names = [inside[0]] if inside else [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [a.name.split(".")[1] for a in node.names if a.name.startswith("pervade.")]
            found += [(str(file.relative_to(PACKAGE)), part, name) for name in names if name != "__version__"]
    return found


def test_every_floor_points_down() -> None:
    seen = imports()
    assert len(seen) > 100
    wrong = [f"{file} imports {to}" for file, part, to in seen if FLOORS[to] > FLOORS[part]]
    assert not wrong


def test_no_stage_imports_another() -> None:
    wrong = [f"{file} imports {to}" for file, part, to in imports() if {part, to} <= STAGES and part != to]
    assert not wrong


def plug_ins() -> list[tuple[str, str]]:
    return [(kind, name) for kind in registry.PACKAGES for name in registry.names(kind) if not name.startswith("toy-")]


@pytest.mark.parametrize(("kind", "name"), plug_ins())
def test_every_spec_survives_json(kind: str, name: str) -> None:
    cls, fields = registry.find(kind, name)
    check_spec(cls(**fields))


PROMISES: dict[str, dict[str, Any]] = {
    "threshold": {"min_recall": {"sick": 0.9}},
    "cost": {"costs": {"well": {"well": 0, "sick": 1}, "sick": {"well": 9, "sick": 0}}},
    "coverage": {"share": 0.9},
    "max-risk": {"share": 0.2},
}


def predicted(rows: int = 400) -> dict[str, Any]:
    """Of two classes, which come as often as their probabilities say."""
    rng = np.random.default_rng(0)
    sick = rng.beta(0.4, 0.6, rows)
    prediction = (sick > 0.5).astype(np.int64)
    return {
        "row": np.arange(rows),
        "id": [str(row) for row in range(rows)],
        "group": np.arange(rows),
        "target": (rng.random(rows) < sick).astype(np.int64),
        "prediction": prediction,
        "label": [PATIENTS.labels[number] for number in prediction],
        "probabilities": np.stack([1 - sick, sick], 1),
    }


PATIENTS = Image(size=8, labels=("well", "sick"), counts=(60, 40), rows=100, mean=(0.5,) * 3, deviation=(0.2,) * 3)


@pytest.mark.parametrize("name", [name for name in registry.names("promise") if not name.startswith("toy-")])
def test_every_promise_is_settled_kept_and_told(name: str) -> None:
    cls, fields = registry.find("promise", name)
    check_promise(cls(**{**fields, **PROMISES[name]}), Classify(), predicted(), PATIENTS)


@registry.register("promise", name="toy-swayed")
@dataclass(frozen=True)
class Swayed(Coverage):
    """One whose answers depend on the rows beside them."""

    def keep(self, table: Any, settled: Any, domain: Any) -> Any:
        return {**super().keep(table, settled, domain), "set": np.full(len(table["row"]), len(table["row"]))}


def test_a_promise_that_looks_at_other_rows_is_refused() -> None:
    with pytest.raises(ContractError, match="'set' of a row depends on the other rows"):
        check_promise(Swayed(), Classify(), predicted(), PATIENTS)


# A change's file is that of the way of tuning that makes it.
@pytest.mark.parametrize("kind", [kind for kind in registry.PACKAGES if kind != "change"])
def test_a_file_is_a_name(kind: str) -> None:
    """Every file of a kind's package registers its own name, and nothing else does."""
    classes = {name: registry.find(kind, name)[0] for name in registry.names(kind, variants=False)}
    own = {name for name, cls in classes.items() if cls.__module__.startswith("pervade.")}
    assert own == {file.replace("_", "-") for file in registry.files(kind)}


# Those that open a library stand for one network of it; hf needs a folder (tests/models/test_hf.py).
LIBRARIES = {"timm": "timm:test_resnet"}
MODELS = [LIBRARIES.get(name, name) for kind, name in plug_ins() if kind == "model" and name != "hf"]
# What reads texts, with the outputs it is asked for; all others read pictures.
READERS = {
    name: {"logits": 50} if name.startswith("gpt") else {"logits": 5}
    for name in MODELS
    if name.startswith(("gpt", "transformer", "text-cnn"))
}
# What hears sounds; the same.
HEARERS = [name for name in MODELS if name.startswith(("sound-cnn", "conformer"))]
# What makes sounds, of codes (tests/nn/test_dilated.py).
MAKERS = [name for name in MODELS if name.startswith("wavenet")]
# What makes pictures (tests/models/test_vq_vae.py, test_denoisers.py, test_adversaries.py).
PAINTERS = [name for name in MODELS if name.startswith(("vq-vae", "unet", "diffus", "dit", "dcgan", "sngan"))]
# What is given several inputs, each member its own (tests/test_blend.py).
TOGETHER = ["blend"]
# What counts (tests/data/test_kneser_ney.py): its tables are as long as what was seen, which "meta" does not know.
COUNTERS = ["ngram"]
SEERS = [name for name in MODELS if name not in (*READERS, *HEARERS, *MAKERS, *PAINTERS, *TOGETHER, *COUNTERS)]
SOUNDS = Waveform(8000, 8000, True)
TEXTS = Tokens(50, 16)
# What differs from another in the number of blocks or filters only, or not at all: built without numbers.
ALIKE = {"convnext", "vit", "resnet", "resnet34", "mobilenet", "inception-v3", "vit-small", "vit-base"}
ALIKE |= {f"convnext-{size}" for size in ("femto", "pico", "nano", "tiny", "small", "base")}
ALIKE |= {"conformer", "conformer-small", "conformer-medium"}
SIDES = {"alexnet": 63, "inception": 75, "inception-v3": 75}  # pixels, where 32 are too few
SIDES |= {"nature-cnn": 36, "nature-cnn-small": 36, "policy": 36}
# What reads numbers as well, and is asked for what an agent does.
ACTORS = ("perceptron", "policy")
ASKED = (
    {"logits": 5, "value": 1},
    {"value": 3},
    {"advantage": 3, "state": 1},
    {"mean": 2, "log_deviation": 2, "value": 1},
)


def pictures(name: str, channels: int) -> Pixels:
    side = SIDES.get(name, 32)
    return Pixels((channels, side, side), (0.5,) * channels, (0.25,) * channels)


@pytest.mark.parametrize("name", [name for name in SEERS if name not in ALIKE])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_model_takes_a_step(name: str, channels: int) -> None:
    """Every parameter gets a finite gradient; in evaluation a row does not depend on its neighbours."""
    cls, fields = registry.find("model", name)
    inputs = pictures(name, channels)
    torch.manual_seed(0)
    batch = {"row": torch.arange(4), "input": torch.rand(4, *inputs.shape)}
    check_model(cls(**fields), inputs, {"logits": 5}, batch)


@pytest.mark.parametrize("name", [name for name in READERS if "-" not in name or name.endswith("-tiny")])
def test_every_reader_takes_a_step(name: str) -> None:
    cls, fields = registry.find("model", name)
    torch.manual_seed(0)
    batch = {"row": torch.arange(4), "input": torch.randint(1, 50, (4, 9))}
    check_model(cls(**fields), TEXTS, READERS[name], batch)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", [name for name in HEARERS if name not in ALIKE])
def test_every_hearer_takes_a_step(name: str, masked: bool) -> None:
    cls, fields = registry.find("model", name)
    torch.manual_seed(0)
    batch = {"row": torch.arange(4), "input": 0.1 * torch.randn(4, 1, 8000)}
    if masked:
        batch["mask"] = torch.arange(8000)[None] < torch.tensor([[8000], [7000], [5001], [400]])
    check_model(cls(**fields), SOUNDS, {"logits": 5}, batch)


@pytest.mark.parametrize("name", ["conformer-tiny", "sound-cnn"])
def test_what_answers_for_every_frame_takes_a_step(name: str) -> None:
    cls, fields = registry.find("model", name)
    torch.manual_seed(0)
    batch = {"row": torch.arange(2), "input": 0.1 * torch.randn(2, 1, 4000)}
    batch["mask"] = torch.arange(4000)[None] < torch.tensor([[4000], [2345]])
    inputs = Waveform(8000, None, False)
    check_model(cls(**fields), inputs, {"logits": 5}, batch)
    network = cls(**fields).build(inputs, {"logits": 5}).eval()
    with torch.no_grad():
        whole, alone = network(batch["input"], batch["mask"]), network(batch["input"][1:, :, :2345])
    assert whole["frames"][1].sum() == alone["frames"].sum() == alone["logits"].shape[1]
    assert torch.allclose(whole["logits"][1][whole["frames"][1]], alone["logits"][0], atol=1e-5)


@pytest.mark.parametrize("outputs", ASKED, ids=lambda each: "-".join(each))
@pytest.mark.parametrize("name", [*ACTORS, "nature-cnn"])
def test_every_actor_takes_a_step(name: str, outputs: dict[str, int]) -> None:
    cls, fields = registry.find("model", name)
    if "log_deviation" in outputs:
        name = "policy" if name == "perceptron" else name
        cls, fields = registry.find("model", "policy")
    inputs: Inputs = Observations((7,)) if name in ACTORS else pictures(name, 4)
    torch.manual_seed(0)
    check_model(cls(**fields), inputs, outputs, {"row": torch.arange(4), "input": torch.rand(4, *inputs.shape)})


@pytest.mark.parametrize("outputs", [{"span": 2}, {"logits": 50}])
def test_an_encoder_answers_for_every_token(outputs: dict[str, int]) -> None:
    cls, fields = registry.find("model", "transformer-tiny")
    torch.manual_seed(0)
    batch = {"row": torch.arange(4), "input": torch.randint(1, 50, (4, 9))}
    inputs = replace(TEXTS, pooled=False)
    check_model(cls(**fields), inputs, outputs, batch)
    output = cls(**fields).build(inputs, outputs)(batch["input"])
    assert {name: tuple(each.shape) for name, each in output.items()} == {n: (4, 9, k) for n, k in outputs.items()}


def test_every_model_says_what_it_reads() -> None:
    ours = [registry.find("model", file.replace("_", "-"))[0] for file in registry.files("model")]
    assert [cls.__name__ for cls in ours if "reads" not in vars(cls)] == []


@pytest.mark.parametrize("name", READERS)
def test_every_reader_gives_what_is_asked(name: str) -> None:
    cls, fields = registry.find("model", name)
    with torch.device("meta"):
        network = cls(**fields).build(TEXTS, READERS[name]).eval()
        output = network(torch.zeros(2, 9, dtype=torch.int64))["logits"]
    assert output.shape == ((2, 9, 50) if name.startswith("gpt") else (2, 5))


@pytest.mark.parametrize("name", [name for name in SEERS if not name.startswith("timm:")])
def test_every_model_gives_what_is_asked(name: str) -> None:
    cls, fields = registry.find("model", name)
    with torch.device("meta"):
        network = cls(**fields).build(pictures(name, 3), {"logits": 5}).eval()
        output = network(torch.empty(2, *pictures(name, 3).shape))
    assert {key: tuple(value.shape) for key, value in output.items()} == {"logits": (2, 5)}


def has_batch_norm(network: nn.Module) -> bool:
    return any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in network.modules())


@pytest.mark.parametrize("loss", ["cross-entropy", "mse"])
@pytest.mark.parametrize("name", ["reference-cnn", "reference-mlp", "resnet18", "convnext-atto", "vit-tiny"])
def test_loss_and_gradient_do_not_depend_on_the_cut(name: str, loss: str) -> None:
    """Batch normalisation in training mode is the named exception: such models are checked in evaluation mode."""
    cls, fields = registry.find("model", name)
    domain = Image(size=16, labels=("a", "b", "c"), mean=(0.5,) * 3, deviation=(0.25,) * 3)
    task = image.Classify(loss_name=loss, smoothing=0.1)
    torch.manual_seed(0)
    network = cls(**fields).build(domain.inputs(), task.outputs(domain))
    batch = {"row": torch.arange(6), "input": torch.rand(6, 3, 16, 16), "target": torch.arange(6) % 3}
    check_task(task, network, batch, Context(domain))


def test_image_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "cache"))
    fitted, rows = check_domain(Image(size=8, channels=1), digits.write(tmp_path / "digits"))
    assert fitted.labels == tuple("0123456789")
    assert len(rows) == 1797


@pytest.mark.parametrize("model", [None, *SEERS])
def test_every_recipe_survives_json(model: str | None) -> None:
    check_recipe(image.recipe(model))


@pytest.mark.parametrize("model", [None, *HEARERS])
def test_every_recipe_of_sound_survives_json(model: str | None) -> None:
    check_recipe(sound.recipe(model))


@pytest.mark.parametrize("model", [None, *MAKERS])
def test_every_recipe_that_makes_sounds_survives_json(model: str | None) -> None:
    check_recipe(synthesis.recipe(model))


@pytest.mark.parametrize("model", PAINTERS)
def test_every_recipe_that_makes_pictures_survives_json(model: str) -> None:
    check_recipe(generation.recipe(model))


@pytest.mark.parametrize("make", [rl.ppo, rl.ppo_pictures, rl.dqn, rl.dqn_pictures])
def test_every_recipe_that_acts_survives_json(make) -> None:
    recipe = make()
    check_recipe(recipe)
    # So many steps as are asked for, in passes of many.
    whole = rl.for_steps(recipe, 1_000_000)
    each = recipe.source.steps_per_pass(recipe.domain.environments)
    assert 1_000_000 - each < whole.epochs * each + getattr(recipe.source, "begin", 0) <= 1_000_000


def test_every_task_has_a_recipe() -> None:
    for name, (module, description) in recipes.tasks().items():
        assert description
        check_recipe(module.recipe(None, name))


class TestTheChecksThemselves:
    """A check that cannot fail checks nothing."""

    def test_unused_parameter(self) -> None:
        class Unused(Model):
            def build(self, inputs, outputs):
                class Network(nn.Module):
                    def __init__(self):
                        super().__init__()
                        self.used, self.unused = nn.Linear(2, 3), nn.Linear(2, 3)

                    def forward(self, input, mask=None):
                        return {"logits": self.used(input)}

                return Network()

        with pytest.raises(ContractError, match="unused"):
            check_model(
                Unused(), Observations((2,)), {"logits": 3}, {"row": torch.arange(2), "input": torch.rand(2, 2)}
            )

    def test_loss_that_is_a_mean(self) -> None:
        class Mean(image.Classify):
            def loss(self, output, batch):
                return {"loss": super().loss(output, batch)["loss"].mean().expand(len(batch["row"]))}

        domain = Image(size=16, labels=("a", "b"), mean=(0.5,) * 3, deviation=(0.25,) * 3)
        network = image.ReferenceMLP((8,)).build(domain.inputs(), {"logits": 2})
        batch = {"row": torch.arange(6), "input": torch.rand(6, 3, 16, 16), "target": torch.arange(6) % 2}
        with pytest.raises(ContractError, match="cut"):
            check_task(Mean(), network, batch, Context(domain))

    def test_unregistered_names_are_refused(self) -> None:
        with pytest.raises(ConfigError, match="unknown model"):
            spec.decode({"use": "os.system"}, Model)


def test_rows_keep_their_numbers() -> None:
    rows = Rows({"id": list("abcdef")}).select([4, 1, 5]).select([2, 0])
    assert [row["row"] for row in rows] == [5, 4]
    assert np.array_equal(rows.column("id"), ["f", "e"])
