"""The boots of each device: their order, and where their monotonic clocks began.

A device's `seq` rises over restarts and boots, so it alone is the order in which the device spoke,
in whatever order its boots are first heard of. Only a device that has lost its memory (a new card,
a container without a volume) counts from the start again: that begins a new era, which comes after
all that was before.
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


# Made so much later under a number already passed, a message is counted anew; a window that took
# long to judge is not.
_LATER_NS = 60 * 10**9


@dataclass
class Boot:
    """A row of the table `boot`; what is about `seq` is of the messages that a device numbers.

    Attributes:
        last_mono_ns: monotonic time of the message with `last_seq`.
    """

    n: int
    device: str
    boot_id: str
    era: int
    offset_ns: int | None
    first_seq: int | None
    last_seq: int | None
    last_mono_ns: int | None


def find(db: sqlite3.Connection, device: str, boot_id: str) -> Boot:
    """What is known of a boot; one that is new is taken to go on with the device's numbers."""
    select = (
        "SELECT n, device, boot_id, era, offset_ns, first_seq, last_seq, last_mono_ns FROM boot"
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

    Args:
        db: in a transaction.
        boot: from `find`; changed as its row is.
        said: new messages of that boot, each with the time of its arrival, ns since 1970.
    """
    numbered = [message for message, _ in said if message.kind in STORED_KINDS]
    for message in _place(db, boot, numbered):
        seq = message.stamp.seq
        boot.first_seq = seq if boot.first_seq is None else min(seq, boot.first_seq)
        if boot.last_seq is None or seq >= boot.last_seq:
            boot.last_seq, boot.last_mono_ns = seq, message.stamp.mono_ns
    if boot.offset_ns is None:
        offsets_ns = (dating.offset_ns(message.stamp, received_ns) for message, received_ns in said)
        boot.offset_ns = next((each for each in offsets_ns if each is not None), None)
    db.execute(
        "UPDATE boot SET era = ?, offset_ns = ?, first_seq = ?, last_seq = ?, last_mono_ns = ?"
        " WHERE n = ?",
        (*(boot.era, boot.offset_ns, boot.first_seq), *(boot.last_seq, boot.last_mono_ns, boot.n)),
    )


def _place(db: sqlite3.Connection, boot: Boot, numbered: list[Message]) -> list[Message]:
    """Begin a new era where these new messages, stored in the one before, show that one is due.

    Boots of one era share no numbers: where a boot, now and not in a replay, counts through those
    of another, all of it belongs to a new era. And within a boot numbers and time rise together:
    where a message is later under a lower number, the era begins with it.

    Returns:
        Those that are in the era in which the boot is now.
    """
    live = [message.stamp.seq for message in numbered if not message.replayed]
    anew = [message for message in numbered if _is_counted_anew(boot, message)]
    if live and _has_numbers(db, boot, min(live), max(live)):
        era = _begin_era(db, boot)
        db.executemany(
            "UPDATE message SET era = ? WHERE kind = ? AND device = ? AND boot = ? AND era = ?",
            [(boot.era, kind, boot.device, boot.n, era) for kind in STORED_KINDS],
        )
    elif anew:
        _begin_era(db, boot)
        boot.first_seq = boot.last_seq = None
        db.executemany(
            "UPDATE message SET era = ? WHERE source = ? AND id = ?",
            [(boot.era, message.address.source, message.id) for message in anew],
        )
        return anew
    return numbered


def _is_counted_anew(boot: Boot, message: Message) -> bool:
    if boot.last_seq is None or boot.last_mono_ns is None:
        return False
    is_later = message.stamp.mono_ns > boot.last_mono_ns + _LATER_NS
    return is_later and message.stamp.seq <= boot.last_seq


def _has_numbers(db: sqlite3.Connection, boot: Boot, first_seq: int, last_seq: int) -> bool:
    """Whether another boot of the era has numbers between these."""
    other = db.execute(
        "SELECT last_seq FROM boot WHERE device = ? AND era = ? AND n <> ? AND first_seq <= ?"
        " ORDER BY first_seq DESC LIMIT 1",
        (boot.device, boot.era, boot.n, last_seq),
    ).fetchone()
    return other is not None and other[0] >= first_seq


def _begin_era(db: sqlite3.Connection, boot: Boot) -> int:
    """Put a boot into a new era; the era it was in is returned."""
    (newest,) = db.execute("SELECT max(era) FROM boot WHERE device = ?", (boot.device,)).fetchone()
    before, boot.era = boot.era, newest + 1
    return before
