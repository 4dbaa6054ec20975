"""Keras, without the noise of what lies below it."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from contract.fold import Model
from contract.spec import Floats

_MOST_ROWS, _MOST_NUMBERS = 1024, 1 << 22  # of inputs at once


def quiet() -> None:
    """Choose TensorFlow unless told otherwise, and keep its start-up chatter off the terminal.

    Only before the first import of Keras has this any effect.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow 2.21 crashes on BlazeFace with it (AVX2): only what asks for it has it
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(tensorflow|keras|google|tf2onnx)\b")
    if os.environ["KERAS_BACKEND"] == "tensorflow" and "tensorflow" not in sys.modules:
        with _nothing_on_stderr():
            importlib.import_module("tensorflow")


def with_onednn() -> None:
    """Let TensorFlow compute with oneDNN, unless the environment says otherwise.

    Training on pictures takes two thirds to three quarters of the time. Only before the first
    import of Keras, like `quiet`.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@contextmanager
def _nothing_on_stderr() -> Iterator[None]:
    """Not even from C++, where TensorFlow tells of oneDNN before anything could silence it."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def load(file: Path) -> Any:
    """A Keras model from a `.keras` file; Keras refuses code inside it."""
    quiet()
    import keras

    return keras.saving.load_model(file, compile=False)


def as_model(keras_model: Any) -> Model:
    """A Keras model as a function from (n, *input_shape) to (n, *output_shape) float32."""
    # what a network makes of pictures is far larger than they are
    batch = max(min(_MOST_ROWS, _MOST_NUMBERS // int(np.prod(keras_model.input_shape[1:]))), 1)

    def run(rows: Floats) -> Floats:
        if not len(rows):
            return np.zeros((0, *keras_model.output_shape[1:]), np.float32)
        return np.asarray(keras_model.predict(rows, batch_size=batch, verbose=0), np.float32)

    return run
