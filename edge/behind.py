"""Work that may wait, in a thread of its own: what is told of a part must not hold up the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_MOST = 64  # waiting; beyond that whoever brings more waits as well


class Behind:
    """Does what it is given, in order; a failure is raised where the next work is given."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._is_busy = self._is_closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"tell {name}", daemon=True)
        self._thread.start()

    def __call__(self, work: Callable[[], None]) -> None:
        """Have it done after all that was given before."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _MOST or self._failure)
            self._raise()
            self._waiting.append(work)
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait until all is done."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._is_busy) or self._failure)
            self._raise()

    def close(self) -> None:
        """Do the rest and end the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while (work := self._next()) is not None:
                work()
        except BaseException as error:  # noqa: BLE001 raised where the process ends by it
            self._failure = error
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None
            self._is_busy = True
            return self._waiting.popleft()
