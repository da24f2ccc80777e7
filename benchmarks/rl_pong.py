"""Pong by its recipe in an hour: what it scores, and what takes time.

    pervade train gym://ALE/Pong-v5 --steps 4000000 --time-limit 60m     the training alone
    python benchmarks/rl_pong.py [--time-limit 60m] [--film FILE.gif] [--passes 4]

The limit covers training, evaluation and report, but not the imports before. The score is that of whole
games by seeds training never met, with sticky actions (Machado et al. 2018), of the final weights; -21 is losing every
ball, 21 winning every one, and actions by chance come to -20.7.

Where the time goes is measured afterwards, in a short training of its own: timers around acting, environments and
lessons for some passes, then the profiler of torch for two.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ADDRESS, ROWS, OPERATIONS = "gym://ALE/Pong-v5", 20, 8
STEPS = 4_000_000  # more than there is time for, so that the limit ends it


def train(limit: float, settings: list[str], folder: Path) -> Any:
    import pervade
    from pervade.run.progress import screen
    from pervade.run.training import Options

    options = Options(screen=screen(), began=time.monotonic())
    run = pervade.fit(
        ADDRESS, steps=STEPS, time_limit=limit, runs=folder, name="pong", settings=settings, options=options
    )
    run.evaluate()
    run.report()
    return run


def report(run: Any, seconds: float) -> None:
    log = run.directory.read_log()
    steps = [entry for entry in log if entry["event"] == "step"]
    last = steps[-1]
    rate = last["environment_steps"] / last["elapsed"]
    print("| figure | value | 95% interval | episodes |\n|---|---|---|---|")
    for name, each in run.results()["metrics"].items():
        interval = "none" if each.get("low") is None else f"{each['low']:.2f} to {each['high']:.2f}"
        print(f"| {name.replace('_', ' ')} | {each['value']:.2f} | {interval} | {each['n']} |")
    print(f"\n{last['environment_steps']:,.0f} steps of four frames in {last['elapsed']:,.0f} s of training:", end=" ")
    print(f"{rate:,.0f} steps/s. All together {seconds:,.0f} s.\n")
    print("| steps | minutes | mean return of the games that ended | games |\n|---|---|---|---|")
    for part in parts(steps):
        games = sum(entry["episodes"] for entry in part)
        total = sum(entry["return"] * entry["episodes"] for entry in part if entry["episodes"])
        mean = f"{total / games:.1f}" if games else ""
        print(f"| {part[-1]['environment_steps']:,.0f} | {part[-1]['elapsed'] / 60:.1f} | {mean} | {games:.0f} |")


def parts(entries: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The log in pieces of as many steps each."""
    whole = entries[-1]["environment_steps"]
    for number in range(ROWS):
        low, high = whole * number / ROWS, whole * (number + 1) / ROWS
        part = [entry for entry in entries if low < entry["environment_steps"] <= high]
        if part:
            yield part


# where the time goes


@contextmanager
def timed(spent: dict[str, float], places: list[tuple[Any, str, str]]) -> Iterator[None]:
    """Inside, calls of these (class, method) add their seconds to `spent`, by the third of each."""
    before = [(owner, method, getattr(owner, method)) for owner, method, _ in places]

    def watching(function: Callable[..., Any], what: str) -> Callable[..., Any]:
        def watched(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent[what] += time.perf_counter() - start

        return watched

    for (owner, method, what), (_, _, function) in zip(places, before, strict=True):
        setattr(owner, method, watching(function, what))
    try:
        yield
    finally:
        for owner, method, function in before:
            setattr(owner, method, function)


@contextmanager
def after_the_first_pass(begin: Callable[[], Any], end: Callable[[], Any]) -> Iterator[None]:
    """Inside, `begin` is called when a training's first pass is over, and `end` when its last is."""
    from pervade.engine.fit import Learner

    fit = Learner.fit

    def again(learner: Any, source: Any, passes: int) -> Iterator[Any]:
        for moment in fit(learner, source, passes):
            if moment.kind == "pass" and moment.passes == passes:
                end()  # before it is seen, since nobody comes back after the last
            yield moment
            if moment.kind == "pass" and moment.passes == 1:
                begin()

    Learner.fit = again  # type: ignore[method-assign]
    try:
        yield
    finally:
        Learner.fit = fit  # type: ignore[method-assign]


def short(passes: int, folder: Path) -> None:
    import pervade
    from pervade.run.progress import Silent
    from pervade.run.training import Options

    pervade.fit(ADDRESS, epochs=passes + 1, runs=folder, options=Options(screen=Silent()))


def by_timers(passes: int, folder: Path) -> None:
    from pervade.agents.sources.rollouts import RolloutSource
    from pervade.agents.worlds.processes import Processes
    from pervade.engine.fit import Learner
    from pervade.nn.policy import PolicyNetwork

    spent: dict[str, float] = defaultdict(float)
    clock: list[float] = []
    places = [
        (RolloutSource, "_collect", "rollout"),
        (PolicyNetwork, "respond", "choosing actions"),
        (Processes, "step", "environments"),
        (Learner, "_take_step", "lessons"),
    ]

    def begin() -> None:
        spent.clear()
        clock.append(time.perf_counter())

    with timed(spent, places), after_the_first_pass(begin, lambda: clock.append(time.perf_counter())):
        short(passes, folder)
    whole = clock[1] - clock[0]
    spent["rest of the rollout"] = spent.pop("rollout") - spent["choosing actions"] - spent["environments"]
    spent["batches, log, saves"] = whole - sum(spent.values())
    print(f"\n| of {whole / passes:.2f} s a pass | s | share |\n|---|---|---|")
    for what, seconds in sorted(spent.items(), key=lambda each: -each[1]):
        print(f"| {what} | {seconds / passes:.2f} | {seconds / whole:.0%} |")


def by_profiler(folder: Path) -> None:
    from torch.profiler import ProfilerActivity, profile

    profiler = profile(activities=[ProfilerActivity.CPU])
    with after_the_first_pass(profiler.start, profiler.stop):
        short(2, folder)
    averages = sorted(profiler.key_averages(), key=lambda each: -each.self_cpu_time_total)
    whole = sum(each.self_cpu_time_total for each in averages)
    print("\n| operation of torch (its own time, acting and learning together) | calls | share |\n|---|---|---|")
    for each in averages[:OPERATIONS]:
        print(f"| {each.key} | {each.count:,} | {each.self_cpu_time_total / whole:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--time-limit", default="60m")
    parser.add_argument("--film", type=Path, help="where the film of one game goes")
    parser.add_argument("--episodes", type=int, help="fewer, for a trial")
    parser.add_argument("--passes", type=int, default=4, help="that are timed")
    options = parser.parse_args()
    from pervade.core import runtime

    runtime.prepare()
    from pervade.cli.options import seconds

    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        settings = [f"domain.episodes={options.episodes}"] if options.episodes else []
        run = train(seconds(options.time_limit) or 0.0, settings, Path(folder))
        report(run, time.monotonic() - start)
        films = sorted(run.path.glob("media/**/*.gif"))
        if options.film is not None and films:
            shutil.copy(films[0], options.film)
            print(f"film: {options.film}", file=sys.stderr)
        by_timers(options.passes, Path(folder))
        by_profiler(Path(folder))


if __name__ == "__main__":
    main()
