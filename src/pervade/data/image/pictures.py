"""From the bytes of a picture file to pixels, or a reason in plain words why not."""

from __future__ import annotations

import functools
import importlib.util
import io
import os
import threading
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

# DICOM is looked at, so that it is refused with what to do, and not for its name.
SUFFIXES = frozenset(
    ".jpg .jpeg .jfif .png .gif .bmp .webp .tif .tiff .ppm .pgm .pbm .pnm .ico .tga .jp2".split()  # noqa: SIM905
) | {".avif", ".heic", ".heif", ".dcm", ".dicom"}
# Pillow's readers of these (JPEG's reads MPO too). No others: EPS's would start Ghostscript on what a stranger sent.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000", "AVIF")
HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")  # brands; the last two are AVIF's too
TIFF = (b"II*\0", b"MM\0*")
NUMBERS = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")  # Pillow's modes of grey pictures of more than 8 bits
LARGEST = 1e30  # of their values
PACKED = 4  # bytes of a pixel of theirs (float32), which tell them from 1 and 3 channels of 8 bits
MAX_PIXELS = 178_956_970  # where Pillow raises: a decoded RGB picture of half a gigabyte
LONGEST = 4  # a picture longer than this many times its width is decoded smaller: to as many pixels
TILES = 20  # at most, of one picture, and of more than that many squares the middle


class PictureFault(ValueError):
    """Why a file cannot be used as a picture."""


class _Quiet:
    """Silences warnings while any thread is inside. `warnings.catch_warnings` alone is not safe with threads: the one
    that leaves last would put back what another had set."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.filters = warnings.catch_warnings()
                self.filters.__enter__()
                warnings.simplefilter("ignore")
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.filters.__exit__(None, None, None)


_quiet = _Quiet()


def decoder() -> str:
    """What pixels, or why there are none, depend on besides the file; the first number is that of the code below."""
    return f"2, Pillow {PIL.__version__}" + (", pillow-heif" if importlib.util.find_spec("pillow_heif") else "")


def decode(data: bytes, side: int, channels: int, longest: int = LONGEST) -> np.ndarray:
    """Pixels (h, w, channels) uint8 with the shorter side scaled to `side`; of a picture of numbers (of more than 8
    bits) these, (h, w, 1) float32. One longer than `longest` times its width has as many pixels as if it were not.

    The first frame of an animation, turned as EXIF says, transparency over white. Raises PictureFault.
    """
    if not data:
        raise PictureFault("the file is empty (0 bytes)")
    if data[128:132] == b"DICM":
        raise PictureFault(
            "DICOM is not read; write its pixels to a 16-bit PNG or TIFF (with pydicom and Pillow), where the values "
            "stay as they are"
        )
    heic = _is_heic(data)
    if heic and not _reads_heic():
        raise PictureFault("HEIC needs the package pillow-heif; pip install 'pervade[files]'")
    try:
        # Pillow warns of large sizes, which are wanted, and of odd metadata, which does not matter to pixels.
        with _quiet, Image.open(io.BytesIO(data), formats=("HEIF",) if heic else FORMATS) as picture:
            # A JPEG far larger than needed decodes at 1/2, 1/4 or 1/8, several times as fast.
            picture.draft("RGB", (2 * side, 2 * side))
            deep = picture.mode not in NUMBERS and ";16" in str(picture.tile)  # Pillow takes the upper 8 bits of these
            plain = _plain(picture)
        if deep and 0 < np.max(plain.getextrema()) < 16:
            raise PictureFault(
                "its colours are of 12 bits or fewer in 16, of which only the upper 8 can be read: nearly black; write "
                "it with 8 bits"
            )
    except PictureFault:
        raise
    except UnidentifiedImageError:
        if data[:4] in TIFF:
            raise PictureFault(
                "a TIFF that is damaged, or of a kind that cannot be read (numbers of 64 bits, or several bands of "
                "numbers); write it with one band of 16 or 32 bits"
            ) from None
        raise PictureFault("this is not a picture, or of a kind that cannot be read") from None
    except (Image.DecompressionBombError, MemoryError):
        # Pillow looks at the size before it decodes.
        raise PictureFault(f"it would fill the memory (at most {MAX_PIXELS:,} pixels are decoded)") from None
    except Exception as error:
        # Pillow's readers raise almost anything at damaged files: OSError, SyntaxError, struct.error, KeyError …
        raise PictureFault(f"damaged or cut off ({str(error) or type(error).__name__})") from None
    return _pixels(_whole(plain, side, longest), channels)


def size(data: bytes) -> tuple[int, int]:
    """Width and height as the file says them, nothing decoded. Raises PictureFault."""
    try:
        heic = _is_heic(data) and _reads_heic()
        with _quiet, Image.open(io.BytesIO(data), formats=("HEIF",) if heic else FORMATS) as picture:
            return picture.size
    except Exception as error:  # Pillow's readers raise almost anything at damaged files
        raise PictureFault(f"damaged or no picture ({str(error) or type(error).__name__})") from None


def _is_heic(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in HEIC and b"avif" not in data[8:64]


@functools.cache
def _reads_heic() -> bool:
    """Whether pillow-heif is there; from then on Pillow knows it."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _plain(picture: Image.Image) -> Image.Image:
    """8-bit grey or RGB, or grey of 32-bit numbers; upright."""
    picture.load()
    try:
        upright = ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF, of which Pillow raises almost anything; the pixels are good
        upright = picture
    if upright.mode in NUMBERS:
        values = np.asarray(upright, dtype=np.float32)
        wrong = ~(np.abs(values) <= LARGEST)
        if wrong.any():
            row, column = np.argwhere(wrong)[0] + 1
            raise PictureFault(
                f"it holds pixels that are no numbers (NaN, infinite or beyond {LARGEST:g}), the first in row {row}, "
                f"column {column}; set them to a number"
            )
        return Image.fromarray(values)
    if upright.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        page = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(page, upright).convert("RGB")
    return upright if upright.mode in ("L", "RGB") else upright.convert("RGB")


