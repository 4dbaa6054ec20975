"""An isolation forest of 100 trees. Not in the published comparison; a usual baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.spec import Array
from training.methods import Method

TREES = 100
_EULER = 0.5772156649015329


@dataclass(frozen=True, eq=False)
class Forest:
    """A grown forest.

    Attributes:
        forest: fitted.
    """

    forest: Any
    note: str = ""

    def score(self, z: Array) -> Array:
        """The anomaly score of the paper."""
        return -np.asarray(self.forest.score_samples(z))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `forest`; trees are filled up with leaves that nothing reaches."""
        trees = [one.tree_ for one in self.forest.estimators_]
        shape = (len(trees), max(tree.node_count for tree in trees))
        arrays: dict[str, Array] = {
            "kind": np.array("forest"),
            "feature": np.full(shape, -1),
            "threshold": np.zeros(shape),
            "left": np.zeros(shape, dtype=int),
            "right": np.zeros(shape, dtype=int),
            "depth": np.zeros(shape),
            "depth_scale": _expected_depth(np.array([self.forest.max_samples_]))[0],
        }
        for i, tree in enumerate(trees):
            inner = tree.children_left >= 0
            n = tree.node_count
            arrays["feature"][i, :n] = np.where(inner, tree.feature, -1)
            arrays["threshold"][i, :n] = tree.threshold
            arrays["left"][i, :n], arrays["right"][i, :n] = tree.children_left, tree.children_right
            arrays["depth"][i, :n] = tree.compute_node_depths() - 1.0
            arrays["depth"][i, :n] += _expected_depth(tree.n_node_samples)
        return arrays


def _expected_depth(rows: Array) -> Array:
    """How deep an unsuccessful search ends in a tree of so many rows (Liu et al. 2008, eq. 1)."""
    rows = np.maximum(np.asarray(rows, np.float64), 1.0)
    more = 2.0 * (np.log(np.maximum(rows - 1.0, 1.0)) + _EULER) - 2.0 * (rows - 1.0) / rows
    return np.where(rows > 2, more, rows - 1.0)


def _fit(z: Array, seed: int) -> Forest:
    from sklearn.ensemble import IsolationForest

    return Forest(IsolationForest(n_estimators=TREES, random_state=seed).fit(z))


METHODS = (Method("isolation_forest", "isolation forest, 100 trees", _fit),)
