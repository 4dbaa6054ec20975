"""A device reduced to what must not lose anything: outbox and publisher, real ones.

Usage: alert_device.py STATE_DIR PORT MQTT_VERSION COUNT

Puts COUNT alerts (0: as many as it can), printing the id of each one once `put` has returned, and
then sends until the collector has acknowledged all of them.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from contract import messages
from contract.messages import Address, Alert
from edge.clock import Clock
from edge.config import Mqtt
from edge.outbox import Outbox
from edge.publisher import Publisher

state_dir, port, version, count = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
outbox = Outbox(state_dir / "outbox.db", max_bytes=16 * 1024 * 1024)
clock = Clock(first_seq=outbox.last_seq + 1)
mqtt = Mqtt(host="127.0.0.1", port=port, version=version, resend_s=1.0)
publisher = Publisher(mqtt, state_dir.name, outbox, clock)
stop = threading.Event()
thread = threading.Thread(target=publisher.run, args=(stop,))
thread.start()
made = 0
while count == 0 or made < count:
    alert = Alert(workload="w", state="raised", label="x", score=2.0, threshold=1.0, hits=1, of=1)
    message = messages.encode(
        alert, Address("vedette", state_dir.name, "p"), clock.stamp(window=made)
    )
    outbox.put(message)
    publisher.wake()
    print(message.id, message.seq, flush=True)
    made += 1
    if count == 0:
        time.sleep(0.002)
while outbox.health().rows:
    time.sleep(0.02)
stop.set()
publisher.wake()
thread.join()
outbox.close()
