"""How each unit of the site is made: its command, its files, its way to the broker."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chaos import machine, sandbox
from chaos.disk import Disk
from chaos.network import Network
from chaos.plant import Plant
from chaos.proxy import Proxy
from chaos.supervisor import Unit

from host import broker

DEVICES = ("device-1", "device-2", "device-3")
SERVICES = DEVICES[:2]  # the third is outbox and publisher alone, and faster
COLLECTORS = ("collector-1", "collector-2")
_ENGINES = dict(zip(SERVICES, ("tflite", "onnx"), strict=True))
_HERE = Path(__file__).parent
_WATCHDOG_S = 60.0  # as in the unit file
_OUTBOX_BYTES = 16 << 20
_WINDOWS_PER_ALERT = 13.5


@dataclass(frozen=True)
class Load:
    """How much work.

    Attributes:
        seed: of what the machines sound like.
        minutes: how long the recordings must last.
        service_per_s: alerts each of the two device services raises per second, roughly.
        reduced_per_s: alerts per second of the third device, which is only outbox and publisher.
        has_clocks: whether wall clocks can be moved; it costs the units a lot of time.
    """

    seed: int
    minutes: float
    service_per_s: float = 3.0
    reduced_per_s: float = 20.0
    has_clocks: bool = True


@dataclass(frozen=True)
class Maker:
    """Makes units, none of them started."""

    folder: Path
    load: Load
    network: Network
    plant: Plant
    proxy: Proxy
    disks: dict[str, Disk]
    store: Path

    def all_units(self) -> Iterator[Unit]:
        """In the order in which they are to be started."""
        yield self._broker()
        for name in COLLECTORS:
            yield self._collector(name)
        for name in DEVICES:
            (self.disks[name].folder / name).mkdir()
            yield self._service(name) if name in SERVICES else self._reduced(name)

    def set_clock(self, unit: str, offset: str) -> None:
        """Move a unit's wall clock, in the words of faketime; never half-written."""
        new = self.folder / f"{unit}.clock.new"
        new.write_text(offset + "\n", encoding="ascii")
        new.replace(self._clock(unit))

    def _broker(self) -> Unit:
        folder = self.disks["broker"].folder

        def move_bad_db_aside(last_words: str) -> None:
            """A full disk leaves a cut database behind, which the broker then refuses to open."""
            database = folder / "mosquitto.db"
            if "Couldn't open database" in last_words and database.exists():
                database.replace(folder / f"bad-{time.time_ns()}.db")

        command = [str(broker.find_mosquitto()), "-c", str(self.plant.config)]
        ready = r"mosquitto version \S+ running"
        return Unit("broker", command, folder=self.folder, ready=ready, clean_up=move_bad_db_aside)

    def _collector(self, name: str) -> Unit:
        options = self.plant.options(name, port=self.proxy.ports[name])
        command = ["-m", "vedette", "collect", "--share", "site", "--json", *options]
        command += ["--db", str(self.store), "--http-port", "0"]
        return self._client(name, command, ready=r'(?m)^\{"url"')

    def _service(self, name: str) -> Unit:
        windows_per_s = self.load.service_per_s * _WINDOWS_PER_ALERT
        recording = self.folder / f"{name}.npz"
        windows = round(windows_per_s * self.load.minutes * 60)
        machine.record(recording, seed=self.load.seed + DEVICES.index(name), windows=windows)
        config = self.folder / f"{name}.toml"
        text = machine.config(
            name,
            state_dir=self.disks[name].folder / name,
            outbox_max_bytes=_OUTBOX_BYTES,
            recording=recording,
            engine=_ENGINES[name],
            windows_per_s=windows_per_s,
            mqtt_table=self.plant.mqtt_table(name, port=self.proxy.ports[name]),
        )
        config.write_text(text, encoding="utf-8")
        command = ["-m", "vedette", "run", "--config", str(config)]
        return self._client(name, command, ready="READY=1", watchdog_s=_WATCHDOG_S)

    def _reduced(self, name: str) -> Unit:
        table = self.folder / f"{name}.toml"
        text = self.plant.mqtt_table(name, port=self.proxy.ports[name])
        table.write_text(text, encoding="utf-8")
        program = str(_HERE.parent / "system" / "alert_device.py")
        pause_s = str(1 / self.load.reduced_per_s)
        command = [program, str(self.disks[name].folder / name), str(table), "5", "0", pause_s]
        return self._client(name, command, ready=r"(?m)^[0-9a-f]{32} \d+$")

    def _client(
        self, name: str, command: list[str], *, ready: str, watchdog_s: float | None = None
    ) -> Unit:
        """In a network of its own, with a wall clock that can be moved where there is a way to."""
        env = {}
        python = [sys.executable]
        if (library := sandbox.faketime()) and self.load.has_clocks:
            self.set_clock(name, "+0")
            env = {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock(name)),
                "FAKETIME_CACHE_DURATION": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
            python += [str(_HERE / "under_faketime.py")]
        whole = [*self.network.add(name), *python, *command]
        return Unit(name, whole, folder=self.folder, ready=ready, env=env, watchdog_s=watchdog_s)

    def _clock(self, unit: str) -> Path:
        return self.folder / f"{unit}.clock"
