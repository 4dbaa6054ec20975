"""A publisher's line to the collector in miniature: queue, broker and collector on one clock."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from edge.in_flight import InFlight

RESEND_S = 5.0


class Line:
    """Does with `InFlight` what the publisher does, against a broker and a collector that obey.

    Attributes:
        waiting: numbers in the queue, in order.
        hopeless: numbers the broker takes and the collector never acknowledges.
        deadly: numbers the broker hangs up on.
        sent: every publish, in order.
        buried: poison, with the reason.
        has_collector: whether the collector is there.
    """

    def __init__(self) -> None:
        self.books = InFlight(resend_s=RESEND_S)
        self.now_s = 1000.0
        self.waiting: list[int] = []
        self.hopeless: set[int] = set()
        self.deadly: set[int] = set()
        self.sent: list[int] = []
        self.acknowledged: list[int] = []
        self.buried: dict[int, str] = {}
        self.has_collector = True
        self._packets: list[str] = []  # on their way to the broker
        self._taken: list[str] = []  # the broker has answered them, the collector not yet
        self._next_seq = 1

    def put(self, count: int = 1) -> list[int]:
        """New rows; their numbers."""
        seqs = list(range(self._next_seq, self._next_seq + count))
        self.put_late(seqs)
        self._next_seq += count
        return seqs

    def skip(self) -> int:
        """A number that is given out now and put later."""
        self._next_seq += 1
        return self._next_seq - 1

    def put_late(self, seqs: Iterable[int]) -> None:
        """Rows of these numbers."""
        for seq in seqs:
            bisect.insort(self.waiting, seq)

    def give_up(self, seq: int) -> None:
        """It is no longer in the queue, whatever the reason."""
        at = bisect.bisect_left(self.waiting, seq)
        if self.waiting[at : at + 1] == [seq]:
            del self.waiting[at]

    @property
    def under_way(self) -> dict[str, int]:
        """Number by id of what the books say is in flight."""
        return {message_id: sent.seq for message_id, sent in self.books._sent.items()}

    def drain(self) -> None:
        """One turn of the publisher's loop."""
        again, poison = self.books.overdue(self.now_s)
        self._bury(poison)
        for seq in again:
            for message_id, row in self._rows(after=seq - 1, limit=1):
                self._publish(message_id, row)
        if self.books.room:
            rows = self._rows(after=0, limit=self.books.look_at)
            by_seq = {seq: message_id for message_id, seq in rows}
            for seq in self.books.choose((seq, message_id) for message_id, seq in rows):
                self._publish(by_seq[seq], seq)

    def answer(self, count: int | None = None) -> None:
        """The broker takes packets in order, until one that it hangs up on."""
        for _ in range(len(self._packets) if count is None else min(count, len(self._packets))):
            message_id = self._packets.pop(0)
            if self._number(message_id) in self.deadly:
                self.hang_up()
                return
            self.books.answered(message_id)
            self._taken.append(message_id)

    def acknowledge(self, count: int | None = None) -> None:
        """The collector stores what the broker passes on, and says so."""
        if not self.has_collector:
            return
        taken, self._taken = self._taken[:count], self._taken[len(self._taken[:count]) :]
        ids = [i for i in taken if self._number(i) not in self.hopeless]
        done = self.books.acknowledged(ids)
        self.acknowledged += done
        for seq in done:
            self.give_up(seq)

    def hang_up(self) -> None:
        """The connection ends; acknowledgements on their way are lost with it."""
        self._packets.clear()
        self._taken.clear()
        self._bury(self.books.disconnected(self.now_s))

    def turn(self, seconds: float = 0.5) -> None:
        """Some time of an ordinary day."""
        self.drain()
        self.answer()
        self.acknowledge()
        self.now_s += seconds

    def live(self, seconds: float, *, health_s: float = 10.0) -> None:
        """An ordinary day's life: now and then there is something new."""
        end_s, next_s = self.now_s + seconds, self.now_s
        while self.now_s < end_s:
            if self.now_s >= next_s:
                self.put()
                next_s += health_s
            self.turn()

    def _rows(self, *, after: int, limit: int) -> list[tuple[str, int]]:
        at = bisect.bisect_right(self.waiting, after)
        return [(f"id-{seq}", seq) for seq in self.waiting[at : at + limit]]

    def _number(self, message_id: str) -> int:
        return int(message_id.removeprefix("id-"))

    def _publish(self, message_id: str, seq: int) -> None:
        self.sent.append(seq)
        self._packets.append(message_id)
        self.books.sent(seq, message_id, self.now_s)

    def _bury(self, poison: dict[int, str]) -> None:
        self.buried |= poison
        for seq in poison:
            self.give_up(seq)
