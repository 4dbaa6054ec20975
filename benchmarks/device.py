"""A device reduced to what a benchmark needs; the outbox, publisher and pipeline are the real ones.

    device.py fill STATE_DIR COUNT          put alerts into the outbox, nothing is sent
    device.py drain STATE_DIR PORT VERSION  send them until the collector has stored all
    device.py paced STATE_DIR PORT VERSION COUNT BUNDLE   one window, one alert a second

Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from contract import messages
from contract.messages import Address, Alert, Encoded
from edge.clock import Clock
from edge.config import Mqtt
from edge.outbox import Outbox
from edge.publisher import Publisher

ADDRESS = Address("vedette", "bench", "spindle")


def alert(clock: Clock, number: int, wall_ns: int) -> Encoded:
    body = Alert(
        workload="machine_condition",
        state="raised",
        label="spectrum",
        score=1.2345678,
        threshold=1.2,
        hits=5,
        of=10,
    )
    return messages.encode(body, ADDRESS, clock.stamp(wall_ns=wall_ns, window=number))


def fill(outbox: Outbox, count: int) -> dict[str, float]:
    clock = Clock(first_seq=outbox.last_seq + 1)
    made = [alert(clock, i, time.time_ns()) for i in range(count)]
    start = time.perf_counter()
    for message in made:
        outbox.put(message)
    return {"seconds": time.perf_counter() - start, "bytes": len(made[0].payload)}


def publishing(
    outbox: Outbox, clock: Clock, port: str, version: str, work: Callable[[Publisher], None]
) -> None:
    """Run the publisher's thread while `work` goes on, and until nothing waits."""
    config = Mqtt(host="127.0.0.1", port=int(port), version=version)  # type: ignore[arg-type]
    publisher = Publisher(config, ADDRESS.device, outbox, clock)
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    work(publisher)
    while outbox.health().rows:
        time.sleep(0.002)
    stop.set()
    publisher.wake()
    thread.join()


def drain(outbox: Outbox, port: str, version: str) -> dict[str, float]:
    times = {}

    def wait(publisher: Publisher) -> None:
        while not publisher.is_connected:
            time.sleep(0.001)
        times["start_ns"] = time.time_ns()

    publishing(outbox, Clock(first_seq=outbox.last_seq + 1), port, version, wait)
    return {**times, "sent": outbox.sent}


def paced(outbox: Outbox, port: str, version: str, count: int, bundle: Path) -> dict[str, object]:
    """Milliseconds from the complete window to the outbox, and to the collector's word for it."""
    from edge.bundle import Bundle
    from edge.pipeline import Pipeline
    from edge.profile import ProfileMemory

    opened = Bundle.open(bundle)
    point = opened.manifest.operating_point
    memory = ProfileMemory(opened.workload, opened.model_id, point, learn_windows=4)
    pipeline = Pipeline(opened.workload, opened.engines, memory)
    windows = [opened.workload.input.example(seed=seed) for seed in range(8)]
    for window in windows:
        pipeline(window)
    clock = Clock(first_seq=1)
    committed: list[float] = []
    acknowledged: list[float] = []

    def work(publisher: Publisher) -> None:
        while not publisher.is_connected:
            time.sleep(0.01)
        time.sleep(1.0)
        start = time.monotonic()
        for i in range(count):
            time.sleep(max(start + i - time.monotonic(), 0.0))
            complete_ns = time.time_ns()
            pipeline(windows[i % len(windows)])
            outbox.put(alert(clock, i, complete_ns))
            committed.append((time.time_ns() - complete_ns) / 1e6)
            publisher.wake()
            while outbox.acknowledged <= i:  # deleted: the collector has said so
                time.sleep(0.0005)
            acknowledged.append((time.time_ns() - complete_ns) / 1e6)

    publishing(outbox, clock, port, version, work)
    return {"put_ms": committed, "acknowledged_ms": acknowledged}


def main(verb: str, state_dir: str, *rest: str) -> None:
    outbox = Outbox(Path(state_dir) / "outbox.db", max_bytes=256 * 1024 * 1024)
    if verb == "fill":
        result: object = fill(outbox, int(rest[0]))
    elif verb == "drain":
        result = drain(outbox, rest[0], rest[1])
    else:
        result = paced(outbox, rest[0], rest[1], int(rest[2]), Path(rest[3]))
    outbox.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
