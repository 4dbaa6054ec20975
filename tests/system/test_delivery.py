"""Exactly once, whatever dies: real outbox, real broker, real collector, as processes."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from real_broker import until
from system_site import Site

from contract import messages
from contract.messages import Address, Alert, Stamp
from edge.clock import Clock
from edge.config import Mqtt
from edge.outbox import Outbox
from edge.publisher import Publisher

DEVICE = str(Path(__file__).with_name("alert_device.py"))
KILLS = 55


def start_device(site: Site, *, count: int, name: str = "device-1"):
    state_dir = site.folder / name
    state_dir.mkdir(exist_ok=True)
    version = site.broker.mqtt_version
    return site.spawn(DEVICE, str(state_dir), str(site.broker.port), version, str(count))


def stored(site: Site) -> list[tuple[str, int]]:
    """Ids and sequence numbers of all stored alerts, straight from the collector's file."""
    db = sqlite3.connect(f"file:{site.folder / 'collector.db'}?mode=ro", uri=True)
    try:
        return db.execute(
            "SELECT id, seq FROM message WHERE kind = 'alert' ORDER BY seq"
        ).fetchall()
    finally:
        db.close()


def put_lines(text: str) -> list[str]:
    """Ids whose line was printed whole."""
    return [line.split()[0] for line in text.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.broker
@pytest.mark.slow
def test_every_alert_arrives_once_though_the_device_is_killed_at_random_moments(site: Site):
    """SIGKILL between put and send, between send and acknowledgement, 55 times."""
    rng = random.Random(4)
    put: list[str] = []
    for _ in range(KILLS):
        device = start_device(site, count=0)
        first = device.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.12))
        device.kill()
        put += put_lines(first + device.stdout.read())
        device.wait()
    last = start_device(site, count=1)
    put += put_lines(last.communicate(timeout=60)[0])
    assert last.returncode == 0
    rows = stored(site)
    ids = [message_id for message_id, _ in rows]
    assert len(put) > KILLS
    assert set(put) <= set(ids)
    assert len(ids) == len(set(ids))
    # put, killed before the line was printed: on disk, so sent as well
    assert len(ids) - len(put) <= KILLS
    assert [seq for _, seq in rows] == list(range(1, len(rows) + 1))


@pytest.mark.broker
@pytest.mark.slow
def test_nothing_is_lost_when_broker_and_collector_are_killed_mid_stream(site: Site):
    """The broker loses its memory, the collector its queue; the outbox has both."""
    device = start_device(site, count=600)
    until(lambda: site.get("api/summary")["alerts"] > 20)
    site.restart_broker()
    until(lambda: site.get("healthz"))
    site.kill_collector()
    site.start_collector()
    site.restart_broker()
    assert len(put_lines(device.communicate(timeout=90)[0])) == 600
    assert device.returncode == 0
    summary = site.get("api/summary")
    assert summary["alerts"] == 600
    assert summary["duplicates"] == 0


@pytest.mark.broker
def test_the_collector_away_means_waiting_not_losing(site: Site):
    """A broker's PUBACK is not durability: rows stay until the collector has committed them."""
    site.kill_collector()
    device = start_device(site, count=50)
    ids = [device.stdout.readline().split()[0] for _ in range(50)]
    time.sleep(1.0)
    assert device.poll() is None, "it must keep what nobody has acknowledged"
    site.broker.process.kill()
    site.broker.process.wait()
    for file in (site.folder / "broker").glob("mosquitto.db*"):
        file.unlink()
    site.start_broker(site.broker.port)
    site.start_collector()
    device.communicate(timeout=60)
    assert device.returncode == 0
    assert sorted(message_id for message_id, _ in stored(site)) == sorted(ids)


@pytest.mark.broker
def test_a_message_delivered_many_times_is_one_row(site: Site):
    """QoS 1 repeats are normal; the row is one and every copy is acknowledged."""
    address = Address("vedette", "device-9", "p")
    stamp = Stamp(ts_ns=1, mono_ns=1, boot_id="b", seq=1, clock_synced=False, window=0)
    alert = Alert(workload="w", state="raised", label="x", score=2, threshold=1, hits=1, of=1)
    encoded = messages.encode(alert, address, stamp)
    acks: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe("vedette/device-9/command/#", qos=1)
    client.on_message = lambda _c, _u, m: acks.extend(json.loads(m.payload)["data"]["ids"])
    client.connect("127.0.0.1", site.broker.port)
    client.loop_start()
    try:
        until(client.is_connected)
        for _ in range(10):
            client.publish(encoded.topic, encoded.payload, qos=1).wait_for_publish(10)
        until(lambda: len(acks) == 10)
    finally:
        client.disconnect()
        client.loop_stop()
    assert set(acks) == {encoded.id}
    assert stored(site) == [(encoded.id, 1)]


@pytest.mark.broker
def test_a_local_subscriber_that_knows_nothing_of_us_gets_every_alert(site: Site):
    """Plain MQTT 3.1.1 at QoS 1 with a session, away for a while, no acknowledgement of ours."""
    seen: list[str] = []

    def subscriber() -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, "node-red", clean_session=False, protocol=paho.MQTTv311
        )
        client.on_connect = lambda c, *_: c.subscribe("vedette/+/+/alert", qos=1)
        client.on_message = lambda _c, _u, m: seen.append(json.loads(m.payload)["id"])
        client.connect("127.0.0.1", site.broker.port)
        client.loop_start()
        return client

    client = subscriber()
    device = start_device(site, count=300)
    until(lambda: len(seen) > 20)
    client.disconnect()
    client.loop_stop()
    ids = put_lines(device.communicate(timeout=60)[0])
    client = subscriber()
    try:
        until(lambda: set(seen) == set(ids))
    finally:
        client.disconnect()
        client.loop_stop()


def test_the_embedded_broker_delivers_too(embedded_site: Site):
    """MQTT 3.1.1 has no reason codes; the collector's acknowledgement alone keeps the promise."""
    device = start_device(embedded_site, count=40)
    ids = put_lines(device.communicate(timeout=60)[0])
    assert device.returncode == 0
    assert [message_id for message_id, _ in stored(embedded_site)] == ids


def test_a_broker_without_mqtt_5_is_named_as_such(embedded_site: Site, tmp_path: Path, caplog):
    """It says nothing at all; the log names the key to change."""
    outbox = Outbox(tmp_path / "device" / "outbox.db", max_bytes=1 << 20)
    mqtt = Mqtt(host="127.0.0.1", port=embedded_site.broker.port, version="5")
    publisher = Publisher(mqtt, "device-5", outbox, Clock(first_seq=1))
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    try:
        until(lambda: "mqtt.version = '3.1.1'" in caplog.text)
    finally:
        stop.set()
        publisher.wake()
        thread.join()
        publisher.close()
        outbox.close()
