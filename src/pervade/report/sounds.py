"""What is said of models of sound in the first lines and the model card, and of nothing else."""

from __future__ import annotations

from pervade.report import wording
from pervade.report.record import Record, Result

BITS = "bits_per_sample"
WORDS, CHARACTERS = "word_error_rate", "character_error_rate"


def measured(result: Result, rows: str, value: str) -> str | None:
    """The verdict's sentence, where it is about sound alone; `rows` are counted in words, and `value` is the headline
    with its interval."""
    headline = result.headline
    if headline is None:
        return None
    if headline.name == BITS:
        return f"On {rows}, it needed {value} bits for each sample: the fewer, the better it foresees the sound."
    if headline.name not in (WORDS, CHARACTERS):
        return None
    unit = "words" if headline.name == WORDS else "characters"
    text = (
        f"On {rows}, its {wording.inside(headline.name)} was {value}: for every 100 {unit} said, about "
        f"{100 * (headline.value or 0.0):.0f} are wrong, which is to say taken for another, left out or put in."
    )
    whole = result.figures.get("sentences_right")
    if whole is not None and whole.value is not None:
        text += f" Every word was right in {wording.measured(whole)} of them."
    return text


def use(record: Record) -> str:
    """What it is made for, as the model card says it; empty where it is no such model."""
    task = record.part("task").get("use")
    if task == "transcribe":
        return (
            "It is made to write down speech like that it was trained on. Where it does not understand, it writes "
            "something all the same, and what it writes reads like what might have been said: names, numbers and "
            "negations should be checked against the recording."
        )
    if task == "synthesise":
        return (
            "It is made to generate sound like the recordings it was trained on. What it generates was said by nobody; "
            "where it sounds like a person, that person did not say it and should have agreed to it."
        )
    return ""
