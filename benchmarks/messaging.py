"""From the outbox to a committed row: how many a second, and how long one takes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import stats

from host import broker

HERE = Path(__file__).resolve().parent
GOAL_MS = 250.0
DAY_S = 86_400
GOAL_BACKLOG_S = 60


@contextmanager
def collector(port: int, version: str, db: Path) -> Iterator[None]:
    """A real `vedette collect`, connected to the broker."""
    options = ["--port", str(port), "--mqtt-version", version, "--db", str(db), "--http-port", "0"]
    with (db.with_suffix(".log")).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vedette", "collect", *options, "--json"],
            cwd=HERE.parent,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    page = json.loads(process.stdout.readline())["url"]
    while not is_healthy(page):
        time.sleep(0.05)
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def is_healthy(page: str) -> bool:
    try:
        with urllib.request.urlopen(page + "healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def python(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(HERE / script), *map(str, arguments)]


def device(*arguments: object) -> dict[str, object]:
    done = subprocess.run(
        python("device.py", *arguments), cwd=HERE.parent, capture_output=True, check=True
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


def measure(bundle: Path, work: Path, *, quick: bool) -> list[str]:
    running = broker.start(work / "broker")
    try:
        return [
            throughput(running, work, quick=quick),
            latency(running, bundle.resolve(), work, quick=quick),
            backlog(running, work, quick=quick),
        ]
    finally:
        running.stop()


def throughput(running: broker.Broker, work: Path, *, quick: bool) -> str:
    repeats, count = (1, 500) if quick else (5, 5000)
    where = running.port, running.mqtt_version
    puts, durable, bare = [], [], []
    for i in range(repeats):
        state, db = work / f"state{i}", work / f"collector{i}.db"
        filled = device("fill", state, count)
        puts.append(count / float(filled["seconds"]))
        with collector(*where, db):
            drained = device("drain", state, *where)
        with sqlite3.connect(db) as opened:
            rows, last_ns = opened.execute(
                "SELECT count(*), max(stored_ns) FROM message WHERE kind = 'alert'"
            ).fetchone()
        opened.close()
        assert rows == count, f"{rows} rows of {count} alerts"
        durable.append(count / ((last_ns - int(drained["start_ns"])) / 1e9))
        bare.append(raw(where, count, int(filled["bytes"])))
    ratio = [d / b for d, b in zip(durable, bare, strict=True)]
    head = ["what", "alerts per second"]
    rows = [
        ["outbox to committed row", stats.spread(durable, 0)],
        ["same broker, nothing stored at either end", stats.spread(bare, 0)],
        ["ratio", stats.spread(ratio, 2)],
        ["into the outbox, each one on disk before the next", stats.spread(puts, 0)],
    ]
    return f"""## 3. Alerts per second

{count} alerts of {filled["bytes"]:.0f} bytes wait in an outbox; device, {running.name} (MQTT
{running.mqtt_version}) and `vedette collect` are processes of this machine. Timed from the
device's connection to the transaction of the last row; every alert is there once. Beside it a paho
publisher at QoS 1 and a subscriber that counts, with the same payload size and as many in
flight. {repeats} repeats, alternating.

{stats.table(head, rows)}

The second line keeps nothing: it loses what is in memory when any of its three processes dies.
The first one loses nothing when any of them is killed."""


def raw(where: tuple[int, str], count: int, size: int) -> float:
    with subprocess.Popen(
        python("raw.py", "subscribe", *where, count), stdout=subprocess.PIPE, text=True
    ) as subscriber:
        assert subscriber.stdout is not None
        assert subscriber.stdout.readline() == "ready\n"
        sent = subprocess.run(
            python("raw.py", "publish", *where, count, size),
            capture_output=True,
            check=True,
            text=True,
        )
        end_ns = int(subscriber.stdout.readline())
    return count / ((end_ns - int(sent.stdout)) / 1e9)


def latency(running: broker.Broker, bundle: Path, work: Path, *, quick: bool) -> str:
    count = 10 if quick else 60
    where = running.port, running.mqtt_version
    db = work / "latency.db"
    with collector(*where, db):
        timed = device("paced", work / "paced", *where, count, bundle)
    with sqlite3.connect(db) as opened:
        stored = [
            (stored_ns - ts_ns) / 1e6
            for ts_ns, stored_ns in opened.execute(
                "SELECT ts_ns, stored_ns FROM message WHERE kind = 'alert'"
            )
        ]
    opened.close()
    assert len(stored) == count, f"{len(stored)} rows of {count} alerts"
    series = {
        "committed in the device's outbox": timed["put_ms"],
        "written to the collector's table": stored,
        "committed there, and the device told so": timed["acknowledged_ms"],
    }
    rows = [
        [name, f"{np.median(ms):.1f}", f"{np.percentile(ms, 99):.1f}", f"{max(ms):.1f}"]
        for name, ms in series.items()
    ]
    worst = float(np.percentile(timed["acknowledged_ms"], 99))
    met = "met" if worst <= GOAL_MS else "not met"
    head = ["milliseconds from the complete window until", "p50", "p99", "most"]
    return f"""## 4. Latency at one alert a second

{count} windows through the real pipeline, one alert each, then as above. The time on a row is taken
inside the transaction that commits it; the last line contains that commit and the way back to the
device, so it is more than window to committed row. With {count} alerts the p99 is close to the
slowest one.

{stats.table(head, rows)}

Goal: p99 of window to committed row at most {GOAL_MS:.0f} ms. **{met.capitalize()}**, even by the \
last line."""


def backlog(running: broker.Broker, work: Path, *, quick: bool) -> str:
    count = 1000 if quick else DAY_S
    where = running.port, running.mqtt_version
    state, db = work / "day", work / "day.db"
    device("fill", state, count)
    took_bytes = sum(file.stat().st_size for file in state.iterdir())
    with collector(*where, db):
        drained = device("drain", state, *where)
    with sqlite3.connect(db) as opened:
        rows, last_ns = opened.execute(
            "SELECT count(DISTINCT id), max(stored_ns) FROM message WHERE kind = 'alert'"
        ).fetchone()
    opened.close()
    assert rows == count, f"{rows} rows of {count} alerts"
    seconds = (last_ns - int(drained["start_ns"])) / 1e9
    met = "met" if seconds <= GOAL_BACKLOG_S else "not met"
    return f"""## 5. A day without a broker

{count} alerts, one a second for a day, wait in an outbox ({took_bytes / 1e6:.0f} MB with its second
copy). When the broker is back the last of them is committed by the collector after {seconds:.1f} s,
each once ({drained["sent"]} publishes). Once, not repeated.

Goal: a day in {GOAL_BACKLOG_S} s. **{met.capitalize()}**."""
