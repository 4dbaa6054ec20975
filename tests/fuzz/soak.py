"""A collector and a device at work for long, among garbage: does anybody's memory grow?

Usage: PYTHONPATH=.:tests python -m fuzz.soak [--minutes 15] [--rate 100] [--garbage 20]

Unlike `make chaos CHAOS="--soak 60"` this has a publisher that says nothing but nonsense, under the
names of devices that come and go. Exit code 1 where memory is not flat, or where an alert is lost.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

from fuzz import fuzz_decode
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from collector import queries
from host import broker

ROOT = Path(__file__).resolve().parents[2]
_LOOK_S = 10.0
_ARRIVE_S = 20.0
_WARM = 1 / 3  # of the time is left out
_FLAT_MB_PER_H = 2.0


def main(argv: list[str]) -> int:
    """Run, look, judge."""
    parser = argparse.ArgumentParser("fuzz.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float, default=100.0, help="alerts per second")
    parser.add_argument("--garbage", type=float, default=20.0, help="messages per second")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="vedette-soak-") as name, ExitStack() as stack:
        folder = Path(name)
        running = broker.start(folder / "broker")
        stack.callback(running.stop)
        collect = [sys.executable, "-m", "vedette", "collect", "--json", "--http-port", "0"]
        collect += ["--port", str(running.port), "--db", str(folder / "collector.db")]
        collector = stack.enter_context(_process(collect, folder / "collector.log"))
        assert collector.stdout is not None
        collector.stdout.readline()  # it listens
        alerts = [sys.executable, str(ROOT / "tests/system/alert_device.py"), str(folder / "d1")]
        alerts += [
            str(running.port),
            running.mqtt_version,
            "0",
            str(0.9 / arguments.rate),
        ]  # putting takes time too
        (folder / "d1").mkdir()
        device = stack.enter_context(_process(alerts, folder / "device.log"))
        raised: list[str] = []
        threading.Thread(target=_note, args=(device, raised), daemon=True).start()
        stop = threading.Event()
        stack.callback(stop.set)
        noise = (running.port, arguments.garbage, stop)
        threading.Thread(target=_say_nonsense, args=noise, daemon=True).start()
        watched = {"collector": collector, "device": device}
        wrong = _watch(watched, minutes=arguments.minutes)
        wrong += _judge(folder / "collector.db", list(raised))
        for what in wrong:
            print(what)
        return 1 if wrong else 0


def _judge(db: Path, raised: list[str]) -> list[str]:
    """What is missing of the alerts raised up to now, one line each."""
    deadline_s = time.monotonic() + _ARRIVE_S
    while True:
        with queries.reading(db) as reading:
            found = reading.execute("SELECT id FROM message WHERE device = 'd1'").fetchall()
            counters = queries.counters(reading)
        missing = set(raised) - {row[0] for row in found}
        if not missing or time.monotonic() > deadline_s:
            break
        time.sleep(1.0)
    print(
        f"{len(raised)} alerts raised, {len(missing)} missing; the collector's counts: {counters}"
    )
    return [f"lost: {one}" for one in sorted(missing)[:9]]


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _note(device: subprocess.Popen[str], raised: list[str]) -> None:
    assert device.stdout is not None
    raised.extend(line.split()[0] for line in device.stdout)


def _say_nonsense(port: int, per_s: float, stop: threading.Event) -> None:
    rng = Random(1)
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", port)
    client.loop_start()
    seeds = fuzz_decode.seeds()
    while not stop.wait(1 / per_s):
        data = fuzz_decode.mutate(rng.choice(seeds), rng) or rng.randbytes(rng.randrange(3000))
        data = data.replace(b"/d1", b"/junk-%d" % rng.randrange(10**6))
        topic, _, payload = data.partition(b"\n")
        name = topic.decode("utf-8", "replace")
        if name and not set(name) & set("+#\0"):
            client.publish(name, payload, qos=1)
    client.loop_stop()


def _watch(processes: dict[str, subprocess.Popen[str]], *, minutes: float) -> list[str]:
    """What is wrong after so long, one line each."""
    began_s = time.monotonic()
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
    while (now_s := time.monotonic() - began_s) < minutes * 60:
        for name, process in processes.items():
            if process.poll() is not None:
                return [f"{name} ended with {process.returncode}"]
            seen[name].append((now_s, _resident_mb(process.pid)))
        if len(seen["device"]) % 6 == 1:
            parts = (f"{name} {samples[-1][1]:.1f} MB" for name, samples in seen.items())
            print(f"{now_s:5.0f} s: {', '.join(parts)}", flush=True)
        time.sleep(_LOOK_S)
    wrong = []
    for name, samples in seen.items():
        at_s, mb = zip(*samples[int(len(samples) * _WARM) :], strict=True)
        slope = statistics.linear_regression(at_s, mb).slope * 3600
        print(f"{name}: {statistics.fmean(mb):.1f} MB, {slope:+.2f} MB/h", flush=True)
        if slope > _FLAT_MB_PER_H:
            wrong.append(f"{name} grows by {slope:.2f} MB/h")
    return wrong


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
