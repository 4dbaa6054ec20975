from dataclasses import replace

import numpy as np

from contract.spec import OperatingPoint
from contract.workloads.machine_condition import WORKLOAD, levels, partly_known
from export import device
from training.datasets.synthetic.run_to_failure import simulate
from training.watch import judge, learn, see

SCALES = {"spectrum": 2.0, "impulses": 0.8, "level": 0.5, "novelty": 1.0}
POINT = OperatingPoint(1.2, 1.0, "", {}, SCALES)


class Shrink:
    """An engine that rebuilds four fifths of what it is given."""

    def run(self, x):
        return np.float32(0.8) * x


class Loaded:
    """As much of an opened bundle as watching needs."""

    workload = WORKLOAD
    engines = {"spectrum": Shrink()}  # noqa: RUF012
    model_id = "shrink"
    learned = {}  # noqa: RUF012

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
    same_said(judge(WORKLOAD, whole, POINT), device.watch(Loaded, machine))


def same_said(trained, watched):
    """Both judged the same windows, with the same words, scores and levels of urgency."""
    learn = trained.recording.learn_windows
    assert np.isnan(trained.scores[:learn]).all()
    assert np.isfinite(trained.scores[learn:]).all()
    for one, other in zip(trained.found, watched.found, strict=True):
        assert [(d.label, d.score, d.level) for d in one] == [
            (d.label, d.score, d.level) for d in other
        ]
    assert {d.level for found in trained.found for d in found} == {"notice", "alarm"}


def partly_kept(machine, every=5):
    """A life of which only every so many windows' samples were kept; of the others two figures."""
    kept = range(every - 1, len(machine), every)

    def figures(i):
        window = machine.window(i)
        rows = levels(window, ())
        return window.t_ns, partly_known(rows[:, -2], rows[:, -1])

    return replace(
        machine,
        life=machine.life[every - 1 :: every],
        learn_windows=machine.learn_windows // every,
        window=lambda i: machine.window(kept[i]),
        between=lambda i: [figures(at) for at in range(kept[i] - every + 1, kept[i])],
    )


def test_device_and_training_agree_on_what_lies_between_the_windows_too():
    machine = partly_kept(simulate(1, seed=4, windows=400).recordings[0])
    trained = judge(WORKLOAD, see(WORKLOAD, {"spectrum": Shrink().run}, machine), POINT)
    watched = device.watch(Loaded, machine)
    same_said(trained, watched)
    without = replace(machine, between=lambda _: ())
    bare = judge(WORKLOAD, see(WORKLOAD, {"spectrum": Shrink().run}, without), POINT)
    assert not np.array_equal(bare.scores, trained.scores, equal_nan=True)


def test_a_life_is_learned_on_all_that_is_known_of_its_start():
    machine = partly_kept(simulate(1, seed=4, windows=400).recordings[0])
    whole = see(WORKLOAD, {"spectrum": Shrink().run}, machine)
    profile = learn(WORKLOAD, whole, POINT)
    assert profile.windows == 5 * machine.learn_windows
    assert profile.learned["crest_counts"].sum(axis=1).tolist() == [profile.windows] * 2


def test_what_was_loud_between_two_windows_and_passed_is_not_missed():
    """What is told of a window is the worst since the one before it, on each level."""
    machine = partly_kept(simulate(1, seed=4, windows=400).recordings[0], every=20)
    at = machine.learn_windows + 3

    def loud_between(i):
        between = machine.between(i)
        if i != at:
            return between
        loud = [(t, tuple(replace(d, vector=d.vector + 3) for d in f)) for t, f in between[:12]]
        return [*loud, *between[12:]]

    point = OperatingPoint(1.0, 0.8, "", {}, SCALES | {"level": 0.1})
    for recording, is_told in ((machine, False), (replace(machine, between=loud_between), True)):
        seen = see(WORKLOAD, {"spectrum": Shrink().run}, recording)
        (notice,) = [d for d in judge(WORKLOAD, seen, point).found[at] if d.level == "notice"]
        assert (notice.label == "level" and notice.score > 20) == is_told
        same_said(judge(WORKLOAD, seen, point), device.watch(with_point(point), recording))


def with_point(point):
    """The same bundle with another operating point."""
    manifest = type("manifest", (), {"operating_point": point})
    return type("Loaded", (Loaded,), {"manifest": manifest})
