"""With a real Mosquitto and the collector as a process of its own."""

import random
import signal
import sqlite3
import threading
import time

import pytest
from collector_helpers import Collector, a_score, alert, encode, health
from mqtt_device import Device
from real_broker import Mosquitto, until

pytestmark = pytest.mark.broker


@pytest.fixture
def broker(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    yield broker
    broker.stop()


@pytest.fixture
def device(broker):
    device = Device(broker.port)
    yield device
    device.close()


@pytest.fixture
def start(broker, tmp_path):
    """Starts collectors on one database and ends the last one."""
    started = []

    def start(*more):
        started.append(Collector(broker.port, tmp_path / "collector.db", *more))
        until(started[-1].is_healthy)
        return started[-1]

    yield start
    if started and started[-1].process.poll() is None:
        assert started[-1].end() == 0


def stored_ids(tmp_path):
    db = sqlite3.connect(tmp_path / "collector.db")
    try:
        return sorted(id_ for (id_,) in db.execute("SELECT id FROM message WHERE kind = 'alert'"))
    finally:
        db.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_from_the_device_to_the_row_and_back(start, device, version):
    collector = start("--mqtt-version", version)
    ids = [device.send(encode(alert())), device.send(encode(health()))]
    device.send(encode(a_score()), qos=0)
    until(lambda: set(ids) <= set(device.acknowledged))
    assert device.acknowledged == ids
    until(lambda: collector.get("api/summary")["scores"] == 1)
    began_s = time.monotonic()
    assert collector.end() == 0
    assert time.monotonic() - began_s < 4  # two seconds, and Python ending on a busy machine


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_is_sent_while_the_collector_is_away_arrives_when_it_is_back(start, device, version):
    assert start("--mqtt-version", version).end() == 0
    ids = [device.send(encode(alert())) for _ in range(50)]
    collector = start("--mqtt-version", version)
    until(lambda: collector.get("api/summary")["alerts"] == 50)
    until(lambda: sorted(device.acknowledged) == sorted(ids))


@pytest.mark.slow
def test_killed_in_mid_stream_every_message_is_there_exactly_once(start, device, tmp_path):
    rng = random.Random(7)
    messages = [encode(alert()) for _ in range(1500)]
    ids = sorted(each.id for each in messages)

    def send():
        for each in messages:
            device.client.publish(each.topic, each.payload, 1)
            time.sleep(0.004)

    sender = threading.Thread(target=send)
    collector = start()
    sender.start()
    kills = 0
    while sender.is_alive():
        time.sleep(rng.uniform(0.1, 0.6))
        collector.end(signal.SIGKILL)
        kills += 1
        collector = start()
    sender.join()
    until(lambda: sorted(set(device.acknowledged)) == ids)
    assert stored_ids(tmp_path) == ids
    assert collector.get("api/summary")["duplicates"] == 0
    assert kills >= 3


def test_it_subscribes_again_when_the_broker_has_restarted(start, broker, tmp_path):
    collector = start()
    broker.stop()
    until(lambda: not collector.is_healthy())
    for kept in (tmp_path / "broker").glob("*.db"):
        kept.unlink()  # the session is lost with it
    broker.start()
    until(collector.is_healthy, within_s=30)
    device = Device(broker.port)
    sent = device.send(encode(alert()))
    until(lambda: device.acknowledged == [sent])
    device.close()


def test_an_alert_that_somebody_retained_is_stored_once(start, device, tmp_path):
    """The broker brings it with every start of the collector."""
    collector = start()
    sent = device.send(encode(alert()), retain=True)
    until(lambda: device.acknowledged == [sent])
    assert collector.end() == 0
    again = start()
    until(lambda: again.get("api/summary")["redelivered"] == 1)
    assert stored_ids(tmp_path) == [sent]


def test_poison_does_not_come_again(start, device):
    collector = start()
    topic = encode(alert()).topic
    for payload in (b"junk", b"\xff" * 200_000):
        device.client.publish(topic, payload, 1).wait_for_publish(10)
    until(lambda: collector.get("api/summary")["rejected"] == 2)
    assert collector.end() == 0
    again = start()
    sent = device.send(encode(alert()))
    until(lambda: sent in device.acknowledged)
    assert again.get("api/summary")["rejected"] == 2
