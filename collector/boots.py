"""The boots of each device: their order, and where their monotonic clocks began.

A device's `seq` rises over restarts and boots, so it alone is the order in which the device spoke,
in whatever order its boots are first heard of. Only a device that has lost its memory (a new card)
counts from the start again: that begins a new era, which comes after all that was before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector import dating
from contract.messages import STORED_KINDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from contract.messages import Message


@dataclass
class Boot:
    """A row of the table `boot`; `first_seq` and `last_seq` are of what the device numbers."""

    n: int
    device: str
    boot_id: str
    era: int
    offset_ns: int | None
    first_seq: int | None
    last_seq: int | None


def find(db: sqlite3.Connection, device: str, boot_id: str) -> Boot:
    """What is known of a boot; one that is new is taken to go on with the device's numbers."""
    select = (
        "SELECT n, device, boot_id, era, offset_ns, first_seq, last_seq FROM boot"
        " WHERE device = ? AND boot_id = ?"
    )
    row = db.execute(select, (device, boot_id)).fetchone()
    if row is None:
        db.execute(
            "INSERT INTO boot (device, boot_id, era)"
            " VALUES (?1, ?2, coalesce((SELECT max(era) FROM boot WHERE device = ?1), 0))",
            (device, boot_id),
        )
        row = db.execute(select, (device, boot_id)).fetchone()
    return Boot(*row)


def learn(db: sqlite3.Connection, boot: Boot, said: Sequence[tuple[Message, int]]) -> None:
    """Write down what a boot has told, one message after the other, and put it in the right era.

    Boots of one era share no numbers. Where a boot, now and not in a replay, counts through numbers
    that another has used, the device has lost its memory.

    Args:
        db: in a transaction.
        boot: from `find`; changed as its row is.
        said: new messages of that boot, each with the time of its arrival, ns since 1970.
    """
    numbered = [message for message, _ in said if message.kind in STORED_KINDS]
    live = [message.stamp.seq for message in numbered if not message.replayed]
    if live and _is_counted_again(db, boot, min(live), max(live)):
        _begin_era(db, boot)
    seqs = [message.stamp.seq for message in numbered]
    seqs += [seq for seq in (boot.first_seq, boot.last_seq) if seq is not None]
    boot.first_seq, boot.last_seq = min(seqs, default=None), max(seqs, default=None)
    if boot.offset_ns is None:
        offsets_ns = (dating.offset_ns(message.stamp, received_ns) for message, received_ns in said)
        boot.offset_ns = next((each for each in offsets_ns if each is not None), None)
    db.execute(
        "UPDATE boot SET era = ?, offset_ns = ?, first_seq = ?, last_seq = ? WHERE n = ?",
        (boot.era, boot.offset_ns, boot.first_seq, boot.last_seq, boot.n),
    )


def _is_counted_again(db: sqlite3.Connection, boot: Boot, first_seq: int, last_seq: int) -> bool:
    """Whether another boot of the era has numbers between these."""
    other = db.execute(
        "SELECT last_seq FROM boot WHERE device = ? AND era = ? AND n <> ? AND first_seq <= ?"
        " ORDER BY first_seq DESC LIMIT 1",
        (boot.device, boot.era, boot.n, last_seq),
    ).fetchone()
    return other is not None and other[0] >= first_seq


def _begin_era(db: sqlite3.Connection, boot: Boot) -> None:
    (newest,) = db.execute("SELECT max(era) FROM boot WHERE device = ?", (boot.device,)).fetchone()
    boot.era = newest + 1
    db.executemany(
        "UPDATE message SET era = ? WHERE kind = ? AND device = ? AND boot = ?",
        [(boot.era, kind, boot.device, boot.n) for kind in STORED_KINDS],
    )
