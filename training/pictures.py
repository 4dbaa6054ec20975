"""Picture files to arrays, whatever a camera, a scanner or a download made of them."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from contract.spec import Array
from training.datasets import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")  # none of them runs a program
MOST_PIXELS = 120_000_000  # of a file; what is larger is a decompression bomb or a map
LONGEST_SIDE = 2560  # pixels: 8 of a detector's 192 are 106 here, enough to tell who it is
_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)


def read(file: Path, *, longest_side: int = LONGEST_SIDE) -> Array:
    """One picture as a person sees it: upright, in colour, reduced if it is very large.

    Greyscale, palette, CMYK and 16-bit pictures become RGB; transparent parts become white; of an
    animation the first picture is taken. The orientation a camera wrote into EXIF is applied.

    Args:
        file: in one of `FORMATS`.
        longest_side: pixels; larger pictures are reduced to it by area average.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        DataError: no such file, no such format, damaged, or of more than `MOST_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd EXIF and sizes; what matters is refused below
            with Image.open(file, formats=FORMATS) as picture:
                return np.asarray(_upright(picture, longest_side))
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{file}: no picture: {reason}; fix: copy this file again") from None


def _upright(picture: Image.Image, longest_side: int) -> Image.Image:
    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"{width} x {height} pixels, more than {MOST_PIXELS}")
    picture.draft(None, (longest_side, longest_side))  # JPEG: decoded at a part of its size at once
    ImageOps.exif_transpose(picture, in_place=True)
    rgb = _rgb(picture)
    if max(rgb.size) > longest_side:
        share = longest_side / max(rgb.size)
        size = (max(round(rgb.width * share), 1), max(round(rgb.height * share), 1))
        return rgb.resize(size, Image.Resampling.BOX)
    return rgb


def _rgb(picture: Image.Image) -> Image.Image:
    """Eight bits a channel, three channels."""
    if picture.mode == "F":
        raise ValueError("its pixels are floats without a known range")
    if picture.mode.startswith("I"):  # Pillow would clip these at 255
        values = np.asarray(picture).clip(0, 65535) >> 8
        return Image.fromarray(values.astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")
