"""How a detector is measured on a data set: each brings its own protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from training import trade_off
from training.metrics import replay, run_to_failure
from training.trade_off import Trade
from training.watch import judge

if TYPE_CHECKING:
    from contract.spec import OperatingPoint, Workload
    from training.datasets import Recording
    from training.metrics import Alarms
    from training.watch import Seen, Watched

LEARN_SHARES = (0.10, 0.15, 0.20)  # of a life
SURROGATE_HOURS = 2000.0
Row = dict[str, str | float | bool | None]
T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What a protocol found.

    Attributes:
        metrics: by name.
        rows: one for each recording, all with the same keys; they head the columns of the table.
        trades: what other thresholds would have given; empty where the protocol tries none.
    """

    metrics: dict[str, float]
    rows: tuple[Row, ...]
    trades: tuple[Trade, ...] = ()


class Bench(Protocol):
    """A device on the test bench: recordings go through its own code.

    Training does not know that code (`edge`), so whoever evaluates hands it in.
    """

    @property
    def workload(self) -> Workload:
        """What watches."""
        ...

    def see(self, recording: Recording) -> Seen:
        """What the stages find in a recording, through the bundle's engine."""
        ...

    def watch(self, recording: Recording) -> Watched:
        """A recording through the bundle as on a device: learn first, then judge."""
        ...

    def point(self, recording: Recording) -> OperatingPoint:
        """What a recording that was seen or watched is judged by."""
        ...

    def split_of(self, recording: Recording) -> str:
        """`training`, `validation` or `test`, or `unseen`: the bundle was made without it."""
        ...

    def each(self, things: Sequence[T], named: Callable[[T], str]) -> Iterable[T]:
        """The same things, while a person sees which one's turn it is."""
        ...


def over_lives(
    recordings: Sequence[Recording],
    measure: Callable[[Sequence[Alarms]], dict[str, float]],
    bench: Bench,
) -> Measured:
    """Every recording once; what all their alarms amount to.

    Args:
        recordings: to run.
        measure: alarms of every recording -> metrics.
        bench: runs them.
    """
    alarms = [
        replay(bench.workload, bench.watch(one), bench.point(one))
        for one in bench.each(recordings, lambda one: one.name)
    ]
    return Measured(measure(alarms), tuple(_row(one, bench) for one in alarms))


def _row(one: Alarms, bench: Bench) -> Row:
    return {
        "name": one.recording.name,
        "split": bench.split_of(one.recording),
        "learn_windows": one.recording.learn_windows,
        "windows": len(one.recording),
        "first_alarm_fraction": one.first_alarm,
        "false_alarm_share_15_30": one.false_alarm_share,
        "first_alarm_level_fraction": one.first_of_level,
        "alarm_share_last_5": one.last_share,
    }


def early_and_silent(lives: Mapping[float, Sequence[Recording]], bench: Bench) -> Measured:
    """Runs to failure without a known onset, so measured that guessing early does not pay.

    A message between 15 and 30 % of life counts as found at 1.0. Everything is also reported for
    learning periods of 10, 15 and 20 % of life. Silence is measured again on surrogate healthy
    lives, many times longer than the real ones, and all that once more at other thresholds.

    Args:
        lives: the same recordings by the share of life that is learned from; the first of them is
            the one that counts.
        bench: runs them.
    """
    first, *_ = lives
    alarms: dict[float, list[Alarms]] = {share: [] for share in lives}
    tried: list[trade_off.Tried] = []
    hours = SURROGATE_HOURS / len(lives[first])
    for number, recording in enumerate(bench.each(lives[first], lambda one: one.name)):
        seen, point = bench.see(recording), bench.point(recording)
        for share, recordings in lives.items():
            watched = judge(bench.workload, replace(seen, recording=recordings[number]), point)
            alarms[share].append(replay(bench.workload, watched, point))
            if share == first:
                again = trade_off.at_other_margins(
                    bench.workload, watched, seen, point, hours=hours, seed=number
                )
                tried.append(again)
    trades = trade_off.over_lives(tried, hours=SURROGATE_HOURS)
    episodes = next(one.episodes for one in trades if one.margin == 1.0 and one.level == "notice")
    metrics = run_to_failure(alarms[first])
    metrics["surrogate_hours"] = SURROGATE_HOURS
    metrics["surrogate_episodes_per_100h"] = 100.0 * episodes / SURROGATE_HOURS
    for share in LEARN_SHARES:
        of_share = run_to_failure(alarms[share])
        metrics |= {f"{name}_at_{share:.0%}"[:-1]: value for name, value in of_share.items()}
    return Measured(metrics, tuple(_row(one, bench) for one in alarms[first]), trades)
