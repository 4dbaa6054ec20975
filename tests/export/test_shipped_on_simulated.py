"""The shipped bundle on simulated machines, of which it is known when their damage can be told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.ops.simulate import RunToFailure
from contract.spec import Window
from edge.bundle import Bundle
from export import device
from training.datasets import Recording
from training.metrics import Alarms
from training.metrics import replay as policy_says
from training.watch import judge

SHIPPED = Path(__file__).resolve().parents[2] / "bundles" / "machine_condition"
LIVES, WINDOWS = 12, 240


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open(SHIPPED, "tflite")


def told(bundle: Bundle, machine: RunToFailure, learn: int) -> Alarms:
    """What a device would have said over a life."""

    def window(i: int) -> Window:
        return Window("m", i, int(i * machine.interval_s * 1e9), 0, machine.window(i), rate_hz)

    rate_hz = machine.rate_hz
    life = (np.arange(1, machine.windows + 1) / machine.windows).astype(np.float32)
    recording = Recording("m", "simulated", life, learn, machine.onset, "", window)
    engines = {"tflite": bundle.engines}
    seen = device.see(bundle.workload, engines, recording)["tflite"]
    point = bundle.manifest.operating_point
    return policy_says(bundle.workload, judge(bundle.workload, seen, point), point)


def impulses_exceed_noise(machine: RunToFailure) -> int:
    """The first window in which the RMS of the impulses exceeds that of the noise."""
    healthy, noise = replace(machine, onset=2.0), replace(machine, onset=2.0)
    noise._make["harmonics"] = np.zeros(6)
    for i in range(int(machine.onset * machine.windows), machine.windows):
        impulses = machine.window(i) - healthy.window(i)
        if impulses.std() > noise.window(i).std():
            return i
    raise AssertionError(f"never: {machine}")


def test_damage_is_told_by_the_time_its_impulses_exceed_the_noise(bundle):
    """A guard against getting worse: of these lives all are told, nearly all within 3 windows."""
    late = []
    for seed in range(LIVES):
        machine = RunToFailure(seed=3000 + seed, windows=WINDOWS)
        said = told(bundle, machine, learn=WINDOWS * 15 // 100)
        assert said.is_raised.any(), machine
        first = int(said.is_raised.argmax())
        assert first >= machine.onset * (WINDOWS - 1), "before there was any damage"
        late.append(first - impulses_exceed_noise(machine))
    assert np.mean(np.array(late) <= 3) >= 0.8, sorted(late)
    assert np.median(late) <= 0, sorted(late)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_thousands_of_healthy_windows_with_load_steps_are_silent(bundle, seed):
    """2,500 judged windows each, the load stepping six times."""
    machine = RunToFailure(seed=4000 + seed, windows=2700, onset=2.0)
    assert len({machine.load(i) for i in range(machine.windows)}) > 3
    said = told(bundle, machine, learn=200)
    assert said.is_judged.sum() >= 2500
    assert said.times_raised == 0