def shorter(picture: Image.Image, side: int, longest: int) -> Image.Image:
    """With the shorter side scaled to `side`; of what is longer than `longest` times its width the middle."""
    width, height = picture.size
    short = min(width, height)
    kept_width, kept_height = min(width, short * longest), min(height, short * longest)
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    size = (max(round(side * kept_width / short), side), max(round(side * kept_height / short), side))
    if size == picture.size:
        return picture
    box = (left, top, left + kept_width, top + kept_height)
    return picture.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _whole(picture: Image.Image, side: int, longest: int) -> Image.Image:
    """All of it: with the shorter side scaled to `side`, or with as many pixels as the longest has of which that is so.
    What is seen of it is known later, once all shapes are."""
    width, height = picture.size
    if max(width, height) <= longest * min(width, height):
        return shorter(picture, side, longest)
    factor = side * (longest / (width * height)) ** 0.5
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)


def fitted(picture: Image.Image, how: str, side: int, fill: Sequence[int]) -> Image.Image:
    """All of a picture. "pad": in a square of `side`, on the colour `fill`; "squash": made such a square; "tiles": its
    shorter side that long, of at most TILES squares in a row."""
    if how == "tiles":
        return shorter(picture, side, TILES)
    if how == "squash":
        return picture.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
    factor = side / max(picture.size)
    width, height = (max(round(length * factor), 1) for length in picture.size)
    page = Image.new(picture.mode, (side, side), tuple(fill))
    inside = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    page.paste(inside, ((side - width) // 2, (side - height) // 2))
    return page


def _pixels(picture: Image.Image, channels: int) -> np.ndarray:
    if picture.mode == "F":
        return np.asarray(picture, dtype=np.float32)[:, :, None]
    picture = picture.convert("RGB" if channels == 3 else "L")
    return np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)


def spread(extremes: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The range of many pictures' numbers, from the smallest and the largest of each. One picture in a hundred (of ten
    and more, one) is passed over where it would make the range of the others more than twice as wide at one end: a
    broken pixel, or a number that stands for none.

    >>> spread([(0, 10), (-5, 8)]), spread([(0, 10)] * 9 + [(-9999, 12)])
    ((-5.0, 10.0), (0.0, 12.0))
    """
    lows, highs = (np.sort(np.asarray(values, np.float64)) for values in zip(*extremes, strict=True))
    few = (len(lows) + 90) // 100
    low, high = lows[few], highs[-1 - few]
    width = high - low
    return float(lows[0] if low - lows[0] <= width else low), float(highs[-1] if highs[-1] - high <= width else high)


def grey(values: np.ndarray, span: tuple[float, float] | None, channels: int) -> np.ndarray:
    """Numbers (h, w, 1) as pixels (h, w, channels) uint8: `span` from black to white, clipped. Where none was learnt 0
    is black, and white 1 or 65,535, or what is larger still."""
    low, high = span or (0.0, next((white for white in (1.0, 65535.0) if values.max() <= white), float(values.max())))
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values)
    return np.repeat(np.clip(scaled, 0, 255).round().astype(np.uint8), channels, axis=2)


def twins(paths: Iterable[str]) -> dict[str, list[tuple[str, ...]]]:
    """Folders in most of which files of one name stand with several suffixes (x.jpg beside x.png), and the suffixes of
    each such name, sorted."""
    suffixes: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in paths:
        stem, suffix = os.path.splitext(path)  # noqa: PTH122  (of 50,000 names ten times as fast)
        if suffix.lower() in SUFFIXES:  # a place in a table of pictures has none
            folder, _, name = stem.rpartition(os.sep)
            suffixes[folder][name].add(suffix.lower())
    several_of = {
        folder: [tuple(sorted(e)) for e in names.values() if len(e) > 1] for folder, names in suffixes.items()
    }
    return {folder: several for folder, several in several_of.items() if 2 * len(several) > len(suffixes[folder])}


def stems(paths: Iterable[str]) -> list[str]:
    """What pictures of one name have in common, whatever their suffix: x.jpg and x.png, x.dng and x.jpg."""
    parted = [(path, os.path.splitext(path)) for path in paths]  # noqa: PTH122
    return [stem if suffix.lower() in SUFFIXES else path for path, (stem, suffix) in parted]
