import numpy as np
import pytest

from contract import novelty
from contract.novelty import AVERAGED, LEAST_ROWS, Novelty, learn

BANDS = 24
SPEEDS = np.array([np.linspace(0, 3, BANDS), np.linspace(2, 0, BANDS), np.ones(BANDS) * 4])


def machine(seed, n=180, *, speeds=3, noise=0.15):
    """(n, BANDS) log levels of a machine that runs at one speed after another."""
    rng = np.random.default_rng(seed)
    rows = SPEEDS[np.arange(n) * speeds // n] + rng.normal(0, noise, (n, BANDS))
    return rows.astype(np.float32)


def scores(learned, rows):
    watch = Novelty(learned)
    return np.array([watch.score(row) for row in rows])


def test_every_speed_of_the_healthy_start_is_a_condition_of_its_own():
    assert learn(machine(1))["centres"].shape == (3, BANDS)
    assert learn(machine(1, speeds=1))["centres"].shape == (1, BANDS)


def test_the_same_machine_stays_silent_at_every_speed_and_while_it_changes():
    learned = learn(machine(1))
    assert max(scores(learned, machine(seed)).max() for seed in range(2, 12)) < 1


def test_a_small_lasting_shift_of_many_bands_is_found_at_every_speed():
    rows = machine(2)
    rows[:, ::2] += 0.45  # three times the noise, in every second band
    assert scores(learn(machine(1)), rows)[AVERAGED:].min() > 1


def test_a_new_tone_in_one_band_is_found_and_named():
    learned, rows = learn(machine(1)), machine(2)
    rows[90:, 7] += 3.0
    watch = Novelty(learned)
    found = [watch.score(row) for row in rows]
    assert max(found[:90]) < 1 < min(found[90 + AVERAGED :])
    assert np.abs(watch.moved).argmax() == 7
    # in spreads of this feature: 3 nepers over 0.15
    assert watch.moved[7] == pytest.approx(20, rel=0.2)


def test_one_wild_row_is_no_lasting_change():
    rows = machine(2)
    rows[90] += 0.5
    assert scores(learn(machine(1)), rows).max() < 1


def test_a_speed_that_was_never_learned_is_new():
    learned = learn(machine(1, speeds=2))
    assert scores(learned, machine(2)[120 + AVERAGED :]).min() > 1


def test_few_rows_of_many_features_are_enough():
    learned = learn(machine(1, n=LEAST_ROWS, speeds=1))
    assert max(scores(learned, machine(seed, speeds=1)).max() for seed in range(2, 8)) < 1
    assert scores(learned, machine(2, speeds=1) + 1.0)[AVERAGED:].min() > 1


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match=f"15 rows are too few to learn from; need {LEAST_ROWS}"):
        learn(machine(1, n=15))


def test_a_feature_that_stood_still_does_not_alarm_at_its_first_move():
    def still(seed, moved):
        rows = machine(seed)
        rows[:, 3] = 1.0 + moved
        return rows

    assert scores(learn(still(1, 0.0)), still(2, 0.005)).max() < 1


def test_a_restart_goes_on_where_it_was():
    learned, rows = learn(machine(1)), machine(2) + 0.3
    through = scores(learned, rows)
    before = Novelty(learned)
    for row in rows[:100]:
        before.score(row)
    after = Novelty(learned, before.recent)
    assert [after.score(row) for row in rows[100:]] == list(through[100:])


def test_a_whole_recording_at_once_is_scored_as_row_after_row():
    learned, rows = learn(machine(1)), machine(2) + 0.3
    np.testing.assert_allclose(novelty.scores(learned, rows), scores(learned, rows), rtol=1e-4)


def test_scores_know_nothing_of_what_comes_later():
    learned, rows = learn(machine(1)), machine(2)
    other = rows.copy()
    other[100:] += 5
    np.testing.assert_array_equal(scores(learned, rows)[:100], scores(learned, other)[:100])


def test_what_is_learned_does_not_depend_on_the_unit_of_a_level():
    # another sensitivity adds a constant to every log level
    a, b = machine(1), machine(2) + 0.3
    np.testing.assert_allclose(
        scores(learn(a + 7), b + 7), scores(learn(a), b), rtol=1e-3, atol=1e-3
    )
