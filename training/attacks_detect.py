"""Telling attacked pictures from others: by the entropy of response maps, and by squeezing.

Amirian, Schwenker and Stadelmann, "Trace and Detect Adversarial Attacks on CNNs Using Feature
Response Maps", ANNPR 2018: what a network responds to lies together in a clean picture and is
scattered in an attacked one, and the mean entropy of small patches of the response map shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from contract.spec import Array, Floats
from training import attacks_net, backend
from training.inspection_metrics import auroc

FALSE_ALARMS = (0.01, 0.05, 0.10)
_SIDE = 3  # of a patch, pixels
_LOG2 = np.log2(np.maximum(np.arange(_SIDE * _SIDE + 1), 1))


@dataclass(frozen=True)
class Way:
    """How a response map is made and read.

    Attributes:
        last: ReLU whose activations are traced back.
        start: see `attacks_net.response`.
        gray: how its gray levels come about: `signed`, from the lowest response to the highest, or
            `size`, from none to the largest.
    """

    last: str
    start: str
    gray: str


def tried(model: Any) -> list[Way]:
    """All ways that are tried, from the last ReLU of the network up to the fourth last."""
    last = [one.name for one in attacks_net.layers_of(model) if one.name.startswith("relu_")][-4:]
    return [
        Way(name, start, how)
        for name in reversed(last)
        for start in ("each", "strong")
        for how in ("signed", "size")
    ]


def responses(model: Any, pixels: Floats, last: str, start: str) -> Floats:
    """(n, side, side) float32, response maps, the mean over the colours.

    Args:
        model: of `attacks_net.network`.
        pixels: (n, side, side, 3) float32 from 0 to 255.
        last: see `Way`.
        start: likewise.
    """
    return backend.as_model(_tracing(model, last, start))(pixels)


@cache
def _tracing(model: Any, last: str, start: str) -> Any:
    """Made once: Keras compiles each model anew."""
    import keras

    given = keras.Input(model.input_shape[1:])
    traced = attacks_net.response(model, given, last=last, start=start)
    return keras.Model(given, keras.ops.mean(traced, axis=-1))


def entropies(model: Any, pixels: Floats, way: Way) -> Floats:
    """(n,) mean local entropy of the response map of each crop, bits.

    Args:
        model: of `attacks_net.network`.
        pixels: (n, side, side, 3) float32 from 0 to 255.
        way: how.
    """
    return local_entropy(gray(responses(model, pixels, way.last, way.start), way.gray))


def by_way(model: Any, pixels: Floats) -> Floats:
    """(n, ways) the same by each of `tried`."""
    found = []
    for (last, start), alike in groupby(tried(model), key=lambda way: (way.last, way.start)):
        maps = responses(model, pixels, last, start)
        found += [local_entropy(gray(maps, way.gray)) for way in alike]
    return np.stack(found, axis=1)


@dataclass(frozen=True)
class Calm:
    """What clean crops that are taken for one class have.

    What a defect excites lies together; a good part excites a little everywhere. An attack on
    either lies in between, so each class has its own side.

    Attributes:
        centre: median of their entropies, bits.
        spread: median absolute deviation from it, bits.
        side: 1 where attacked crops that are taken for this class have more, -1 where less.
    """

    centre: float
    spread: float
    side: float


@dataclass(frozen=True)
class Reading:
    """How attacks are told: way, and by class what is clean, good first."""

    way: Way
    calm: tuple[Calm, Calm]

    def unusual(self, entropies: Floats, classes: Array) -> Floats:
        """(n,) how far entropies lie to the attacks' side of clean ones of the same class.

        Args:
            entropies: (n,) bits.
            classes: (n,) what each crop is taken for.
        """
        centre, spread, side = (
            np.array([getattr(one, name) for one in self.calm])[classes]
            for name in ("centre", "spread", "side")
        )
        found: Floats = side * (entropies - centre) / spread
        return found


def calm(clean: Floats, attacked: Floats) -> Calm:
    """Of clean and of attacked crops that are taken for one class.

    Args:
        clean: (n,) entropies, n >= 1.
        attacked: (m,) entropies; none: they are supposed to have more, as published.
    """
    centre = float(np.median(clean))
    spread = max(float(np.median(np.abs(clean - centre))), 1e-6)
    is_less = len(attacked) > 0 and rates(clean, attacked).auc < 0.5
    return Calm(centre, spread, -1.0 if is_less else 1.0)


def gray(maps: Floats, how: str) -> Array:
    """(n, rows, columns) uint8 levels of maps, each over all it has; 0 where a map is flat.

    Args:
        maps: (n, rows, columns) float32.
        how: see `Way`.
    """
    x = np.abs(maps) if how == "size" else maps
    low = np.zeros((len(x), 1, 1)) if how == "size" else x.min(axis=(1, 2), keepdims=True)
    span = np.maximum(x.max(axis=(1, 2), keepdims=True) - low, 1e-12)
    return np.round(255.0 * (x - low) / span).astype(np.uint8)


def local_entropy(levels: Array) -> Floats:
    """(n,) mean over all patches of 3 x 3 of -sum(h log2 h), h the histogram of gray levels.

    From 0, where every patch has one level, to log2(9) = 3.17 bits, where all nine differ.

    Args:
        levels: (n, rows, columns) uint8.
    """
    size = _SIDE * _SIDE
    patches = sliding_window_view(levels, (_SIDE, _SIDE), axis=(1, 2))
    rows, columns = patches.shape[1:3]
    nine = [np.ascontiguousarray(patches[..., k // _SIDE, k % _SIDE]) for k in range(size)]
    # the entropy is log2(9) less the mean, over the nine, of log2 of how many share its level
    total = np.zeros(len(levels))
    for one in nine:
        shared = np.zeros((len(levels), rows, columns), np.uint8)
        for other in nine:
            shared += one == other
        total += _LOG2[shared].mean(axis=(1, 2))
    return np.log2(size) - total / size


def squeezed(model: Any, pixels: Floats) -> Floats:
    """(n,) how far the class probabilities move when a picture is squeezed; 0 to 2.

    Xu, Evans and Qi, "Feature Squeezing", NDSS 2018: the largest L1 distance over five bits of
    depth, a median of 2 x 2 pixels (here of 3 x 3, which is centred) and non-local means (11-3-4).

    Args:
        model: of `attacks_net.network`.
        pixels: (n, side, side, 3) float32 from 0 to 255.
    """
    run = backend.as_model(model)
    whole = _probabilities(run(pixels))
    moved = [
        np.abs(whole - _probabilities(run(_each(pixels, squeeze)))).sum(axis=1)
        for squeeze in (_fewer_bits, _median, _smooth)
    ]
    found: Floats = np.max(moved, axis=0)
    return found


@dataclass(frozen=True)
class Rates:
    """How well attacked crops are told from clean ones.

    Attributes:
        auc: probability that an attacked crop scores higher.
        caught: share of attacked crops caught at each of `FALSE_ALARMS`.
    """

    auc: float
    caught: tuple[float, ...]

    def as_json(self) -> Mapping[str, float]:
        """By names such as `tpr_at_1`."""
        names = [f"tpr_at_{round(100 * rate)}" for rate in FALSE_ALARMS]
        return {"auc": self.auc, **dict(zip(names, self.caught, strict=True))}


def rates(clean: Floats, attacked: Floats) -> Rates:
    """Rates at thresholds that leave so many of the clean ones above.

    Args:
        clean: (n,) scores of clean crops.
        attacked: (m,) of attacked ones, m >= 1.
    """
    both = np.concatenate([clean, attacked])
    is_attacked = np.arange(len(both)) >= len(clean)
    ranked = np.sort(clean)[::-1]
    limits = [ranked[min(int(rate * len(clean)), len(clean) - 1)] for rate in FALSE_ALARMS]
    caught = tuple(float(np.mean(attacked > limit)) for limit in limits)
    return Rates(auroc(is_attacked, both), caught)


def jpeg(pixels: Floats, quality: int) -> Floats:
    """The same after JPEG, which shifts the entropy without any attack."""

    def coded(picture: Array) -> Array:
        _, stream = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(stream, cv2.IMREAD_COLOR))

    return _each(pixels, coded)


def rescaled(pixels: Floats, factor: float) -> Floats:
    """The same made smaller by a factor and as large as before again."""

    def through(picture: Array) -> Array:
        side = picture.shape[0]
        small = cv2.resize(picture, (round(side * factor),) * 2, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)

    return _each(pixels, through)


def _each(pixels: Floats, change: Callable[[Array], Array]) -> Floats:
    return np.stack([change(one.astype(np.uint8)) for one in pixels]).astype(np.float32)


def _fewer_bits(picture: Array) -> Array:
    return np.round(np.round(picture / 255.0 * 31) / 31 * 255.0).astype(np.uint8)


def _median(picture: Array) -> Array:
    return cv2.medianBlur(picture, 3)


def _smooth(picture: Array) -> Array:
    return cv2.fastNlMeansDenoising(picture, None, 4.0, 3, 11)


def _probabilities(logits: Floats) -> Floats:
    high = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = high / high.sum(axis=1, keepdims=True)
    return found
