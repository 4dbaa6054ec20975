"""dlib's face embedding, rebuilt in Keras from its published weights.

D. E. King, dlib-models, 2017: a ResNet of 29 convolutions (He et al., CVPR 2016, with half the
filters) from a 150 x 150 face chip to 128 numbers. dlib compares them by Euclidean distance, and
they are not of length 1.

What is peculiar to dlib: where the two ways of a block differ in size, the smaller is extended with
zeros at the bottom, at the right and after its last channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contract.spec import Floats
from training import backend
from training.datasets import DataError
from training.weights import DLIB_RESNET, fetch

INPUT_SHAPE = (150, 150, 3)
EMBEDDING = 128

_MEANS_RGB = np.array([122.782, 117.001, 104.298])
# (filters, whether the block halves the picture) in the order of the input
_BLOCKS = (
    *[(32, False)] * 3,
    (64, True),
    *[(64, False)] * 3,
    (128, True),
    *[(128, False)] * 2,
    (256, True),
    *[(256, False)] * 2,
    (256, True),
)


@dataclass(frozen=True, eq=False)
class Parameters:
    """What the file holds, each affine layer folded into the convolution before it.

    Attributes:
        convolutions: in the order of the input, (kernel (rows, columns, in, out), bias (out,))
            float32; the first takes pixels from 0 to 255.
        embedding: (256, 128) float32, the last layer, which has no bias.
    """

    convolutions: tuple[tuple[Floats, Floats], ...]
    embedding: Floats


def convolved(x: Any, kernel: Floats, bias: Floats, **how: Any) -> Any:
    """A convolution with its weights; `how` as of a Keras `Conv2D`."""
    import keras

    layer = keras.layers.Conv2D(kernel.shape[3], kernel.shape[:2], **how)
    y = layer(x)
    layer.set_weights([kernel, bias])
    return y


def model(file: Path | None = None, *, convolve: Callable[..., Any] = convolved) -> Any:
    """The network.

    Args:
        file: dlib's file; fetched where it is not given.
        convolve: a map, kernel and bias, and what a Keras `Conv2D` is told besides -> the next map.

    Returns:
        Keras model from (150, 150, 3) float32 RGB pixels from 0 to 255 to (128,) float32.

    Raises:
        DataError: the file cannot be fetched, or is not dlib's.
    """
    backend.quiet()
    import keras

    parameters = parse((file or fetch(DLIB_RESNET)).read_bytes())
    unused = iter(parameters.convolutions)

    def following(x: Any, **how: Any) -> Any:
        return convolve(x, *next(unused), **how)

    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = following(pixels, strides=2, padding="valid", activation="relu")
    x = keras.layers.MaxPooling2D(3, strides=2)(x)
    for filters, halves in _BLOCKS:
        x = _block(x, following, filters=filters, halves=halves)
    x = keras.layers.GlobalAveragePooling2D()(x)
    last = keras.layers.Dense(EMBEDDING, use_bias=False, name="embedding")
    made = keras.Model(pixels, last(x), name="dlib_resnet")
    last.set_weights([parameters.embedding])
    return made


def _block(x: Any, following: Callable[..., Any], *, filters: int, halves: bool) -> Any:
    """Two convolutions and a way past them."""
    import keras

    first = {"strides": 2, "padding": "valid"} if halves else {"padding": "same"}
    y = following(x, activation="relu", **first)
    y = following(y, padding="same")
    if halves:
        x = keras.layers.AveragePooling2D(2)(x)
        rows, columns = (max(x.shape[axis], y.shape[axis]) for axis in (1, 2))
        x, y = (_extend(one, rows, columns, filters) for one in (x, y))
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def _extend(x: Any, rows: int, columns: int, channels: int) -> Any:
    """Zeros at the bottom, at the right and after the last channel."""
    import keras

    sizes = (rows, columns, channels)
    missing = [(0, size - had) for size, had in zip(sizes, x.shape[1:], strict=True)]
    return keras.ops.pad(x, [(0, 0), *missing]) if any(m for _, m in missing) else x


def parse(raw: bytes) -> Parameters:
    """The weights out of dlib's serialization.

    Layers stand in the order of the input, each after the name of its kind. A convolution is a
    tensor (kernel (out, in, row, column), then bias), an affine layer one of factors, then offsets.

    Args:
        raw: the whole file.

    Raises:
        DataError: it is another file, or a damaged one.
    """
    reader = _Reader(raw)
    shapes = list(_kernel_shapes())
    convolutions = []
    for number, shape in enumerate(shapes):
        out = shape[0]
        packed = reader.tensor("con_4", int(np.prod(shape)) + out).astype(np.float64)
        factors, offsets = np.split(reader.tensor("affine_", 2 * out).astype(np.float64), 2)
        kernel, bias = packed[:-out].reshape(shape), packed[-out:]
        kernel = kernel * factors[:, None, None, None]
        bias = bias * factors + offsets
        if number == 0:  # takes (pixel - mean) / 256; it has no padding, so this is exact
            kernel = kernel / 256
            bias = bias - np.einsum("oirc,i->o", kernel, _MEANS_RGB)
        convolutions.append(
            (kernel.transpose(2, 3, 1, 0).astype(np.float32), bias.astype(np.float32))
        )
    embedding = reader.tensor("fc_2", shapes[-1][0] * EMBEDDING).reshape(-1, EMBEDDING)
    return Parameters(tuple(convolutions), embedding)


def _kernel_shapes() -> Iterator[tuple[int, int, int, int]]:
    """(out, in, rows, columns) of each convolution, in the order of the input."""
    yield (32, 3, 7, 7)
    had = 32
    for filters, _ in _BLOCKS:
        yield (filters, had, 3, 3)
        yield (filters, filters, 3, 3)
        had = filters


class _Reader:
    """Goes through dlib's serialization from the start to the end."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def tensor(self, kind: str, size: int) -> Floats:
        """The tensor of the next layer of a kind.

        Args:
            kind: of the layer, as dlib calls it.
            size: how many numbers it must hold.

        Returns:
            (size,) float32.
        """
        # with the length in front, since so short a name may turn up inside weights too
        name = bytes([1, len(kind)]) + kind.encode()
        found = self._raw.find(name, self._at)
        if found < 0:
            raise DataError(_damaged(f"no further layer {kind!r} after byte {self._at}"))
        self._at = found + len(name)
        if kind == "fc_2":
            self._integer(), self._integer()  # outputs and inputs
        version, *shape = [self._integer() for _ in range(5)]
        if version != 2 or np.prod(shape) != size:
            raise DataError(_damaged(f"layer {kind!r} at byte {found} is {shape}, not {size} long"))
        start, self._at = self._at, self._at + 4 * size
        if self._at > len(self._raw):
            raise DataError(_damaged(f"it ends at byte {len(self._raw)}"))
        return np.frombuffer(self._raw, "<f4", size, start).astype(np.float32)

    def _integer(self) -> int:
        """A byte that holds length and sign, then that many bytes."""
        head = self._raw[self._at : self._at + 1]
        length = head[0] & 15 if head else 0
        value = int.from_bytes(self._raw[self._at + 1 : self._at + 1 + length], "little")
        self._at += 1 + length
        return -value if head and head[0] & 128 else value


def _damaged(why: str) -> str:
    return f"not dlib's face recognition network: {why}; fix: delete the file and fetch it again"
