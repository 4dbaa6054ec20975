from dataclasses import replace

import numpy as np
import pytest

from contract.spec import Stage
from contract.workloads.machine_condition import N_BANDS, WORKLOAD
from training import features
from training.datasets.synthetic.run_to_failure import simulate


def test_features_are_the_contracts_own_and_come_back_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine = simulate(1, seed=0).recordings[0]
    made = features.rows(WORKLOAD, "spectrum", machine, windows=4)
    assert made.shape == (8, N_BANDS)
    silent = replace(machine, window=lambda _i: pytest.fail("the cache was not used"))
    again = features.rows(WORKLOAD, "spectrum", silent, windows=4)
    np.testing.assert_array_equal(made, again)


def test_a_changed_transform_is_not_served_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine = simulate(1, seed=0).recordings[0]
    made = features.rows(WORKLOAD, "spectrum", machine, windows=2)
    stages = tuple(
        replace(stage, preprocess=lambda w, f, stage=stage: 2 * stage.preprocess(w, f))
        if stage.name == "spectrum"
        else stage
        for stage in WORKLOAD.stages
    )
    changed = features.rows(replace(WORKLOAD, stages=stages), "spectrum", machine, windows=2)
    np.testing.assert_allclose(changed, 2 * made)


def test_a_damaged_cache_entry_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine = simulate(1, seed=0).recordings[0]
    made = features.rows(WORKLOAD, "spectrum", machine, windows=2)
    (file,) = (tmp_path / "vedette" / "features").glob("*.npy")
    file.write_bytes(b"damaged")
    np.testing.assert_array_equal(features.rows(WORKLOAD, "spectrum", machine, windows=2), made)


def test_a_stage_behind_a_model_has_no_features_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    last = Stage("last", lambda _w, _f: np.zeros((1, 1), np.float32), lambda f, _i, _o: f, (1,))
    workload = replace(WORKLOAD, stages=(*WORKLOAD.stages, last))
    with pytest.raises(ValueError, match="follows a model"):
        features.rows(workload, "last", simulate(1, seed=0).recordings[0], windows=1)
