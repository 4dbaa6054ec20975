"""How f-AnoGAN is trained: two networks against each other, then an encoder into the first.

The encoder's optimizer is published as RMSProp, that of the others as Adam with betas of 0 and 0.9:
the first is the second but for its correction in the first few steps, so that one optimizer serves
all, and is resumed as every other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from contract.spec import Floats
from training.datasets import DataError
from training.recipes import Examples

CRITIC_STEPS = 5  # for one of the generator
KAPPA = 1.0  # weight of the critic's features
_GAN_SHARE = 0.5  # of the epochs; the encoder has the others
_ENCODER_RATE = 0.5  # of the generator's
_WORST = 4.0 + KAPPA * 4.0  # what stands for the error while there is no encoder yet


def grey_layer() -> Any:
    """Pixels from 0 to 255, three channels -> one from -1 to 1; never trained."""
    import keras
    from keras import layers

    made = layers.Conv2D(
        1,
        1,
        kernel_initializer=keras.initializers.Constant(1 / 3 / 127.5),
        bias_initializer=keras.initializers.Constant(-1.0),
        name="grey",
    )
    made.trainable = False
    return made


def asked(targets: Floats, done: float) -> Floats:
    """(n,) 0 while generator and critic are trained, then 1: the encoder.

    Args:
        targets: (n,).
        done: share of the epochs.
    """
    return np.full(len(targets), done >= _GAN_SHARE, np.float32)


def optimizer(learning_rate: float, steps: int, epochs: int) -> Any:
    """Adam for generator and critic; at half its rate for the encoder."""
    import keras

    of_gan = int(np.ceil(_GAN_SHARE * epochs)) * steps * (CRITIC_STEPS + 1)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [of_gan], [learning_rate, _ENCODER_RATE * learning_rate]
    )
    return keras.optimizers.Adam(rate, beta_1=0.0, beta_2=0.9)


def validate(
    model: Any, examples: Examples, *, otherwise: Callable[[Any, Examples], float]
) -> float:
    """What `otherwise` says, once there is an encoder; before, the worst it could say."""
    # its last layer begins with biases of 0, which no step leaves as they are
    is_fresh = not any(np.any(w) for w in model.get_layer("encoder").get_weights() if w.ndim == 1)
    return _WORST if is_fresh else otherwise(model, examples)


def head(kept: Any, _targets: Floats) -> Any:
    """The networks of `training.recipes.inspection.fanogan` with the steps that train them.

    Raises:
        DataError: Keras does not run on TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise DataError(
            f"f-AnoGAN on {keras.backend.backend()}: its gradient penalty needs TensorFlow; "
            "fix: KERAS_BACKEND=tensorflow"
        )
    from training.wgan_steps import Adversaries

    return Adversaries(kept)
