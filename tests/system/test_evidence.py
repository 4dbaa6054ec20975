"""From the hash in an alert to the file in a reader's hands: real outbox, broker and collector."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from real_broker import until
from secured_site import SecuredSite
from system_site import Site

from collector import fetch
from contract import evidence, messages
from contract.evidence import EvidenceFile
from contract.messages import Address, Alert, Command, Evidence, Stamp
from contract.shelf import Shelf
from edge.clock import Clock
from edge.config import Mqtt
from edge.outbox import Outbox
from edge.publisher import Publisher
from host import broker

STAMP = Stamp(ts_ns=0, mono_ns=0, boot_id="b", seq=0, clock_synced=True)


def a_second(seed: int) -> bytes:
    """Evidence of one window: a second of two axes at 25.6 kHz."""
    window = np.random.default_rng(seed).normal(size=(25_600, 2)).astype(np.float32)
    spectra = {"frequency_hz": np.arange(3.0), "present": np.ones((2, 3))}
    return evidence.encode(
        EvidenceFile(window, 25_600.0, 1, seed, "/vedette/press-1/p", "w", "g", spectra)
    )


class Device:
    """Outbox, evidence and publisher without a pipeline."""

    def __init__(self, folder: Path, mqtt: Mqtt, name: str = "press-1") -> None:
        self._folder, self._mqtt, self._name = folder / name, mqtt, name
        self._folder.mkdir(exist_ok=True)
        self.shelf = Shelf(self._folder / "evidence", max_bytes=1 << 24)

    def alert(self, raw: bytes, *, is_kept: bool = True) -> str:
        """Raise one with this evidence; its hash."""
        sha256 = self.shelf.put(raw) if is_kept else hashlib.sha256(raw).hexdigest()
        body = Alert(
            workload="w",
            state="raised",
            label="l",
            score=2.0,
            threshold=1.0,
            hits=1,
            of=1,
            evidence=sha256,
        )
        self.outbox.put(messages.encode(body, Address("vedette", self._name, "p"), self.stamp()))
        self.publisher.wake()
        return sha256

    def stamp(self) -> Stamp:
        return self._clock.stamp()

    def __enter__(self) -> Self:
        self.outbox = Outbox(self._folder / "outbox.db", max_bytes=8 << 20)
        self._clock = Clock(first_seq=self.outbox.last_seq + 1)
        self.publisher = Publisher(
            self._mqtt, self._name, self.outbox, self._clock, read_evidence=self.shelf.get
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.publisher.run, args=(self._stop,))
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self.publisher.wake()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.outbox.close()
        self.publisher.close()


def get(page: str, sha256: str, more: str = "") -> tuple[int, bytes]:
    """Status and answer of the collector."""
    try:
        with urllib.request.urlopen(f"{page}api/evidence/{sha256}{more}", timeout=15) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def known(page: str, sha256: str) -> bool:
    """Whether the alert has arrived that names it."""
    with urllib.request.urlopen(f"{page}api/alerts", timeout=5) as answer:
        return any(row["evidence"] == sha256 for row in json.load(answer)["alerts"])


def check_a_fetch(site: Site) -> None:
    mqtt = Mqtt(
        host="127.0.0.1", port=site.broker.port, version=site.broker.mqtt_version, resend_s=0.3
    )
    with Device(site.folder, mqtt) as device:
        raw = a_second(1)
        sha256 = device.alert(raw)
        gone = device.alert(b"removed by hand", is_kept=False)
        until(lambda: known(site.page, gone))
        assert get(site.page, sha256) == (200, raw)
        status, body = get(site.page, sha256, "/spectra")
        assert (status, json.loads(body)["samples"]) == (200, 25_600)
        out = site.folder / "alert.npz"
        assert fetch.main("evidence", [sha256, "--page", site.page, "--out", str(out)]) == 0
        assert out.read_bytes() == raw
        status, body = get(site.page, gone)
        assert (status, json.loads(body)) == (410, {"error": "press-1 does not have it any more"})
    # from now on it is here, though the device is away
    assert get(site.page, sha256) == (200, raw)


@pytest.mark.broker
def test_the_reader_gets_what_the_device_has_kept(site: Site):
    """By MQTT 5 through Mosquitto; and what is gone is said to be gone."""
    check_a_fetch(site)


def test_over_the_pure_python_broker_as_well(embedded_site: Site):
    """MQTT 3.1.1."""
    check_a_fetch(embedded_site)


@pytest.mark.broker
@pytest.mark.slow
def test_a_device_that_was_away_is_asked_when_it_is_back(site: Site):
    """Its reader is told to come again meanwhile."""
    mqtt = Mqtt(host="127.0.0.1", port=site.broker.port, resend_s=0.3)
    device = Device(site.folder, mqtt)
    with device:
        raw = a_second(2)
        sha256 = device.alert(raw)
        until(lambda: known(site.page, sha256))
    status, body = get(site.page, sha256)
    assert (status, json.loads(body)["of"]) == (202, None)
    with device:
        until(lambda: get(site.page, sha256)[0] == 200, within_s=30)
        assert get(site.page, sha256) == (200, raw)


@pytest.mark.broker
@pytest.mark.slow
def test_a_broker_that_dies_in_between_costs_a_question_and_no_alert(site: Site):
    """The device forgets what it was asked; the collector asks again."""
    mqtt = Mqtt(host="127.0.0.1", port=site.broker.port, resend_s=0.3)
    large = b"".join(a_second(seed) for seed in range(10))
    with Device(site.folder, mqtt) as device:
        sha256 = device.alert(large)
        until(lambda: known(site.page, sha256))
        asking = threading.Thread(target=get, args=(site.page, sha256))
        asking.start()
        time.sleep(1.0)  # of seven that it takes
        site.restart_broker()
        asking.join()
        ids = [device.alert(a_second(seed)) for seed in range(20, 25)]
        until(lambda: all(known(site.page, each) for each in ids), within_s=30)
        until(lambda: get(site.page, sha256)[0] == 200, within_s=60)
        assert get(site.page, sha256) == (200, large)


@contextlib.contextmanager
def collector(folder: Path, port: int, *more: str) -> Iterator[str]:
    """Address of its page."""
    command = [sys.executable, "-m", "vedette", "collect", "--port", str(port), *more]
    command += ["--db", str(folder / "collector.db"), "--http-port", "0", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def secured(plant: SecuredSite) -> contextlib.AbstractContextManager[str]:
    """A collector with the certificate of `central`."""
    own = plant.folder / "central"
    files = [f"--{name}-file={own / name}.pem" for name in ("ca", "cert", "key")]
    return collector(plant.folder, plant.port, "--host", "localhost", *files)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[SecuredSite]:
    """Two devices, a collector and a viewer; the broker runs."""
    made = SecuredSite(tmp_path)
    made.run("add", "press-1", "press-2")
    made.run("add", "central", "--role", "collector")
    made.run("add", "kitchen", "--role", "viewer")
    made.start()
    yield made
    made.stop()


@pytest.mark.broker
def test_on_a_secured_site_the_access_list_lets_it_through(plant: SecuredSite, tmp_path: Path):
    """Made by `vedette site`, with the packet size it allows."""
    with secured(plant) as page, Device(tmp_path, plant.mqtt("press-1")) as device:
        raw = a_second(3)
        sha256 = device.alert(raw)
        until(lambda: known(page, sha256))
        assert get(page, sha256) == (200, raw)
        assert device.publisher.refused == 0


@pytest.mark.broker
def test_on_a_secured_site_nobody_else_may_ask_or_answer(plant: SecuredSite, tmp_path: Path):
    """A viewer looks on; a device speaks for itself alone."""
    sent = messages.encode(
        Command(name="evidence", ids=["ab" * 32]), Address("vedette", "press-1"), STAMP
    )
    forged = messages.encode(
        Evidence(sha256="ab" * 32, part=0, parts=1, content=b"x"),
        Address("vedette", "press-1"),
        STAMP,
    )
    kitchen = plant.client("kitchen", hears="vedette/#")
    press = plant.client("press-2")
    with Device(tmp_path, plant.mqtt("press-1")) as device:
        until(lambda: device.publisher.is_connected)
        assert kitchen.say(sent.topic, sent.payload) == "Not authorized"
        assert press.say(sent.topic, sent.payload) == "Not authorized"
        assert press.say(forged.topic, forged.payload) == "Not authorized"
        time.sleep(0.5)
    assert not [topic for topic, _ in kitchen.heard if "/evidence/" in topic]


@pytest.mark.broker
@pytest.mark.slow
def test_of_collectors_that_share_each_gets_what_it_has_asked_for(tmp_path: Path):
    """What is dealt among them must reach the one whose reader waits; then both have it."""
    if broker.find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    started = broker.start(tmp_path / "broker", embedded=False)
    share = ("--share", "hall")
    mqtt = Mqtt(host="127.0.0.1", port=started.port, resend_s=0.3)
    try:
        with (
            collector(tmp_path, started.port, *share) as first,
            collector(tmp_path, started.port, *share) as second,
            Device(tmp_path, mqtt) as device,
        ):
            raws = [a_second(seed) for seed in range(4)]
            hashes = [device.alert(raw) for raw in raws]
            until(lambda: all(known(first, sha256) for sha256 in hashes))
            for raw, sha256, page, other in zip(
                raws, hashes, (first, second) * 2, (second, first) * 2, strict=True
            ):
                assert get(page, sha256) == (200, raw)
                assert get(other, sha256) == (200, raw)
    finally:
        started.stop()
