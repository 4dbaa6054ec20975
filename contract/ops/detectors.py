"""How new a row of features is, by any of the published methods, with nothing but NumPy.

What `training/methods/` has fitted is handed over as named arrays, fit for one `.npz` file:

- `kind`: () str, which function below reads the others;
- `centre`, `spread`: (d,) float64 of `features.robust_scale`, applied to every row first.

Every novelty is 0 or more, higher is newer, and row `i` is judged by rows up to `i` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from contract.ops.features import robust_z
from contract.spec import Array

Arrays = Mapping[str, Array]


def score(arrays: Arrays, rows: Array) -> Array:
    """Novelty of feature rows.

    Args:
        arrays: of one fitted method, as above.
        rows: (n, d) floats in time order, as the method was fitted on.

    Returns:
        (n,) float64, 0 or more.

    Raises:
        ValueError: arrays of a kind this version does not know.
    """
    kind = str(arrays["kind"])
    if kind not in _KINDS:
        raise ValueError(f"no method of kind {kind!r}; known: {', '.join(sorted(_KINDS))}")
    return _KINDS[kind](arrays, robust_z(rows, arrays["centre"], arrays["spread"]))


def residual(arrays: Arrays, z: Array) -> Array:
    """What principal components leave over: length of the part of a row outside their space.

    Args:
        arrays: `mean` (d,), `components` (k, d) orthonormal.
        z: (n, d).
    """
    away = z - arrays["mean"]
    rest: Array = away - (away @ arrays["components"].T) @ arrays["components"]
    return np.asarray(np.linalg.norm(rest, axis=1))


def whitened(arrays: Arrays, z: Array) -> Array:
    """Squared Mahalanobis distance, in a space where healthy rows are white.

    Args:
        arrays: `mean` (d,), `matrix` (d, k) into that space, `shift` (k,) centre there.
        z: (n, d).
    """
    white = (z - arrays["mean"]) @ arrays["matrix"] - arrays["shift"]
    return np.asarray(np.einsum("ij,ij->i", white, white))


def mixture(arrays: Arrays, z: Array) -> Array:
    """Negative log-likelihood of Gaussians with axes along the features, above its least possible.

    Args:
        arrays: `log_weights` (k,), `means` (k, d), `precisions` (k, d), 1 / variance.
        z: (n, d).
    """
    means, precisions = arrays["means"], arrays["precisions"]
    peaks = arrays["log_weights"] + 0.5 * np.log(precisions).sum(axis=1)
    # sums of squares written out, so that (n, k, d) never has to exist
    square = (z * z) @ precisions.T - 2.0 * z @ (means * precisions).T
    square += (means * means * precisions).sum(axis=1)
    return np.asarray(_log_sum(peaks) - _log_sum(peaks - 0.5 * np.maximum(square, 0.0)))


def kernel(arrays: Arrays, z: Array) -> Array:
    """One-class support vector machine: minus the log of its decision value, scaled to 1 at most.

    The logarithm leaves the order as it is and goes on rising where the value itself is 0 in any
    float: far from all support vectors.

    Args:
        arrays: `vectors` (k, d), `log_weights` (k,) of weights that sum to 1, `gamma` ().
        z: (n, d).
    """
    exponents = arrays["log_weights"] - arrays["gamma"] * _squares(z, arrays["vectors"])
    # rounding may leave a hair below 0 where a row lies on the only support vector
    return np.asarray(np.maximum(-_log_sum(exponents), 0.0))


def neighbours(arrays: Arrays, z: Array) -> Array:
    """Local outlier factor: how much thinner it is around a row than around its neighbours.

    Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000.

    Args:
        arrays: `rows` (m, d), `density` (m,) local reachability density, `reach` (m,) distance to
            the k-th neighbour, `k` ().
        z: (n, d).
    """
    distance = np.sqrt(_squares(z, arrays["rows"]))
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : int(arrays["k"])]
    reach = np.maximum(np.take_along_axis(distance, nearest, axis=1), arrays["reach"][nearest])
    density = 1.0 / (reach.mean(axis=1) + 1e-10)
    return np.asarray(arrays["density"][nearest].mean(axis=1) / density)


def forest(arrays: Arrays, z: Array) -> Array:
    """Isolation forest: 1 where every tree isolates the row at once, towards 0 where none does.

    Liu, Ting and Zhou, "Isolation forest", ICDM 2008.

    Args:
        arrays: by tree and node, (trees, nodes): `feature` int (-1: a leaf), `threshold`, `left`
            and `right` int, `depth` (path length at a leaf, what it did not split included); and
            `depth_scale` (), the path length expected.
        z: (n, d).
    """
    tree = np.arange(len(arrays["feature"]))
    node = np.zeros((len(z), len(tree)), dtype=int)
    # the trees were grown on float32; on a threshold one bit decides
    row, rows = np.arange(len(z))[:, None], z.astype(np.float32)
    while (inner := arrays["feature"][tree, node] >= 0).any():
        goes_left = rows[row, arrays["feature"][tree, node]] <= arrays["threshold"][tree, node]
        child = np.where(goes_left, arrays["left"][tree, node], arrays["right"][tree, node])
        node = np.where(inner, child, node)
    depth = arrays["depth"][tree, node].mean(axis=1)
    return np.asarray(2.0 ** (-depth / arrays["depth_scale"]))


def dense(arrays: Arrays, z: Array) -> Array:
    """Autoencoder of dense layers: length of what it does not rebuild.

    Args:
        arrays: `activations` (layers,) str, and per layer `kernel0` (d, units), `bias0` (units,)...
        z: (n, d).
    """
    x = z
    for i, name in enumerate(arrays["activations"]):
        x = _ACTIVATIONS[str(name)](x @ arrays[f"kernel{i}"] + arrays[f"bias{i}"])
    return np.asarray(np.linalg.norm(z - x, axis=1))


def recurrent(arrays: Arrays, z: Array) -> Array:
    """Autoencoder of LSTM layers over the last rows: length of what it misses of the newest.

    Gates in the order input, forget, candidate, output, as Keras keeps them.

    Args:
        arrays: `steps` (), `layers` (); per layer `kernel0` (d, 4 * units), `recurrent0`
            (units, 4 * units), `bias0` (4 * units,)...; then `kernel` (units, d), `bias` (d,).
        z: (n, d).
    """
    x = history(z, int(arrays["steps"]))
    for i in range(int(arrays["layers"])):
        x = _lstm(x, arrays[f"kernel{i}"], arrays[f"recurrent{i}"], arrays[f"bias{i}"])
    rebuilt = x[:, -1] @ arrays["kernel"] + arrays["bias"]
    return np.asarray(np.linalg.norm(z - rebuilt, axis=1))


def history(z: Array, steps: int) -> Array:
    """(n, steps, d) each row behind the ones before it; before the first one stands the first."""
    at = np.arange(len(z))[:, None] + np.arange(1 - steps, 1)
    return np.asarray(z[np.maximum(at, 0)])


def _lstm(x: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """(n, steps, units) states of one layer, from (n, steps, d)."""
    units = recurrent.shape[0]
    carried, state, states = np.zeros((len(x), units)), np.zeros((len(x), units)), []
    for step in range(x.shape[1]):
        gates = x[:, step] @ kernel + state @ recurrent + bias
        enter, forget, candidate, leave = np.split(gates, 4, axis=1)
        carried = _sigmoid(forget) * carried + _sigmoid(enter) * np.tanh(candidate)
        state = _sigmoid(leave) * np.tanh(carried)
        states.append(state)
    return np.stack(states, axis=1)


def _squares(z: Array, to: Array) -> Array:
    """(n, m) squared distances of (n, d) rows to (m, d) others."""
    # by difference: the shorter formula loses all digits where rows are close and far from 0
    return np.asarray([np.square(to - row).sum(axis=1) for row in z])


def _log_sum(exponents: Array) -> Array:
    """Logarithm of the sum of exp over the last axis, without overflow."""
    most = exponents.max(axis=-1, keepdims=True)
    total: Array = np.log(np.exp(exponents - most).sum(axis=-1)) + most[..., 0]
    return total


def _sigmoid(x: Array) -> Array:
    # by way of tanh: exp would overflow far from 0
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _linear(x: Array) -> Array:
    return x


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": _sigmoid,
    "relu": _relu,
    "linear": _linear,
}
_KINDS: dict[str, Callable[[Arrays, Array], Array]] = {
    "residual": residual,
    "whitened": whitened,
    "mixture": mixture,
    "kernel": kernel,
    "neighbours": neighbours,
    "forest": forest,
    "dense": dense,
    "recurrent": recurrent,
}
