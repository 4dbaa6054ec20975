"""How early for how many false alarms: the same lives, judged at other thresholds.

Nobody's ten bearings fill a machine-month of healthy running, so false alarms are counted on
surrogate healthy lives (`training.surrogates`), and early false starts on the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from contract.spec import Level, OperatingPoint, Workload
from training import surrogates
from training.metrics import Alarms, replay

if TYPE_CHECKING:
    from training.watch import Seen, Watched

MARGINS = (0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0)  # times the thresholds of the operating point
LEVELS: dict[Level, str] = {"notice": "any message", "alarm": "alarms alone"}
MONTH_H = 730.0


@dataclass(frozen=True)
class Trade:
    """What one threshold gives.

    Attributes:
        margin: times the threshold of the operating point.
        level: `notice`: any message counts; `alarm`: alarms alone.
        found: of the recordings.
        lead: share of life left at the first message, median; 0 after a false start or without one.
        false_starts: recordings with a message between 15 and 30 % of life.
        episodes: over the surrogate hours.
        per_machine_month: the same in 730 hours.
    """

    margin: float
    level: Level
    found: int
    lead: float
    false_starts: int
    episodes: int
    per_machine_month: float


@dataclass(frozen=True)
class Tried:
    """One recording at every margin: what was said over its life, and of its healthy surrogate."""

    alarms: tuple[Alarms, ...]
    episodes: tuple[dict[Level, int], ...]


def at_other_margins(
    workload: Workload,
    watched: Watched,
    seen: Seen,
    point: OperatingPoint,
    *,
    hours: float,
    seed: int,
) -> Tried:
    """One recording at every one of `MARGINS`; what was judged stays, the policy says it again.

    Args:
        workload: has the policy.
        watched: the recording, judged.
        seen: the same before, for the surrogate.
        point: of which the thresholds are moved.
        hours: of the surrogate.
        seed: of the surrogate.
    """
    points = [
        replace(
            point,
            threshold=margin * point.threshold,
            clear_threshold=margin * point.clear_threshold,
        )
        for margin in MARGINS
    ]
    return Tried(
        tuple(replay(workload, watched, one) for one in points),
        tuple(surrogates.alerts(workload, seen, points, hours=hours, seed=seed)),
    )


def over_lives(tried: Sequence[Tried], *, hours: float) -> tuple[Trade, ...]:
    """What each margin gives on all recordings together, by level.

    Args:
        tried: each recording.
        hours: of all surrogates together.
    """
    made = []
    for level in LEVELS:
        for i, margin in enumerate(MARGINS):
            alarms = [one.alarms[i] for one in tried]
            first = [a.first_alarm if level == "notice" else a.first_of_level for a in alarms]
            false = [a.has_false_start(level) for a in alarms]
            lead = [
                0.0 if at is None or is_false else 1.0 - at
                for at, is_false in zip(first, false, strict=True)
            ]
            levels: tuple[Level, ...] = ("notice", "alarm") if level == "notice" else ("alarm",)
            episodes = sum(one.episodes[i][each] for one in tried for each in levels)
            made.append(
                Trade(
                    margin,
                    level,
                    found=sum(at is not None for at in first),
                    lead=float(np.median(lead)),
                    false_starts=sum(false),
                    episodes=episodes,
                    per_machine_month=episodes * MONTH_H / hours,
                )
            )
    return tuple(made)
