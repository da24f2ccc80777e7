"""Recordings with what is said in text files of the same name.

    a.wav, a.txt                              beside each other
    wav48/p225/p225_001.wav, txt/p225/…       VCTK's: in a folder that differs by one name
    a.wav, a.txt with "0.5\\t1.2\\tblackbird"   label tracks (Audacity's): pieces of recordings
    TRAIN/DR1/FCJF0/SA1.WAV, SA1.TXT          TIMIT's: "0 46797 She had …", by samples; its other files are left aside

Who speaks, or what else belongs together, is the folder that recordings lie in. Nothing is opened here but texts.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path

from pervade.data.read import account, division, encodings
from pervade.data.read.named_files import is_hidden
from pervade.data.read.table_files import Record
from pervade.data.rows.split import named

SUFFIX = ".txt"
NEARLY_ALL = 0.9  # of the recordings have a text
LOOKED_AT, FEWEST_WORDS = 20, 2  # texts that tell whether they say something, and words of these on average
_TRACK = re.compile(r"(-?\d+(?:[.,]\d+)?)\t(-?\d+(?:[.,]\d+)?)\t([^\t]*[^\W\d_][^\t]*)")  # a line of Audacity's
_TIMES = re.compile(rb"-?\d+(?:[.,]\d+)?\t-?\d+(?:[.,]\d+)?[\t\r\n]")
_SAMPLES = re.compile(r"\d+\s+\d+\s+(?=\D)")  # where it begins and ends, as TIMIT has it


def tracks(root: Path, suffixes: Collection[str]) -> list[Record]:
    """The rows of label tracks (Audacity's: start, end and label, parted by tabs), which all recordings have beside
    them: "file_name", "start", "end", "label". Raises as `find` does."""
    found, count, _ = _pairs(root, suffixes)
    if not found or len(found) < NEARLY_ALL * count:
        return []
    texts = {each: encodings.decode(text.read_bytes(), text).splitlines() for each, text in found.items()}
    # A line that begins with a backslash says which frequencies the label above it is of.
    lines = [(each, line) for each, text in texts.items() for line in text if line.strip() and line[0] != "\\"]
    rows = [(str(each.relative_to(root)), *match.groups()) for each, line in lines if (match := _TRACK.fullmatch(line))]
    names = ("file_name", "start", "end", "label")
    return [dict(zip(names, row, strict=True)) for row in rows] if len(rows) == len(lines) else []


def find(root: Path, suffixes: Collection[str]) -> dict[Path, Path]:
    """The text of each recording; none where too few have one, or where these say no more than a label does, or when
    something is heard. Raises OSError, and DataError where one is not UTF-8."""
    found, count, others = _pairs(root, suffixes)
    some = list(found.values())[:: max(len(found) // LOOKED_AT, 1)]
    words = [said(each).split() for each in some]
    if not found or len(found) < NEARLY_ALL * count or sum(map(len, words)) < FEWEST_WORDS * len(some):
        return {}
    if 2 * sum(_TIMES.match(each.read_bytes()[:100]) is not None for each in some) > len(some):
        return {}
    rest = "".join(f"; {many:,} files ending in {each!r} are left aside" for each, many in others.most_common(3))
    account.note(
        f"what is said: the files ending in {SUFFIX} that are called as recordings are, of {len(found):,} of "
        f"{count:,}{rest}",
        "--task audio-classification",
    )
    return found


def _pairs(root: Path, suffixes: Collection[str]) -> tuple[dict[Path, Path], int, Counter[str]]:
    """Of recordings the text, how many there are, and of other files how many have which ending."""
    recordings: list[Path] = []
    texts: dict[str, list[Path]] = defaultdict(list)
    others: Counter[str] = Counter()
    for folder, below, names in os.walk(root, followlinks=False):
        below[:] = sorted(each for each in below if not is_hidden(each))
        for path in (Path(folder, each) for each in sorted(names) if not is_hidden(each)):
            if path.suffix.lower() in suffixes:
                recordings.append(path)
            elif path.suffix.lower() == SUFFIX:
                texts[path.stem.casefold()].append(path)
            else:
                others[path.suffix.lower()] += 1
    return {each: text for each in recordings if (text := _of(each, texts))}, len(recordings), others


def _of(recording: Path, texts: dict[str, list[Path]]) -> Path | None:
    """The text in the same folder; else in one that differs by one name; else the only one. Two microphones (…_mic1)
    have one."""
    stem = recording.stem.casefold()
    there = texts.get(stem) or texts.get(re.sub(r"_mic\d+$", "", stem), [])
    own = recording.parent.parts

    def far(text: Path) -> int:
        other = text.parent.parts
        return sum(a != b for a, b in zip(own, other, strict=True)) if len(own) == len(other) else len(own)

    near = [each for each in there if far(each) < 2]
    return min(near, key=far) if near else there[0] if len(there) == 1 else None


def said(path: Path) -> str:
    """What a text says, in one line. Raises OSError, and DataError where it is not UTF-8."""
    return _SAMPLES.sub("", " ".join(encodings.decode(path.read_bytes(), path).split()), count=1)


def entries(root: Path, found: dict[Path, Path], grouped: bool) -> list[Record]:
    """ "id", "path", "text", where folders say it "split", and "group" where they are several beside splits."""
    made: list[Record] = []
    for recording, text in found.items():
        inside = recording.relative_to(root)
        split = next((split for each in inside.parts[:-1] if (split := named(each))), None)
        home = "/".join(each for each in inside.parts[:-1] if not named(each))
        entry: Record = {"id": inside.as_posix(), "path": str(recording), "text": said(text), "group": home}
        made.append(entry | ({"split": split} if split else {}))
    homes = sorted({each["group"] for each in made})
    if len(homes) < 2 or not grouped:
        return [{key: each[key] for key in each if key != "group"} for each in made]
    division.note_groups("the folders that recordings lie in", homes, "--group-pattern")
    return made
