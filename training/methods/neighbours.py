"""The local outlier factor. Not in the published comparison; a usual baseline.

20 neighbours, as in the paper's advice; half of the rows where there are fewer than 40.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.spec import Array
from training.methods import Method

NEIGHBOURS = 20


@dataclass(frozen=True, eq=False)
class Factor:
    """Healthy rows to compare with.

    Attributes:
        lof: fitted.
        rows: (n, d) float64 what it was fitted on.
        note: see `training.methods.Fitted`.
    """

    lof: Any
    rows: Array
    note: str

    def score(self, z: Array) -> Array:
        """The factor itself."""
        return -np.asarray(self.lof.score_samples(z))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `neighbours`."""
        # the density around the fitted rows: the library keeps it to itself
        distances, nearest = self.lof.kneighbors()
        reach = distances[:, -1]
        reached = np.maximum(distances, reach[nearest])
        return {
            "kind": np.array("neighbours"),
            "rows": self.rows,
            "density": 1.0 / (reached.mean(axis=1) + 1e-10),
            "reach": reach,
            "k": np.array(self.lof.n_neighbors_),
        }


def _fit(z: Array, _seed: int) -> Factor:
    from sklearn.neighbors import LocalOutlierFactor

    count = max(min(NEIGHBOURS, len(z) // 2), 1)
    note = "" if count == NEIGHBOURS else f"{count} of {NEIGHBOURS} neighbours, from {len(z)} rows"
    lof = LocalOutlierFactor(count, novelty=True, algorithm="brute").fit(z)
    return Factor(lof, z, note)


METHODS = (Method("lof", "local outlier factor", _fit),)
