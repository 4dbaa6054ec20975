"""The whole site: broker, two collectors, three devices, each supervised, each behind the proxy."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.disk import FILLER, Disk
from chaos.network import Network
from chaos.oracle import Oracle
from chaos.plant import ROGUE, Plant
from chaos.proxy import Proxy
from chaos.rogue import Rogue
from chaos.supervisor import Unit
from chaos.units import COLLECTORS, DEVICES, Load, Maker
from chaos.waiting import until

from host.ports import free_port

_MIB = 1 << 20
_DISK_BYTES = {"broker": 32 * _MIB, "collector": 256 * _MIB, **dict.fromkeys(DEVICES, 32 * _MIB)}


@dataclass
class Site:
    """All that faults can be done to.

    Attributes:
        port: of the broker itself, behind the proxy.
        disks: of the broker, of the collectors together, and of each device.
        store: the collectors' database.
        set_clock: moves a unit's wall clock, in the words of faketime.
        to_prove: what must be found true in the end, or a fault has done nothing.
    """

    folder: Path
    port: int
    network: Network
    plant: Plant
    proxy: Proxy
    disks: dict[str, Disk]
    store: Path
    units: dict[str, Unit]
    set_clock: Callable[[str, str], None]
    oracle: Oracle
    rogue: Rogue
    to_prove: list[tuple[str, Callable[[], bool]]] = field(default_factory=list)

    def state_dir(self, device: str) -> Path:
        """Where a device keeps what it must not forget."""
        return self.disks[device].folder / device

    def save(self) -> None:
        """Copy what lies on the small disks to where it outlives them."""
        for name, disk in self.disks.items():
            ignore = shutil.ignore_patterns(FILLER)
            shutil.copytree(disk.folder, self.folder / "saved" / name, ignore=ignore)


def await_ready(unit: Unit, *, not_pid: int = 0) -> None:
    """Wait until a unit is up, with another process than the one that was killed."""
    until(
        lambda: unit.is_given_up or (unit.pid != not_pid and unit.is_ready),
        f"{unit.name} up; see {unit.log}",
    )
    if unit.is_given_up:
        raise RuntimeError(f"{unit.name} has given up: {unit.exits[-1].last_words}")


@contextlib.contextmanager
def running(folder: Path, load: Load, *, is_real: bool) -> Iterator[Site]:
    """A site at work.

    Args:
        folder: for everything it writes.
        load: how much work.
        is_real: in the sandbox, with networks and disks of their own.
    """
    with contextlib.ExitStack() as undo:
        network, port = Network(is_real=is_real), free_port()
        proxy = Proxy(folder, host=network.hub, upstream=port, names=(*DEVICES, *COLLECTORS))
        undo.callback(proxy.close)
        disks = {
            name: Disk(folder / "disks" / name, size_bytes=size, is_real=is_real)
            for name, size in _DISK_BYTES.items()
        }
        for disk in disks.values():
            undo.callback(disk.close)
        database = disks["broker"].folder
        plant = Plant(folder / "plant", host=network.hub, port=port, database=database)
        plant.add("device", *DEVICES)
        plant.add("collector", *COLLECTORS)
        plant.add("viewer", ROGUE)
        store = disks["collector"].folder / "collector.db"
        maker = Maker(folder, load, network, plant, proxy, disks, store)
        units: dict[str, Unit] = {}
        for unit in maker.all_units():
            undo.callback(unit.close)
            units[unit.name] = unit
            unit.start()
        oracle = Oracle({device: units[device].log for device in DEVICES})
        undo.callback(oracle.close)
        for unit in units.values():
            await_ready(unit)
        rogue = Rogue(port, plant.context(ROGUE))
        undo.callback(rogue.close)
        yield Site(
            folder, port, network, plant, proxy, disks, store, units, maker.set_clock, oracle, rogue
        )
