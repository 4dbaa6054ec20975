"""What supervised networks of `inspection` share: where they say a defect is, and their loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from contract import defects
from contract.ops.tiles import SIDE, STEP
from contract.spec import Array, Floats
from training import (
    backend,
    drawn_defects,
    feature_pictures,
    heat_checks,
    inspection_metrics,
    part_crops,
)
from training.datasets import Recording
from training.part_crops import Photo, Pictures
from training.parts import GOOD, items
from training.recipes import Examples, StageRecipe
from training.report import Section

_PLACES = 4  # highest of a crop: what a part is judged by, see `contract.defects.score`
_RARE = 0.05  # share of places that are defective, as trained; what the last bias begins with
_SMOOTH = 20.0  # places: a crop with a single defective one does not weigh as much as hundreds
_VALIDATED = 160  # pictures, at most
_CALIBRATED = 200
_ENTROPY = 0.05
_CHECKED = 8  # squares
_SETTLED = 48  # pictures
_LEAST = 0.05  # of a feature's spread: what is alike on all pictures is not blown up
_SETTLES = 0.6  # of the epochs: averaged weights of a falling rate are hardly ever worse later
_AVERAGED = 0.97  # of the weights of earlier steps, in what an epoch ends with


def map_of(taps: Sequence[Any], *, width: int) -> Any:
    """A defect's logit at each place of the picture, out of features at several scales.

    Args:
        taps: (n, rows, columns, d) of 256 x 256 pixels each, at steps of 4 pixels or more.
        width: filters that each is reduced to before they are added.

    Returns:
        (n, 32, 32, 1).
    """
    from keras import initializers, layers

    narrow = [layers.Conv2D(width, 1, name=f"tap_{i}")(tap) for i, tap in enumerate(taps)]
    summed = [aligned(tap, is_highest=True) for tap in narrow]  # a mean would fade a small mark
    x = layers.ReLU(6.0)(layers.Add()(summed) if len(summed) > 1 else summed[0])
    x = layers.ReLU(6.0)(layers.Conv2D(width, 3, padding="same", name="mix")(x))
    x = layers.SpatialDropout2D(0.2)(x)
    bias = initializers.Constant(float(np.log(_RARE / (1 - _RARE))))
    of_places = layers.Conv2D(1, 1, bias_initializer=bias, name="defect")(x)
    # what is spread over the whole square, such as fine lines everywhere, raises all of its places
    means = [layers.GlobalAveragePooling2D(keepdims=True)(tap) for tap in taps]
    mean = layers.Concatenate(name="means")(means) if len(means) > 1 else means[0]
    whole = layers.ReLU(6.0)(layers.Conv2D(width, 1, name="whole")(mean))
    of_whole = layers.Conv2D(1, 1, kernel_initializer="zeros", name="all_over")(whole)
    return layers.Add(name="logits")([of_places, of_whole])


def settle(model: Any, pictures: Pictures) -> None:
    """Let every scale begin with the same say, whatever the size of its features.

    Layer-sequential unit variance (Mishkin and Matas, "All you need is a good init", ICLR 2016), of
    the layers that reduce pretrained features: fed as they are, these drive what follows to its
    limits, where it learns slowly.

    Args:
        model: with the layers of `map_of`, whose weights are changed.
        pictures: of training.
    """
    import keras

    fed = [one for one in model.layers if one.name.startswith(("tap_", "whole"))]
    seen = keras.Model(model.input, [one.input for one in fed])
    shown = seen.predict(part_crops.as_they_are(pictures, _SETTLED), batch_size=16, verbose=0)
    for layer, features in zip(fed, shown, strict=True):
        rows = np.asarray(features, np.float32).reshape(-1, features.shape[-1])
        kernel = layer.get_weights()[0] / (np.sqrt(rows.var(axis=0).mean()) + _LEAST)
        layer.set_weights([kernel, -rows.mean(axis=0) @ kernel[0, 0]])


def aligned(features: Any, *, is_highest: bool = False) -> Any:
    """(n, 32, 32, d): features of (n, rows, columns, d) places, pooled or interpolated.

    Args:
        features: of a scale.
        is_highest: each place has the highest of what is pooled, not the mean.
    """
    from keras import layers

    places, rows = SIDE // STEP, features.shape[1]
    if rows > places:
        pool = layers.MaxPooling2D if is_highest else layers.AveragePooling2D
        return pool(rows // places)(features)
    if rows < places:
        return layers.UpSampling2D(places // rows, interpolation="bilinear")(features)
    return features


def loss(targets: Any, logits: Any) -> Any:
    """(n,) weighted cross-entropy of places, and of the highest places of each crop.

    Defective and good places weigh the same however few the first are; where nobody has drawn the
    defect, the highest places alone are asked to tell.

    Args:
        targets: (n, 32, 32, 1), see `training.part_crops`.
        logits: (n, 32, 32, 1).
    """
    from keras import ops

    z, asked = logits[..., 0], targets[..., 0]
    is_defect = ops.cast(ops.equal(asked, 1.0), z.dtype)
    is_good = ops.cast(ops.equal(asked, 0.0), z.dtype)
    each = _cross_entropy(z, is_defect)
    rows = ops.cast(ops.shape(z)[0], z.dtype)
    defective = is_defect / (ops.sum(is_defect) + _SMOOTH)
    good = is_good / (ops.sum(is_good) + 1.0)
    of_places = rows * ops.sum(0.5 * (defective + good) * each, axis=(1, 2))
    highest = ops.mean(ops.top_k(ops.reshape(z, (-1, z.shape[1] * z.shape[2])), _PLACES)[0], axis=1)
    shows = ops.cast(ops.any(asked >= 1.0, axis=(1, 2)), z.dtype)
    return of_places + 0.5 * _cross_entropy(highest, shows)


def _cross_entropy(z: Any, is_true: Any) -> Any:
    from keras import ops

    return ops.relu(z) - z * is_true + ops.log1p(ops.exp(-ops.abs(z)))


def scores(model: Any, seen: Sequence[Photo]) -> Array:
    """(n,) how much of a defect is seen in the middle 256 x 256 pixels of each picture."""
    return _scores(model, np.concatenate([part_crops.whole(one) for one in seen]))


def _scores(model: Any, crops: Floats) -> Array:
    return np.array([defects.score(one[..., 0]) for one in backend.as_model(model)(crops)])


def validate(model: Any, examples: Examples) -> float:
    """How often a good picture scores higher than a defective one, and a little cross-entropy.

    Ranks decide, for thresholds are chosen afterwards, and cross-entropy grows with every mistake
    that a network becomes surer of; where ranks are perfect it tells which network is surest.
    Where none is defective, defects are drawn onto every second one, always the same.
    """
    pictures = examples[0]
    assert isinstance(pictures, Pictures)
    some = np.linspace(0, len(pictures) - 1, min(_VALIDATED, len(pictures))).astype(int)
    is_defect = pictures.is_defect[some].copy()
    is_drawn = np.zeros(len(some), bool)
    if not is_defect.any():
        is_drawn[1::2] = is_defect[1::2] = True
    rng = np.random.default_rng(0)
    z = np.empty(len(some))
    before: Floats | None = None
    for row, number in enumerate(some):  # one by one: all squares of all of them are too many
        squares = part_crops.squares(pictures[np.array([number])][0])
        if is_drawn[row] and before is not None:
            squares[0], _ = drawn_defects.draw(squares[0], before, rng)
        before = squares[0]
        z[row] = _scores(model, squares).max()
    each = np.maximum(z, 0) - z * is_defect + np.log1p(np.exp(-np.abs(z)))
    classes = [is_it for is_it in (is_defect, ~is_defect) if is_it.any()]
    entropy = float(np.mean([each[is_it].mean() for is_it in classes]))
    if len(classes) == 1:
        return entropy
    return 1.0 - inspection_metrics.auroc(is_defect, z) + _ENTROPY * entropy


def good_ones(recordings: Sequence[Recording]) -> Examples:
    """Pictures of good parts alone."""
    found = Pictures(items(recordings), labels=(GOOD,))
    return found, np.zeros(len(found), np.float32)


def calibration(recordings: Sequence[Recording]) -> Floats:
    """(at most 200, 256, 256, 3) pictures as they are, to quantize with."""
    return part_crops.as_they_are(Pictures(items(recordings)), _CALIBRATED)


def supervised(network: Callable[[Pictures], Any], **how: Any) -> StageRecipe:
    """A network that learns from good and defective parts.

    Args:
        network: pictures of training -> Keras model, (n, 256, 256, 3) -> (n, 32, 32, 1) logits.
        how: epochs, steps, batch and learning rate, as in a `StageRecipe`, and `layers`, names of
            those that the report shows, from early to late.
    """
    rows = part_crops.balanced(scores, rows=how["steps"] * how["batch"])
    augment = part_crops.crops(drawn=0.25, moved=0.3)
    return _stage(network, data=part_crops.pictures, augment=augment, rows=rows, **how)


def from_good(network: Callable[[Pictures], Any], **how: Any) -> StageRecipe:
    """The same from good parts alone, with defects drawn onto them.

    Args:
        network: as in `supervised`.
        how: likewise.
    """
    rows = part_crops.evenly(rows=how["steps"] * how["batch"])
    return _stage(network, data=good_ones, augment=part_crops.crops(drawn=0.6), rows=rows, **how)


def from_few(network: Callable[[Pictures], Any], **how: Any) -> StageRecipe:
    """The same from good parts with defects drawn onto them, and a few real defects.

    Args:
        network: as in `supervised`.
        how: likewise.
    """
    rows = part_crops.balanced(scores, rows=how["steps"] * how["batch"], defective=0.25)
    augment = part_crops.crops(drawn=0.6)
    return _stage(network, data=part_crops.pictures, augment=augment, rows=rows, **how)


def _explained(
    model: Any, recordings: Sequence[Recording], *, layers: Sequence[str]
) -> list[Section]:
    """Whether its heat maps can be believed, where defects are drawn, and what excites it."""
    shown = heat_checks.squares(items(recordings), most=_CHECKED)
    found = [feature_pictures.section(model, layers=layers)]
    if len(shown):
        checked = heat_checks.check(model, shown, tap=layers[-1], seed=0)
        found.insert(0, heat_checks.section(checked))
    return found


def _stage(network: Callable[[Pictures], Any], *, layers: Sequence[str], **how: Any) -> StageRecipe:
    def of(_shape: tuple[int, ...], pictures: Any) -> Any:
        return network(pictures)

    return StageRecipe(
        model=of,
        loss=loss,
        calibration=calibration,
        by_batch=True,
        validate=validate,
        optimizer=_optimizer,
        settles=_SETTLES,
        explain=partial(_explained, layers=layers),
        **how,
    )


def _optimizer(learning_rate: float, steps: int, epochs: int) -> Any:
    """Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019), warmed up."""
    import keras

    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps * epochs, warmup_target=learning_rate, warmup_steps=steps // 2
    )
    return keras.optimizers.AdamW(
        rate,
        weight_decay=0.01,
        clipnorm=1.0,
        use_ema=True,
        ema_momentum=_AVERAGED,
        ema_overwrite_frequency=steps,
    )
