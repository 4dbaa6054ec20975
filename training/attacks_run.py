"""Attacks on a classifier, all of them from the Adversarial Robustness Toolbox, and their outcome.

Nicolae et al., "Adversarial Robustness Toolbox", arXiv:1807.01069. What an attack gives is rounded
to the 8 bits of a picture, and counts only if it is then still taken for the other class. FGSM
(Goodfellow et al., ICLR 2015) and gradient attack take the smallest step that succeeds, along the
gradient's sign or the gradient itself; DeepFool (Moosavi-Dezfooli et al., CVPR 2016) goes as little
beyond the border between the classes as survives being rounded; one pixel: Su et al., IEEE TEVC
2019; boundary: Brendel et al., ICLR 2018.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.spec import Floats
from training import attacks_net
from training.attacks_crops import Crops
from training.attacks_detect import Reading
from training.datasets import DataError

ATTACKS = ("fgsm", "gradient", "one_pixel", "deepfool", "boundary")
SLOW = ("one_pixel", "boundary")  # ask the network thousands of times for one crop
_BATCH = 64
_WHITE = 255.0
_FARTHEST, _STEPS = 8.0, 20  # of the adaptive attack: levels, and steps of one level
_LEVEL = 1 / 255
# of DeepFool, as shares of the way to the border; the first is the published one, and what it makes
# is mostly less than a gray level
_OVERSHOOTS = (0.02, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, eq=False)
class Attacked:
    """What became of an attack.

    Attributes:
        pixels: (n, side, side, 3) float32, whole numbers: the crops it succeeded on.
        tried: crops.
        largest: median over the successes of the largest change of a pixel, of 255.
        seconds_each: of computing, for one crop.
    """

    pixels: Floats
    tried: int
    largest: float
    seconds_each: float

    @property
    def success(self) -> float:
        """Share of the crops tried."""
        return len(self.pixels) / max(self.tried, 1)


def attack(name: str, model: Any, crops: Crops) -> Attacked:
    """One attack on crops that the model takes for what they are.

    Args:
        name: of `ATTACKS`.
        model: of `attacks_net.network`.
        crops: at least one.

    Raises:
        DataError: the toolbox is not installed.
    """
    evasion, under = _toolbox(model, crops.pixels.shape[1:], _cross_entropy)

    def deepfool(overshoot: float) -> Any:
        return evasion.DeepFool(
            under, max_iter=50, epsilon=overshoot, nb_grads=2, batch_size=_BATCH, verbose=False
        )

    made: Mapping[str, Callable[[], Sequence[Any]]] = {
        "fgsm": lambda: [evasion.FastGradientMethod(
            under, norm=np.inf, eps=32 / _WHITE, eps_step=1 / _WHITE, minimal=True,
            batch_size=_BATCH,
        )],
        "gradient": lambda: [evasion.FastGradientMethod(
            under, norm=2, eps=12.0, eps_step=0.25, minimal=True, batch_size=_BATCH
        )],
        "one_pixel": lambda: [evasion.PixelAttack(under, th=1, es=1, max_iter=8)],
        "deepfool": lambda: [deepfool(overshoot) for overshoot in _OVERSHOOTS],
        "boundary": lambda: [evasion.BoundaryAttack(
            under, targeted=False, delta=0.05, epsilon=0.05, max_iter=60, num_trial=12,
            sample_size=10, init_size=50, verbose=False,
        )],
    }  # fmt: skip
    return _outcome(model, crops, made[name]())


def adaptive(model: Any, crops: Crops, reading: Reading, *, weight: float) -> Attacked:
    """An attacker who knows of the detection: iterated FGSM that also keeps the entropy clean.

    The histogram of gray levels has no gradient. What it counts is how far neighbours in the
    response map lie apart, so the total variation of the map, as a share of its highest response,
    stands for it: the attack raises the loss less `weight` times what is told by it.

    Args:
        model: of `attacks_net.network`.
        crops: to attack.
        reading: of the detection, which sides are the attacks' included.
        weight: of the entropy's stand-in against the loss.
    """
    from keras import ops

    way, (good, defect) = reading.way, reading.calm

    def penalised(logits: Any, pixels: Any, labels: Any) -> Any:
        maps = ops.mean(attacks_net.response(model, pixels, last=way.last, start=way.start), -1)
        size = ops.abs(maps)
        maps = (size if way.gray == "size" else maps) / (
            ops.max(size, axis=(1, 2), keepdims=True) + 1e-12
        )
        down, across = (
            ops.abs(maps[:, 1:] - maps[:, :-1]),
            ops.abs(maps[:, :, 1:] - maps[:, :, :-1]),
        )
        # the square root: small steps between neighbours count nearly as much as large ones
        varies = sum(ops.mean(ops.sqrt(one + _LEVEL), axis=(1, 2)) for one in (down, across))
        # an attacked defect is taken for good, and a good part for defective
        sides = ops.where(ops.convert_to_tensor(labels)[:, 1] > 0, good.side, defect.side)
        return _cross_entropy(logits, pixels, labels) - weight * ops.mean(sides * varies)

    evasion, under = _toolbox(model, crops.pixels.shape[1:], penalised)
    steps = evasion.BasicIterativeMethod(
        under, eps=_FARTHEST / _WHITE, eps_step=1 / _WHITE, max_iter=_STEPS, batch_size=_BATCH,
        verbose=False,
    )  # fmt: skip
    return _outcome(model, crops, [steps])


def right(model: Any, crops: Crops) -> Crops:
    """Those that the model takes for what they are: only they can be attacked."""
    is_right = attacks_net.classes(model, crops.pixels) == crops.is_defect
    return Crops(crops.pixels[is_right], crops.is_defect[is_right])


def _outcome(model: Any, crops: Crops, attacks: Sequence[Any]) -> Attacked:
    """What succeeds as a picture of 8 bits; each attack is tried where those before it failed."""
    start = time.process_time()
    pixels = crops.pixels.copy()
    fooled = np.zeros(len(crops), bool)
    for one in attacks:
        left = np.flatnonzero(~fooled)
        if not len(left):
            break
        found = _WHITE * one.generate(crops.pixels[left] / _WHITE, crops.is_defect[left])
        pixels[left] = np.round(np.clip(found, 0.0, _WHITE))
        fooled[left] = attacks_net.classes(model, pixels[left]) != crops.is_defect[left]
    seconds = time.process_time() - start
    moved = np.abs(pixels - crops.pixels).max(axis=(1, 2, 3))[fooled]
    largest = float(np.median(moved)) if fooled.any() else 0.0
    return Attacked(pixels[fooled], len(crops), largest, seconds / max(len(crops), 1))


def _cross_entropy(logits: Any, _pixels: Any, labels: Any) -> Any:
    import keras

    return keras.losses.CategoricalCrossentropy(from_logits=True)(labels, logits)


def _toolbox(
    model: Any, shape: tuple[int, ...], loss: Callable[[Any, Any, Any], Any]
) -> tuple[Any, Any]:
    """The toolbox's attacks, and the model as what they work on.

    Raises:
        DataError: the toolbox is not installed, or Keras does not run on TensorFlow.
    """
    import keras

    if keras.config.backend() != "tensorflow":
        raise DataError(
            f"attacks on Keras over {keras.config.backend()}; fix: KERAS_BACKEND=tensorflow, the "
            "only one that the toolbox knows"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of frameworks that are not there
            from art.attacks import evasion
            from art.estimators.classification import TensorFlowV2Classifier
    except ImportError:
        raise DataError(
            "the toolbox of attacks is missing; fix: pip install 'vedette[attacks]'"
        ) from None

    last: dict[str, Any] = {}

    def called(whitened: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 - as it is called
        del training
        last["pixels"] = keras.ops.convert_to_tensor(whitened, "float32") * _WHITE
        return model(last["pixels"], training=False)

    under = TensorFlowV2Classifier(
        called,
        nb_classes=2,
        input_shape=shape,
        loss_object=lambda labels, logits: loss(logits, last["pixels"], labels),
        clip_values=(0.0, 1.0),  # DeepFool takes steps that are right in this range only
    )
    return evasion, under
