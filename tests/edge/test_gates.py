"""A sensor that lies is refused by reason; a failing or stopped machine and the night are not."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from contract.spec import ImageSpec, SignalSpec, Window
from edge.gates import Limits, open_gate
from edge.gates.rate import RateGate

SIGNAL = SignalSpec(500.0, 512, 25_600.0, 2560, 2)
IMAGE = ImageSpec(16, 16, 480, 640)
STEP = 1 / 2048  # of a 12 bit converter


def window(data, seq=0, t_s=None):
    t_ns = round((seq if t_s is None else t_s) * 1e9)
    return Window("s", seq, t_ns, 0, data, 25_600.0)


def noise(seq=0, *, rms=0.5, samples=2560, channels=2):
    """A healthy machine through a 12 bit converter."""
    x = np.random.default_rng(seq).normal(0.0, rms, (samples, channels))
    return (np.round(x / STEP) * STEP).astype(np.float32)


@pytest.fixture
def signal():
    """A gate that has seen twenty good windows."""
    gate = open_gate(SIGNAL, Limits())
    for seq in range(20):
        assert gate.refuse(window(noise(seq), seq)) is None
    return gate


def spoilt(change):
    x = noise(99)
    change(x[:, 1])
    return window(x, 99)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("not_finite", lambda x: np.put(x, 7, np.nan)),
        ("not_finite", lambda x: np.put(x, 7, -np.inf)),
        ("stuck", lambda x: x.fill(x[0])),
        ("stuck", lambda x: x[1000:1300].fill(x[999])),
        ("clipped", lambda x: np.clip(x, -0.8, 0.8, out=x)),
        ("clipped", lambda x: np.clip(x, None, 0.9, out=x)),
        ("disconnected", lambda x: np.copyto(x, np.where(np.arange(2560) % 3, 0.0, STEP))),
    ],
)
def test_one_bad_channel_is_enough(signal, reason, change):
    """The other one is as healthy as ever; the next window is good again."""
    assert signal.refuse(spoilt(change)) == reason
    assert signal.refuse(window(noise(100), 100)) is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda x: np.multiply(x, 6.0, out=x), id="six times as loud"),
        pytest.param(lambda x: np.multiply(x, 0.004, out=x), id="stopped: the sensor's own noise"),
        pytest.param(lambda x: np.add(x, 3.0, out=x), id="tilted"),
        pytest.param(lambda x: np.put(x, range(0, 2560, 160), 4.0), id="hard impulses"),
        pytest.param(lambda x: np.put(x, range(100, 110), x[99]), id="the same value ten times"),
    ],
)
def test_what_a_machine_can_do_is_believed(signal, change):
    """Loud, quiet, tilted, knocking."""
    assert signal.refuse(spoilt(change)) is None


def test_a_buffer_that_comes_twice_is_an_old_one(signal):
    """A driver that lost touch hands out what it has."""
    assert signal.refuse(window(noise(50), 50)) is None
    assert signal.refuse(window(noise(50), 51)) == "stuck"


def test_the_owner_may_know_floor_and_range():
    """What no signal tells by itself."""
    gate = open_gate(SIGNAL, Limits(full_scale=2.0, floor=0.1))
    assert gate.refuse(window(noise(1), 1)) is None
    assert gate.refuse(window(noise(2, rms=0.05), 2)) == "disconnected"
    assert gate.refuse(window(np.clip(noise(3, rms=2.0), -2.0, 2.0), 3)) == "clipped"


def test_real_machines_are_believed_to_their_end():
    """Whole lives of real bearings, up to the failure that makes them knock and roar."""
    real = Path(os.environ.get("VEDETTE_DATA", "data"), "pronostia")
    if not real.is_dir():
        pytest.skip(f"{real}: no such folder; set VEDETTE_DATA")
    refused: Counter[str] = Counter()
    windows = 0
    for path in sorted(real.glob("bearing*.npz")):
        recording = np.load(path)
        gate = open_gate(SIGNAL, Limits())
        for seq, counts in enumerate(recording["acc"]):
            data = counts.astype(np.float32) * np.float32(recording["scale"])
            refused[str(gate.refuse(window(data, seq)))] += 1
            windows += 1
    assert windows > 1000
    assert refused == {"None": windows}


# -- pictures --------------------------------------------------------------------------------------


def scene(seq=0, *, low=0, high=200, size=(120, 160)):
    """Something with areas, edges and the noise of a real sensor."""
    y, x = np.mgrid[: size[0], : size[1]]
    base = low + (high - low) * ((x // 20 + y // 20) % 2)
    grain = np.random.default_rng(seq).normal(0, 3, (*size, 3))
    return np.clip(base[..., None] + grain, 0, 255).astype(np.uint8)


@pytest.fixture
def camera():
    gate = open_gate(IMAGE, Limits(frozen_s=2.0))
    for seq in range(3):
        assert gate.refuse(window(scene(seq), seq)) is None
    return gate


@pytest.mark.parametrize(
    ("reason", "picture"),
    [
        ("corrupt", np.zeros((0, 0, 3), np.uint8)),
        ("not_an_image", np.zeros((120, 160), np.uint8)),
        ("too_small", np.zeros((8, 160, 3), np.uint8)),
        ("wrong_size", scene(5, size=(240, 320))),
        ("black", scene(5, high=3)),
        ("saturated", scene(5, low=254, high=255)),
        ("torn", np.concatenate([scene(5)[:70], np.full((50, 160, 3), 128, np.uint8)])),
    ],
)
def test_a_picture_that_shows_nothing_is_refused(camera, reason, picture):
    """And the next good one is taken."""
    assert camera.refuse(window(picture, 4)) == reason
    assert camera.refuse(window(scene(6), 5)) is None


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(scene(5, high=40), id="a dark room"),
        pytest.param(scene(5, low=150, high=255), id="a bright one"),
        pytest.param(np.where(scene(5) > 100, scene(5), 0).astype(np.uint8), id="night and lamps"),
        pytest.param(
            np.concatenate([scene(5)[:110], np.zeros((10, 160, 3), np.uint8)]), id="a black bar"
        ),
    ],
)
def test_a_picture_that_shows_something_is_believed(camera, picture):
    """However dark or bright."""
    assert camera.refuse(window(picture, 4)) is None


def test_a_picture_that_never_changes_is_an_old_one(camera):
    """A real sensor has noise; a still scene is not a still picture."""
    assert camera.refuse(window(scene(9), t_s=10.0)) is None
    assert camera.refuse(window(scene(9), t_s=11.0)) is None
    assert camera.refuse(window(scene(9), t_s=12.0)) == "frozen"
    assert camera.refuse(window(scene(10), t_s=13.0)) is None


# -- the rate --------------------------------------------------------------------------------------


def rated(ratio, *, seconds=300, late=lambda _: 0.0):
    """What is said of windows from a sensor that samples `ratio` times as fast as it says."""
    gate = RateGate(tolerance=0.01)
    return [
        gate.refuse(second * ratio, second + late(second), max_gap_s=3.0)
        for second in range(seconds)
    ]


@pytest.mark.parametrize("ratio", [1.0, 0.995, 1.005])
def test_a_rate_within_the_tolerance_is_believed(ratio):
    """Crystals differ."""
    assert set(rated(ratio)) == {None}


@pytest.mark.parametrize("ratio", [0.95, 1.05, 2.0])
def test_a_wrong_rate_is_found_within_minutes(ratio):
    """From its samples, counted against our clock."""
    said = rated(ratio)
    assert said[-1] == "rate_drift"
    assert set(said[:60]) == {None}


def test_late_windows_are_no_wrong_rate():
    """A busy device takes some of them later than others."""
    assert set(rated(1.0, late=lambda second: 0.8 * (second % 7 == 0))) == {None}


def test_a_gap_begins_the_count_anew():
    """Time passed without samples is no slow sensor."""
    gate = RateGate(tolerance=0.01)
    for second in range(100):
        assert gate.refuse(float(second), float(second), max_gap_s=3.0) is None
    for second in range(100, 200):
        assert gate.refuse(second + 50.0, float(second) + 100.0, max_gap_s=3.0) is None
