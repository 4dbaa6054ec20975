"""Whatever is published, the collector lives, answers, and stores what is true."""

import json
import random
import threading
import time
import tracemalloc
import types
from pathlib import Path

import msgspec
import pytest
from collector_helpers import (
    PREFIX,
    Collector,
    a_score,
    alert,
    effort,
    encode,
    health,
    pipeline_health,
    received,
    sensor,
)
from garbage import MOST, Garbage
from hypothesis import given, settings
from hypothesis import strategies as st
from mqtt_device import Device
from real_broker import Mosquitto, until

from collector import fleet, queries
from collector import store as store_module
from collector.ingest import Ingest
from collector.metrics import Metrics, StoreMetrics
from collector.store import Store


def everything(path):
    """Each answer the collector can be asked for, as JSON or as metrics."""
    with queries.reading(path) as db:
        answers = [
            queries.alerts(db, limit=1000),
            queries.alerts(db, limit=1000, device="pump-1"),
            queries.scores(db, limit=1000),
            queries.rejected(db, limit=1000),
            queries.summary(db),
            fleet.devices(db, now_ns=time.time_ns()),
        ]
    metrics = Metrics()
    ingest = Ingest(None, None, prefix=PREFIX, observe=metrics.observe)
    metrics.registry.register(StoreMetrics(path, ingest))
    return [json.loads(msgspec.json.encode(answer)) for answer in answers], metrics.render()


