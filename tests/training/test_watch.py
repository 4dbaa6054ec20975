"""Whole recordings, judged as a device would; what was worst between two windows."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import POINT, RunningSum, toy_workload

from contract.spec import Detection, Window
from training.datasets import Recording
from training.watch import judge, judged_by, judged_moments, learn, see, worst

LEARN = 3


def found(value):
    return (Detection("mean", vector=np.float32([value])),)


def recording(values, between=None, learn_until_ns=-1):
    """A window of ten equal samples for each value, ten seconds apart."""
    life = (np.arange(1, len(values) + 1) / len(values)).astype(np.float32)

    def window(i):
        data = np.full((10, 1), values[i], np.float32)
        return Window("m", i, i * 10**10, 0, data, 10.0)

    between = between or {}
    kept = {i: tuple((t_ns, found(value)) for t_ns, value in rows) for i, rows in between.items()}
    return Recording(
        "m", "made", life, LEARN, None, "", window, lambda i: kept.get(i, ()), learn_until_ns
    )


TOY = toy_workload()
FOLLOWED = replace(TOY, follow=RunningSum)
MODELS = {"second": lambda rows: rows}


def seen(values, between=None, learn_until_ns=-1):
    return see(TOY, MODELS, recording(values, between, learn_until_ns))


def test_the_first_windows_are_learned_from_and_the_others_judged():
    watched = judge(TOY, seen([1.0, 2.0, 3.0, 2.0, 7.0]), POINT)
    assert watched.found[:LEARN] == ((), (), ())
    np.testing.assert_array_equal(watched.scores, [np.nan, np.nan, np.nan, 0.0, 5.0])


def test_what_lies_between_is_learned_from_too():
    whole = seen([1.0, 2.0, 3.0, 2.0], {0: [(-5, 8.0)], 2: [(15, 6.0), (17, 4.0)], 3: [(25, 99.0)]})
    profile = learn(TOY, whole, POINT)
    assert profile.windows == 6
    assert profile.learned["centre"].item() == pytest.approx((1 + 2 + 3 + 8 + 6 + 4) / 6)


def test_learning_lasts_until_its_time_and_not_until_the_last_kept_window():
    """What was learned from is not judged; what comes after it, is."""
    between = {3: [(21, 10.0), (22, 12.0), (23, 5.0), (24, 3.0)]}
    values = [2.0, 2.0, 2.0, 6.0, 2.0]
    whole = seen(values, between, learn_until_ns=22)
    profile = learn(TOY, whole, POINT)
    assert profile.windows == 5
    assert profile.learned["centre"].item() == pytest.approx(28 / 5)
    assert [t_ns for t_ns, _ in judged_moments(whole, 3)] == [23, 24, 30 * 10**9]
    assert judge(TOY, whole, POINT).scores[3] == pytest.approx(28 / 5 - 3.0)
    assert learn(TOY, seen(values, between), POINT).windows == 3


def test_what_lies_between_comes_before_its_window():
    whole = seen([1.0] * 5, {4: [(31 * 10**9, 5.0), (35 * 10**9, 6.0)]})
    at = [t_ns for t_ns, _ in judged_moments(whole, 4)]
    assert at == [31 * 10**9, 35 * 10**9, 40 * 10**9]


def test_the_worst_since_the_last_window_is_what_is_said_of_a_window():
    whole = seen([2.0] * 6, {4: [(31, 9.0), (32, 3.0)]})
    assert judge(TOY, whole, POINT).scores[3:].tolist() == [0.0, 7.0, 0.0]


def test_a_follower_sees_every_moment_after_learning_in_order():
    whole = seen([2.0] * 6, {1: [(5, 2.0)], 4: [(31, 9.0), (32, 3.0)]})
    watched = judge(FOLLOWED, whole, POINT)
    assert [one.score for (one,) in watched.found[3:]] == [0.0, 8.0, 8.0]


def test_a_follower_does_not_see_what_is_not_judged():
    whole = seen([2.0, 2.0, 2.0, 4.0, 8.0, 3.0])
    only = np.array([True, True, True, True, False, True])
    assert judge(FOLLOWED, whole, POINT, only=only).scores[3:].tolist()[::2] == [2.0, 3.0]


def test_every_recording_is_followed_anew():
    profile = learn(TOY, seen([2.0] * 3), POINT)
    for _ in range(2):
        judge_one = judged_by(FOLLOWED, profile)
        assert [judge_one(i, found(5.0))[0].score for i in range(3)] == [3.0, 6.0, 9.0]


def test_the_worst_of_several_moments_is_that_of_each_level():
    first = (Detection("a", score=1.0, level="notice"), Detection("b", score=0.5, level="alarm"))
    second = (Detection("c", score=0.2, level="notice"), Detection("d", score=2.0, level="alarm"))
    assert worst([first, (), second]) == (first[0], second[1])


def test_one_moment_is_given_as_it_is():
    """All its detections, not only the worst: a picture may show many things."""
    several = tuple(Detection("part", score=score) for score in (0.1, 0.9, 0.5))
    assert worst([(), several, ()]) == several
    assert worst([(), ()]) == worst([]) == ()
