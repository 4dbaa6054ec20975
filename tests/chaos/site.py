"""The whole site: broker, two collectors, three devices, each supervised, each behind the proxy."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos import machine, sandbox
from chaos.disk import FILLER, Disk
from chaos.network import Network
from chaos.oracle import Oracle
from chaos.rogue import Rogue
from chaos.supervisor import Unit

from host import broker
from host.ports import free_port

DEVICES = ("device-1", "device-2", "device-3")
SERVICES = DEVICES[:2]  # the third is outbox and publisher alone, and faster
COLLECTORS = ("collector-1", "collector-2")
READY_S = 40.0
_HERE = Path(__file__).parent
_WATCHDOG_S = 60.0  # as in the unit file
_MIB = 1 << 20
_DISK_BYTES = {"broker": 32 * _MIB, "collector": 256 * _MIB, **dict.fromkeys(DEVICES, 32 * _MIB)}
_OUTBOX_BYTES = 16 * _MIB
_ENGINES = dict(zip(SERVICES, ("tflite", "onnx"), strict=True))
_WINDOWS_PER_ALERT = 13.5
_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 2
max_queued_messages 0
message_size_limit 262144
set_tcp_nodelay true
user root
"""


@dataclass(frozen=True)
class Plan:
    """How large and how fast.

    Attributes:
        seed: of what the machines sound like.
        minutes: how long the recordings must last.
        service_per_s: alerts each of the two device services raises per second, roughly.
        reduced_per_s: alerts per second of the third device, which is only outbox and publisher.
        has_clocks: whether their wall clocks can be moved; it costs them a lot of time.
    """

    seed: int
    minutes: float
    service_per_s: float = 3.0
    reduced_per_s: float = 20.0
    has_clocks: bool = True


