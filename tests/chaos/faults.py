"""Every kind of fault: what it does, how it is undone, and the proof that it has happened.

A fault that turns out to have done nothing raises `NoEffectError`: it would prove nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from chaos import oracle
from chaos.site import COLLECTORS, DEVICES, Site, await_ready, until

_EFFECT_S = 20.0  # how long a fault waits for something it can do harm to
_CONNECTION_S = 75.0  # and for a connection: a collector needs a minute to see that one is dead
_PAGE_BYTES = 4096
_NO_SPACE = "no second copy|held in memory|outbox full"
_YEAR_S = 365 * 24 * 3600

Act = Callable[[Site, str, Random, float], str]


class NoEffectError(Exception):
    """A fault found nothing to harm."""


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: in the table.
        act: does it to a target for so many seconds, undoes it, and returns the proof.
        targets: what it can be done to.
        short_s: how long it lasts in the short schedule.
        full_s: and in the full one.
        needs: what may be missing here: `network`, `disk` or `clock`.
        cost_s: what it takes beside that, about: a process starts again.
    """

    name: str
    act: Act
    targets: tuple[str, ...]
    short_s: float
    full_s: float
    needs: str = ""
    cost_s: float = 0.0


def _kill(site: Site, target: str, _rng: Random, _seconds: float) -> str:
    """SIGKILL, as the kernel does when memory is short; the supervisor starts it again."""
    unit = site.units[target]
    pid = until(unit.kill, f"{target} to kill", within_s=_EFFECT_S)
    await_ready(unit, not_pid=pid)
    return f"pid {pid} gone, {unit.pid} up"


def _stop(site: Site, target: str, _rng: Random, seconds: float) -> str:
    """SIGSTOP: everything is open and nobody answers."""
    unit = site.units[target]
    pid = until(lambda: unit.is_ready and unit.kill(signal.SIGSTOP), target, within_s=_EFFECT_S)
    try:
        until(lambda: unit.state() == "T", f"{target} in state T", within_s=2.0)
        time.sleep(seconds)
        states = unit.state()
    finally:
        unit.kill(signal.SIGCONT)
    if states != "T" or unit.pid != pid:
        raise NoEffectError(f"in state {states!r} at the end")
    return f"state T for {seconds:.0f} s"


def _amnesia(site: Site, target: str, _rng: Random, _seconds: float) -> str:
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


def _drop(site: Site, target: str, rng: Random, seconds: float) -> str:
    """Packets lost at random, in both directions: some, most, or all of them."""
    percent = rng.choice((20, 50, 100))
    site.network.drop(target, percent)
    try:
        time.sleep(seconds)
        dropped = until(
            lambda: site.network.dropped(target), "a dropped packet", within_s=_EFFECT_S
        )
    finally:
        site.network.mend(target)
    return f"{percent} %, {dropped} packets dropped"


def _connections(do: str) -> Act:
    """A command to the proxy that harms the connections there are, once."""

    def act(site: Site, target: str, _rng: Random, seconds: float) -> str:
        made = site.proxy.tell(target, "pass")["made"]
        reached = until(
            lambda: site.proxy.tell(target, do)["reached"], "a connection", within_s=_CONNECTION_S
        )
        time.sleep(seconds)
        again = site.proxy.tell(target, "pass")["made"] - made
        return f"{reached} connection, {again} made since"

    return act


def _stall(site: Site, target: str, _rng: Random, seconds: float) -> str:
    """No byte passes for a while, then all that was held back at once."""
    before = site.proxy.tell(target, "stall")["touched"]
    try:
        time.sleep(seconds)
        return f"{_touched(site, target, before)} bytes held"
    finally:
        site.proxy.tell(target, "pass")


def _delay(site: Site, target: str, rng: Random, seconds: float) -> str:
    """A slow line: 1500 bytes at a time, each after a while."""
    delay_s = rng.uniform(0.1, 0.5)
    before = site.proxy.tell(target, "delay", seconds=delay_s)["touched"]
    try:
        time.sleep(seconds)
        return f"{_touched(site, target, before)} bytes, each {delay_s:.1f} s late"
    finally:
        site.proxy.tell(target, "pass")


def _touched(site: Site, target: str, before: int) -> int:
    """Bytes mistreated since; asking repeats the present command, which changes nothing."""
    return until(
        lambda: site.proxy.tell(target, "ask")["touched"] - before, "bytes", within_s=_EFFECT_S
    )


def _full(site: Site, target: str, rng: Random, seconds: float) -> str:
    """Somebody else takes all the space, and what is freed; half the time it is killed too.

    A device is cut off as well: while its messages leave as they come it needs no more space. Nor
    does a collector before its database's log is longer than it ever was.
    """
    disk = site.disks["collector" if target in COLLECTORS else target]
    unit = site.units[target]
    began_s, began = time.monotonic(), unit.log.stat().st_size
    kill_s = seconds / 2 if rng.random() < 0.5 else seconds + _EFFECT_S
    taken, killed, noticed = 0, "", False
    if target in DEVICES:
        site.proxy.tell(target, "stall")
    if target in COLLECTORS:
        until(lambda: oracle.shorten_logs(site.stores), "a log of the collector's to shorten")
    try:
        while (so_far_s := time.monotonic() - began_s) < seconds + _EFFECT_S:
            taken += disk.fill()
            noticed = noticed or _notices(site, target, began)
            if noticed and so_far_s > kill_s and not killed and unit.kill():
                killed = ", killed meanwhile"
            if noticed and so_far_s > seconds:
                break
            time.sleep(0.1)
    finally:
        disk.empty()
        if target in DEVICES:
            site.proxy.tell(target, "pass")
    await_ready(unit)
    if not noticed:
        raise NoEffectError(f"ENOSPC after {taken} bytes, but {target} did not notice")
    return f"ENOSPC after {taken} bytes, noticed{killed}"


