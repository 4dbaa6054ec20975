"""Every published method: exported it is the same, and damage is new to it."""

from __future__ import annotations

import io

import numpy as np
import pytest

from contract.ops import detectors
from training import methods

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]
NAMES = {
    "dense_ae", "denoising_ae", "gmm", "isolation_forest", "lof", "lstm_ae", "mahalanobis",
    "one_class_svm", "pca_auto", "robust_covariance", "vae",
}  # fmt: skip
FEATURES = 24


def rows(n, *, seed, times=1.0):
    """Log-normal, as energies are; half of the features go together."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3)) @ np.random.default_rng(99).normal(size=(3, FEATURES))
    return (np.exp(0.3 * common + 0.2 * rng.normal(size=(n, FEATURES))) * times).astype(np.float32)


@pytest.fixture(scope="module", params=sorted(NAMES))
def fitted(request):
    return methods.fit(methods.load()[request.param], rows(120, seed=0), seed=1)


def stored(model):
    """What the device would read: one file, no pickles."""
    file = io.BytesIO()
    np.savez(file, **model.to_arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def test_the_folder_is_the_registry():
    found = methods.load()
    assert set(found) == NAMES
    assert all(name == method.name and method.title for name, method in found.items())


def test_the_exported_form_equals_the_original(fitted):
    seen = np.vstack([rows(120, seed=0), rows(60, seed=1), rows(20, seed=2, times=1.5)])
    original, exported = fitted.score(seen), detectors.score(stored(fitted), seen)
    assert exported.shape == (len(seen),)
    assert (exported >= 0.0).all()
    assert np.isfinite(original).all()
    np.testing.assert_allclose(exported, original, rtol=1e-4, atol=1e-12)


def test_damage_is_newer_than_anything_healthy(fitted):
    arrays = fitted.to_arrays()
    healthy = detectors.score(arrays, rows(60, seed=1))
    damaged = detectors.score(arrays, rows(60, seed=2, times=6.0))
    assert np.median(damaged) > np.quantile(healthy, 0.99)


def test_far_outside_everything_novelty_is_still_finite_and_rises(fitted):
    near, far, farther = (rows(1, seed=3, times=times) for times in (1.0, 1e3, 1e6))
    told = [detectors.score(fitted.to_arrays(), one)[0] for one in (near, far, farther)]
    assert np.isfinite(told).all()
    assert told[0] < told[1] <= told[2]


def test_a_row_is_judged_by_rows_up_to_it_alone(fitted):
    arrays, seen = fitted.to_arrays(), rows(40, seed=4)
    changed = seen.copy()
    changed[25:] *= 100.0
    np.testing.assert_allclose(
        detectors.score(arrays, changed)[:25], detectors.score(arrays, seen)[:25], rtol=1e-9
    )


@pytest.mark.parametrize("name", ["isolation_forest", "gmm", "dense_ae", "vae", "lstm_ae"])
def test_the_same_seed_gives_the_same_numbers_whatever_was_fitted_between(name):
    method, healthy, seen = methods.load()[name], rows(30, seed=0), rows(10, seed=1)
    first = methods.fit(method, healthy, seed=3)
    told = detectors.score(first.to_arrays(), seen)
    other = methods.fit(method, rows(30, seed=8), seed=3)
    again = methods.fit(method, healthy, seed=3)
    np.testing.assert_array_equal(detectors.score(again.to_arrays(), seen), told)
    assert (detectors.score(other.to_arrays(), seen) != told).any()
    np.testing.assert_allclose(first.score(seen), told, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_few_rows_are_enough_and_what_they_made_smaller_is_said(name):
    few = rows(12, seed=5)
    model = methods.fit(methods.load()[name], few)
    exported = detectors.score(stored(model), few)
    np.testing.assert_allclose(exported, model.score(few), rtol=1e-4, atol=1e-12)
    damaged = detectors.score(stored(model), rows(8, seed=6, times=4.0))
    assert np.median(damaged) > exported.max()
    is_smaller = {"pca_auto": "6 of 50", "mahalanobis": "6 of 50", "gmm": "3 of 16",
                  "robust_covariance": "2 of 10", "lof": "6 of 20"}  # fmt: skip
    assert is_smaller.get(name, "") in model.fitted.note
    assert bool(model.fitted.note) == (name in is_smaller)


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="3 healthy rows are too few to learn from; need 4"):
        methods.fit(methods.load()["pca_auto"], rows(3, seed=0))


@pytest.mark.parametrize("name", ["pca_auto", "gmm", "isolation_forest", "vae"])
def test_a_feature_that_never_moved_while_learning_counts_for_nothing(name):
    learned = rows(40, seed=0)
    learned[:, 7] = 2.5
    model = methods.fit(methods.load()[name], learned)
    seen = rows(10, seed=1)
    moved = seen.copy()
    moved[:, 7] = 1e6
    np.testing.assert_allclose(
        detectors.score(model.to_arrays(), moved),
        detectors.score(model.to_arrays(), seen),
        rtol=1e-9,
    )


def test_arrays_of_another_version_are_refused():
    with pytest.raises(ValueError, match="no method of kind 'oracle'; known: dense"):
        detectors.score({"kind": np.array("oracle")}, rows(1, seed=0))
