import numpy as np

from contract.spec import OperatingPoint
from contract.workloads.machine_condition import WORKLOAD
from export import device
from training.datasets.synthetic.run_to_failure import simulate
from training.watch import judge, see

POINT = OperatingPoint(1.2, 1.0, "", {}, {"spectrum": 2.0, "impulses": 0.8, "level": 0.5})


class Shrink:
    """An engine that rebuilds four fifths of what it is given."""

    def run(self, x):
        return np.float32(0.8) * x


class Loaded:
    """As much of an opened bundle as watching needs."""

    workload = WORKLOAD
    engines = {"spectrum": Shrink()}  # noqa: RUF012
    model_id = "shrink"

    class manifest:  # noqa: N801
        operating_point = POINT


def test_device_and_training_see_and_judge_the_same():
    machine = simulate(1, seed=4, windows=40).recordings[0]
    whole = see(WORKLOAD, {"spectrum": Shrink().run}, machine)
    stepped = device.see(WORKLOAD, {"shrink": {"spectrum": Shrink()}}, machine)["shrink"]
    for one, other in zip(whole.found, stepped.found, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.vector, b.vector)
    for one, other in zip(whole.passes["spectrum"], stepped.passes["spectrum"], strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    judged = judge(WORKLOAD, whole, POINT).scores
    np.testing.assert_array_equal(judged, device.watch(Loaded, machine).scores)
    assert np.isnan(judged[: machine.learn_windows]).all()
    assert np.isfinite(judged[machine.learn_windows :]).all()


def test_a_window_the_workload_refuses_is_not_judged():
    from dataclasses import replace

    machine = simulate(1, seed=4, windows=40).recordings[0]

    def stuck(i):
        window = machine.window(i)
        return replace(window, data=np.zeros_like(window.data)) if i == 30 else window

    scores = device.watch(Loaded, replace(machine, window=stuck)).scores
    assert np.isnan(scores[30])
    assert np.isfinite(scores[31])
