"""Processes killed, frozen, robbed of their memory or of their sense of time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

from chaos import oracle
from chaos.effect import DEAF_S, EFFECT_S, Act, NoEffectError
from chaos.site import Site, await_ready
from chaos.units import COLLECTORS
from chaos.waiting import until

_YOUNG_S = 1.5  # about what a device needs to be up
YEAR_S = 365 * 24 * 3600


def kill(site: Site, target: str, _rng: Random, _seconds: float) -> str:
    """SIGKILL, as the kernel does when memory is short; the supervisor starts it again."""
    unit = site.units[target]
    pid = until(unit.kill, f"{target} to kill", within_s=EFFECT_S)
    await_ready(unit, not_pid=pid)
    return f"pid {pid} gone, {unit.pid} up"


def kill_young(site: Site, target: str, rng: Random, _seconds: float) -> str:
    """SIGKILL again and again, each time before it is up, or hardly."""
    unit = site.units[target]
    pids = []
    for _ in range(4):
        pids.append(until(unit.kill, f"{target} to kill", within_s=EFFECT_S))
        until(lambda: unit.pid not in {0, *pids}, f"{target} started", within_s=EFFECT_S)
        time.sleep(rng.uniform(0.0, _YOUNG_S))
    await_ready(unit)
    return f"{len(pids)} times, {unit.pid} up"


def kill_all(site: Site, _target: str, _rng: Random, _seconds: float) -> str:
    """SIGKILL of everything at once."""
    pids = {name: unit.kill() for name, unit in site.units.items()}
    for name, unit in site.units.items():
        await_ready(unit, not_pid=pids[name])
    if not all(pids.values()):
        raise NoEffectError(f"some were down already: {pids}")
    return f"{len(pids)} processes gone and up again"


def stop(site: Site, target: str, _rng: Random, seconds: float) -> str:
    """SIGSTOP: everything is open and nobody answers."""
    unit = site.units[target]
    pid = until(lambda: unit.is_ready and unit.kill(signal.SIGSTOP), target, within_s=EFFECT_S)
    try:
        until(lambda: unit.state() == "T", f"{target} in state T", within_s=2.0)
        time.sleep(seconds)
        state = unit.state()
    finally:
        unit.kill(signal.SIGCONT)
    if state != "T" or unit.pid != pid:
        raise NoEffectError(f"in state {state!r} at the end")
    return f"state T for {seconds:.0f} s"


def forget(site: Site, target: str, _rng: Random, _seconds: float) -> str:
    """The broker comes back without its database: sessions, queues, retained messages gone."""
    unit, disk = site.units[target], site.disks[target]
    pid = unit.hold()
    files = list(disk.folder.glob("mosquitto.db*"))
    for file in files:
        file.unlink()
    unit.start()
    await_ready(unit, not_pid=pid)
    if not pid or not files:
        raise NoEffectError("it had nothing to forget")
    return f"{len(files)} file deleted"


def jump(to_s: Callable[[], float]) -> Act:
    """The wall clock is set; the monotonic one goes on.

    A device's messages prove it when they have arrived. A collector may have nothing to store for
    a while, so its clock stays wrong until it had.
    """

    def act(site: Site, target: str, _rng: Random, seconds: float) -> str:
        then_ns = round(to_s() * 1e9)
        span_ns = (then_ns - 10**10, then_ns + 10**12)
        what = f"a message by the clock of {target} in {time.gmtime(then_ns / 1e9).tm_year}"

        def is_shown() -> bool:
            return oracle.has_message(site.store, target, span_ns)

        site.set_clock(target, f"{round(to_s() - time.time()):+d}")
        try:
            time.sleep(seconds)
            if target in COLLECTORS:
                until(is_shown, what, within_s=DEAF_S)
            else:
                site.to_prove.append((what, is_shown))
        finally:
            site.set_clock(target, "+0")
        return what

    return act
