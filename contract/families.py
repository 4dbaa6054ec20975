"""Lines that belong together: multiples of one rate of blows, and the lines beside those.

A fault that strikes at regular times has a line at its rate and at multiples of it; one that passes
through a load zone has lines beside those, as far off as the zone is passed often. Such a family
has one name: its base. Of all bases that lines may be multiples of, the one is taken that explains
most of them, less what it would explain by chance and less the multiples that are missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from contract.lines import MIN_PERIODS, Line
from contract.ops import spectrum
from contract.spec import Array, Floats

EXPECTED = 0.025  # of a fault frequency: slip of the bearing and of the motor together

_WEAK = 3.0  # times the background: enough for a base whose multiples stand out
_LOOKED_AT = 8  # lines, the clearest, whose submultiples may be the base
_SUBMULTIPLES = (1, 2, 3, 4)
_HARMONICS = 10  # that are counted and told
_EXPLAINED = 40  # multiples that a base explains
_COMPARED = 4  # bases, for which the lines beside the multiples are looked for as well
_OFF = 0.003  # of a line's frequency: slip blurs it
_MISSING = 1.2  # nepers a multiple costs that should be there and is not
_BESIDE = 0.5  # of its nepers, that a line beside a multiple counts
_NOT_HALF, _NOT_THIRD = 0.45, 0.01  # of a base: lines so far beside it are of half or a third of it
_LIKELIER = 2.0  # times, of what is expected
_SATURATES = 3.5  # nepers: one giant line is not a family


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


@dataclass(frozen=True, eq=False)
class _Lines:
    """Lines as arrays, the clearest first, and what is known of the machine.

    Attributes:
        each: the lines.
        hz: (lines,) their frequencies.
        weight: (lines,) nepers by which they stand out, up to a limit.
        prominence: (bins,) of the spectrum they are of.
        bin_hz: width of a bin.
        expected_hz: fault frequencies of known bearings.
        shaft_hz: turns of the shaft per second, where known.
    """

    each: tuple[Line, ...]
    hz: Array
    weight: Array
    prominence: Floats
    bin_hz: float
    expected_hz: tuple[float, ...]
    shaft_hz: float | None

    def without(self, members: Array) -> _Lines:
        """Those that are not members, (lines,) bool."""
        each = tuple(line for line, gone in zip(self.each, members, strict=True) if not gone)
        return replace(self, each=each, hz=self.hz[~members], weight=self.weight[~members])

    @property
    def room_hz(self) -> Array:
        """(lines,) how far off a line may be and still be what it is taken for."""
        return np.maximum(self.bin_hz, _OFF * self.hz)


def families(
    lines: Sequence[Line],
    now: Floats,
    *,
    bin_hz: float,
    shaft_hz: float | None,
    expected_hz: Sequence[float] = (),
    at_most: int = 2,
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
    left = _Lines(
        tuple(lines),
        np.array([line.hz for line in lines]),
        np.minimum(np.log([line.prominence for line in lines]), _SATURATES),
        now / spectrum.background(now),
        bin_hz,
        tuple(expected_hz),
        shaft_hz,
    )
    found: list[Family] = []
    while left.each and len(found) < at_most:
        best = _best(left)
        if best is None:
            break
        found.append(best)
        left = left.without(_members(best, left))
    return found


def _best(lines: _Lines) -> Family | None:
    """The family that explains most; of two that explain alike the one with the higher base."""
    bases_hz = _bases(lines)
    multiple, gain = _explained(bases_hz, lines)
    clearest = np.zeros((len(bases_hz), _EXPLAINED + 1))  # of the lines at each multiple
    base, line = np.nonzero(gain)
    np.maximum.at(clearest, (base, multiple[base, line]), gain[base, line])
    has = clearest[:, : _HARMONICS + 1] > 0.0
    highest = np.where(has, np.arange(_HARMONICS + 1), 0).max(axis=1)
    score = clearest.sum(axis=1) - _MISSING * (highest - has.sum(axis=1))
    score *= np.array([_likelihood(base_hz, lines) for base_hz in bases_hz.tolist()])
    made: list[Family] = []
    for one in np.argsort(-score, kind="stable").tolist():
        multiples = np.where(gain[one] > 0.0, multiple[one], 0)
        family = _family(float(bases_hz[one]), multiples, lines, float(score[one]))
        if family is not None:
            made.append(_with_lines_beside(family, lines))
        if len(made) == _COMPARED:
            break
    return max(made, key=lambda family: family.score, default=None)


def _bases(lines: _Lines) -> Array:
    """(bases,) frequencies in Hz that lines may be multiples of, falling."""
    bases = {hz / part for hz in lines.hz[:_LOOKED_AT].tolist() for part in _SUBMULTIPLES}
    bases |= {hz for hz in lines.hz.tolist() if _likelihood(hz, lines) > 1.0}
    fit = sorted((hz for hz in bases if hz >= MIN_PERIODS * lines.bin_hz), reverse=True)
    return np.array(fit or [lines.hz[0]])


def _likelihood(base_hz: float, lines: _Lines) -> float:
    """How much likelier a base is for what is known of the machine.

    Lines that a fault frequency explains may well be multiples of some submultiple too; and the
    shaft's row stands beside every fault that turns with it.
    """
    if any(abs(base_hz / hz - 1.0) <= EXPECTED for hz in lines.expected_hz):
        return _LIKELIER
    if lines.expected_hz and lines.shaft_hz and abs(base_hz / lines.shaft_hz - 1.0) <= EXPECTED:
        return 1.0 / _LIKELIER
    return 1.0


def _explained(bases_hz: Array, lines: _Lines) -> tuple[Array, Array]:
    """Which multiple of each base each line is, and what that explains.

    Returns:
        (bases, lines) int multiples; (bases, lines) nepers, 0 where the line is no multiple.
    """
    multiple = np.rint(lines.hz / bases_hz[:, None]).astype(int)
    off_hz = np.abs(lines.hz - multiple * bases_hz[:, None])
    is_near = (off_hz <= lines.room_hz) & (multiple >= 1) & (multiple <= _EXPLAINED)
    by_chance = np.minimum(2.0 * lines.room_hz / bases_hz[:, None], 1.0)
    return multiple, np.where(is_near, lines.weight * (1.0 - by_chance), 0.0)


def _family(base_hz: float, multiples: Array, lines: _Lines, score: float) -> Family | None:
    """The family of a base; None where the base itself cannot be made out.

    Args:
        base_hz: of the base, roughly.
        multiples: (lines,) int, 0 where the line is none.
        lines: all of them.
        score: of the family.
    """
    matched = {
        int(multiples[i]): lines.each[i]
        for i in np.flatnonzero(multiples)[::-1].tolist()  # the clearest line last
        if multiples[i] <= _HARMONICS
    }
    if not matched:
        return None
    base = matched.get(1)
    if base is None:
        at = np.array([base_hz / lines.bin_hz])
        stands_out = float(spectrum.near(lines.prominence, at)[0])
        odd = sum(multiple % 2 for multiple in matched)  # the even ones another base has too
        if odd + (stands_out >= _WEAK) < 2:
            return None
        base = replace(matched[min(matched)], prominence=max(stands_out, 1.0))
    weights = {multiple: math.log(line.prominence) for multiple, line in matched.items()}
    refined_hz = sum(
        weights[multiple] * line.hz / multiple for multiple, line in matched.items()
    ) / sum(weights.values())
    return Family(replace(base, hz=refined_hz), tuple(sorted({1, *matched})), None, score)


def _with_lines_beside(family: Family, lines: _Lines) -> Family:
    """The family with the lines beside its multiples, if there are such, and what they explain."""
    base_hz = family.base.hz
    at_hz = base_hz * np.array(family.multiples)
    apart_hz = np.abs(lines.hz[:, None] - at_hz)
    is_apart = (apart_hz > 2.0 * lines.bin_hz) & (apart_hz < _NOT_HALF * base_hz)
    is_third = np.abs(apart_hz - base_hz / 3) <= _NOT_THIRD * base_hz
    apart_hz = apart_hz[is_apart & ~is_third]
    if lines.shaft_hz is not None:
        room_hz = max(lines.bin_hz, 0.02 * lines.shaft_hz)
        apart_hz = apart_hz[np.abs(apart_hz - lines.shaft_hz) <= room_hz]
    if not len(apart_hz):
        return family
    apart_hz = np.sort(apart_hz)
    # (distances, sides, multiples): whether there is a line
    sides = at_hz + np.array([-1.0, 1.0])[:, None] * apart_hz[:, None, None]
    is_there = (np.abs(lines.hz - sides[..., None]) <= 1.5 * lines.bin_hz).any(axis=-1)
    pairs = is_there.all(axis=1).sum(axis=1)
    if not pairs.any():
        return family
    same = apart_hz[pairs == pairs.max()]
    beside_hz = float(same[np.abs(same - same[0]) <= 2.0 * lines.bin_hz].mean())
    with_beside = replace(family, beside_hz=beside_hz)
    further = _members(with_beside, lines) & ~_members(family, lines)
    by_chance = min(10.0 * lines.bin_hz / base_hz, 1.0)
    gain = _BESIDE * (1.0 - by_chance) * float(lines.weight[further].sum())
    return replace(with_beside, score=family.score + gain)


def _members(family: Family, lines: _Lines) -> Array:
    """(lines,) bool: which belong to a family: multiples, lines beside them, and their distance."""
    base_hz, beside_hz = family.base.hz, family.beside_hz
    belongs = np.zeros(len(lines.each), dtype=bool)
    for off_hz in [0.0] if beside_hz is None else [k * beside_hz for k in (-2, -1, 0, 1, 2)]:
        multiple = np.rint((lines.hz - off_hz) / base_hz)
        room_hz = np.maximum(1.5 * lines.bin_hz, _OFF * lines.hz)
        is_near = np.abs(lines.hz - multiple * base_hz - off_hz) <= room_hz
        # the zeroth multiple with an offset is the distance itself
        belongs |= is_near & (multiple >= (0 if off_hz > 0 else 1)) & (multiple <= _EXPLAINED)
    return belongs
