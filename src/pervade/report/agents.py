"""What is said of an agent and of nothing else: its episodes, by which seeds, and what ends them."""

from __future__ import annotations

from collections import Counter

from pervade.core.words import counted
from pervade.report import preprocessing, wording
from pervade.report.record import Record


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
    number, ways = max(kinds.values()), wording.join([_by(mode, record) for mode in kinds])
    low, high = min(seed for seed, _ in test), max(seed for seed, _ in test)
    return (
        f"{text}, and is measured in {counted(number, 'episode')}{' of each kind' if len(kinds) > 1 else ''}: {ways}. "
        f"They begin by the seeds {low} to {high}, the same for each kind, which training cannot meet."
    )


def _by(mode: str, record: Record) -> str:
    task = record.words.task
    return f"by {task.best}" if mode == "likeliest action" else f"with {task.drawn}"


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
