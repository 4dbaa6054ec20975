"""What has been sent and not yet acknowledged: when to send it again, and when to give it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 256  # rows in flight
_PASS_OVER = 16  # rows that give way at a time when all of those have waited in vain
_MOST_PASSED = 1024
_MAX_RESEND_S = 30.0
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
    one is cleared at once and a guilty one is caught. After ten strikes a row is poison, provided
    that others have been acknowledged since its first: while collector or broker are away nothing
    is, so nothing is given up. Meanwhile a few rows at a time give way to others, in case it is
    they that nobody wants.
    """

    def __init__(self, *, resend_s: float) -> None:
        self._resend_s = resend_s
        self._sent: dict[str, _Sent] = {}
        self._suspects: dict[int, None] = {}  # an ordered set, as the next
        self._passed: dict[int, None] = {}
        self._passed_s = float("-inf")
        self._strikes: Counter[int] = Counter()
        self._struck_s: dict[int, float] = {}  # time of the first strike
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
        free = [seq for seq, message_id in rows if message_id not in self._sent]
        fresh = [s for s in free if s not in self._suspects and s not in self._passed]
        suspects = [seq for seq in self._suspects if seq in set(free)]
        unanswered = [sent.seq for sent in self._sent.values() if not sent.is_answered]
        if any(seq in self._suspects for seq in unanswered):
            return []
        if suspects and (self._is_proven or not fresh):
            return [] if unanswered else suspects[:1]
        return (fresh + [seq for seq in free if seq in self._passed])[: self.room]

    def sent(self, seq: int, message_id: str, now_s: float) -> None:
        """A row goes out, for the first time or again."""
        tries = self._sent[message_id].tries + 1 if message_id in self._sent else 1
        self._sent[message_id] = _Sent(seq, now_s, tries)

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
        again: list[int] = []
        poison: dict[int, str] = {}
        for message_id, sent in list(self._sent.items()):
            if now_s - sent.sent_s <= min(self._resend_s * 2 ** (sent.tries - 1), _MAX_RESEND_S):
                continue
            if self._acked_s >= sent.sent_s:
                self._strike(sent.seq, now_s)
            if self._is_poison(sent.seq):
                why = sent.refusal or "never acknowledged by the collector"
                poison[sent.seq] = f"{why}; sent {sent.tries} times"
                del self._sent[message_id]
                self._forget(sent.seq)
            else:
                again.append(sent.seq)
        if again and not self.room and now_s - self._passed_s > self._resend_s:
            self._passed_s = now_s
            again = self._give_way(again)
        return again, poison

    def disconnected(self, now_s: float) -> dict[int, str]:
        """The connection has ended; all that was under way waits again. Poison, with the reason."""
        poison: dict[int, str] = {}
        if unanswered := [sent for sent in self._sent.values() if not sent.is_answered]:
            seq = unanswered[0].seq
            self._strike(seq, now_s)
            self._suspects[seq] = None
            if self._is_poison(seq):
                poison[seq] = f"the broker hangs up on it; {_STRIKES} times"
                self._forget(seq)
        self._sent.clear()
        self._is_proven = False
        return poison

    def _give_way(self, again: list[int]) -> list[int]:
        """Take the first few that wait in vain out of flight; the others."""
        passed = again[:_PASS_OVER]
        for message_id in [i for i, sent in self._sent.items() if sent.seq in passed]:
            del self._sent[message_id]
        self._passed |= dict.fromkeys(passed)
        while len(self._passed) > _MOST_PASSED:
            del self._passed[next(iter(self._passed))]
        return again[_PASS_OVER:]

    def _strike(self, seq: int, now_s: float) -> None:
        self._strikes[seq] += 1
        self._struck_s.setdefault(seq, now_s)

    def _is_poison(self, seq: int) -> bool:
        return self._strikes[seq] >= _STRIKES and self._acked_s > self._struck_s[seq]

    def _forget(self, seq: int) -> None:
        for books in (self._suspects, self._passed, self._strikes, self._struck_s):
            books.pop(seq, None)
