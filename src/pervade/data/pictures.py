"""From the bytes of a picture file to pixels, or a reason in plain words why not."""

from __future__ import annotations

import io
import threading
import warnings

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset(
    ".jpg .jpeg .jfif .png .gif .bmp .webp .tif .tiff .ppm .pgm .pbm .pnm .ico .tga .jp2".split()  # noqa: SIM905
)
# Pillow's readers of these (JPEG's reads MPO too). No others: EPS's would start Ghostscript on what a stranger sent.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "ICO", "TGA", "JPEG2000")
MAX_PIXELS = 178_956_970  # where Pillow raises: a decoded RGB picture of half a gigabyte
LONGEST = 4  # a picture longer than this many times its width is cut to its middle
DECODER = f"1, Pillow {PIL.__version__}"  # what pixels depend on besides the file; the number is that of the code below


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


def decode(data: bytes, side: int, channels: int) -> np.ndarray:
    """Pixels (h, w, channels) uint8 with the shorter side scaled to `side`.

    The first frame of an animation, turned as EXIF says, transparency over white, 16 bit scaled to 8.
    Raises PictureFault.
    """
    if not data:
        raise PictureFault("the file is empty (0 bytes)")
    try:
        # Pillow warns of large sizes, which are wanted, and of odd metadata, which does not matter to pixels.
        with _quiet, Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            # A JPEG far larger than needed decodes at 1/2, 1/4 or 1/8, several times as fast.
            picture.draft("RGB", (2 * side, 2 * side))
            plain = _plain(picture)
    except UnidentifiedImageError:
        raise PictureFault("this is not a picture, or of a kind that cannot be read") from None
    except (Image.DecompressionBombError, MemoryError):
        # Pillow looks at the size before it decodes.
        raise PictureFault(f"it would fill the memory (at most {MAX_PIXELS:,} pixels are decoded)") from None
    except Exception as error:
        # Pillow's readers raise almost anything at damaged files: OSError, SyntaxError, struct.error, KeyError …
        raise PictureFault(f"damaged or cut off ({str(error) or type(error).__name__})") from None
    return _pixels(_scale(plain, side), channels)


def _plain(picture: Image.Image) -> Image.Image:
    """8-bit grey or RGB, upright."""
    picture.load()
    try:
        upright = ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF, of which Pillow raises almost anything; the pixels are good
        upright = picture
    if upright.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        values = np.nan_to_num(np.asarray(upright, dtype=np.float32))
        # "I" is what Pillow makes of 16-bit PNGs; without a stated range the picture's own largest value is white.
        white = 65535.0 if upright.mode.startswith("I") and values.max(initial=0) <= 65535 else values.max(initial=1)
        return Image.fromarray(np.clip(values / max(white, 1e-12) * 255.0, 0, 255).round().astype(np.uint8))
    if upright.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        page = Image.new("RGBA", upright.size, "white")
        return Image.alpha_composite(page, upright).convert("RGB")
    return upright if upright.mode in ("L", "RGB") else upright.convert("RGB")


def _scale(picture: Image.Image, side: int) -> Image.Image:
    width, height = picture.size
    short = min(width, height)
    kept_width, kept_height = min(width, short * LONGEST), min(height, short * LONGEST)
    left, top = (width - kept_width) / 2, (height - kept_height) / 2
    size = (max(round(side * kept_width / short), side), max(round(side * kept_height / short), side))
    if size == picture.size:
        return picture
    box = (left, top, left + kept_width, top + kept_height)
    return picture.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _pixels(picture: Image.Image, channels: int) -> np.ndarray:
    picture = picture.convert("RGB" if channels == 3 else "L")
    return np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)
