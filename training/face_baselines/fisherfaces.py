"""Fisherfaces: principal components, then the discriminants of the people among them.

Belhumeur, Hespanha, Kriegman, "Eigenfaces vs. Fisherfaces", IEEE PAMI 19(7), 1997: as many
components as pictures less people, so that the scatter within people is not singular. The nearest
enrolled picture names a face, and how near it is stands for a probability: those of Gaussians are 1
to the last digit for everybody. Aligned ones have eyes, nose and mouth in their places, by the
points of the shipped detectors; the others are the square around the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.ops import image
from contract.spec import Array, Detection, Floats
from contract.workloads import faces
from training.face_baselines import Baseline, Published
from training.face_baselines.lbp_network import CROP, crop

_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def see(picture: Array, face: Detection) -> Floats:
    """(48, 48) float32 grey, mean 0 and deviation 1."""
    return _even(crop(picture, face))


def see_aligned(picture: Array, face: Detection) -> Floats:
    """(48, 48) float32 grey, mean 0 and deviation 1, points in their places."""
    assert face.points is not None
    places = faces.PLACES * (CROP / faces.CHIP)
    matrix = image.similarity(face.points, places)
    return _even(image.warp(picture, matrix, size=CROP, edge_goes_on=True) @ _GREY)


def _even(grey: Floats) -> Floats:
    found: Floats = (grey - grey.mean()) / max(float(grey.std()), 1.0)
    return found


@dataclass(frozen=True, eq=False)
class Discriminants:
    """Fitted.

    Attributes:
        space: (n, pixels) -> (n, d) discriminants.
        enrolled: (m, d) of the pictures it was fitted to.
        persons: (m,) int from 0, who they show.
    """

    space: Any
    enrolled: Array
    persons: Array
    model: None = None

    def classify(self, rows: Floats) -> Array:
        """(n, persons) of each person 1 / (1 + distance of the nearest picture)."""
        found = self.space.transform(rows.reshape(len(rows), -1))
        away = np.linalg.norm(found[:, None] - self.enrolled[None], axis=2)
        people = range(int(self.persons.max()) + 1)
        nearest = [away[:, self.persons == one].min(axis=1) for one in people]
        return 1.0 / (1.0 + np.stack(nearest, axis=1))


def fit(rows: Floats, persons: Array, _seed: int) -> Discriminants:
    """Fit to the pictures of some people.

    Args:
        rows: (n, 48, 48).
        persons: (n,) int from 0; more pictures than people.
    """
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline

    flat = rows.reshape(len(rows), -1)
    components = PCA(len(rows) - len(np.unique(persons)), svd_solver="full")
    space = make_pipeline(components, LinearDiscriminantAnalysis(solver="svd"))
    space.fit(flat, persons)
    return Discriminants(space, space.transform(flat), persons)


BASELINES = (
    Baseline("fisherfaces", see, fit, (Published(0.0, 0.885, 278, 278, 54.0, 511.0),)),
    Baseline(
        "fisherfaces_aligned", see_aligned, fit, (Published(0.0, 0.9687, 192, 278, 535.0, 1006.0),)
    ),
)
