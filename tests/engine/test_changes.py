"""What was done to a network is listed in its checkpoint, and done again on loading, in order: shown by two changes
that only this file knows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import pervade
from pervade.core.contracts import Change, Recipe
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.registry import register
from pervade.engine import building, checkpoint
from pervade.init.pretrained import Pretrained
from pervade.models.reference_mlp import ReferenceMLP
from pervade.recipes import choose
from pervade.run.stopping import Stopped
from pervade.run.training import Options
from pervade.testing import check_spec
from tests.small_run import recipe, same, stop_at, weights

__all__ = ["stop_at"]


@register("change", name="toy-low-rank")
@dataclass(frozen=True)
class LowRank(Change):
    """Every linear layer of the body becomes two, of `rank` numbers between them."""

    rank: int = 2

    def apply(self, network: nn.Module) -> nn.Module:
        for parent in list(network.body.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear):
                    inner = nn.Linear(layer.in_features, self.rank, bias=False)
                    setattr(parent, name, nn.Sequential(inner, nn.Linear(self.rank, layer.out_features)))
        return network


class Scaled(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.scale = layer, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.scale


@register("change", name="toy-scale")
@dataclass(frozen=True)
class Scale(Change):
    """A learnt factor behind every linear layer of the body."""

    def apply(self, network: nn.Module) -> nn.Module:
        for parent in list(network.body.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear):
                    setattr(parent, name, Scaled(layer))
        return network


def small(*changes: Change) -> Recipe:
    return recipe(model=ReferenceMLP(units=(8, 6)), changes=changes, epochs=2)


def trained(shapes: Path, runs: Path, name: str, made: Recipe) -> pervade.Run:
    return pervade.fit(shapes, recipe=made, name=name, runs=runs, options=Options())


def architecture(run: pervade.Run, name: str = "last") -> dict:
    return json.loads((run.directory.checkpoint(name) / "architecture.json").read_text())


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    return trained(shapes, tmp_path_factory.mktemp("changes"), "whole", small(LowRank(), Scale()))


def test_changes_are_applied_saved_loaded_and_measured(run: pervade.Run, shapes: Path) -> None:
    check_spec(LowRank(3))
    listed = [{"use": "toy-low-rank", "rank": 2}, {"use": "toy-scale"}]
    assert architecture(run)["changes"] == listed
    loaded = run.load("last")
    assert loaded.changes == (LowRank(), Scale())
    # Of both layers two factors, each with a factor behind it: 8 are weights, 4 scales.
    names = {name for name in loaded.network.state_dict() if name.startswith("body.")}
    assert sum(name.endswith(".scale") for name in names) == 4
    assert same(loaded.network.state_dict(), weights(run.directory))
    assert run.evaluate("last")["metrics"]["accuracy"]["value"] is not None
    picture = next(shapes.rglob("*.png"))
    assert run.predict(picture, checkpoint="last")[0]["error"] is None


def test_a_stopped_training_goes_on_in_the_changed_network(run, shapes: Path, tmp_path: Path, stop_at) -> None:
    stop_at(3)
    with pytest.raises(Stopped):
        trained(shapes, tmp_path, "stopped", small(LowRank(), Scale()))
    resumed = pervade.resume(tmp_path / "stopped", options=Options())
    assert same(weights(resumed.directory), weights(run.directory))


def test_another_run_goes_on_from_a_changed_checkpoint(run: pervade.Run, shapes: Path, tmp_path: Path) -> None:
    """The recipe that --init chooses has its changes; with no pass its weights are the checkpoint's."""
    chosen = choose(shapes, "image-classification", None, str(run.path))[1]
    assert chosen.changes == (LowRank(), Scale())
    made = replace(small(*chosen.changes), init=Pretrained(str(run.path)), epochs=0)
    on = trained(shapes, tmp_path, "on", made)
    best = {name: value for name, value in weights(run.directory, "best").items() if name.startswith("body.")}
    assert best
    there = weights(on.directory)
    assert all(torch.equal(there[name], value) for name, value in best.items())


def test_what_is_done_to_a_trained_network_stands_behind_its_training(shapes: Path, tmp_path: Path) -> None:
    """As a method of compression does it: a new checkpoint, whose list is the old one's and its own change."""
    run = trained(shapes, tmp_path, "a", small(LowRank()))
    loaded = run.load("last")
    network = Scale().apply(loaded.network)
    changes = (*loaded.changes, Scale())
    checkpoint.save_checkpoint(run.directory, "scaled", network, run.recipe(), loaded.domain, {}, changes=changes)
    again = run.load("scaled")
    assert again.changes == (LowRank(), Scale())
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(again.network(x)["logits"], loaded.network.eval()(x)["logits"])
    assert run.evaluate("scaled")["metrics"] == run.evaluate("last")["metrics"]


def test_the_order_matters(run: pervade.Run) -> None:
    model, domain, task = run.recipe().model, run.load("last").domain, run.recipe().task
    asked = model, domain.inputs(), task.outputs(domain)
    one, other = (
        building.build(*asked, changes=changes).state_dict().keys()
        for changes in ((LowRank(), Scale()), (Scale(), LowRank()))
    )
    found = [sum(name.startswith("body.") and name.endswith(".scale") for name in names) for names in (one, other)]
    assert found == [4, 2]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ([{"use": "toy-scale"}, {"use": "toy-low-rank"}], CheckpointError, "does not fit its architecture"),
        ([{"use": "toy-lowrank"}], ConfigError, r"unknown change 'toy-lowrank'; did you mean 'toy-low-rank'"),
        ([{"use": "toy-low-rank", "ranks": 2}], ConfigError, r"unknown setting '\[0\].ranks'"),
        ([7], CheckpointError, "architecture.json is damaged"),
    ],
)
def test_a_list_that_is_not_the_networks(run: pervade.Run, changes: list, error: type, said: str) -> None:
    path = run.directory.checkpoint("last") / "architecture.json"
    kept = path.read_text()
    path.write_text(json.dumps({**json.loads(kept), "changes": changes}))
    try:
        with pytest.raises(error, match=said) as caught:
            run.load("last")
    finally:
        path.write_text(kept)
    assert "\n" not in str(caught.value)
    assert "checkpoints/last" in str(caught.value)
