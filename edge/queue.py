"""What waits to be sent: the outbox on disk, and in memory what need not or cannot be there.

Health is young for a minute; acknowledged by then, as it is on every good day, it never wears out
the disk. Alerts that a full or failing disk does not take are held, sent from memory all the same,
and stored as soon as the disk takes them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from contract.messages import PRECIOUS_KINDS, Encoded, OutboxHealth
from edge.journal import Row
from edge.outbox import Outbox, OutboxFullError, as_row

log = logging.getLogger(__name__)

_YOUNG_S = 60.0
_MOST_YOUNG = 64
_MOST_HELD = 10_000  # alerts, about a kilobyte each
_AT_ONCE = 64  # rows of one commit
_TRY_EVERY_S = 1.0
_CALM_S = 60.0  # without a refusal, before the disk is called good again
_AHEAD = 1000  # numbers set aside at a time for rows that may never be on disk


class Queue:
    """An outbox with a memory. Shared between threads.

    Attributes:
        sent: publishes, counted by the publisher.
    """

    def __init__(self, outbox: Outbox) -> None:
        """Takes the outbox over; `close` closes it."""
        self.sent = 0
        self._outbox = outbox
        self._lock = threading.Lock()
        self._young: dict[int, Encoded] = {}
        self._held: dict[int, Encoded] = {}
        self._since_s: dict[int, float] = {}  # of both, monotonic
        self._states: dict[str, bytes] = {}  # that the disk did not take
        self._stored: set[int] = set()  # by the collector, but the disk does not let go of them
        self._try_s = 0.0
        self._failed_s = 0.0  # when the disk last refused something; 0: not lately
        self._last_seq = self._set_aside = outbox.last_seq
        self._acknowledged = 0
        self._dropped: Counter[str] = Counter()

    @property
    def last_seq(self) -> int:
        """The highest `seq` ever put, also over restarts; 0 before the first."""
        return self._last_seq

    @property
    def rows(self) -> int:
        """Messages that wait to be acknowledged."""
        with self._lock:
            return self._outbox.rows + len(self._since_s) - len(self._stored)

    @property
    def acknowledged(self) -> int:
        """Rows the collector has stored."""
        return self._outbox.acknowledged + self._acknowledged

    @property
    def dropped(self) -> dict[str, int]:
        """Messages given up for space, by kind."""
        return dict(self._outbox.dropped + self._dropped)

    @property
    def is_failing(self) -> bool:
        """Whether something is held that the disk did not take."""
        return bool(self._held or self._states)

    def state(self, name: str) -> bytes | None:
        """What was last put under this name."""
        return self._outbox.state(name)

    def put(self, *messages: Encoded, states: Mapping[str, bytes] | None = None) -> bool:
        """Take messages and states, as `Outbox.put` does.

        Returns:
            whether they are on disk; health alone goes there later, if at all.
        """
        if not states and all(message.kind == "health" for message in messages):
            with self._lock:
                self._keep_young(messages)
            return False
        with self._lock:
            self._note(messages)
            if self.is_failing:  # line up behind what waits, or an old state would win
                self._put_others(messages)
                self._hold(messages, states or {})
                return self._store_held()
        try:
            self._outbox.put(*messages, states=states)
        except OutboxFullError as error:
            with self._lock:
                self._hold(messages, states or {})
                self._tell(error)
            return False
        return True

    def tick(self) -> None:
        """Store what is no longer young, and what is held if the disk takes it. Called often."""
        with self._lock:
            now_s = time.monotonic()
            if self.is_failing and now_s >= self._try_s:
                self._try_s = now_s + _TRY_EVERY_S
                self._store_held()
            elif self._stored and now_s >= self._try_s:
                self._try_s = now_s + _TRY_EVERY_S
                self._delete([])
            elif self._failed_s and not self.is_failing and now_s - self._failed_s > _CALM_S:
                self._failed_s = 0.0
                log.warning("the disk takes all messages again")
            oldest_s = min((self._since_s[seq] for seq in self._young), default=now_s)
            if now_s - oldest_s > _YOUNG_S or len(self._young) > _MOST_YOUNG:
                self._store_young()

    def waiting(self, *, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows with `seq` above `after`, oldest first."""
        with self._lock:
            rows = self._outbox.waiting(after=after, limit=limit + len(self._stored))
            if self._stored:
                rows = [row for row in rows if row.seq not in self._stored][:limit]
            mine = [
                as_row(message)
                for message in (*self._held.values(), *self._young.values())
                if message.seq > after
            ]
        return sorted([*rows, *mine], key=lambda row: row.seq)[:limit] if mine else rows

    def done(self, seqs: Iterable[int]) -> None:
        """Forget what the collector has stored; numbers that are gone are passed over."""
        with self._lock:
            on_disk = [seq for seq in seqs if self._forget(seq) is None]
            if on_disk:
                self._delete(on_disk)

    def bury(self, seq: int, reason: str) -> None:
        """Put a row aside that is refused again and again, so that it holds up no others."""
        with self._lock:
            message = self._held.get(seq) or self._young.get(seq)
            if message:
                try:
                    self._outbox.put(message)
                except OutboxFullError:
                    return
                self._pop(seq)
            self._outbox.bury(seq, reason)

    def health(self) -> OutboxHealth:
        """What waits, for `Health`."""
        on_disk = self._outbox.health()
        with self._lock:
            in_memory = (*self._held.values(), *self._young.values())
            since_s = min(self._since_s.values(), default=time.monotonic())
            return msgspec.structs.replace(
                on_disk,
                rows=on_disk.rows + len(in_memory) - len(self._stored),
                bytes=on_disk.bytes + sum(len(message.payload) for message in in_memory),
                oldest_s=max(on_disk.oldest_s, time.monotonic() - since_s),
                sent=self.sent,
                acknowledged=self.acknowledged,
                dropped=self.dropped,
                held=len(self._held),
            )

    def store_all(self) -> None:
        """Leave nothing in memory that the disk takes: the service is about to end."""
        with self._lock:
            self._store_held()
            self._store_young()
            if self._stored:
                self._delete([])

    def close(self) -> None:
        """Release the files; what waits stays for the next start."""
        self.store_all()
        self._outbox.set_last_seq(self._last_seq)
        self._outbox.close()

    # All below is called with the lock held.

    def _note(self, messages: Sequence[Encoded]) -> None:
        for message in messages:
            self._last_seq = max(self._last_seq, message.seq)

    def _keep_young(self, messages: Sequence[Encoded]) -> None:
        self._note(messages)
        if self._last_seq > self._set_aside:
            self._set_aside = self._last_seq + _AHEAD
            self._outbox.set_last_seq(self._set_aside)
        for message in messages:
            self._young[message.seq] = message
            self._since_s[message.seq] = time.monotonic()

    def _store_young(self) -> None:
        rows = list(self._young.values())
        for first in range(0, len(rows), _AT_ONCE):
            some = rows[first : first + _AT_ONCE]
            for message in some:
                self._pop(message.seq)
            try:
                self._outbox.put(*some)
            except OutboxFullError:  # which has counted them as dropped
                continue

    def _put_others(self, messages: Sequence[Encoded]) -> None:
        """Readings are dropped and counted where the disk does not take them."""
        if others := [message for message in messages if message.kind not in PRECIOUS_KINDS]:
            try:
                self._outbox.put(*others)
            except OutboxFullError:
                return

    def _hold(self, messages: Sequence[Encoded], states: Mapping[str, bytes]) -> None:
        self._states.update(states)
        for message in messages:
            if message.kind in PRECIOUS_KINDS:
                self._held[message.seq] = message
                self._since_s[message.seq] = time.monotonic()
        while len(self._held) > _MOST_HELD:
            dropped = self._pop(next(iter(self._held)))
            assert dropped is not None
            self._dropped[dropped.kind] += 1

    def _store_held(self) -> bool:
        """Whether nothing is held any more."""
        if not self.is_failing:
            return True
        rows = list(self._held.values())
        try:
            for first in range(0, max(len(rows), 1), _AT_ONCE):
                some = rows[first : first + _AT_ONCE]
                # with the last of its alerts: a state that says `raised` must not come before
                is_last = first + _AT_ONCE >= len(rows)
                self._outbox.put(*some, states=self._states if is_last else None)
                for message in some:
                    self._pop(message.seq)
        except OutboxFullError as error:
            self._tell(error)
            return False
        self._states.clear()
        return True

    def _tell(self, error: OutboxFullError) -> None:
        """Once, not with every alert: a disk that is all but full takes one now and then."""
        if not self._failed_s:
            log.error("%s; alerts are held in memory and sent from there", error)
        self._failed_s = time.monotonic()

    def _delete(self, seqs: Sequence[int]) -> None:
        """Rows that cannot be deleted now would be sent again at once, and again, without end."""
        self._stored.update(seqs)
        if self._outbox.done(self._stored):
            self._stored.clear()

    def _forget(self, seq: int) -> Encoded | None:
        """One that is acknowledged; None: it is not in memory."""
        message = self._pop(seq)
        self._acknowledged += message is not None
        return message

    def _pop(self, seq: int) -> Encoded | None:
        self._since_s.pop(seq, None)
        return self._held.pop(seq, None) or self._young.pop(seq, None)
