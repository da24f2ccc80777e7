"""What is said of an agent and of nothing else: its episodes, by which seeds, and how well it does in them."""

from __future__ import annotations

from collections import Counter

from pervade.core.words import counted
from pervade.report import preprocessing, wording
from pervade.report.record import Record, Result

HEADLINE = "mean_return"
SEEDS = "by seeds that training cannot meet"  # domains/environment.py gives training others

# How an action is taken where none is drawn, and what "drawn" means.
BEST = {"dqn": "the action of the highest value"}
DRAWN = {"dqn": "one action in twenty by chance"}


def best(record: Record) -> str:
    return BEST.get(str(record.part("task").get("use")), "the likeliest action")


def drawn(record: Record) -> str:
    return DRAWN.get(str(record.part("task").get("use")), "actions drawn from the policy")


def measured(record: Record, result: Result, value: str) -> str:
    """The verdict's sentence; `value` is the headline in words, with its interval."""
    headline = result.figures[HEADLINE]
    taking = f"taking {best(record)} each time"
    lowest = result.figures.get("lowest_tenth_return")
    # Where the worst tenth does as well as all, every episode came to the same.
    if lowest is not None and not headline.has_interval and lowest.value == headline.value and not record.together:
        each = f"In each of {wording.counted(record, headline.n)} {SEEDS}"
        alike = "All being alike, they give no interval."
        return f"{each}, it reached a return of {wording.figure(headline)}, {taking}. {alike}"
    return f"Over {wording.counted(record, headline.n)} {SEEDS}, it reached a mean return of {value}, {taking}."


def episodes(record: Record) -> str:
    """In how many copies it trained, and which episodes measure it."""
    copies = record.split_counts.get("train", 0)
    at_once = f"{wording.count(copies)} copies" if copies > 1 else "one copy"
    text = f"It trained in {at_once} of {wording.environment(record)}{' at once' if copies > 1 else ''}"
    seeds, modes, splits = (record.columns.get(name) or [] for name in ("seed", "mode", "split"))
    test = [(seed, mode) for seed, mode, split in zip(seeds, modes, splits, strict=False) if split == "test"]
    if not test:
        return f"{text}."
    kinds = Counter(mode for _, mode in test)
    numbers = wording.join([f"{wording.count(number)} {_by(mode, record)}" for mode, number in kinds.items()])
    low, high = min(seed for seed, _ in test), max(seed for seed, _ in test)
    return (
        f"{text}, and is measured on {counted(len(test), 'episode')}: {numbers}. They begin by the seeds "
        f"{low} to {high}, the same for each kind, which training cannot meet."
    )


def _by(mode: str, record: Record) -> str:
    return f"by {best(record)}" if mode == "likeliest action" else f"with {drawn(record)}"


def limit(record: Record) -> str:
    """What ends an episode that goes on and on, as far as the checkpoint knows."""
    fitted = preprocessing.domain(record, record.main.checkpoint) if record.main and not record.together else None
    if fitted is None:
        return ""
    own, longest = getattr(fitted, "limit", None), getattr(fitted, "longest", None)
    if own is not None:
        return f"The environment ends an episode by itself after {counted(own, 'step')}."
    if longest is not None:
        return f"The environment sets no limit to an episode; one is cut after {counted(longest, 'step')}."
    return ""
