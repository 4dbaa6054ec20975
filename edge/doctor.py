"""`vedette doctor`: what `check` looks at, and the machine around it; one line and fix each."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from edge import (
    clock,
    config,
    doctor_broker,
    doctor_cameras,
    doctor_lines,
    doctor_sensors,
    engines,
    health,
    outbox_view,
)
from edge.check import EX_CONFIG, check
from edge.config import DeviceConfig
from edge.finding import Finding, show

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS = Path("/proc/self/mountinfo")
_MEMORY = Path("/proc/meminfo")
_IN_MEMORY = {"tmpfs", "ramfs", "overlay"}
_FSYNC_S = 1.0
_SLOW_FSYNC_PER_S = 10
_HOT_C = 80.0
_NEED_BYTES = 256 << 20  # a service with one pipeline, and a bundle that proves itself beside it
_QUIET_S = 120.0


def main(path: Path, *, as_json: bool) -> int:
    """Print what was found; 78 if a person must correct the config, 1 if the machine, else 0."""
    device, findings = check(path)
    if device is not None:
        findings = list(_excused(findings, path.parent / device.device.state_dir))
    is_config_ok = all(finding.is_ok for finding in findings)
    findings += _machine(device)
    if device is not None:
        findings += _around(device, path)
    show(findings, as_json=as_json)
    if not is_config_ok:
        return EX_CONFIG
    return 0 if all(finding.is_ok for finding in findings) else 1


def listen(path: Path, *, as_json: bool, seconds: float) -> int:
    """Show what the sensors of a config hear; 1 if one of them fails, else 0.

    Raises:
        ConfigError: the config is wrong.
    """
    findings, sensors = list(doctor_sensors.there_are()), []
    for pipeline in config.read(path).pipeline:
        heard, found = doctor_sensors.listen(
            pipeline,
            path.parent,
            seconds=seconds,
            each=lambda heard: as_json or print(doctor_sensors.line(heard), flush=True),  # noqa: T201
        )
        findings += found
        sensors += [heard] if heard else []
    is_ok = all(finding.is_ok for finding in findings)
    if as_json:
        report = {"ok": is_ok, "findings": findings, "sensors": sensors}
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        show(findings, as_json=False)
    return 0 if is_ok else 1


def _excused(findings: list[Finding], state_dir: Path) -> Iterator[Finding]:
    """A sensor has one reader; while that is the service, nothing is wrong."""
    service = None
    with contextlib.suppress(OSError, sqlite3.DatabaseError):
        service = outbox_view.holder(state_dir / "outbox.db")
    for finding in findings:
        if (
            service is not None
            and finding.what.startswith("source of")
            and " in use" in finding.text
        ):
            text = f"in use, as it should be while the service runs (process {service})"
            yield replace(finding, text=text, level="ok", fix=None)
        else:
            yield finding


def _machine(device: DeviceConfig | None) -> Iterator[Finding]:
    system = f"{platform.machine()}, Python {platform.python_version()}"
    yield Finding("vedette", f"{health.version()} on {system}")
    yield from _engines(device)
    if clock.kernel_synced():
        yield Finding("clock", "synchronised")
    else:
        text = "not synchronised: messages say clock_synced: false"
        yield Finding("clock", text, "warn", "timedatectl set-ntp true; a time server")
    try:
        _BOOT_ID.read_text(encoding="ascii")
        yield Finding("boot id", "readable")
    except OSError as error:
        text = f"{error.strerror}: a new one with every start"
        yield Finding("boot id", text, "warn", "leave ProcSubset=pid out of the unit")
    yield from _heat()
    yield _memory()
    yield from doctor_sensors.there_are()
    yield from doctor_cameras.there_are()
    yield from doctor_cameras.needs(device.pipeline if device else ())
    yield from doctor_lines.needs(device.pipeline if device else ())


def _engines(device: DeviceConfig | None) -> Iterator[Finding]:
    found = {name: engines.version(name) for name in engines.names()}
    for name, runtime in found.items():
        if runtime:
            yield Finding(f"engine {name}", runtime)
    for name in sorted({one.engine for one in device.pipeline if one.engine} if device else ()):
        if not found.get(name):
            fix = f"pip install 'vedette[{'edge' if name == 'tflite' else f'edge-{name}'}]'"
            yield Finding(f"engine {name}", "not installed", "fail", fix)
    if not any(found.values()):
        yield Finding("engines", "none is installed", "fail", "pip install 'vedette[edge]'")


def _heat() -> Iterator[Finding]:
    temperature_c = health.cpu_temperature_c()
    if temperature_c is not None:
        is_hot = temperature_c >= _HOT_C
        fix = "a heat sink, a fan, or shade" if is_hot else None
        yield Finding("temperature", f"{temperature_c:.0f} °C", "warn" if is_hot else "ok", fix)
    causes = health.throttled()
    if causes:
        weak = "under_voltage" in causes
        fix = "a stronger power supply" if weak else "a heat sink or a fan"
        yield Finding("throttling", ", ".join(causes), "warn", fix)
    elif causes is not None:
        yield Finding("throttling", "none")


def _memory() -> Finding:
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":") for line in _MEMORY.read_text(encoding="ascii").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
        text = f"{free >> 20} MB available"
        if free < _NEED_BYTES:
            fix = f"fewer pipelines or other programs; {_NEED_BYTES >> 20} MB are needed"
            return Finding("memory", text, "warn", fix)
        return Finding("memory", text)
    return Finding("memory", "cannot be read", "warn", "mount /proc")


def _memory_of(service: int) -> Iterator[Finding]:
    """The most it has taken, against what its unit lets it."""
    with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
        status = Path(f"/proc/{service}/status").read_text(encoding="utf-8")
        most = int(dict(line.split(":", 1) for line in status.splitlines())["VmHWM"].split()[0])
        group = Path(f"/proc/{service}/cgroup").read_text(encoding="ascii").rpartition("::/")[2]
        limit = Path("/sys/fs/cgroup", group.strip(), "memory.max").read_text(encoding="ascii")
        text = f"has taken up to {most >> 10} MB of {int(limit) >> 20} MB"
        is_tight = most * 1024 > 0.8 * int(limit)
        fix = "a higher MemoryMax= in the unit, or fewer pipelines" if is_tight else None
        yield Finding("memory of the service", text, "warn" if is_tight else "ok", fix)


def _around(device: DeviceConfig, path: Path) -> Iterator[Finding]:
    """The state directory, what waits in it, the service, the broker."""
    state_dir = path.parent / device.device.state_dir
    outbox = state_dir / "outbox.db"
    service = None
    if not state_dir.exists():
        yield Finding("outbox", "none yet: the service has not run here")
    else:
        yield from _disk(state_dir, device.device.outbox_max_bytes)
        try:
            service = outbox_view.holder(outbox)
            yield from _outbox(outbox, service)
            if service is not None:
                yield from _memory_of(service)
        except (OSError, sqlite3.DatabaseError) as error:
            yield _unseen(outbox, error)
    yield from _unit(path.stem, service)
    yield from doctor_broker.look(device, service=service)


def _disk(state_dir: Path, outbox_max_bytes: int) -> Iterator[Finding]:
    kind, options = mount(state_dir)
    free = shutil.disk_usage(state_dir).free
    said = f"{kind}, {free >> 20} MB free"
    if "ro" in options:
        fix = f"mount -o remount,rw {state_dir}; if that fails, fsck, and think of a new card"
        yield Finding("disk", f"{kind}, mounted read-only", "fail", fix)
        return
    if kind in _IN_MEMORY:
        fix = "device.state_dir on a disk"
        yield Finding("disk", f"{said}; what waits is lost with the power", "warn", fix)
    elif free < outbox_max_bytes:
        text = f"{said}, less than the outbox may take ({outbox_max_bytes >> 20} MB)"
        yield Finding("disk", text, "warn", "free space there, or a smaller outbox_max_bytes")
    else:
        yield Finding("disk", said)
    yield _fsync(state_dir)


def mount(folder: Path) -> tuple[str, list[str]]:
    """Type and options of the file system a folder lies on."""
    best, found = -1, ("unknown file system", [""])
    where = folder.resolve()
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text(encoding="utf-8").splitlines():
            left, _, right = line.partition(" - ")
            point, options = left.split()[4:6]
            place = Path(point.replace("\\040", " "))
            if where.is_relative_to(place) and len(place.parts) >= best:
                best = len(place.parts)
                of_all = right.split()
                found = of_all[0], [*options.split(","), *of_all[2].split(",")]
    return found


def _fsync(state_dir: Path) -> Finding:
    """How many alerts one after the other the disk can promise per second."""
    try:
        with tempfile.TemporaryFile(dir=state_dir) as file:
            times, begun_s = 0, time.monotonic()
            while (took_s := time.monotonic() - begun_s) < _FSYNC_S and times < 100:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
                times += 1
    except PermissionError as error:
        return _unseen(state_dir, error)
    except OSError as error:
        text = f"{state_dir}: {error.strerror}"
        return Finding("writing", text, "fail", "free space there, or a new card")
    per_s = times / took_s
    is_slow = per_s < _SLOW_FSYNC_PER_S
    fix = "a faster card: each alert waits for one of them" if is_slow else None
    return Finding("writing", f"{per_s:.0f} synced writes/s", "warn" if is_slow else "ok", fix)


def _outbox(path: Path, service: int | None) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("outbox", "none yet: the service has not run here")
        return
    seen = outbox_view.view(path)
    kinds = ", ".join(f"{count} {kind}" for kind, count in seen.kinds.items())
    text = "nothing waits"
    if seen.kinds:
        text = f"{kinds} waiting, the oldest for {seen.oldest_s:.0f} s"
    if seen.oldest_s > _QUIET_S and service is not None:
        fix = "start the collector, or see why it does not acknowledge: its own log"
        yield Finding("outbox", f"{text}; nobody acknowledges", "warn", fix)
    else:
        yield Finding("outbox", text)
    for seq, kind, reason in seen.dead:
        text = f"number {seq}, {kind}: {reason}"
        yield Finding("dead letter", text, "warn", "mend the reason; tried again at every start")
    if seen.dead_rows > len(seen.dead):
        text = f"{seen.dead_rows - len(seen.dead)} more"
        yield Finding("dead letters", text, "warn", "mend the reasons above")
    if seen.aside:
        text = f"{len(seen.aside)} damaged files kept: {', '.join(seen.aside)}"
        fix = f"a new card, if it goes on; rm {path.parent}/*.corrupt-*"
        yield Finding("damage", text, "warn", fix)


def _unseen(path: Path, error: Exception) -> Finding:
    if isinstance(error, PermissionError):
        text = f"{path}: {getpass.getuser()} may not look into it"
        return Finding("outbox", text, "warn", "sudo vedette doctor ...")
    fix = "run it again; if it stays, restart the service, which mends it"
    return Finding("outbox", f"{path}: cannot be read: {error}", "warn", fix)


def _unit(instance: str, service: int | None) -> Iterator[Finding]:
    """What systemd says of the unit of this config file, where there is one."""
    unit = f"vedette-edge@{instance}"
    said: dict[str, str] = {}
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        wanted = "LoadState,ActiveState,SubState,StatusText,NRestarts,Result"
        command = ["systemctl", "show", unit, f"--property={wanted}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        said = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if said.get("LoadState") == "loaded" and said.get("ActiveState") != "inactive":
        word = said.get("StatusText") or "no word"
        state = f"{said.get('ActiveState')} ({said.get('SubState')}): {word}"
        if said.get("ActiveState") == "failed":
            fix = f"journalctl -u {unit} -n 20, then systemctl restart {unit}"
            yield Finding("service", f"failed: {said.get('Result')}", "fail", fix)
        elif said.get("NRestarts", "0") != "0":
            text = f"{state}; restarted {said['NRestarts']} times"
            yield Finding("service", text, "warn", f"journalctl -u {unit} -p warning")
        else:
            yield Finding("service", state)
    elif service is not None:
        yield Finding("service", f"runs as process {service}")
    else:
        yield Finding("service", "does not run", "warn", f"systemctl start {unit}")
