"""What a judge says of pictures that were made: toys, of which the left or the right half is bright, so that a small
network tells them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pervade.core.contracts import Context
from pervade.core.errors import ConfigError
from pervade.core.types import Media, Rows
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.domains.image import Image
from pervade.engine import generation_details, judging
from pervade.engine.checkpoint import Loaded
from pervade.metrics import generation
from pervade.metrics.discrepancy import kernel_distance
from pervade.metrics.estimate import estimate
from pervade.models.small_cnn import SmallCNN
from pervade.tasks.classify import Classify

SIDE = 8


def pictures(number: int, seed: int) -> np.ndarray:
    """(n, h, w, 1) uint8, of both classes in turn."""
    shown = np.random.default_rng(seed).integers(0, 90, (number, SIDE, SIDE, 1))
    shown[::2, :, : SIDE // 2] += 120
    shown[1::2, :, SIDE // 2 :] += 120
    return shown.astype(np.uint8)


def rows(number: int, seed: int, split: str, begin: int = 0) -> Rows:
    names = [f"{split}-{i}" for i in range(number)]
    columns = {"id": names, "path": names, "split": [split] * number, "target": ["left", "right"] * (number // 2)}
    return Rows({**columns, "pixels": list(pictures(number, seed))}, range(begin, begin + number))


TRAIN, TEST = rows(60, 0, "train"), rows(40, 1, "test", begin=60)
DOMAIN = GeneratedPictures(size=SIDE, channels=1, flip=False, condition="label").fit(TRAIN)


@pytest.fixture(scope="module")
def trained() -> Loaded:
    domain = Image(size=SIDE, margin=1.0, channels=1, flip=False, augment=False).fit(TRAIN)
    torch.manual_seed(0)
    network = SmallCNN(width=8).build(domain.inputs(), Classify().outputs(domain))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    input = torch.from_numpy(np.stack(TRAIN.column("pixels"))).permute(0, 3, 1, 2) / 255
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(input)["logits"], torch.arange(60) % 2).backward()
        optimizer.step()
    return Loaded("last", network.eval(), domain, Classify(), (), {"sha256": "trained"}, {})


def table(shown: np.ndarray) -> dict[str, Any]:
    """A predictions file of made pictures, one for each row of the test split, of its class."""
    number = np.arange(60, 60 + len(shown))
    columns = {"row": number, "group": number, "seed": number, "class": 1 + np.arange(len(shown)) % 2}
    return {**columns, "picture": shown.reshape(len(shown), -1)}


def judged(shown: np.ndarray, judge: Loaded | None) -> dict[str, Any]:
    members = {} if judge is None else {"judge": judge}
    return judging.judged(table(shown), TEST, TRAIN, Context(DOMAIN, members=members))


def figures(columns: dict[str, Any]) -> dict[str, float]:
    measured = estimate(generation.metrics("it", True), columns, resamples=200)
    return {name: figure.value for name, figure in measured.items()}


@pytest.mark.parametrize("known", [True, False])
def test_real_pictures_lie_between_floor_and_ceiling(known: bool, trained: Loaded) -> None:
    """Other pictures of the data are about as near as two halves of it are; where half of them are pixels drawn one by
    one that is further, and where all are, furthest. So with a judge that learnt, and with random weights."""
    judge = trained if known else None
    real, pixels = pictures(40, 2), np.random.default_rng(3).normal(105, 65, (40, SIDE, SIDE, 1)).clip(0, 255)
    half = np.where(np.arange(40).reshape(40, 1, 1, 1) < 20, real, pixels).astype(np.uint8)
    good, bad = judged(real, judge), judged(half, judge)
    beside = generation_details.details(bad, TRAIN, DOMAIN, "it")["floor_and_ceiling"]
    for name in ("kernel_distance", "frechet_distance"):
        floor, ceiling = beside["floor"][name], beside["ceiling"][name]
        assert figures(good)[name] < figures(bad)[name] < ceiling
        assert figures(good)[name] - floor < 0.2 * ceiling
    assert beside["n"] == 20
    assert ("named_as_asked" in beside["floor"]) == known


def test_it_calls_them_what_was_asked_for(trained: Loaded) -> None:
    """Two of the made pictures are swapped with their neighbours: 4 of 40 are called something else."""
    shown = pictures(40, 2)
    shown[[0, 1, 2, 3]] = shown[[1, 0, 3, 2]]
    columns = judged(shown, trained)
    assert figures(columns)["named_as_asked"] == 0.9
    assert columns["named_real"].tolist() == columns["class"].tolist()
    told = generation_details.details(columns, TRAIN, DOMAIN, "it")["named"]
    assert told["by_class"]
    assert [(entry["label"], entry["made"]["value"], entry["real"]["value"], entry["made"]["n"])
            for entry in told["classes"]] == [("left", 0.9, 1.0, 20), ("right", 0.9, 1.0, 20)]  # fmt: skip


def test_while_a_pass_is_judged_only_what_is_asked_for_is_told(
    trained: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training split is not looked at, and the rows themselves are once for all passes."""
    judging._KEPT.clear()
    asked = Context(DOMAIN, members={"judge": trained}, figures=frozenset(["kernel_distance"]))
    told = judging.judged(table(pictures(40, 2)), TEST, TRAIN, asked)
    assert told.keys() - table(pictures(40, 2)).keys() == {"made", "real", "named", "named_real"}
    whole = judged(pictures(40, 2), trained)
    assert all((told[name] == whole[name]).all() for name in told)
    monkeypatch.setattr(judging, "pictures_of", lambda *asked: pytest.fail("rows are read again"))
    again = judging.judged(table(pictures(40, 3)), TEST, TRAIN, asked)
    assert (again["real"] == whole["real"]).all() and (again["made"] != whole["made"]).any()


