"""Where windows come from. A file here is a source: a `Config` with a tag, and `open_source`.

`Config` is the `[pipeline.source]` table of the device's TOML file; its tag is the `type` there.
"""

from __future__ import annotations

import functools
import importlib
import operator
import pkgutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from contract.spec import Window


class SourceConfig(Protocol):
    """What the configs of all sources have in common."""

    @property
    def window_s(self) -> float:
        """Length of a window, seconds."""

    @property
    def hop_s(self) -> float:
        """From window to window, seconds."""


class Source(Protocol):
    """Yields windows until closed or at its end."""

    def windows(self) -> Iterator[Window]:
        """Windows in order. Raises SourceError when the sensor fails."""

    def close(self) -> None:
        """End `windows` soon; called from another thread."""


class Pace:
    """Lets recorded time pass at `speed` times real time; 0: as fast as possible."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._closed = threading.Event()
        self._start: tuple[float, int] | None = None

    def wait_for(self, t_ns: int) -> bool:
        """Sleep until recorded time `t_ns` is due; False once closed."""
        if self._start is None:
            self._start = (time.monotonic(), t_ns)
        if self._speed > 0:
            began, first_ns = self._start
            due = began + (t_ns - first_ns) / 1e9 / self._speed
            self._closed.wait(max(due - time.monotonic(), 0.0))
        return not self._closed.is_set()

    def now_ns(self) -> int:
        """Recorded time that is due by now; 0 where it does not pass by itself."""
        if self._start is None or self._speed == 0:
            return 0
        began, first_ns = self._start
        return first_ns + round((time.monotonic() - began) * self._speed * 1e9)

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def close(self) -> None:
        """Wake and end."""
        self._closed.set()


# after `Pace`, which the modules import from here
_modules = {
    module.name: importlib.import_module(f"{__name__}.{module.name}")
    for module in pkgutil.iter_modules(__path__)
}


def configs() -> list[Any]:
    """The `Config` struct of every source."""
    return [module.Config for module in _modules.values()]


AnyConfig: Any = functools.reduce(operator.or_, configs())


def open_source(config: SourceConfig, *, name: str, base: Path) -> Source:
    """The source a config describes.

    Args:
        config: one of the `Config` structs of this folder.
        name: the pipeline's name, for the windows.
        base: folder that relative paths in the config start from.

    Raises:
        SourceError: the sensor or file is not available.
    """
    module = _modules[type(config).__module__.rpartition(".")[2]]
    source: Source = module.open_source(config, name=name, base=base)
    return source
