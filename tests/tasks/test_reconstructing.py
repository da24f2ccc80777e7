"""A vector-quantised autoencoder with a prior on a world that must be solved: bars that lie or stand, by class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pervade import api
from pervade.core.contracts import Canvas, Context
from pervade.core.errors import ConfigError, DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.domains.codebook import Codebook
from pervade.engine.checkpoint import Loaded, load_checkpoint, read_recipe
from pervade.engine.predictions import read_about, read_columns, write_columns
from pervade.engine.predictor import Predictor
from pervade.models.gpt import GPT
from pervade.models.vq_vae import VQVAE
from pervade.nn.sampling import draw
from pervade.recipes import generation
from pervade.run import workflow
from pervade.run.configuring import configure
from pervade.tasks.language_model import LanguageModel
from pervade.tasks.reconstruct import Reconstruct
from pervade.testing import check_spec, check_task
from tests.data.drawing import class_folders
from tests.toys.base import ToyDomain, toy, toy_recipe

SIDE = 8
FREQUENT = 0.8  # of the lying bars, those in the upper half


def bar(of: int, low: bool, offset: int) -> np.ndarray:
    """(SIDE, SIDE): lying (class 1) or standing (2), in the upper or left half, or the other."""
    picture = np.zeros((SIDE, SIDE), np.float32)
    picture[1 + offset + 4 * low, :] = 1
    return picture if of == 1 else picture.T


@toy("domain", "toy-bars")
class Bars(ToyDomain):
    target: str = "class"
    labels: tuple[str, ...] = ("lying", "standing")
    counts: tuple[int, ...] = (200, 200)
    rows: int = 400
    channels: int = 1
    mean: tuple[float, ...] = (0.125,)
    deviation: tuple[float, ...] = (0.33,)

    def make(self, rng):
        of, low, offset = rng.integers(1, 3, 400), rng.random(400) > FREQUENT, rng.integers(0, 2, 400)
        made = [bar(*each).tolist() for each in zip(of, low, offset, strict=True)]
        return {"picture": made, "of": of.tolist()}

    def transform(self, row, rng):
        told = {"class": row["of"], "seed": row["row"]}
        return [{"pixels": np.asarray(row["picture"], np.float32)[None], **told} if "picture" in row else told]

    def collate(self, examples):
        columns = {name: torch.from_numpy(np.stack([each[name] for each in examples])) for name in examples[0]}
        seed = columns.pop("seed")
        return {"input": columns, "seed": seed}

    def inputs(self):
        return Canvas((1, SIDE, SIDE), 2)


@toy("task", "toy-reconstruct")
class Unjudged(Reconstruct):
    def before(self, rows, domain):
        return {}

    def judged(self, table, rows, train, context):
        return table


def recipe(**settings: Any):
    prior = replace(toy_recipe(Codebook(), LanguageModel(), GPT(32, 1, 2), lr=0.01, epochs=24), test=0.1)
    network = VQVAE(width=16, blocks=1, codes=8, dimension=4, decay=0.9)
    about = {"epochs": 30, "average": 0.9, "then": prior, **settings}
    return toy_recipe(Bars(), Unjudged(), network, lr=0.01, **about)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    torch.set_num_threads(1)
    folder = RunDirectory(tmp_path_factory.mktemp("bars"))
    workflow.begin(folder, recipe(), workflow.Request("bars"))
    workflow.train(folder, workflow.requested(folder))
    return folder


@pytest.fixture(scope="module")
def loaded(run: RunDirectory) -> Loaded:
    return load_checkpoint(run, "last")


@pytest.fixture(scope="module")
def measured(run: RunDirectory, loaded: Loaded) -> dict[str, Any]:
    rows = workflow.load_rows(run, loaded.domain).where("split", "test")
    path = run.predictions("last", "test")
    Predictor.of(loaded).write(path, rows, {})
    return read_columns(path)


def made(loaded: Loaded, seeds: list[int], of: int) -> torch.Tensor:
    context = Context(loaded.domain, members=loaded.members)
    with torch.inference_mode():
        return loaded.task.sample(loaded.network, torch.tensor(seeds), torch.full((len(seeds),), of), context)


def kinds() -> Iterator[tuple[int, bool, np.ndarray]]:
    yield from ((of, low, bar(of, low, offset)) for of in (1, 2) for low in (False, True) for offset in (0, 1))


def seen_as(picture: torch.Tensor) -> tuple[int, bool] | None:
    """Of which class and half a picture is, None where it is none that there are."""
    near = [(of, low) for of, low, kind in kinds() if np.abs(picture[0].numpy() - kind).max() < 0.5]
    return near[0] if near else None


def test_what_is_made_again_is_what_there_was(measured: dict[str, Any], loaded: Loaded) -> None:
    metrics = loaded.task.metrics(loaded.domain)
    every = np.ones(len(measured["row"]))
    assert metrics["psnr"].compute(measured, every) > 20
    # Eight pictures, of which half are rare: 1 bit for the offset, 0.72 for the half; all but the first code follow.
    assert metrics["bits_per_code"].compute(measured, every) * 4 == pytest.approx(1.72, abs=0.3)
    again = measured["again"].reshape(-1, SIDE, SIDE) / 255
    assert (10 * np.log10(1 / ((again - pictures(measured)) ** 2).mean((1, 2)))).mean() == pytest.approx(
        metrics["psnr"].compute(measured, every), abs=0.5
    )


def pictures(measured: dict[str, Any]) -> np.ndarray:
    rows, _ = Bars().read(None)
    return np.array([rows.column("picture")[row] for row in measured["row"]])


def test_what_is_drawn_follows_what_was_learnt(run: RunDirectory, loaded: Loaded) -> None:
    rows = workflow.load_rows(run, loaded.domain).where("split", "train")
    for of in (1, 2):
        learnt = [seen_as(torch.tensor([picture])) for picture in rows.where("of", of).column("picture")]
        seen = [seen_as(picture) for picture in made(loaded, list(range(300)), of)]
        right = [each for each in seen if each is not None and each[0] == of]
        assert len(right) > 280
        frequent = [np.mean([not low for _, low in those]) for those in (right, learnt)]
        assert frequent[0] == pytest.approx(frequent[1], abs=0.08)


def test_a_picture_hangs_on_its_seed_and_class_alone(loaded: Loaded, measured: dict[str, Any]) -> None:
    together = made(loaded, [5, 6, 7], 1)
    assert torch.allclose(made(loaded, [6], 1)[0], together[1], atol=1e-6)
    assert torch.equal(made(loaded, [5, 6, 7], 1), together)
    assert not torch.equal(made(loaded, list(range(20)), 2), made(loaded, list(range(20)), 1))
    own = np.flatnonzero(measured["class"] == 1)[:3]
    again = made(loaded, [int(measured["seed"][place]) for place in own], 1)
    shown = measured["picture"][own].reshape(-1, 1, SIDE, SIDE) / 255
    assert np.abs(again.numpy() - shown).max() <= 0.5 / 255 + 1e-6


def test_rows_to_be_made_need_no_pixels(loaded: Loaded) -> None:
    rows = Rows({"id": ["a", "b"], "of": [1, 2]})
    table = Predictor.of(loaded, targets=False).table(rows)
    assert set(table) == {"row", "seed", "class", "picture"} and table["picture"].shape == (2, SIDE * SIDE)


def test_a_low_temperature_draws_what_is_frequent(loaded: Loaded) -> None:
    calm = replace(loaded.task, sampling=replace(loaded.task.sampling, temperature=0.05))
    seen = [seen_as(picture) for picture in made(replace(loaded, task=calm), list(range(50)), 1)]
    assert seen == [(1, False)] * 50


def test_the_codebook_is_told(loaded: Loaded, measured: dict[str, Any]) -> None:
    told = loaded.task.details(measured, Rows({"id": []}), loaded.domain)["codebook"]
    codes = measured["codes"]
    assert told["codes"] == 8 and told["used"] == len(np.unique(codes)) <= 8
    assert 1 < told["perplexity"] <= told["used"]


def test_without_a_prior_nothing_is_made(loaded: Loaded) -> None:
    with pytest.raises(ConfigError, match="no prior over this run's codes"):
        made(replace(loaded, members={}), [0], 1)
    batch = loaded.domain.collate(loaded.domain.transform({"picture": bar(1, False, 0), "of": 1, "row": 0}, None))
    batch["row"] = torch.tensor([0])
    with torch.inference_mode():
        context = Context(loaded.domain)
        table = loaded.task.predictions(loaded.task.infer(loaded.network, batch, context), batch, context)
    assert {"picture", "bits"}.isdisjoint(table) and {"codes", "again"} <= set(table)


def test_a_class_that_was_not_learnt_is_refused(loaded: Loaded) -> None:
    with pytest.raises(DataError, match="the prior learnt no class 3; there are 2"):
        made(loaded, [0], 3)


def test_a_codebook_larger_than_the_data_is_refused(tmp_path: Path) -> None:
    asked = recipe()
    asked = replace(asked, model=replace(asked.model, codes=2000))
    folder = RunDirectory(tmp_path / "run")
    workflow.begin(folder, asked, workflow.Request("bars"))
    with pytest.raises(ConfigError, match=r"2,000 is more than .* 400 training pictures of 4 each.*codes=1600 or less"):
        workflow.train(folder, workflow.requested(folder))


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("model.codes=500", "500 is more than there are patches .*: 20 training pictures of 4"),
        ("domain.size=10", "10 x 10"),
    ],
)
def test_it_is_refused_before_a_judge_learns(setting: str, fault: str, tmp_path: Path) -> None:
    settings = ["domain.size=8", "model.codes=8", "validation=0.2", "test=0.2", setting]
    asked = {"task": "unconditional-image-generation", "model": "vq-vae", "settings": settings}
    with pytest.raises(ConfigError, match=fault):
        api.fit(class_folders(tmp_path / "data", count=16), runs=tmp_path, name="run", **asked)
    assert not (tmp_path / "run" / "members").exists()


def test_the_prior_is_run_as_its_run_is(tmp_path: Path) -> None:
    """By the same seed, in what of a time limit is not for measuring both."""
    asked = recipe(epochs=1, seed=5, time_limit=600.0, threads=1)
    asked = replace(asked, then=replace(asked.then, epochs=1))
    folder = RunDirectory(tmp_path / "run")
    workflow.begin(folder, asked, workflow.Request("bars"))
    workflow.train(folder, workflow.requested(folder))
    assert folder.checkpoints() == folder.member("then").checkpoints() == ["last"]
    own = read_recipe(folder.member("then").recipe)
    assert (own.seed, own.device, own.workers, own.threads, own.time_limit) == (5, "cpu", 0, 1, 510.0)
    path = folder.predictions("last", "train")
    about = read_about(path)
    # What other weights predicted is written anew.
    write_columns(path, read_columns(path), {**about, "weights": "others"})
    workflow.train(folder, workflow.requested(folder))
    assert read_about(path) == about


def test_a_prior_is_as_much_shorter_as_its_run() -> None:
    usual = generation.quantised(recipe(epochs=100))
    assert usual.then.epochs == 30
    assert configure(usual, epochs=50).then.epochs == configure(usual, ["epochs=50"]).then.epochs == 15
    assert configure(usual, epochs=1).then.epochs == 1
    assert configure(usual, ["then.epochs=7"], epochs=50).then.epochs == 7
    assert configure(usual, seed=3).then.epochs == 30


def test_the_loss_does_not_depend_on_the_cut(loaded: Loaded) -> None:
    rows, _ = Bars().read(None)
    batch = loaded.domain.collate([loaded.domain.transform(rows[i], None)[0] for i in range(6)])
    batch["row"] = torch.arange(6)
    for name in ("squared", "absolute"):
        network = recipe().model.build(Canvas((1, SIDE, SIDE), 2), {"picture": SIDE})
        check_task(Unjudged(loss_name=name), network, batch, Context(Bars()))


class Certain(torch.nn.Module):
    """Foretells by a table of what follows what; it remembers nothing but how often it was asked."""

    def __init__(self, chances: list[list[float]]) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(chances).log())

    def caches(self, rows: int) -> list[Any]:
        return [rows]

    def forward(self, input, caches=None):
        return {"logits": self.logits[input]}


def test_draws_by_hand() -> None:
    """Tokens 0 and 1 are codes, and 2 begins a row."""
    table = Certain([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0], [0.4, 0.5, 0.1]])
    uniform = torch.tensor([[0.3, 0.2, 0.3], [0.5, 0.9, 0.74]])
    # 0.4 and 0.5 of 0.9 are 0.44 and 0.56 where what begins a row is left out.
    assert draw(table, torch.tensor([2, 2]), uniform, 2).tolist() == [[0, 0, 1], [1, 0, 1]]


def test_codes_are_read_as_a_language(tmp_path: Path, run: RunDirectory) -> None:
    rows, _ = Codebook().read(run.predictions("last", "train"))
    domain = Codebook().fit(rows)
    assert (domain.codes, domain.positions, domain.classes) == (8, 4, 2)
    check_spec(domain)
    batch = domain.collate([domain.transform(rows[i], None)[0] for i in range(3)])
    assert torch.equal(batch["input"][:, 1:], batch["target"][:, :-1])
    assert batch["input"][:, 0].tolist() == [8 + rows[i]["class"] for i in range(3)]
    assert domain.inputs().vocabulary == 8 + 2 + 1
    with pytest.raises(DataError, match="holds no column 'codes'"):
        Codebook().read(_other(tmp_path))


def _other(folder: Path) -> Path:
    write_columns(folder / "other.parquet", {"row": np.arange(2), "id": ["a", "b"]}, {})
    return folder / "other.parquet"


def test_the_prior_is_measured_by_itself(run: RunDirectory) -> None:
    from pervade.evaluate.evaluation import evaluate

    prior = run.member("then")
    loaded = load_checkpoint(prior, "last")
    figures = evaluate(prior, loaded, workflow.load_rows(prior, loaded.domain))["metrics"]
    assert 0 < figures["bits_per_code"]["value"] < 1
