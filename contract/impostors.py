"""How often a stranger would be named: the measured tail of cosines, and the threshold it asks for.

Whoever measures the tail compares pictures of people with everybody else as `gallery.match` does, a
picture with a person's enrolled ones, and counts how many of these pairs reach each cosine. The
counts travel in the bundle's operating point. A few hundred persons give pairs that are not
independent, so the bound below is one on what was measured, not on all mankind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_PAIRS = "impostor_pairs"
_AT = "impostors_at_"
_ONE_SIDED_95 = 1.6449  # of the normal distribution
_WELL = 10  # a count of that many is right within a third
_HIGHEST = 0.999  # cosine; two pictures of one person, even taken at once, are hardly ever above


@dataclass(frozen=True)
class Tail:
    """Impostors that reach a cosine.

    Attributes:
        pairs: compared.
        reaching: (cosine, how many of the pairs reach it), by cosine; counts never rise.
    """

    pairs: int
    reaching: tuple[tuple[float, int], ...]

    def __post_init__(self) -> None:
        """It must be a tail."""
        counts = [count for _, count in self.reaching]
        cosines = [cosine for cosine, _ in self.reaching]
        is_ordered = sorted(set(cosines)) == cosines and sorted(counts, reverse=True) == counts
        if len(counts) < 2 or not is_ordered or not 0 <= counts[-1] <= counts[0] <= self.pairs:
            raise ValueError(f"no tail: {self.reaching} of {self.pairs} pairs")

    def measured(self) -> dict[str, float]:
        """As it travels in an operating point's `measured`."""
        counts = {f"{_AT}{cosine:.4f}": float(count) for cosine, count in self.reaching}
        return {_PAIRS: float(self.pairs), **counts}

    @property
    def bounds(self) -> list[tuple[float, float]]:
        """(cosine, false match rate that it is at most, with 95 % certainty), each rate once."""
        found: list[tuple[float, float]] = []
        for cosine, count in self.reaching:
            bound = upper_bound(count, self.pairs)
            if not found or bound < found[-1][1]:
                found.append((cosine, bound))
        return found


@dataclass(frozen=True)
class Threshold:
    """The cosine that keeps a promise about strangers.

    Attributes:
        cosine: a face at or above it is named.
        false_match_rate: of a stranger with one enrolled person there.
        is_measured: False: it lies beyond the tail that was measured, which was continued.
    """

    cosine: float
    false_match_rate: float
    is_measured: bool


def count(cosines: Sequence[float], at: Sequence[float]) -> Tail:
    """The tail of measured impostors.

    Args:
        cosines: one for each pair.
        at: cosines to count at, rising.
    """
    return Tail(len(cosines), tuple((c, sum(one >= c for one in cosines)) for c in at))


def read(measured: Mapping[str, float]) -> Tail | None:
    """The tail of an operating point; None: it has none.

    Raises:
        ValueError: what is there is no tail.
    """
    if _PAIRS not in measured:
        return None
    reaching = sorted(
        (float(name.removeprefix(_AT)), int(count))
        for name, count in measured.items()
        if name.startswith(_AT)
    )
    return Tail(int(measured[_PAIRS]), tuple(reaching))


def upper_bound(hits: int, of: int) -> float:
    """What a rate is at most, with 95 % certainty, one-sided: Wilson, JASA 22 (158), 1927.

    Args:
        hits: that were counted.
        of: how many they could have been, at least 1.
    """
    z, share = _ONE_SIDED_95, hits / of
    middle = share + z * z / (2 * of)
    reach = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return (middle + reach) / (1 + z * z / of)


def threshold_for(false_accepts_per_1000: float, persons: int, tail: Tail) -> Threshold:
    """The cosine at which of 1,000 visits by strangers at most so many end with a name.

    A stranger is compared with everybody: 1 - (1 - rate) ** persons, as if with each anew.
    Between the measured points the logarithm of the rate is a straight line; beyond them it goes on
    as over the last tenth that was counted well. Tails of cosines fall ever faster, so that is on
    the safe side.

    Args:
        false_accepts_per_1000: above 0, below 1,000.
        persons: who are enrolled; 0 counts as 1.
        tail: measured with this model.

    Raises:
        ValueError: no cosine keeps that promise.
    """
    wanted = -math.expm1(math.log1p(-false_accepts_per_1000 / 1000) / max(persons, 1))
    bounds = tail.bounds
    if wanted >= bounds[0][1]:
        return Threshold(bounds[0][0], bounds[0][1], is_measured=True)
    for (low, more), (high, less) in pairwise(bounds):
        if wanted >= less:
            share = math.log(more / wanted) / math.log(more / less)
            return Threshold(low + share * (high - low), wanted, is_measured=True)
    high, less = bounds[-1]
    if slope := _slope(tail):
        beyond = high + math.log(less / wanted) / slope
        if beyond <= _HIGHEST:
            return Threshold(beyond, wanted, is_measured=False)
    raise ValueError(
        f"false_accepts_per_1000 = {false_accepts_per_1000:g} with {persons} enrolled: no cosine "
        f"up to {_HIGHEST} keeps that; fix: allow more false accepts, or enrol fewer people"
    )


def _slope(tail: Tail) -> float:
    """How fast the logarithm of the rate falls with the cosine, from a last tenth counted well."""
    counted = [(cosine, count) for cosine, count in tail.reaching if count >= _WELL]
    if len(counted) < 2:
        return 0.0
    last, few = counted[-1]
    before = [point for point in counted if point[1] >= 10 * few]
    first, many = before[-1] if before else counted[0]
    return math.log(many / few) / (last - first)
