"""What is kept of a picture that somebody is enrolled from: the mean of several looks at the face.

A face is never found in quite the same place twice, and its embedding moves with that. The mean of
looks that are displaced on purpose (augmentation at test time; dlib's `jitter`) has less in it of
how it was found in this one picture, and takes no time when somebody is met.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from contract.fold import Model
from contract.ops import image
from contract.spec import Array, Detection, Floats, Window
from contract.workloads.faces import CHIP, PLACES, both_sides

# about as much as two detections of a face differ by: logarithm of size, radians, pixels of a chip
_SIZE, _TURN, _SHIFT_PX = 0.03, 0.04, 2.0


def vector(window: Window, face: Detection, embed: Model) -> Floats:
    """(d,) float32 of length 1, the mean direction of nine looks.

    Args:
        window: a picture.
        face: in it, with points and its embedding, as the stages of `faces` give it.
        embed: (n, 150, 150, 3) aligned faces -> (n, d), the model of the stage `embed`.
    """
    assert face.points is not None
    assert face.vector is not None
    aligned = image.similarity(face.points, PLACES)
    chips = [chip for moved in _DISPLACED for chip in both_sides(window, _after(aligned, moved))]
    rows = embed(np.stack(chips))
    looks = np.stack([face.vector, *(rows[::2] + rows[1::2])]).astype(np.float64)
    mean = (looks / np.linalg.norm(looks, axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def _displaced() -> list[Array]:
    """(2, 3) each, of a chip: larger or smaller, turned and shifted either way."""
    made = []
    for size, turn, shift in product((-1.0, 1.0), repeat=3):
        grown, angle = np.exp(size * _SIZE), turn * _TURN
        cos, sin = grown * np.cos(angle), grown * np.sin(angle)
        matrix = np.array([[cos, -sin], [sin, cos]])
        middle = np.full(2, CHIP / 2)
        by = _SHIFT_PX * np.array([shift, size * turn * shift])
        made.append(np.column_stack([matrix, middle + by - matrix @ middle]))
    return made


_DISPLACED = _displaced()


def _after(first: Array, then: Array) -> Array:
    """(2, 3) both, one after the other."""
    return np.column_stack([then[:, :2] @ first[:, :2], then[:, :2] @ first[:, 2] + then[:, 2]])
