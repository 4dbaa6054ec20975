"""The operating point of the machine condition: what healthy machines show does not reach it."""

import dataclasses

import numpy as np
import pytest

from contract.condition import PARTS
from contract.workloads.machine_condition import WORKLOAD
from training.datasets.synthetic.run_to_failure import simulate
from training.metrics import healthy_for_sure, replay
from training.recipes import machine_condition as recipe
from training.recipes.machine_condition import RECIPE
from training.watch import judge, see


def lives_of(machines, seed, windows=150):
    models = {"spectrum": lambda rows: np.float32(0.8) * rows}
    lives = simulate(machines, seed=seed, windows=windows).recordings
    return [see(WORKLOAD, models, one) for one in lives]


@pytest.fixture(scope="module")
def seen():
    return lives_of(3, seed=2)


@pytest.fixture(scope="module")
def point(seen):
    return RECIPE.operating_point(seen)


def test_every_part_has_a_scale_above_its_floor(point):
    assert set(point.scales) == set(PARTS)
    assert all(point.scales[part] >= recipe._FLOORS[part] for part in PARTS)
    assert point.clear_threshold < point.threshold


def test_what_was_seen_of_healthy_machines_does_not_reach_the_threshold(seen, point):
    """Impulses may, of one machine: they decide nothing alone."""
    parts = [recipe.healthy_parts(one) for one in seen]
    for part in set(PARTS) - {"impulses"}:
        assert max(one[part] for one in parts) < point.scales[part]
    for one in seen:
        alarms = replay(WORKLOAD, judge(WORKLOAD, one, point), point)
        assert not alarms.is_raised[one.recording.life <= one.recording.onset].any()


def test_all_machines_are_found_at_it_and_it_says_what_it_was_chosen_on(seen, point):
    assert point.measured["found_share"] == 1.0
    assert point.measured["share_with_false_alarm"] == 0.0
    assert all(one.recording.name in point.chosen_on for one in seen)


def test_a_machine_that_shows_more_while_healthy_raises_the_scale(seen, point, monkeypatch):
    """All the others are a little less well watched for it."""
    wild = recipe.healthy_parts(seen[0]) | {"spectrum": 7.0}
    honest = recipe.healthy_parts
    monkeypatch.setattr(
        recipe, "healthy_parts", lambda one: wild if one is seen[0] else honest(one)
    )
    wider = RECIPE.operating_point(seen)
    assert 7.0 < wider.scales["spectrum"] < 8.0
    assert wider.scales["level"] == point.scales["level"]


def test_healthy_is_past_learning_and_before_the_onset_or_early_for_sure(seen):
    one = seen[0].recording
    mask = recipe.healthy(one)
    assert not mask[: one.learn_windows].any()
    assert mask[one.learn_windows]
    assert not mask[one.life >= one.onset].any()
    unknown = recipe.healthy(dataclasses.replace(one, onset=None))
    np.testing.assert_array_equal(
        unknown, healthy_for_sure(one.life) & (np.arange(len(one)) >= one.learn_windows)
    )


def test_metrics_tell_a_network_that_rebuilds_well_and_scores_that_rise(seen, point):
    watched = [judge(WORKLOAD, one, point) for one in seen]
    found = RECIPE.metrics(watched)
    assert found["auroc"] > 0.95
    assert found["rebuild_rms"] > 0
    perfect = see(WORKLOAD, {"spectrum": lambda rows: rows}, seen[0].recording)
    assert RECIPE.metrics([judge(WORKLOAD, perfect, point)])["rebuild_rms"] == 0.0
