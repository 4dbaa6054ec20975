"""How f-AnoGAN is trained: two networks against each other, then an encoder into the first.

The one place that needs TensorFlow itself to train: the penalty is the gradient of a gradient,
which Keras has no word for.

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
_PENALTY = 10.0
_KAPPA = 1.0  # weight of the critic's features
_GAN_SHARE = 0.6  # of the epochs; the encoder has the others
_ENCODER_RATE = 0.5  # of the generator's
_WORST = 4.0 + _KAPPA * 4.0  # what stands for the error while there is no encoder yet


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
    import tensorflow as tf

    class Adversaries(keras.Model):
        """Its batches: CRITIC_STEPS times the patches of one step."""

        def __init__(self) -> None:
            super().__init__()
            self.kept = kept
            self.grey = kept.get_layer("grey")
            self.encoder = kept.get_layer("encoder")
            self.generator = kept.get_layer("generator")
            self.features = kept.get_layer("features")
            self.last = keras.layers.Dense(1, name="critic")
            self.last.build((None, int(np.prod(self.features.output_shape[1:]))))
            self.mean_loss = keras.metrics.Mean("loss")
            self.seeds = keras.random.SeedGenerator()
            self.built = True

        @property
        def metrics(self) -> list[Any]:
            return [self.mean_loss]

        def call(self, pixels: Any) -> Any:
            return self.kept(pixels)

        def train_step(self, data: Any) -> dict[str, Any]:
            pixels, step, *_ = data
            patches = self.grey(pixels)
            loss = tf.cond(
                step[0] > 0,
                lambda: self._encoder_step(patches),
                lambda: self._gan_step(patches),
            )
            self.mean_loss.update_state(loss)
            return {"loss": self.mean_loss.result()}

        def _critic(self, patches: Any) -> Any:
            found = self.features(patches)
            return self.last(keras.ops.reshape(found, (keras.ops.shape(found)[0], -1)))

        def _drawn(self, count: Any) -> Any:
            shape = (count, *self.generator.input_shape[1:])
            return self.generator(keras.random.normal(shape, seed=self.seeds))

        def _gan_step(self, patches: Any) -> Any:
            """One step of the generator after those of the critic; how far the critic sees them apart."""
            count = tf.shape(patches)[0] // CRITIC_STEPS
            variables = self.features.trainable_variables + self.last.trainable_variables
            apart = 0.0
            for number in range(CRITIC_STEPS):
                real = patches[number * count : (number + 1) * count]
                drawn = self._drawn(count)
                share = keras.random.uniform((count, 1, 1, 1), seed=self.seeds)
                with tf.GradientTape() as tape:
                    apart = tf.reduce_mean(self._critic(real)) - tf.reduce_mean(self._critic(drawn))
                    loss = _PENALTY * self._steepness(real + share * (drawn - real)) - apart
                self.optimizer.apply(tape.gradient(loss, variables), variables)
            variables = self.generator.trainable_variables
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(self._critic(self._drawn(count)))
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return apart

        def _steepness(self, between: Any) -> Any:
            """How far the critic's gradient is from length 1."""
            with tf.GradientTape() as tape:
                tape.watch(between)
                scores = self._critic(between)
            slope = tape.gradient(scores, between)
            length = tf.sqrt(tf.reduce_sum(tf.square(slope), axis=(1, 2, 3)) + 1e-12)
            return tf.reduce_mean(tf.square(length - 1.0))

        def _encoder_step(self, patches: Any) -> Any:
            """One step of the encoder (izi_f); its loss."""
            some = patches[: tf.shape(patches)[0] // CRITIC_STEPS]
            variables = self.encoder.trainable_variables
            with tf.GradientTape() as tape:
                again = self.generator(self.encoder(some))
                of_features = tf.square(self.features(some) - self.features(again))
                loss = tf.reduce_mean(tf.square(some - again))
                loss += _KAPPA * tf.reduce_mean(of_features)
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

    return Adversaries()
