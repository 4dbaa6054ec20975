"""What the outbox writes, in bytes: `python benchmarks/writes.py [--dir DIR] [--idle SECONDS]`.

Bytes that this process has made the kernel write, by /proc/PID/io: whole pages of 4096 bytes, each
as often as it goes to the disk. What the file system adds for itself, and the card inside, is not
in it. DIR must be on a disk: memory counts nothing.

- Alerts, put one by one by one thread, by eight threads at once, and 32 at a time; acknowledged in
  batches while more come. Beside them the plainest safe queue, a SQLite table with a commit per
  alert, for the ratio.
- A day of `vedette run` with one pipeline and nothing to say: health every ten seconds, to a real
  broker; acknowledged by a collector, and with none there.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from contract import messages
from contract.messages import Address, Alert, Command, Encoded, Stamp
from edge.clock import Clock
from edge.outbox import Outbox
from edge.outbox_file import OutboxFile
from host import broker

ROOT = Path(__file__).resolve().parents[1]
GOAL_ALERT_BYTES, GOAL_DAY_BYTES = 4096, 50e6
COUNT = 4000
CASES = ((1, 1, 0.0), (8, 1, 0.0), (8, 1, 0.01), (1, 32, 0.0))
ADDRESS = Address("vedette", "bench", "spindle")
_ACKNOWLEDGED_AT_ONCE = 50
_SETTLE_S = 20.0
_CONFIG = """
[device]
name = "bench"
state_dir = "state"
[mqtt]
host = "127.0.0.1"
port = {port}
[[pipeline]]
name = "spindle"
bundle = "{bundle}"
learn_windows = 20
[pipeline.source]
type = "simulate"
hop_s = 0.5
windows = 100000
"""


def written(pid: int | str = "self") -> int:
    """Bytes a process has made the kernel write so far, but for what it deleted before."""
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    counted = {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return counted["write_bytes"] - counted["cancelled_write_bytes"]


def alert(clock: Clock) -> Encoded:
    body = Alert(
        workload="machine_condition",
        state="raised",
        label="spectrum",
        score=1.2345678,
        threshold=1.2,
        hits=5,
        of=10,
    )
    return messages.encode(body, ADDRESS, clock.stamp(window=1))


def bursts(
    folder: Path, *, threads: int, at_once: int, count: int = COUNT, commit_s: float = 0.0
) -> float:
    """Bytes per alert, from `put` to the acknowledgement that deletes it.

    Args:
        folder: on a disk, empty.
        threads: that put at the same time.
        at_once: alerts in one `put`.
        count: alerts.
        commit_s: how much longer each commit takes; a card needs 5 to 50 ms for one.
    """
    commit = OutboxFile.insert

    def slow_commit(*arguments: Any, **options: Any) -> None:
        commit(*arguments, **options)
        time.sleep(commit_s)

    OutboxFile.insert = slow_commit  # type: ignore[method-assign]
    outbox = Outbox(folder / "outbox.db", max_bytes=64 << 20)
    clock = Clock(first_seq=1)
    order = threading.Lock()

    def work(name: str) -> None:
        for _ in range(count // threads // at_once):
            with order:
                made = [alert(clock) for _ in range(at_once)]
            outbox.put(*made, states={name: b"raised"})

    before = written()
    workers = [threading.Thread(target=work, args=(f"p{n}",)) for n in range(threads)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers) or outbox.rows:
        rows = outbox.waiting(after=0, limit=_ACKNOWLEDGED_AT_ONCE)
        outbox.done(row.seq for row in rows)
        time.sleep(0.02)
    outbox.close()
    _sync(folder)
    return (written() - before) / count


def plain(folder: Path, *, count: int = COUNT) -> float:
    """The same of a SQLite table in WAL mode, synced, with a commit per alert and per deletion."""
    db = sqlite3.connect(folder / "plain.db")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(
        "CREATE TABLE q (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, payload BLOB)"
    )
    clock = Clock(first_seq=1)
    before = written()
    for _ in range(count):
        made = alert(clock)
        with db:
            db.execute("INSERT INTO q VALUES (?, ?, ?)", (made.seq, made.id, made.payload))
        with db:
            db.execute("DELETE FROM q WHERE id = ?", (made.id,))
    db.close()
    _sync(folder)
    return (written() - before) / count


def _sync(folder: Path) -> None:
    subprocess.run(["sync", "-f", str(folder)], check=True)


def apart(what: str, folder: Path) -> float:
    """One of the above in a process of its own, so that nothing else is counted."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        program = (
            f"from pathlib import Path; from benchmarks import writes; "
            f"print(writes.{what.replace('FOLDER', f'Path({work!r})')})"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
        )
    return float(done.stdout)


