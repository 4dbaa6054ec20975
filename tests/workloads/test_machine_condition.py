"""Synthetic windows with known answers through the whole workload, with a fake engine."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeEngine, window

from contract import workloads
from contract.messages import Alert
from contract.spec import Detection, OperatingPoint, Profile
from contract.workloads.machine_condition import (
    N_BANDS,
    distance,
    healthy_baseline,
    partly_known,
)
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory

WORKLOAD = workloads.load("machine_condition")
POINT = OperatingPoint(
    threshold=1.0,
    clear_threshold=0.8,
    chosen_on="healthy noise",
    measured={},
    scales={"spectrum": 1.0, "impulses": 0.2, "level": float(np.log(2.5)), "novelty": 1.5},
)
RATE_HZ, SAMPLES, CHANNELS = 25_600.0, 2560, 2


class Rebuilds:
    """A network that gives back what it always gives, or exactly what it sees."""

    def __init__(self, shape: np.ndarray | None = None) -> None:
        self.shape = shape

    def run(self, x):
        return x if self.shape is None else self.shape


def healthy(seed: int) -> np.ndarray:
    """Noise of a machine that does not change."""
    return np.random.default_rng(seed).normal(size=(SAMPLES, CHANNELS)).astype(np.float32)


def resonance(seed: int, *, strength: float) -> np.ndarray:
    """Healthy noise, and impulses that ring over a broad band on the first axis."""
    rng = np.random.default_rng([seed, 1])
    train = np.zeros(SAMPLES)
    train[rng.integers(0, SAMPLES, size=8)] = strength
    n = np.arange(60)
    ring = np.convolve(train, np.exp(-0.05 * n) * np.sin(1.5 * n))[:SAMPLES]
    x = healthy(seed)
    x[:, 0] += ring.astype(np.float32)
    return x


@pytest.fixture
def pipeline(profile_file):
    """One that has learned a hundred healthy windows; its network gives back zeros."""
    memory = ProfileMemory(WORKLOAD, "model", POINT, learn_windows=100, path=profile_file)
    return Pipeline(WORKLOAD, {"spectrum": Rebuilds(np.zeros(N_BANDS, np.float32))}, memory)


@pytest.fixture(scope="module")
def learned_file(tmp_path_factory):
    """Learning takes a while; once is enough."""
    path = tmp_path_factory.mktemp("learned") / "p.profile.npz"
    memory = ProfileMemory(WORKLOAD, "model", POINT, learn_windows=100, path=path)
    pipeline = Pipeline(WORKLOAD, {"spectrum": Rebuilds(np.zeros(N_BANDS, np.float32))}, memory)
    for seed in range(100):
        assert pipeline(window(healthy(seed))) == ()
    assert memory.profile is not None
    return path


@pytest.fixture
def profile_file(learned_file, tmp_path):
    return Path(shutil.copy(learned_file, tmp_path))


def watch(pipeline, lives, *, start=0):
    """Judged detections of windows ten seconds apart, by level."""
    said = [
        {d.level: d for d in pipeline(replace(window(x), t_ns=i * 10**10))}
        for i, x in enumerate(lives, start=start)
    ]
    assert all(set(one) == {"notice", "alarm"} for one in said)
    return said


def test_a_network_that_rebuilds_everything_leaves_no_residual():
    """The first numbers of each vector are what could not be rebuilt."""
    first, spectrum = WORKLOAD.stages
    seen = window(healthy(0))
    rows = first.preprocess(seen, ())
    found = first.postprocess(seen, (), rows, rows)
    shape = spectrum.preprocess(seen, found)
    assert shape.shape == (CHANNELS, N_BANDS)
    np.testing.assert_allclose(shape.mean(axis=1), 0.0, atol=1e-5)
    rebuilt = spectrum.postprocess(seen, found, shape, shape)
    for before, after in zip(found, rebuilt, strict=True):
        assert not after.vector[:N_BANDS].any()
        np.testing.assert_array_equal(after.vector[N_BANDS:], before.vector[N_BANDS:])


def test_the_network_sees_one_row_per_channel():
    """Each without its loudness."""
    engine = FakeEngine()
    memory = ProfileMemory(WORKLOAD, "model", POINT, learn_windows=2)
    Pipeline(WORKLOAD, {"spectrum": engine}, memory)(window(10 * healthy(0)))
    assert [x.shape for x in engine.seen] == [(N_BANDS,)] * CHANNELS
    quiet = FakeEngine()
    Pipeline(WORKLOAD, {"spectrum": quiet}, memory)(window(healthy(0)))
    np.testing.assert_allclose(engine.seen, quiet.seen, atol=1e-4)


def test_windows_like_those_learned_from_score_below_one(pipeline):
    """New ones and the learned ones."""
    said = watch(pipeline, [healthy(seed) for seed in (*range(0, 100, 9), *range(300, 500))])
    assert max(one["notice"].score for one in said) < 1.0
    assert max(one["alarm"].score for one in said) < 1.0


def test_a_resonance_is_noticed(pipeline):
    """Damage on one axis is enough."""
    said = watch(pipeline, [resonance(seed, strength=40.0) for seed in range(200, 300)])
    assert said[-1]["notice"].score > 1.0
    assert said[-1]["notice"].label in {"spectrum", "impulses", "novelty"}


def test_more_damage_scores_higher(pipeline):
    """From the first windows on."""
    weak = watch(pipeline, [resonance(seed, strength=2.0) for seed in range(200, 210)])
    strong = watch(pipeline, [resonance(seed, strength=40.0) for seed in range(200, 210)], start=10)
    assert strong[-1]["notice"].score > weak[-1]["notice"].score


def test_more_of_the_same_raises_the_level_and_is_no_alarm(pipeline):
    """A gain of e moves all bands by one neper, and the spectrum's shape by nothing."""
    said = watch(pipeline, [np.e * healthy(seed) for seed in range(200, 240)])
    assert said[-1]["notice"].label == "level"
    assert said[-1]["notice"].score == pytest.approx(1.0 / np.log(2.5), abs=0.25)
    assert max(one["alarm"].score for one in said) < 1.0
    said = watch(pipeline, [healthy(seed) / np.float32(np.e) for seed in range(240)], start=40)
    assert max(one["notice"].score for one in said[20:]) < 1.0


