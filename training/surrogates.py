"""Surrogate healthy lives: a machine's learning period, made to last a thousand times longer.

Real healthy hours are few. A block bootstrap (Kuensch, Annals of Statistics 17(3), 1989) of what
was found while learning has their noise and their bursts, and on it lies the slow drift that was
seen then, run through forth and back at speeds that vary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np

from contract.messages import Alert
from contract.spec import Detection, Floats, Level, OperatingPoint, Workload
from training.watch import Seen, judged_by, learn, learned_moments

_BLOCK_S = 600.0
_SLOWEST = 10.0  # times the learning period for one run through the drift


def alerts(
    workload: Workload, seen: Seen, points: Sequence[OperatingPoint], *, hours: float, seed: int
) -> list[dict[Level, int]]:
    """How many alerts are raised over a surrogate healthy life.

    Args:
        workload: learns, judges and has the policy.
        seen: a recording; only its learning period is used.
        points: at least one; they differ in their thresholds alone.
        hours: of the surrogate, after its own learning period.
        seed: of the blocks and of the speed of the drift.

    Returns:
        alerts raised at each of the points, by level.
    """
    times_ns, rows = _learned(seen)
    hop_s = float(np.median(np.diff(times_ns))) / 1e9
    judge_one = judged_by(workload, learn(workload, seen, points[0]))
    policies = [workload.policy(point) for point in points]
    raised: list[dict[Level, int]] = [dict.fromkeys(get_args(Level), 0) for _ in points]
    for number, vectors in enumerate(_life(rows, hop_s, hours=hours, seed=seed)):
        t_ns = int(number * hop_s * 1e9)
        judged = judge_one(t_ns, tuple(Detection("channel", vector=vector) for vector in vectors))
        for policy, counts in zip(policies, raised, strict=True):
            for body in policy.update(judged, t_ns):
                if isinstance(body, Alert) and body.state == "raised":
                    counts[body.level] += 1
    return raised


def _learned(seen: Seen) -> tuple[list[int], Floats]:
    """Times, and vectors (moments, channels, d), of the learning period."""
    of_period = list(learned_moments(seen))
    rows = [np.stack([d.vector for d in found if d.vector is not None]) for _, found in of_period]
    return [t_ns for t_ns, _ in of_period], np.stack(rows)


def _life(rows: Floats, hop_s: float, *, hours: float, seed: int) -> Iterator[Floats]:
    """Vectors (channels, d) of one moment after the other."""
    rng = np.random.default_rng(seed)
    count = len(rows)
    block = min(max(round(_BLOCK_S / hop_s), 1), count)
    drift = _smooth(rows, max(2 * block, count // 4))
    rest = rows - drift
    at, direction, speed = count - 1.0, -1.0, 1.0
    for _ in range(0, round(hours * 3600 / hop_s), block):
        start = int(rng.integers(0, max(count - block, 1)))
        for row in rest[start : start + block]:
            at += direction * speed
            if not 0 <= at <= count - 1:
                at, direction = float(np.clip(at, 0, count - 1)), -direction
                speed = 1.0 / rng.uniform(1.0, _SLOWEST)
            yield (drift[int(at)] + row).astype(np.float32)


def _smooth(rows: Floats, width: int) -> Floats:
    """Running mean of what was measured, (moments, channels, d); the same length, never NaN."""
    measured = np.isfinite(rows)
    sums = np.cumsum(np.where(measured, rows, 0.0), axis=0)
    counts = np.cumsum(measured, axis=0)
    last = np.arange(len(rows)) + width // 2
    ends, starts = np.minimum(last, len(rows) - 1), np.maximum(last - width, 0)
    total, number = sums[ends] - sums[starts], counts[ends] - counts[starts]
    overall = np.nanmean(rows, axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), overall)
