"""What to be careful of with an agent. A return has no scale of its own: its distance from chance's is one."""

from __future__ import annotations

from pervade.report import wording
from pervade.report.record import Figure, Record, Result

LOOSE = 0.25  # of what it reaches beyond chance: an interval of its return this wide is too wide
WORSE = 0.10  # of the same: so much one way of acting must differ from the other to be told


def beyond_chance(result: Result) -> float | None:
    """How much what it reaches differs from what actions at random do; None where that is not known, or nothing."""
    own = result.headline
    other = result.baseline.get(own.name) if own else None
    if own is None or other is None or own.value is None or other.value is None:
        return None
    return abs(own.value - other.value) or None


def loose(record: Record, result: Result) -> str | None:
    """Half a sentence on an interval that is too wide."""
    own, reach = result.headline, beyond_chance(result)
    if own is None or reach is None or own.low is None or own.high is None or own.high - own.low < LOOSE * reach:
        return None
    anywhere = f"may lie anywhere from {wording.interval(own)}"
    if record.together:
        number = wording.count(len(record.together["members"]))
        return f"its {number} seeds differ so much that the {own.words.quantity} of all seeds {anywhere}"
    return f"only {wording.counted(record, own.n)} were measured, so the true {own.words.quantity} {anywhere}"


def ways_of_acting(record: Record) -> str | None:
    """Whether it does much worse where it draws its actions, or where it does not."""
    result = record.main
    own = result.headline if result else None
    other = result.figures.get(f"{own.name}_drawn") if result and own else None
    reach = beyond_chance(result) if result else None
    if own is None or other is None or own.value is None or other.value is None or reach is None:
        return None
    if abs(own.value - other.value) < WORSE * reach or not _apart(own, other):
        return None
    task, instead = record.words.task, f"{wording.measured(other)} instead of {wording.measured(own)}"
    text = f"With {task.drawn} its {own.words.quantity} is {instead}"
    if other.value < own.value:
        return f"{text}: let it take {task.best}, and expect less where something puts it off its course."
    return f"{text}: always taking {task.best} holds it back."


def _apart(one: Figure, other: Figure) -> bool:
    """Whether their intervals, or values where there is none, do not touch."""
    low, high = (one.low, one.high) if one.has_interval else (one.value, one.value)
    least, most = (other.low, other.high) if other.has_interval else (other.value, other.value)
    return bool((high or 0.0) < (least or 0.0) or (most or 0.0) < (low or 0.0))


def one_training(record: Record) -> str | None:
    """An agent gathers its own data, so that a small difference at the beginning grows."""
    inside = record.run.path.parent.name == "members"  # the run around it shows the others
    alone = record.main is not None and not record.members and not inside
    return record.words.task.one_training or None if alone else None


def crashed(record: Record) -> str | None:
    number = int(max((entry.get("crashes", 0) for entry in record.steps), default=0))
    if not number:
        return None
    times = "once" if number == 1 else f"{wording.count(number)} times"
    return f"The environment failed {times} in training and was opened anew: look into it, since episodes ended there."
