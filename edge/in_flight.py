"""What has been sent and not yet acknowledged: when to send it again, and when to give it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

_MOST = 256  # rows in flight while all goes well
_MAX_RESEND_S = 30.0
_STRIKES = 10


@dataclass
class _Sent:
    seq: int
    sent_s: float
    tries: int = 1
    refusal: str = ""  # the broker's word on it


class InFlight:
    """Keeps the books of one publisher. Pure: time is an argument, nothing is sent from here.

    A row gets a strike when it is not acknowledged in time although one sent no earlier was, or
    when the connection breaks while it alone is under way. Rows with strikes go behind all others.
    After ten it is poison, provided that others have been acknowledged since its first: while the
    collector or the whole connection is away nothing is, so nothing is given up.
    """

    def __init__(self, *, resend_s: float) -> None:
        self._resend_s = resend_s
        self._sent: dict[str, _Sent] = {}
        self._most = _MOST
        self._strikes: Counter[int] = Counter()
        self._struck_s: dict[int, float] = {}  # time of the first strike
        self._acked_s = float("-inf")  # when the latest row that was acknowledged was sent
        self._acked_since_connect = 0

    @property
    def room(self) -> int:
        """How many more rows may be sent now."""
        return max(self._most - len(self._sent), 0)

    @property
    def look_at(self) -> int:
        """How many of the oldest rows to choose from, so that struck ones block no others."""
        return _MOST + len(self._strikes)

    def choose(self, rows: Iterable[tuple[int, str]]) -> list[int]:
        """Which of the oldest waiting rows to send now, in this order.

        Args:
            rows: number and id of each.
        """
        free = [seq for seq, message_id in rows if message_id not in self._sent]
        return sorted(free, key=lambda seq: (self._strikes[seq], seq))[: self.room]

    def sent(self, seq: int, message_id: str, now_s: float) -> None:
        """A row goes out, for the first time or again."""
        if message_id in self._sent:
            again = self._sent[message_id]
            again.sent_s, again.tries = now_s, again.tries + 1
        else:
            self._sent[message_id] = _Sent(seq, now_s)

    def acknowledged(self, ids: Iterable[str]) -> list[int]:
        """The collector has stored these; numbers of those that were under way."""
        done = [sent for message_id in ids if (sent := self._sent.pop(message_id, None))]
        for sent in done:
            self._acked_s = max(self._acked_s, sent.sent_s)
            del self._strikes[sent.seq]
            self._struck_s.pop(sent.seq, None)
        self._acked_since_connect += len(done)
        if done:
            self._most = min(self._most * 4, _MOST)
        return [sent.seq for sent in done]

    def refused(self, message_id: str, why: str) -> None:
        """The broker has said no to a row."""
        if sent := self._sent.get(message_id):
            sent.refusal = why

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
                self._forget(message_id, sent.seq)
            else:
                again.append(sent.seq)
        return again, poison

    def disconnected(self, now_s: float) -> dict[int, str]:
        """The connection has ended; all that was under way waits again. Poison, with the reason."""
        poison: dict[int, str] = {}
        if self._sent and not self._acked_since_connect:
            if len(self._sent) == 1:
                ((message_id, sent),) = self._sent.items()
                self._strike(sent.seq, now_s)
                if self._is_poison(sent.seq):
                    why = sent.refusal or "the broker hangs up on it"
                    poison[sent.seq] = f"{why}; sent alone"
                    self._forget(message_id, sent.seq)
            self._most = 1  # whoever it was will be alone next time
        self._sent.clear()
        self._acked_since_connect = 0
        return poison

    def _strike(self, seq: int, now_s: float) -> None:
        self._strikes[seq] += 1
        self._struck_s.setdefault(seq, now_s)

    def _is_poison(self, seq: int) -> bool:
        return self._strikes[seq] >= _STRIKES and self._acked_s > self._struck_s[seq]

    def _forget(self, message_id: str, seq: int) -> None:
        del self._sent[message_id], self._strikes[seq], self._struck_s[seq]
