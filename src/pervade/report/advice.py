"""What may help a model that learnt hardly more than the commonest answer: what this run did not do yet."""

from __future__ import annotations

from pervade.core import spec
from pervade.metrics.baseline import UNEVEN
from pervade.report import preprocessing, wording
from pervade.report.record import Record, used

ONE_OF_SEVERAL = ("weights", "oversample", "focal")  # --imbalance, what mostly helps first
SEVERAL_LABELS = ("weights", "focal")


def collapsed(record: Record) -> bool:
    """Whether it never answered half of the classes, or is not shown to be better than always one and the same answer:
    more passes over the same rows then hardly help."""
    result = record.main
    if result is None or not record.words.task.classes:
        return False
    beside = result.details.get("baseline") or {}
    constant = bool(beside) and "predictions" not in beside and result.beats_baseline is False
    there = [own for own in result.by_class.values() if "recall" in own and own["recall"].n]
    return constant or bool(result.no_better_than) or 2 * len(result.never_answered) >= max(len(there), 1)


def instead(record: Record) -> str | None:
    """None where every class is answered, and more than always one answer is shown to be learnt."""
    lost = collapsed(record)
    if not lost and not (record.main and record.main.never_answered):
        return None
    ways = [way for way in (_weighing(record), pretrained(record), _whole(record)) if way]
    told = wording.join(ways or [f"more {wording.noun(record)} of the rare classes"], last="or")
    return f"What may help{', rather than more passes' if lost else ''}: {told}."


def pretrained(record: Record) -> str:
    """Empty where its first weights were learnt before."""
    drawn = used(record.init.get("init") or {}) == "random"
    return "a network whose weights were published (--init pretrained)" if drawn else ""


def _weighing(record: Record) -> str:
    counts = [count for count in (record.class_counts.get("train") or {}).values() if count]
    if len(counts) < 2 or max(counts) < UNEVEN * min(counts):
        return ""
    several = any(isinstance(target, list) for target in record.columns.get("target") or ())
    done = used(record.part("imbalance"))
    ways = [f"--imbalance {way}" for way in (SEVERAL_LABELS if several else ONE_OF_SEVERAL) if way != done][:2]
    return f"rare {'labels' if several else 'classes'} that weigh more ({' or '.join(ways)})"


def _whole(record: Record) -> str:
    """Settings by which more of each row is seen, as its domain names them."""
    known = preprocessing.domain(record, record.main.checkpoint) if record.main else None
    now = {} if known is None else spec.encode(known)
    settings = [
        f"-o domain.{name}={values[0]}"
        for name, values in record.words.domain.whole.items()
        if name in now and str(now[name]) not in values
    ]
    return f"whole {wording.noun(record)} ({' '.join(settings)})" if settings else ""
