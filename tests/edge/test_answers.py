"""Evidence on request: in parts, slowly, whole; and nothing of it is owed for ever."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from edge_collector import Collector
from real_broker import until

from contract import messages
from contract.evidence import PART_BYTES
from contract.messages import Address, Alert, Command, Stamp
from contract.shelf import Shelf
from edge.answers import Answers
from edge.clock import Clock
from edge.config import Mqtt
from edge.outbox import Outbox
from edge.publisher import Publisher

LARGE = bytes(range(256)) * (PART_BYTES // 100)
SMALL = b"small"
STAMP = Stamp(ts_ns=0, mono_ns=0, boot_id="c", seq=0, clock_synced=True)


def name_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@pytest.fixture
def answers():
    return Answers({name_of(raw): raw for raw in (LARGE, SMALL)}.get)


def all_of(answers, *, from_s=0.0):
    """Every part there is to send, each as soon as it is due."""
    parts, now_s = [], from_s
    while answers.wait_s(now_s, most=9.0) < 9.0:
        now_s += answers.wait_s(now_s, most=9.0)
        parts.append(answers.next(now_s))
    return parts


def joined(parts):
    return b"".join(part.content for part in parts)


def test_a_large_file_goes_in_parts_that_are_whole_together(answers):
    """Numbered from 0, each with how many there are."""
    answers.ask([name_of(LARGE)])
    parts = all_of(answers)
    assert [part.part for part in parts] == [0, 1, 2]
    assert {part.parts for part in parts} == {3}
    assert {part.sha256 for part in parts} == {name_of(LARGE)}
    assert joined(parts) == LARGE
    encoded = messages.encode(parts[0], Address("vedette", "d" * 63), STAMP)
    assert len(encoded.payload) < 23_000


def test_what_is_not_there_is_said_to_be_not_there(answers):
    """One answer, so that nobody waits."""
    answers.ask(["ab" * 32, name_of(SMALL)])
    gone, small = all_of(answers)
    assert (gone.sha256, gone.part, gone.parts, gone.content) == ("ab" * 32, 0, 0, b"")
    assert small.content == SMALL


def test_between_two_parts_there_is_a_pause(answers):
    """20 a second at most, however often it is looked after."""
    answers.ask([name_of(LARGE)])
    assert answers.next(5.0).part == 0
    assert answers.next(5.04) is None
    assert answers.wait_s(5.04, most=0.5) == pytest.approx(0.01)
    assert answers.next(5.05).part == 1


def test_whoever_asks_twice_gets_it_once(answers):
    """Also while it is under way; afterwards it is sent again."""
    answers.ask([name_of(SMALL), name_of(LARGE), name_of(LARGE)])
    first = answers.next(0.0)
    second = answers.next(1.0)
    answers.ask([name_of(LARGE)])
    parts = [first, second, *all_of(answers, from_s=2.0)]
    assert joined(parts) == SMALL + LARGE
    answers.ask([name_of(LARGE)])
    assert joined(all_of(answers, from_s=99.0)) == LARGE


def test_a_flood_of_requests_and_what_is_no_hash_are_passed_over(answers, caplog):
    """Memory stays flat."""
    answers.ask(["../../etc/passwd", "", "AB" * 32])
    assert all_of(answers) == []
    answers.ask([f"{number:064x}" for number in range(100)])
    assert len(all_of(answers, from_s=9.0)) == 16
    assert "too much" in caplog.text


def test_nothing_outlives_the_connection(answers):
    """Who still wants it asks again."""
    answers.ask([name_of(LARGE), name_of(SMALL)])
    answers.next(0.0)
    answers.forget()
    assert all_of(answers, from_s=1.0) == []


class Asking(Collector):
    """Asks a device as the collector does."""

    def ask(self, *hashes: str) -> None:
        command = Command(name="evidence", ids=list(hashes))
        sent = messages.encode(command, Address("vedette", "d1"), STAMP)
        self._client.publish(sent.topic, sent.payload, qos=1)

    def parts(self, raw: bytes) -> list[messages.Evidence]:
        bodies = [message.body for message in list(self.got) if message.kind == "evidence"]
        return [body for body in bodies if body.sha256 == name_of(raw)]


@pytest.fixture
def asking(mosquitto):
    made = Asking(mosquitto.host, mosquitto.port)
    yield made
    made.close()


@pytest.fixture
def device(tmp_path, mosquitto, request):
    """Outbox, evidence and publisher without a pipeline."""
    shelf = Shelf(tmp_path / "evidence", max_bytes=1 << 24)
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=8 << 20)
    clock = Clock(first_seq=1)
    mqtt = Mqtt(host="127.0.0.1", port=mosquitto.port, version=request.param, resend_s=60.0)
    publisher = Publisher(mqtt, "d1", outbox, clock, read_evidence=shelf.get)
    publisher.shelf, publisher.alerts = shelf, outbox
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    until(lambda: publisher.is_connected)
    yield publisher
    stop.set()
    publisher.wake()
    thread.join(10)
    assert not thread.is_alive()
    outbox.close()
    publisher.close()


both = pytest.mark.parametrize("device", ["5", "3.1.1"], indirect=True)


@both
@pytest.mark.broker
def test_over_a_real_broker_it_arrives_whole(device, asking):
    """In both versions of the protocol; and what is gone is said to be gone."""
    sha256 = device.shelf.put(LARGE)
    asking.ask(sha256, name_of(b"gone"))
    until(lambda: len(asking.parts(LARGE)) == 3 and asking.parts(b"gone"))
    assert joined(asking.parts(LARGE)) == LARGE
    assert [part.parts for part in asking.parts(b"gone")] == [0]
    assert asking.malformed == []
    assert device.alerts.rows == 0


@both
@pytest.mark.broker
def test_alerts_do_not_wait_behind_a_large_file(device, asking):
    """5 MB would take 15 s; alerts raised meanwhile are stored at once."""
    large = LARGE * 125
    asking.ask(device.shelf.put(large))
    until(lambda: asking.parts(large))
    body = Alert(workload="w", state="raised", label="l", score=2.0, threshold=1.0, hits=1, of=1)
    waits_s = []
    for _ in range(10):
        device.alerts.put(
            messages.encode(
                body, Address("vedette", "d1", "p"), Clock(first_seq=len(waits_s) + 1).stamp()
            )
        )
        began_s = time.monotonic()
        device.wake()
        until(lambda: device.alerts.rows == 0)
        waits_s.append(time.monotonic() - began_s)
    assert len(asking.parts(large)) < 200, "the file was faster than it may be"
    assert sorted(waits_s)[5] < 0.5