def test_lasting_damage_gives_one_alert_a_level_and_its_end_another(pipeline):
    """Loud impulses that ring: a notice, and soon an alarm; both cleared after a calm while."""
    policy = WORKLOAD.policy(POINT)
    lives = [healthy(seed) for seed in range(20)]
    lives += [np.float32(3) * resonance(seed, strength=40.0) for seed in range(20, 200)]
    lives += [healthy(seed) for seed in range(200, 500)]
    said = [
        (i, message.level, message.state)
        for i, x in enumerate(lives)
        for message in policy.update(pipeline(replace(window(x), t_ns=i * 10**10)), i * 10**10)
        if isinstance(message, Alert)
    ]
    raised = {level: i for i, level, state in said if state == "raised"}
    cleared = {level: i for i, level, state in said if state == "cleared"}
    assert len(said) == 4
    assert 20 <= raised["notice"] <= raised["alarm"] < 50
    assert min(cleared.values()) > 200 + 60  # ten minutes of calm at least


def test_a_restart_in_mid_life_goes_on(pipeline, profile_file):
    """What only time has taught is saved when the service ends."""
    lives = [resonance(seed, strength=8.0) for seed in range(200)]
    whole = watch(pipeline, lives[:150])
    pipeline.memory.save()
    again = Pipeline(
        WORKLOAD,
        {"spectrum": Rebuilds(np.zeros(N_BANDS, np.float32))},
        ProfileMemory(WORKLOAD, "model", POINT, learn_windows=100, path=profile_file),
    )
    whole, after = (watch(one, lives[150:], start=150) for one in (pipeline, again))
    for level in ("notice", "alarm"):
        scores = [[one[level].score for one in said] for said in (whole, after)]
        np.testing.assert_allclose(*scores, rtol=5e-3, atol=5e-3)
    assert whole[-1]["notice"].score > 0.3, "there is something to forget"


