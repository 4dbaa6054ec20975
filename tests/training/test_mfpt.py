"""Files in, faults named; the name of a file is looked at by the score alone."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import vibration

from contract.bearings import find
from training import datasets
from training.datasets import DataError, mfpt

RATE_HZ, SHAFT_HZ, SECONDS = 24_414, 25.0, 3


class FakeBench:
    """Shows what it is asked to, to nobody."""

    def __init__(self):
        self.shown = []

    def each(self, things, named):
        for thing in things:
            self.shown.append(named(thing))
            yield thing


def write(folder, name, part, *, seed=0):
    rng, samples = np.random.default_rng(seed), RATE_HZ * SECONDS
    x = vibration.healthy(rng, samples=samples, shaft_hz=SHAFT_HZ, channels=1, rate_hz=RATE_HZ)[
        :, 0
    ]
    if part is not None:
        x = x + 0.5 * vibration.blows(
            rng,
            rate_of_blows_hz=find("NICE").orders()[part] * SHAFT_HZ,
            samples=samples,
            rate_hz=RATE_HZ,
            modulation_hz=SHAFT_HZ if part == "inner" else None,
        )
    np.savez(
        folder / f"{name}.npz",
        gs=np.round(x / 0.001).astype(np.int16),
        gs_scale=np.float32(0.001),
        fs=np.int64(RATE_HZ),
        shaft_hz=np.float64(SHAFT_HZ),
        load_lbs=np.float64(50),
    )


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mfpt"
    made.mkdir()
    write(made, "InnerRaceFault_vload_1", "inner")
    write(made, "OuterRaceFault_vload_1", "outer")
    write(made, "baseline_1", None)
    return made


def test_every_fault_is_named_and_the_good_bearing_is_not_accused(folder):
    bench = FakeBench()
    found = datasets.open_folder(folder).measure(bench)
    assert (found.metrics["files"], found.metrics["named_correctly"]) == (3, 3)
    assert found.metrics["margin_db_min"] > 0
    assert bench.shown == ["InnerRaceFault_vload_1", "OuterRaceFault_vload_1", "baseline_1"]
    rows = {row["name"]: row for row in found.rows}
    assert rows["baseline_1"]["named"] == mfpt.NO_FAULT
    inner = rows["InnerRaceFault_vload_1"]
    assert (inner["fault"], inner["named"]) == ("inner", "inner")
    assert inner["rate_hz"] == pytest.approx(118.875, rel=0.005)


def test_a_wrong_label_costs_a_point(folder):
    (folder / "InnerRaceFault_vload_1.npz").rename(folder / "OuterRaceFault_vload_9.npz")
    metrics = datasets.open_folder(folder).measure(FakeBench()).metrics
    assert (metrics["files"], metrics["named_correctly"]) == (3, 2)


def test_the_folder_is_known_by_its_files_and_needs_no_bundle(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "loads_kept_aside")
    opened = datasets.open_folder(other)
    assert (opened.name, opened.needs_bundle, opened.recordings) == ("mfpt", False, ())
    assert "NonCommercial" in opened.licence


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda arrays: arrays.pop("fs"), "fs"),
        (lambda arrays: arrays.update(gs=arrays["gs"].astype(float)), "not int16"),
        (lambda arrays: arrays.update(gs=arrays["gs"][:100]), "shorter than a second"),
        (lambda arrays: arrays.update(shaft_hz=np.float64(0)), "not above 0"),
    ],
)
def test_a_damaged_file_is_named_in_one_line_with_the_fix(folder, damage, said):
    file = folder / "baseline_1.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    damage(arrays)
    np.savez(file, **arrays)
    with pytest.raises(DataError, match=f"{file}: .*{said}.*; fix:") as refused:
        datasets.open_folder(folder)
    assert "\n" not in str(refused.value)


def test_a_name_without_a_fault_and_an_empty_folder_are_refused(folder, tmp_path):
    (folder / "baseline_1.npz").rename(folder / "recording_1.npz")
    with pytest.raises(DataError, match="its name tells no fault; fix: have one of inner"):
        datasets.open_folder(folder)
    empty = tmp_path / "empty" / "mfpt"
    empty.mkdir(parents=True)
    with pytest.raises(DataError, match=r"no \*.npz in it"):
        datasets.open_folder(empty)


@pytest.mark.training
def test_evaluate_prints_the_metrics_without_a_bundle(folder, capsys):
    from export.evaluate import main

    assert main("evaluate", ["machine_condition", "--data", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["dataset"] == "mfpt"
    assert said["metrics"]["named_correctly"] == said["metrics"]["files"] == 3
    assert "bundle" not in said


def test_every_real_fault_is_named():
    real = Path(os.environ.get("VEDETTE_DATA", "data"), "mfpt")
    if not real.is_dir():
        pytest.skip(f"{real}: no such folder; set VEDETTE_DATA")
    metrics = datasets.open_folder(real).measure(FakeBench()).metrics
    assert metrics["named_correctly"] == metrics["files"] > 0
    assert metrics["margin_db_min"] > 3.0
