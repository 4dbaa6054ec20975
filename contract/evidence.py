"""What an alert was raised on, as one file: `numpy.load` opens it, anywhere."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from contract import npz
from contract.spec import Array, Floats

MAX_BYTES = 8 * 1024 * 1024  # ten seconds of three axes at 50 kHz are 6 MB
PART_BYTES = 16 * 1024  # so that an alert waits behind one only for a moment, on a slow link too
_SPECTRUM, _PICTURE = "spectrum.", "picture"
_JPEG = b"\xff\xd8\xff"  # how every JPEG begins
_MOST_POINTS = 1_000_000  # of all spectra


@dataclass(frozen=True, eq=False)
class EvidenceFile:
    """One window and what was made of it.

    Attributes:
        window: as the sensor gave it: (samples, channels) float32 in its unit; empty where the
            sensor is a camera, of which only `picture` is kept.
        rate_hz: sample rate of `window`.
        wall_ns: wall clock when the window was complete, nanoseconds since 1970.
        seq: number of the window in its source.
        source: `/PREFIX/DEVICE/PIPELINE`.
        workload: what was watching.
        unit: of `window`; empty where nobody has said.
        spectra: by name, float32 arrays that the picture of before and after is drawn from.
        trend: (points, 2) float32: seconds up to the window (0 is the window) and score over the
            alert's threshold.
        picture: JPEG of what the alert is about, such as a face; empty: none.
    """

    window: Array
    rate_hz: float
    wall_ns: int
    seq: int
    source: str
    workload: str
    unit: str = ""
    spectra: Mapping[str, Floats] = field(default_factory=dict)
    trend: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))
    picture: bytes = b""


def encode(evidence: EvidenceFile) -> bytes:
    """The bytes of the file, an `.npz`.

    Raises:
        ValueError: they are more than `MAX_BYTES`.
    """
    opened = io.BytesIO()
    np.savez(
        opened,
        allow_pickle=False,
        window=evidence.window,
        rate_hz=np.array(evidence.rate_hz),
        wall_ns=np.array(evidence.wall_ns),
        seq=np.array(evidence.seq),
        source=np.array(evidence.source),
        workload=np.array(evidence.workload),
        unit=np.array(evidence.unit),
        trend=evidence.trend,
        **({_PICTURE: np.frombuffer(evidence.picture, np.uint8)} if evidence.picture else {}),
        **{f"{_SPECTRUM}{name}": x.astype(np.float32) for name, x in evidence.spectra.items()},
    )
    raw = opened.getvalue()
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{len(raw)} bytes of evidence, at most {MAX_BYTES} are kept")
    return raw


def decode(raw: bytes) -> EvidenceFile:
    """Read a file that need not be believed.

    Raises:
        ValueError: damaged, no such file, or too large.
    """
    arrays = npz.loads(raw, max_bytes=2 * MAX_BYTES)
    try:
        spectra = {
            name.removeprefix(_SPECTRUM): _floats(name, array)
            for name, array in arrays.items()
            if name.startswith(_SPECTRUM)
        }
        if sum(array.size for array in spectra.values()) > _MOST_POINTS:
            raise ValueError(f"spectra of more than {_MOST_POINTS} points")
        return EvidenceFile(
            window=arrays["window"],
            rate_hz=float(arrays["rate_hz"]),
            wall_ns=int(arrays["wall_ns"]),
            seq=int(arrays["seq"]),
            source=str(arrays["source"]),
            workload=str(arrays["workload"]),
            unit=str(arrays["unit"]),
            spectra=spectra,
            trend=_floats("trend", arrays["trend"]).reshape(-1, 2),
            picture=_jpeg(arrays[_PICTURE]) if _PICTURE in arrays else b"",
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"no evidence: {error}") from None


def _floats(name: str, array: Array) -> Floats:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} is of {array.dtype}, not of numbers")
    return array.astype(np.float32)


def _jpeg(array: Array) -> bytes:
    raw = array.tobytes()
    if array.dtype != np.uint8 or not raw.startswith(_JPEG):
        raise ValueError("picture is no JPEG")
    return raw
