"""Numbers and names as a reader says them. Every sentence of the report and the model card takes them from here."""

from __future__ import annotations

import math
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pervade.data import pieces
from pervade.progress import duration
from pervade.report.record import Figure, Record

__all__ = [
    "command",
    "count",
    "duration",
    "figure",
    "interval",
    "join",
    "label",
    "measured",
    "noun",
    "number",
    "percent",
    "title",
]

# What one row is called; a domain that is not listed has "examples".
NOUNS = {
    "image": ("picture", "pictures"),
    "text": ("text", "texts"),
    "corpus": ("text", "texts"),
    "instructions": ("conversation", "conversations"),
    "preferences": ("pair of answers", "pairs of answers"),
    "masked": ("text", "texts"),
    "questions": ("question", "questions"),
    "speech": ("recording", "recordings"),
    "sound": ("recording", "recordings"),
    "transcripts": ("recording", "recordings"),
    "dictation": ("recording", "recordings"),
    "waveform": ("recording", "recordings"),
    "environment": ("episode", "episodes"),
}

# Domains of sound, whose groups of rows are mostly speakers.
HEARD = ("speech", "sound", "transcripts", "dictation", "waveform")

NUMBERS = {2: "two", 3: "three", 4: "four"}

# Metrics that are shares of rows, which people read as percentages. The others are plain numbers.
SHARES = (
    *("accuracy", "balanced_accuracy", "precision", "recall", "exact_match", "masked_accuracy"),
    *("subset_accuracy", "hamming_loss", "coverage"),
    *("chosen_likelier", "chosen_likelier_per_token"),
    *("equal_error_rate", "threshold_accuracy", "threshold_far", "threshold_frr"),
    *("cut_share", "better_than_chance"),
    "sentences_right",
)

# Read as percentages too, but no shares: what is written too much counts, so they can exceed 100%.
ERROR_RATES = ("word_error_rate", "character_error_rate")

# Sums of rewards and numbers of steps, whose size is the environment's: four figures of them, not three decimals.
SUMS = (
    *("mean_return", "mean_return_drawn", "interquartile_mean_return", "lowest_tenth_return", "mean_length"),
    *("return", "episode_length"),
)

TITLES = {
    "chosen_likelier": "Share of pairs with the chosen answer likelier",
    "chosen_likelier_per_token": "Share of pairs with the chosen answer likelier, by the token",
    "accuracy": "Right answers (accuracy)",
    "equal_error_rate": "Equal error rate (EER)",
    "tar_at_far_0.01": "One person accepted where 1% of strangers are (TAR at FAR 1%)",
    "tar_at_far_0.001": "One person accepted where 0.1% of strangers are (TAR at FAR 0.1%)",
    "threshold_accuracy": "Right answers at the settled threshold, both kinds of pairs counting the same",
    "threshold_far": "Strangers accepted at the settled threshold (FAR)",
    "threshold_frr": "One person rejected at the settled threshold (FRR)",
    "recall_at_1": "The right one found first (recall at 1)",
    "recall_at_5": "The right one among the first five (recall at 5)",
    "map_at_r": "Mean average precision at R",
    "balanced_accuracy": "Right answers, each class counting the same (balanced accuracy)",
    "precision_macro": "Precision, mean over classes",
    "recall_macro": "Recall, mean over classes",
    "f1_macro": "F1, mean over classes",
    "precision_weighted": "Precision, mean over rows",
    "f1_weighted": "F1, mean over rows",
    "roc_auc": "Area under the ROC curve",
    "pr_auc": "Area under the precision-recall curve",
    "log_loss": "Log-loss",
    "brier": "Brier score",
    "ece": "Expected calibration error",
    "mean_average_precision": "Mean average precision",
    "average_precision": "Average precision",
    "f1": "F1",
    "masked_accuracy": "Hidden words named right",
    "masked_perplexity": "Perplexity of hidden words",
    "f1[answerable]": "F1, of questions that have an answer",
    "f1[unanswerable]": "F1, of questions that have none",
    "exact_match": "Right to the letter (exact match)",
    "f1_micro": "F1, of all answers together",
    "f1_samples": "F1, mean over rows",
    "subset_accuracy": "Rows with all labels right (subset accuracy)",
    "hamming_loss": "Wrong among all single answers (Hamming loss)",
    "r2": "Share of variance explained (R²)",
    "spearman": "Correlation of ranks (Spearman)",
    "coverage": "Truths inside the interval given with the answer",
    "mean_return": "Return of an episode, mean (likeliest actions)",
    "mean_return_drawn": "Return of an episode, mean (actions drawn from the policy)",
    "interquartile_mean_return": "Return of the middle half of the episodes (interquartile mean)",
    "lowest_tenth_return": "Return of the worst tenth of the episodes",
    "mean_length": "Steps of an episode, mean",
    "cut_share": "Episodes cut for their length",
    "word_error_rate": "Word error rate (WER)",
    "character_error_rate": "Character error rate (CER)",
    "sentences_right": "Recordings with every word right",
    "bits_per_sample": "Bits for each sample of sound",
    "human_normalised": "Return between a random policy (0) and a person (1)",
}