@contextmanager
def acknowledging(port: int) -> Iterator[None]:
    """A collector that says to have stored everything."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)

    def on_message(_client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        got = messages.decode(message.topic, bytes(message.payload), prefix=ADDRESS.prefix)
        stamp = Stamp(ts_ns=0, mono_ns=0, boot_id="c", seq=0, clock_synced=True)
        device = Address(ADDRESS.prefix, ADDRESS.device)
        said = messages.encode(Command(name="ack", ids=[got.id]), device, stamp)
        client.publish(said.topic, said.payload, qos=1)

    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe("vedette/+/health", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def nobody(_port: int) -> Iterator[None]:
    """No collector."""
    yield


def idle(folder: Path, bundle: Path, collector: Callable, *, seconds: float) -> dict[str, float]:
    """Bytes per day and memory of the real service while nothing happens.

    Args:
        folder: on a disk, empty.
        bundle: of machine_condition.
        collector: `acknowledging` or `nobody`.
        seconds: measured, after what it takes to start and to learn.
    """
    running = broker.start(folder / "broker")
    config = folder / "edge.toml"
    config.write_text(_CONFIG.format(port=running.port, bundle=bundle.resolve()), encoding="utf-8")
    command = [sys.executable, "vedette.py", "run", "--quiet", "--config", str(config)]
    with collector(running.port), (folder / "log").open("wb") as log:
        service = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            time.sleep(_SETTLE_S)
            before, begun_s = written(service.pid), time.monotonic()
            time.sleep(seconds)
            bytes_per_s = (written(service.pid) - before) / (time.monotonic() - begun_s)
            status = Path(f"/proc/{service.pid}/status").read_text(encoding="utf-8")
            pages = dict(line.split(":", 1) for line in status.splitlines())
        finally:
            service.kill()
            service.wait()
            running.stop()
    return {
        "bytes_per_day": bytes_per_s * 86_400,
        "memory_bytes": int(pages["VmRSS"].split()[0]) * 1024,
        "most_memory_bytes": int(pages["VmHWM"].split()[0]) * 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, default=ROOT, help="on a disk (default: the checkout)")
    parser.add_argument("--idle", type=float, default=300.0, help="seconds per idle measurement")
    parser.add_argument("--bundle", type=Path, default=ROOT / "bundles" / "machine_condition")
    asked = parser.parse_args()
    table: dict[str, float] = {"plain": apart("plain(FOLDER)", asked.dir)}
    for threads, at_once, commit_s in CASES:
        name = f"{threads} threads, {at_once} at once, {commit_s * 1e3:g} ms more per commit"
        case = f"threads={threads}, at_once={at_once}, commit_s={commit_s}"
        table[name] = apart(f"bursts(FOLDER, {case})", asked.dir)
    print("| bytes written per alert, put to acknowledged | bytes | plain / this |")
    print("| --- | --- | --- |")
    for name, per_alert in table.items():
        print(f"| {name} | {per_alert:.0f} | {table['plain'] / per_alert:.1f} |")
    print(f"\nGoal in bursts: {GOAL_ALERT_BYTES} bytes.\n")
    for collector in (acknowledging, nobody):
        with tempfile.TemporaryDirectory(dir=asked.dir) as work:
            day = idle(Path(work), asked.bundle, collector, seconds=asked.idle)
        print(f"idle, {collector.__name__}: {json.dumps(day)}")
    print(f"Goal: {GOAL_DAY_BYTES:.0f} bytes per day.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
