"""Quantization rounds, clips and never wraps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.quantize import dequantize, quantize

DTYPES = ("int8", "uint8", "int16")


@pytest.mark.parametrize(
    ("real", "integer"), [(0.5, 0), (1.5, 2), (2.5, 2), (-0.5, 0), (-1.5, -2), (0.6, 1), (-0.6, -1)]
)
def test_ties_round_to_even_and_the_rest_to_the_nearest(real, integer):
    """As the runtimes do it."""
    q = quantize(np.array([real], np.float32), scale=1.0, zero_point=0, dtype="int8")
    assert q.tolist() == [integer]


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_beyond_the_range_are_clipped_not_wrapped(dtype):
    """A wrapped 128 would be -128: a loud signal heard as silence."""
    limits = np.iinfo(dtype)
    x = np.array([-1e30, limits.min - 1, limits.max + 1, 1e30], np.float32)
    q = quantize(x, scale=1.0, zero_point=0, dtype=dtype)
    assert q.tolist() == [limits.min, limits.min, limits.max, limits.max]
    assert q.dtype == dtype


def test_zero_is_the_zero_point_and_comes_back_exactly():
    """Zero padding must not shift a signal."""
    q = quantize(np.zeros(1, np.float32), scale=0.037, zero_point=-7, dtype="int8")
    assert q.tolist() == [-7]
    assert dequantize(q, scale=0.037, zero_point=-7).tolist() == [0.0]


@given(
    st.sampled_from(DTYPES),
    st.floats(1e-4, 1e2),
    st.integers(-100, 100),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20),
)
def test_a_round_trip_stays_within_half_a_step(dtype, scale, zero_point, places):
    """For every value within the range of the integers."""
    limits = np.iinfo(dtype)
    low, high = ((limit - zero_point) * scale for limit in (limits.min, limits.max))
    x = (low + np.array(places) * (high - low)).astype(np.float32)
    back = dequantize(
        quantize(x, scale=scale, zero_point=zero_point, dtype=dtype),
        scale=scale,
        zero_point=zero_point,
    )
    rounding = 4 * np.finfo(np.float32).eps * max(abs(low), abs(high))
    assert np.abs(back - x).max() <= scale / 2 + rounding
    assert back.dtype == np.float32


@given(st.sampled_from(["int8", "uint8"]), st.floats(1e-4, 1e2), st.integers(0, 100))
def test_every_integer_survives_the_way_to_float_and_back(dtype, scale, zero_point):
    """What an engine hands on quantized can be quantized again without loss."""
    limits = np.iinfo(dtype)
    q = np.arange(limits.min, limits.max + 1).astype(dtype)
    real = dequantize(q, scale=scale, zero_point=zero_point)
    again = quantize(real, scale=scale, zero_point=zero_point, dtype=dtype)
    np.testing.assert_array_equal(again, q)
