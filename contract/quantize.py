"""Affine quantization: the one place where floats are rounded and clipped to integers.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018: real = scale * (quantized - zero_point).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from contract.spec import Array, Floats


def quantize(x: Floats, *, scale: float, zero_point: int, dtype: npt.DTypeLike) -> Array:
    """Round to nearest (ties to even) and clip to the range of `dtype`; never wrap.

    Args:
        x: any shape, float32, finite.
        scale: step of one integer, > 0.
        zero_point: the integer that stands for 0.0.
        dtype: an integer type.

    Returns:
        the shape of `x`, `dtype`.
    """
    low, high = _limits(np.dtype(dtype))
    # in float64: float32 could not hold every sum exactly
    steps = np.rint(np.asarray(x, np.float64) / scale) + zero_point
    clipped: Array = np.clip(steps, low, high).astype(dtype)
    return clipped


@functools.cache
def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Range of an integer type; NumPy takes longer to tell it than to round a small tensor."""
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def dequantize(q: Array, *, scale: float, zero_point: int) -> Floats:
    """The floats that integers stand for; the inverse of `quantize` up to half a step.

    Args:
        q: any shape, integer.
        scale: as in `quantize`.
        zero_point: as in `quantize`.
    """
    return ((q.astype(np.int32) - zero_point) * np.float32(scale)).astype(np.float32)
