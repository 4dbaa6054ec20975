"""Outbox to broker: sent until the collector has stored it, whatever happens in between."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from edge_collector import Collector
from real_broker import until

from contract import messages
from contract.messages import Address, Alert, Score
from edge.clock import Clock
from edge.config import Mqtt
from edge.errors import ConfigError
from edge.outbox import Outbox
from edge.publisher import Publisher
from host import broker, ports

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = Address("vedette", "d1", "p")


class Device:
    """Outbox, clock and publisher without a pipeline."""

    def __init__(self, folder: Path, mqtt: Mqtt) -> None:
        self.outbox = Outbox(folder / "outbox.db", max_bytes=8 << 20)
        self.clock = Clock(first_seq=self.outbox.last_seq + 1)
        self.publisher = Publisher(mqtt, "d1", self.outbox, self.clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.publisher.run, args=(self._stop,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self.publisher.wake()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.outbox.close()
        self.publisher.close()

    def encode(self, *, pipeline="p", workload="w", label="l"):
        body = Alert(
            workload=workload, state="raised", label=label, score=2.0, threshold=1.0, hits=1, of=1
        )
        return messages.encode(body, Address("vedette", "d1", pipeline), self.clock.stamp())

    def alert(self, message=None) -> str:
        message = message or self.encode()
        self.outbox.put(message)
        self.publisher.wake()
        return message.id

    @property
    def rows(self) -> int:
        return self.outbox.rows


def at(broker, **options) -> Mqtt:
    return Mqtt(host="127.0.0.1", port=broker.port, **{"resend_s": 0.3, **options})


@pytest.mark.broker
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_an_acknowledgement_by_the_collector_deletes_the_row(
    tmp_path, mosquitto, collector, version
):
    """In both versions of the protocol."""
    with Device(tmp_path, at(mosquitto, version=version)) as device:
        sent = [device.alert() for _ in range(5)]
        until(lambda: device.rows == 0)
        assert device.outbox.acknowledged == 5
    assert collector.ids("alert") == sent
    assert collector.malformed == []


@pytest.mark.broker
def test_a_thousand_alerts_arrive_in_order_and_once(tmp_path, mosquitto, collector):
    """More than may be in flight at a time, with nothing sent twice for nothing."""
    with Device(tmp_path, at(mosquitto, resend_s=60.0)) as device:
        sent = [device.alert() for _ in range(1000)]
        until(lambda: device.rows == 0, within_s=40)
    assert collector.ids("alert") == sent


@pytest.mark.broker
def test_without_an_acknowledgement_it_is_sent_again(tmp_path, mosquitto, collector):
    """The broker has taken it each time; that is not enough."""
    collector.acknowledges = False
    with Device(tmp_path, at(mosquitto)) as device:
        sent = device.alert()
        until(lambda: len(collector.ids("alert")) >= 3)
        assert set(collector.ids("alert")) == {sent}
        assert device.rows == 1
        collector.acknowledge(sent)
        until(lambda: device.rows == 0)


@pytest.mark.broker
def test_who_listens_to_the_broker_alone_hears_everything_though_nobody_acknowledges(
    tmp_path, mosquitto, collector
):
    """More than may be in flight; and once somebody acknowledges, all of it is done with."""
    collector.acknowledges = False
    with Device(tmp_path, at(mosquitto, resend_s=60.0)) as device:
        until(lambda: device.publisher.is_connected)
        sent = [device.alert() for _ in range(600)]
        until(lambda: set(collector.ids("alert")) == set(sent))
        assert device.rows == 600
        assert not any(message.replayed for message in collector.got)
        collector.acknowledges = True
        collector.acknowledge(*sent[:300])
        until(lambda: device.rows == 0, within_s=40)


@pytest.mark.broker
def test_a_message_stored_late_is_sent_though_later_ones_have_gone(tmp_path, mosquitto, collector):
    """Held back on a full disk, or overtaken by another thread between stamp and `put`."""
    with Device(tmp_path, at(mosquitto)) as device:
        late = device.encode()
        device.alert()
        until(lambda: device.rows == 0)
        device.alert(late)
        until(lambda: device.rows == 0)
    assert late.id in collector.ids("alert")


@pytest.mark.broker
def test_a_broker_that_was_away_gets_everything_when_it_is_back(tmp_path, mosquitto, collector):
    """Killed, not stopped; the device reconnects by itself."""
    with Device(tmp_path, at(mosquitto)) as device:
        sent = [device.alert()]
        until(lambda: device.rows == 0)
        mosquitto.kill()
        sent += [device.alert() for _ in range(10)]
        until(lambda: not device.publisher.is_connected)
        mosquitto.start()
        until(lambda: device.rows == 0, within_s=40)
    assert set(collector.ids("alert")) == set(sent)


@pytest.mark.broker
def test_a_broker_that_comes_later_is_found(tmp_path, mosquitto, collector):
    """The device was up first."""
    mosquitto.stop()
    with Device(tmp_path, at(mosquitto)) as device:
        device.alert()
        time.sleep(0.2)
        mosquitto.start()
        until(lambda: device.rows == 0, within_s=40)


@pytest.mark.broker
def test_what_waited_for_the_connection_is_marked_and_what_did_not_is_not(
    tmp_path, mosquitto, collector
):
    """So that nobody sounds a horn for old news."""
    mosquitto.stop()
    with Device(tmp_path, at(mosquitto)) as device:
        old = device.alert()
        time.sleep(0.2)
        mosquitto.start()
        until(lambda: device.rows == 0, within_s=40)
        new = device.alert()
        until(lambda: device.rows == 0)
    marks = {message.id: message.replayed for message in collector.got}
    assert (marks[old], marks[new]) == (True, False)


@pytest.fixture
def strict_broker(tmp_path):
    """Takes no packet over 2 kB, and nothing under `vedette/d1/secret/`."""
    if broker.find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    port = ports.free_port()
    acl = tmp_path / "acl"
    acl.write_text("topic deny vedette/d1/secret/#\ntopic readwrite #\n")
    acl.chmod(0o644)
    options = f"message_size_limit 2000\nacl_file {acl}\n"
    running = broker.start(tmp_path / "strict", port=port, options=options)
    yield running
    running.stop()


@pytest.fixture
def strict_collector(strict_broker):
    listening = Collector("127.0.0.1", strict_broker.port)
    yield listening
    listening.close()


@pytest.mark.broker
@pytest.mark.slow
def test_a_message_that_makes_the_broker_hang_up_holds_up_no_others(
    tmp_path, strict_broker, strict_collector, monkeypatch
):
    """It ends alone, behind all others, and at last among the dead letters."""
    monkeypatch.setattr("edge.in_flight._STRIKES", 2)
    with Device(tmp_path, at(strict_broker)) as device:
        small = [device.alert() for _ in range(20)]
        huge = device.encode(label="x" * 250, workload="y" * 250)
        huge = dataclasses.replace(huge, payload=huge.payload[:-1] + b" " * 3000 + b"}")
        device.alert(huge)
        small += [device.alert() for _ in range(20)]
        until(lambda: set(strict_collector.ids("alert")) == set(small), within_s=60)
        while not device.outbox.health().dead:
            small.append(device.alert())  # life goes on meanwhile
            time.sleep(0.3)
        until(lambda: device.rows == 0, within_s=60)
    assert set(strict_collector.ids("alert")) == set(small)


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_message_the_broker_may_not_pass_on_is_put_aside(
    tmp_path, strict_broker, strict_collector, monkeypatch, version
):
    """MQTT 5 says so; under 3.1.1 it is confirmed, and only the acknowledgement is missing."""
    monkeypatch.setattr("edge.in_flight._STRIKES", 3)
    monkeypatch.setattr("edge.in_flight._MAX_RESEND_S", 0.5)
    with Device(tmp_path, at(strict_broker, version=version)) as device:
        denied = device.alert(device.encode(pipeline="secret"))
        sent = []
        while not device.outbox.health().dead:
            sent.append(device.alert())
            time.sleep(0.1)
        until(lambda: device.rows == 0)
        assert (device.publisher.refused > 0) == (version == "5")
    assert denied not in strict_collector.ids("alert")
    assert set(strict_collector.ids("alert")) == set(sent)


@pytest.mark.broker
def test_a_clean_stop_says_stopped(tmp_path, mosquitto, collector):
    """So that nobody takes it for a failure."""
    with Device(tmp_path, at(mosquitto)):
        until(lambda: collector.states() == ["online"])
    until(lambda: collector.states() == ["online", "stopped"])


@pytest.mark.broker
def test_the_last_will_says_offline_after_sigkill(tmp_path, mosquitto, collector):
    """The broker says it for a device that cannot."""
    program = (
        "import sys, threading\n"
        "from pathlib import Path\n"
        "from edge.clock import Clock\n"
        "from edge.config import Mqtt\n"
        "from edge.outbox import Outbox\n"
        "from edge.publisher import Publisher\n"
        "box = Outbox(Path(sys.argv[1]) / 'outbox.db', max_bytes=1 << 20)\n"
        "mqtt = Mqtt(host='127.0.0.1', port=int(sys.argv[2]))\n"
        "Publisher(mqtt, 'd1', box, Clock(first_seq=1)).run(threading.Event())\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(mosquitto.port)], cwd=ROOT
    )
    try:
        until(lambda: collector.states() == ["online"])
    finally:
        child.kill()
        child.wait()
    until(lambda: collector.states() == ["online", "offline"])


@pytest.mark.broker
def test_junk_on_the_command_topic_is_passed_over(tmp_path, mosquitto, collector):
    """And the next acknowledgement still counts."""
    collector.acknowledges = False
    with Device(tmp_path, at(mosquitto)) as device:
        sent = device.alert()
        until(lambda: collector.ids("alert"))
        for junk in (b"", b"\xff" * 10, b"{}", b"[" * 10_000):
            collector._client.publish("vedette/d1/command/ack", junk, qos=1)
        collector.acknowledge("not-one-of-ours", sent)
        until(lambda: device.rows == 0)


def test_scores_are_dropped_and_counted_while_the_broker_is_away(tmp_path, free_port):
    """They are for plots, not for decisions."""
    body = Score(workload="w", label="l", score=1.0, threshold=1.0)
    with Device(tmp_path, Mqtt(host="127.0.0.1", port=free_port)) as device:
        for _ in range(3):
            device.publisher.send_score(messages.encode(body, ADDRESS, device.clock.unordered()))
        assert device.publisher.scores_dropped == 3
        assert device.rows == 0


def test_a_broker_that_is_away_does_not_stop_the_loop(tmp_path, free_port):
    """Progress goes on, so the watchdog stays fed; stopping takes no longer."""
    with Device(tmp_path, Mqtt(host="127.0.0.1", port=free_port)) as device:
        first_ns = device.publisher.progress_ns
        until(lambda: device.publisher.progress_ns > first_ns + 500_000_000)
        start = time.monotonic()
    assert time.monotonic() - start < 2.0


@pytest.mark.parametrize("key", ["password_file", "ca_file"])
def test_a_missing_secret_is_a_config_error_at_the_start(tmp_path, key):
    """Naming the key and the file."""
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=1 << 20)
    missing = str(tmp_path / "nothing")
    with contextlib.closing(outbox), pytest.raises(ConfigError, match=rf"mqtt\.{key}.*nothing"):
        Publisher(Mqtt(**{key: missing}), "d1", outbox, Clock(first_seq=1))


def test_a_password_is_a_systemd_credential_by_name(tmp_path, monkeypatch):
    """The unit passes it in a folder of its own."""
    (tmp_path / "mqtt-password").write_text("secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=1 << 20)
    with contextlib.closing(outbox):
        made = Publisher(
            Mqtt(username="u", password_file="mqtt-password"), "d1", outbox, Clock(first_seq=1)
        )
        assert made._password == "secret"
        made.close()


def test_a_goodbye_that_nobody_hears_is_no_error(tmp_path, free_port):
    """The broker may hang up at that very moment; the thread must end, not die."""
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=1 << 20)
    mqtt = Mqtt(host="127.0.0.1", port=free_port)
    publisher = Publisher(mqtt, "d1", outbox, Clock(first_seq=1))
    with contextlib.closing(outbox), contextlib.closing(publisher):
        publisher._say_goodbye(publisher._new_client())