def test_random_weights_name_nothing() -> None:
    columns = judged(pictures(40, 2), None)
    assert set(columns["named"]) == set(columns["named_real"]) == {-1}
    assert np.isnan(figures(columns)["named_as_asked"])
    again = judged(pictures(40, 2), None)
    assert (columns["made"] == again["made"]).all()


def test_copies_are_found(trained: Loaded) -> None:
    """Ten of the made pictures stand in the training split, one of them with a pixel that differs a little."""
    shown = pictures(40, 2)
    shown[:10] = np.stack(TRAIN.column("pixels"))[20:30]
    shown[0, 0, 0] ^= 1
    columns = judged(shown, trained)
    values = figures(columns)
    assert columns["nearest_pixels"][:10].tolist() == columns["nearest_features"][:10].tolist() == [*range(20, 30)]
    assert columns["near_pixels_made"][0] == pytest.approx(1 / 255 / SIDE, rel=1e-4)
    assert (columns["near_pixels_made"][1:10] == 0).all()
    assert values["copies_pixels"] == pytest.approx(10 / 40 - 1 / 40, abs=0.03)
    assert values["copies_features"] >= 0.2
    beside = generation_details.details(columns, TRAIN, DOMAIN, "it")["neighbours"]
    assert set(beside["told"]["nearest"]["seeds"]) <= set(range(60, 70))
    assert isinstance(beside["drawn"], Media)


def test_mirrored_copies_are_found_where_training_mirrors(trained: Loaded) -> None:
    """The first training picture, mirrored; and, measured by the training split, no picture is its own nearest."""
    shown = np.stack(TRAIN.column("pixels"))[:, :, ::-1]
    near = {}
    for flip in (True, False):
        context = Context(replace(DOMAIN, flip=flip), members={"judge": trained})
        columns = judging.judged(table(shown), TRAIN, TRAIN, context)
        near[flip] = columns["near_pixels_made"]
        assert columns["near_pixels_real"].min() > 0 and columns["near_features_real"].min() > 0
        assert np.isfinite(columns["near_pixels_real"]).all()
    assert (near[True] == 0).all() and near[False].min() > 0


def test_the_nearest_by_hand() -> None:
    """Of 0, 3 and 4 the nearest to 3 and 1, the first of which is the second of them."""
    rows, others = np.array([[3.0], [1.0]], np.float32), np.array([[0.0], [3.0], [4.0]], np.float32)
    assert [values.tolist() for values in judging.nearest(rows, others)] == [[1, 0], [0.0, 1.0]]
    assert judging.nearest(rows, others, np.array([1, -1]))[0].tolist() == [2, 0]


