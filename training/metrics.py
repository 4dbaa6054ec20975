"""How good a detector is: areas under curves, and the run-to-failure protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from contract.lives import LEARN_SHARE
from contract.messages import Alert
from contract.spec import Array, Floats, Level, OperatingPoint, Workload

if TYPE_CHECKING:
    from training.datasets import Recording
    from training.watch import Watched

FALSE_SPAN = (LEARN_SHARE, 0.30)  # of life: past the learning period, long before the end
LAST_SPAN = 0.95  # of life: failed for certain from here on


@dataclass(frozen=True, eq=False)
class Alarms:
    """What a policy said over one recording.

    Attributes:
        recording: what was watched.
        is_judged: (windows,) bool, False while learning.
        is_raised: (windows,) bool, whether an alert of any level was on after each window.
        is_alarm: (windows,) bool, whether one of level `alarm` was.
        times_raised: how many alerts were raised.
    """

    recording: Recording
    is_judged: Array
    is_raised: Array
    is_alarm: Array
    times_raised: int

    @property
    def first_of_level(self) -> float | None:
        """Fraction of life at the first alert of level `alarm`; None: never."""
        return float(self.recording.life[self.is_alarm.argmax()]) if self.is_alarm.any() else None

    @property
    def last_share(self) -> float:
        """Share of the last 5 % of life with an alert on."""
        return float(self.is_raised[self.recording.life > LAST_SPAN].mean())

    @property
    def first_alarm(self) -> float | None:
        """Fraction of life at the first alert; None: never."""
        return float(self.recording.life[self.is_raised.argmax()]) if self.times_raised else None

    def has_false_start(self, level: Level) -> bool:
        """Whether there was an alert between 15 and 30 % of life; `notice`: of any level."""
        on = self.is_alarm if level == "alarm" else self.is_raised
        return bool((on & self.is_judged & healthy_for_sure(self.recording.life)).any())

    @property
    def false_alarm_share(self) -> float:
        """Share of the judged windows in alarm between 15 and 30 % of life; 0.0 without any."""
        span = self.is_judged & healthy_for_sure(self.recording.life)
        return float(self.is_raised[span].mean()) if span.any() else 0.0


def replay(workload: Workload, watched: Watched, point: OperatingPoint) -> Alarms:
    """The workload's own policy over the judged detections of a recording.

    Args:
        workload: has the policy.
        watched: one recording, judged.
        point: the thresholds to try.
    """
    policy = workload.policy(point)
    on = {level: np.zeros(len(watched.found), dtype=bool) for level in get_args(Level)}
    times_raised = 0
    for i, (found, t_ns) in enumerate(zip(watched.found, watched.seen.t_ns, strict=True)):
        for body in policy.update(found, t_ns):
            if isinstance(body, Alert):
                on[body.level][i:] = body.state == "raised"
                times_raised += body.state == "raised"
    judged = np.array([bool(found) for found in watched.found])
    return Alarms(watched.recording, judged, on["notice"] | on["alarm"], on["alarm"], times_raised)


def healthy_for_sure(life: Floats) -> Array:
    """(windows,) bool: between 15 and 30 % of life, where any alarm is held to be false."""
    return (life > FALSE_SPAN[0]) & (life <= FALSE_SPAN[1])


def auroc(negative: Array, positive: Array) -> float:
    """Chance that a positive scores above a negative, ties counting half.

    Hanley and McNeil, Radiology 143(1), 1982: the Mann-Whitney statistic.

    Args:
        negative: (n,) scores, not empty.
        positive: (m,) scores, not empty.

    Returns:
        0 to 1; 0.5 is guessing.
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float(np.mean((below + not_above) / 2) / len(ordered))


def sqnr_db(reference: Floats, quantized: Floats) -> float:
    """Signal to quantization noise ratio in decibels; infinite where both are equal.

    Args:
        reference: float32 outputs of the float model.
        quantized: float32 outputs of an engine, of the same shape.
    """
    noise = float(np.square(reference - quantized, dtype=np.float64).sum())
    signal = float(np.square(reference, dtype=np.float64).sum())
    return 10.0 * float(np.log10(signal / noise)) if noise > 0.0 else float("inf")


def run_to_failure(alarms: Sequence[Alarms]) -> dict[str, float]:
    """The protocol for lives without a known onset: only healthy early, failed late is sure.

    Args:
        alarms: one per bearing, at least one.

    Returns:
        `bearings`; `found`: with an alert after learning; `median_first_alarm_fraction` of life,
        where a false start (an alert between 15 and 30 % of life) and never found count 1.0;
        `false_alarm_share_15_30`: share of all judged windows of the span with an alert on;
        `bearings_with_false_alarm`: with an alert on anywhere in the span; the same of level
        `alarm`: `alarm_level_found`, `alarm_level_false_bearings`; `alarm_share_last_5`: of all
        windows in the last 5 % of life.
    """
    spans = [a.is_judged & healthy_for_sure(a.recording.life) for a in alarms]
    healthy = np.concatenate([a.is_raised[s] for a, s in zip(alarms, spans, strict=True)])
    last = np.concatenate([a.is_raised[a.recording.life > LAST_SPAN] for a in alarms])
    first = [
        1.0 if a.first_alarm is None or a.has_false_start("notice") else a.first_alarm
        for a in alarms
    ]
    return {
        "bearings": len(alarms),
        "found": sum(a.times_raised > 0 for a in alarms),
        "median_first_alarm_fraction": float(np.median(first)),
        "false_alarm_share_15_30": float(healthy.mean()) if healthy.size else 0.0,
        "bearings_with_false_alarm": sum(a.has_false_start("notice") for a in alarms),
        "alarm_level_found": sum(bool(a.is_alarm.any()) for a in alarms),
        "alarm_level_false_bearings": sum(a.has_false_start("alarm") for a in alarms),
        "alarm_share_last_5": float(last.mean()) if last.size else 0.0,
    }
