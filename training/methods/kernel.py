"""A one-class support vector machine (Schoelkopf et al., Neural Computation 13(7), 2001).

Published with nu = 0.1. The kernel is the usual Gaussian one, its width that of the rows: gamma =
1 / (features x variance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.spec import Array
from training.methods import Method

NU = 0.1


@dataclass(frozen=True, eq=False)
class OneClass:
    """A fitted machine.

    Attributes:
        svm: fitted.
        gamma: of its kernel.
    """

    svm: Any
    gamma: float
    note: str = ""

    def score(self, z: Array) -> Array:
        """Minus the log of the decision value over its highest possible; infinite where it is 0."""
        share = self.svm.score_samples(z) / self.svm.dual_coef_.sum()
        with np.errstate(divide="ignore"):
            return np.asarray(np.maximum(-np.log(share), 0.0))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `kernel`."""
        weights = self.svm.dual_coef_[0]
        return {
            "kind": np.array("kernel"),
            "vectors": self.svm.support_vectors_,
            "log_weights": np.log(weights / weights.sum()),
            "gamma": np.array(self.gamma),
        }


def _fit(z: Array, _seed: int) -> OneClass:
    from sklearn.svm import OneClassSVM

    gamma = 1.0 / (z.shape[1] * max(float(z.var()), 1e-12))
    return OneClass(OneClassSVM(nu=NU, gamma=gamma).fit(z), gamma)


METHODS = (Method("one_class_svm", "one-class SVM, nu 0.1", _fit),)
