"""What the names of files say of them: `--label-pattern` and `--group-pattern`, regular expressions with one group.
They read the file's name; one with a slash in it reads the path below the data.

0_jackson_12.wav     --label-pattern '(\\d)_'     label 0
                     --group-pattern '_(.+)_'    group jackson
anna/7_12.wav        --group-pattern '^(.+)/'    group anna
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from pervade.core.errors import ConfigError
from pervade.data.rows.split import named

MOST_NAMES = 2000  # evenly spaced, that are looked at for a pattern
MOST_PARTS, MOST_LETTERS = 8, 20  # of a name, that may be labels
NUMBER = "^([0-9]+)[_-]"
MOST_TOLD = 3  # patterns, and values that each takes


def check(pattern: str | None, option: str) -> None:
    """Raises ConfigError where it is no regular expression with just one group."""
    if pattern is None:
        return
    example = "put what is to be read in brackets, such as '(\\d+)_' for the number in 7_anna.wav"
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(f"{option} {pattern!r} is no regular expression ({error}); {example}") from None
    if groups != 1:
        raise ConfigError(f"{option} {pattern!r} has {groups} groups in brackets, not one; {example}")


def extract(pattern: str, inside: str) -> str | None:
    """What the group holds in the first place that fits, of a file by its path below the data, with slashes; None where
    nothing fits, or nothing is in it. Without a slash the pattern reads the name alone: a person whose files lie in
    several class folders is one person.

    >>> extract("^(.+)_", "cat/anna_7.png"), extract("^(.+)/", "cat/anna_7.png")
    ('anna', 'cat')
    """
    match = re.search(pattern, inside if "/" in pattern else inside.rpartition("/")[2])
    # macOS spells é as two characters, Linux as one; a class must not be two for that.
    return unicodedata.normalize("NFC", match[1]) if match and match[1] else None


def level(number: int) -> str:
    """The pattern that takes the folder at a depth below the data, 0 being the uppermost.

    >>> extract(level(0), "dogs/pug/1.png"), extract(level(1), "dogs/pug/1.png")
    ('dogs', 'pug')
    """
    return "^" + ("[^/]+/" if number == 1 else f"(?:[^/]+/){{{number}}}" if number else "") + "([^/]+)/"


def likely(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Patterns that may take labels from most of these names of files, with the values that they take: what stands
    before a number, a part between underscores or hyphens, or one letter of names that are all as long. What they take
    comes twice and more on average. Words come before numbers.

    >>> likely(["cat.0.jpg", "cat.1.jpg", "dog.0.jpg", "dog.1.jpg"])[0]
    ('^([^0-9]*[^\\W0-9_])[\\W_]*[0-9]', ['cat', 'dog'])
    """
    sample = [name.rpartition("/")[2] for name in names[:: max(len(names) // MOST_NAMES, 1)]]
    tried = [r"^([^0-9]*[^\W0-9_])[\W_]*[0-9]"]
    for sign in (sign for sign in "_-" if 2 * sum(sign in name for name in sample) > len(sample)):
        part = f"[^{sign}]+{sign}+"
        before = ["", part, *(f"(?:{part}){{{i}}}" for i in range(2, MOST_PARTS))]
        tried += [*(f"^{prefix}([^{sign}.]+)" for prefix in before), f"{sign}([^{sign}.]+)[.][^.]+$"]
    letters = range(1, min(len(sample[0]), MOST_LETTERS)) if len({len(name) for name in sample}) == 1 else ()
    good = _fitting(tried, sample) or _fitting([f"^.{{{i}}}([^\\W0-9_])" for i in letters], sample)
    good = good or _fitting(["^([0-9]+)"], sample)
    return sorted(good, key=lambda tried: not any(map(str.isalpha, tried[1][0])))[:MOST_TOLD]


def _fitting(tried: Sequence[str], names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Those of the patterns that part the names, each in another way, with what they take."""
    good: dict[tuple[str | None, ...], tuple[str, list[str]]] = {}
    for pattern in tried:
        taken = tuple(extract(pattern, name) for name in names)
        values = Counter(value for value in taken if value is not None)
        once = sum(count == 1 for count in values.values())
        several = 2 <= len(values) <= values.total() / 2 and 2 * once <= len(values)
        if 2 * values.total() > len(names) and several and not all(map(named, values)):
            good.setdefault(taken, (pattern, sorted(values)))
    return list(good.values())


def advice(names: Sequence[str]) -> str:
    """Which patterns may take labels from the names of files, in words; empty where none does."""
    advised = []
    numbers = [number for name in names if (number := extract(NUMBER, name)) is not None]
    if 2 * len(numbers) > len(names) and 2 < len(set(numbers)) <= 0.8 * len(names):  # and no counter
        shown = ", ".join(numbers[:MOST_TOLD])
        advised.append(
            f"--label-pattern '{NUMBER}', which takes numbers ({shown} …), for a task that ends in -regression"
        )
    for pattern, values in likely(names):
        shown = ", ".join(values[:MOST_TOLD]) + (" …" if len(values) > MOST_TOLD else "")
        advised.append(f"--label-pattern '{pattern}', which takes {shown} from the names")
    return ", or ".join(advised)
