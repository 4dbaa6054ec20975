"""The alarm rule and the measures of the comparison, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from contract.spec import Window
from training import compare, datasets, methods
from training.compare import Told
from training.datasets import Recording


def life(windows=20, *, learn=4, onset=None, name="m"):
    share = (np.arange(1, windows + 1) / windows).astype(np.float32)
    return Recording(name, "made", share, learn, onset, "0" * 64, lambda i: noise(i, onset))


def noise(i, onset=None):
    rng = np.random.default_rng(i)
    data = rng.normal(size=(1024, 1)).astype(np.float32)
    if onset is not None and i >= onset * 20:
        data[::100] += 12.0
    return Window("m", i, i, 0, data, 25_600.0)


def told(raised, novelty=None, *, threshold=1.0, **more):
    is_raised = np.array([char == "#" for char in raised])
    values = np.where(is_raised, 2.0, 0.5) if novelty is None else np.asarray(novelty, float)
    return Told(life(len(raised), **more), values, threshold, is_raised)


def test_an_alarm_needs_three_of_the_last_five():
    hits = np.array([char == "x" for char in "xx..xx...xx.xx..."])
    raised = "".join(".#"[int(on)] for on in compare.debounced(hits))
    assert raised == "....##......###.."


def test_the_threshold_is_six_deviations_above_the_median():
    assert compare.threshold_of(np.array([1.0, 2.0, 3.0, 4.0, 100.0])) == 3.0 + 6.0 * 1.0


def test_first_and_sustained():
    one = told("....##....#####.####")
    assert one.first == pytest.approx(5 / 20)
    # from the eleventh window on 9 of 10 are in alarm; from any earlier alarm on fewer than 90 %
    assert one.sustained == pytest.approx(11 / 20)
    never = told("." * 20)
    assert never.first is None
    assert never.sustained is None
    assert told("....######..........").sustained is None


def test_measures_by_hand():
    early = told("....##..........####")  # a false start: 20 windows, 15 to 30 % are the 4th to 6th
    late = told("...............#####")
    none = told("." * 20)
    found = compare.measure([early, late, none])
    assert found["recordings"] == 3
    assert found["found"] == 2
    assert found["first_alarm"] == pytest.approx(16 / 20)
    assert found["first_alarm_false_as_1"] == 1.0
    assert found["sustained_alarm"] == pytest.approx(17 / 20)
    # learned from 4, so windows 5 and 6 are judged and lie within; both of `early` are in alarm
    assert found["false_share"] == pytest.approx(2 / 6)
    assert found["false_recordings"] == 1
    assert found["auc"] is None


def test_contrast_and_areas_where_the_onset_is_known():
    novelty = np.r_[np.zeros(4), np.arange(1.0, 9.0), np.full(8, 16.0)]
    found = compare.measure([told("." * 20, novelty, onset=0.65)])
    assert found["auc"] == found["pauc"] == 1.0
    assert found["contrast"] == pytest.approx(16.0 / np.quantile(np.arange(1.0, 9.0), 0.99))


def test_partial_area_by_hand():
    negative, positive = np.arange(10.0), np.array([8.5, 9.5, 8.5, 9.5])
    # up to 10 % false alarms only the highest negative may be passed: half the positives are above
    assert compare.partial_auroc(negative, positive) == pytest.approx(0.5)
    assert compare.partial_auroc(negative, positive, up_to=1.0) == pytest.approx((0.5 + 9) / 10)
    rng = np.random.default_rng(0)
    guess = compare.partial_auroc(rng.normal(size=5000), rng.normal(size=5000))
    assert guess == pytest.approx(0.05, abs=0.01)


def test_a_recording_end_to_end_and_a_refused_window_is_neither_learned_nor_judged():
    one = life(40, learn=16)
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(40, 8)).astype(np.float32)
    seen[30:] += 20.0
    seen[3] = seen[25] = np.nan
    found = compare.tell(methods.load()["pca_auto"], one, seen)
    assert np.isnan(found.novelty[[3, 25]]).all()
    assert np.isfinite(np.delete(found.novelty, [3, 25])).all()
    assert not found.is_raised[:32].any()
    assert found.is_raised[32:].all()
    assert found.is_judged.sum() == 40 - 16 - 1
    without = compare.tell(methods.load()["pca_auto"], life(39, learn=15), np.delete(seen, 3, 0))
    assert without.threshold == found.threshold


def test_rows_that_were_fitted_on_do_not_set_the_threshold():
    rng = np.random.default_rng(1)
    learned = rng.normal(size=(30, 60)).astype(np.float32)
    method = methods.load()["pca_auto"]
    fitted = methods.fit(method, learned).score(learned)
    held_out = compare.held_out(method, learned, seed=0)
    assert held_out.shape == (30,)
    assert held_out.min() > np.median(fitted)


@pytest.mark.parametrize("made", compare.FEATURES, ids=lambda made: made.name)
def test_feature_sets_make_one_finite_row_and_impulses_move_it(made):
    quiet = made.make(noise(1), ())
    hit = made.make(noise(1, onset=0.0), ())
    assert quiet.shape == hit.shape
    assert quiet.shape[0] == 1
    assert quiet.dtype == np.float32
    assert np.isfinite(quiet).all()
    assert np.isfinite(
        made.make(Window("m", 0, 0, 0, np.zeros((1024, 2), np.float32), 1e4), ())
    ).all()
    assert not np.allclose(quiet, hit, rtol=0.1)


def test_cwru_becomes_lives_that_break_where_the_fault_begins(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "cwru"
    folder.mkdir()
    for name, height in (("normal_part1", 100), ("IR_7", 900)):
        samples = rng.normal(0, height, 80_000).astype(np.int16)
        np.savez(
            folder / f"{name}.npz", DE=samples, DE_scale=np.float32(0.001), fs=np.int64(48_000)
        )
    (one,) = datasets.open_folder(folder).compared
    loud = np.array([window.data.std() for window in one.windows()]) > 0.3
    np.testing.assert_array_equal(loud, one.life >= one.onset)
    assert 0 < one.learn_windows < np.flatnonzero(loud)[0]
    times = [window.t_ns for window in one.windows()]
    assert (np.diff(times) > 0).all()
    rows = np.concatenate([compare.FEATURES[0].make(window, ()) for window in one.windows()])
    found = compare.measure([compare.tell(methods.load()["pca_auto"], one, rows)])
    assert found["auc"] == found["pauc"] == 1.0
    assert one.onset < found["first_alarm"] < one.onset + 4 / len(one)
