"""From judged windows to the condition of a machine: causal, bounded, kept over restarts.

Damage lasts; bursts, run-in and load steps pass or are slow. So four figures are followed, each
over its own time, the first three of the worst channel:

- `spectrum`: how far 40 % of the bands have moved for most of the last quarter of an hour, in units
  of their healthy spread. The healthy state follows slow drift at half the speed of a running mean:
  ever slower, so that what it may follow grows with the logarithm of the machine's age only.
- `impulses`: in what share of the last 45 minutes the signal was more impulsive than 95 % of all
  that went before (an on-line conformal test: Vovk et al., Algorithmic Learning in a Random World,
  2005), counting only what is 5 % more impulsive than usual.
- `level`: rise of the level below 1 kHz, the range of ISO 20816, over the last two minutes.
- `novelty`: how far the bands of the last windows are from healthy in this machine's own measure
  (`contract.novelty`): quick, for what happens suddenly to a machine that ran steadily.

A *notice* needs one of them. Impulses must be borne out by the spectrum, and are at most half as
much again as in the last quarter of an hour, for what has stopped does not last; those that were
told and passed are told again when they are a quarter more than then, or half of all there is. A
minute of nothing but impulses in turn bears out novelty by the machine's own threshold, which alone
is too low: run-in moves some healthy machines several times as far. An *alarm* needs two: the level
borne out by any other, or impulses in a changed spectrum.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np

from contract.novelty import Novelty
from contract.slots import SLOT_S, Slots
from contract.spec import Array, Detection, Detections, Floats, Profile

PARTS = ("spectrum", "impulses", "level", "novelty")
SPECTRUM_S, IMPULSES_S, LEVEL_S = 900.0, 2700.0, 120.0
_LATE_S = 600.0  # so old must an impulse be before it counts as usual
_MOST_LATE = 6000  # windows, where they come fast
_DRIFT = 2.0  # times slower than a running mean
_FASTEST = 2.0  # spreads that one window may pull at the healthy state
_BORNE_OUT = 2.0
_BANDS_MOVED = 0.4
_USUAL = 0.95
_ENOUGH = 60  # slots: among fewer a handful of impulses may be chance
_LEAST_CREST = 0.05  # nepers
_RUNNING = 6  # slots without a pause
_RECENT, _STILL = 90, 1.5  # slots; times their share
_PASSED = 0.5  # of the peak
_MORE, _MOSTLY = 1.25, 0.5  # times what was told; share that is told however often
_CREST_LOW, _CREST_STEP, _CREST_BINS = -2.0, 0.01, 600  # nepers from the healthy median


def count_crest(crest: Floats) -> Array:
    """Histogram of log crest factors relative to their healthy median.

    Args:
        crest: (windows, channels) nepers.

    Returns:
        (channels, bins) int64, what a `Condition` begins with.
    """
    counts = [np.bincount(column, minlength=_CREST_BINS) for column in _crest_bin(crest).T]
    return np.stack(counts).astype(np.int64)


def reached_by(x: Floats, share: float) -> Floats:
    """(channels,) the highest value that at least `share` of the (channels, bands) reach."""
    at = x.shape[1] - math.ceil(share * x.shape[1])
    return np.partition(x, at, axis=1)[:, at]


class Condition:
    """Follows one machine; see the top of this file.

    Vectors of the detections it is given, one per channel: the bands' distance from healthy in
    spreads, then the log crest factor and the log level below 1 kHz relative to healthy, nepers.
    Bands that are NaN were not measured.

    Attributes:
        parts: the figures after the last window, unscaled.
    """

    def __init__(self, profile: Profile) -> None:
        """A machine that has just been learned."""
        scales = profile.operating_point.scales
        self._scales = {part: float(scales[part]) for part in PARTS}
        self._usual = profile.learned["crest_counts"].astype(np.int64)
        shape = (len(self._usual), profile.learned["centre"].shape[-1] - 2)
        self._drift = np.zeros(shape, dtype=np.float32)
        self._age = float(max(profile.windows, 1))  # in windows
        self._now_s, self._last_ns = 0.0, -1  # its own clock never goes back
        self._late: deque[tuple[float, Array]] = deque(maxlen=_MOST_LATE)
        self._novelty = _novelty_of(profile.learned)
        self._slots = _no_slots()
        self._peak, self._told = 0.0, 0.0  # shares of impulses: in a notice; in one that passed
        self.parts = dict.fromkeys(PARTS, 0.0)

    def update(self, found: Detections, t_ns: int) -> Detections:
        """A detection for each level of urgency, scored so that 1 is the operating point."""
        rows = np.stack([d.vector for d in found if d.vector is not None])
        # a clock that began anew goes on where the old one stopped
        elapsed_s = (t_ns - self._last_ns) / 1e9
        self._now_s += elapsed_s if 0 <= self._last_ns <= t_ns else SLOT_S
        self._last_ns = t_ns
        self._see_spectrum(rows[:, :-2])
        if self._novelty is not None and np.isfinite(rows).all():
            self.parts["novelty"] = self._novelty.score(rows[:, :-2].ravel())
        self._see_impulses(rows[:, -2])
        self._see_level(rows[:, -1])
        by = {part: self.parts[part] / self._scales[part] for part in PARTS}
        known = max(self._scales["impulses"], min(_MORE * self._told, _MOSTLY))
        share = min(self.parts["impulses"], _STILL * self._lately())
        notices = by | {
            "impulses": min(share / known, _BORNE_OUT * by["spectrum"]),
            "novelty": max(by["novelty"], min(self.parts["novelty"], self._running())),
        }
        label = max(notices, key=lambda part: notices[part])
        self._remember(share, is_told=notices["impulses"] >= 1.0)
        changed = max(by["spectrum"], by["novelty"])
        alarms = {
            "level": max(min(by["level"], _BORNE_OUT * max(changed, by["impulses"])), 0.0),
            "impulses": min(by["impulses"], changed),
        }
        reason = max(alarms, key=lambda part: alarms[part])
        return (
            Detection(label, score=notices[label], level="notice"),
            Detection(reason, score=alarms[reason], level="alarm"),
        )

    def _see_spectrum(self, bands: Floats) -> None:
        if not np.isfinite(bands).all():
            return
        moved = bands - self._drift
        pull = np.clip(moved, -_FASTEST, _FASTEST) / (_DRIFT * self._age)
        self._drift = self._drift + pull.astype(np.float32)
        self._age += 1.0
        slots = self._slots["spectrum"]
        if slots.add(self._now_s, moved) and slots.full >= 0.5:
            lasting = np.abs(np.median(slots.values, axis=0))
            self.parts["spectrum"] = float(reached_by(lasting, _BANDS_MOVED).max())

    def _see_impulses(self, crest: Floats) -> None:
        below = np.cumsum(self._usual, axis=1)
        total = below[:, -1:]
        middle = (below >= 0.5 * total).argmax(axis=1)
        usual = (below >= _USUAL * total).argmax(axis=1)
        limit = np.maximum(usual, middle + round(_LEAST_CREST / _CREST_STEP))
        bins = _crest_bin(crest)
        slots = self._slots["impulses"]
        slots.add(self._now_s, (bins > limit).astype(np.float32))
        share = slots.values.sum(axis=0) / max(len(slots.values), _ENOUGH)
        self.parts["impulses"] = float(share.max() * slots.full)
        self._late.append((self._now_s, bins))
        while self._late[0][0] <= self._now_s - _LATE_S or len(self._late) == _MOST_LATE:
            _, old = self._late.popleft()
            self._usual[np.arange(len(old)), old] += 1

    def _lately(self) -> float:
        """In what share of the last slots there were impulses, on the worst channel."""
        last = self._slots["impulses"].values[-_RECENT:]
        return float(last.sum(axis=0).max()) / max(len(last), _ENOUGH)

    def _remember(self, share: float, *, is_told: bool) -> None:
        """How high impulses were that were told and have passed."""
        if is_told:
            self._peak = max(self._peak, share)
        elif share < _PASSED * self._peak:
            self._told, self._peak = max(self._told, self._peak), 0.0

    def _running(self) -> float:
        """How many of the last slots were impulsive for the most part, on the worst channel."""
        last = self._slots["impulses"].values[-_RUNNING:]
        return float((last > 0.5).sum(axis=0).max()) / _RUNNING

    def _see_level(self, level: Floats) -> None:
        slots = self._slots["level"]
        slots.add(self._now_s, level)
        ordered = np.sort(slots.values, axis=0)  # faster than a median of so few
        middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
        self.parts["level"] = float(middle.max())

    def state(self) -> dict[str, Array]:
        """All that was seen since the profile was learned, and still counts."""
        arrays = {
            "usual": self._usual.copy(),  # counted on in place
            "drift": self._drift,
            "age": np.array([self._age, self._now_s]),
            "told": np.array([self._peak, self._told]),
            "late_s": np.array([at_s for at_s, _ in self._late]),
            "late": np.array([bins for _, bins in self._late], dtype=np.int16),
        }
        if self._novelty is not None:
            arrays["recent"] = self._novelty.recent
        for part, slots in self._slots.items():
            arrays |= {f"{part}.{name}": array for name, array in slots.state().items()}
        return arrays

    def resume(self, state: Mapping[str, Array]) -> None:
        """Go on as if no time had passed."""
        if state["usual"].shape != self._usual.shape or state["drift"].shape != self._drift.shape:
            raise ValueError(f"of {state['drift'].shape} bands, now {self._drift.shape}")
        rows = state["late"].astype(np.int64).reshape(-1, len(self._usual))
        late = list(zip(state["late_s"].tolist(), rows, strict=True))
        age, now_s = state["age"].tolist()
        peak, told = (
            state["told"].tolist() if "told" in state else (0.0, 0.0)
        )  # older ones have none
        novelty = self._novelty
        if novelty is not None and state["recent"].shape[1:] != novelty.recent.shape[1:]:
            raise ValueError(f"rows of {state['recent'].shape}, now {novelty.recent.shape}")
        of_parts = _no_slots()
        for part, slots in of_parts.items():
            slots.resume(
                {
                    name.removeprefix(f"{part}."): array
                    for name, array in state.items()
                    if name.startswith(f"{part}.")
                }
            )
        # all of it fits: a follower that is half of one machine and half of another judges neither
        self._slots, self._late = of_parts, deque(late, maxlen=_MOST_LATE)
        self._usual, self._drift = state["usual"].astype(np.int64), state["drift"]
        self._age, self._now_s, self._last_ns = age, now_s, -1
        self._peak, self._told = peak, told
        if novelty is not None:
            novelty.recent = state["recent"]


def _no_slots() -> dict[str, Slots]:
    """Of a machine that has just been learned."""
    return {
        "spectrum": Slots(SPECTRUM_S),
        "impulses": Slots(IMPULSES_S),
        "level": Slots(LEVEL_S),
    }


def _novelty_of(learned: Mapping[str, Array]) -> Novelty | None:
    """From the arrays of a profile; None where there were too few windows to learn it from."""
    own = {n.removeprefix("novelty_"): a for n, a in learned.items() if n.startswith("novelty_")}
    return Novelty(own) if own else None


def _crest_bin(crest: Floats) -> Array:
    """(...) int, which bin of the histogram each falls into."""
    bins = np.nan_to_num(np.floor((crest - _CREST_LOW) / _CREST_STEP))
    inside: Array = np.clip(bins, 0, _CREST_BINS - 1).astype(np.int64)
    return inside