def vectors(seed, windows, *, noise=0.15):
    """(windows, 2, N_BANDS + 2) as they come after the last stage."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, noise, (windows, 2, N_BANDS + 2)).astype(np.float32)


def two_speeds(seed, windows):
    """Every twenty windows the other one: another spectrum, another level, more impulsive."""
    rows = vectors(seed, windows)
    is_fast = (np.arange(windows) // 20) % 2 == 1
    rows[is_fast, :, :N_BANDS] += np.linspace(-2, 2, N_BANDS)
    rows[is_fast, :, N_BANDS] += 0.7
    rows[is_fast, :, -1] += 1.5
    return rows, is_fast


def learn(rows):
    return Profile(POINT, healthy_baseline(rows), "model", len(rows))


def moved(row, profile):
    """(channels, N_BANDS + 2) what the judge gives on; None: it stands still."""
    found = distance(tuple(Detection("channel", vector=one) for one in row), profile)
    return np.stack([d.vector for d in found]) if found else None


def test_two_speeds_that_come_back_are_two_conditions():
    """At each the machine is healthy; between them it would be neither."""
    rows, is_fast = two_speeds(1, 200)
    profile = learn(rows)
    assert profile.learned["centre"].shape == (2, 2, N_BANDS + 2)
    later = np.stack([moved(row, profile) for row in two_speeds(2, 200)[0]])
    for which in (is_fast, ~is_fast):
        np.testing.assert_allclose(np.median(later[which], axis=0), 0.0, atol=0.5)
        assert np.abs(np.median(later[which][..., -2:], axis=0)).max() < 0.1
    third = rows[is_fast].mean(axis=0) / 2
    assert np.abs(moved(third, profile)[:, :N_BANDS]).max() > 4.0


def test_windows_that_stood_still_are_not_learned_from():
    """A tenth of them: the healthy state is that of the machine that runs."""
    rows = vectors(1, 200)
    stopped = rows.copy()
    stopped[::10, :, -1] -= 6.0
    stopped[::10, :, :N_BANDS] += 5.0
    running = np.delete(rows, np.s_[::10], axis=0)
    with_stops, without = healthy_baseline(stopped), healthy_baseline(running)
    assert with_stops.keys() == without.keys()
    for name, array in without.items():
        np.testing.assert_allclose(with_stops[name], array, atol=1e-5)


def test_a_machine_that_stands_still_is_not_judged():
    """Nothing is found, so nothing is followed; at a slow speed something is."""
    profile = learn(vectors(1, 200))
    row = vectors(2, 1)[0]
    row[:, -1] = [-6.0, -6.0]
    assert moved(row, profile) is None
    row[0, -1] = -1.0  # one channel is enough
    assert moved(row, profile) is not None


def test_the_quiet_one_of_two_conditions_is_no_stop():
    """What counts is the quietest that was learned."""
    rows, is_fast = two_speeds(1, 200)
    quiet = rows[~is_fast][0]
    profile = learn(rows)
    quiet[:, -1] -= 1.5
    assert moved(quiet, profile) is not None


def test_bands_that_were_not_measured_are_left_out_of_what_is_learned():
    """Crest factor and level are learned from all windows, the bands from those that have them."""
    rows = vectors(1, 300)
    partly = rows.copy()
    partly[1::3, :, :N_BANDS] = np.nan
    learned = healthy_baseline(partly)
    assert all(np.isfinite(array).all() for array in learned.values())
    measured = np.delete(rows, np.s_[1::3], axis=0)
    np.testing.assert_allclose(
        learned["centre"][0, :, :N_BANDS], np.median(measured, axis=0)[:, :N_BANDS], atol=1e-6
    )
    np.testing.assert_allclose(
        learned["centre"][0, :, N_BANDS:], np.median(rows, axis=0)[:, N_BANDS:], atol=1e-6
    )
    assert learned["crest_counts"].sum(axis=1).tolist() == [300, 300]


def test_what_is_partly_known_is_judged_as_far_as_it_is_known():
    """Bands are NaN, the two figures are relative to healthy."""
    profile = learn(vectors(1, 200))
    centre = profile.learned["centre"][0]
    found = partly_known(centre[:, -2] + 0.5, centre[:, -1] + 1.0)
    judged = np.stack([d.vector for d in distance(found, profile)])
    assert np.isnan(judged[:, :N_BANDS]).all()
    np.testing.assert_allclose(judged[:, N_BANDS:], [[0.5, 1.0]] * 2, atol=1e-5)


def test_few_windows_are_trusted_less():
    """Three that happen to be alike would make of every fourth a fault."""
    few, many = (healthy_baseline(vectors(1, n, noise=0.01))["spread"] for n in (3, 300))
    assert few.min() > many.max()
    assert many.min() > 0.1


def test_windows_that_are_all_the_same_can_be_learned_from():
    """Such as a recording of one window that is played again and again."""
    profile = learn(np.tile(vectors(1, 1), (100, 1, 1)))
    assert all(np.isfinite(array).all() for array in profile.learned.values())
    follower = WORKLOAD.follow(profile)
    for i, row in enumerate(vectors(2, 10)):
        found = distance(tuple(Detection("channel", vector=one) for one in row), profile)
        scores = [d.score for d in follower.update(found, i * 10**10)]
        assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda x: np.where(x > 2, np.nan, x), "not_finite"),
        (lambda x: np.where(x > 2, np.inf, x), "not_finite"),
        (lambda x: np.column_stack([x[:, 0], np.zeros(SAMPLES)]), "stuck"),
        (lambda x: x[:100], "too_short"),
        (lambda x: x[:, :0], "too_short"),
        (lambda x: x[:, 0], "too_short"),
    ],
)
def test_a_window_that_cannot_be_judged_is_refused_in_one_word(spoil, reason):
    """It is counted, never judged."""
    assert WORKLOAD.input.refuse(window(healthy(0))) is None
    assert WORKLOAD.input.refuse(window(spoil(healthy(0)).astype(np.float32))) == reason


def test_a_rate_that_is_too_low_is_refused():
    """The bands would not mean what they should."""
    assert WORKLOAD.input.refuse(window(healthy(0), rate_hz=400.0)) == "rate_too_low"
