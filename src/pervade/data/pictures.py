"""From the bytes of a picture file to pixels, or a reason in plain words why not."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jfif",
        ".png",
        ".gif",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".ico",
        ".tga",
        ".jp2",
    ]
)
MAX_PIXELS = 178_956_970  # Pillow's own limit: a decoded RGB picture of half a gigabyte
LONGEST = 4  # a picture longer than this many times its width is cut to its middle


class PictureFault(ValueError):
    """Why a file cannot be used as a picture."""


def decode(data: bytes, side: int, channels: int) -> np.ndarray:
    """Pixels (h, w, channels) uint8 with the shorter side scaled to `side`.

    The first frame of an animation, turned as EXIF says, transparency over white, 16 bit scaled to 8.
    Raises PictureFault.
    """
    if not data:
        raise PictureFault("the file is empty (0 bytes)")
    try:
        with warnings.catch_warnings():
            # Pillow warns of sizes and of odd metadata; size is checked here, odd metadata does not matter to pixels.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise PictureFault(
                        f"{picture.width} x {picture.height} pixels would fill the memory "
                        f"(at most {MAX_PIXELS:,} in all are decoded)"
                    )
                # A JPEG far larger than needed decodes at 1/2, 1/4 or 1/8, several times as fast.
                picture.draft("RGB", (2 * side, 2 * side))
                return _pixels(_scale(_plain(picture), side), channels)
    except PictureFault:
        raise
    except UnidentifiedImageError:
        raise PictureFault("this is not a picture, or of a kind that cannot be read") from None
    except Image.DecompressionBombError:
        raise PictureFault(f"its size would fill the memory (at most {MAX_PIXELS:,} pixels are decoded)") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError) as error:
        # What Pillow's readers raise at damaged files, by kind of file.
        raise PictureFault(f"damaged or cut off ({error})") from None


def _plain(picture: Image.Image) -> Image.Image:
    """8-bit grey or RGB, upright."""
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I", "F"):
        values = np.asarray(upright, dtype=np.float64)
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
    longest = short * LONGEST
    box = ((width - min(width, longest)) / 2, (height - min(height, longest)) / 2)
    box = (*box, width - box[0], height - box[1])
    size = tuple(max(round(side * (end - start) / short), side) for start, end in ((box[0], box[2]), (box[1], box[3])))
    if size == picture.size:
        return picture
    return picture.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _pixels(picture: Image.Image, channels: int) -> np.ndarray:
    picture = picture.convert("RGB" if channels == 3 else "L")
    return np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, channels)