def title(metric: str) -> str:
    """
    >>> title("words_seen")
    'Words seen'
    """
    return TITLES.get(metric) or (metric[:1].upper() + metric[1:]).replace("_", " ")


def inside(metric: str) -> str:
    """A title inside a sentence; what is written in capitals stays so.

    >>> inside("bits_per_byte"), inside("f1"), inside("word_error_rate")
    ('bits per byte', 'F1', 'word error rate')
    """
    found = title(metric).partition(" (")[0] if metric in ERROR_RATES else title(metric)
    return found if not found[1:2].islower() else found.lower()


def quantity(metric: str) -> str:
    """What it is the size of, after "the": 'share of right answers', 'word error rate'."""
    return "share of right answers" if metric == "accuracy" else inside(metric)


def is_share(metric: str) -> bool:
    base = metric.partition("[")[0]
    return base in SHARES or base.startswith(("precision_", "recall_", "tar_at_far_"))


def in_percent(metric: str) -> bool:
    """Whether people read it as a percentage: a share, or a rate that may exceed 100%."""
    return is_share(metric) or metric.partition("[")[0] in ERROR_RATES


def percent(share: float, digits: int = 1) -> str:
    """
    >>> percent(0.617)
    '61.7%'
    """
    return f"{100 * share:.{digits}f}%"


def count(number: int) -> str:
    return f"{number:,}"


def value(metric: str, number: float | None) -> str:
    if number is None:
        return "–"
    if in_percent(metric):
        return percent(number)
    if metric in SUMS:
        return four(number)
    if 0 < abs(number) < 0.001:
        return f"{number:.2g}"
    return f"{number:.3f}" if abs(number) < 1000 else f"{number:,.0f}"


def number(value: float) -> str:
    """Four figures of a measured number, as people write it.

    >>> number(1234567.8), number(0.00012345)
    ('1,234,568', '0.0001234')
    """
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def four(sum_of: float, beside: float = 0.0) -> str:
    """Four figures of it, or as many decimals as a larger number `beside` it has.

    >>> four(500.0), four(81.63), four(-1041.93), four(-0.0), four(0.148, 609.3)
    ('500', '81.63', '-1,042', '0', '0.1')
    """
    largest = max(abs(sum_of), abs(beside), 0.1)
    digits = 0 if largest >= 1000 else 3 - math.floor(math.log10(largest))
    shown = f"{sum_of:,.{digits}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return "0" if shown == "-0" else shown


def figure(each: Figure) -> str:
    return value(each.name, each.value)


def interval(each: Figure) -> str:
    """
    >>> interval(Figure("accuracy", 0.617, 0.5864, 0.6466, 1000))
    '58.6 to 64.7%'
    """
    if each.value is None or each.low is None or each.high is None:
        return "no interval"
    if each.name in SUMS:
        return f"{four(each.low, each.high)} to {four(each.high, each.low)}"
    low, high = value(each.name, each.low), value(each.name, each.high)
    return f"{low.removesuffix('%')} to {high}"


def direction(each: Figure) -> str:
    """Said of figures that are the better the smaller they are; the others are what people expect."""
    return "lower is better" if each.higher_is_better is False else ""


