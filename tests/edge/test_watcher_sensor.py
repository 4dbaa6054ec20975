"""A machine whose sensor begins to lie: its own alert, and not a word about the machine."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeSource, recorder, tiny_bundle

from contract.messages import Address, Encoded
from edge.bundle import Bundle
from edge.clock import Clock
from edge.config import PipelineConfig
from edge.errors import SourceError
from edge.serving import Serving
from edge.sources import replay, simulate
from edge.watcher import Watcher

ADDRESS = Address("vedette", "d1", "p")
RATE_HZ = 25_600


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return Bundle.open(tiny_bundle(tmp_path_factory.mktemp("sensor") / "bundle"), "onnx")


class Sent:
    """Keeps what would have gone into the queue."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.states: dict[str, bytes] = {}

    def __call__(self, *encoded: Encoded, states) -> None:
        self.states.update(states)
        self.messages += [
            {"kind": each.kind, **json.loads(each.payload)["data"]} for each in encoded
        ]

    def said(self) -> list[tuple[str, str, str]]:
        return [(m["kind"], m["state"], m["label"]) for m in self.messages]


def make(bundle: Bundle, source, folder: Path, sent: Sent, **options) -> Watcher:
    config = PipelineConfig("p", "bundle", source, learn_windows=60, **options)
    return Watcher(
        config,
        Serving(config, bundle, None, state_dir=folder, base=folder),
        recorder(folder),
        address=ADDRESS,
        clock=Clock(first_seq=1),
        send=sent,
        send_score=lambda _: None,
        base=folder,
    )


def recording(spoil) -> np.ndarray:
    """(400, 2560, 2) a healthy machine, a second apart; windows 200 to 300 go through `spoil`."""
    rng = np.random.default_rng(5)
    x = np.round(rng.normal(0, 0.5, (400, 2560, 2)) * 2048) / 2048
    x[200:300] = spoil(x[200:300])
    return x.astype(np.float32)


@pytest.mark.parametrize(
    ("label", "spoil"),
    [
        ("not_finite", lambda x: np.where(np.arange(2560)[:, None] == 9, np.nan, x)),
        ("stuck", lambda x: np.broadcast_to(x[:, :1], x.shape)),
        ("clipped", lambda x: np.clip(x * 8, -1.0, 1.0)),
        ("disconnected", lambda x: np.random.default_rng(1).integers(0, 2, x.shape) / 2048),
    ],
)
def test_a_sensor_that_lies_is_told_and_the_machine_is_not_accused(tmp_path, bundle, label, spoil):
    """A hundred bad seconds: raised within the first thirty, cleared thirty after the last."""
    np.savez(tmp_path / "life.npz", acc=recording(spoil), fs=RATE_HZ, interval_s=1.0)
    sent = Sent()
    source = replay.Config(path="life.npz", window_s=0.1, hop_s=1.0, speed=0.0)
    watcher = make(bundle, source, tmp_path, sent, sensor_alert_s=30.0)
    watcher.run()
    assert sent.said() == [("sensor", "raised", label), ("sensor", "cleared", label)]
    raised, cleared = sent.messages
    assert 200 <= raised["window"] <= 230
    assert 325 <= cleared["window"] <= 332
    assert cleared["refused"] == 100
    assert watcher.dropped == {label: 100}
    assert watcher.windows == 300
    assert watcher.health().sensor is None


def test_a_sensor_that_is_gone_is_told_while_the_service_is_well(tmp_path, bundle, monkeypatch):
    """Opened again and again, with the watchdog fed; cleared once it has been back for a while."""
    noise = [np.random.default_rng(i).normal(size=(2560, 2)).astype(np.float32) for i in range(8)]
    is_back = threading.Event()

    def open_source(*_args, **_options):
        if not is_back.is_set():
            raise SourceError("no such device")
        return FakeSource(live())

    def live():
        from contract.spec import Window

        for seq in range(10_000):
            time.sleep(0.02)
            now_ns = time.monotonic_ns()
            yield Window("s", seq, now_ns, time.time_ns(), noise[seq % 8] * (1 + seq), RATE_HZ)

    monkeypatch.setattr("edge.sources.open_source", open_source)
    monkeypatch.setattr("edge.watcher._LOOK_S", 0.05)
    sent = Sent()
    watcher = make(bundle, simulate.Config(hop_s=0.02), tmp_path, sent, sensor_alert_s=0.4)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        until_s = time.monotonic() + 15
        while not sent.messages and time.monotonic() < until_s:
            time.sleep(0.02)
        assert sent.said() == [("sensor", "raised", "source_failed")]
        assert watcher.health().sensor == "source_failed"
        assert watcher.state == "waiting"
        assert time.monotonic() - watcher._progress_s < 0.5
        assert sent.states["p.sensor"] == b"source_failed"
        is_back.set()
        began_s = time.monotonic()
        while len(sent.messages) < 2 and time.monotonic() < began_s + 15:
            time.sleep(0.02)
        assert time.monotonic() - began_s < 10
        assert sent.said()[1] == ("sensor", "cleared", "source_failed")
    finally:
        watcher.close()
        thread.join(10)
    assert not thread.is_alive()
