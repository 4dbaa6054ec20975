"""The steps that train f-AnoGAN, in TensorFlow itself.

The penalty is the gradient of a gradient, for which Keras has no word: this file alone needs
TensorFlow to train.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training.wgan import CRITIC_STEPS, KAPPA

_PENALTY = 10.0


class Adversaries(keras.Model):  # type: ignore[misc]  # Keras is untyped
    """Generator, critic and encoder.

    Batches: (n, 64, 64, 3) pixels, `CRITIC_STEPS` times the patches of one step, and (n,) as
    `training.wgan.asked` gives it.
    """

    def __init__(self, kept: Any) -> None:
        """Around a model of `training.recipes.inspection.fanogan`."""
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
        """The loss alone."""
        return [self.mean_loss]

    def call(self, pixels: Any) -> Any:
        """The scores."""
        return self.kept(pixels)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of generator and critic, or of the encoder."""
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
        """The critic's steps, then one of the generator; how far apart the critic sees them."""
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
            loss += KAPPA * tf.reduce_mean(of_features)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss
