"""Disks that are full, files that are not what was written."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

from chaos import oracle
from chaos.effect import EFFECT_S, Act, NoEffectError
from chaos.site import Site, await_ready
from chaos.units import COLLECTORS, DEVICES
from chaos.waiting import until

_BLOCK_BYTES = 4096
_NO_SPACE = "no second copy|held in memory|outbox full"


def fill(site: Site, target: str, rng: Random, seconds: float) -> str:
    """Somebody else takes all the space, and what is freed; half the time it is killed too.

    A device is cut off as well: while its messages leave as they come it needs no more space. Nor
    does a collector before its database's log is longer than it ever was.
    """
    disk = site.disks["collector" if target in COLLECTORS else target]
    unit = site.units[target]
    began_s, began = time.monotonic(), unit.log.stat().st_size
    kill_s = seconds / 2 if rng.random() < 0.5 else seconds + EFFECT_S
    taken, killed, noticed = 0, "", False
    if target in DEVICES:
        site.proxy.tell(target, "stall")
    if target in COLLECTORS:
        until(lambda: oracle.shorten_log(site.store), "a log of the collectors' to shorten")
    try:
        while (so_far_s := time.monotonic() - began_s) < seconds + EFFECT_S:
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


def overwrite(part: str, *, is_running: bool) -> Act:
    """4 kB of a file of the outbox are overwritten with noise, while rows wait in it."""

    def act(site: Site, target: str, rng: Random, seconds: float) -> str:
        unit, path = site.units[target], site.state_dir(target) / part
        site.proxy.tell(target, "stall")  # so that there is something to lose
        try:
            time.sleep(seconds)
            until(lambda: _blocks(path), f"anything in {path}", within_s=EFFECT_S)
            pid = unit.pid if is_running else unit.hold()
            at = _overwrite(path, rng)
            if not is_running:
                unit.start()
                await_ready(unit, not_pid=pid)
            time.sleep(seconds)
        finally:
            site.proxy.tell(target, "pass")
        return f"{path.name} at {at}"

    return act


def cut(site: Site, target: str, rng: Random, seconds: float) -> str:
    """A file of the outbox is cut short or gone after a crash; never both copies."""
    unit = site.units[target]
    path = site.state_dir(target) / rng.choice(("outbox.db", "outbox.db-wal", "outbox.journal"))
    site.proxy.tell(target, "stall")
    try:
        time.sleep(seconds)
        until(lambda: path.stat().st_size, f"something in {path}", within_s=EFFECT_S)
        pid = unit.hold()
        size = path.stat().st_size
        left = rng.choice((None, 0, rng.randrange(size)))
        if left is None:
            path.unlink()
        else:
            os.truncate(path, left)
        unit.start()
        await_ready(unit, not_pid=pid)
    finally:
        site.proxy.tell(target, "pass")
    return f"{path.name} of {size} bytes {'deleted' if left is None else f'cut to {left}'}"


def _blocks(path: Path) -> list[int]:
    """Where those blocks of a file begin that hold anything; the last one may be short."""
    raw = path.read_bytes() if path.exists() else b""
    return [at for at in range(0, len(raw), _BLOCK_BYTES) if any(raw[at : at + _BLOCK_BYTES])]


def _overwrite(path: Path, rng: Random) -> int:
    """Overwrite one of them; one in four times the first, the header. Where it begins."""
    blocks = _blocks(path)
    at = blocks[0] if rng.random() < 0.25 else rng.choice(blocks)
    size = min(_BLOCK_BYTES, path.stat().st_size - at)
    with path.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), rng.randbytes(size), at)
        os.fsync(file.fileno())
    return at
