"""A bounded memory of the last while: values averaged over slots of ten seconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from contract.spec import Array, Floats

SLOT_S = 10.0  # windows that come faster are taken together
_FEWEST = 3  # slots that are kept however old they are: some machines are looked at once an hour
_JITTER = 0.95  # of a slot: so late may a window be early


class Slots:
    """The slots of the last `span_s`, at least three."""

    def __init__(self, span_s: float) -> None:
        """Empty."""
        self._span_s = span_s
        self._room = 2 * (int(span_s / (_JITTER * SLOT_S)) + _FEWEST + 1)
        self._starts_s: Array = np.zeros(self._room)
        self._means: Floats = np.zeros((self._room, 0), dtype=np.float32)
        self._first, self._end = 0, 0  # of the slots in use
        self._windows = 0  # in the last slot

    def add(self, now_s: float, value: Floats) -> bool:
        """Take the value of one window; True where it begins a slot.

        Args:
            now_s: never less than the last time.
            value: float32, of the same shape each time.
        """
        last = self._end - 1
        if self._end > self._first and now_s - self._starts_s[last] < _JITTER * SLOT_S:
            self._windows += 1
            self._means[last] += (value - self._means[last]) / self._windows
            return False
        if self._means.shape[1:] != value.shape:
            self._means = np.zeros((self._room, *value.shape), dtype=np.float32)
        if self._end == self._room:  # move to the front; the room is twice what is ever in use
            count = self._end - self._first
            self._starts_s[:count] = self._starts_s[self._first : self._end]
            self._means[:count] = self._means[self._first : self._end]
            self._first, self._end = 0, count
        self._starts_s[self._end], self._means[self._end] = now_s, value
        self._end += 1
        self._windows = 1
        oldest_s = now_s - self._span_s + SLOT_S / 2
        while self._end - self._first > _FEWEST and self._starts_s[self._first] < oldest_s:
            self._first += 1
        return True

    @property
    def full(self) -> float:
        """How much of the span the slots cover, 0 to 1; a lone slot covers nothing."""
        count = self._end - self._first
        if count < 2:
            return 0.0
        between_s = self._starts_s[self._end - 1] - self._starts_s[self._first]
        return min(float(between_s) * count / (count - 1) / self._span_s, 1.0)

    @property
    def values(self) -> Floats:
        """(slots, ...) their means, for reading."""
        return self._means[self._first : self._end]

    def state(self) -> dict[str, Array]:
        """What `resume` takes."""
        starts_s = self._starts_s[self._first : self._end]
        return {"starts_s": starts_s.copy(), "means": self.values.astype(np.float16)}

    def resume(self, state: Mapping[str, Array]) -> None:
        """Slots of an earlier `state`; its times must be of the same clock.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays do not belong together.
        """
        starts_s, means = state["starts_s"], state["means"].astype(np.float32)
        if len(starts_s) != len(means) or len(means) > self._room:
            raise ValueError(f"{len(means)} slots of {len(starts_s)} times")
        self._means = np.zeros((self._room, *means.shape[1:]), dtype=np.float32)
        self._first, self._end, self._windows = 0, len(means), 1
        self._starts_s[: self._end], self._means[: self._end] = starts_s, means
