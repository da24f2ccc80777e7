"""How far made samples lie from real ones: by hand, by torch-fidelity on the same features, and how often an interval
holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pervade.metrics import generation
from pervade.metrics.balls import Balls, Reached
from pervade.metrics.discrepancy import Gaussian, frechet_distance, kernel_distance
from pervade.metrics.estimate import estimate, measure
from pervade.metrics.generation import copies, density_and_coverage, metrics, precision_and_recall

LINE = np.array([[0.0], [1.0], [2.0], [4.0]])


def columns(made: np.ndarray, real: np.ndarray, **more: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.arange(len(made))
    near = {f"near_{kind}_{side}": np.ones(len(made)) for kind in ("pixels", "features") for side in ("made", "real")}
    return {"row": rows, "group": rows, "made": made, "real": real, **near, **more}


def pair(seed: int, n: int = 40, d: int = 3, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1.0, (n, d)), rng.normal(0.0, 1.0, (n, d))


def test_the_kernel_distance_by_hand() -> None:
    """Made 1 and 2, real 0 and 3, d = 1: the kernel of made 27, of real 1, across (64 + 1) / 2, rows left out."""
    made, real = np.array([[1.0], [2.0]]), np.array([[0.0], [3.0]])
    assert kernel_distance(made, real) == pytest.approx(27 + 1 - 2 * 65 / 2)
    assert math.isnan(kernel_distance(made[:1], real[:1]))


def test_samples_made_by_class_are_not_thought_nearer_than_they_are() -> None:
    """Where each class is one sample, and that is made, nothing lies between made and real: 0, not below."""
    of_class = np.array([[0.0], [2.0], [2.0], [0.0]])
    assert kernel_distance(of_class, of_class) == 0


def test_the_kernel_distance_is_not_biased() -> None:
    """Of one distribution, over 400 pairs of sets of 10, it is 0 on average, within three standard errors."""
    values = [kernel_distance(*pair(seed, n=10, shift=0.0)) for seed in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert min(values) < 0 < max(values)


def test_the_frechet_distance_by_hand() -> None:
    """In one dimension (m - m')² + (s - s')²: means 1 and 3, variances 2 and 8."""
    assert frechet_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])) == pytest.approx(4 + 2)


def test_neighbourhoods_by_hand() -> None:
    """By k = 1 the real 0, 1, 2, 4 reach 1, 1, 1, 2 far. Of the made -1.5, 0.5, 3, 9 the second lies in two, the third
    in two (of 2 and of 4); those made reach 2, 2, 2.5, 6 far, which all of the real ones lie in."""
    made = np.array([[-1.5], [0.5], [3.0], [9.0]])
    assert precision_and_recall(made, LINE, k=1) == (0.5, 1.0)
    assert density_and_coverage(made, LINE, k=1) == (1.0, 1.0)
    assert density_and_coverage(made + 100, LINE, k=1) == (0.0, 0.0)
    assert all(math.isnan(value) for value in precision_and_recall(made, LINE, k=3))


def test_samples_that_are_all_the_same_lie_in_their_neighbourhoods() -> None:
    """Of distances 0, which rounding must not hide."""
    same = np.repeat(np.random.default_rng(0).normal(0, 30, (1, 64)), 8, 0)
    assert precision_and_recall(same, same) == (1.0, 1.0)
    assert density_and_coverage(same, same)[1] == 1.0


def test_torch_fidelity_agrees() -> None:
    """The same features, the same figures to a millionth, of numbers that no normal distribution gives."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    rng = np.random.default_rng(0)
    made, real = rng.gamma(2.0, 1.0, (200, 16)), rng.gamma(2.2, 1.0, (200, 16))
    both = torch.from_numpy(made), torch.from_numpy(real)
    kid = kid_features_to_metric(*both, kid_subsets=1, kid_subset_size=200, verbose=False)
    fid = fid_statistics_to_metric(*map(fid_features_to_statistics, both), verbose=False)
    ours = generation.figures(made, real)
    # Theirs compares all with all: so do ours together, each pair of rows left out once.
    every = np.mean([kernel_distance(made, np.roll(real, by, 0)) for by in range(200)])
    assert every == pytest.approx(kid["kernel_inception_distance_mean"], rel=1e-6)
    assert ours["frechet_distance"] == pytest.approx(fid["frechet_inception_distance"], rel=1e-6)
    for end, k in generation.NEIGHBOURS.items():
        theirs = prc_features_to_metric(*both, prc_neighborhood=k, verbose=False)
        for name in ("precision", "recall"):
            assert ours[name + end] == pytest.approx(theirs[name], abs=1e-6)
            assert 0 < ours[name + end] < 1


def test_density_and_coverage_are_those_of_their_authors() -> None:
    """As their reference code computes them (prdc), but that it leaves out what lies just on the border."""
    made, real = pair(0, n=60, d=4)
    distance = np.linalg.norm(real[:, None] - real[None], axis=2)
    radius = np.sort(distance, 1)[:, 5]
    between = np.linalg.norm(real[:, None] - made[None], axis=2)
    density = (between < radius[:, None]).sum(0).mean() / 5
    coverage = (between.min(1) < radius).mean()
    assert density_and_coverage(made, real) == pytest.approx((density, coverage))