def _notices(site: Site, target: str, began: int) -> bool:
    """Whether it could not write: by its own word, or, of a broker that has none, by its file."""
    if target == "broker":
        database = site.disks["broker"].folder / "mosquitto.db"
        return database.exists() and database.stat().st_size == 0
    word = "nothing is stored" if target in COLLECTORS else _NO_SPACE
    return site.units[target].said(word, after=began)


def _jump(to_s: Callable[[], float]) -> Act:
    """The wall clock is set; the monotonic one goes on. Proved when the messages have arrived."""

    def act(site: Site, target: str, _rng: Random, seconds: float) -> str:
        then_ns = round(to_s() * 1e9)
        site.set_clock(target, f"{round(to_s() - time.time()):+d}")
        try:
            time.sleep(seconds)
        finally:
            site.set_clock(target, "+0")
        span_ns = (then_ns - 10**10, then_ns + 10**11)
        what = f"a message of {target} from {time.strftime('%Y', time.gmtime(then_ns / 1e9))}"
        site.to_prove.append((what, lambda: oracle.has_message(site.stores, target, span_ns)))
        return what

    return act


def _repeat(site: Site, _target: str, _rng: Random, seconds: float) -> str:
    """What was delivered long ago comes again, last first, each twice."""
    if not (said := site.rogue.repeat(seconds)):
        raise NoEffectError("nothing heard, or the broker took nothing")
    return f"{said} copies, backwards"


def _corrupt(part: str, *, is_running: bool) -> Act:
    """A page of a file of the outbox is overwritten, while rows wait in it."""

    def act(site: Site, target: str, rng: Random, seconds: float) -> str:
        unit, path = site.units[target], site.state_dir(target) / part
        site.proxy.tell(target, "stall")  # so that there is something to lose
        try:
            time.sleep(seconds)
            until(lambda: _pages(path), f"a page in {path}")
            pid = unit.pid if is_running else unit.hold()
            page = _overwrite(path, rng)
            if not is_running:
                unit.start()
                await_ready(unit, not_pid=pid)
            time.sleep(seconds)
        finally:
            site.proxy.tell(target, "pass")
        return f"page {page} of {path.name}"

    return act


def _pages(path: Path) -> list[int]:
    """The pages of a file that hold anything."""
    raw = path.read_bytes() if path.exists() else b""
    starts = range(0, len(raw) - _PAGE_BYTES + 1, _PAGE_BYTES)
    return [start // _PAGE_BYTES for start in starts if any(raw[start : start + _PAGE_BYTES])]


def _overwrite(path: Path, rng: Random) -> int:
    """Overwrite one of them with noise; one in four times the first, the header."""
    pages = _pages(path)
    page = pages[0] if rng.random() < 0.25 else rng.choice(pages)
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), rng.randbytes(_PAGE_BYTES), page * _PAGE_BYTES)
        os.fsync(file.fileno())
    return page


_BROKER = ("broker",)
_CLIENTS = (*DEVICES, *COLLECTORS)
_ALL = (*_CLIENTS, *_BROKER)

KINDS = (
    Kind("SIGKILL device", _kill, DEVICES, 0, 0, cost_s=2.5),
    Kind("SIGKILL collector", _kill, COLLECTORS, 0, 0, cost_s=2.5),
    Kind("SIGKILL broker", _kill, _BROKER, 0, 0, cost_s=2.5),
    Kind("SIGSTOP device", _stop, DEVICES, 5, 20),
    Kind("SIGSTOP collector", _stop, COLLECTORS, 5, 20),
    Kind("SIGSTOP broker", _stop, _BROKER, 5, 20),
    Kind("broker without its database", _amnesia, _BROKER, 0, 0, cost_s=2.5),
    Kind("packets dropped", _drop, _CLIENTS, 4, 15, "network"),
    Kind("half-open, both silent", _connections("dead"), _CLIENTS, 4, 20),
    Kind("half-open, broker gone", _connections("orphan"), _CLIENTS, 4, 20),
    Kind("half-closed", _connections("half-close"), _CLIENTS, 2, 10),
    Kind("reset", _connections("reset"), _CLIENTS, 1, 3),
    Kind("stalled", _stall, _CLIENTS, 4, 15),
    Kind("delayed", _delay, _CLIENTS, 4, 15),
    Kind("disk full, device", _full, DEVICES, 4, 15, "disk"),
    Kind("disk full, collector", _full, COLLECTORS, 4, 15, "disk"),
    Kind("disk full, broker", _full, _BROKER, 4, 15, "disk"),
    Kind("clock back to 1970", _jump(lambda: 0.0), DEVICES, 4, 10, "clock"),
    Kind("clock a year ahead", _jump(lambda: time.time() + _YEAR_S), DEVICES, 4, 10, "clock"),
    Kind("doubled and reordered", _repeat, _BROKER, 4, 10),
    Kind(
        "page overwritten, killed",
        _corrupt("outbox.db", is_running=False),
        DEVICES,
        1,
        4,
        cost_s=4.0,
    ),
    Kind(
        "page overwritten, running",
        _corrupt("outbox.db", is_running=True),
        DEVICES,
        1,
        4,
        cost_s=4.0,
    ),
    Kind(
        "log page overwritten",
        _corrupt("outbox.db-wal", is_running=False),
        DEVICES,
        1,
        4,
        cost_s=4.0,
    ),
    Kind(
        "journal page overwritten",
        _corrupt("outbox.journal", is_running=False),
        DEVICES,
        1,
        4,
        cost_s=4.0,
    ),
)