class Proxy:
    """The proxy's process, and how to tell it what to do."""

    def __init__(self, folder: Path, *, host: str, upstream: int, names: tuple[str, ...]) -> None:
        self.ports = {name: free_port() for name in names}
        path = folder / "proxy.sock"
        routes = [f"{name}:{port}" for name, port in self.ports.items()]
        command = [sys.executable, str(_HERE / "proxy.py"), str(path), str(upstream), host]
        with (folder / "proxy.log").open("wb") as log:
            self._process = subprocess.Popen([*command, *routes], stderr=log)
        self._socket = socket.socket(socket.AF_UNIX)
        until(lambda: self._socket.connect_ex(str(path)) == 0, f"the proxy at {path}")
        self._answers = self._socket.makefile("rb")

    def tell(self, route: str, do: str, *, seconds: float = 0.0) -> dict[str, int]:
        """One command; `reached`: live connections it met, `touched`: bytes mistreated so far."""
        order = {"route": route, "do": do, "seconds": seconds}
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        answer: dict[str, int] = json.loads(self._answers.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._answers.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()


@dataclass
class Site:
    """All that faults can be done to.

    Attributes:
        to_prove: what must be found true in the end, or a fault has done nothing.
    """

    folder: Path
    network: Network
    proxy: Proxy
    units: dict[str, Unit]
    disks: dict[str, Disk]
    stores: list[Path]
    oracle: Oracle
    rogue: Rogue
    to_prove: list[tuple[str, Callable[[], bool]]] = field(default_factory=list)

    def state_dir(self, device: str) -> Path:
        """Where a device keeps what it must not forget."""
        return self.disks[device].folder / device

    def set_clock(self, unit: str, offset: str) -> None:
        """Move a unit's wall clock, in the words of faketime; never half-written."""
        new = self.folder / f"{unit}.clock.new"
        new.write_text(offset + "\n", encoding="ascii")
        new.replace(_clock(self.folder, unit))

    def save(self) -> None:
        """Copy what lies on the small disks to where it outlives them."""
        for name, disk in self.disks.items():
            ignore = shutil.ignore_patterns(FILLER)
            shutil.copytree(disk.folder, self.folder / "saved" / name, ignore=ignore)


def until(condition: Callable[[], Any], what: str, *, within_s: float = READY_S) -> Any:
    """The first true value of `condition`; a TimeoutError that says `what` was awaited."""
    deadline_s = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {within_s:.0f} s: {what}")
        time.sleep(0.05)
    return value


def await_ready(unit: Unit, *, not_pid: int = 0) -> None:
    """Wait until a unit is up, with another process than the one that was killed."""
    until(
        lambda: unit.is_given_up or (unit.pid != not_pid and unit.is_ready),
        f"{unit.name} up; see {unit.log}",
    )
    if unit.is_given_up:
        raise RuntimeError(f"{unit.name} has given up: {unit.exits[-1].last_words}")


@contextlib.contextmanager
def running(folder: Path, plan: Plan, *, is_real: bool) -> Iterator[Site]:
    """A site at work.

    Args:
        folder: for everything it writes.
        plan: how large and how fast.
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
        dbs = [disks["collector"].folder / "collector.db"]
        units: dict[str, Unit] = {}
        logs = {device: folder / f"{device}.log" for device in DEVICES}
        site = Site(folder, network, proxy, units, disks, dbs, Oracle(logs), Rogue(port))
        undo.callback(site.rogue.close)
        undo.callback(site.oracle.close)
        for unit in _units(site, plan, port):
            undo.callback(unit.close)
            units[unit.name] = unit
            unit.start()
        for unit in units.values():
            await_ready(unit)
        yield site


def _units(site: Site, plan: Plan, port: int) -> Iterator[Unit]:
    yield _broker(site, port)
    for name in COLLECTORS:
        yield _collector(site, plan, name)
    for device in DEVICES:
        site.state_dir(device).mkdir()
        make = _service if device in SERVICES else _reduced
        yield make(site, plan, device)


def _broker(site: Site, port: int) -> Unit:
    folder = site.disks["broker"].folder
    config = site.folder / "mosquitto.conf"
    config.write_text(_MOSQUITTO.format(port=port, folder=folder), encoding="utf-8")

    def move_bad_db_aside(last_words: str) -> None:
        """A full disk leaves a cut database behind, which the broker then refuses to open."""
        database = folder / "mosquitto.db"
        if "Couldn't open database" in last_words and database.exists():
            database.replace(folder / f"bad-{time.time_ns()}.db")

    command = [str(broker.find_mosquitto()), "-c", str(config)]
    ready = r"mosquitto version \S+ running"
    return Unit("broker", command, folder=site.folder, ready=ready, clean_up=move_bad_db_aside)


def _collector(site: Site, plan: Plan, name: str) -> Unit:
    command = ["-m", "vedette", "collect", "--share", "site", "--no-tls", "--json"]
    command += ["--host", site.network.hub, "--port", str(site.proxy.ports[name])]
    command += ["--db", str(site.stores[0]), "--http-port", "0"]
    return _client(site, plan, name, command, ready=r'(?m)^\{"url"')


def _service(site: Site, plan: Plan, device: str) -> Unit:
    windows_per_s = plan.service_per_s * _WINDOWS_PER_ALERT
    recording = site.folder / f"{device}.npz"
    windows = round(windows_per_s * plan.minutes * 60)
    machine.record(recording, seed=plan.seed + DEVICES.index(device), windows=windows)
    config = site.folder / f"{device}.toml"
    text = machine.config(
        device,
        state_dir=site.state_dir(device),
        outbox_max_bytes=_OUTBOX_BYTES,
        recording=recording,
        engine=_ENGINES[device],
        windows_per_s=windows_per_s,
        host=site.network.hub,
        port=site.proxy.ports[device],
    )
    config.write_text(text, encoding="utf-8")
    command = ["-m", "vedette", "run", "--config", str(config)]
    return _client(site, plan, device, command, ready="READY=1", watchdog_s=_WATCHDOG_S)


def _reduced(site: Site, plan: Plan, device: str) -> Unit:
    script = _HERE.parent / "system" / "alert_device.py"
    address = f"{site.network.hub}:{site.proxy.ports[device]}"
    pause_s = str(1 / plan.reduced_per_s)
    command = [str(script), str(site.state_dir(device)), address, "5", "0", pause_s]
    return _client(site, plan, device, command, ready=r"(?m)^[0-9a-f]{32} \d+$")


def _client(
    site: Site,
    plan: Plan,
    name: str,
    command: list[str],
    *,
    ready: str,
    watchdog_s: float | None = None,
) -> Unit:
    """A unit in a network of its own, whose wall clock can be moved where there is a way to."""
    env = {}
    python = [sys.executable]
    if (library := sandbox.faketime()) and plan.has_clocks:
        site.set_clock(name, "+0")
        env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(_clock(site.folder, name)),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        python += [str(_HERE / "under_faketime.py")]
    command = [*site.network.add(name), *python, *command]
    return Unit(name, command, folder=site.folder, ready=ready, env=env, watchdog_s=watchdog_s)


def _clock(folder: Path, unit: str) -> Path:
    return folder / f"{unit}.clock"
