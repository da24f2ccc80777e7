"""What tasks have in common that make pictures: seeds, what is written of a picture, and what is shown."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from pervade.core.contracts import Context
from pervade.core.errors import ConfigError, DataError
from pervade.core.types import Rows
from pervade.data.read import division
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.engine import judging
from pervade.engine.generation import GeneratesPictures, PictureSampling, noise, noise_between
from pervade.engine.predictions import read_columns
from pervade.engine.predictor import MOST_AT_ONCE, Predictor, _pieces
from pervade.run.configuring import sampled
from pervade.tasks.adversarial_generation import AdversarialGeneration
from pervade.tasks.denoise import Denoise
from pervade.tasks.reconstruct import Reconstruct
from tests.painter import Painter, Painting

DOMAIN = GeneratedPictures(size=4, channels=3, labels=("cat", "dog"), condition="label")


def painted(domain: GeneratedPictures) -> tuple[torch.nn.Module, Context]:
    network = Painter().build(domain.inputs(), Painting().outputs(domain)).eval()
    with torch.no_grad():
        for number in range(len(network.middle)):
            network.middle[number] = 0.3 + 0.2 * number
    return network, Context(domain)


def made(task: Painting, labels: list[str], batch_size: int) -> dict[str, np.ndarray]:
    network, context = painted(DOMAIN)
    rows = division.rows([row for number, label in enumerate(labels, 1) for row in context.domain.asked(label, number)])
    table = Predictor(network, DOMAIN, task, {}, batch_size=batch_size, targets=False).table(rows)
    return {name: np.asarray(values) for name, values in table.items()}


def test_noise_hangs_on_seed_and_salt_alone() -> None:
    drawn = noise(torch.tensor([5, 6, 5]), (3, 2))
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])
    assert torch.equal(noise(torch.tensor([6]), (3, 2))[0], drawn[1])
    assert not torch.equal(noise(torch.tensor([5]), (3, 2), salt=1)[0], drawn[0])
    many = noise(torch.arange(2000), (8,))
    assert abs(many.mean()) < 0.03 and abs(many.std() - 1) < 0.03
    # Neighbouring seeds have nothing in common.
    assert abs(np.corrcoef(many[:-1].flatten(), many[1:].flatten())[0, 1]) < 0.03


def test_between_two_noises_the_deviation_stays() -> None:
    seeds, others = torch.arange(2000), torch.arange(2000) + 10_000
    ends = [noise_between(seeds, others, torch.full((2000,), share), (8,)) for share in (0.0, 1.0)]
    assert torch.allclose(ends[0], noise(seeds, (8,)), atol=1e-6)
    assert torch.allclose(ends[1], noise(others, (8,)), atol=1e-6)
    middle = noise_between(seeds, others, torch.full((2000,), 0.5), (8,))
    assert abs(middle.std() - 1) < 0.03


def test_a_picture_is_the_same_in_every_batch() -> None:
    labels = ["cat", "dog", "dog", "cat", "dog"]
    whole, single = made(Painting(), labels, 64), made(Painting(), labels, 1)
    assert np.array_equal(whole["picture"], single["picture"])
    assert whole["seed"].tolist() == [0, 1, 2, 3, 4] and whole["class"].tolist() == [1, 2, 2, 1, 2]
    later = made(Painting(sampling=PictureSampling(seed=3)), ["cat"], 64)  # the fourth by its seed
    assert np.array_equal(later["picture"][0], whole["picture"][3])


def test_what_is_written_of_a_picture_is_the_picture() -> None:
    table = made(Painting(), ["cat", "dog"], 64)
    task = Painting()
    answers = task.answers(table, DOMAIN, 3)
    assert [(each["label"], each["seed"]) for each in answers] == [("cat", 0), ("dog", 1)]
    network, context = painted(DOMAIN)
    exact = task.sample(network, torch.tensor([0, 1]), torch.tensor([1, 2]), context)
    back = torch.from_numpy(judging.made(table, DOMAIN)).permute(0, 3, 1, 2) / 255
    assert (back - exact).abs().max() <= 0.5 / 255 + 1e-6
    media, about = task.media(answers[1])
    assert (media.kind, media.caption, about) == ("png", "dog-1", {"label": "dog", "seed": 1})
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(media.data))), answers[1]["picture"])


@pytest.mark.parametrize(("domain", "rows"), [(DOMAIN, 2), (replace(DOMAIN, condition="none", channels=1), 8)])
def test_what_is_shown_is_made_by_the_first_seeds(domain: GeneratedPictures, rows: int) -> None:
    network, context = painted(domain)
    shown = Painting().made(network, Rows({"id": []}), context)["generated"]
    assert shown["labels"] == (["cat", "dog"] if rows == 2 else [])
    side = 64 + 2
    grid = np.asarray(Pillow.open(io.BytesIO(shown["grid"].data)))
    assert grid.shape[:2] == (rows * side - 2, 8 * side - 2)
    classes = torch.ones(1, dtype=torch.int64) if rows == 2 else torch.zeros(1, dtype=torch.int64)
    first = Painting().sample(network, torch.tensor([0]), classes, context)[0]
    assert np.abs(grid[:64:16, :64:16].reshape(4, 4, -1) / 255 - first.detach().permute(1, 2, 0).numpy()).max() < 0.01
    between = np.asarray(Pillow.open(io.BytesIO(shown["between"].data)))
    assert between.shape[:2] == (8 * side - 2, 8 * side - 2)
    assert np.array_equal(between[:64, :64], grid[:64, :64])  # which begin with the same seed, and the same class
    progress = Painting().progress(network, Rows({"id": []}), context)
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(progress.data)))[:64, :64], grid[:64, :64])


def test_one_picture_is_none_to_learn_from() -> None:
    with pytest.raises(DataError, match="1 picture to learn from cannot show what such pictures have in common"):
        Painting().examine(Rows({"id": ["one"]}))
    with pytest.raises(DataError, match=r"1 picture to learn from \(2 were given, and the others are held out\)"):
        Painting().examine(Rows({"id": ["one", "two"], "split": ["train", "test"]}))


def test_so_many_pixels_are_made_at_once() -> None:
    batch = {"row": torch.arange(64), "input": {"class": torch.ones(64, dtype=torch.int64)}}
    assert [len(piece["row"]) for piece in _pieces(batch, 64, 32 * 32)] == [64]
    assert [len(piece["row"]) for piece in _pieces(batch, 64, MOST_AT_ONCE // 24)] == [24, 24, 16]


class Counting(Painting):
    def judged(self, table, rows, train, context):
        return {**table, "made": np.ones(len(rows))}


def test_what_a_judge_has_no_time_for_is_not_in_the_file(tmp_path: Path) -> None:
    network, context = painted(DOMAIN)
    rows = division.rows(context.domain.asked("cat", 0))
    predictor = Predictor(network, DOMAIN, Counting(), {}, targets=False, train=rows)
    assert predictor.write(tmp_path / "a.parquet", rows, {}).judged
    assert not predictor.write(tmp_path / "b.parquet", rows, {}, judged_by=0.0).judged
    there, left = (read_columns(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert there.keys() - left.keys() == {"made"}
    assert np.array_equal(there["picture"], left["picture"])


@pytest.mark.parametrize(
    ("task", "asked"),
    [
        (AdversarialGeneration, {"steps": 10}),
        (AdversarialGeneration, {"guidance": 0.0}),
        (Denoise, {"truncation": 0.5}),
        (Denoise, {"temperature": 0.5}),
        (Reconstruct, {"sampler": "ddim"}),
    ],
)
def test_what_another_way_takes_is_refused(task: type[GeneratesPictures], asked: dict[str, Any]) -> None:
    name = next(iter(asked))
    with pytest.raises(ConfigError, match=f"sampling.{name} .* is for pictures that .*; leave it out"):
        sampled(task(), asked)
