import threading
import types

import pytest
from collector_helpers import PREFIX, SECOND_NS, a_score, alert, encode, health

from collector import ingest as ingest_module
from collector import queries
from collector.ingest import Ingest
from collector.store import REJECTED_PAYLOAD_BYTES, Store, StoreError
from contract.messages import (
    MAX_PAYLOAD_BYTES,
    Address,
    Command,
    Status,
    decode,
    subscriptions,
)
from contract.messages import encode as encode_message
from contract.messages import replayed as mark_replayed

OK = types.SimpleNamespace(is_failure=False)


class Refused:
    is_failure = True

    def __str__(self):
        return "Not authorized"


class FakeClient:
    """Records what it saw, in order, in a list shared with the fake store."""

    def __init__(self, seen):
        self.seen = seen

    def subscribe(self, topics):
        self.seen.append(("subscribe", topics))

    def publish(self, topic, payload, qos):
        self.seen.append(("publish", decode(topic, payload, prefix=PREFIX), qos))

    def ack(self, mid, qos):
        self.seen.append(("ack", mid, qos))


class WatchedStore(Store):
    """The real store, noting its commits and failing when told to."""

    def __init__(self, path, seen):
        super().__init__(path)
        self.seen = seen
        self.failures = 0

    def add(self, messages, rejected=()):
        if self.failures:
            self.failures -= 1
            self.seen.append(("failed",))
            raise StoreError("disk is full")
        added = super().add(messages, rejected)
        self.seen.append(("commit", len(messages), len(rejected)))
        return added


class Bench:
    """An ingest on a fake client and a real store, driven message by message."""

    def __init__(self, path):
        self.seen = []
        self.path = path
        self.client = FakeClient(self.seen)
        self.store = WatchedStore(path, self.seen)
        self.ingest = Ingest(self.client, self.store, prefix=PREFIX, observe=self._observe)
        self.mid = 0
        self.connect()

    def _observe(self, commit_s, added):
        assert commit_s >= 0
        assert added.stored_ns > SECOND_NS

    def connect(self):
        self.ingest.on_connect(self.client, None, None, OK, None)
        self.ingest.on_subscribe(self.client, None, 1, [OK] * len(subscriptions(PREFIX)), None)

    def arrive(self, topic, payload, qos=1):
        self.mid += 1
        message = types.SimpleNamespace(topic=topic, payload=payload, qos=qos, mid=self.mid)
        self.ingest.on_message(self.client, None, message)
        return self.mid

    def settle(self, stopping=None):
        self.seen.clear()
        self.ingest._settle(self.ingest._next_batch(), stopping or threading.Event())
        return [entry[0] for entry in self.seen]

    def acked(self):
        return [entry[1] for entry in self.seen if entry[0] == "ack"]

    def told(self):
        return {
            entry[1].address.device: entry[1].body.ids
            for entry in self.seen
            if entry[0] == "publish"
        }

    def rejected(self):
        with queries.reading(self.path) as db:
            return queries.rejected(db, limit=99)

    def summary(self):
        with queries.reading(self.path) as db:
            return queries.summary(db)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_module, "_RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(ingest_module, "_POLL_S", 0.01)
    bench = Bench(tmp_path / "collector.db")
    yield bench
    bench.store.close()


def test_it_subscribes_to_everything_on_every_connect(bench):
    assert bench.seen == [("subscribe", [(topic, 1) for topic in subscriptions(PREFIX)])]
    bench.connect()
    assert len(bench.seen) == 2
    assert bench.ingest.broker_trouble is None


def test_a_refused_subscription_is_trouble(bench):
    bench.ingest.on_subscribe(bench.client, None, 1, [OK, OK, Refused(), OK, OK, OK], None)
    assert "vedette/+/+/reading (Not authorized)" in bench.ingest.broker_trouble


def test_a_refused_or_lost_connection_is_trouble(bench):
    bench.ingest.on_connect(bench.client, None, None, Refused(), None)
    assert "refused the connection" in bench.ingest.broker_trouble
    bench.ingest.on_disconnect(bench.client, None, None, "gone", None)
    assert "lost: gone" in bench.ingest.broker_trouble
    bench.ingest.on_connect_fail(bench.client, None)
    assert "no broker answers" in bench.ingest.broker_trouble


