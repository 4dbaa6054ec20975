"""Evidence fetched from the devices: asked for by hash, put together from parts, kept by hash."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract.evidence import MAX_BYTES
from contract.messages import Evidence
from contract.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contract.messages import Message

_LOG = logging.getLogger("vedette.collect")

KEEP_BYTES = 1024 * 1024 * 1024
MOST_FETCHES = 8  # at a time; times the largest file, it is the most memory they can take
ASK_AGAIN_S = 10.0  # after the last word from the device
_FORGET_S = 60.0
_MOST_PARTS = 4096


class BusyError(Exception):
    """So many are being fetched that this one must wait."""


@dataclass
class Fetch:
    """What has become of one request so far.

    Attributes:
        device: that is asked.
        parts: that have come, by number.
        of: how many there will be; None: no part has come.
        is_gone: the device does not have it, or no longer.
        failure: why it cannot be had although the device has it; None: no reason so far.
        moved_s: when it was asked for or a part came, monotonic.
    """

    device: str
    parts: dict[int, bytes] = field(default_factory=dict)
    of: int | None = None
    is_gone: bool = False
    failure: str | None = None
    moved_s: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.is_gone or self.failure is not None


class Fetcher:
    """Shared between the web's threads, which ask, and the writer's, to which the parts come."""

    def __init__(self, db: Path, *, mono_s: Callable[[], float] = time.monotonic) -> None:
        """Nothing is touched yet.

        Args:
            db: of the collector; the files lie beside it, in a folder of its name.
            mono_s: a clock that never goes back, seconds.
        """
        self._shelf = Shelf(db.with_name(f"{db.name}.evidence"), max_bytes=KEEP_BYTES)
        self._mono_s = mono_s
        self._fetches: dict[str, Fetch] = {}
        self._lock = threading.Lock()

    def get(self, sha256: str) -> bytes | None:
        """The file of that hash, where it has been fetched."""
        return self._shelf.get(sha256)

    def want(self, sha256: str, device: str) -> bool:
        """Note that somebody wants it from `device`.

        Returns:
            Whether the device is to be asked, now or once more.

        Raises:
            BusyError: too many others are wanted.
        """
        now_s = self._mono_s()
        with self._lock:
            self._forget(now_s)
            fetch = self._fetches.get(sha256)
            if fetch and now_s - fetch.moved_s < ASK_AGAIN_S:
                return False
            if fetch is None or fetch.is_over:
                if fetch is None and len(self._fetches) >= MOST_FETCHES:
                    raise BusyError(f"{MOST_FETCHES} others are being fetched; try again later")
                fetch = self._fetches[sha256] = Fetch(device)
            fetch.moved_s = now_s
            return True

    def progress(self, sha256: str) -> Fetch | None:
        """How far it is; None: it has come, or nobody wants it."""
        with self._lock:
            return self._fetches.get(sha256)

    def take(self, message: Message) -> None:
        """One part that has arrived; those nobody has asked for are passed over."""
        body = message.body
        assert isinstance(body, Evidence)
        with self._lock:
            fetch = self._fetches.get(body.sha256)
            if fetch is None or fetch.is_over or fetch.device != message.address.device:
                return
            fetch.moved_s = self._mono_s()
            if body.parts == 0:
                fetch.is_gone = True
            elif fetch.of != body.parts:
                fetch.of, fetch.parts = body.parts, {}
            fetch.parts[body.part] = body.content
            size_bytes = sum(map(len, fetch.parts.values()))
            if body.parts > _MOST_PARTS or size_bytes > MAX_BYTES:
                self._fail(fetch, f"larger than {MAX_BYTES} bytes")
            if fetch.is_over or set(range(body.parts)) - fetch.parts.keys():
                return
            raw = b"".join(fetch.parts[number] for number in range(body.parts))
            if hashlib.sha256(raw).hexdigest() != body.sha256:
                self._fail(fetch, "what came is not what its hash says")
                return
            try:
                self._shelf.put(raw)
            except OSError as error:
                self._fail(fetch, f"it cannot be kept: {error.strerror}")
            else:
                del self._fetches[body.sha256]

    def _fail(self, fetch: Fetch, why: str) -> None:
        _LOG.error("evidence from %s: %s", fetch.device, why)
        fetch.failure = why
        fetch.parts = {}

    def _forget(self, now_s: float) -> None:
        stale = [name for name, one in self._fetches.items() if now_s - one.moved_s > _FORGET_S]
        for name in stale:
            del self._fetches[name]
