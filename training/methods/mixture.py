"""A Gaussian mixture: negative log-likelihood, above the least there can be.

Published with 16 components. The covariances are diagonal: a full one of 100 features needs more
rows than a healthy start has. Where there are fewer than 64 rows there is a component for every
four, so that a component is never a row.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.spec import Array
from training.methods import Method

COMPONENTS = 16
_ROWS_EACH = 4
_VARIANCE_FLOOR = 0.05  # of robustly scaled features, whose variance is about 2


@dataclass(frozen=True, eq=False)
class Mixture:
    """A fitted mixture.

    Attributes:
        gmm: fitted.
        note: see `training.methods.Fitted`.
    """

    gmm: Any
    note: str

    def score(self, z: Array) -> Array:
        """The likelihood is at its highest possible where all components peak at once."""
        peaks = 0.5 * (np.log(self.gmm.precisions_) - np.log(2.0 * np.pi)).sum(axis=1)
        best = np.logaddexp.reduce(np.log(self.gmm.weights_) + peaks)
        return np.asarray(best - self.gmm.score_samples(z))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `mixture`."""
        return {
            "kind": np.array("mixture"),
            "log_weights": np.log(self.gmm.weights_),
            "means": self.gmm.means_,
            "precisions": self.gmm.precisions_,
        }


def _fit(z: Array, seed: int) -> Mixture:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    count = max(min(COMPONENTS, len(z) // _ROWS_EACH), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 100 rounds are near enough
        gmm = GaussianMixture(
            count, covariance_type="diag", reg_covar=_VARIANCE_FLOOR, random_state=seed
        ).fit(z)
    fewer = count < COMPONENTS
    return Mixture(gmm, f"{count} of {COMPONENTS} components, from {len(z)} rows" if fewer else "")


METHODS = (Method("gmm", "Gaussian mixture, 16 components", _fit),)
