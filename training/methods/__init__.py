"""The published novelty detectors behind one interface. A file in this folder is a family.

Such a file defines `METHODS`, a tuple of `Method`. Each learns from healthy rows alone and hands
what it has learned over as plain arrays, which `contract.ops.detectors` scores with NumPy: any of
them can run where neither scikit-learn nor Keras is.

The methods are those compared in Stadelmann et al., "Data-driven condition monitoring", in *Beyond
ImageNet*, Springer 2019, and three usual ones beside them. What the chapter leaves open (kinds of
kernel and covariance, widths, optimizer) is chosen in the family's file and said there.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from contract.ops.features import robust_scale, robust_z
from contract.spec import Array


class Fitted(Protocol):
    """What a method has learned from healthy rows, as the library that fitted it runs it."""

    @property
    def note(self) -> str:
        """What too few rows made smaller than published; empty where nothing did."""

    def score(self, z: Array) -> Array:
        """Novelty by that library's own code: the reference for what is exported.

        Args:
            z: (n, d) float64 in time order.

        Returns:
            (n,) floats, 0 or more, row `i` judged by rows up to `i` alone.
        """

    def to_arrays(self) -> dict[str, Array]:
        """`kind` and the arrays that `contract.ops.detectors` names for it."""


@dataclass(frozen=True)
class Method:
    """One way to tell new rows from healthy ones.

    Attributes:
        name: what `--compare` calls it.
        title: what people call it.
        fit: ((n, d) float64 rows of healthy windows, robustly scaled; seed) -> what it learned.
    """

    name: str
    title: str
    fit: Callable[[Array, int], Fitted]


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted method together with the scaling of its rows: features in, novelty out.

    Attributes:
        centre: (d,) float64 median of the healthy rows.
        spread: (d,) float64 median absolute deviation of the healthy rows.
        fitted: what the method learned from the scaled rows.
    """

    centre: Array
    spread: Array
    fitted: Fitted

    def score(self, rows: Array) -> Array:
        """(n,) novelty of (n, d) feature rows in time order, by the library's own code."""
        return self.fitted.score(robust_z(rows, self.centre, self.spread))

    def to_arrays(self) -> dict[str, Array]:
        """All that `contract.ops.detectors.score` needs, and all of it fit for one `.npz`."""
        return {"centre": self.centre, "spread": self.spread, **self.fitted.to_arrays()}


def fit(method: Method, rows: Array, *, seed: int = 0) -> Model:
    """Learn from healthy rows.

    Args:
        method: how.
        rows: (n, d) floats in time order, all of them healthy; at least 4.
        seed: of whatever the method leaves to chance.

    Raises:
        ValueError: too few rows.
    """
    if len(rows) < MIN_ROWS:
        raise ValueError(f"{len(rows)} healthy rows are too few to learn from; need {MIN_ROWS}")
    centre, spread = robust_scale(rows)
    return Model(centre, spread, method.fit(robust_z(rows, centre, spread), seed))


MIN_ROWS = 4  # two principal components need three; below that nothing has a spread


def load() -> dict[str, Method]:
    """All methods by name, family by family."""
    return {
        method.name: method
        for module in sorted(module.name for module in pkgutil.iter_modules(__path__))
        for method in importlib.import_module(f"{__name__}.{module}").METHODS
    }
