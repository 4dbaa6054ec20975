"""The table: fault, count, lost, duplicates removed, worst delay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from chaos.run import Fault, Outcome

_HOUR_NS = 3600 * 10**9
HEAD = ("fault", "count", "lost", "duplicates removed", "worst delay s")


@dataclass(frozen=True)
class Line:
    """One kind of fault.

    Attributes:
        lost: alerts raised nearest to one of them and not stored.
        copies: that the collectors recognised between the beginning of one and that of the next.
        worst_s: from raised to stored, of the alerts that waited while one lasted.
    """

    kind: str
    count: int
    lost: int
    copies: int
    worst_s: float

    def cells(self) -> tuple[str, ...]:
        """As text."""
        numbers = (self.count, self.lost, self.copies)
        return (self.kind, *map(str, numbers), f"{self.worst_s:.1f}")


def lines(outcome: Outcome) -> list[Line]:
    """One per kind of fault, and one for all."""
    kinds = list(dict.fromkeys(fault.planned.kind.name for fault in outcome.faults))
    delays = _delays(outcome)
    lost = [outcome.nearest(each.mono_s).planned.kind.name for each in outcome.lost]
    copies = _copies(outcome)
    made = []
    for kind in sorted(kinds):
        faults = [fault for fault in outcome.faults if fault.planned.kind.name == kind]
        worst_s = max((_worst(delays, fault) for fault in faults), default=0.0)
        made.append(Line(kind, len(faults), lost.count(kind), copies.get(kind, 0), worst_s))
    worst_s = max((stored - raised for raised, stored in delays), default=0) / 1e9
    total = outcome.stored.redelivered
    return [*made, Line("all", len(outcome.faults), len(lost), total, worst_s)]


def as_text(rows: Iterable[Line]) -> str:
    """A Markdown table, aligned."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    ruler = tuple("-" * width for width in widths)
    shown = [cells[0], ruler, *cells[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in shown
    )


def as_json(outcome: Outcome, **more: Any) -> dict[str, Any]:
    """Everything for machines."""
    return {
        **more,
        "faults": [
            {
                "kind": fault.planned.kind.name,
                "target": fault.planned.target,
                "seconds": round(fault.ended_s - fault.began_s, 3),
                "proof": fault.proof,
                "error": fault.error,
            }
            for fault in outcome.faults
        ],
        "table": [dict(zip(HEAD, row.cells(), strict=True)) for row in lines(outcome)],
        "raised": len(outcome.raised),
        "stored": len(outcome.stored.at_ns),
        "lost": [each.id for each in outcome.lost],
        "died": [each.id for each in outcome.died],
        "doubled": outcome.stored.doubled,
        "starts": outcome.starts,
        "exits": {
            name: [{"code": each.code, "last_words": each.last_words} for each in exits]
            for name, exits in outcome.exits.items()
            if exits
        },
        "failures": outcome.failures,
    }


def _delays(outcome: Outcome) -> list[tuple[int, int]]:
    """When each alert was raised and when stored, ns since 1970; not by a clock that was set."""
    at_ns = outcome.stored.at_ns
    pairs = [(each.wall_ns, at_ns[each.id]) for each in outcome.raised if each.id in at_ns]
    # a moment below zero: a log line is read up to 50 ms after it was written
    return [(raised, max(raised, at)) for raised, at in pairs if abs(at - raised) < _HOUR_NS]


def _worst(delays: list[tuple[int, int]], fault: Fault) -> float:
    waited = [s - r for r, s in delays if r < fault.ended_ns and s > fault.began_ns]
    return max(waited, default=0) / 1e9


def _copies(outcome: Outcome) -> dict[str, int]:
    """By the kind of the fault that had begun last when they were counted."""
    by_kind: dict[str, int] = {}
    before = 0
    for at_s, copies in outcome.copies:
        begun = [fault for fault in outcome.faults if fault.began_s <= at_s]
        if begun and copies > before:
            kind = max(begun, key=lambda fault: fault.began_s).planned.kind.name
            by_kind[kind] = by_kind.get(kind, 0) + copies - before
        before = max(copies, before)
    return by_kind
