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
    text_of, _, _ = _pairs(root, suffixes)
    # A line that begins with a backslash says which frequencies the label above it is of.
    texts = {path: encodings.decode(text.read_bytes(), text).splitlines() for path, text in text_of.items()}
    lines = [(path, line) for path, text in texts.items() for line in text if line.strip() and line[0] != "\\"]
    rows = [(str(path.relative_to(root)), *match.groups()) for path, line in lines if (match := _TRACK.fullmatch(line))]
    names = ("file_name", "start", "end", "label")
    return [dict(zip(names, row, strict=True)) for row in rows] if len(rows) == len(lines) else []


def find(root: Path, suffixes: Collection[str]) -> dict[Path, Path]:
    """The text of each recording; none where too few have one, or where these say no more than a label does, or when
    something is heard. Raises OSError, and DataError where one is not UTF-8."""
    text_of, count, others = _pairs(root, suffixes)
    sample = list(text_of.values())[:: max(len(text_of) // LOOKED_AT, 1)]
    words = [transcript(path).split() for path in sample]
    if sum(map(len, words)) < FEWEST_WORDS * max(len(sample), 1):
        return {}
    if 2 * sum(_TIMES.match(path.read_bytes()[:100]) is not None for path in sample) > len(sample):
        return {}
    rest = "".join(
        f"; {number:,} files ending in {suffix!r} are left aside" for suffix, number in others.most_common(3)
    )
    account.note(
        f"what is said: the files ending in {SUFFIX} that are called as recordings are, of {len(text_of):,} of "
        f"{count:,}{rest}",
        "--task audio-classification",
    )
    return text_of


def _pairs(root: Path, suffixes: Collection[str]) -> tuple[dict[Path, Path], int, Counter[str]]:
    """Of recordings the text, unless too few have one; how many there are, and of other files how many have which
    ending."""
    recordings: list[Path] = []
    texts: dict[str, list[Path]] = defaultdict(list)
    others: Counter[str] = Counter()
    for folder, below, names in os.walk(root, followlinks=False):
        below[:] = sorted(folder_name for folder_name in below if not is_hidden(folder_name))
        for path in (Path(folder, name) for name in sorted(names) if not is_hidden(name)):
            if path.suffix.lower() in suffixes:
                recordings.append(path)
            elif path.suffix.lower() == SUFFIX:
                texts[path.stem.casefold()].append(path)
            else:
                others[path.suffix.lower()] += 1
    text_of = {path: text for path in recordings if (text := _of(path, texts))}
    return text_of if len(text_of) >= NEARLY_ALL * len(recordings) else {}, len(recordings), others


def _of(path: Path, texts: dict[str, list[Path]]) -> Path | None:
    """The text in the same folder; else in one that differs by one name; else the only one. Two microphones (…_mic1)
    have one."""
    stem = path.stem.casefold()
    there = texts.get(stem) or texts.get(re.sub(r"_mic\d+$", "", stem), [])
    own = path.parent.parts

    def far(text: Path) -> int:
        other = text.parent.parts
        return sum(a != b for a, b in zip(own, other, strict=True)) if len(own) == len(other) else len(own)

    near = [text for text in there if far(text) < 2]
    return min(near, key=far) if near else there[0] if len(there) == 1 else None


def transcript(path: Path) -> str:
    """What a text says, in one line. Raises OSError, and DataError where it is not UTF-8."""
    return _SAMPLES.sub("", " ".join(encodings.decode(path.read_bytes(), path).split()), count=1)


def entries(root: Path, text_of: dict[Path, Path], grouped: bool) -> list[Record]:
    """ "id", "path", "text", where folders say it "split", and "group" where they are several beside splits."""
    made: list[Record] = []
    for path, text in text_of.items():
        inside = path.relative_to(root)
        split = next((split for folder_name in inside.parts[:-1] if (split := named(folder_name))), None)
        home = "/".join(folder_name for folder_name in inside.parts[:-1] if not named(folder_name))
        entry: Record = {"id": inside.as_posix(), "path": str(path), "text": transcript(text), "group": home}
        made.append(entry | ({"split": split} if split else {}))
    homes = sorted({entry["group"] for entry in made})
    if len(homes) < 2 or not grouped:
        return [{key: entry[key] for key in entry if key != "group"} for entry in made]
    division.note_groups("the folders that recordings lie in", homes, "--group-pattern")
    return made
