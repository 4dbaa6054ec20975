"""One pipeline's model side: what happens when inference fails, and to what was learned."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeSource, recorder, tiny_bundle, window
from systemd import Unit
from tamper import MODEL, flip, remodel

import vedette
from edge import activate
from edge.bundle import Bundle
from edge.config import PipelineConfig
from edge.errors import BundleError, EngineError, OutputError
from edge.outbox import Outbox
from edge.proof import Proof
from edge.serving import Serving
from edge.sources import simulate
from edge.watcher import Watcher

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "machine_condition"


class Broken:
    """An engine that fails, or gives what is no number."""

    def __init__(self, *, nan: bool = False) -> None:
        self._nan = nan

    def run(self, x):
        if self._nan:
            return x * np.float32("nan")
        raise EngineError("the runtime fell over")


def noise(seed: int = 0):
    return window(np.random.default_rng(seed).normal(size=(2560, 2)).astype(np.float32), seq=seed)


def prove(bundle: Path) -> Proof:
    return Proof(Bundle.open(bundle, "onnx").model_id, 0.0)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return [tiny_bundle(folder / str(i), gain=0.5**i) for i in (1, 2)]


@pytest.fixture
def place(two, tmp_path):
    """The first bundle in reserve, the second active."""
    shutil.copytree(two[0], tmp_path / "mc")
    activate.activate(two[1], tmp_path / "mc", prove)
    return tmp_path / "mc"


@pytest.fixture
def serve(place):
    """A pipeline's model side, its engine exchanged."""

    def make(engine=None, *, windows=2):
        bundle = Bundle.open(place, "onnx")
        if engine:
            bundle = replace(bundle, engines={"spectrum": engine})
        config = PipelineConfig(
            "p", "mc", simulate.Config(hop_s=1.0), engine="onnx", learn_windows=windows
        )
        return Serving(config, bundle, None, state_dir=place.parent, base=place.parent)

    return make


def fail(serving) -> EngineError:
    with pytest.raises(EngineError, match="fell over") as error:
        serving(noise())
    return error.value


def break_it(serving) -> None:
    serving.pipeline = type(serving.pipeline)(
        serving.bundle.workload, {"spectrum": Broken()}, serving.pipeline.memory
    )


def ids(*bundles):
    return [Bundle.open(one, "onnx").model_id for one in bundles]


def test_the_first_failure_starts_the_same_bundle_anew(two, serve):
    """What was learned and what was said stay."""
    serving = serve()
    for seed in range(2):
        serving(noise(seed))
    memory = serving.pipeline.memory
    serving.policy.resume(b"alarm")
    break_it(serving)
    serving.recover(fail(serving))
    assert [serving.bundle.model_id] == ids(two[1])
    assert serving.refused is None
    assert serving.pipeline.memory is memory
    assert serving.policy.state() == b"alarm"
    assert serving(noise(3))


def test_the_second_failure_goes_on_with_the_bundle_before(two, serve, caplog):
    """Its profile is its own; an alert raised before can still be cleared."""
    serving = serve(Broken())
    serving.policy.resume(b"alarm")
    serving.recover(fail(serving))
    break_it(serving)
    serving.recover(fail(serving))
    assert [serving.bundle.model_id] == ids(two[0])
    assert serving.refused == "inference failed: the runtime fell over"
    assert serving.policy.state() == b"alarm"
    assert f"model {serving.bundle.model_id} serves instead" in caplog.text
    break_it(serving)
    error = fail(serving)
    with pytest.raises(EngineError, match="fell over"):
        serving.recover(error)


def test_with_nothing_before_it_the_second_failure_is_the_last(place, serve):
    """The process ends, and is started anew."""
    activate.previous_of(place).unlink()
    serving = serve(Broken())
    serving.recover(fail(serving))
    break_it(serving)
    error = fail(serving)
    with pytest.raises(EngineError, match="fell over"):
        serving.recover(error)


def test_a_bundle_damaged_meanwhile_is_not_started_anew(two, place, serve):
    """The one before it serves, and the reason is its own."""
    serving = serve(Broken())
    flip(place.resolve() / MODEL)
    serving.recover(fail(serving))
    assert [serving.bundle.model_id] == ids(two[0])
    assert "SHA-256" in serving.refused


def test_with_every_bundle_damaged_it_ends(place, serve):
    """A person must act, and is told at the next start."""
    serving = serve(Broken())
    error = fail(serving)
    for one in (place, activate.previous_of(place)):
        flip(one.resolve() / MODEL)
    with pytest.raises(BundleError, match="previous one is refused too"):
        serving.recover(error)


