"""How a detector is measured on a data set: each brings its own protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from training.datasets import Recording
    from training.metrics import Alarms
    from training.watch import Watched

Row = dict[str, str | float | bool | None]
T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What a protocol found.

    Attributes:
        metrics: by name.
        rows: one for each recording, all with the same keys; they head the columns of the table.
    """

    metrics: dict[str, float]
    rows: tuple[Row, ...]


class Bench(Protocol):
    """A device on the test bench: recordings go through its own code.

    Training does not know that code (`edge`), so whoever evaluates hands it in.
    """

    def watch(self, recording: Recording) -> Watched:
        """A recording through the bundle as on a device: learn first, then judge."""
        ...

    def alarms(self, recording: Recording) -> Alarms:
        """As `watch`, and what the workload's policy says."""
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
    alarms = [bench.alarms(one) for one in bench.each(recordings, lambda one: one.name)]
    return Measured(
        measure(alarms),
        tuple(
            {
                "name": one.recording.name,
                "split": bench.split_of(one.recording),
                "learn_windows": one.recording.learn_windows,
                "windows": len(one.recording),
                "first_alarm_fraction": one.first_alarm,
                "false_alarm_share_15_30": one.false_alarm_share,
            }
            for one in alarms
        ),
    )
