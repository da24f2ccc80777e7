"""What the names of files say of them: `--label-pattern` and `--group-pattern`, regular expressions with one group.

0_jackson_12.wav     --label-pattern '(\\d)_'     label 0
                     --group-pattern '_(.+)_'    group jackson
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


def found(pattern: str, name: str) -> str | None:
    """What the group holds in the first place that fits; None where nothing does, or nothing is in it."""
    match = re.search(pattern, name)
    # macOS spells é as two characters, Linux as one; a class must not be two for that.
    return unicodedata.normalize("NFC", match[1]) if match and match[1] else None
