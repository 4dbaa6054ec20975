"""The same broker without durability: a paho publisher at QoS 1, a subscriber that stores nothing.

raw.py subscribe PORT VERSION COUNT     prints `ready`, then the time of the last message
raw.py publish PORT VERSION COUNT SIZE  prints the time of the first publish
"""

from __future__ import annotations

import sys
import time

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

TOPIC = "raw/bench/spindle/alert"
IN_FLIGHT = 256  # as many as the device's publisher has under way


def client(version: str) -> paho.Client:
    protocol = paho.MQTTv5 if version == "5" else paho.MQTTv311
    made = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
    made.max_inflight_messages_set(IN_FLIGHT)
    return made


def subscribe(port: str, version: str, count: str) -> None:
    subscriber, left = client(version), int(count)

    def on_message(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            print(time.time_ns(), flush=True)
            subscriber.disconnect()

    subscriber.on_connect = lambda *_: subscriber.subscribe(TOPIC, qos=1)
    subscriber.on_subscribe = lambda *_: print("ready", flush=True)
    subscriber.on_message = on_message
    subscriber.connect("127.0.0.1", int(port))
    subscriber.loop_forever()


def publish(port: str, version: str, count: str, size: str) -> None:
    publisher = client(version)
    publisher.connect("127.0.0.1", int(port))
    publisher.loop_start()
    while not publisher.is_connected():
        time.sleep(0.001)
    payload = b"x" * int(size)
    print(time.time_ns(), flush=True)
    sent = [publisher.publish(TOPIC, payload, qos=1) for _ in range(int(count))]
    for each in sent:
        each.wait_for_publish()
    publisher.disconnect()
    publisher.loop_stop()


if __name__ == "__main__":
    {"subscribe": subscribe, "publish": publish}[sys.argv[1]](*sys.argv[2:])