def measured(each: Figure) -> str:
    """A value with its interval, in one go: '61.7% (58.6 to 64.7%)'."""
    return f"{figure(each)} ({interval(each)})" if each.has_interval else figure(each)


def noun(record: Record, number: int = 2) -> str:
    return noun_of(record.part("domain"), number)


def noun_of(domain: Mapping[str, Any], number: int = 2) -> str:
    single, plural = NOUNS.get(str(domain.get("use")), ("example", "examples"))
    return single if number == 1 else plural


def group(record: Record, number: int = 2) -> str:
    return group_of(record.part("domain"), number, record.columns)


def group_of(domain: Mapping[str, Any], number: int = 2, columns: Mapping[str, Sequence[Any]] | None = None) -> str:
    """What rows that belong together are called: as the column, or the group of the pattern, that says so, where that
    is a word; else speakers where rows are sounds, unless a pattern says what only its author knows, or their `columns`
    that they are pieces of recordings."""
    if pieces.are_groups(columns or {}):
        return "recording" if number == 1 else "recordings"
    pattern = domain.get("group_pattern")
    column = str(domain.get("group_column") or _named(pattern))
    named = re.sub(r"[\W_]*(id|name|number|no)?$", "", column.lower()[-100:]).replace("_", " ")
    usual = "speaker" if domain.get("use") in HEARD and not pattern else "group"
    one = named if re.fullmatch(r"[a-z ]{3,20}[a-rt-z]", named) else usual
    return one if number == 1 else f"{one}s"


def _named(pattern: object) -> str:
    """How the group of a regular expression is called in it, (?P<machine>...); empty where it has no name."""
    found = re.search(r"\(\?P<(\w+)>", pattern) if isinstance(pattern, str) else None
    return found[1] if found else ""


def heard(record: Record) -> bool:
    """Whether rows are sounds."""
    return record.part("domain").get("use") in HEARD


def passes(record: Record, number: float = 2) -> str:
    """What training is counted in: of an agent there is no data to pass over."""
    single, plural = ("round", "rounds") if record.acts else ("pass", "passes")
    return single if number == 1 else plural


def after(passes: float, one: str = "pass") -> str:
    """
    >>> after(3), after(0.28)
    ('after pass 3', 'after 0.28 passes')
    """
    return (
        f"after {one} {passes:g}"
        if passes == int(passes) and passes
        else f"after {passes:g} {one}{'es' if one == 'pass' else 's'}"
    )


def environment(record: Record) -> str:
    """The environment that an agent acts in, by its name."""
    return label(record.part("domain").get("name") or "an environment")


def counted(record: Record, number: int) -> str:
    """'1 picture', '1,000 pictures'."""
    return f"{count(number)} {noun(record, number)}"


def label(text: object, most: int = 60) -> str:
    """A class's name on one line: what cannot be seen is made visible or dropped, and what is endless is cut.

    >>> label("one\\ntwo")
    'one⏎two'
    """
    shown = "".join(
        "⏎" if each == "\n" else " " if each == "\t" else each
        for each in str(text)
        # Control characters and the marks that turn the reading direction of all that follows.
        if each in "\n\t" or unicodedata.category(each) not in ("Cc", "Cf", "Cs") or each in "\u200c\u200d"
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def quoted(text: object, most: int = 60) -> str:
    """A name in a sentence. One that is read from the right is set apart with Unicode's isolates, or it would take the
    signs and numbers after it to its other side."""
    shown = label(text, most)
    turned = any(unicodedata.bidirectional(each) in ("R", "AL") for each in shown)
    return f"\u2068“{shown}”\u2069" if turned else f"“{shown}”"


def join(parts: Sequence[str], most: int = 6, last: str = "and") -> str:
    """
    >>> join(["a", "b", "c"])
    'a, b and c'
    >>> join(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    shown = list(parts)
    if len(shown) > most:
        shown = [*shown[:most], f"{count(len(parts) - most)} more"]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def command(*words: str) -> str:
    """A line for the shell, quoted where it must be."""
    return shlex.join(words)
