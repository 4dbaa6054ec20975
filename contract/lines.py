"""Lines of a spectrum that a machine did not have while it was healthy, or not so strong."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from contract.ops import spectrum
from contract.spec import Floats

# Noise alone exceeds 5 times its median with a probability of 2**-25 per bin.
_STANDS_OUT = 5.0
_GROWN = 2.0  # times the median of the healthy windows
_BEYOND = 1.3  # times the most of them; of few windows that most says less
_FEW = 2.0  # added to it, divided by how many windows there are
_CLEARER = 1.5  # times as far out of the background: not the whole spectrum alone has risen
_WANDER = 0.01  # of a frequency: how far a line moves with load while healthy
MIN_PERIODS = 4  # in the window: fewer lie within the foot of the line at 0 Hz
_MOST = 24  # lines looked at


@dataclass(frozen=True)
class Line:
    """One line that is new or has grown.

    Attributes:
        hz: frequency, between the bins.
        amplitude: in the unit of the signal.
        prominence: amplitude over the background around it.
        ratio: amplitude over the median of the healthy windows at this place; None without any.
        was_there: whether the healthy windows had a line there too.
    """

    hz: float
    amplitude: float
    prominence: float
    ratio: float | None
    was_there: bool


def new_lines(now: Floats, healthy: Floats, *, bin_hz: float) -> list[Line]:
    """Lines that stand out of a spectrum and did not, or not so much, while healthy.

    Args:
        now: (bins,) float32 amplitudes.
        healthy: (windows, bins) float32 amplitudes; no windows: every line counts as new.
        bin_hz: width of a bin.

    Returns:
        The clearest first, at most 24, each with at least 4 periods in the window.
    """
    prominence = now / spectrum.background(now)
    at = spectrum.peaks(prominence, at_least=_STANDS_OUT, start=MIN_PERIODS)
    at = at[np.argsort(-prominence[at], kind="stable")][: 4 * _MOST]
    usual = np.mean(healthy, axis=0) if len(healthy) else None
    floor = None if usual is None else spectrum.background(usual)
    found: list[Line] = []
    for peak in at.tolist():
        line = Line(
            spectrum.between_bins(now, peak) * bin_hz,
            float(now[peak]),
            float(prominence[peak]),
            ratio=None,
            was_there=False,
        )
        if floor is not None:
            reach = max(2, math.ceil(_WANDER * peak))
            before = spectrum.near(healthy, np.array([peak]), reach=reach)[:, 0]
            middle = max(float(np.median(before)), 1e-30)
            was_clear = middle / float(floor[peak])
            line = replace(line, ratio=line.amplitude / middle, was_there=was_clear >= _STANDS_OUT)
            if (
                line.amplitude < _GROWN * middle
                or line.amplitude < (_BEYOND + _FEW / len(healthy)) * float(before.max())
                or line.prominence < _CLEARER * was_clear
            ):
                continue
        found.append(line)
        if len(found) == _MOST:
            break
    return found
