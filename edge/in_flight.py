"""What has been sent and not yet acknowledged: when to send it again, and when to give it up."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 256  # rows in flight
_PASS_OVER = 16  # rows that give way at a time when all of those have waited in vain
_MOST_PASSED = 1024
_MAX_RESEND_S = 30.0
_MOST_DOUBLINGS = 16
_STRIKES = 10


@dataclass
class _Sent:
    seq: int
    sent_s: float
    tries: int = 1
    is_answered: bool = False  # by the broker, well or ill
    refusal: str = ""


class InFlight:
    """Keeps the books of one publisher. Pure: time is an argument, nothing is sent from here.

    A row gets a strike when it is not acknowledged in time although one sent no earlier was, and
    when the connection breaks before the broker has answered it, and those before it. The latter
    makes it a suspect: it is sent again alone, when nothing else is unanswered, so that an innocent
    one is cleared at once and a guilty one is caught. After ten strikes a row is poison. A strike
    counts only when others have been acknowledged since the last: while collector or broker are
    away nothing is, so nothing is given up. Meanwhile a few rows at a time give way to others, in
    case it is they that nobody wants.
    """

    def __init__(self, *, resend_s: float) -> None:
        self._resend_s = resend_s
        self._sent: dict[str, _Sent] = {}
        self._due: dict[str, _Sent] = {}  # to be sent again; those that are not have left the queue
        self._suspects: dict[int, None] = {}  # an ordered set, as the next
        self._passed: dict[int, None] = {}
        self._passed_s = float("-inf")
        self._strikes: Counter[int] = Counter()
        self._struck_s: dict[int, float] = {}  # time of the last strike
        self._acked_s = float("-inf")  # when the latest row that was acknowledged was sent
        self._is_proven = False  # the broker has answered a row on this connection

    @property
    def look_at(self) -> int:
        """How many of the oldest rows to choose from, so that those held back hide no others."""
        return _MOST + len(self._suspects) + len(self._passed)

    @property
    def room(self) -> int:
        """How many more rows may be in flight."""
        return max(_MOST - len(self._sent), 0)

    def choose(self, rows: Iterable[tuple[int, str]]) -> list[int]:
        """Which of the oldest waiting rows to send now, in this order.

        Args:
            rows: number and id of each.
        """
        shown = list(rows)
        self._forget_the_gone([seq for seq, _ in shown])
        free = [seq for seq, message_id in shown if message_id not in self._sent]
        fresh = [s for s in free if s not in self._suspects and s not in self._passed]
        waiting = set(free)
        suspects = [seq for seq in self._suspects if seq in waiting]
        unanswered = [sent.seq for sent in self._sent.values() if not sent.is_answered]
        if any(seq in self._suspects for seq in unanswered):
            return []
        if suspects and (self._is_proven or not fresh):
            return [] if unanswered else suspects[:1]
        return (fresh + [seq for seq in free if seq in self._passed])[: self.room]

    def sent(self, seq: int, message_id: str, now_s: float) -> None:
        """A row goes out, for the first time or again; the latest comes last in the books."""
        before = self._due.pop(message_id, None) or self._sent.pop(message_id, None)
        self._sent[message_id] = _Sent(seq, now_s, before.tries + 1 if before else 1)

    def answered(self, message_id: str, refusal: str = "") -> None:
        """The broker has taken a row, or said why not; either way it has not hung up on it."""
        if sent := self._sent.get(message_id):
            self._is_proven = sent.is_answered = True
            sent.refusal = refusal
            self._suspects.pop(sent.seq, None)

    def acknowledged(self, ids: Iterable[str]) -> list[int]:
        """The collector has stored these; numbers of those that were under way."""
        done = [sent for message_id in ids if (sent := self._sent.pop(message_id, None))]
        for sent in done:
            self._acked_s = max(self._acked_s, sent.sent_s)
            self._forget(sent.seq)
        return [sent.seq for sent in done]

    def overdue(self, now_s: float) -> tuple[list[int], dict[int, str]]:
        """Rows to send again, and poison with the reason; the latter are no longer under way."""
        self._due.clear()
        poison: dict[int, str] = {}
        for message_id, sent in list(self._sent.items()):
            pause_s = self._resend_s * 2 ** min(sent.tries - 1, _MOST_DOUBLINGS)
            if now_s - sent.sent_s <= min(pause_s, _MAX_RESEND_S):
                continue
            if self._acked_s >= sent.sent_s:
                self._strike(sent.seq, now_s)
            if self._strikes[sent.seq] >= _STRIKES:
                why = sent.refusal or "never acknowledged by the collector"
                poison[sent.seq] = f"{why}; sent {sent.tries} times"
                del self._sent[message_id]
                self._forget(sent.seq)
            else:
                self._due[message_id] = sent
        if self._due and not self.room and now_s - self._passed_s > self._resend_s:
            self._passed_s = now_s
            self._give_way()
        for message_id in self._due:
            del self._sent[message_id]
        return [sent.seq for sent in self._due.values()], poison

    def disconnected(self, now_s: float) -> dict[int, str]:
        """The connection has ended; all that was under way waits again. Poison, with the reason."""
        poison: dict[int, str] = {}
        if unanswered := [sent for sent in self._sent.values() if not sent.is_answered]:
            seq = unanswered[0].seq
            self._suspects[seq] = None
            if self._acked_s > self._struck_s.get(seq, float("-inf")):
                self._strike(seq, now_s)
            if self._strikes[seq] >= _STRIKES:
                poison[seq] = f"the broker hangs up on it; {_STRIKES} times"
                self._forget(seq)
        self._sent.clear()
        self._due.clear()
        self._is_proven = False
        return poison

    def _give_way(self) -> None:
        """Take the first few that wait in vain out of flight."""
        for message_id in list(itertools.islice(self._due, _PASS_OVER)):
            del self._sent[message_id]
            self._passed[self._due.pop(message_id).seq] = None
        while len(self._passed) > _MOST_PASSED:
            del self._passed[next(iter(self._passed))]

    def _strike(self, seq: int, now_s: float) -> None:
        self._strikes[seq] += 1
        self._struck_s[seq] = now_s

    def _forget_the_gone(self, oldest: list[int]) -> None:
        """Rows may leave the queue unacknowledged, for want of space."""
        books = self._suspects.keys() | self._passed.keys() | self._struck_s.keys()
        last = oldest[-1] if len(oldest) >= self.look_at else float("inf")
        for seq in books - set(oldest) - {sent.seq for sent in self._sent.values()}:
            if seq <= last:
                self._forget(seq)

    def _forget(self, seq: int) -> None:
        for books in (self._suspects, self._passed, self._strikes, self._struck_s):
            books.pop(seq, None)
