"""Autoencoders in backend-neutral Keras: novelty is the length of what is not rebuilt.

Published: 50 epochs, batch 20; a fully-connected one of 5 hidden layers with sigmoids, an LSTM one
of 10-4-10 units, a denoising one of 10 hidden units, a variational one of 32 hidden units and 4
latent ones. Chosen here, because left open there: hidden widths 64-32-16-32-64; Adam at 0.001, mean
squared error, rebuilt values linear; noise of one robust spread; LSTMs see the last 5 rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from contract.ops.detectors import history
from contract.spec import Array
from training import backend
from training.methods import Method

EPOCHS, BATCH = 50, 20
HIDDEN = (64, 32, 16, 32, 64)
STEPS = 5  # rows that the LSTMs see at once
_RATE = 1e-3
_NOISE = 1.0  # robust spreads


@dataclass(frozen=True, eq=False)
class Network:
    """A trained autoencoder.

    Attributes:
        model: Keras model that all fits of this shape share: take `weights` before it is used.
        weights: what this fit has learned.
        steps: rows it sees at once; 0: one, without an axis for time.
    """

    model: Any
    weights: list[Array]
    steps: int
    note: str = ""

    def score(self, z: Array) -> Array:
        """Length of what the newest row loses."""
        self.model.set_weights(self.weights)
        x = history(z, self.steps) if self.steps else z
        rebuilt = np.asarray(self.model(x.astype(np.float32), training=False), np.float64)
        return np.asarray(np.linalg.norm(z - (rebuilt[:, -1] if self.steps else rebuilt), axis=1))

    def to_arrays(self) -> dict[str, Array]:
        """Kind `dense` or `recurrent`."""
        self.model.set_weights(self.weights)
        layers = [layer for layer in self.model.layers if layer.name.startswith("path")]
        arrays: dict[str, Array] = {}
        for i, layer in enumerate(layers):
            names = ("kernel", "recurrent", "bias") if len(layer.weights) == 3 else _DENSE
            values = (np.array(weight) for weight in layer.get_weights())
            arrays |= {f"{name}{i}": value for name, value in zip(names, values, strict=True)}
        if not self.steps:
            activations = np.array([layer.activation.__name__ for layer in layers])
            return {"kind": np.array("dense"), "activations": activations, **arrays}
        last = len(layers) - 1
        for name in _DENSE:
            arrays[name] = arrays.pop(f"{name}{last}")
        sizes = {"steps": np.array(self.steps), "layers": np.array(last)}
        return {"kind": np.array("recurrent"), **sizes, **arrays}


_DENSE = ("kernel", "bias")


def _fully_connected(features: int) -> Any:
    """Five hidden layers with sigmoids."""
    from keras import Sequential, layers

    hidden = [
        layers.Dense(units, activation="sigmoid", name=f"path{i}") for i, units in enumerate(HIDDEN)
    ]
    return Sequential([layers.Input((features,)), *hidden, layers.Dense(features, name="path_out")])


def _denoising(features: int) -> Any:
    """Ten hidden units rebuild rows from what noise left of them."""
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((features,)),
            layers.GaussianNoise(_NOISE),  # in training only
            layers.Dense(10, activation="sigmoid", name="path0"),
            layers.Dense(features, name="path_out"),
        ]
    )


def _variational(features: int) -> Any:
    """Kingma and Welling, ICLR 2014; scored at the mean of the latent units."""
    import keras
    from keras import layers, ops

    class Sample(layers.Layer):  # type: ignore[misc]  # Keras has no types
        """A draw around the mean in training, the mean itself afterwards."""

        def __init__(self) -> None:
            super().__init__()
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, inputs: Any, *, training: bool = False) -> Any:
            mean, log_variance = inputs
            if not training:
                return mean
            apart = ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance
            # half of it is the divergence, twice that over `features` goes with a mean square
            self.add_loss(ops.mean(ops.sum(apart, axis=-1)) / features)
            noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
            return mean + ops.exp(0.5 * log_variance) * noise

    rows = layers.Input((features,))
    hidden = layers.Dense(32, activation="relu", name="path0")(rows)
    mean = layers.Dense(4, name="path1")(hidden)
    log_variance = layers.Dense(4, kernel_initializer="zeros", name="log_variance")(hidden)
    latent = Sample()([mean, log_variance])
    hidden = layers.Dense(32, activation="relu", name="path2")(latent)
    return keras.Model(rows, layers.Dense(features, name="path_out")(hidden))


def _recurrent(features: int) -> Any:
    """LSTMs of 10, 4 and 10 units, each handing on every state."""
    from keras import Sequential, layers

    return Sequential(
        [
            layers.Input((STEPS, features)),
            *(
                layers.LSTM(units, return_sequences=True, unroll=True, name=f"path{i}")
                for i, units in enumerate((10, 4, 10))
            ),
            layers.Dense(features, name="path_out"),
        ]
    )


@functools.lru_cache(maxsize=8)
def _compiled(build: Callable[[int], Any], features: int, seed: int) -> tuple[Any, list[Array]]:
    """A network ready to be trained, and its state: a fit goes back to it, compiling takes long."""
    backend.quiet()
    import keras

    keras.utils.set_random_seed(seed)
    model = build(features)
    model.compile(keras.optimizers.Adam(_RATE), loss="mean_squared_error", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    state = [keras.ops.convert_to_numpy(one) for one in _variables(model)]
    return model, [np.array(one) for one in state]


def _variables(model: Any) -> list[Any]:
    """Everything that training changes."""
    return [*model.variables, *model.optimizer.variables]


def _fit(z: Array, seed: int, *, build: Callable[[int], Any], steps: int = 0) -> Network:
    model, state = _compiled(build, z.shape[1], seed)
    for variable, value in zip(_variables(model), state, strict=True):
        variable.assign(value)
    x = (history(z, steps) if steps else z).astype(np.float32)
    rng = np.random.default_rng(seed)
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            rows = x[order[start : start + BATCH]]
            model.train_on_batch(rows, rows)
    return Network(model, [np.array(weight) for weight in model.get_weights()], steps)


METHODS = (
    Method(
        "dense_ae",
        "fully-connected AE, 5 hidden layers",
        functools.partial(_fit, build=_fully_connected),
    ),
    Method("lstm_ae", "LSTM AE, 10-4-10", functools.partial(_fit, build=_recurrent, steps=STEPS)),
    Method("denoising_ae", "denoising AE, 10 hidden", functools.partial(_fit, build=_denoising)),
    Method(
        "vae", "variational AE, 32 hidden, 4 latent", functools.partial(_fit, build=_variational)
    ),
)
