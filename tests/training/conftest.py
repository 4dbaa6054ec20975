import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

NEEDS_KERAS = pytest.mark.skip(reason="needs Keras; fix: make setup")


def pytest_collection_modifyitems(items):
    if importlib.util.find_spec("keras") is None:
        for item in items:
            if item.get_closest_marker("training"):
                item.add_marker(NEEDS_KERAS)


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def pronostia(tmp_path):
    """Three made-up bearings in the layout of the real ones; the last snapshots are loud."""
    folder = tmp_path / "pronostia"
    folder.mkdir()
    for number in range(3):
        rng = np.random.default_rng(number)
        acc = rng.normal(0, 200, (40, 1024, 2))
        acc[30:] *= 8
        np.savez(
            folder / f"bearing9_{number}.npz",
            acc=acc.astype(np.int16),
            scale=np.float32(0.002),
            fs=np.int64(25_600),
            index=np.append(np.arange(1, 40 * 5 - 5, 5), 200).astype(np.int32),
            n_total=np.int64(200),
            interval_s=np.int64(10),
        )
    return folder


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A real run, but a short one on few simulated machines: its folder and what --json said."""
    base = tmp_path_factory.mktemp("train")
    with pytest.MonkeyPatch.context() as patch, (base / "said.json").open("w") as said:
        patch.delenv("VEDETTE_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        patch.chdir(base)
        from training.recipes import machine_condition

        patch.setattr(machine_condition, "_MACHINES", 5)
        patch.setattr("sys.stdout", said)
        from training.__main__ import main

        assert main("train", ["machine_condition", "--out", "run", "--epochs", "3", "--json"]) == 0
    return base / "run", json.loads(Path(base, "said.json").read_text())
