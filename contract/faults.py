"""Naming a bearing fault from one window, without knowing the machine when it was healthy.

Textbook: demodulate the bands where the signal is burstiest, and look at the first three harmonics
of each part's fault frequency, with room for slip. They must stand out of the envelope spectrum
around them by 20 dB on average (geometric); the part that stands out most is named. The balls' and
races' frequencies are those of `bearings.py`; the method is that of Randall and Antoni (2011).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from contract.bearings import Bearing, Part
from contract.ops import envelope, spectrum
from contract.ops.envelope import Band
from contract.spec import Floats

NAMED: tuple[Part, ...] = ("outer", "inner", "ball")
SLIP = 0.02  # of a fault frequency, to each side: balls slide, and speeds are nominal
HARMONICS = 3
STANDS_OUT = float(np.log(10.0))  # 20 dB, in nepers
_BANDS = 3  # that are demodulated beside the whole spectrum
_STEPS = 81  # over twice the slip


@dataclass(frozen=True)
class Fault:
    """A bearing fault that was named.

    Attributes:
        part: that is damaged; None: no bearing fault.
        rate_hz: of its blows, as measured; 0 without a fault.
        band_hz: that was demodulated.
        scores: for each part, the mean prominence of its harmonics in nepers.
    """

    part: Part | None
    rate_hz: float
    band_hz: tuple[float, float]
    scores: Mapping[Part, float]

    @property
    def margin(self) -> float:
        """Nepers by which the named part stands out more than the next, or than it would need to.

        Without a fault: by how much the best stays below.
        """
        best, second = sorted(self.scores.values(), reverse=True)[:2]
        if self.part is None:
            return STANDS_OUT - best
        return min(best - second, best - STANDS_OUT)


def name_fault(x: Floats, *, rate_hz: float, shaft_hz: float, bearing: Bearing) -> Fault:
    """The part of a bearing that is damaged, if one is.

    Args:
        x: (samples,) float32 acceleration, any unit; a second or more.
        rate_hz: sample rate.
        shaft_hz: turns per second.
        bearing: whose frequencies to look for.
    """
    transform = spectrum.transform(spectrum.centred(x[:, None]))[0]
    bin_hz = rate_hz / len(x)
    narrow = envelope.bands(len(transform), widest=0.5)
    narrow.sort(key=lambda band: -float(envelope.spectral_kurtosis(transform, band)))
    orders = bearing.orders()
    best: dict[Part, tuple[float, float, Band]] = {}
    for band in [Band(1, len(transform)), *narrow[:_BANDS]]:
        amplitude = envelope.envelope_spectrum(transform, band)
        prominence = amplitude / spectrum.background(amplitude)
        for part in NAMED:
            score, at_hz = comb(
                prominence, bin_hz=bin_hz, expected_hz=orders[part] * shaft_hz, shaft_hz=shaft_hz
            )
            if part not in best or score > best[part][0]:
                best[part] = score, at_hz, band
    part = max(best, key=lambda one: best[one][0])
    score, at_hz, band = best[part]
    found = score >= STANDS_OUT
    return Fault(
        part if found else None,
        at_hz if found else 0.0,
        band.hz(bin_hz),
        {one: best[one][0] for one in NAMED},
    )


def comb(
    prominence: Floats, *, bin_hz: float, expected_hz: float, shaft_hz: float
) -> tuple[float, float]:
    """How much the harmonics of a frequency stand out, at the slip where they do most.

    Harmonics that fall on a multiple of the shaft's speed count as absent: every machine has those.

    Args:
        prominence: (bins,) float32 of an envelope spectrum, amplitude over background.
        bin_hz: width of a bin.
        expected_hz: without slip.
        shaft_hz: turns per second.

    Returns:
        Mean over the harmonics of log prominence, in nepers, not below 0; and the frequency.
    """
    grid_hz = expected_hz * np.linspace(1.0 - SLIP, 1.0 + SLIP, _STEPS)
    total = np.zeros(_STEPS)
    for harmonic in range(1, HARMONICS + 1):
        line_hz = harmonic * grid_hz
        stands_out = np.log(np.maximum(spectrum.near(prominence, line_hz / bin_hz), 1.0))
        turns = line_hz / shaft_hz
        off_shaft_hz = np.abs(turns - np.rint(turns)) * shaft_hz
        total += np.where(off_shaft_hz > 2.5 * bin_hz, stands_out, 0.0)
    best = int(total.argmax())
    return float(total[best] / HARMONICS), float(grid_hz[best])
