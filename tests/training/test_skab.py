import csv
import gzip

import numpy as np
import pytest
from bench import FakeBench

from training import datasets
from training.datasets import DataError
from training.datasets.skab import COLUMNS

HEADING = ("datetime", *COLUMNS, "Voltage", "anomaly", "changepoint")


def experiment(seed, *, fault=(500, 700), flow=0.8, n=800):
    """Rows of a pump whose flow falls to a share while the fault is there."""
    rng = np.random.default_rng(seed)
    levels = np.array([0.03, 0.04, 1.3, 32.0]) * np.exp(rng.normal(0, 0.015, (n, 4)))
    is_faulty = (np.arange(n) >= fault[0]) & (np.arange(n) < fault[1])
    levels[is_faulty, 3] *= flow
    return [
        [f"2020-03-09 10:{i // 60:02d}:{i % 60:02d}", *levels[i], 230.0, float(is_faulty[i]), 0.0]
        for i in range(n)
    ]


def save(file, rows, heading=HEADING, delimiter=","):
    with gzip.open(file, "wt", newline="") as lines:
        csv.writer(lines, delimiter=delimiter).writerows([heading, *rows])


@pytest.fixture
def pump(tmp_path):
    folder = tmp_path / "skab"
    folder.mkdir()
    save(folder / "valve9_0.csv.gz", experiment(1))
    save(folder / "valve9_1.csv.gz", experiment(2))
    save(folder / "anomaly-free.csv.gz", [row[:6] for row in experiment(3, flow=1.0)], HEADING[:6])
    (folder / "files.csv").write_text("file,rows\nvalve9_0.csv.gz,800\n")
    return folder


def measured(folder):
    return datasets.open_folder(folder).measure(FakeBench())


def test_a_fault_is_found_and_the_pump_is_calm_before_and_after(pump):
    found = measured(pump)
    assert found.metrics["experiments"] == found.metrics["found"] == 2
    assert found.metrics["f1"] > 0.97
    # the mean of five rows lags a little behind the end of the fault
    assert found.metrics["far"] < 0.03
    assert found.metrics["f1_whole_file"] == found.metrics["f1"]
    assert found.metrics["far_whole_file"] < found.metrics["far"]
    assert found.metrics["far_healthy_runs"] == 0.0
    by_name = {row["name"]: row for row in found.rows}
    assert by_name["valve9_0"]["faulty_rows"] == 200
    assert by_name["valve9_0"]["first_alarm_after_s"] <= 4
    assert by_name["anomaly-free"]["f1"] is None


def test_a_fault_that_changes_nothing_is_missed(pump):
    save(pump / "valve9_1.csv.gz", experiment(2, flow=1.0))
    found = measured(pump)
    assert found.metrics["found"] == 1
    assert found.metrics["mar"] == pytest.approx(0.5, abs=0.02)


def test_a_fault_while_learning_counts_in_the_whole_file_alone(pump):
    (pump / "valve9_1.csv.gz").unlink()
    save(pump / "valve9_2.csv.gz", experiment(2, fault=(100, 300)))
    found = measured(pump)
    assert found.metrics["f1_whole_file"] < found.metrics["f1"]


def test_the_files_are_recognised_in_a_folder_of_another_name_and_with_semicolons(pump):
    save(pump / "valve9_0.csv.gz", experiment(1), delimiter=";")
    dataset = datasets.open_folder(pump.rename(pump.with_name("kept_aside")))
    assert (dataset.name, dataset.needs_bundle) == ("skab", False)
    assert dataset.measure(FakeBench()).metrics["experiments"] == 2


def test_a_folder_without_a_fault_is_refused(pump):
    for file in pump.glob("valve9_*"):
        file.unlink()
    with pytest.raises(DataError, match="no experiment with a fault"):
        datasets.open_folder(pump)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: save(file, experiment(1, n=300)),
        lambda file: save(file, [[*row[:3], "dear me", *row[4:]] for row in experiment(1)]),
        lambda file: save(file, [[*row[:3], "nan", *row[4:]] for row in experiment(1)]),
        lambda file: save(file, [row[:3] for row in experiment(1)]),
        lambda file: file.write_bytes(file.read_bytes()[:2000]),
    ],
)
def test_a_damaged_file_is_named_in_one_line_with_the_fix(pump, spoil):
    file = pump / "valve9_1.csv.gz"
    spoil(file)
    with pytest.raises(DataError) as refused:
        datasets.open_folder(pump)
    assert str(file) in str(refused.value)
    assert "fix:" in str(refused.value)
    assert "\n" not in str(refused.value)
