"""What good parts have in every place: a Gaussian (PaDiM), or a bank of them all (PatchCore).

Nothing is fitted step by step: features of a network that knows ImageNet, reduced to the axes along
which good parts differ, as the device's own engine gives them. `contract.defects.heat` compares a
part with what is learned here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract import defects
from contract.defects import BANK, BLOCK, MEAN, MIDDLE, SPREAD, WHITEN
from contract.inspection import Part
from contract.ops.tiles import SIDE
from contract.spec import Array, Floats
from training import backend, defect_nets, part_crops
from training.part_crops import Pictures
from training.parts import GOOD, items, labels
from training.watch import Seen
from training.weights import efficientnet_lite0

# Blocks whose widened input is looked at, at steps of 4, 8 and 16 pixels, and how many axes of it,
# those along which good parts differ most. What is widened lies between 0 and 6, in int8 as in
# float; an output does not, and channels in which little happens drown in the steps of others.
_AXES = {3: 8, 5: 12, 11: 44}
_PICTURES = 100  # that they are found from
_SHRINK = 0.05  # towards the covariance of all places: a hundred parts say little of 64 axes
_MOST_GAUSSIANS = 3000  # 25 MB; of a larger picture at least a square of places shares one
_MOST_BANK = 4000
_BANK_SHARE = 0.01
_FAR = 0.99  # of the places of good parts are no farther away than 1, the middle ones 0
_LEAST_SPREAD = 0.05  # of distances: of parts that are all the same it would be none
_CLIPPED = 6.0  # standard deviations: what lies beyond is far away in any case


def network(_shape: tuple[int, ...], pictures: Any) -> Any:
    """Keras model, (n, 256, 256, 3) pixels from 0 to 255 -> (n, 32, 32, 64) features.

    Features at several scales, side by side, whitened over good parts and clipped, so that each
    uses the range of an int8 output.

    Args:
        pictures: of good parts, `training.part_crops.Pictures`.

    Raises:
        DataError: they are too few, or the weights cannot be fetched.
    """
    import keras
    from keras import layers, ops

    assert isinstance(pictures, Pictures)
    part_crops.refuse_too_few(pictures, defects=0)
    body = efficientnet_lite0.network((SIDE, SIDE, 3), last=max(_AXES), is_pretrained=True)
    crops = part_crops.as_they_are(pictures, _PICTURES)
    scales = []
    for number, axes in _AXES.items():
        wide = body.get_layer(f"block_{number}_wide").output
        aligned = defect_nets.aligned(wide)
        kernel, bias = _whitening(backend.as_model(keras.Model(body.input, aligned))(crops), axes)
        reduced = layers.Conv2D(axes, 1, name=f"whiten_{number}")
        scales.append(defect_nets.aligned(reduced(wide)))
        reduced.set_weights([kernel[None, None], bias])
    x = layers.Concatenate(name="features")(scales)
    clipped = layers.ReLU(2 * _CLIPPED, name="clip")(x + _CLIPPED)
    return keras.Model(body.input, ops.subtract(clipped, _CLIPPED), name="features")


def _whitening(features: Floats, count: int) -> tuple[Floats, Floats]:
    """(d, k) and (k,): what turns features into k uncorrelated ones of unit variance."""
    rows = features.reshape(-1, features.shape[-1])
    rows = rows[:: max(len(rows) // 50_000, 1)].astype(np.float64)
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    variances, axes = np.linalg.eigh(np.cov(((rows - centre) / scale).T))
    kept = np.argsort(variances)[::-1][:count]
    kernel = axes[:, kept] / np.sqrt(variances[kept] + 1e-3) / scale[:, None]
    return kernel.astype(np.float32), (-centre @ kernel).astype(np.float32)


def gaussians(training: Sequence[Seen]) -> dict[str, Array]:
    """What `fit` finds in parts with features; good ones are taken, a fifth of the items apart."""
    names = list(dict.fromkeys(one.recording.name for one in training if _good([one])))
    apart = set(names[-max(len(names) // 5, 1) :]) if len(names) > 1 else set()
    return fit(
        _good([one for one in training if one.recording.name not in apart]),
        _good([one for one in training if one.recording.name in apart]),
    )


def fit(features: Sequence[Floats], apart: Sequence[Floats]) -> dict[str, Array]:
    """A Gaussian for each rectangle of places (Defard et al., "PaDiM", ICPR workshops 2021).

    PaDiM has one for each place. Where parts do not lie alike, or are few, neighbours say more
    together than each alone: rectangles are as large as makes good parts kept apart most likely.

    Args:
        features: (rows, columns, d) float32 of each good part. Where sizes differ the median
            counts; what lies beyond is compared with its edge.
        apart: of parts of other items, which are learned from afterwards; may be empty.

    Returns:
        arrays as `contract.defects.heat` takes them.
    """
    rows, columns = (int(np.median([x.shape[axis] for x in features])) for axis in (0, 1))
    cell = int(np.ceil(np.sqrt(rows * columns / _MOST_GAUSSIANS)))
    size = (-(-rows // cell), -(-columns // cell))
    before, after = (_Moments.of(of, cell, size) for of in (features, apart or features))
    shapes = [(r, c) for r in _doubled(size[0]) for c in _doubled(size[1])]
    best = max(shapes, key=lambda shape: after.merged(shape).likelihood(*before.fitted(shape)))
    mean, whiten = (before.plus(after) if apart else before).fitted(best)
    block = np.array(best, np.float32) * cell
    learned: dict[str, Array] = {MEAN: mean, WHITEN: whiten.astype(np.float16), BLOCK: block}
    return learned | _levels([*features, *apart], learned)


def _levels(features: Sequence[Floats], learned: Mapping[str, Array]) -> dict[str, Array]:
    """How far away the places of good parts are, for every rectangle of them.

    Distances are no Gaussian's: at an edge or a print a good part lies far more often than chance
    would have it.
    """
    heats = [defects.heat(x, learned) for x in features]
    down, across = (int(length) for length in learned[BLOCK])
    middle, spread = (np.zeros(learned[MEAN].shape[:2], np.float32) for _ in range(2))
    for row, column in np.ndindex(middle.shape):
        at = (slice(row * down, (row + 1) * down), slice(column * across, (column + 1) * across))
        here = np.concatenate([heat[at].ravel() for heat in heats])
        if here.size:  # of upright and lying pictures none may reach the far corner
            middle[row, column], far = np.quantile(here, (0.5, _FAR))
            spread[row, column] = far - middle[row, column]
    # few parts do not show all that a quiet place may look like
    least = max(float(np.median(spread)), _LEAST_SPREAD)
    return {MIDDLE: middle, SPREAD: np.maximum(spread, least)}


@dataclass(frozen=True, eq=False)
class _Moments:
    """What is needed of features to fit Gaussians, for every cell of places.

    Attributes:
        count: (r, c, 1).
        total: (r, c, d), sum of all features.
        square: (r, c, d, d), sum of their outer products.
    """

    count: Floats
    total: Floats
    square: Floats

    @classmethod
    def of(cls, features: Sequence[Floats], cell: int, size: tuple[int, int]) -> _Moments:
        """Cells of `cell` x `cell` places each."""
        k = features[0].shape[2]
        made = cls(*(np.zeros((*size, *last), np.float32) for last in ((1,), (k,), (k, k))))
        for row, column in np.ndindex(size):
            at = (slice(row * cell, (row + 1) * cell), slice(column * cell, (column + 1) * cell))
            here = np.concatenate([x[at].reshape(-1, k) for x in features])
            made.count[row, column] = len(here)
            made.total[row, column] = here.sum(axis=0)
            made.square[row, column] = here.T @ here
        return made

    def plus(self, other: _Moments) -> _Moments:
        return _Moments(
            self.count + other.count, self.total + other.total, self.square + other.square
        )

    def merged(self, shape: tuple[int, int]) -> _Moments:
        """Rectangles of `shape` cells."""
        count, total, square = (_summed(x, shape) for x in (self.count, self.total, self.square))
        return _Moments(count, total, square)

    def fitted(self, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        """(r, c, d) mean and (r, c, d, d) whitening of rectangles of `shape` cells."""
        everywhere = self.merged(self.count.shape[:2]).covariance()[1]
        mean, covariance = self.merged(shape).covariance()
        towards = everywhere + np.eye(mean.shape[-1], dtype=np.float32)
        mixed = (1 - _SHRINK) * covariance + _SHRINK * towards
        whiten = np.linalg.inv(np.linalg.cholesky(mixed)).swapaxes(-1, -2)
        return mean, np.asarray(whiten, np.float32)

    def covariance(self) -> tuple[Floats, Floats]:
        """(r, c, d) mean and (r, c, d, d) covariance."""
        count = np.maximum(self.count, 1.0).astype(np.float32)
        mean: Floats = self.total / count
        return mean, self.square / count[..., None] - mean[..., :, None] * mean[..., None, :]

    def likelihood(self, mean: Floats, whiten: Floats) -> float:
        """Logarithm, but for what is the same for all Gaussians."""
        of_cells = np.log(np.diagonal(whiten, axis1=-2, axis2=-1)).sum(axis=-1)
        crossed = mean[..., :, None] * self.total[..., None, :]
        spread = self.square - crossed - crossed.swapaxes(-1, -2)
        spread += self.count[..., None] * mean[..., :, None] * mean[..., None, :]
        away = (whiten @ whiten.swapaxes(-1, -2)) * spread
        return float((self.count[..., 0] * of_cells).sum() - 0.5 * away.sum())


def _summed(cells: Floats, shape: tuple[int, int]) -> Floats:
    for axis, length in enumerate(shape):
        cells = np.add.reduceat(cells, np.arange(0, cells.shape[axis], length), axis=axis)
    return cells


def _doubled(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    return [*(2**i for i in range(most.bit_length()) if 2**i < most), most]


def bank(training: Sequence[Seen]) -> dict[str, Array]:
    """A coreset of at most 1 % of all places (Roth et al., "PatchCore", CVPR 2022).

    Greedy: each time the place that lies farthest from all that are in it, of those tried.

    Args:
        training: as in `gaussians`.
    """
    places = np.concatenate([x.reshape(-1, x.shape[2]) for x in _good(training)])
    rng = np.random.default_rng(0)
    count = min(max(int(_BANK_SHARE * len(places)), 1), _MOST_BANK)
    tried = places[rng.permutation(len(places))[: 20 * count]]
    nearest = np.full(len(tried), np.inf, np.float32)
    chosen = [0]
    while len(chosen) < min(count, len(tried)):
        nearest = np.minimum(nearest, np.square(tried - tried[chosen[-1]]).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    return {BANK: tried[chosen]}


def _good(training: Sequence[Seen]) -> list[Floats]:
    """(rows, columns, d) features of each good part."""
    return [
        part.features
        for seen in training
        for window, label in zip(seen.found, labels(items([seen.recording])), strict=True)
        for part in window
        if label == GOOD and isinstance(part, Part) and part.features is not None
    ]
