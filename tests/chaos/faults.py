"""Every kind of fault: what it can be done to, and for how long."""

from __future__ import annotations

import time
from dataclasses import dataclass

from chaos.effect import Act
from chaos.network_faults import connections, delay, drop, repeat, stall, steal
from chaos.process_faults import YEAR_S, forget, jump, kill, kill_all, kill_young, stop
from chaos.storage_faults import cut, fill, overwrite
from chaos.units import COLLECTORS, DEVICES


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: in the table.
        act: does it.
        targets: what it can be done to.
        short_s: how long it lasts in the short schedule.
        full_s: and in the full one.
        needs: what may be missing here: `network`, `disk` or `clock`.
        cost_s: what it takes beside that, about: a process starts again.
    """

    name: str
    act: Act
    targets: tuple[str, ...]
    short_s: float = 0.0
    full_s: float = 0.0
    needs: str = ""
    cost_s: float = 0.0


_BROKER = ("broker",)
_CLIENTS = (*DEVICES, *COLLECTORS)
SITE = "site"  # all of it
_BACK, _AHEAD = jump(lambda: 0.0), jump(lambda: time.time() + YEAR_S)

KINDS = (
    Kind("SIGKILL device", kill, DEVICES, cost_s=2.5),
    Kind("SIGKILL device, starting", kill_young, DEVICES, cost_s=7.0),
    Kind("SIGKILL collector", kill, COLLECTORS, cost_s=2.5),
    Kind("SIGKILL broker", kill, _BROKER, cost_s=1.0),
    Kind("SIGKILL everything", kill_all, (SITE,), cost_s=4.0),
    Kind("SIGSTOP device", stop, DEVICES, 5, 20),
    Kind("SIGSTOP collector", stop, COLLECTORS, 5, 20),
    Kind("SIGSTOP broker", stop, _BROKER, 5, 20),
    Kind("broker without its database", forget, _BROKER, cost_s=1.0),
    Kind("packets dropped", drop, _CLIENTS, 4, 15, "network"),
    Kind("half-open, both silent", connections("dead"), _CLIENTS, 4, 20),
    Kind("half-open, broker gone", connections("orphan"), _CLIENTS, 4, 20),
    Kind("half-closed", connections("half-close"), _CLIENTS, 2, 10),
    Kind("reset", connections("reset"), _CLIENTS, 1, 3),
    Kind("stalled", stall, _CLIENTS, 4, 15),
    Kind("delayed", delay, _CLIENTS, 4, 15),
    Kind("client id stolen", steal, DEVICES, 3, 10),
    Kind("doubled and reordered", repeat, _BROKER, 4, 10),
    Kind("disk full, device", fill, DEVICES, 4, 15, "disk"),
    Kind("disk full, collector", fill, COLLECTORS, 4, 15, "disk"),
    Kind("disk full, broker", fill, _BROKER, 4, 15, "disk"),
    Kind("clock in 1970, device", _BACK, DEVICES, 4, 10, "clock"),
    Kind("clock in 1970, collector", _BACK, COLLECTORS, 4, 10, "clock"),
    Kind("clock a year ahead, device", _AHEAD, DEVICES, 4, 10, "clock"),
    Kind("clock a year ahead, collector", _AHEAD, COLLECTORS, 4, 10, "clock"),
    Kind("page overwritten", overwrite("outbox.db", is_running=False), DEVICES, 1, 4, cost_s=3.5),
    Kind("page overwritten, running", overwrite("outbox.db", is_running=True), DEVICES, 1, 4),
    Kind("log overwritten", overwrite("outbox.db-wal", is_running=False), DEVICES, 1, 4),
    Kind("journal overwritten", overwrite("outbox.journal", is_running=False), DEVICES, 1, 4),
    Kind("file of the outbox cut", cut, DEVICES, 1, 4, cost_s=2.5),
)
