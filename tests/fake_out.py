"""In place of the pipe from a capture to its parent."""

from __future__ import annotations

import numpy as np


class Taken:
    """Like `edge.capture.Out`, and keeps what it is given."""

    def __init__(self) -> None:
        self.puts: list[tuple[np.ndarray, int, float, bool]] = []

    def loaded(self) -> None:
        pass

    def put(self, data, *, t_ns: int, rate_hz: float, is_after_gap: bool = False) -> None:
        self.puts.append((data, t_ns, rate_hz, is_after_gap))