def test_slopes_are_those_of_the_distances() -> None:
    """By differences of both figures, each row counting a little more or less."""
    made, real = pair(1, n=12)
    prepared = measure({name: metrics("it", False)[name] for name in ("kernel_distance", "frechet_distance")},
                       columns(made, real))  # fmt: skip
    slopes = {name: values for family in prepared.families.values() for name, values in family.slopes().items()}
    for row in range(len(made)):
        more, less = (np.ones(12) + step * (np.arange(12) == row) for step in (1e-5, -1e-5))
        above, below = prepared(more), prepared(less)
        for name, slope in slopes.items():
            assert slope[row] == pytest.approx((above[name] - below[name]) / 2e-5, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("k", [1, 3])
def test_what_changes_without_a_row_is_what_is_found_without_it(k: int) -> None:
    """Each row with a ball left out in turn, and each that asks."""
    made, real = pair(2, n=25, d=2)
    (whole,) = Reached.of(made, Balls.of(real, [k]))
    for row in range(25):
        rest = np.arange(25) != row
        (without_ball,) = Reached.of(made, Balls.of(real[rest], [k]))
        (without_row,) = Reached.of(made[rest], Balls.of(real, [k]))
        assert whole.left_outside[row] == (whole.count > 0).sum() - (without_ball.count > 0).sum()
        assert whole.fewer[row] == whole.count.sum() - without_ball.count.sum()
        filled = (without_ball.held > 0).sum() - (whole.held[rest] > 0).sum()
        assert whole.left_empty[row] == (whole.held > 0).sum() - (without_row.held > 0).sum() - filled


SLOW = pytest.mark.slow  # a second for each figure of neighbours


@pytest.mark.parametrize(
    ("name", "shift"),
    [
        *(("kernel_distance", 0.0), ("kernel_distance", 0.7), ("recall", 0.3)),
        *(pytest.param(name, 0.3, marks=SLOW) for name in ("precision", "coverage", "density", "frechet_distance")),
    ],
)
def test_intervals_hold_the_true_figure(name: str, shift: float) -> None:
    """Of 60 pairs of sets of 100 at least 53, the true figure being the mean over all of them (or 0, of one
    distribution): so would be 998 of 1,000 times where 19 of 20 do."""
    made = [estimate({name: metrics("it", False)[name]}, columns(*pair(seed, 100, 4, shift)), resamples=200)[name]
            for seed in range(60)]  # fmt: skip
    truth = 0.0 if shift == 0 else float(np.mean([figure.value for figure in made]))
    assert sum(figure.low <= truth <= figure.high for figure in made) >= 53
    assert all(figure.how.linear for figure in made)


def test_a_row_that_counts_nothing_is_not_there() -> None:
    """Figures by weights 0 and 1 are those of the rest."""
    made, real = pair(3, n=20)
    counted = (np.arange(20) >= 6).astype(float)
    asked = {name: metric for name, metric in metrics("it", False).items() if "copies" not in name}
    weighted = measure(asked, columns(made, real))(counted)
    assert weighted == pytest.approx(generation.figures(made[6:], real[6:]))


def test_gaussians_of_few_rows_have_a_distance() -> None:
    """Fewer rows than features: the covariances cannot be inverted."""
    made, real = pair(4, n=5, d=12)
    assert frechet_distance(real, real) == pytest.approx(0.0, abs=1e-6)
    once = np.ones(5)
    assert np.isfinite(Gaussian.of(made, once).slopes(Gaussian.of(real, once), made)).all()


def test_copies_are_those_nearer_than_chance() -> None:
    """A fifth of the made samples are training samples; of 100 real ones the nearest lies 0.1 away."""
    real = np.linspace(0.1, 1.0, 100)
    assert copies(np.where(np.arange(100) < 20, 0.0, 1.0), real) == pytest.approx(0.2 - 0.01)
    assert copies(real, real) == 0.0
    assert copies(np.ones(100), real) == pytest.approx(-0.01)


def test_copies_among_few_have_no_interval() -> None:
    """A hundredth of 99 rows is less than one, and the nearest of them is another in each resample."""
    for n in (99, 100):
        made, real = pair(7, n=n)
        near = {"near_pixels_made": np.arange(n), "near_pixels_real": np.arange(n) + 2.5}
        metric = {"copies_pixels": metrics("it", False)["copies_pixels"]}
        figure = estimate(metric, columns(made, real, **near), resamples=200)["copies_pixels"]
        assert figure.value == pytest.approx(2 / n) and math.isnan(figure.low) == (n < 100)


def test_doubles_in_the_data_are_no_copies_of_the_model() -> None:
    """Where 5 of 100 real test samples stand in the training split too, so may 5 of those made."""
    real = np.where(np.arange(100) < 5, 0.0, 1.0)
    assert copies(real, real) == 0.0


def test_named_as_asked_leaves_out_what_the_judge_does_not_know() -> None:
    made, real = pair(5, n=6)
    told = {"class": np.array([1, 1, 2, 2, 3, 0]), "named": np.array([1, 0, 2, 2, -1, 1])}
    figure = estimate({"named_as_asked": metrics("it", True)["named_as_asked"]}, columns(made, real, **told))
    assert (figure["named_as_asked"].value, figure["named_as_asked"].n) == (0.75, 4)


def test_figures_of_pairs_say_of_how_many_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more rows than can be afforded they are of some; and so are both halves, which share no row."""
    both = columns(*pair(6, n=31))
    asked = {"kernel_distance": metrics("it", False)["kernel_distance"]}
    assert estimate(asked, both, resamples=200)["kernel_distance"].n == 31
    assert len(set(np.concatenate(generation.halves(both)))) == 2 * len(generation.halves(both)[0]) == 30
    monkeypatch.setattr(generation, "MOST", 10)
    assert estimate(asked, both, resamples=200)["kernel_distance"].n == 10
    assert len(set(np.concatenate(generation.halves(both)))) == 2 * len(generation.halves(both)[0]) == 20
