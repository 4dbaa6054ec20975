"""Severity of vibration: velocity between 10 and 1000 Hz, and the zones A to D it falls into.

Zones are those of ISO 20816-3:2022, the same as in ISO 10816-3:2009, and for other machines of the
older ISO 10816-1:1995. A: as newly commissioned; B: fit for unrestricted long-term operation; C:
fit for a limited time, until it can be mended; D: severe enough to do damage. They hold for steady
operation, measured on the bearing housings, and say nothing of a fault that is still small.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

Zone = Literal["A", "B", "C", "D"]
Unit = Literal["g", "m/s^2"]

# Upper limits of zones A, B and C in mm/s RMS.
LIMITS_MM_S: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        # ISO 20816-3: group 1 above 300 kW or shaft height from 315 mm, group 2 above 15 kW or
        # shaft height from 160 mm; on a rigid or a flexible support
        "1-rigid": (2.3, 4.5, 7.1),
        "1-flexible": (3.5, 7.1, 11.0),
        "2-rigid": (1.4, 2.8, 4.5),
        "2-flexible": (2.3, 4.5, 7.1),
        # ISO 10816-1, annex B: small machines, medium ones, large on rigid and on soft foundations
        "I": (0.71, 1.8, 4.5),
        "II": (1.12, 2.8, 7.1),
        "III": (1.8, 4.5, 11.2),
        "IV": (2.8, 7.1, 18.0),
    }
)
TO_M_S2: Mapping[str, float] = MappingProxyType({"g": 9.80665, "m/s^2": 1.0})

HIGHEST_HZ = 1000.0
SLOW_RPM = 600.0  # below it the standard measures from 2 Hz
_PERIODS = 5  # of the lowest frequency: with fewer its line runs into the drift below it
_ROOM = 1.25  # of the Nyquist frequency above 1000 Hz, where anti-aliasing filters roll off


def lowest_hz(speed_rpm: float | None) -> float:
    """Where the standard's band begins: 10 Hz, for slow machines 2 Hz."""
    return 2.0 if speed_rpm is not None and speed_rpm < SLOW_RPM else 10.0


def velocity_rms(
    x: npt.NDArray[np.float32], *, rate_hz: float, unit: Unit, from_hz: float = 10.0
) -> npt.NDArray[np.float32]:
    """Velocity of a vibration measured as acceleration, integrated in the frequency domain.

    Args:
        x: (samples, channels) float32 acceleration.
        rate_hz: sample rate.
        unit: of `x`.
        from_hz: lower end of the band; its upper end is 1000 Hz.

    Returns:
        (channels,) float32, mm/s RMS.

    Raises:
        ValueError: the window is too short or the rate too low for the band.
    """
    samples = x.shape[0]
    if rate_hz < 2 * _ROOM * HIGHEST_HZ:
        raise ValueError(
            f"{rate_hz:g} samples/s do not reach {HIGHEST_HZ:g} Hz; "
            f"fix: sample at {2 * _ROOM * HIGHEST_HZ:g} or more"
        )
    if samples / rate_hz < _PERIODS / from_hz:
        raise ValueError(
            f"a window of {samples / rate_hz:g} s is too short for {from_hz:g} Hz; "
            f"fix: windows of {_PERIODS / from_hz:g} s or more"
        )
    window = np.hanning(samples)
    window /= np.sqrt(np.mean(window**2))
    spectrum = np.fft.rfft((x - x.mean(axis=0)) * window[:, None], axis=0)
    frequency_hz = np.fft.rfftfreq(samples, 1.0 / rate_hz)
    in_band = (frequency_hz >= from_hz) & (frequency_hz <= HIGHEST_HZ)
    velocity = np.abs(spectrum[in_band]) / (2 * np.pi * frequency_hz[in_band, None])
    square = 2.0 * np.sum(velocity**2, axis=0) / samples**2
    rms: npt.NDArray[np.float32] = (1e3 * TO_M_S2[unit] * np.sqrt(square)).astype(np.float32)
    return rms


def zone(velocity_mm_s: float, iso_class: str) -> Zone:
    """The zone a velocity falls into; a limit belongs to the zone below it.

    Args:
        velocity_mm_s: RMS.
        iso_class: one of `LIMITS_MM_S`.

    Raises:
        ValueError: no such class.
    """
    check_class(iso_class)
    limits = LIMITS_MM_S[iso_class]
    names: tuple[Zone, ...] = ("A", "B", "C", "D")
    return names[sum(velocity_mm_s > limit for limit in limits)]


def check_class(iso_class: str) -> None:
    """Refuse a class there are no limits for.

    Raises:
        ValueError: says which there are.
    """
    if iso_class not in LIMITS_MM_S:
        raise ValueError(f"no iso_class {iso_class!r}; fix: one of {', '.join(LIMITS_MM_S)}")
