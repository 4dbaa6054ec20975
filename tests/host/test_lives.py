"""The machine the demo watches is one its model has not seen."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from host import lives


def a_run(folder: Path, *, test: list[str]) -> Path:
    described = {"splits": {"training": [], "test": test}, "data_root": str(folder / "data")}
    (folder / "run.json").write_text(json.dumps(described))
    return folder


def test_a_bearing_of_the_test_split_is_replayed(tmp_path: Path):
    """Its source plays the very file, its learning period is 15 % of life, at least 50 windows."""
    (tmp_path / "data" / "pronostia").mkdir(parents=True)
    np.savez(
        tmp_path / "data" / "pronostia" / "bearing7_7.npz",
        acc=np.zeros((40, 256, 2), np.int16),
        fs=2560,
        interval_s=10,
        index=np.arange(1, 401, 10),
        n_total=400,
    )
    run = a_run(tmp_path, test=["simulated/machine1", "pronostia/bearing7_7"])
    life = lives.choose(run, simulate=False, seed=0, folder=tmp_path / "demo")
    source = tomllib.loads(life.source_toml)
    assert (tmp_path / "demo" / source["path"]).resolve() == (
        tmp_path / "data" / "pronostia" / "bearing7_7.npz"
    )
    assert source["window_s"] == pytest.approx(0.1)
    assert life.learn_windows == 6  # snapshots 1, 11, ... 51 lie within the first 60
    assert life.fractions[-1] == pytest.approx(391 / 400)
    assert life.length_s == 3900


def test_without_bearings_a_machine_is_simulated(tmp_path: Path):
    """Its onset is known, and its seed is none of those the recipe learns from."""
    run = a_run(tmp_path, test=["simulated/machine1"])
    life = lives.choose(run, simulate=False, seed=2, folder=tmp_path)
    assert tomllib.loads(life.source_toml)["seed"] == 7_002
    assert life.onset == 0.6
    assert len(life.fractions) == 240


def test_a_damaged_bearing_is_named(tmp_path: Path):
    """One line, not a traceback."""
    (tmp_path / "data" / "pronostia").mkdir(parents=True)
    (tmp_path / "data" / "pronostia" / "bearing7_7.npz").write_bytes(b"junk")
    run = a_run(tmp_path, test=["pronostia/bearing7_7"])
    with pytest.raises(lives.LifeError, match=r"bearing7_7\.npz"):
        lives.choose(run, simulate=False, seed=0, folder=tmp_path)
