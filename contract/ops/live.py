"""What a network sees of a face to tell a living one from a picture of one.

Two looks at once: the face with its surroundings, where the end of a sheet, a hand or a reflection
shows; and its middle as the camera's own pixels give it, where dots, stripes and moiré show, which
any reduction would destroy. After Z. Yu et al., "Searching central difference convolutional
networks for face anti-spoofing", CVPR 2020, and MiniVision's Silent-Face, that combine crops of
several scales.
"""

from __future__ import annotations

import numpy as np

from contract.ops import image
from contract.spec import Array, Box, Floats

SIZE = 80  # of both looks, pixels
_AROUND = 2.3  # sides of the face's box
_LEAST_SHOWN = 0.45  # sides of it that the second look shows at least: of a large face, reduced


def looks(picture: Array, box: Box) -> Floats:
    """(80, 80, 6) float32 from 0 to 255: a face with its surroundings, then its middle.

    Where a look goes beyond the picture, its edge goes on.

    Args:
        picture: (height, width, 3) uint8, RGB.
        box: of the face.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top, 1.0)
    middle = np.array([(left + right) / 2, (top + bottom) / 2])
    both = []
    for scale in (SIZE / (_AROUND * side), min(1.0, SIZE / (_LEAST_SHOWN * side))):
        matrix = np.column_stack([np.eye(2) * scale, SIZE / 2 - scale * middle])
        both.append(image.warp(picture, matrix, size=SIZE, edge_goes_on=True))
    return np.concatenate(both, axis=-1)
