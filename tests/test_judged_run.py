"""A run that makes pictures, judged the whole way: a small classifier learns first, what is made is measured and kept
as files, by which another evaluator comes to the same figures."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pervade import api, report
from pervade.core import files
from pervade.core.contracts import Context
from pervade.core.errors import ConfigError
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.engine import checkpoint, judging, predictions
from pervade.engine.generation import GeneratesPictures
from pervade.engine.judging import Judge
from pervade.evaluate import evaluation, sides
from pervade.metrics.discrepancy import kernel_distance
from pervade.recipes import generation
from pervade.run import workflow
from tests.painter import Painter, Painting
from tests.toys.base import toy


@toy("task", "toy-measured-painting")
class MeasuredPainting(Painting):
    before, judged, details, metrics = (
        getattr(GeneratesPictures, name) for name in ("before", "judged", "details", "metrics")
    )


def fitted(data: Path, runs: Path, judge: str = "", **domain: object) -> api.Run:
    recipe = generation.general(Painter(), MeasuredPainting(judge=judge), 60)
    recipe = replace(recipe, domain=GeneratedPictures(size=8, **domain), epochs=2, test=0.3)
    run = api.fit(data, recipe=recipe, runs=runs)
    run.evaluate()
    return run


@pytest.fixture(scope="module")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    return fitted(shapes, tmp_path_factory.mktemp("runs"), condition="label")


def test_a_judge_learns_first_and_measures(run: api.Run) -> None:
    result = files.read_json(run.directory.result("evaluate", "last"))
    judge = run.directory.member("judge")
    assert judge.checkpoints() == ["best", "last"]
    assert next(iter(result["metrics"])) == "kernel_distance"
    kernel = result["metrics"]["kernel_distance"]
    assert kernel["low"] < kernel["value"] < kernel["high"]
    assert "a small classifier of the same training split" in kernel["words"]["sentence"]
    detail = result["details"]["floor_and_ceiling"]
    assert detail["floor"]["named_as_asked"] > 0.9 and 2 * detail["n"] == kernel["n"] == result["n"]


def test_torch_fidelity_agrees_on_the_two_folders(run: api.Run) -> None:
    """On the files that are kept, with the judge's features."""
    import torch_fidelity
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    loaded = run.load()
    judge = Judge.of(Context(loaded.domain, members=loaded.members), None)  # type: ignore[arg-type]

    class OfTheJudge(FeatureExtractorBase):  # type: ignore[misc]
        def __init__(self, name: str, features_list: list[str], **more: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("features",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "features"

        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor]:
            return (torch.from_numpy(judge(pictures.permute(0, 2, 3, 1).contiguous().numpy())[0]).double(),)

    torch_fidelity.register_feature_extractor("pervade-judge", OfTheJudge)
    result = files.read_json(run.directory.result("evaluate", "last"))
    folder = run.path / result["details"]["kept"]["folder"]
    theirs = torch_fidelity.calculate_metrics(
        input1=str(folder / "made"),
        input2=str(folder / "real"),
        feature_extractor="pervade-judge",
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=1,
        kid_subset_size=result["n"],
        cuda=False,
        verbose=False,
        cache=False,
        save_cpu_ram=True,
    )
    ours = {name: figure["value"] for name, figure in result["metrics"].items()}
    # Theirs compares all with all, also the two of one row: so do ours together, each pair of rows left out once.
    columns = predictions.read_columns(run.directory.predictions("last", "test"))
    made, real = (np.asarray(columns[name], np.float64) for name in ("made", "real"))
    every = np.mean([kernel_distance(made, np.roll(real, by, 0)) for by in range(len(real))])
    assert every == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    assert ours["kernel_distance"] == pytest.approx(kernel_distance(made, real))
    assert ours["frechet_distance"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert ours["precision"] == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours["recall"] == pytest.approx(theirs["recall"], abs=1e-6)


def test_the_page_shows_it_between_the_real_data_and_chance(run: api.Run) -> None:
    report.write(run.directory)
    page = run.directory.report.read_text(encoding="utf-8")
    for title in ("Between the real data and chance", "Is it what was asked for?", "New, or remembered?"):
        assert title in page
    assert "samples/last@test" in page
    n = files.read_json(run.directory.result("evaluate", "last"))["n"]
    assert f"Two halves of the real data, of {n // 2} each, come to" in run.directory.model_card.read_text(
        encoding="utf-8"
    )


@pytest.mark.slow  # a training of its own
def test_runs_that_different_networks_judged_are_not_compared(run: api.Run, shapes: Path, tmp_path: Path) -> None:
    """A run that takes the first one's judge is compared with it; once its judge is another it is not."""
    again = fitted(shapes, tmp_path, str(run.directory.member("judge").path), condition="label")
    assert len(sides.read([run.directory, again.directory], [], "test")) == 2
    judge = again.directory.member("judge")
    place = judge.checkpoint(judge.require_checkpoint(None)) / "architecture.json"
    files.write_json(place, files.read_json(place) | {"sha256": "another"})
    with pytest.raises(ConfigError, match=r"judged by different networks, .*; train one with --judge .*members/judge"):
        sides.read([run.directory, again.directory], [], "test")


def test_samples_go_with_the_weights_that_made_them(run: api.Run) -> None:
    loaded, folder = run.load(), run.directory.samples("last", "test")
    n = files.read_json(run.directory.result("evaluate", "last"))["n"]
    assert [len(list((folder / side).iterdir())) for side in ("made", "real")] == [n, n]
    checkpoint.save_checkpoint(run.directory, "last", loaded.network, run.recipe(), loaded.domain, {"step": 1})
    assert not folder.exists()


@pytest.mark.slow  # a training of its own
def test_without_classes_random_weights_judge(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    run = fitted(tmp_path / "photos", tmp_path / "runs")
    result = files.read_json(run.directory.result("evaluate", "last"))
    assert not (run.path / "members").exists()
    assert "a small network of random weights" in result["metrics"]["kernel_distance"]["words"]["sentence"]
    assert "named_as_asked" not in result["metrics"] and not result["details"]["named"]
    assert result["details"]["floor_and_ceiling"]["random"]


def test_what_a_judge_has_no_time_for_is_said(run: api.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures that need it are not defined, and the page is written all the same."""
    monkeypatch.setattr(judging, "judged", lambda *asked: time.sleep(60))
    loaded = run.load()
    rows = workflow.load_rows(run.directory, loaded.domain)
    result = evaluation.evaluate(run.directory, loaded, rows, until=time.monotonic() + 1.5)
    assert evaluation.COMPARED in result["left_out"]
    assert result["metrics"]["kernel_distance"]["value"] is None
    assert not result["details"].keys() & {"floor_and_ceiling", "neighbours", "named"}
    report.write(run.directory)
    assert "Between the real data and chance" not in run.directory.report.read_text(encoding="utf-8")
