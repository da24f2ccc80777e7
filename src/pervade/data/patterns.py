"""What the names of files say of them: `--label-pattern` and `--group-pattern`, regular expressions with one group.
They read the file's name; one with a slash in it reads the path below the data.

0_jackson_12.wav     --label-pattern '(\\d)_'     label 0
                     --group-pattern '_(.+)_'    group jackson
anna/7_12.wav        --group-pattern '^(.+)/'    group anna
"""

from __future__ import annotations

import re
import unicodedata

from pervade.core.errors import ConfigError


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


def found(pattern: str, inside: str) -> str | None:
    """What the group holds in the first place that fits, of a file by its path below the data, with slashes; None where
    nothing fits, or nothing is in it. Without a slash the pattern reads the name alone: a person whose files lie in
    several class folders is one person.

    >>> found("^(.+)_", "cat/anna_7.png"), found("^(.+)/", "cat/anna_7.png")
    ('anna', 'cat')
    """
    match = re.search(pattern, inside if "/" in pattern else inside.rpartition("/")[2])
    # macOS spells é as two characters, Linux as one; a class must not be two for that.
    return unicodedata.normalize("NFC", match[1]) if match and match[1] else None
