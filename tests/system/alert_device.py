"""A device reduced to what must not lose anything: outbox and publisher, real ones.

Usage: alert_device.py STATE_DIR PORT|CONFIG.toml MQTT_VERSION COUNT [PAUSE_S]

Puts COUNT alerts (0: without end, with pauses), printing the id of each one once `put` has
returned, and then sends until the collector has acknowledged all of them. While the disk is full it
tries the same alert again.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import tomllib
import traceback
from pathlib import Path

import msgspec

from contract import messages
from contract.messages import Address, Alert
from edge.clock import Clock
from edge.config import Mqtt
from edge.outbox import Outbox, OutboxFullError
from edge.publisher import Publisher

state_dir, version, count = Path(sys.argv[1]), sys.argv[3], int(sys.argv[4])
pause_s = float(sys.argv[5]) if len(sys.argv) > 5 else 0.002
outbox = Outbox(state_dir / "outbox.db", max_bytes=16 * 1024 * 1024)
clock = Clock(first_seq=outbox.last_seq + 1)
if sys.argv[2].endswith(".toml"):
    table = tomllib.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))["mqtt"]
    mqtt = msgspec.convert({**table, "version": version}, Mqtt)
else:
    mqtt = Mqtt(host="127.0.0.1", port=int(sys.argv[2]), version=version, resend_s=1.0)
publisher = Publisher(mqtt, state_dir.name, outbox, clock)
stop = threading.Event()


def send() -> None:
    """No thread dies silently, as in the service."""
    try:
        publisher.run(stop)
    finally:
        if not stop.is_set():
            traceback.print_exc()
            os._exit(1)


thread = threading.Thread(target=send)
thread.start()
made = 0
while count == 0 or made < count:
    alert = Alert(workload="w", state="raised", label="x", score=2.0, threshold=1.0, hits=1, of=1)
    message = messages.encode(
        alert, Address("vedette", state_dir.name, "p"), clock.stamp(window=made)
    )
    while True:
        try:
            outbox.put(message)
        except OutboxFullError:
            print("outbox full", file=sys.stderr, flush=True)
            time.sleep(0.1)
        else:
            break
    publisher.wake()
    print(message.id, message.seq, flush=True)
    made += 1
    if count == 0:
        time.sleep(pause_s)
while outbox.health().rows:
    time.sleep(0.02)
stop.set()
publisher.wake()
thread.join()
outbox.close()
