"""Messages made as a device makes them, and a real broker and collector as processes."""

import contextlib
import dataclasses
import itertools
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from collector.store import Received
from contract.messages import (
    PIPELINE_KINDS,
    Address,
    Alert,
    Encoded,
    Health,
    OutboxHealth,
    PipelineHealth,
    Score,
    Sensor,
    Stamp,
    decode,
)
from contract.messages import encode as encode_message
from contract.messages import replayed as mark_replayed

PREFIX = "vedette"
ROOT = Path(__file__).parents[2]
SECOND_NS = 1_000_000_000
_seq = itertools.count(1)


def stamp(**changes):
    now_ns = changes.pop("ts_ns", 1_700_000_000 * SECOND_NS)
    values = {"mono_ns": 5, "boot_id": "boot-1", "clock_synced": True, "window": 7, **changes}
    return Stamp(ts_ns=now_ns, **{"seq": next(_seq), **values})


def alert(state="raised", label="abnormal", score=2.5, **more):
    return Alert(
        workload="machine_condition",
        state=state,
        label=label,
        score=score,
        threshold=1.0,
        hits=3,
        of=4,
        **more,
    )


def a_score(value=0.5):
    return Score(workload="machine_condition", label="novelty", score=value, threshold=1.0)


def sensor(state="raised", label="stuck"):
    return Sensor(workload="machine_condition", state=state, label=label, refused=12, lasted_s=3.5)


def pipeline_health(**changes):
    values = {
        "workload": "machine_condition",
        "model_id": "0123456789ab",
        "engine": "fake 1",
        "state": "learning",
        "learned_windows": 30,
        "learn_windows": 100,
        "windows": 30,
        "windows_per_s": 10.0,
        "dropped": {"late": 2, "gap": 1},
        "alerts": 0,
        "latency_ms": {"embed": 1.5},
    }
    return PipelineHealth(**{**values, **changes})


def outbox_health(**changes):
    values = {"rows": 2, "bytes": 700, "max_bytes": 9000, "oldest_s": 0.5, "sent": 9}
    return OutboxHealth(**{**values, "acknowledged": 7, "dropped": {}, **changes})


def health(**changes):
    values = {"version": "0.1.0", "uptime_s": 60.0, "pipelines": {}, "outbox": outbox_health()}
    return Health(**{**values, **changes})


def encode(body, device="pump-1", pipeline="bearing", *, replayed=False, **stamped) -> Encoded:
    is_of_pipeline = type(body).__name__.lower() in PIPELINE_KINDS
    address = Address(PREFIX, device, pipeline if is_of_pipeline else None)
    encoded = encode_message(body, address, stamp(**stamped))
    if replayed:
        return dataclasses.replace(encoded, payload=mark_replayed(encoded.payload))
    return encoded


def arrived(encoded: Encoded, *, at_ns=1_700_000_001 * SECOND_NS) -> Received:
    return Received(decode(encoded.topic, encoded.payload, prefix=PREFIX), at_ns)


def received(body, *, at_ns=1_700_000_001 * SECOND_NS, **where) -> Received:
    return arrived(encode(body, **where), at_ns=at_ns)


def effort(db, act):
    """How much SQLite does while `act` has the database, in tens of its instructions."""
    steps = []
    db.set_progress_handler(lambda: steps.append(None), 10)
    act(db)
    db.set_progress_handler(None, 0)
    return len(steps)


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


class Collector:
    """`vedette collect` as a process of its own."""

    def __init__(self, broker_port: int, db: Path, *more: str) -> None:
        command = [sys.executable, "-m", "vedette", "collect", "--port", str(broker_port)]
        command += ["--db", str(db), "--http-port", "0", "--json", *more]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.url = json.loads(self.process.stdout.readline())["url"]

    def get(self, path: str):
        return get(self.url + path)

    def ask(self, path: str) -> tuple[int, dict]:
        """Status code and answer, also of one that is an error."""
        try:
            return 200, self.get(path)
        except urllib.error.HTTPError as error:
            with error as answer:
                return answer.code, json.load(answer)

    def text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return answer.read().decode()

    def is_healthy(self) -> bool:
        with contextlib.suppress(OSError):
            return self.get("healthz")["status"] == "ok"
        return False

    def end(self, number=signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code
