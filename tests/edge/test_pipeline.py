"""Stages folded in order, learning first, then judging."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import POINT, FakeEngine, RunningSum, toy_workload, window

from contract.spec import Detection
from edge.errors import OutputError
from edge.pipeline import Pipeline, run_rows
from edge.profile import ProfileMemory


def pipeline(engine, *, learns=True):
    workload = toy_workload(learns=learns)
    memory = ProfileMemory(workload, "m", POINT, learn_windows=3)
    return Pipeline(workload, {"second": engine}, memory)


def flat(value: float):
    return window(np.full((10, 1), value, np.float32))


def test_stages_run_in_order_and_only_those_with_a_model_meet_the_engine():
    """The second sees what the first found; its engine subtracts two."""
    engine = FakeEngine(2.0)
    (found,) = pipeline(engine, learns=False)(flat(5.0))
    assert [x.tolist() for x in engine.seen] == [[5.0]]
    assert (found.label, found.score) == ("far", 3.0)


def test_it_learns_first_and_judges_from_then_on():
    """Nothing is found while there is nothing to compare with."""
    made = pipeline(FakeEngine())
    assert [made(flat(value)) for value in (1.0, 2.0, 3.0)] == [(), (), ()]
    (found,) = made(flat(7.0))
    assert found.score == pytest.approx(5.0)
    assert made.memory.gathered == 3


def test_every_stage_and_the_judge_are_timed():
    """The judge only when it judges."""
    made = pipeline(FakeEngine())
    for value in range(5):
        made(flat(float(value)))
    counts = {name: len(times) for name, times in made.times_ns.items()}
    assert counts == {"first": 5, "second": 5, "judge": 2}
    assert all(ns > 0 for times in made.times_ns.values() for ns in times)


class Broken:
    """An engine that gives what it is told to."""

    def __init__(self, *gives):
        self._gives = iter(gives)

    def run(self, _x):
        return np.array([next(self._gives)], np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_no_number_is_neither_learned_from_nor_judged(bad):
    """The windows around it are."""
    made = pipeline(Broken(1.0, bad, 2.0, 3.0, bad, 7.0))
    made(flat(1.0))
    with pytest.raises(OutputError, match="outputs of stage 'second' are NaN or infinite"):
        made(flat(1.0))
    assert made.memory.gathered == 1
    assert [made(flat(1.0)), made(flat(1.0))] == [(), ()]
    with pytest.raises(OutputError):
        made(flat(1.0))
    (found,) = made(flat(1.0))
    assert found.score == pytest.approx(5.0)


def test_an_input_that_is_no_number_never_meets_the_engine():
    """As an integer it would be a number like any other."""
    engine = FakeEngine()
    with pytest.raises(OutputError, match="inputs of stage 'first'"):
        pipeline(engine)(flat(np.nan))
    assert engine.seen == []


def with_stage(**changes):
    """The toy with its second stage, or itself, changed."""
    toy = toy_workload()
    stage = replace(toy.stages[1], **{k: v for k, v in changes.items() if k != "judge"})
    toy = replace(toy, stages=(toy.stages[0], stage), judge=changes.get("judge", toy.judge))
    memory = ProfileMemory(toy, "m", POINT, learn_windows=3)
    return Pipeline(toy, {"second": FakeEngine()}, memory)


def test_a_vector_that_is_no_number_hides_behind_no_finite_score():
    """Python's `max` passes NaN by, unless it comes first."""
    vector = np.array([np.nan], np.float32)
    made = with_stage(
        postprocess=lambda *_: (Detection("mean", vector=vector),),
        judge=lambda *_: (Detection("far", score=max(1.0, float(vector[0]))),),
    )
    for _ in range(5):
        with pytest.raises(OutputError, match="the vectors"):
            made(flat(1.0))
    assert made.memory.gathered == 0


def test_a_score_that_is_no_number_is_told():
    """A judge that divides by nothing."""
    made = with_stage(judge=lambda *_: (Detection("far", score=float("nan")),))
    for value in (1.0, 2.0, 3.0):
        made(flat(value))
    with pytest.raises(OutputError, match="the scores"):
        made(flat(1.0))


def following(**changes):
    """The toy with a follower that adds up; it has learned that 2 is healthy."""
    toy = replace(toy_workload(), follow=RunningSum, **changes)
    made = Pipeline(toy, {"second": FakeEngine()}, ProfileMemory(toy, "m", POINT, learn_windows=3))
    for value in (1.0, 2.0, 3.0):
        assert made(flat(value)) == ()
    return made


def test_what_is_judged_is_followed_over_time():
    """By the windows' own clock; what the follower says is what is found."""
    made = following()
    totals = []
    for i, value in enumerate((2.0, 5.0, 4.0)):
        (found,) = made(replace(flat(value), t_ns=i * 7))
        totals.append((found.label, found.score, found.level))
    assert totals == [("sum", 0.0, "notice"), ("sum", 3.0, "notice"), ("sum", 5.0, "notice")]
    assert made.memory.follower.seen_ns == [0, 7, 14]


def test_what_is_not_judged_is_not_followed():
    """A machine that stands still."""
    toy = toy_workload()
    made = following(judge=lambda found, p: toy.judge(found, p) if found[0].vector[0] else ())
    made(flat(5.0))
    assert made(flat(0.0)) == ()
    assert len(made.memory.follower.seen_ns) == 1
    (found,) = made(flat(4.0))
    assert found.score == 5.0


def test_a_sum_that_is_no_number_is_told():
    """Of the follower's scores too."""
    made = following()
    made.memory.follower.total = float("inf")
    with pytest.raises(OutputError, match="the scores"):
        made(flat(1.0))


def test_findings_can_be_taken_without_their_window():
    """They are learned from and judged the same as if their stages had run here."""
    whole, taken = following(), following()
    for i, value in enumerate((2.0, 5.0, 4.0)):
        found = (Detection("mean", vector=np.float32([value])),)
        (one,), (other,) = whole(replace(flat(value), t_ns=i)), taken.take(found, i)
        assert (one.label, one.score) == (other.label, other.score)
    toy = toy_workload()
    learning = Pipeline(toy, {}, ProfileMemory(toy, "m", POINT, learn_windows=3))
    for value in (1.0, 2.0, 3.0):
        assert learning.take((Detection("mean", vector=np.float32([value])),), 0) == ()
    assert learning.memory.profile.learned["centre"] == pytest.approx(2.0)


def test_without_rows_the_engine_is_not_asked():
    """A detector that found no crop."""
    engine = FakeEngine()
    assert run_rows(engine, np.zeros((0, 4), np.float32)).shape == (0, 4)
    assert engine.seen == []


def test_rows_go_through_the_engine_one_by_one():
    """A model takes one input at a time."""
    engine = FakeEngine(1.0)
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.testing.assert_array_equal(run_rows(engine, rows), rows - 1)
    assert len(engine.seen) == 3
