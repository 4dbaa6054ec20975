"""Whether a face in a picture lies on its side or upside down, though it was found and described.

Detectors of faces place eyes and mouth of a face on its head where those of an upright one would
be, its embedding means nothing, and those of different people are alike (public sets of grown-ups:
median cosine 0.95). Its points give it no away; but looked at turned, the same face fits better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from contract.spec import Array, Detection, Detections, Floats, Window

# By what an upright face differs from the same one turned: distance between the eyes, height of
# eyes, nose and mouth from above, all in widths of the box, and the detector's score. Least squares
# on 1,485 pairs, 598 pictures (120 each of faces_caltech_in_out, faces_london_groups, faces_orl,
# faces_wild_web, faces_yaleb_light), turned by one to three quarters; 1 is a pair's typical
# difference. On each set by the other four: 10 of the 1,485 come out below 0, 2 below -0.2. Sure
# are 465 of 496 upside down and 935 of 963 on their side, likely 482 and 943; of 598 upright ones
# one and two, men with large beards, cut off at the chin.
WEIGHTS = np.array([1.69, -24.73, 28.94, -31.75, 2.31])
LIKELY, SURE = 0.1, 0.2
_TURNS = {
    1: "on its side; turn the picture a quarter to the left",
    2: "upside down; turn the picture by half",
    3: "on its side; turn the picture a quarter to the right",
}


def turned(
    window: Window, face: Detection | None, see: Callable[[Window], Detections]
) -> tuple[str, bool]:
    """How the face lies, with what to do, and whether that is sure; empty: it is upright.

    Args:
        window: a picture.
        face: the one in it; None: none was found as it is.
        see: finds and describes faces.
    """
    if face is not None and face.box is None:
        return "", False
    best, said = LIKELY if face is not None else 0.0, ""
    for quarters, words in _TURNS.items():
        other = replace(window, data=np.ascontiguousarray(np.rot90(window.data, quarters)))
        for mark in _marks(face, see(other), quarters, window.data.shape[:2]):
            if mark > best:
                best, said = mark, words
    return said, face is None or best > SURE


def _marks(
    face: Detection | None, others: Detections, quarters: int, size: tuple[int, ...]
) -> Iterator[float]:
    """How much better a face fits turned than as it is; without one as it is, its score."""
    for other in others:
        if other.box is None or other.points is None:
            continue
        if face is None:
            yield other.score
        elif _is_in(face, _back(other, quarters, size)):
            yield float(WEIGHTS @ (shape(other) - shape(face)))


def shape(face: Detection) -> Floats:
    """(5,) what `WEIGHTS` weighs."""
    assert face.box is not None
    assert face.points is not None
    left, top, right, _ = face.box
    points = (face.points - np.array([left, top])) / max(right - left, 1.0)
    eyes, (_, nose), (_, mouth) = points[:2], points[2], points[3]
    apart, high = np.linalg.norm(eyes[1] - eyes[0]), eyes[:, 1].mean()
    return np.array([apart, high, nose, mouth, face.score], np.float32)


def _back(face: Detection, quarters: int, size: tuple[int, ...]) -> Array:
    """(2,) middle of a face in a picture that `np.rot90` has turned, where it was before."""
    assert face.box is not None
    height, width = size
    x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
    return np.array([(width - y, x), (width - x, height - y), (y, height - x)][quarters - 1])


def _is_in(face: Detection, point: Array) -> bool:
    assert face.box is not None
    left, top, right, bottom = face.box
    return bool(left < point[0] < right and top < point[1] < bottom)