def test_a_failure_long_ago_counts_no_more(two, serve, monkeypatch):
    """Once in many windows is not what a roll back is for."""
    monkeypatch.setattr("edge.serving._FORGIVEN", 3)
    serving = serve(Broken())
    for _ in range(4):
        serving.recover(fail(serving))
        for seed in range(3):
            serving(noise(seed))
        break_it(serving)
    assert [serving.bundle.model_id] == ids(two[1])


def test_ten_windows_in_a_row_without_numbers_are_a_failed_inference(serve):
    """Nine are not; one good window between them and the count begins anew."""
    serving = serve(Broken(nan=True))
    for _ in range(9):
        with pytest.raises(OutputError):
            serving(noise())
    with pytest.raises(EngineError, match="10 windows in a row: the outputs") as error:
        serving(noise())
    assert not isinstance(error.value, OutputError)
    assert serving.pipeline.memory.gathered == 0


def test_a_watcher_counts_them_and_starts_anew(two, serve, monkeypatch, tmp_path):
    """No message, no learning; then the engine as it was proven learns from all windows."""
    serving = serve(Broken(nan=True), windows=100)
    windows = [noise(seed) for seed in range(12)]
    monkeypatch.setattr("edge.sources.open_source", lambda *_, **__: FakeSource(windows))
    watcher = Watcher(
        serving._config,
        serving,
        recorder(tmp_path),
        address=None,
        clock=None,
        send=pytest.fail,
        send_score=pytest.fail,
        base=Path(),
    )
    watcher.run()
    health = watcher.health()
    assert health.dropped == {"output_not_finite": 9, "inference_failed": 1}
    assert (health.learned_windows, health.windows, health.bundle_refused) == (12, 12, None)
    assert [health.model_id] == ids(two[1])


CONFIG = """
[device]
name = "d1"
state_dir = "state"
health_interval_s = 0.2

[mqtt]
host = "127.0.0.1"
port = {port}

[[pipeline]]
name = "p"
bundle = "mc"
learn_windows = 40

[pipeline.source]
type = "simulate"
windows = 100000
hop_s = 1.0
speed = 200.0
"""


@pytest.fixture
def config(place, free_port):
    path = place.parent / "edge.toml"
    path.write_text(CONFIG.format(port=free_port))
    return path


def health_of(config: Path) -> dict:
    """A start, a few health messages, a stop; the pipeline's part of the last one."""
    with Unit(config) as unit:
        deadline_s = time.monotonic() + 30
        while unit.now.fed < 3:
            assert time.monotonic() < deadline_s, unit.log()
            time.sleep(0.05)
        unit.stop()
    box = Outbox(config.parent / "state" / "outbox.db", max_bytes=8 << 20)
    rows = [row for row in box.waiting(after=0, limit=100_000) if row.topic.endswith("/health")]
    box.close()
    health = json.loads(rows[-1].payload)["data"]["pipelines"]["p"]
    return {key: health.get(key) for key in ("model_id", "bundle_refused", "learned_windows")}


@pytest.mark.slow
def test_a_device_through_a_bad_card_and_a_roll_back(two, place, config):
    """The new bundle serves; damaged, the one before it; after a roll back with what it knew."""
    old, new = ids(*two)
    said = health_of(config)
    assert (said["model_id"], said["bundle_refused"]) == (new, None)
    assert said["learned_windows"] > 0
    flip(place.resolve() / MODEL)
    said = health_of(config)
    assert said["model_id"] == old
    assert "SHA-256" in said["bundle_refused"]
    flip(place.resolve() / MODEL)
    said = health_of(config)
    assert (said["model_id"], said["bundle_refused"]) == (new, None)
    vedette.main(["activate", "--back", "--config", str(config)])
    said = health_of(config)
    assert (said["model_id"], said["bundle_refused"]) == (old, None)
    profiles = {one.name for one in (place.parent / "state").glob("*.profile*.npz")}
    assert profiles == {"p.profile.npz", f"p.profile.{new}.npz"}


@pytest.mark.slow
def test_a_model_that_kills_its_runtime_never_kills_the_service(place, config):
    """The one before it serves; with none before it: 78, once, and no crash loop."""
    raw = bytearray((SHIPPED / "SPECTRUM.tflite").read_bytes())
    raw[1616] ^= 1 << 2  # ends LiteRT 2.3.0 by SIGABRT
    bad = shutil.copytree(SHIPPED, place.parent / "bad")
    remodel(bad, bytes(raw), engine="tflite")
    place.unlink()
    place.symlink_to(bad)
    assert health_of(config)["bundle_refused"]
    activate.previous_of(place).unlink()
    with Unit(config) as unit:
        assert unit.now.process.wait(30) == 78
        time.sleep(1.0)
        assert len(unit.lives) == 1
        assert f"vedette run: {place.parent}" in unit.log()
