"""How a recorded run to failure is used: its start is healthy, its end is not."""

from __future__ import annotations

from contract.spec import Array

LEARN_SHARE = 0.15  # of the life, as in the protocol of the `pronostia` data set


def learned_until(total: int, *, share: float = LEARN_SHARE, at_least: int = 50) -> float:
    """Number, from 1, of the last snapshot a device learns from; not always whole.

    Args:
        total: snapshots in the whole life.
        share: of the life that counts as healthy.
        at_least: snapshots of the life that do in any case.
    """
    return max(share * total, at_least)


def healthy_start(
    index: Array, total: int, *, share: float = LEARN_SHARE, at_least: int = 50
) -> int:
    """How many of the kept snapshots a device learns from.

    Args:
        index: (kept,) 1-based numbers of the kept snapshots, rising.
        total: snapshots in the whole life.
        share: of the life that counts as healthy.
        at_least: snapshots of the life that do in any case.
    """
    return int((index <= learned_until(total, share=share, at_least=at_least)).sum())
