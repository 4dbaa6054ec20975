"""From the rows of a face detector to faces, and to the points of one.

V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019;
Y. Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019.
Each anchor of a detector gives a score as a logit and 16 numbers in pixels of the square: box
centre x, y, width, height, then x, y of eye, eye, nose, mouth, ear, ear; centre and points relative
to the anchor. The models here give each of these as 0 to 6 over the span that matters, because an
int8 tensor has one scale for all its columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from contract.spec import Array, Floats

TOP = 6.0  # where ReLU6 ends
_SAME_FACE = 0.3  # overlap of boxes, as published
_POINTS = 4  # eye, eye, nose, mouth; the ears are hidden as soon as a head turns


@dataclass(frozen=True, eq=False)
class Detector:
    """One of the published detectors.

    Attributes:
        size: of the square it takes.
        grids: cells along a side, and anchors in each cell; none where there is one row.
        spans: (2, 17) least and largest value of each column of a row.
    """

    size: int
    grids: tuple[tuple[int, int], ...]
    spans: Floats


# What anchors say that may be part of a face (logit above -2, on pictures of 107 grown-ups, frontal
# to half profile, faces of 9 to 330 pixels), with a margin.
FULL_RANGE = Detector(
    192,
    ((48, 1),),
    np.array(
        [
            [-8, -7, -7, 0, 0, -55, -60, -25, -60, -45, -45, -45, -25, -100, -45, -25, -45],
            [6, 4, 4, 220, 220, 25, 15, 55, 15, 45, 45, 45, 65, 25, 25, 100, 25],
        ],
        np.float32,
    ),
)
BACK = Detector(
    256,
    ((16, 2), (8, 6)),
    np.array(
        [
            [-8, -60, -75, 0, 0, -105, -125, -40, -125, -80, -70, -80, -50, -155, -115, -45, -115],
            [6, 60, 75, 360, 360, 40, 45, 105, 45, 80, 100, 80, 135, 45, 65, 155, 65],
        ],
        np.float32,
    ),
)


# The face mesh: one row for the whole square, its points in pixels of that square: the edges of the
# face at picture left, right, top and bottom, eye, eye, nose, mouth. Spans likewise, on 6,160
# squares of five data sets, faces not quite in their middle among them.
MESH = Detector(
    192,
    (),
    np.array(
        [
            [-8, -50, 15, 70, 15, -10, -35, 0, 95, -30, 5, 25, 5, -10, 20, -5, 50],
            [8, 125, 160, 245, 160, 210, 100, 210, 230, 180, 145, 225, 150, 220, 190, 215, 210],
        ],
        np.float32,
    ),
)


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a square.

    Attributes:
        score: 0 to 1.
        box: (4,) float32 left, top, right, bottom in pixels of the square.
        points: (4, 2) float32, x and y of eye at picture left, eye at picture right, tip of the
            nose, mouth.
    """

    score: float
    box: Floats
    points: Floats


def faces(rows: Floats, detector: Detector, *, at_least: float) -> list[Face]:
    """Faces in a square, the surest first, each once.

    What several anchors say of one face is averaged by their scores, as published.

    Args:
        rows: (anchors, 17) float32 from 0 to 6, as the model gives them.
        detector: whose rows.
        at_least: score of a face, 0 to 1.
    """
    values = as_published(rows, detector.spans)
    logits = values[:, 0]
    sure = np.flatnonzero(logits >= np.log(at_least / (1.0 - at_least)))
    if not len(sure):
        return []
    scores = 1.0 / (1.0 + np.exp(-logits[sure].astype(np.float64)))
    places = values[sure, 1:].reshape(-1, 8, 2).astype(np.float64)
    places[:, [0, *range(2, 8)]] += _anchors(detector.grids)[sure, None] * detector.size
    half = places[:, 1] / 2.0
    boxes = np.concatenate([places[:, 0] - half, places[:, 0] + half], axis=1)
    points = places[:, 2 : 2 + _POINTS]
    found = []
    left = np.argsort(-scores)
    while len(left):
        same = overlaps(boxes[left[0]], boxes[left]) > _SAME_FACE
        same[0] = True  # even one of no size
        group = left[same]
        weights = scores[group] / scores[group].sum()
        found.append(
            Face(
                float(scores[left[0]]),
                (weights @ boxes[group]).astype(np.float32),
                np.einsum("i,ijk->jk", weights, points[group]).astype(np.float32),
            )
        )
        left = left[~same]
    return found


def placed(row: Floats) -> tuple[float, Floats]:
    """Whether a square shows a face, and where.

    Args:
        row: (17,) float32 from 0 to 6, as the face mesh gives it.

    Returns:
        score, 0 to 1; (8, 2) float32 points in pixels of the square: edges of the face at picture
        left, right, top and bottom, eye at picture left, eye at picture right, nose, mouth.
    """
    logit, *points = as_published(row, MESH.spans)
    return float(1.0 / (1.0 + np.exp(-float(logit)))), np.array(points, np.float32).reshape(-1, 2)


def as_published(rows: Floats, spans: Floats) -> Floats:
    """What a model gives, in the published units, as far as it was not clipped.

    Args:
        rows: (..., 17) float32 from 0 to 6.
        spans: (2, 17) least and largest value of each column.

    Returns:
        (..., 17) float32, the score as a logit, the rest in pixels of the square.
    """
    low, high = spans
    found: Floats = (low + rows * ((high - low) / np.float32(TOP))).astype(np.float32)
    return found


def overlaps(box: Array, boxes: Array) -> Array:
    """(n,) intersection over union of one box with each of (n, 4), 0 to 1."""
    common, own, areas = _areas(box, boxes)
    union: Array = common / np.maximum(own + areas - common, 1e-9)
    return union


def shared(box: Array, boxes: Array) -> Array:
    """(n,) intersection of one box with each of (n, 4), over the smaller of both; 0 to 1."""
    common, own, areas = _areas(box, boxes)
    smaller: Array = common / np.maximum(np.minimum(own, areas), 1e-9)
    return smaller


def _areas(box: Array, boxes: Array) -> tuple[Array, Array, Array]:
    """Of the intersections, (n,); of the one box; of the others, (n,)."""
    least = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    own = np.maximum(box[2:] - box[:2], 0.0).prod()
    areas = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0).prod(axis=1)
    return np.maximum(least, 0.0).prod(axis=1), own, areas


@lru_cache(maxsize=2)
def _anchors(grids: tuple[tuple[int, int], ...]) -> Array:
    """(anchors, 2) centres of the cells, x and y in sides of the square, row by row."""
    made = []
    for cells, of_each in grids:
        rows, columns = np.mgrid[:cells, :cells]
        centres = (np.stack([columns, rows], axis=-1).reshape(-1, 2) + 0.5) / cells
        made.append(np.repeat(centres, of_each, axis=0))
    return np.concatenate(made)
