"""Lines of a spectrum that a machine did not have while it was healthy, gathered into families.

A fault that strikes at regular times has a line at its rate and at multiples of it; one that passes
through a load zone has lines beside those. Such a family has one name: its base.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contract.ops import spectrum
from contract.spec import Array, Floats

# Noise alone exceeds 5 times its median with a probability of 2**-25 per bin.
_STANDS_OUT = 5.0
_WEAK = 3.0  # enough for the base of a family whose multiples stand out
_GROWN = 2.0  # times the median of the healthy windows
_BEYOND = 1.3  # times the most of them; of few windows that most says less
_FEW = 2.0  # added to it, divided by how many windows there are
_CLEARER = 1.5  # times as far out of the background: not the whole spectrum alone has risen
_WANDER = 0.01  # of a frequency: how far a line moves with load while healthy
_MIN_PERIODS = 4  # in the window: fewer lie within the foot of the line at 0 Hz
_MOST = 24  # lines looked at
_LOOKED_AT = 8  # of them, the clearest, whose submultiples may be the base
_HARMONICS = 10
_SUBMULTIPLES = (1, 2, 3, 4)
_OFF = 0.006  # of a harmonic's frequency: slip blurs the higher ones
_MISSING = 0.7  # nepers a harmonic costs that should be there and is not
EXPECTED = 0.025  # of a fault frequency: slip of the bearing and of the motor together
_LIKELIER = 2.0  # times, of what is expected
_SATURATES = 3.5  # nepers: one giant line is not a family


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


@dataclass(frozen=True)
class Family:
    """A base line with its multiples and the lines beside them.

    Attributes:
        base: the line it is named by; at the frequency that fits all multiples best.
        multiples: which multiples of the base stand out, 1 first.
        beside_hz: how far from them further lines stand on both sides; None: there are none.
        score: nepers by which its lines stand out, all together.
    """

    base: Line
    multiples: tuple[int, ...]
    beside_hz: float | None
    score: float

    @property
    def is_row(self) -> bool:
        """Whether it is a row of lines rather than one that stands alone."""
        return len(self.multiples) >= 3 and self.multiples[:2] == (1, 2)


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
    at = spectrum.peaks(prominence, at_least=_STANDS_OUT, start=_MIN_PERIODS)
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


def families(
    lines: Sequence[Line],
    now: Floats,
    *,
    bin_hz: float,
    shaft_hz: float | None,
    expected_hz: Sequence[float] = (),
    at_most: int = 3,
) -> list[Family]:
    """Lines by what they have in common, the clearest family first.

    Args:
        lines: from `new_lines`.
        now: (bins,) float32 amplitudes they were found in.
        bin_hz: width of a bin.
        shaft_hz: turns of the shaft per second, where known: the distance of lines beside others.
        expected_hz: bases that are likelier than others: fault frequencies of known bearings.
        at_most: how many families.
    """
    prominence = now / spectrum.background(now)
    known = _Known(tuple(expected_hz), shaft_hz)
    left = list(lines)
    found: list[Family] = []
    while left and len(found) < at_most:
        best = _best(_bases(left, known, bin_hz), left, prominence, bin_hz, known)
        if best is None:
            break
        members = _members(best, left, bin_hz)
        beside_hz = _beside(best, left, bin_hz, shaft_hz)
        if beside_hz is not None:
            best = replace(best, beside_hz=beside_hz)
            members |= _members(best, left, bin_hz)
        found.append(best)
        left = [line for i, line in enumerate(left) if i not in members]
    return found


@dataclass(frozen=True)
class _Known:
    """What is known of the machine.

    Attributes:
        expected_hz: fault frequencies of its bearings.
        shaft_hz: turns of its shaft per second.
    """

    expected_hz: tuple[float, ...]
    shaft_hz: float | None

    def weight(self, base_hz: float) -> float:
        """How much likelier a base is for it.

        Lines that a fault frequency explains may well be multiples of some submultiple too; and
        the shaft's row stands beside every fault that turns with it.
        """
        if any(abs(base_hz / hz - 1.0) <= EXPECTED for hz in self.expected_hz):
            return _LIKELIER
        if self.expected_hz and self.shaft_hz and abs(base_hz / self.shaft_hz - 1.0) <= EXPECTED:
            return 1.0 / _LIKELIER
        return 1.0


def _bases(lines: Sequence[Line], known: _Known, bin_hz: float) -> Array:
    """(bases,) frequencies in Hz that lines may be multiples of, falling."""
    bases = {line.hz / part for line in lines[:_LOOKED_AT] for part in _SUBMULTIPLES}
    bases |= {line.hz for line in lines if known.weight(line.hz) > 1.0}
    return np.array(sorted((hz for hz in bases if hz >= _MIN_PERIODS * bin_hz), reverse=True))


def _best(
    bases_hz: Array, lines: Sequence[Line], prominence: Floats, bin_hz: float, known: _Known
) -> Family | None:
    """The family that explains most; of two that explain alike the one with the higher base."""
    hz = np.array([line.hz for line in lines])
    weight = np.log([line.prominence for line in lines])
    multiple = np.rint(hz / bases_hz[:, None]).astype(int)  # (bases, lines)
    off_hz = np.abs(hz - multiple * bases_hz[:, None])
    is_near = (off_hz <= np.maximum(bin_hz, _OFF * hz)) & (multiple >= 1)
    is_near &= multiple <= _HARMONICS
    clearest = np.zeros((len(bases_hz), _HARMONICS + 1))  # of the lines at each multiple
    base, line = np.nonzero(is_near)
    np.maximum.at(clearest, (base, multiple[base, line]), weight[line])
    has = clearest > 0.0
    highest = np.where(has, np.arange(_HARMONICS + 1), 0).max(axis=1, initial=0)
    score = np.minimum(clearest, _SATURATES).sum(axis=1)
    score -= _MISSING * (highest - has.sum(axis=1))
    weighed = score * [known.weight(base_hz) for base_hz in bases_hz.tolist()]
    for one in np.argsort(-weighed, kind="stable").tolist():
        matched = {
            number: lines[at]
            for at in np.flatnonzero(is_near[one])[::-1].tolist()  # the clearest line last
            if (number := int(multiple[one, at]))
        }
        family = _family(float(bases_hz[one]), matched, prominence, bin_hz, float(score[one]))
        if family is not None:
            return family
    return None


def _family(
    base_hz: float, matched: dict[int, Line], prominence: Floats, bin_hz: float, score: float
) -> Family | None:
    """The family of a base and its multiples; None where the base itself cannot be made out."""
    if not matched:
        return None
    base = matched.get(1)
    if base is None:
        stands_out = float(spectrum.near(prominence, np.array([base_hz / bin_hz]))[0])
        in_a_row = any(multiple + 1 in matched for multiple in matched)
        if stands_out < _WEAK and not (in_a_row and len(matched) >= 3):
            return None
        base = replace(matched[min(matched)], prominence=max(stands_out, 1.0))
    weights = {multiple: math.log(line.prominence) for multiple, line in matched.items()}
    refined_hz = sum(
        weights[multiple] * line.hz / multiple for multiple, line in matched.items()
    ) / sum(weights.values())
    return Family(replace(base, hz=refined_hz), tuple(sorted({1, *matched})), None, score)


def _members(family: Family, lines: Sequence[Line], bin_hz: float) -> set[int]:
    """Numbers of the lines that belong to a family."""
    base_hz = family.base.hz
    apart = [0.0] if family.beside_hz is None else [k * family.beside_hz for k in (-2, -1, 0, 1, 2)]
    return {
        i
        for i, line in enumerate(lines)
        for off in apart
        if 1 <= (multiple := round((line.hz - off) / base_hz)) <= _HARMONICS
        and abs(line.hz - multiple * base_hz - off) <= max(1.5 * bin_hz, _OFF * multiple * base_hz)
    }


def _beside(
    family: Family, lines: Sequence[Line], bin_hz: float, shaft_hz: float | None
) -> float | None:
    """How far from the multiples lines stand on both sides, if they do."""
    base_hz = family.base.hz
    apart = [
        abs(line.hz - multiple * base_hz)
        for line in lines
        for multiple in family.multiples
        if 2.0 * bin_hz < abs(line.hz - multiple * base_hz) < 0.5 * base_hz
    ]
    pairs: dict[float, int] = {}
    for distance in sorted(apart):
        if shaft_hz is not None and abs(distance - shaft_hz) > max(1.0 * bin_hz, 0.02 * shaft_hz):
            continue
        both = [
            multiple
            for multiple in family.multiples
            if all(
                any(abs(line.hz - multiple * base_hz - off) <= 1.5 * bin_hz for line in lines)
                for off in (-distance, distance)
            )
        ]
        if both:
            pairs[distance] = len(both)
    if not pairs:
        return None
    most = max(pairs.values())
    same = [distance for distance, count in pairs.items() if count == most]
    first = same[0]
    return float(np.mean([d for d in same if abs(d - first) <= 2.0 * bin_hz]))
