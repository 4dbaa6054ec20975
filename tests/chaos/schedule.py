"""Which fault comes when: drawn from a seed, every kind at least once, some two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from chaos.faults import SITE, Kind

_TOGETHER = 0.35  # how often a fault comes while another lasts


@dataclass(frozen=True)
class Planned:
    """One fault to come.

    Attributes:
        after_s: after the beginning of its step.
    """

    kind: Kind
    target: str
    lasts_s: float
    after_s: float
    seed: int


@dataclass(frozen=True)
class Step:
    """Faults that overlap; the next step begins when they are undone, and not before its time.

    Attributes:
        at_s: after the beginning of the schedule; pauses make up for faults that took longer.
    """

    at_s: float
    faults: tuple[Planned, ...]

    @property
    def lasts_s(self) -> float:
        """About how long."""
        return max(fault.after_s + fault.kind.cost_s + fault.lasts_s for fault in self.faults)


def draw(
    kinds: Sequence[Kind], *, seed: int, count: int, seconds: float, is_short: bool
) -> list[Step]:
    """Steps with `count` faults in all, at least one of each kind.

    Args:
        kinds: to choose from.
        seed: the same one gives the same schedule.
        count: of faults.
        seconds: how long it should take; what the faults leave of it are pauses between steps, some
            so short that a fault meets the recovery from the one before.
        is_short: whether each fault lasts only as long as it must.
    """
    rng = Random(seed)
    chosen = [*kinds, *(rng.choice(kinds) for _ in range(count - len(kinds)))]
    rng.shuffle(chosen)
    steps: list[Step] = []
    pauses: list[float] = []
    for kind in chosen:
        lasts_s = (kind.short_s if is_short else kind.full_s) * rng.uniform(0.7, 1.0)
        before = steps[-1].faults if steps else ()
        taken = {fault.target for fault in before}
        free = [t for t in kind.targets if t not in taken and SITE not in {t, *taken}]
        is_second = len(before) == 1 and free and rng.random() < _TOGETHER
        target = rng.choice(free if is_second else kind.targets)
        after_s = rng.uniform(0.0, before[0].lasts_s * 0.8) if is_second else 0.0
        fault = Planned(kind, target, lasts_s, after_s, rng.getrandbits(32))
        if is_second:
            steps[-1] = Step(0.0, (*before, fault))
        else:
            pauses.append(rng.random())
            steps.append(Step(0.0, (fault,)))
    scale = max(seconds - sum(step.lasts_s for step in steps), 0.0) / sum(pauses)
    at_s = 0.0
    for number, (step, pause) in enumerate(zip(steps, pauses, strict=True)):
        at_s += pause * scale
        steps[number] = Step(at_s, step.faults)
        at_s += step.lasts_s
    return steps