EXTREME_NS = st.sampled_from([0, 1, 1_577_836_800 * 10**9, 1_700_000_000 * 10**9, MOST - 1, MOST])
COUNTS = st.sampled_from([0, 1, 2**53])
TEXT = st.text(max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def extremes(draw):
    """Messages that are just within what a message may be."""
    body = draw(
        st.one_of(
            st.builds(alert, label=TEXT, score=FLOATS),
            st.builds(a_score, FLOATS),
            st.builds(health, version=TEXT, uptime_s=FLOATS, cpu_temperature_c=FLOATS),
        )
    )
    message = received(
        body,
        seq=draw(COUNTS),
        window=draw(COUNTS),
        mono_ns=draw(EXTREME_NS),
        clock_synced=draw(st.booleans()),
        boot_id=draw(TEXT),
        replayed=draw(st.booleans()),
        at_ns=draw(EXTREME_NS),
    )
    stamp = msgspec.structs.replace(message.message.stamp, ts_ns=draw(EXTREME_NS))
    object.__setattr__(message.message, "stamp", stamp)
    return message


@settings(max_examples=60, deadline=None)
@given(st.lists(extremes(), min_size=1, max_size=6))
def test_what_is_accepted_can_be_stored_and_shown(tmp_path_factory, messages):
    path = tmp_path_factory.mktemp("extreme") / "collector.db"
    store = Store(path)
    for message in messages:
        Metrics().observe(0.1, store.add([message]))
    store.close()
    everything(path)


def test_garbage_is_stored_or_rejected_and_never_comes_again(tmp_path):
    path = tmp_path / "collector.db"
    store = Store(path)
    acknowledged = []
    client = types.SimpleNamespace(
        ack=lambda mid, _: acknowledged.append(mid), publish=lambda *_: None
    )
    ingest = Ingest(client, store, prefix=PREFIX, observe=Metrics().observe)
    garbage = Garbage(seed=1)
    for mid in range(1, 3001):
        topic, payload = garbage.next()
        message = types.SimpleNamespace(topic=topic, payload=payload, qos=1, mid=mid)
        ingest.on_message(client, None, message)
        if mid % 100 == 0:
            ingest._settle(ingest._next_batch(), threading.Event())
    store.close()
    assert acknowledged == list(range(1, 3001))
    (_, _, _, _, summary, _), _ = everything(path)
    assert summary["rejected"] > 1000
    assert summary["alerts"] + summary["healths"] + summary["scores"] > 500


def test_one_lying_device_does_not_change_what_is_known_of_another(tmp_path):
    path = tmp_path / "collector.db"
    store = Store(path)
    store.add([received(alert("cleared"), seq=5), received(health(), seq=6)])

    def known():
        with queries.reading(path) as db:
            found = {each["device"]: each for each in fleet.devices(db, now_ns=0)}
        return {name: each for name, each in found["pump-1"].items() if name != "seen_ns"}

    before = known()
    store.add(
        [
            received(alert("raised"), device="liar", boot_id="boot-1", seq=2**53),
            received(health(uptime_s=9.0), device="liar", boot_id="boot-1", seq=1),
        ]
    )
    assert known() == before
    store.close()


# -- memory and the size of answers ------------------------------------------------------------


def invented(count, start):
    """Every message of a device, a pipeline and a boot never heard of."""
    for i in range(start, start + count):
        for body in (a_score(), health(), alert()):
            yield received(body, device=f"d{i}", pipeline=f"p{i}", boot_id=f"b{i}")


def test_invented_names_take_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_SERIES", 500)
    store = Store(tmp_path / "collector.db")
    metrics = Metrics()

    def add(start, count=1000):
        batch = list(invented(count, start))
        for first in range(0, len(batch), 300):
            metrics.observe(0.1, store.add(batch[first : first + 300]))
        assert len(store._since_cut) <= 500 + 200

    add(0)
    tracemalloc.start()
    try:
        add(1000)
        before, _ = tracemalloc.get_traced_memory()
        add(2000, 3000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    store.close()
    assert after - before < 200_000  # nine thousand messages, far more than a megabyte


def test_a_series_that_was_forgotten_is_still_cut_back(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_SERIES", 10)
    monkeypatch.setattr(store_module, "SLACK", 5)
    monkeypatch.setitem(store_module.KEEP, "health", 20)
    path = tmp_path / "collector.db"
    store = Store(path)
    for i in range(60):
        store.add([received(health()), received(a_score(), device=f"d{i}")])
    store.close()
    with queries.reading(path) as db:
        (kept,) = db.execute("SELECT count(*) FROM message WHERE kind = 'health'").fetchone()
    assert 20 <= kept <= 26


def test_answers_are_bounded_however_many_names_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(queries, "MOST_DEVICES", 5)
    monkeypatch.setattr(queries, "MOST_PIPELINES", 3)
    monkeypatch.setattr(queries, "MOST_SERIES", 4)
    path = tmp_path / "collector.db"
    store = Store(path)
    store.add(
        [
            received(body, device=f"d{i}", pipeline=f"p{k}", at_ns=i)
            for i in range(20)
            for k in range(6)
            for body in (alert(), a_score())
        ]
    )
    store.close()
    with queries.reading(path) as db:
        devices = fleet.devices(db, now_ns=0)
        assert [each["device"] for each in devices] == [f"d{i}" for i in range(15, 20)]
        assert {len(each["pipelines"]) for each in devices} == {3}
        assert queries.device_count(db) == 20
        assert len(queries.scores(db, limit=9)) == 4


def test_a_pipeline_that_health_knows_is_shown_among_many_invented_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(queries, "MOST_PIPELINES", 3)
    path = tmp_path / "collector.db"
    store = Store(path)
    store.add([received(alert(), pipeline=f"a{i}") for i in range(9)])
    store.add([received(alert("raised"), pipeline="z")])
    store.add([received(health(pipelines={"z": pipeline_health()}))])
    store.close()
    with queries.reading(path) as db:
        (device,) = fleet.devices(db, now_ns=0)
    shown = {each["pipeline"]: each["alarm"]["state"] for each in device["pipelines"]}
    assert shown == dict.fromkeys(["z", "a0", "a1"], "raised")


def test_answers_are_bounded_however_large_the_messages_are(tmp_path, monkeypatch):
    monkeypatch.setattr(queries, "MOST_BYTES", 20_000)
    path = tmp_path / "collector.db"
    store = Store(path)
    full = {str(k): pipeline_health(dropped={"x" * 200: k}) for k in range(9)}
    store.add([received(health(pipelines=full), device=f"d{i}", at_ns=i) for i in range(20)])
    store.add([received(a_score(), device=f"d{i}") for i in range(20) for _ in range(50)])
    store.close()
    with queries.reading(path) as db:
        devices = fleet.devices(db, now_ns=0)
        plots = queries.scores(db, limit=999)
    assert 2 < len(devices) < 8
    assert 2 < len(plots) < 8
    assert len(msgspec.json.encode(devices + plots)) < 40_000


def test_a_question_about_one_pipeline_does_not_look_at_the_others(tmp_path):
    """However much the others have sent: SQLite is easily led to go through it all."""
    path = tmp_path / "collector.db"
    store = Store(path)
    store.add([received(body) for body in (alert(), sensor(), health(), a_score())])

    pump = {"device": "pump-1", "pipeline": "bearing"}

    def ask(db):
        for kind in ("alert", "sensor"):
            queries.newest(db, kind, *pump.values())
            queries.pipelines(db, kind, "pump-1")
        queries.newest(db, "health", "pump-1")
        queries.alerts(db, limit=1)
        queries.alerts(db, limit=1, device="pump-1")
        queries.alerts(db, limit=1, device="pump-1", kinds=["sensor"])
        queries.messages(db, queries.PLOTTED, {**pump, "since": 0, "limit": 9})

    def add(_):
        store.add([received(a_score()), received(health())])  # and cuts both series back

    with queries.reading(path) as db:
        asked = effort(db, ask)
    added = effort(store._db, add)
    for _ in range(8):
        store.add([received(body, device="other") for body in [alert(), a_score(), health()] * 300])
    store._since_cut.clear()
    with queries.reading(path) as db:
        assert effort(db, ask) < 3 * asked
    assert effort(store._db, add) < 3 * added
    store.close()


def test_a_flood_waits_in_bounded_memory():
    ingest = Ingest(None, None, prefix=PREFIX, observe=lambda *_: None)
    for mid in range(2000):
        message = types.SimpleNamespace(topic="vedette/a/b/score", payload=b"x", qos=0, mid=mid)
        ingest.on_message(None, None, message)
    assert ingest.queued == 500
    assert ingest.scores_dropped == 1500


# -- the real thing --------------------------------------------------------------------------------


def resident_bytes(process):
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("seed", [11, 12])
def test_a_fuzzing_publisher_harms_nothing(tmp_path, seed):
    """Garbage in every field, beside a genuine device whose alerts all arrive exactly once."""
    (tmp_path / "broker").mkdir()
    broker = Mosquitto(tmp_path / "broker")
    path = tmp_path / "collector.db"
    collector = Collector(broker.port, path)
    fuzzer, device = Device(broker.port), Device(broker.port)
    stopping = threading.Event()

    def publish():
        garbage, rng = Garbage(seed), random.Random(seed)
        while not stopping.is_set():
            topic, payload = garbage.next()
            sent = fuzzer.client.publish(topic, payload, rng.choice([0, 1, 1]), rng.random() < 0.02)
            if rng.random() < 0.02:
                sent.wait_for_publish(10)

    fuzzing = threading.Thread(target=publish)
    try:
        until(collector.is_healthy)
        fuzzing.start()
        genuine = [encode(alert(), device="genuine", seq=i) for i in range(1, 401)]
        device.deliver(genuine[:200], per_s=80)
        for name in ("alerts", "devices", "scores", "summary", "rejected"):
            collector.get(f"api/{name}")
        half_bytes = resident_bytes(collector.process)
        device.deliver(genuine[200:], per_s=80)
        for name in ("alerts", "devices", "scores", "summary", "rejected"):
            collector.get(f"api/{name}")
        stopping.set()
        fuzzing.join()
        until(collector.is_healthy)
        assert collector.process.poll() is None
        assert resident_bytes(collector.process) - half_bytes < 30e6
        rows = collector.get("api/alerts?device=genuine&limit=1000")["alerts"]
        assert [row["id"] for row in rows] == [each.id for each in reversed(genuine)]
        summary = collector.get("api/summary")
        assert summary["rejected"] > 300
        assert summary["duplicates"] == 0
        assert collector.end() == 0
        # what was retained, garbage and all, comes again with every start
        collector = Collector(broker.port, path)
        until(collector.is_healthy)
        device.deliver([encode(alert(), device="genuine", seq=999)])
    finally:
        stopping.set()
        fuzzer.close()
        device.close()
        collector.end()
        broker.stop()
