"""The bytes of a file as text: a byte order mark is believed; else it is UTF-8, unless whoever asks has a setting for
it: one encoding, or several by commas, of which the first that fits is taken, file by file.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from pervade.core.errors import DataError

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FLAG = "--encoding"
LOOKED_AT = 200_000  # bytes that tell which encoding a file seems to be in
# Signs of cp1252 that stand between two letters in no language that is written in it: "bia³y" is Polish in cp1250.
_NO_LETTERS = re.compile(r"[^\W\d_][^\x00-\x7f\w’‘´·\-–—…“”„«»\xad][^\W\d_]|[^\W\d_][¹²³ªº][^\W\d_]")


def marked(data: bytes) -> str | None:
    """The encoding that a byte order mark says."""
    return next((name for mark, name in MARKS.items() if data.startswith(mark)), None)


def head(path: Path, most: int) -> str:
    """The text at the beginning of a file, in whole lines; empty where it cannot be opened, which its reader says."""
    try:
        with path.open("rb") as file:
            data = file.read(most)
        text = data.decode(marked(data) or "utf-8", "replace")
    except (OSError, UnicodeError):
        return ""
    return text.rpartition("\n")[0] if len(data) == most else text


def decode(data: bytes, path: Path, encoding: str | None = None) -> str:
    """The text of a file, as `decode_with_name` gives it."""
    return decode_with_name(data, path, encoding)[0]


def decode_with_name(data: bytes, path: Path, encoding: str | None = None) -> tuple[str, str]:
    """The text of a file, and the encoding it is in. `encoding` is None where whoever asks has no setting for it.

    Raises DataError naming the first byte that is not in the encoding, and an encoding that fits.
    """
    mark = marked(data)
    asked = [mark] if mark else [name.strip() for name in (encoding or "utf-8").split(",")]
    first = -1
    for name in asked:
        try:
            return data.decode(name), name
        except UnicodeDecodeError as error:
            first = error.start if first < 0 else first
    fits = None if mark else detected(data)
    seems = f", it looks like {fits}" if fits else ""
    remedy = f", or read it with {FLAG} {fits}" if fits and encoding is not None and fits not in asked else ""
    names = " or ".join("UTF-8" if name.lower() in ("utf-8", "utf8") else name for name in asked)
    raise DataError(f"{path} is not {names} (byte {first}){seems}; save it as UTF-8{remedy}")


def detected(data: bytes) -> str | None:
    """The encoding that a file that is not UTF-8 seems to be in; None where nothing is likely. What most such files are
    in comes first where it fits: Windows writes cp1252 in the west, gb18030 in China."""
    from charset_normalizer import from_bytes

    head = data[:LOOKED_AT]
    if _chinese(head):
        return "gb18030"
    if _western(head):
        return "cp1252"
    best = from_bytes(head).best()
    return None if best is None or best.encoding in ("ascii", "utf_8") else str(best.encoding)


def _western(head: bytes) -> bool:
    """Whether it is cp1252: most letters are plain ones, and no sign stands inside a word."""
    try:
        text = head.decode("cp1252")
    except UnicodeDecodeError:
        return False
    letters = [character for character in text if character.isalpha()]
    return 3 * sum(not letter.isascii() for letter in letters) <= len(letters) and not _NO_LETTERS.search(text)


def _chinese(head: bytes) -> bool:
    """Whether it is gb18030: nearly all characters are among the 6,763 of GB 2312, which stand by sound and by radical,
    and some of them behind those places that Korean and Japanese files use as well."""
    try:
        codecs.getincrementaldecoder("gb18030")().decode(head)
    except UnicodeDecodeError:
        return False
    pairs = re.findall(rb"[\x81-\xfe][\x40-\xfe]", head)
    leads = [pair[0] for pair in pairs if pair[1] >= 0xA1]
    usual = sum(0xB0 <= lead <= 0xF7 or lead in (0xA1, 0xA3) for lead in leads)
    behind = sum(0xC9 <= lead <= 0xD7 for lead in leads)
    return bool(pairs) and usual >= 0.9 * len(pairs) and behind >= 0.05 * len(pairs)


def are_encodings(names: str) -> bool:
    """Whether each of these, by commas, is the name of an encoding of text, as hex is not."""
    try:
        return all("a".encode(name.strip()) for name in names.split(","))
    except (LookupError, ValueError):
        return False


def anew(names: str) -> str:
    """The encodings of data that come later than those that were learnt from: each file is UTF-8, else as those were,
    which come first where they may be UTF-8 byte by byte."""
    return names if names.lower() in ("utf-8", "utf8") else first_utf8(names)


def first_utf8(names: str) -> str:
    """These encodings, by commas, with UTF-8 in front; or at the end, where one of them writes letters of every kind in
    the bytes of ASCII (UTF-16, ISO-2022-JP, UTF-7), so that all it writes may be UTF-8 as well."""
    return f"{names},utf-8" if any(_in_ascii(name.strip()) for name in names.split(",")) else f"utf-8,{names}"


def _in_ascii(name: str) -> bool:
    try:
        return "中".encode(name)[-2:].isascii()  # behind the byte order mark
    except UnicodeError:
        return False
