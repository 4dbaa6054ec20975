"""The bytes of a picture file to pixels: upright, in colour, within limits."""

from __future__ import annotations

import os

from contract.spec import Array

FORMATS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MOST_PIXELS = 120_000_000  # of a file; what is larger is made to fill the memory, or a map
LONGEST_SIDE = 2560  # pixels that are looked at: a face of 4 % of the side has 100

# at once, for OpenCV reads it when it is loaded, and a bundle may load it before any picture does
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))


def decode(raw: bytes) -> Array | None:
    """(height, width, 3) uint8, RGB, upright as EXIF says, as `reduced`; None: not readable."""
    import cv2
    import numpy as np

    try:
        read = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if read is None or read.ndim != 3 or not read.size:
        return None
    return reduced(read)


def reduced(bgr: Array) -> Array:
    """RGB of BGR, as OpenCV gives it; by area average where it is very large."""
    import numpy as np

    from contract.ops import image  # needs OpenCV

    rgb: Array = np.ascontiguousarray(image.reduced(bgr, longest=LONGEST_SIDE)[:, :, ::-1])
    return rgb
