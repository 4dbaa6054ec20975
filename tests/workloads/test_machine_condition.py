"""Synthetic windows with known answers through the whole workload, with a fake engine."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeEngine, window

from contract import workloads
from contract.messages import Alert
from contract.spec import OperatingPoint
from contract.workloads.machine_condition import HITS, N_BANDS, OF
from edge.pipeline import Pipeline
from edge.profile import ProfileMemory

WORKLOAD = workloads.load("machine_condition")
POINT = OperatingPoint(
    threshold=1.0,
    clear_threshold=0.8,
    chosen_on="healthy noise",
    measured={},
    scales={"spectrum": 2.0, "impulses": 0.8, "level": 0.5},
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


@pytest.fixture(scope="module")
def learned():
    """A pipeline that has learned a hundred healthy windows; its network gives back zeros."""
    memory = ProfileMemory(WORKLOAD, "model", POINT, learn_windows=100)
    pipeline = Pipeline(WORKLOAD, {"spectrum": Rebuilds(np.zeros(N_BANDS, np.float32))}, memory)
    for seed in range(100):
        assert pipeline(window(healthy(seed))) == ()
    assert memory.profile is not None
    return pipeline


def judged(pipeline, x) -> tuple[str, float]:
    (only,) = pipeline(window(x))
    return only.label, only.score


def test_a_network_that_rebuilds_everything_leaves_no_residual():
    """The first numbers of each vector are what could not be rebuilt."""
    levels, spectrum = WORKLOAD.stages
    seen = window(healthy(0))
    rows = levels.preprocess(seen, ())
    found = levels.postprocess((), rows, rows)
    shape = spectrum.preprocess(seen, found)
    assert shape.shape == (CHANNELS, N_BANDS)
    np.testing.assert_allclose(shape.mean(axis=1), 0.0, atol=1e-5)
    rebuilt = spectrum.postprocess(found, shape, shape)
    for before, after in zip(found, rebuilt, strict=True):
        assert not after.vector[:N_BANDS].any()
        np.testing.assert_array_equal(after.vector[N_BANDS:], before.vector)


def test_the_network_sees_one_row_per_channel():
    """Each without its loudness."""
    engine = FakeEngine()
    memory = ProfileMemory(WORKLOAD, "model", POINT, learn_windows=2)
    Pipeline(WORKLOAD, {"spectrum": engine}, memory)(window(10 * healthy(0)))
    assert [x.shape for x in engine.seen] == [(N_BANDS,)] * CHANNELS
    quiet = FakeEngine()
    Pipeline(WORKLOAD, {"spectrum": quiet}, memory)(window(healthy(0)))
    np.testing.assert_allclose(engine.seen, quiet.seen, atol=1e-4)


def test_windows_like_those_learned_from_score_below_one(learned):
    """New ones and the learned ones."""
    scores = [judged(learned, healthy(seed))[1] for seed in (*range(0, 100, 9), *range(300, 330))]
    assert max(scores) < 1.0


def test_a_resonance_raises_spectrum_or_impulses(learned):
    """Damage on one axis is enough, and more of it scores higher."""
    weak, strong = (judged(learned, resonance(200, strength=s)) for s in (5.0, 40.0))
    assert strong[0] in {"spectrum", "impulses"}
    assert strong[1] > 1.0
    assert strong[1] > weak[1]


def test_more_of_the_same_raises_the_level_and_nothing_else(learned):
    """A gain of e moves all bands by one neper: twice the scale of 0.5."""
    label, score = judged(learned, np.e * healthy(201))
    assert label == "level"
    assert score == pytest.approx(2.0, abs=0.6)
    assert judged(learned, healthy(201) / np.float32(np.e))[1] < 1.0


def test_lasting_damage_gives_one_alert_and_its_end_another(learned):
    """Raised after the hits it needs, cleared after as many calm windows."""
    policy = WORKLOAD.policy(POINT)
    lives = [resonance(seed, strength=40.0) for seed in range(30)]
    lives += [healthy(seed) for seed in range(30, 60)]
    said = [
        (i, message.state)
        for i, x in enumerate(lives)
        for message in policy.update(learned(window(x)), i * 10**10)
        if isinstance(message, Alert)
    ]
    assert said == [(HITS - 1, "raised"), (30 + OF - 1, "cleared")]


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
