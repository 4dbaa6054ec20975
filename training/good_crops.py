"""Crops of good parts alone, for networks that learn what these look like and nothing else.

A part is shown as a line shows it, moved and lit a little differently each time: what is turned or
much darker on a good part here may be what a defect looks like there, so the changes are smaller
than those of supervised networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from contract.ops import tiles
from contract.ops.tiles import SIDE, STEP
from contract.spec import Array, Floats
from training import backend, defect_nets, drawn_defects, part_crops
from training.datasets import Recording
from training.part_crops import Photo, Pictures
from training.parts import GOOD, items
from training.recipes import Examples, StageRecipe
from training.weights import Weight

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
    top, left = (int(rng.integers(0, max(n - side, 0) + 1)) for n in picture.shape[:2])
    square = tiles.square(picture, (top, left), (side, side)).astype(np.float32)
    return np.repeat(square, 3, axis=2) if square.shape[2] == 1 else square


def stage(
    network: Callable[[Any], Any],
    loss: Callable[[Any, Any], Any],
    *,
    inner: str,
    epochs: int,
    steps: int,
    batch: int,
    learning_rate: float,
    weights: Sequence[Weight] = (),
) -> StageRecipe:
    """How a network whose scores are errors learns from good parts.

    Args:
        network: pictures -> Keras model, (n, 256, 256, 3) -> (n, 32, 32, 1) errors.
        loss: as in a `StageRecipe`, of what the layer `inner` gives instead of the errors.
        inner: name of that layer.
        epochs: as in a `StageRecipe`, and so are the others.
        steps: batches of an epoch.
        batch: crops.
        learning_rate: at the start.
        weights: as in a `StageRecipe`.
    """

    def head(kept: Any, _targets: Floats) -> Any:
        import keras

        return keras.Model(kept.input, kept.get_layer(inner).output)

    return StageRecipe(
        data=defect_nets.good_ones,
        model=lambda _shape, pictures: network(pictures),
        augment=crops,
        loss=loss,
        epochs=epochs,
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        calibration=calibration,
        by_batch=True,
        head=head,
        validate=validate,
        rows=part_crops.evenly(rows=steps * batch),
        weights=weights,
    )


def validate(model: Any, examples: Examples) -> float:
    """Mean score of all places of good parts not learned from."""
    pictures = examples[0]
    assert isinstance(pictures, Pictures)
    return float(backend.as_model(model)(part_crops.as_they_are(pictures, _VALIDATED)).mean())


def calibration(recordings: Sequence[Recording]) -> Floats:
    """(at most 200, 256, 256, 3) good parts as they are and, drawn onto them, with defects.

    What good parts alone reach would be the end of the int8 range, and a defect no more than that.
    """
    good = Pictures(items(recordings), labels=(GOOD,))
    plain = part_crops.as_they_are(good, _CALIBRATED)
    rng = np.random.default_rng(0)
    drawn = [drawn_defects.draw(plain[i], plain[i - 1], rng)[0] for i in range(len(plain))]
    return np.concatenate([plain, np.stack(drawn)])


def _lit(pixels: Floats, rng: np.random.Generator) -> Floats:
    """In a slightly different light."""
    lit = pixels * np.exp(rng.normal(0.0, _GAIN)) + rng.normal(0.0, _OFFSET)
    found: Floats = lit.clip(0.0, 255.0).astype(np.float32)
    return found
