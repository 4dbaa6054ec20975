"""Distances from what healthy rows have in common: principal components and covariances.

Published with 50 components, of 100 features and 200 rows. Here there are at most half as many
components as healthy rows, and for the residual at most half as many as features: with as many as
either nothing at all would be left over.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.spec import Array
from training.methods import Method

COMPONENTS = 50
_ROBUST_COMPONENTS = 10  # a covariance must be found in these by rows many times as numerous


def _pca(z: Array, *, most: int, rows_each: int, whiten: bool = False) -> tuple[Any, str]:
    """Principal components of (n, d) rows, and what is said where they are fewer than `most`."""
    from sklearn.decomposition import PCA

    rows, features = z.shape
    count = max(min(most, rows // rows_each, features if whiten else features // 2), 1)
    note = f"{count} of {most} components, from {rows} rows of {features} features"
    return PCA(count, svd_solver="full", whiten=whiten).fit(z), note if count < most else ""


@dataclass(frozen=True, eq=False)
class Residual:
    """`pca_auto`: principal components as an autoencoder.

    Attributes:
        pca: fitted.
        note: see `training.methods.Fitted`.
    """

    pca: Any
    note: str

    def score(self, z: Array) -> Array:
        """Length of what is not rebuilt."""
        rebuilt = self.pca.inverse_transform(self.pca.transform(z))
        return np.asarray(np.linalg.norm(z - rebuilt, axis=1))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `residual`."""
        kind = np.array("residual")
        return {"kind": kind, "mean": self.pca.mean_, "components": self.pca.components_}


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """Squared Mahalanobis distance by whitened principal components.

    Attributes:
        pca: fitted.
        note: see `training.methods.Fitted`.
    """

    pca: Any
    note: str

    def score(self, z: Array) -> Array:
        """Sum of the squares of the whitened components."""
        return np.asarray(np.square(self.pca.transform(z)).sum(axis=1))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `whitened`."""
        matrix = self.pca.components_.T / np.sqrt(self.pca.explained_variance_)
        shift = np.zeros(matrix.shape[1])
        kind = np.array("whitened")
        return {"kind": kind, "mean": self.pca.mean_, "matrix": matrix, "shift": shift}


@dataclass(frozen=True, eq=False)
class Robust:
    """Squared Mahalanobis distance by the minimum covariance determinant (Rousseeuw 1984).

    Attributes:
        pca: fitted; down to few enough components for a covariance.
        covariance: fitted in their space.
        note: see `training.methods.Fitted`.
    """

    pca: Any
    covariance: Any
    note: str

    def score(self, z: Array) -> Array:
        """Squared distance in the space of the components."""
        return np.asarray(self.covariance.mahalanobis(self.pca.transform(z)))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `whitened`."""
        values, vectors = np.linalg.eigh(self.covariance.get_precision())
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return {
            "kind": np.array("whitened"),
            "mean": self.pca.mean_,
            "matrix": self.pca.components_.T @ root,
            "shift": self.covariance.location_ @ root,
        }


def _residual(z: Array, _seed: int) -> Residual:
    return Residual(*_pca(z, most=COMPONENTS, rows_each=2))


def _mahalanobis(z: Array, _seed: int) -> Mahalanobis:
    return Mahalanobis(*_pca(z, most=COMPONENTS, rows_each=2, whiten=True))


def _robust(z: Array, seed: int) -> Robust:
    from sklearn.covariance import MinCovDet

    pca, note = _pca(z, most=_ROBUST_COMPONENTS, rows_each=5)
    with warnings.catch_warnings():
        # it tells of a determinant that rises by rounding; the best one found is kept
        warnings.simplefilter("ignore", RuntimeWarning)
        covariance = MinCovDet(random_state=seed).fit(pca.transform(z))
    return Robust(pca, covariance, note)


METHODS = (
    Method("pca_auto", "PCA, 50 components, residual", _residual),
    Method("mahalanobis", "PCA-whitened Mahalanobis, 50 components", _mahalanobis),
    Method("robust_covariance", "minimum covariance determinant", _robust),
)
