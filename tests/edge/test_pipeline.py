"""Stages folded in order, learning first, then judging."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import POINT, FakeEngine, toy_workload, window

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
