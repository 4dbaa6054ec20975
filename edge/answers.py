"""Evidence that was asked for, part by part, slowly: an alert must not wait behind it."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable

from contract.evidence import PART_BYTES
from contract.messages import Evidence

log = logging.getLogger(__name__)

_MOST = 16  # files waiting to be sent; who is not served asks again
_PAUSE_S = 0.05  # from part to part
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Answers:
    """What is to be sent next. Pure but for `read`: time is an argument, nothing is sent from here.

    Nothing of it outlives a connection: who still wants it asks again.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        """Nothing is asked for yet.

        Args:
            read: bytes by their SHA-256; None: not there.
        """
        self._read = read
        self._asked: deque[str] = deque()
        self._parts: deque[Evidence] = deque()
        self._due_s = 0.0

    def ask(self, hashes: Iterable[str]) -> None:
        """Somebody wants these; what is asked for already is sent once."""
        for sha256 in hashes:
            is_new = sha256 not in self._asked and not self._is_under_way(sha256)
            if is_new and _DIGEST.fullmatch(sha256):
                if len(self._asked) >= _MOST:
                    log.warning("too much evidence is asked for at once; %s is not sent", sha256)
                    return
                self._asked.append(sha256)

    def forget(self) -> None:
        """The connection has ended."""
        self._asked.clear()
        self._parts.clear()

    def wait_s(self, now_s: float, *, most: float) -> float:
        """Until the next part is due, at most so long."""
        if not self._asked and not self._parts:
            return most
        return min(max(self._due_s - now_s, 0.0), most)

    def next(self, now_s: float) -> Evidence | None:
        """The part to send now; None: there is none, or it is too early."""
        if now_s < self._due_s or not (self._parts or self._asked):
            return None
        if not self._parts:
            self._parts.extend(_parts(sha256 := self._asked.popleft(), self._read(sha256)))
        self._due_s = now_s + _PAUSE_S
        return self._parts.popleft()

    def _is_under_way(self, sha256: str) -> bool:
        return bool(self._parts) and self._parts[0].sha256 == sha256


def _parts(sha256: str, raw: bytes | None) -> Iterable[Evidence]:
    if raw is None:
        yield Evidence(sha256=sha256, part=0, parts=0, content=b"")
        return
    starts = range(0, len(raw), PART_BYTES)
    for number, start in enumerate(starts):
        content = raw[start : start + PART_BYTES]
        yield Evidence(sha256=sha256, part=number, parts=len(starts), content=content)
