"""The envelope method on machines made of numbers: what is there is named, what is not is not."""

import numpy as np
import pytest
import vibration

from contract.bearings import find
from contract.faults import STANDS_OUT, name_fault

SHAFT_HZ, RATE_HZ, SAMPLES = 25.0, 25_600.0, 76_800


def machine(seed, *, part=None, height=0.4, slip=0.01, off=1.0, name="6205"):
    """(samples,) three seconds of a machine, perhaps with a damaged bearing."""
    rng, bearing = np.random.default_rng(seed), find(name)
    x = vibration.healthy(rng, samples=SAMPLES, shaft_hz=SHAFT_HZ, channels=1)[:, 0]
    if part is None:
        return x
    turning = {"outer": None, "inner": SHAFT_HZ, "ball": bearing.ftf * SHAFT_HZ}[part]
    return x + height * vibration.blows(
        rng,
        rate_of_blows_hz=off * bearing.orders()[part] * SHAFT_HZ,
        samples=SAMPLES,
        resonance_hz=rng.uniform(1500, 7000),
        slip=slip,
        modulation_hz=turning,
    ).astype(np.float32)


def named(x, name="6205"):
    return name_fault(x, rate_hz=RATE_HZ, shaft_hz=SHAFT_HZ, bearing=find(name))


@pytest.mark.parametrize("part", ["outer", "inner", "ball"])
@pytest.mark.parametrize("seed", range(4))
def test_the_damaged_part_is_named_with_its_rate(part, seed):
    fault = named(machine(seed, part=part))
    assert fault.part == part
    assert fault.rate_hz == pytest.approx(find("6205").orders()[part] * SHAFT_HZ, rel=0.005)
    assert fault.margin > 0


@pytest.mark.parametrize("off", [0.985, 1.015])
def test_slip_and_a_speed_that_is_a_little_wrong_are_allowed_for(off):
    assert named(machine(0, part="outer", off=off)).part == "outer"


def test_blows_at_another_rate_are_no_fault_of_this_bearing():
    assert named(machine(0, part="outer", off=1.1)).part is None


@pytest.mark.parametrize("name", ["6205", "NICE", "6308"])
@pytest.mark.parametrize("seed", range(5))
def test_a_good_bearing_is_not_accused(name, seed):
    fault = named(machine(seed), name)
    assert fault.part is None
    assert fault.rate_hz == 0.0
    assert 0 < fault.margin == pytest.approx(STANDS_OUT - max(fault.scores.values()))


@pytest.mark.parametrize("seed", range(5))
def test_a_shaft_that_modulates_everything_is_no_bearing_fault(seed):
    t = np.arange(SAMPLES) / RATE_HZ
    turn = 2 * np.pi * SHAFT_HZ * t
    modulation = 1 + 0.5 * np.cos(turn) + 0.3 * np.cos(2 * turn) + 0.2 * np.cos(5 * turn)
    x = machine(seed) * modulation.astype(np.float32)
    assert named(x, "NICE").part is None
    assert named(x, "6203").part is None  # whose inner race passes 4.95 times a turn
