import numpy as np
import pytest
from bench import FakeBench

from training import datasets
from training.datasets import DataError


def acceleration(seed, samples=120_000, tone=0.0):
    """(samples,) counts: noise, and a tone where something is wrong."""
    x = np.random.default_rng(seed).normal(0, 1, samples)
    x += tone * np.sin(np.arange(samples) * 0.7)
    return np.round(x * 1000).astype(np.int16)


def save(file, seed, *, ends=("DE", "FE"), samples=120_000, tone=0.0, **changed):
    arrays = {"fs": np.array(48_000)}
    for number, end in enumerate(ends):
        arrays[end] = acceleration(seed + number, samples, tone)
        arrays[f"{end}_scale"] = np.float32(1e-4)
    np.savez(file, **{**arrays, **changed})


@pytest.fixture
def bearings(tmp_path):
    folder = tmp_path / "cwru"
    folder.mkdir()
    save(folder / "normal_part2.npz", 1)
    save(folder / "B_21.npz", 11, tone=0.5)
    save(folder / "IR_21.npz", 21, tone=0.5)
    return folder


def measured(folder):
    bench = FakeBench()
    return datasets.open_folder(folder).measure(bench), bench


def test_every_fault_is_told_from_the_healthy_windows_that_were_not_learned(bearings):
    found, bench = measured(bearings)
    assert sorted(bench.saw) == ["B_21", "IR_21", "normal_part2"]
    assert found.metrics["auroc_min"] == 1.0
    assert found.metrics["fpr"] == 0.0
    assert found.metrics["files"] == 2
    # 120,000 samples are 92 windows that overlap by half; one of them lies on the border
    assert (found.metrics["learned_windows"], found.metrics["tested_windows"]) == (46, 45)
    assert [row["name"] for row in found.rows] == ["B_21", "IR_21"]


def test_parts_of_the_healthy_recording_follow_one_another(bearings):
    save(bearings / "normal_part1.npz", 31)
    found, _ = measured(bearings)
    assert (found.metrics["learned_windows"], found.metrics["tested_windows"]) == (92, 91)
    assert found.metrics["auroc_min"] == 1.0


def test_no_difference_is_no_better_than_guessing(bearings):
    save(bearings / "B_21.npz", 11)
    assert measured(bearings)[0].metrics["auroc_min"] == pytest.approx(0.5, abs=0.25)


def test_a_sensor_that_one_file_lacks_is_not_used(bearings):
    save(bearings / "IR_21.npz", 21, ends=("DE",), tone=0.5)
    assert measured(bearings)[0].metrics["auroc_min"] == 1.0


def test_the_files_are_recognised_in_a_folder_of_another_name(bearings):
    dataset = datasets.open_folder(bearings.rename(bearings.with_name("kept_aside")))
    assert (dataset.name, dataset.needs_bundle) == ("cwru", True)


@pytest.mark.parametrize(("gone", "named"), [("normal*", "normal"), ("*_21*", "with a fault")])
def test_healthy_and_faulty_recordings_are_both_needed(bearings, gone, named):
    for file in bearings.glob(gone):
        file.unlink()
    with pytest.raises(DataError, match=rf"no .*{named}.* in it; fix:"):
        datasets.open_folder(bearings)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:500]),
        lambda file: np.savez(file, FE=np.ones(3)),
        lambda file: save(file, 1, samples=5000),
        lambda file: save(file, 1, FE=acceleration(2, 90_000)),
        lambda file: save(file, 1, DE=np.ones(120_000)),
        lambda file: save(file, 1, fs=np.array(0)),
        lambda file: save(file, 1, DE_scale=np.float32(0)),
    ],
)
def test_a_damaged_file_is_named_in_one_line_with_the_fix(bearings, spoil):
    file = bearings / "B_21.npz"
    spoil(file)
    with pytest.raises(DataError) as refused:
        datasets.open_folder(bearings)
    assert str(file) in str(refused.value)
    assert "fix:" in str(refused.value)
    assert "\n" not in str(refused.value)
