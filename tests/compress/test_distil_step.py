"""The student that the step makes: the network with fewer layers, half its width, or a model that is named."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from pervade.compress.distil import Blocks, Distil, LayersKept, _half, blocks_of
from pervade.core import files
from pervade.core.contracts import Recipe, Subject, Tokens
from pervade.core.errors import ConfigError
from pervade.init.pretrained import Pretrained
from pervade.init.random import Random
from pervade.models.perceptron import Perceptron
from pervade.models.policy import Policy
from pervade.models.reference_mlp import ReferenceMLP
from pervade.models.resnet import ResNet
from pervade.models.transformer import Transformer
from pervade.tasks import distil
from pervade.tasks.denoise import Denoise
from pervade.testing import check_spec
from pervade.train.augment.fragments import Fragments
from pervade.train.optim.adamw import AdamW
from pervade.weights.checkpoint import Checkpoint
from pervade.weights.transplant import transplant
from tests.subjects import TOKENS, again, answers, pixels, subject

WRITING = Tokens(60, 24, pooled=False, causal=True)
ENCODER = Transformer(width=16, depth=8, heads=2)


def test_a_transformer_keeps_one_layer_in_three_with_its_weights() -> None:
    asked = subject(ENCODER, TOKENS)
    weights = {name: value.clone() for name, value in asked.loaded.network.state_dict().items()}
    (name,) = blocks_of(asked.loaded.network)
    made = Distil()(asked)
    assert made.changes == (LayersKept({name: (0, 7)}),)
    check_spec(made.changes[0])
    check_spec(Distil())
    kept = made.network.state_dict()
    assert {key.removeprefix(f"{name}.").split(".")[0] for key in kept if key.startswith(name)} == {"0", "7"}
    assert all(torch.equal(weights[key], value) for key, value in kept.items())
    assert torch.equal(answers(again(made, ENCODER, TOKENS), TOKENS), answers(made.network, TOKENS))
    # What begins the training finds each layer's weights by its name.
    fresh = made.changes[0].apply(subject(ENCODER, TOKENS).loaded.network)
    for weight in fresh.parameters():
        nn.init.zeros_(weight)
    transplant(fresh, Checkpoint("there", weights, labels=("a", "b", "c")), ("a", "b", "c"))
    assert all(torch.equal(weights[key], value) for key, value in fresh.state_dict().items())
    assert made.learns is not None
    assert made.learns.changes == made.changes and made.learns.init == Pretrained(str(Path("nowhere")))
    assert made.learns.task == distil.Distil(asked.recipe.task, "nowhere")
    assert made.learns.model == asked.recipe.model


def test_layers_are_counted_and_called_by_their_place() -> None:
    blocks = Blocks({0: nn.Linear(1, 1), 4: nn.Linear(2, 2), 9: nn.Linear(3, 3)})
    assert [block.in_features for block in blocks] == [1, 2, 3]
    assert (blocks[1].in_features, blocks[-1].in_features, len(blocks)) == (2, 3, 3)
    assert list(blocks[1:].state_dict()) == ["4.weight", "4.bias", "9.weight", "9.bias"]
    with pytest.raises(ConfigError, match=r"layers-kept: 'body' is no list of blocks"):
        LayersKept({"body": (0,)}).apply(subject(ENCODER, TOKENS).loaded.network)
    with pytest.raises(ConfigError, match=r"'layers' has 2 blocks, and \[0, 2\] of it are to stay"):
        LayersKept({"layers": (0, 2)}).apply(nn.ModuleDict({"layers": nn.ModuleList([nn.Identity(), nn.Identity()])}))


def test_texts_are_taught_by_fragments() -> None:
    asked = subject(ENCODER, TOKENS)
    assert _learnt(Distil(), asked).augment == (), "rows of this domain are pictures"
    for reads, fragments in ((TOKENS, True), (replace(TOKENS, pooled=False), False), (WRITING, False)):
        domain: Any = SimpleNamespace(inputs=lambda reads=reads: reads)
        texts = replace(asked, loaded=replace(asked.loaded, domain=domain))
        assert _learnt(Distil(), texts).augment == ((Fragments(),) if fragments else ())
        assert _learnt(Distil(augment=False), texts).augment == ()
    assert _learnt(Distil(features=0.5), asked).task.features == 0.5  # type: ignore[attr-defined]


def test_a_teacher_that_cannot_write_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"distil\.written: only a language model writes texts, and this is classify"):
        Distil(written=0.5)(subject(ENCODER, TOKENS))


def _learnt(step: Distil, asked: Subject) -> Recipe:
    learns = step(replace(asked, loaded=replace(asked.loaded, network=copy.deepcopy(asked.loaded.network)))).learns
    assert learns is not None
    return learns


def test_fewer_layers_take_a_higher_rate_than_finetuned_all() -> None:
    asked = subject(ENCODER, TOKENS)
    tuned = replace(asked, recipe=replace(asked.recipe, init=Pretrained(), optimizer=AdamW(lr=1e-4)))
    assert _learnt(Distil(), tuned).one_optimizer.lr == pytest.approx(3e-4)
    assert _learnt(Distil(lr=0.5), tuned).one_optimizer.lr == 0.5
    assert _learnt(Distil(), asked).optimizer == asked.recipe.optimizer, "which learnt from random weights"


def test_the_number_of_layers_can_be_set() -> None:
    ((_, kept),) = Distil(layers=3)(subject(ENCODER, TOKENS)).changes[0].kept.items()  # type: ignore[attr-defined]
    assert kept == (0, 4, 7)


def test_convolutions_are_halved() -> None:
    model = ResNet(depth=10, width=16)
    made = Distil()(subject(model, pixels(16)))
    assert made.learns is not None and made.learns.model == replace(model, width=8) and made.changes == ()
    assert isinstance(made.learns.init, Random)
    assert torch.equal(
        answers(again(made, made.learns.model, pixels(16)), pixels(16)), answers(made.network, pixels(16))
    )


def test_an_agents_network_is_halved_or_exchanged_inside_of_what_it_saw() -> None:
    half = _half(Policy(Perceptron((64, 64), "relu"), normalise=False))
    assert half == Policy(Perceptron((32, 32), "relu"), normalise=False)
    assert _half(Policy()) is None and _half(Perceptron((1,))) == Perceptron((1,))
    asked = subject(ENCODER, TOKENS)
    acting = replace(asked, recipe=replace(asked.recipe, model=Policy(Perceptron((64,)), normalise=False)))
    assert Distil("perceptron")._model(acting) == Policy(Perceptron(), normalise=False)
    assert Distil("perceptron")._model(asked) == Perceptron()


def of_pictures() -> Subject:
    return subject(ReferenceMLP(), pixels(16))


def test_first_weights_say_how_a_student_learns() -> None:
    """What finetuned a published network is too slow for random weights; what was learnt from random ones is not."""
    asked = subject(ResNet(depth=10, width=16), pixels(16))
    same = Distil()(asked).learns
    assert same is not None and same.optimizer == asked.recipe.optimizer and same.epochs == 3 * asked.recipe.epochs
    tuned = replace(asked, recipe=replace(asked.recipe, init=Pretrained(), optimizer=AdamW(lr=1e-5)))
    other = Distil()(tuned).learns
    assert other is not None and other.optimizer == AdamW(lr=1e-3, weight_decay=0.05)
    own = Distil(lr=0.5, epochs=7)(asked).learns
    assert own is not None and (own.one_optimizer.lr, own.epochs) == (0.5, 7)


@pytest.mark.parametrize(
    ("student", "match"),
    [
        pytest.param(
            "transformer",
            r"the student does not fit: transformer .*; --student takes a smaller network: places-cnn \(107,923\), ",
            marks=pytest.mark.slow,  # every network is counted again, which takes seconds
        ),
        pytest.param(
            "reference-mlp",
            r"has .* weights, and its teacher .*; --student takes a smaller network: places-cnn \(107,923\), ",
            marks=pytest.mark.slow,
        ),
        ("auto", r"no smaller one is known; --student takes a smaller network: places-cnn \(107,923\), "),
    ],
)
def test_a_student_that_does_not_fit_is_refused_with_those_that_read_the_same(student: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        Distil(student)(of_pictures())
    assert "\n" not in str(caught.value)
    advised = str(caught.value).split("network: ")[1]
    assert "small-cnn (292,051)" in advised
    assert "reference-mlp" not in advised  # the teacher itself
    assert "resnet" not in advised  # which has more weights
    assert "timm" not in advised  # which is none by itself


def test_what_nobody_can_imitate_is_refused() -> None:
    asked = of_pictures()
    with pytest.raises(ConfigError, match="no student can learn denoise from another's answers"):
        Distil()(replace(asked, recipe=replace(asked.recipe, task=Denoise())))


def test_after_another_step_what_that_made_learns_from_where_it_began(tmp_path: Path) -> None:
    asked = subject(ResNet(depth=10, width=16), pixels(16))
    for name, begun in (("best", None), ("prune", "best"), ("prune-sparse", "prune")):
        about = {} if begun is None else {"compressed_from": begun}
        (tmp_path / name).mkdir()
        files.write_json(tmp_path / name / "architecture.json", about)
    loaded = replace(asked.loaded, architecture={"compressed_from": "prune"})
    asked = replace(asked, loaded=loaded, place=tmp_path / "prune-sparse")
    made = Distil()(asked)
    assert made.network is loaded.network and made.learns is not None
    assert made.learns.task == distil.Distil(asked.recipe.task, str(tmp_path / "best"))
    assert made.learns.init == Pretrained(str(tmp_path / "prune-sparse"))
    named = Distil("small-cnn")(asked).learns
    assert named is not None and named.task == made.learns.task