def test_it_commits_then_tells_each_device_then_the_broker(bench):
    sent = [encode(alert()), encode(health()), encode(alert(), device="pump-2")]
    for each in sent:
        bench.arrive(each.topic, each.payload)
    assert bench.settle() == ["commit", "publish", "publish", "ack", "ack", "ack"]
    assert bench.acked() == [1, 2, 3]
    assert bench.told() == {"pump-1": [sent[0].id, sent[1].id], "pump-2": [sent[2].id]}
    (command,) = {entry[1].body.name for entry in bench.seen if entry[0] == "publish"}
    assert command == "ack"


def test_nothing_is_acknowledged_while_the_store_fails(bench):
    sent = encode(alert())
    bench.arrive(sent.topic, sent.payload)
    bench.store.failures = 3
    assert bench.settle() == ["failed", "failed", "failed", "commit", "publish", "ack"]
    assert bench.ingest.store_trouble is None


def test_stopping_while_the_store_fails_acknowledges_nothing(bench):
    sent = encode(alert())
    bench.arrive(sent.topic, sent.payload)
    bench.store.failures = 99
    stopping = threading.Event()
    stopping.set()
    assert bench.settle(stopping) == ["failed"]
    assert bench.ingest.store_trouble == "disk is full"


def test_a_duplicate_is_acknowledged_again_because_the_device_missed_the_first(bench):
    sent = encode(alert())
    for _ in range(2):
        bench.arrive(sent.topic, sent.payload)
        bench.settle()
        assert bench.told() == {"pump-1": [sent.id]}
    assert bench.acked() == [2]
    assert bench.summary()["alerts"] == 1
    assert bench.summary()["redelivered"] == 1


def test_scores_and_status_are_stored_but_devices_do_not_wait_for_them(bench):
    score, status = encode(a_score()), encode(Status(state="online"))
    bench.arrive(score.topic, score.payload, qos=0)
    bench.arrive(status.topic, status.payload)
    assert bench.settle() == ["commit", "ack"]
    assert bench.acked() == [2]
    assert bench.summary()["scores"] == 1


def test_a_long_backlog_is_acknowledged_in_pieces(bench):
    for _ in range(ingest_module.ACK_IDS + 1):
        sent = encode(alert())
        bench.arrive(sent.topic, sent.payload)
    bench.settle()
    sizes = [len(entry[1].body.ids) for entry in bench.seen if entry[0] == "publish"]
    assert sizes == [ingest_module.ACK_IDS, 1]


def test_what_came_over_a_lost_connection_is_stored_but_not_acknowledged_over_the_next(bench):
    sent = encode(alert())
    bench.arrive(sent.topic, sent.payload)
    bench.ingest.on_disconnect(bench.client, None, None, "gone", None)
    assert bench.settle() == ["commit"]
    bench.connect()
    bench.arrive(sent.topic, sent.payload)
    assert bench.settle() == ["commit", "publish", "ack"]


def test_a_flood_of_scores_is_dropped_and_counted(bench, monkeypatch):
    monkeypatch.setattr(ingest_module, "QUEUE_SCORES", 2)
    score = encode(a_score())
    for _ in range(5):
        bench.arrive(score.topic, score.payload, qos=0)
    assert bench.ingest.scores_dropped == 3
    sent = encode(alert())
    bench.arrive(sent.topic, sent.payload)  # for alerts there is room
    assert bench.ingest.queued == 3


def test_a_full_queue_makes_alerts_wait(bench):
    bench.ingest._queue.maxsize = 1
    sent = encode(alert())
    bench.arrive(sent.topic, sent.payload)
    waiting = threading.Thread(target=bench.arrive, args=(sent.topic, sent.payload))
    waiting.start()
    bench.settle()
    waiting.join(5)
    assert bench.ingest.queued == 1
    assert bench.settle() == ["commit", "publish", "ack"]


def test_run_ends_soon_after_stopping(bench):
    stopping = threading.Event()
    writer = threading.Thread(target=bench.ingest.run, args=(stopping,))
    writer.start()
    sent = encode(alert())
    bench.arrive(sent.topic, sent.payload)
    stopping.set()
    writer.join(2)
    assert not writer.is_alive()


GOOD = encode(alert())


def changed(old, new):
    payload = GOOD.payload.replace(old, new)
    assert payload != GOOD.payload
    return payload


