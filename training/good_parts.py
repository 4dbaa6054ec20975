"""What good parts have in every place: a Gaussian each (PaDiM), or a bank of them all (PatchCore).

Nothing is fitted step by step: features of a network that knows ImageNet, reduced to the axes along
which good parts differ, as the device's own engine gives them. `contract.defects.heat` compares a
part with what is learned here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contract.defects import BANK, BLOCK, MEAN, WHITEN
from contract.inspection import Part
from contract.ops.tiles import SIDE
from contract.spec import Array, Floats
from training import backend, defect_nets, part_crops
from training.part_crops import Pictures
from training.parts import GOOD, items, labels
from training.watch import Seen
from training.weights import efficientnet_lite0

BLOCKS = (2, 4, 10)
_AXES = 64  # of the features, those along which good parts differ most
_PICTURES = 100  # that they are found from
_SHRINK = 0.05  # towards the covariance of all places: a hundred parts say little of 64 axes
_MOST_GAUSSIANS = 3000  # 25 MB; of a larger picture a square of places shares one
_MOST_BANK = 4000
_BANK_SHARE = 0.01
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
    body = efficientnet_lite0.network((SIDE, SIDE, 3), last=BLOCKS[-1], is_pretrained=True)
    taps = [body.get_layer(f"block_{number}").output for number in BLOCKS]
    joined = layers.Concatenate(name="features")([defect_nets.aligned(tap) for tap in taps])
    crops = part_crops.as_they_are(pictures, _PICTURES)
    kernel, bias = _whitening(backend.as_model(keras.Model(body.input, joined))(crops))
    reduced = layers.Conv2D(_AXES, 1, name="whiten")
    x = reduced(joined)
    reduced.set_weights([kernel[None, None], bias])
    clipped = layers.ReLU(2 * _CLIPPED, name="clip")(x + _CLIPPED)
    return keras.Model(body.input, ops.subtract(clipped, _CLIPPED), name="features")


def _whitening(features: Floats) -> tuple[Floats, Floats]:
    """(d, k) and (k,): what turns features into k uncorrelated ones of unit variance."""
    rows = features.reshape(-1, features.shape[-1])
    rows = rows[:: max(len(rows) // 50_000, 1)].astype(np.float64)
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    variances, axes = np.linalg.eigh(np.cov(((rows - centre) / scale).T))
    kept = np.argsort(variances)[::-1][:_AXES]
    kernel = axes[:, kept] / np.sqrt(variances[kept] + 1e-3) / scale[:, None]
    return kernel.astype(np.float32), (-centre @ kernel).astype(np.float32)


def gaussians(training: Sequence[Seen]) -> dict[str, Array]:
    """A Gaussian for each place (Defard et al., "PaDiM", ICPR workshops 2021).

    Args:
        training: parts with features; good ones are taken. Of pictures of several sizes the median
            size counts; what lies beyond is compared with its edge.

    Returns:
        arrays as `contract.defects.heat` takes them.
    """
    features = _good(training)
    rows, columns = (int(np.median([x.shape[axis] for x in features])) for axis in (0, 1))
    k = features[0].shape[2]
    block = int(np.ceil(np.sqrt(rows * columns / _MOST_GAUSSIANS)))
    everywhere = np.cov(np.concatenate([x.reshape(-1, k)[::7] for x in features]).T)
    size = (-(-rows // block), -(-columns // block))
    mean = np.zeros((*size, k), np.float32)
    whiten = np.zeros((*size, k, k), np.float16)
    for row, column in np.ndindex(size):
        at = (slice(row * block, (row + 1) * block), slice(column * block, (column + 1) * block))
        here = np.concatenate([x[at].reshape(-1, k) for x in features])
        mean[row, column] = here.mean(axis=0)
        away = here - mean[row, column]
        covariance = away.T @ away / len(here)
        mixed = (1 - _SHRINK) * covariance + _SHRINK * (everywhere + np.eye(k))
        whiten[row, column] = np.linalg.inv(np.linalg.cholesky(mixed)).T
    return {MEAN: mean, WHITEN: whiten, BLOCK: np.array(block, np.float32)}


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