def test_chance_has_the_mean_and_deviation_of_the_pictures() -> None:
    """Told part by part as of all at once."""
    shown = pictures(60, 0)
    known = judging.Learnt.of(judging.Judge.of(Context(DOMAIN), TRAIN), TRAIN, DOMAIN)
    assert known.mean == pytest.approx(shown.mean(0), rel=1e-5)
    assert known.deviation == pytest.approx(shown.std(0), rel=1e-4)
    assert sum(map(len, known.gaussian(600))) == 600


def test_the_floor_is_of_two_halves_of_the_measured_pictures(trained: Loaded) -> None:
    """Whatever the training split holds: of one that was taken in another way, of fewer pictures, its own distance
    says that. What is made has its figures beside as many as the floor, where they hang on that."""
    few = TRAIN.select(range(12))
    few = Rows({**few.columns, "pixels": [np.full_like(shown, 255) for shown in few.column("pixels")]}, few.number)
    columns = judging.judged(table(pictures(40, 2)), TEST, few, Context(DOMAIN, members={"judge": trained}))
    assert np.isfinite(columns["learnt"]).all(1).sum() == 12
    beside = generation_details.details(columns, few, DOMAIN, "it")["floor_and_ceiling"]
    real, (first, second) = columns["real"], generation.halves(columns)
    assert beside["floor"]["kernel_distance"] == pytest.approx(kernel_distance(real[first], real[second]))
    made = generation.figures(columns["made"][first], real[second])
    assert beside["made"] == {name: value for name, value in made.items() if name != "kernel_distance"}
    assert beside["training"] > 4 * abs(beside["floor"]["kernel_distance"])
    assert estimate(generation.metrics("it", True), columns, resamples=200)["kernel_distance"].n == 40


def test_pictures_are_scaled_to_what_the_judge_reads() -> None:
    """A judge of colours, of another size, given grey pictures."""
    domain = Image(size=12, margin=1.0, mean=(0.5,) * 3, deviation=(0.3,) * 3)
    network = SmallCNN(width=8).build(domain.inputs(), {"logits": 2}).eval()
    colours = Loaded("last", network, domain, Classify(), (), {"sha256": "colours"}, {})
    judge = judging.Judge.of(Context(DOMAIN, members={"judge": colours}), TRAIN)
    assert judge._as_read(pictures(4, 0)).shape == (4, 3, 12, 12)
    assert judge(pictures(4, 0))[0].shape == (4, 32)


def test_a_judge_that_shows_no_features_is_refused() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    domain = Image(size=SIDE, channels=1)
    silent = Loaded("last", network, domain, Classify(), (), {"sha256": ""}, {})
    with pytest.raises(ConfigError, match="shows no features before its last layer"):
        judging.Judge.of(Context(DOMAIN, members={"judge": silent}), TRAIN)


def test_the_judge_learns_from_the_same_rows_in_few_passes() -> None:
    """As many pictures are looked at however many there are; where there are no classes nothing learns."""
    many = GeneratedPictures(
        size=SIDE, channels=1, labels=("left", "right"), rows=60_000, mean=(0.5,), deviation=(0.5,)
    )
    recipe = judging.recipes(many)["judge"]
    assert recipe.epochs == 2
    assert isinstance(recipe.domain, Image) and type(recipe.domain) is Image
    assert (recipe.domain.size, recipe.domain.labels, recipe.domain.channels) == (SIDE, (), 1)
    assert judging.recipes(GeneratedPictures(size=SIDE, channels=1)) == {}


def test_samples_are_files_of_what_was_measured() -> None:
    shown = pictures(40, 2)
    kept = dict(generation_details.samples(table(shown), TEST, DOMAIN))
    assert len(kept) == 80
    assert {"made/60-seed-60-left.png", "real/60-left.png", "made/61-seed-61-right.png"} <= kept.keys()
    import io

    from PIL import Image as Pillow

    for name, picture in (("made/63-seed-63-right.png", shown[3]), ("real/63-right.png", TEST.column("pixels")[3])):
        assert (np.asarray(Pillow.open(io.BytesIO(kept[name].data))) == picture[:, :, 0]).all()
