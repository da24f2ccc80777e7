"""Text files whose lines are more than running text.

__label__good what a film      fastText, in front or behind; several labels are several
DESC:manner How did …          TREC: a class, and a finer one
It rose by 3% .@positive       Financial PhraseBank
pos.txt, neg.txt               a text a line, in files called after their classes (rt-polarity.pos)

These are read as tables are. What is learnt here in no way, or not so, is refused in words: a tag for each word,
chats and subtitles whose lines begin with times, trees, pairs of files to translate.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pervade.core.errors import DataError
from pervade.core.words import counted
from pervade.data.read import account, encodings

Record = dict[str, Any]
SAMPLE = 1 << 16  # bytes that tell what lines are
LEAST = 3  # lines
MOST_FILES = 5  # of a folder that are opened
CLASSES = {"pos", "neg", "neu", "positive", "negative", "neutral", "spam", "ham"}  # that files are called after
FASTTEXT = re.compile(r"__label__(\S+)\s*")
TREC = re.compile(r"([A-Z]{2,}):(\w+) (.+)")
PHRASES = re.compile(r"(.+)@([a-z]+)")
TAG = re.compile(r".*[\t ,](O|[BIESLU]-[\w-]+)")
CHAT = re.compile(r"\[?\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4},? \d{1,2}:\d{2}.*?[-\]:] .+")
SUBTITLE = re.compile(r"[\d:]+[,.]\d{3} --> [\d:]+[,.]\d{3}.*")
TREE = re.compile(r"\([0-4] .*\)")
ENDINGS = ("", ".txt", ".text", ".tsv", ".csv", ".conll", ".conllu", ".iob", ".iob2", ".bio", ".srt", ".vtt")
CODE = ("py", "js", "md", "ts", "rb", "rs", "go", "cs", "sh")  # endings that are no languages
TASK = "--task text-generation learns to write such lines as they stand"
A_LABEL = "for one class of each text write a table with a column text and a column label"


def kind(lines: Sequence[str]) -> Callable[[str], Record] | None:
    """What takes a line apart, where nearly all of these begin or end with their labels."""
    filled = [line.strip() for line in lines if line.strip()]
    if len(filled) < LEAST:
        return None
    if sum("__label__" in line for line in filled) > 0.95 * len(filled):
        return _fasttext
    if _share(TREC, filled) > 0.95:
        return _trec
    ends = [match[2] for line in filled if (match := PHRASES.fullmatch(line))]
    return _phrase if len(ends) == len(filled) >= 2 * len(set(ends)) else None


def _fasttext(line: str) -> Record:
    return {"text": FASTTEXT.sub("", line).strip(), "label": FASTTEXT.findall(line) or None}


def _trec(line: str) -> Record:
    match = TREC.fullmatch(line)
    return {"text": match[3], "label": match[1], "fine": f"{match[1]}:{match[2]}"} if match else {"text": line}


def _phrase(line: str) -> Record:
    match = PHRASES.fullmatch(line)
    return {"text": match[1].strip(), "label": match[2]} if match else {"text": line}


def records(path: Path, text: str) -> list[Record] | None:
    """The rows of a text file whose lines have their labels with them; None of any other."""
    take = kind(text[:SAMPLE].split("\n"))
    if take is None:
        return None
    rows = [take(line.strip()) for line in text.split("\n") if line.strip()]
    if take is _fasttext and all(len(row["label"] or "1") == 1 for row in rows):
        rows = [{**row, "label": row["label"] and row["label"][0]} for row in rows]
    shown = "fastText's, __label__" if take is _fasttext else "TREC's" if take is _trec else "behind an @"
    account.note(f"{path.name}: {counted(len(rows), 'line')}, each a text with its label ({shown})")
    return rows


# a text a line, in files called after their classes


def by_class(folder: Path) -> dict[Path, str]:
    """The files of a folder whose names say the class of the texts in them, a text a line; empty where only one does,
    or what else stands in their names differs. Raises OSError."""
    alike: dict[str, dict[Path, str]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        words = re.findall(r"[^\W\d_]+", path.name.lower())
        named_classes = [word for word in words if word in CLASSES]
        if len(named_classes) == 1 and path.suffix.lower().lstrip(".") in ("", "txt", *CLASSES) and path.is_file():
            alike[path.name.lower().replace(named_classes[0], "")][path] = named_classes[0]
    files = next((files for files in alike.values() if len(files) > 1), {})
    return files if all(len(_head(path)) >= LEAST for path in files) else {}


def of_classes(files: dict[Path, str], encoding: str) -> list[Record]:
    """The rows of such files. Raises DataError where one is in another encoding."""
    rows = []
    for path, label in files.items():
        lines = [line.strip() for line in encodings.decode(path.read_bytes(), path, encoding).split("\n")]
        texts = [{"text": line, "label": label} for line in lines if line]
        account.note(f"{path.name}: {counted(len(texts), 'line')}, each a text of the class {label!r}")
        rows += texts
    return rows


# what is refused


def refuse(path: Path) -> None:
    """Raises DataError where lines are what would be learnt as something else, or as nothing."""
    files = [path]
    if path.is_dir():
        there = [path for path in sorted(path.iterdir()) if path.is_file() and not path.name.startswith(".")]
        _refuse_pairs(path, there)
        files = [path for path in there if path.suffix.lower() in ENDINGS]
        files = files[:MOST_FILES] if 2 * len(files) > len(there) else []
    for file in files:
        lines = _head(file) if file.suffix.lower() in ENDINGS else []
        what = _other(lines) if len(lines) >= LEAST else None
        if what is not None:
            raise DataError(f"{file} holds {what}")


def _other(lines: Sequence[str]) -> str | None:
    """What lines are that are not learnt as they are, and what to do; None of any other."""
    shown = repr(lines[1][:40])
    if _share(SUBTITLE, lines) > 1 / 8:
        return f"subtitles, whose lines stand between numbers and times; {TASK}"
    if _share(CHAT, lines) > 1 / 2:
        return (
            f"lines that begin with their time, such as {shown}, as chats (WhatsApp's) and logs do: who asks and who "
            f"answers is not known; write a table with a column messages (lists of role and content), or {TASK}"
        )
    grammar = [line for line in lines if not line.startswith("#")]
    if grammar and all(line[0].isdigit() and line.count("\t") == 9 for line in grammar):
        return f"a word and its grammar in each line (CoNLL-U): classes of words are not learnt; {A_LABEL}"
    tagged = [match[1] for line in lines[1:] if (match := TAG.fullmatch(line))]
    if len(tagged) > 0.95 * (len(lines) - 1) and {"O"} < set(tagged):
        return f"a word and its tag in each line, such as {shown}: classes of words are not learnt; {A_LABEL}"
    return f"trees, such as {shown}; {A_LABEL}" if _share(TREE, lines) > 0.95 else None


def _share(form: re.Pattern[str], lines: Sequence[str]) -> float:
    return sum(form.fullmatch(line) is not None for line in lines) / len(lines)


def _refuse_pairs(folder: Path, files: Sequence[Path]) -> None:
    """Raises DataError where files of one name end with two languages: train.en and train.de, or train.en.txt."""
    pairs: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        language = re.fullmatch(r"(.+)\.([a-z]{2})(\.txt)?", path.name)
        if language and language[2] not in CODE:
            pairs[language[1]].append(path)
    for first, other, *_ in (files for files in pairs.values() if len(files) > 1):
        lines = first.read_bytes().count(b"\n")
        if lines == other.read_bytes().count(b"\n") >= LEAST:
            raise DataError(
                f"{folder} holds {first.name} and {other.name}, each with {lines:,} lines: there is no task to "
                "translate; a table with each text in a column prompt and its translation in a column completion "
                "teaches a model to answer so"
            )


def _head(path: Path) -> list[str]:
    """The first lines of a file that are not blank."""
    lines = encodings.head(path, SAMPLE).splitlines()
    return [line.rstrip() for line in lines if line.strip() and not line.startswith("-DOCSTART-")]