MALFORMED = {
    "junk": (GOOD.topic, b"\x00\x01junk", "malformed"),
    "empty": (GOOD.topic, b"", "truncated"),
    "bad UTF-8": (GOOD.topic, changed(b"abnormal", b"ab\xff\xfe"), "tf-8"),
    "lone surrogate": (GOOD.topic, changed(b"abnormal", b"\\ud800"), "malformed"),
    "deep arrays": (GOOD.topic, b"[" * 60_000, "object"),
    "deep objects": (GOOD.topic, b'{"a":' * 20_000, "recursion"),
    "deep unknown": (
        GOOD.topic,
        changed(b'"data":{', b'"data":{"x":' + b"[" * 50_000),
        "recursion",
    ),
    "huge int": (GOOD.topic, changed(b'"hits":3', b'"hits":' + b"9" * 5000), "hits"),
    "huge exponent": (GOOD.topic, changed(b"2.5", b"1e999"), "out of range"),
    "negative": (GOOD.topic, changed(b'"hits":3', b'"hits":-1'), "hits"),
    "NaN": (GOOD.topic, changed(b"2.5", b"NaN"), "malformed"),
    "infinity": (GOOD.topic, changed(b"2.5", b"Infinity"), "malformed"),
    "duplicate key of a wrong type": (
        GOOD.topic,
        changed(b'"hits":3', b'"hits":3,"hits":"x"'),
        "hits",
    ),
    "wrong type": (GOOD.topic, changed(b'"clock_synced":true', b'"clock_synced":1'), "bool"),
    "missing field": (GOOD.topic, changed(b'"threshold":1.0,', b""), "threshold"),
    "not an event": (GOOD.topic, b'{"hello":"world"}', "specversion"),
    "unknown state": (GOOD.topic, changed(b'"raised"', b'"<script>"'), "state"),
    "long label": (GOOD.topic, changed(b"abnormal", b"x" * 300), "label"),
    "bad time": (GOOD.topic, changed(b'"time":"20', b'"time":"no'), "time"),
    "oversize": (GOOD.topic, b"x" * (MAX_PAYLOAD_BYTES + 1), "at most"),
    "another kind": (GOOD.topic.replace("alert", "score"), GOOD.payload, "type"),
    "another device": (GOOD.topic.replace("pump-1", "pump-9"), GOOD.payload, "source"),
    "SQL in the topic": ("vedette/x';--/p/alert", GOOD.payload, "bad name"),
    "HTML in the topic": ("vedette/<b>/p/alert", GOOD.payload, "bad name"),
    "unknown topic": ("vedette/pump-1/bearing/nothing", GOOD.payload, "no known kind"),
    "another prefix": ("other/pump-1/bearing/alert", GOOD.payload, "not below"),
    "no device": ("vedette//bearing/alert", GOOD.payload, "bad name"),
    "a long name": (f"vedette/{'x' * 64}/bearing/alert", GOOD.payload, "bad name"),
    "wildcards": ("vedette/+/#/alert", GOOD.payload, "bad name"),
    "too many levels": ("vedette/a/b/c/alert", GOOD.payload, "no known kind"),
    "another source": (
        GOOD.topic,
        changed(b'"source":"/vedette/pump-1', b'"source":"/vedette/pump-2'),
        "source",
    ),
    "an id that is none": (GOOD.topic, changed(GOOD.id.encode(), b""), "id"),
    "a long id": (GOOD.topic, changed(GOOD.id.encode(), b"f" * 65), "id"),
    "seq beyond 2**53": (GOOD.topic, changed(b'"seq":', b'"seq":9007199254740993'), "seq"),
    "a time beyond 2**63": (
        GOOD.topic,
        changed(b'"ts_ns":1', b'"ts_ns":9223372036854775808'),
        "ts_ns",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_recorded_and_never_comes_again(bench, name):
    topic, payload, reason = MALFORMED[name]
    bench.arrive(topic, payload)
    assert bench.settle() == ["commit", "ack"]
    (row,) = bench.rejected()
    assert reason in row["reason"]
    assert row["topic"] == topic
    assert row["size_bytes"] == len(payload)
    assert bench.summary()["rejected"] == 1
    assert bench.summary()["alerts"] == 0


def test_of_a_long_topic_the_beginning_is_kept(bench):
    topic = f"vedette/{'x' * 60_000}/bearing/alert"
    bench.arrive(topic, GOOD.payload)
    assert bench.settle() == ["commit", "ack"]
    assert bench.rejected()[0]["topic"] == topic[:256]


def test_of_a_large_payload_the_beginning_is_kept_at_once(bench):
    bench.arrive(GOOD.topic, b"x" * 10**7)
    assert len(bench.ingest._queue.queue[0].payload) == REJECTED_PAYLOAD_BYTES
    assert bench.settle() == ["commit", "ack"]
    (row,) = bench.rejected()
    assert (row["size_bytes"], len(row["payload"])) == (10**7, REJECTED_PAYLOAD_BYTES)


def test_large_payloads_share_a_commit_with_few(bench):
    for _ in range(60):
        bench.arrive(GOOD.topic, b"x" * MAX_PAYLOAD_BYTES)
    assert bench.settle() == ["commit", *["ack"] * 32]
    assert bench.settle() == ["commit", *["ack"] * 28]


def test_what_is_rejected_is_acknowledged_to_the_broker_but_not_to_the_device(bench):
    """It keeps the message, gives up on it in the end, and says so in its health."""
    bench.arrive(GOOD.topic, b"junk")
    bench.settle()
    assert bench.acked() == [1]
    assert bench.told() == {}


OTHER = {
    "label": {b"abnormal": b"normal!!"},
    "state": {b'"raised"': b'"cleared"'},
    "seq": {b'"seq":': b'"seq":1'},
    "boot": {b"boot-1": b"boot-2"},
    "time": {b'"mono_ns":5': b'"mono_ns":6'},
}


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("at_once", [True, False])
def test_of_two_messages_with_one_id_the_first_is_kept_and_the_second_refused(bench, name, at_once):
    ((old, new),) = OTHER[name].items()
    bench.arrive(GOOD.topic, GOOD.payload)
    if not at_once:
        bench.settle()
    bench.arrive(GOOD.topic, changed(old, new))
    bench.settle()
    assert bench.told() == ({"pump-1": [GOOD.id]} if at_once else {})
    assert bench.acked() == ([1, 2] if at_once else [2])
    (row,) = bench.rejected()
    assert row["reason"] == f"id '{GOOD.id}' is taken by another message"
    assert row["topic"] == GOOD.topic
    with queries.reading(bench.path) as db:
        (kept,) = queries.alerts(db, limit=9)
    assert (kept["label"], kept["state"]) == ("abnormal", "raised")
    assert bench.summary()["redelivered"] == 0


def test_one_id_under_two_topics_is_two_messages(bench):
    """Devices do not know each other's ids, nor do pipelines."""
    other = changed(b"/vedette/pump-1/bearing", b"/vedette/pump-2/bearing")
    bench.arrive(GOOD.topic, GOOD.payload)
    bench.arrive(GOOD.topic.replace("pump-1", "pump-2"), other)
    bench.settle()
    assert bench.told() == {"pump-1": [GOOD.id], "pump-2": [GOOD.id]}
    assert bench.summary()["alerts"] == 2


def test_a_replay_of_a_stored_message_is_a_repeat(bench):
    bench.arrive(GOOD.topic, GOOD.payload)
    bench.arrive(GOOD.topic, mark_replayed(GOOD.payload))
    bench.settle()
    assert bench.summary()["redelivered"] == 1
    with queries.reading(bench.path) as db:
        (kept,) = queries.alerts(db, limit=9)
    assert kept["replayed"] is False


def test_of_a_key_that_comes_twice_the_last_counts(bench):
    bench.arrive(GOOD.topic, changed(b'"hits":3', b'"hits":1,"hits":3'))
    bench.settle()
    with queries.reading(bench.path) as db:
        assert queries.alerts(db, limit=9)[0]["hits"] == 3


def test_a_topic_that_is_not_text_is_rejected(bench):
    class Message:
        payload, qos, mid = b"", 1, 1

        @property
        def topic(self):
            return b"\xff".decode()

    bench.ingest.on_message(bench.client, None, Message())
    assert bench.settle() == ["commit", "ack"]
    assert bench.rejected()[0]["topic"] == "(not UTF-8)"


def test_a_command_that_matches_the_filter_for_alerts_is_rejected(bench):
    command = Command(name="alert")
    stamp = decode(GOOD.topic, GOOD.payload, prefix=PREFIX).stamp
    sent = encode_message(command, Address(PREFIX, "pump-1"), stamp)
    bench.arrive(sent.topic, sent.payload)
    assert bench.settle() == ["commit", "ack"]
    assert bench.rejected()[0]["reason"] == "a command is for a device"


def test_one_bad_message_does_not_hold_up_the_others(bench):
    bench.arrive(GOOD.topic, GOOD.payload)
    bench.arrive(GOOD.topic, b"junk")
    sent = encode(alert())
    bench.arrive(sent.topic, sent.payload)
    bench.settle()
    assert bench.seen[0] == ("commit", 2, 1)
    assert bench.acked() == [1, 2, 3]
    assert bench.told() == {"pump-1": [GOOD.id, sent.id]}
