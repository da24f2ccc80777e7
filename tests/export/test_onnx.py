"""ONNX graphs answer what the predict loop answers, from what a person has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from PIL import Image as Pillow
from torch import nn

from pervade.compress.int8 import Int8
from pervade.core import registry
from pervade.core.contracts import Subject
from pervade.core.errors import ConfigError
from pervade.core.types import Rows
from pervade.domains.composite import Composite
from pervade.domains.histograms import Histograms
from pervade.domains.image import Image
from pervade.engine.deployment import Deployed
from pervade.export.onnx import Onnx, graph
from pervade.models.blend import Blend
from pervade.models.linear import Linear
from pervade.models.small_cnn import SmallCNN
from pervade.run import standalone
from pervade.run.exporting import exportable, table
from pervade.tasks.classify import Classify
from tests.export import graphs
from tests.small_run import recipe
from tests.subjects import lost

LEARNT = {"labels": ("a", "b", "c"), "counts": (20, 30, 31), "rows": 81}
COLOURS = {"mean": (0.4, 0.5, 0.6), "deviation": (0.2, 0.2, 0.3)}


def pictures(domain: Image, shapes: list[tuple[int, int]]) -> Rows:
    drawn = np.random.default_rng(0)
    pixels = [np.asarray(drawn.integers(0, 256, (*shape, 3)), np.uint8) for shape in shapes]
    return Rows({"id": [str(shape) for shape in shapes], "pixels": pixels})


def test_pictures_are_framed_and_answers_decided_in_the_graph() -> None:
    """The middle is cut out of what is scaled already; temperature and balanced answers are inside."""
    domain = Image(size=16, framing="crop", **LEARNT, **COLOURS)
    loaded = graphs.checkpoint(SmallCNN(width=4), domain, Classify(answering="balanced"), temperature=1.5)
    rows = pictures(domain, [(18, 18), (18, 30), (60, 18), (18, 19)])
    given = graphs.agree(loaded, rows)
    assert given["prediction"].tolist() != given["probabilities"].argmax(1).tolist()  # the prior has a say
    session = graphs.session(loaded)
    batch = np.random.default_rng(1).integers(0, 256, (5, 40, 33, 3)).astype(np.uint8)
    together = graphs.run(session, {"pixels": batch})["probabilities"]
    alone = [graphs.run(session, {"pixels": batch[i : i + 1]})["probabilities"][0] for i in range(5)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_files_far_longer_than_wide_are_seen_as_the_predict_loop_sees_them(tmp_path: Path) -> None:
    """They are scaled before their middle is enlarged from places between two pixels; rounding makes a level or two."""
    domain = Image(size=16, framing="crop", **LEARNT, **COLOURS)
    loaded = graphs.checkpoint(SmallCNN(width=4), domain, Classify())
    session, entrance = graphs.session(loaded), domain.entrance()
    for shape in ((94, 472), (57, 285), (18, 91), (91, 18), (20, 300), (40, 33)):
        drawn = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
        Pillow.fromarray(drawn).save(tmp_path / "a.png")
        examples = domain.transform({"id": "a", "path": str(tmp_path / "a.png")}, None)
        seen = entrance(torch.from_numpy(drawn[None]))["input"][0].mul(255).round().permute(1, 2, 0)
        assert np.abs(seen.numpy() - examples[0]["input"]).max() <= 2, shape
        with torch.inference_mode():
            wanted = loaded.network(domain.collate(examples)["input"])["logits"].softmax(-1).numpy()
        given = graphs.run(session, {"pixels": drawn[None]})["probabilities"]
        np.testing.assert_allclose(given, wanted, rtol=0, atol=2e-3, err_msg=str(shape))


@pytest.mark.slow  # traces counting of histograms twice, in seconds
@pytest.mark.parametrize("larger", [0, 8])
def test_a_blend_reads_a_picture_in_each_ones_way(larger: int) -> None:
    """One input where all see it scaled alike; else one for each, which is the same picture."""
    domain = Image(size=16, margin=1.25, framing="crop", **LEARNT, **COLOURS)
    plain = replace(Histograms.of(domain), deviations=(0.1, 0.2, 0.3, 0.4))
    seen = replace(domain, size=16 + larger, views=2, flip=True)
    blend = Blend({"plain": Linear(), "trained": SmallCNN(width=4)}, {"plain": 0.01, "trained": 0.7})
    loaded = graphs.checkpoint(blend, Composite({"plain": plain, "trained": seen}), Classify(), temperature=1.5)
    given = graphs.agree(loaded, pictures(domain, [(20, 24), (40, 20)]) if not larger else of_two_sides())
    assert given["probabilities"].std() > 0.01
    names = [spec.name for spec in Deployed(loaded).signature.inputs]
    assert names == (["pixels_plain", "pixels_trained"] if larger else ["pixels"])
    compile(standalone.script(loaded.domain, Deployed(loaded).signature, "model.onnx"), "run.py", "exec")


def of_two_sides() -> Rows:
    """Pictures as two parts of a composite have prepared them."""
    drawn = np.random.default_rng(0)
    sides = {"plain": 20, "trained": 30}
    columns = {
        f"{part}/pixels": [drawn.integers(0, 256, (side, side, 3)).astype(np.uint8) for _ in range(2)]
        for part, side in sides.items()
    }
    return Rows({"id": ["a", "b"], **columns})


def test_a_file_is_whole_checked_and_says_nothing_of_this_machine(tmp_path: Path) -> None:
    domain = Image(size=16, framing="squash", **LEARNT, **COLOURS)
    loaded = graphs.checkpoint(SmallCNN(width=4), domain, Classify())
    place = Onnx()(loaded, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.onnx"]
    assert str(Path(__file__).parents[2]).encode() not in place.read_bytes()
    model = onnx.load(place)
    assert [axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim] == [
        "n",
        "height",
        "width",
        3,
    ]
    assert [output.name for output in model.graph.output] == [spec.name for spec in Deployed(loaded).signature.outputs]


@pytest.mark.parametrize("framing", ["pad", "crop", "squash"])
@pytest.mark.slow  # exports and runs a graph each; the framing itself is tested above
def test_pictures_are_framed_before_whole_numbers(framing: Literal["crop", "pad", "squash"]) -> None:
    """ONNX Runtime moves the Transpose that comes first behind what frames only where the network is quantised."""
    domain = Image(size=16, framing=framing, **LEARNT, **COLOURS)
    rows = pictures(domain, [(18, 30), (60, 18), (18, 18)])
    loaded = graphs.checkpoint(SmallCNN(width=4), domain, Classify())
    seen = domain.collate([part for row in rows for part in domain.transform(row, None)])
    subject = Subject(
        loaded, recipe(), Path("nowhere"), lambda: iter([seen]), lambda network: 0.0, lost, lambda line: None
    )
    made = Int8(mode="static")(subject)
    graphs.agree(replace(loaded, network=made.network.eval(), changes=made.changes), rows, tolerance=0.01)


class Choosy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, input: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        mean = input.mean((2, 3))
        return {"logits": self.head(mean) if mean.sum() > 0 else mean}


class Rare(Choosy):
    def forward(self, input: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        return {"logits": torch.special.bessel_j0(self.head(input.mean((2, 3))))}


@pytest.mark.parametrize(
    ("network", "said"), [(Choosy, "takes another way for other values"), (Rare, "no operator for prims.bessel_j0")]
)
def test_what_no_graph_can_is_named_in_a_line(network: type[nn.Module], said: str) -> None:
    domain = Image(size=16, framing="crop", **LEARNT, **COLOURS)
    loaded = graphs.checkpoint(SmallCNN(width=4), domain, Classify())
    loaded = type(loaded)(**{**vars(loaded), "network": network().eval()})
    with pytest.raises(ConfigError, match=said) as caught:
        graph(loaded)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_more_views_than_two_are_refused() -> None:
    domain = Image(size=16, views=5, framing="crop", **LEARNT, **COLOURS)
    with pytest.raises(ConfigError, match="views=5"):
        graph(graphs.checkpoint(SmallCNN(width=4), domain, Classify()))


def test_what_can_be_exported_is_told_from_the_code() -> None:
    """Nothing that is refused whatever the run stands among what can be."""
    can = exportable()
    assert {"classify", "tag", "regress", "answer-span", "transcribe", "ppo", "dqn"} <= set(can["tasks"])
    assert {"dictate", "denoise", "reconstruct", "synthesise"} <= set(can["other tasks"])
    assert {"image", "text", "sound", "bag", "environment"} <= set(can["domains"])
    assert {"histograms", "composite"} <= set(can["domains"])
    assert {"spectral-statistics", "generated-pictures"} <= set(can["other domains"])


def test_the_documented_table_is_the_listed_one() -> None:
    """A row for every task of the package, a column for every form."""
    documented = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text(encoding="utf-8")
    after = documented.partition("`pervade export --list` says")[2].splitlines()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in after if line.startswith("|")]
    own = [row for row in table()[1:] if registry.find("task", row[0])[0].__module__.startswith("pervade.")]
    assert lines[0] == table()[0]
    assert sorted(lines[2 : 2 + len(own)]) == sorted(own)
    told = {row[0]: dict(zip(lines[0], row, strict=True)) for row in own}
    assert told["classify"]["onnx"] == "yes" and told["denoise"]["onnx"] == "no"
    assert told["denoise"]["diffusers"] == told["language-model"]["gguf"] == "some"
