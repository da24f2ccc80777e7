"""The page of an agent: its episodes, its training over steps of the environment, several seeds, and what is said."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

from pervade.core import files, spec
from pervade.core.run import RunDirectory
from pervade.core.words import FigureWords
from pervade.domains.environment import Environment
from pervade.metrics import returns
from pervade.metrics.estimate import estimate
from pervade.report import agent_cautions, cautions, chart
from pervade.report.cautions import little_measured
from pervade.report.record import Record
from pervade.report.record import read as read_record
from pervade.report.sections import learning
from pervade.report.sections import returns as curves
from tests.report.test_card import card
from tests.report.test_report import read

GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==")
EPISODES = 20
SEEDS = [10_000_000 + i for i in range(EPISODES)]
# Of an agent that reaches 81 to 119 by the likeliest action, and half of that where it draws.
LIKELIEST = np.arange(81.0, 121.0, 2.0)
CHANCE = np.array([10.0, 30.0] * 10)


def write_recipe(directory: RunDirectory, domain: Environment, algorithm: str = "ppo") -> None:
    recipe = {
        "format": 1,
        "domain": {"use": "environment", "name": domain.name},
        "task": {"use": algorithm},
        "model": {"use": "policy"},
        "epochs": 3,
        "seed": 0,
    }
    files.write_text(directory.recipe, yaml.safe_dump(recipe))
    about = {"source": f"gym://{domain.name}", "command": ["pervade", "train", f"gym://{domain.name}"]}
    files.write_json(directory.environment, about)


def write_rows(directory: RunDirectory, domain: Environment) -> Environment:
    rows, _ = domain.read(f"gym://{domain.name}")
    columns = {name: list(rows.column(name)) for name in ("id", "seed", "mode", "split", "group")}
    files.write_json(
        directory.data, {"source": f"gym://{domain.name}", "rows": len(rows), "columns": columns, "left_out": []}
    )
    return domain.fit(rows.where("split", "train"))


def lines(totals: list[float], each: int = 100) -> list[dict[str, Any]]:
    """A log: two optimiser steps for every rollout of `each` steps, and the return of the episodes that ended in it."""
    log: list[dict[str, Any]] = []
    for number, total in enumerate(totals):
        common = {"event": "step", "pass": number, "environment_steps": each * (number + 1), "lr": 0.1, "crashes": 0}
        ended = {"return": total, "episode_length": total}
        log.append({**common, "step": 2 * number + 1, "loss": 1.0, "episodes": 4, **ended, "elapsed": number + 0.5})
        log.append({**common, "step": 2 * number + 2, "loss": 3.0, "episodes": 0, "elapsed": number + 1.0})
        log.append({"event": "pass", "pass": number + 1, "step": 2 * number + 2, "elapsed": number + 1.0})
    return log


def write_training(directory: RunDirectory, domain: Environment, log: list[dict[str, Any]]) -> None:
    files.write_text(directory.log, "".join(json.dumps(entry) + "\n" for entry in log))
    extra = {"passes": 3, "elapsed": 3.0, "finished": True}
    files.write_json(directory.state / "state.json", {"sha256": "", "state": {"extra": extra}})
    files.write_json(directory.checkpoint("last") / "architecture.json", {"parameters": 99, "step": 6, "passes": 3})
    files.write_json(directory.checkpoint("last") / "preprocess.json", {"domain": spec.encode(domain)})


def columns_of(likeliest: np.ndarray, drawn: np.ndarray) -> dict[str, Any]:
    total = np.concatenate([likeliest, drawn])
    return {
        "row": np.arange(len(total)),
        "group": np.array([f"seed {seed}" for seed in (*SEEDS, *SEEDS)]),
        "return": total,
        "length": total.astype(np.int64),
        "cut": np.zeros(len(total), bool),
        "drawn": np.repeat([False, True], EPISODES),
    }


def write_evaluation(
    directory: RunDirectory, episode: dict[str, Any], likeliest: np.ndarray, drawn: np.ndarray
) -> None:
    own = estimate(returns.metrics(), columns_of(likeliest, drawn))
    plain = estimate(returns.metrics(), columns_of(CHANCE, CHANCE))
    beside = {"name": "a random policy", "predictions": "predictions/plain@test.parquet"}
    beside |= {"metrics": {name: each.as_dict() for name, each in plain.items()}}
    result = {
        "meter": "evaluate",
        "checkpoint": "last",
        "split": "test",
        "n": 2 * EPISODES,
        "metrics": {name: each.as_dict() for name, each in own.items()},
        "details": {"episode": episode, "baseline": beside},
    }
    files.write_json(directory.result("evaluate", "last"), result)


EPISODE = {
    "seed": SEEDS[0],
    "return": 4.0,
    "length": 4,
    "every": 1,
    "chances": [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]],
    "value": [4.0, 3.0, 2.0, 1.0],
    "film": {"kind": "gif", "file": "media/last@test/film.gif", "caption": "seed 10000000, 4 steps, return 4"},
}


def agent(
    folder: Path,
    *,
    environment: str = "CartPole-v1",
    algorithm: str = "ppo",
    episode: dict[str, Any] = EPISODE,
    likeliest: np.ndarray = LIKELIEST,
    drawn: np.ndarray = LIKELIEST / 2,
) -> RunDirectory:
    directory = RunDirectory(folder / "runs" / "agent")
    domain = Environment(name=environment, environments=3, episodes=EPISODES)
    write_recipe(directory, domain, algorithm)
    fitted = write_rows(directory, domain)
    write_training(directory, fitted, lines([20.0, 60.0, 100.0]))
    write_evaluation(directory, episode, likeliest, drawn)
    film = directory.path / "media" / "last@test" / "film.gif"
    film.parent.mkdir(parents=True)
    film.write_bytes(GIF)
    return directory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return agent(tmp_path)


# what is said first


def test_the_verdict_is_of_episodes_and_counts_its_own(run: RunDirectory) -> None:
    _, text = read(run)
    assert "This model acts in CartPole-v1." in text
    # 20 of the 40 rows; their mean is 100.
    assert re.search(
        r"Over 20 episodes by seeds that training cannot meet, it reached a mean return of 100 "
        r"\(95% interval [\d.]+ to [\d.]+\), taking the likeliest action each time\.",
        text,
    )
    assert re.search(r"a random policy would reach 20 \([\d.]+ to [\d.]+\) in the same 20\.", text)
    assert "measured again and again on other episodes of the same kind" in text
    assert "example" not in text.lower().replace("for example", "")
    assert "passes over" not in text
    assert "augmentation" not in text


def test_episodes_that_are_all_alike_are_said_to_be_so(tmp_path: Path) -> None:
    best = np.full(EPISODES, 500.0)
    _, text = read(agent(tmp_path, likeliest=best, drawn=best))
    assert "In each of 20 episodes by seeds that training cannot meet, it reached a return of 500, taking" in text
    assert "All being alike, they give no interval." in text


def test_an_agent_no_better_than_chance_is_said_to_be_none(tmp_path: Path) -> None:
    _, text = read(agent(tmp_path, likeliest=CHANCE, drawn=CHANCE))
    assert "acts in CartPole-v1, and is not shown to do better than a random policy." in text


def test_a_dqn_takes_the_best_action_not_the_likeliest(tmp_path: Path) -> None:
    _, text = read(agent(tmp_path, algorithm="dqn"))
    assert "taking the action of the highest value each time" in text
    assert "With one action in twenty by chance its mean return is 50" in text


@pytest.mark.parametrize(
    ("number", "said"), [(500.0, "500"), (81.63, "81.63"), (-1041.93, "-1,042"), (0.148, "0.148"), (None, "–")]
)
def test_returns_have_four_figures(number: float | None, said: str) -> None:
    assert FigureWords(unit="sum").written(number) == said


def test_the_ends_of_an_interval_have_the_same_decimals() -> None:
    assert FigureWords(unit="sum").span(0.148, 609.3) == "0.1 to 609.3"
    assert FigureWords(unit="share").span(0.05, 0.15) == "5.0 to 15.0%"


def test_the_rows_are_told_as_episodes(run: RunDirectory) -> None:
    _, text = read(run)
    assert (
        "It trained in 3 copies of CartPole-v1 at once, and is measured in 20 episodes of each kind: by the likeliest "
        "action and with actions drawn from the policy. They begin by the seeds 10000000 to 10000019, the same for "
        "each kind, which training cannot meet." in text
    )
    assert "The environment ends an episode by itself after 500 steps." in text


# how training went


def test_training_is_told_in_steps_of_the_environment(run: RunDirectory) -> None:
    _, text = read(run)
    # 300 steps in 3 seconds.
    assert "300 steps of the environment, 6 optimiser steps, 3 s, 100 steps of the environment a second." in text
    assert text.index("Return of an episode training") < text.index("Steps of an episode training")
    assert text.index("Steps of an episode training") < text.index("Loss training")
    for counter in ("Environment steps", "Episodes training", "Crashes"):
        assert counter not in text
    assert "Returns in training are of actions drawn from the policy while it still changed" in text


def test_what_stands_at_one_place_becomes_its_mean() -> None:
    log = [entry for entry in lines([20.0, 60.0]) if entry["event"] == "step"]
    over = learning.progress(log, [])
    assert over.title == "steps of the environment"
    assert learning.curve(log, "loss", over) == [(100.0, 2.0), (200.0, 2.0)]
    assert learning.curve(log, "return", over) == [(100.0, 20.0), (200.0, 60.0)]
    # A decision knows the optimiser's step alone: between the second, at 100, and the third, at 200.
    assert over.place({"event": "decision", "step": 2}) == 100.0
    assert over.place({"event": "decision", "step": 4}) == 200.0


def test_long_axes_are_written_short() -> None:
    shown = [text for _, text in chart.axis_x("", 0, 2_000_000).ticks]
    assert shown == ["0", "0.5 M", "1 M", "1.5 M", "2 M"]
    assert [text for _, text in chart.axis_x("", 0, 100_000).ticks] == ["0", "20k", "40k", "60k", "80k", "100k"]
    assert [text for _, text in chart.axis_x("", 0, 9_000).ticks][1] == "2,000"


# the episode


def polylines(page: str, title: str) -> list[list[tuple[float, float]]]:
    """The lines of the chart with this title, as places of the drawing."""
    figure = next(each for each in page.split("<figure")[1:] if f"<b>{title}</b>" in each)
    found = re.findall(r'<polyline[^>]*points="([^"]*)"', figure)
    return [[tuple(map(float, pair.split(","))) for pair in each.split()] for each in found]  # type: ignore[misc]


def test_the_film_lies_in_the_page_and_the_lines_below_it(run: RunDirectory) -> None:
    reader, text = read(run)
    address = f"data:image/gif;base64,{base64.b64encode(GIF).decode()}"
    assert address in reader.links
    page = run.report.read_text(encoding="utf-8")
    assert 'alt="Film of the episode: seed 10000000, 4 steps, return 4"' in page
    assert "It lasted 4 steps, and its return is 4." in text
    first, second = polylines(page, "Chance of every action")
    # Chances add up to one, so the two lines mirror each other; 90% lies above 10%.
    assert len({round(a[1] + b[1], 3) for a, b in zip(first, second, strict=True)}) == 1
    assert first[0][1] < second[0][1]
    (value,) = polylines(page, "Value of the state")
    assert [place for _, place in value] == sorted(place for _, place in value)  # downwards


def test_without_a_film_the_page_says_why(tmp_path: Path) -> None:
    run = agent(tmp_path, episode={**EPISODE, "film": None})
    reader, text = read(run)
    assert "The environment draws nothing, so there is no film of it." in text
    assert not [link for link in reader.links if link.startswith("data:image/gif")]
    write_evaluation(run, EPISODE, LIKELIEST, LIKELIEST)
    (run.path / "media" / "last@test" / "film.gif").unlink()
    assert "The film is not there any more; evaluating again makes it anew." in read(run)[1]


def test_a_film_is_taken_from_the_run_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.gif").write_bytes(b"secret")
    film = {"kind": "gif", "file": "../../secret.gif", "caption": "<b>"}
    reader, _ = read(agent(tmp_path, episode={**EPISODE, "film": film}))
    assert not [link for link in reader.links if link.startswith("data:image/gif")]


def test_values_of_a_dqn_are_values(tmp_path: Path) -> None:
    values = {"values": [[9.0, 8.0]] * 4, "value": [9.0] * 4}
    episode = {name: each for name, each in EPISODE.items() if name != "chances"} | values
    _, text = read(agent(tmp_path, algorithm="dqn", episode=episode))
    assert "Value of every action" in text
    assert "Chance of every action" not in text


def test_continuous_actions_are_what_it_means_to_do(tmp_path: Path) -> None:
    episode = {**EPISODE, "chances": [[0.5], [-0.5], [0.25], [1.5]]}
    run = agent(tmp_path, environment="Pendulum-v1", episode=episode)
    _, text = read(run)
    assert "Action it means to take" in text
    assert "-1 is its lower end and 1 its upper one" in text
    assert "Chance of every action" not in text


def test_of_many_actions_the_weightiest_are_drawn(tmp_path: Path) -> None:
    chances = [[0.02] * 9 + [0.82]] * 4
    run = agent(tmp_path, episode={**EPISODE, "chances": chances})
    read(run)
    page = run.report.read_text(encoding="utf-8")
    assert len(polylines(page, "Chance of every action, the 6 weightiest of 10")) == 6
    assert "action 9" in page


# what to be careful of


def test_an_agent_that_does_worse_by_chance_is_told(run: RunDirectory) -> None:
    record = read_record(run)
    said = agent_cautions.ways_of_acting(record) or ""
    assert said.startswith("With actions drawn from the policy its mean return is 50 (")
    assert "let it take the likeliest action" in said


def test_an_agent_that_needs_chance_is_told(tmp_path: Path) -> None:
    record = read_record(agent(tmp_path, likeliest=LIKELIEST / 2, drawn=LIKELIEST))
    assert "always taking the likeliest action holds it back" in (agent_cautions.ways_of_acting(record) or "")


def test_two_ways_that_are_alike_are_nothing_to_tell(tmp_path: Path) -> None:
    assert agent_cautions.ways_of_acting(read_record(agent(tmp_path, drawn=LIKELIEST - 5))) is None


def test_few_episodes_are_told(run: RunDirectory) -> None:
    record = read_record(run)
    main = record.main
    assert main is not None

    def with_interval(low: float, high: float) -> Record:
        own = replace(main.figures["mean_return"], value=100.0, low=low, high=high, n=20)
        changed = {**main.figures, "mean_return": own}
        return replace(record, results=[replace(main, figures=changed)])

    # 80 lie between it and chance.
    assert little_measured(with_interval(91.0, 109.0)) is None
    said = little_measured(with_interval(80.0, 120.0))
    assert said == "Only 20 episodes were measured, so the true mean return may lie anywhere from 80 to 120."


def test_a_single_training_is_told_of_and_one_of_several_is_not(run: RunDirectory) -> None:
    record = read_record(run)
    assert "It is one training by one seed." in (agent_cautions.one_training(record) or "")
    member = replace(record, run=RunDirectory(run.path / "members" / "seed-0"))
    assert agent_cautions.one_training(member) is None


def test_crashes_are_told(run: RunDirectory) -> None:
    record = read_record(run)
    assert agent_cautions.crashed(record) is None
    log = [{**entry, "crashes": 2} for entry in record.log]
    assert "failed 2 times in training" in (agent_cautions.crashed(replace(record, log=log)) or "")


def test_an_unfinished_training_is_counted_in_rounds(run: RunDirectory) -> None:
    record = replace(read_record(run), plan={"finished": False, "passes": 9})
    assert "(3 of 9 rounds)" in (cautions.unfinished(record) or "")


# the card


def test_the_card_is_one_that_the_hub_reads(run: RunDirectory) -> None:
    front, body = card(run)
    assert front["pipeline_tag"] == "reinforcement-learning"
    assert {"reinforcement-learning", "CartPole-v1", "ppo"} <= set(front["tags"])
    name, results = model_index_to_eval_results(front["model-index"])
    assert name == "agent"
    first = results[0]
    assert (first.task_type, first.dataset_name, first.dataset_type) == (
        "reinforcement-learning",
        "CartPole-v1",
        "CartPole-v1",
    )
    assert (first.metric_type, first.metric_value) == ("mean_reward", 100.0)
    assert "It is made to act in CartPole-v1" in body
    assert "fairness" not in body
    assert "left out" not in body


def test_an_environment_keeps_its_whole_name() -> None:
    from pervade.report.card import _public

    assert _public("gym://ALE/Pong-v5") == "ALE/Pong-v5"


# several seeds


def several(folder: Path, totals: list[list[float]]) -> RunDirectory:
    directory = RunDirectory(folder / "runs" / "several")
    domain = Environment(name="CartPole-v1", environments=3, episodes=EPISODES)
    write_recipe(directory, domain)
    write_rows(directory, domain)
    files.write_json(directory.members, {"kind": "seeds", "number": len(totals)})
    for number, each in enumerate(totals):
        member = directory.member(f"seed-{number}")
        files.write_text(member.log, "".join(json.dumps(entry) + "\n" for entry in lines(each)))
    scores = [np.array(each[-1:] * EPISODES) for each in totals]
    values = np.array([each.mean() for each in scores])
    own = {f"seed-{i}": {"value": v, "low": None, "high": None, "n": EPISODES} for i, v in enumerate(values)}
    figure = {"value": values.mean(), "low": None, "high": None, "n": EPISODES, "mean": values.mean()}
    summary = {
        "meter": "evaluate",
        "checkpoint": "members",
        "split": "test",
        "n": 2 * EPISODES,
        "kind": "seeds",
        "members": {name: {"checkpoint": "last", "n": 2 * EPISODES} for name in own},
        "metrics": {"mean_return": {**figure, "deviation": values.std(ddof=1), "members": own}},
        "details": {"across_seeds": returns.across_seeds(scores, [CHANCE] * len(scores))},
    }
    files.write_json(directory.result("evaluate", "members"), summary)
    return directory


def test_the_table_of_seeds_says_which_direction_is_better(tmp_path: Path) -> None:
    run = several(tmp_path, [[20.0, 40.0], [20.0, 80.0]])
    assert "lower is better" not in read(run)[1]
    path = run.result("evaluate", "members")
    summary = json.loads(path.read_text())
    summary["metrics"]["mean_return"]["higher_is_better"] = False
    path.write_text(json.dumps(summary))
    text = read(run)[1]
    assert "mean (likeliest actions) (lower is better)" in text  # the picture
    assert "mean (likeliest actions) lower is better" in text  # the table


def test_seeds_are_told_together(tmp_path: Path) -> None:
    _, text = read(several(tmp_path, [[20.0, 40.0], [20.0, 80.0], [20.0, 60.0]]))
    # Of 40, 60 and 80 the middle half is a quarter of the first, all of the second, a quarter of the third.
    assert "Return, interquartile mean of the trainings" in text
    assert "does not rule60 40 to 80 " in text
    assert "3 trainings that differ in their seed alone, 60 episodes in all" in text
    # All three are better than chance, in every resample too: that is no certainty.
    assert "no better than chance100.0% no interval " in text
    assert "Agarwal et al. 2021" in text
    assert "in the same environment; only the seed differs" in text


def test_the_curve_of_seeds_has_its_band(tmp_path: Path) -> None:
    run = several(tmp_path, [[20.0, 40.0], [20.0, 80.0], [20.0, 60.0]])
    read(run)
    page = run.report.read_text(encoding="utf-8")
    figure = next(each for each in page.split("<figure")[1:] if "interquartile mean of 3 seeds" in each)
    (outline,) = re.findall(r'<polygon class="band first" points="([^"]*)"', figure)
    places = [tuple(map(float, pair.split(","))) for pair in outline.split()]
    assert len(places) == 2 * curves.GRID
    (line,) = polylines(page, "Return of an episode")
    upper, lower = places[: curves.GRID], places[: curves.GRID - 1 : -1]
    # y runs downwards: the band begins as a point, and holds the line from there on.
    assert upper[0] == lower[0] == line[0]
    assert all(a[1] <= b[1] <= c[1] for a, b, c in zip(upper, line, lower, strict=True))
    assert upper[-1][1] < line[-1][1] < lower[-1][1]


def test_two_seeds_are_two_lines(tmp_path: Path) -> None:
    run = several(tmp_path, [[20.0, 40.0], [20.0, 80.0]])
    text = read(run)[1]
    page = run.report.read_text(encoding="utf-8")
    assert "<polygon" not in page
    assert len(polylines(page, "Return of an episode")) == 2
    assert "Fewer than three trainings say nothing of their spread" in text
    assert "Fewer than three trainings give none." in text
    assert "an interval is rough" not in text


def test_bands_are_the_bootstrap_of_agarwal() -> None:
    """At every place the same as metrics/returns.py gives for that place alone, with the same draws."""
    scores = np.random.default_rng(3).normal(size=(7, 3))
    middle, low, high = curves.bands(scores, resamples=400)
    for at in range(3):
        column = scores[:, at : at + 1]
        statistic = returns.interquartile_mean_of_runs
        assert middle[at] == pytest.approx(statistic(column))
        assert (low[at], high[at]) == pytest.approx(returns.stratified_bootstrap([column], statistic, resamples=400))


def test_curves_meet_on_the_grid_that_all_have() -> None:
    one = [(100.0, 0.0), (300.0, 20.0)]
    other = [(200.0, 5.0), (400.0, 5.0)]
    grid, scores = curves.on_grid([one, other])
    assert (grid[0], grid[-1], len(grid)) == (200.0, 300.0, curves.GRID)
    assert scores[0][[0, -1]].tolist() == [10.0, 20.0]
    assert (scores[1] == 5.0).all()


def test_seeds_of_anything_else_have_no_such_curve(tmp_path: Path) -> None:
    run = several(tmp_path, [[20.0], [30.0]])
    for number in range(2):
        entry = {"event": "step", "step": 1, "pass": 0, "loss": 1.0}
        files.write_text(run.member(f"seed-{number}").log, json.dumps(entry) + "\n")
    assert curves.section(read_record(run)) is None
