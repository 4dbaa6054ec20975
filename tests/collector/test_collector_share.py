"""Several collectors divide the work of one database between them."""

import random
import signal
import sqlite3
import threading

import pytest
from collector_helpers import Collector, alert, encode, health, received
from mqtt_device import Device
from real_broker import Mosquitto, until

from collector import queries
from collector.ingest import Ingest
from collector.store import Store, StoreError
from contract.messages import Status, subscriptions


@pytest.fixture
def path(tmp_path):
    return tmp_path / "collector.db"


def test_a_shared_database_is_only_for_those_who_share_it(path):
    first, second = Store(path, is_shared=True), Store(path, is_shared=True)
    with pytest.raises(StoreError, match="give both --share"):
        Store(path)
    first.close()
    second.close()
    alone = Store(path)
    with pytest.raises(StoreError, match="another collector"):
        Store(path, is_shared=True)
    alone.close()


def test_what_both_store_at_once_is_there_once(path):
    rng = random.Random(3)
    messages = [received(alert(), device=f"pump-{i % 3}") for i in range(600)]
    copies = [rng.sample(messages, len(messages)) for _ in range(2)]
    stores = [Store(path, is_shared=True) for _ in copies]

    def write(store, mine):
        for start in range(0, len(mine), 20):
            store.add(mine[start : start + 20])

    threads = [
        threading.Thread(target=write, args=pair) for pair in zip(stores, copies, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    with queries.reading(path) as db:
        summary = queries.summary(db)
        totals = queries.counters(db)
    assert summary["alerts"] == summary["redelivered"] == totals["stored_alert"] == 600


def test_what_is_retained_or_asked_for_is_for_each_and_the_rest_is_shared(path):
    class Client:
        def subscribe(self, topics):
            self.topics = [topic for topic, _ in topics]

    class Accepted:
        is_failure = False

    client = Client()
    ingest = Ingest(client, None, prefix="vedette", share="site", observe=None)
    ingest.on_connect(client, None, None, Accepted(), None)
    assert [topic.removeprefix("$share/site/") for topic in client.topics] == [
        *subscriptions("vedette")
    ]
    alone = [topic for topic in client.topics if not topic.startswith("$share/")]
    assert alone == ["vedette/+/status", "vedette/+/evidence/+"]


@pytest.fixture
def broker(tmp_path):
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker")
    yield broker
    broker.stop()


@pytest.fixture
def start(broker, path):
    """Starts collectors that share; ends those that are left."""
    started = []

    def start(*more):
        started.append(Collector(broker.port, path, "--share", "site", *more))
        until(started[-1].is_healthy)
        return started[-1]

    yield start
    for each in started:
        if each.process.returncode is None:
            assert each.end() == 0


@pytest.fixture
def device(broker):
    device = Device(broker.port)
    yield device
    device.close()


def stored(path):
    db = sqlite3.connect(path)
    try:
        return sorted(id_ for (id_,) in db.execute("SELECT id FROM message WHERE kind = 'alert'"))
    finally:
        db.close()


def commits(collector):
    """Batches that this process has committed."""
    (line,) = [
        line
        for line in collector.text("metrics").splitlines()
        if line.startswith("vedette_commit_seconds_count")
    ]
    return float(line.split()[1])


@pytest.mark.broker
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_both_work_and_both_show_everything(start, device, path, version):
    pair = [start("--mqtt-version", version) for _ in range(2)]
    messages = [encode(alert(), pipeline=f"p{i % 4}") for i in range(200)]
    device.deliver(messages)
    device.send(encode(Status(state="online")), retain=True)
    device.deliver([encode(health())])
    assert stored(path) == sorted(each.id for each in messages)
    for each in pair:
        assert commits(each) > 0
        assert each.get("api/summary")["alerts"] == 200
        until(lambda each=each: each.get("api/devices")["devices"][0]["state"] == "online")


@pytest.mark.broker
def test_one_that_starts_later_hears_the_status(start, device):
    device.send(encode(Status(state="stopped")), retain=True)
    collector = start()
    until(lambda: [each["status"] for each in collector.get("api/devices")["devices"]])


@pytest.mark.broker
@pytest.mark.slow
def test_one_killed_in_mid_stream_costs_nothing(start, device, path):
    """What the broker had dealt to it goes to the other when the device sends it again."""
    first, second = start(), start()
    messages = [encode(alert()) for _ in range(1500)]
    delivering = threading.Thread(target=device.deliver, args=(messages,), kwargs={"per_s": 250})
    delivering.start()
    until(lambda: first.get("api/summary")["alerts"] > 300)
    first.end(signal.SIGKILL)
    until(lambda: second.get("api/summary")["alerts"] > 700)
    third = start()
    until(lambda: second.get("api/summary")["alerts"] > 1000)
    second.end(signal.SIGKILL)
    delivering.join()
    assert stored(path) == sorted(each.id for each in messages)
    assert third.get("api/summary")["duplicates"] == 0


@pytest.mark.broker
@pytest.mark.slow
def test_one_that_stops_answering_for_twenty_seconds_costs_nothing(start, device, path):
    """Half of what is sent meanwhile waits for it, until the device sends it again."""
    first, second = start(), start()
    device.deliver([encode(alert())])
    first.process.send_signal(signal.SIGSTOP)
    messages = [encode(alert()) for _ in range(200)]
    waking = threading.Timer(20, first.process.send_signal, [signal.SIGCONT])
    waking.start()
    device.deliver(messages, per_s=50)
    assert {each.id for each in messages} <= set(stored(path))
    waking.join()
    until(first.is_healthy)
    device.deliver([encode(alert()) for _ in range(20)])
    assert second.get("api/summary")["alerts"] == len(stored(path)) == 221
