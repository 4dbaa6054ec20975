"""Crops of good parts alone, for networks that learn what these look like and nothing else.

A part is shown as a line shows it, moved and lit a little differently each time: what is turned or
much darker on a good part here may be what a defect looks like there, so the changes are smaller
than those of supervised networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from contract.ops.tiles import SIDE, STEP
from contract.spec import Array, Floats
from training import backend, defect_nets, drawn_defects, part_crops
from training.datasets import Recording
from training.part_crops import Photo, Pictures
from training.recipes import Examples

_PLACES = SIDE // STEP
_VALIDATED = 64  # pictures, at most
_CALIBRATED = 100
_GAIN, _OFFSET = 0.03, 2.0  # of the light, and grey levels


def crops(seen: Sequence[Photo], _targets: Floats, rng: np.random.Generator) -> Examples:
    """One crop of each picture, from anywhere on it.

    Returns:
        (n, 256, 256, 3) float32 pixels from 0 to 255, and (n, 32, 32, 1) float32 zeros: the score
        that good parts should have.
    """
    made = np.stack([_lit(cut(one.picture, SIDE, rng), rng) for one in seen])
    return made, np.zeros((len(made), _PLACES, _PLACES, 1), np.float32)


def cut(picture: Array, side: int, rng: np.random.Generator) -> Floats:
    """(side, side, 3) float32: a square from anywhere on a picture, mirrored beyond its edges."""
    over = [max(side - n, 0) for n in picture.shape[:2]]
    padded = np.pad(picture, [*((0, n) for n in over), (0, 0)], mode="symmetric")
    top, left = (int(rng.integers(0, n - side + 1)) for n in padded.shape[:2])
    square = padded[top : top + side, left : left + side].astype(np.float32)
    return np.repeat(square, 3, axis=2) if square.shape[2] == 1 else square


def error(_targets: Any, outputs: Any) -> Any:
    """(n,) loss of a network whose outputs are errors: their mean."""
    from keras import ops

    return ops.mean(outputs, axis=(1, 2, 3))


def layer(name: str) -> Callable[[Any, Floats], Any]:
    """A head that gives what the layer of that name does, instead of the score made of it."""

    def inner(kept: Any, _targets: Floats) -> Any:
        import keras

        return keras.Model(kept.input, kept.get_layer(name).output)

    return inner


def validate(model: Any, examples: Examples) -> float:
    """Mean score of all places of good parts not learned from."""
    return float(backend.as_model(model)(as_they_are(examples[0], _VALIDATED)).mean())


def calibration(recordings: Sequence[Recording]) -> Floats:
    """(at most 200, 256, 256, 3) good parts as they are and, drawn onto them, with defects.

    What good parts alone reach would be the end of the int8 range, and a defect no more than that.
    """
    plain = as_they_are(defect_nets.good_ones(recordings)[0], _CALIBRATED)
    rng = np.random.default_rng(0)
    drawn = [drawn_defects.draw(plain[i], plain[i - 1], rng)[0] for i in range(len(plain))]
    return np.concatenate([plain, np.stack(drawn)])


def as_they_are(pictures: Any, most: int) -> Floats:
    """(at most `most`, 256, 256, 3): the middle of pictures evenly over all of them."""
    assert isinstance(pictures, Pictures)
    some = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)
    return np.concatenate([part_crops.whole(one) for one in pictures[some]])


def _lit(pixels: Floats, rng: np.random.Generator) -> Floats:
    """In a slightly different light."""
    lit = pixels * np.exp(rng.normal(0.0, _GAIN)) + rng.normal(0.0, _OFFSET)
    found: Floats = lit.clip(0.0, 255.0).astype(np.float32)
    return found
