"""The file an alert's hash names: anybody can open it, and nobody has to believe it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import evidence
from contract.evidence import EvidenceFile

WINDOW = np.arange(6, dtype=np.float32).reshape(3, 2)
FILE = EvidenceFile(
    window=WINDOW,
    rate_hz=25_600.0,
    wall_ns=1_795_313_418_414_414_480,
    seq=209,
    source="/vedette/press-07/spindle",
    workload="machine_condition",
    unit="m/s^2",
    spectra={"hz": np.array([1.0, 2.0]), "now": np.array([3, 4], np.float32)},
    trend=np.array([[-9.0, 0.5], [0.0, 1.5]], np.float32),
)
RAW = evidence.encode(FILE)
JPEG = b"\xff\xd8\xff\xe0 a face"


def test_what_is_encoded_is_decoded_again():
    """To the last nanosecond."""
    got = evidence.decode(RAW)
    assert got.window.dtype == np.float32
    np.testing.assert_array_equal(got.window, WINDOW)
    np.testing.assert_array_equal(got.trend, FILE.trend)
    assert {name: x.tolist() for name, x in got.spectra.items()} == {"hz": [1, 2], "now": [3, 4]}
    assert (got.rate_hz, got.wall_ns, got.seq) == (FILE.rate_hz, FILE.wall_ns, FILE.seq)
    assert (got.source, got.workload, got.unit) == (FILE.source, FILE.workload, "m/s^2")


def test_a_picture_travels_as_the_jpeg_it_is():
    """Byte for byte; where there is none, the file is as it always was."""
    raw = evidence.encode(replace(FILE, window=np.zeros((0, 0)), picture=JPEG))
    assert evidence.decode(raw).picture == JPEG
    assert evidence.decode(RAW).picture == b""
    with np.load(io.BytesIO(RAW)) as arrays:
        assert "picture" not in arrays


def test_numpy_opens_it():
    """As docs/device.md says."""
    with np.load(io.BytesIO(RAW), allow_pickle=False) as arrays:
        assert arrays["window"].shape == (3, 2)
        assert arrays["spectrum.now"].tolist() == [3.0, 4.0]


def test_the_same_evidence_has_the_same_bytes():
    """No time of writing is in it, so a hash names what was measured."""
    assert evidence.encode(FILE) == RAW


def test_what_is_too_large_is_refused():
    """Nobody would fetch it."""
    window = np.zeros((evidence.MAX_BYTES // 4, 1), np.float32)
    with pytest.raises(ValueError, match="at most 8388608 are kept"):
        evidence.encode(EvidenceFile(window, 1.0, 0, 0, "/a/b/c", "w"))


def saved(**changes):
    """The arrays of the file with some put in place of others."""
    with np.load(io.BytesIO(RAW)) as arrays:
        opened = io.BytesIO()
        np.savez(opened, **{**arrays, **changes})
        return opened.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK",
        RAW[: len(RAW) // 2],
        saved(rate_hz=np.array("fast")),
        saved(seq=np.array([1, 2])),
        saved(trend=np.zeros(3)),
        saved(picture=np.frombuffer(b"<script>", np.uint8)),
        saved(picture=np.frombuffer(JPEG, np.int8)),
        saved(**{"spectrum.now": np.array(["a"])}),
        saved(**{"spectrum.now": np.zeros(1_000_001, np.int8)}),
    ],
)
def test_what_is_no_evidence_is_refused(raw):
    """In one way, whatever is wrong."""
    with pytest.raises(ValueError, match=r"\w"):
        evidence.decode(raw)


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
def test_one_wrong_byte_gives_evidence_or_a_value_error(at, byte):
    """Never anything else."""
    with contextlib.suppress(ValueError):
        evidence.decode(RAW[:at] + bytes([byte]) + RAW[at + 1 :])
