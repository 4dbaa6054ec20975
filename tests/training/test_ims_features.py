import numpy as np
import pytest
from bench import FakeBench

from training import datasets
from training.datasets import DataError

ROWS = 900
FAILURES = "file,bearing,failed,end_state\n"


def life(seed, *, sensors=1, growth=0.5, onset=0.6, drift=0.4):
    """Levels in g of four bearings; all drift together, b3 grows from its onset on."""
    rng = np.random.default_rng(seed)
    at = np.linspace(0, 1, ROWS)
    log = rng.normal(0, 0.01, (ROWS, 4 * sensors)) + drift * np.sin(2 * at)[:, None]
    own = slice(2 * sensors, 3 * sensors)
    log[:, own] += growth * np.clip((at - onset) / (1 - onset), 0, None)[:, None]
    return 0.1 * np.exp(log)


def save(folder, name, levels, *, failed):
    sensors = levels.shape[1] // 4
    columns = [f"b{b}{'ab'[s] if sensors > 1 else ''}" for b in range(1, 5) for s in range(sensors)]
    lines = [",".join(["datetime", *columns])]
    lines += [",".join(["2004-02-12T10:32:39", *(f"{v:.6f}" for v in row)]) for row in levels]
    (folder / name).write_text("\n".join(lines) + "\n")
    file = folder / "failures.csv"
    known = file.read_text() if file.exists() else FAILURES
    file.write_text(known + "".join(f"{name},b{b},{int(b in failed)},\n" for b in range(1, 5)))


@pytest.fixture
def shafts(tmp_path):
    folder = tmp_path / "ims_features"
    folder.mkdir()
    save(folder, "test8_meanabs.csv", life(1), failed={3})
    save(folder, "test9_meanabs.csv", life(2, sensors=2), failed={3})
    return folder


def measured(folder):
    return datasets.open_folder(folder).measure(FakeBench())


def test_the_bearing_that_leaves_the_others_is_found_and_no_other(shafts):
    found = measured(shafts)
    assert found.metrics["failing_bearings"] == found.metrics["found_before_095"] == 2
    assert found.metrics["false_before_030"] == found.metrics["healthy_before_failing"] == 0
    told = {row["name"]: row["first_message_fraction"] for row in found.rows}
    assert len(told) == 8
    for name in ("test8_meanabs", "test9_meanabs"):
        assert 0.6 < told.pop(f"{name} b3") < 0.8
    assert set(told.values()) == {None}


def test_what_all_bearings_do_at_once_is_no_message(shafts):
    save(shafts, "test8_meanabs.csv", life(1, growth=0.0, drift=1.5), failed=set())
    assert all(
        row["first_message_fraction"] is None
        for row in measured(shafts).rows
        if str(row["name"]).startswith("test8")
    )


def test_standstills_and_spikes_are_no_message(shafts):
    levels = life(1, growth=0.0)
    levels[300:340] = 0.001  # not all sensors stand equally still
    levels[300:340, 2] = 0.004
    levels[500:510, 2] = 5.0
    save(shafts, "test8_meanabs.csv", levels, failed=set())
    told = {row["name"]: row["first_message_fraction"] for row in measured(shafts).rows}
    assert told["test8_meanabs b3"] is None


def test_a_message_too_early_is_false_and_finds_nothing(shafts):
    save(shafts, "test7_meanabs.csv", life(3, onset=0.16, growth=2.0), failed={3})
    found = measured(shafts)
    assert found.metrics["false_before_030"] == 1
    assert found.metrics["failing_bearings"] == 3
    assert found.metrics["found_before_095"] == 2


def test_a_healthy_bearing_before_the_failing_one_is_counted(shafts):
    save(shafts, "test7_meanabs.csv", life(3), failed={1})  # it is b3 that grows
    assert measured(shafts).metrics["healthy_before_failing"] == 1


def test_nothing_that_comes_later_moves_a_message(shafts):
    whole = {row["name"]: row["first_message_fraction"] for row in measured(shafts).rows}
    at = round(whole["test8_meanabs b3"] * ROWS)
    changed = life(1)
    changed[at:] = 3.0
    save(shafts, "test8_meanabs.csv", changed, failed=set())
    again = {row["name"]: row["first_message_fraction"] for row in measured(shafts).rows}
    assert again["test8_meanabs b3"] == whole["test8_meanabs b3"]


def test_the_files_are_recognised_in_a_folder_of_another_name(shafts):
    dataset = datasets.open_folder(shafts.rename(shafts.with_name("kept_aside")))
    assert (dataset.name, dataset.needs_bundle, dataset.recordings) == ("ims_features", False, ())


def test_a_run_that_is_kept_elsewhere_is_left_out(shafts):
    (shafts / "test9_meanabs.csv").unlink()
    assert measured(shafts).metrics["failing_bearings"] == 1


def test_without_any_run_the_folder_is_refused(shafts):
    for file in shafts.glob("test*"):
        file.unlink()
    with pytest.raises(DataError, match=r"no run of failures.csv in it; fix:"):
        datasets.open_folder(shafts)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_text(file.read_text().replace("datetime", "when")),
        lambda file: file.write_text(file.read_text()[:5000]),
        lambda file: file.write_text(file.read_text().replace("0.1", "?", 1)),
        lambda file: file.write_text(file.read_text().replace(",0.1", ",nan", 1)),
        lambda file: file.write_text(file.read_text().replace("b3", "b7", 1)),
        lambda file: file.write_bytes(b"\xff\xfe\x00"),
    ],
)
def test_a_damaged_file_is_named_in_one_line_with_the_fix(shafts, spoil):
    file = shafts / "test8_meanabs.csv"
    spoil(file)
    with pytest.raises(DataError) as refused:
        datasets.open_folder(shafts)
    assert str(file) in str(refused.value)
    assert "fix:" in str(refused.value)
    assert "\n" not in str(refused.value)
