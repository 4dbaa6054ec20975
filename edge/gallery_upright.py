"""Whether a face in a picture lies on its side or upside down, though it was found and described.

The eyes and mouth of a face on its head are placed where those of an upright one would be, its
embedding means nothing, and those of different people are alike (public sets of grown-ups: median
cosine 0.95). Its points give it no away; but looked at turned, the same face fits better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from contract.spec import Array, Detection, Detections, Floats, Window

# By what an upright face differs from the same one turned, see `shape`. Least squares on 825 pairs,
# 314 pictures (some 64 each of faces_caltech_in_out, faces_london_groups, faces_orl,
# faces_wild_web, faces_yaleb_light) turned by one to three quarters; 1 is the usual difference. On
# each set by the other four: of 825 upright ones four are likely to lie and none surely; of 519 on
# their side all do, of 306 upside down 300 are likely to and 289 surely.
WEIGHTS = np.array([-7.691, -2.987, 0.44, 1.793, 1.088, 0.059, -0.966, -0.769, 3.419])
LIKELY, SURE = 0.1, 0.2
_SUREST = 1e-4  # scores closer to 0 or 1 are these
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
        face: the surest in it; None: none was found as it is.
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
        if other.box is None or other.points is None or other.vector is None:
            continue
        if face is None:
            yield other.score
        elif _is_in(face, _back(other, quarters, size)):
            yield float(WEIGHTS @ (shape(other) - shape(face)))


def shape(face: Detection) -> Floats:
    """(9,) what `WEIGHTS` weighs.

    In widths and heights of the box: distance of the eyes, heights of eyes, nose and mouth from
    above, height of the box; logit of the score; in distances of the eyes: mouth and nose from
    their middle; logarithm of the embedding's length.
    """
    assert face.box is not None
    assert face.points is not None
    assert face.vector is not None
    left, top, right, bottom = face.box
    size = np.maximum(np.array([right - left, bottom - top]), 1.0)
    left_eye, right_eye, nose, mouth = face.points.astype(np.float64)
    middle = (left_eye + right_eye) / 2
    apart = max(float(np.linalg.norm(right_eye - left_eye)), 1e-3)
    heights = [(point[1] - top) / size[1] for point in (middle, nose, mouth)]
    score = min(max(face.score, _SUREST), 1.0 - _SUREST)
    away = [float(np.linalg.norm(point - middle)) / apart for point in (mouth, nose)]
    length = max(float(np.linalg.norm(face.vector)), 1e-6)
    logit = np.log(score / (1.0 - score))
    found = [apart / size[0], *heights, size[1] / size[0], logit, *away, np.log(length)]
    return np.array(found, np.float32)


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
