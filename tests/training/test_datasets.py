import os
from pathlib import Path

import numpy as np
import pytest

from training import datasets
from training.datasets import DataError
from training.datasets import pronostia as reader
from training.datasets.synthetic.run_to_failure import simulate


def test_bearings_are_read_in_g_with_times_and_fractions_of_life(pronostia):
    dataset = datasets.open_folder(pronostia)
    assert [r.name for r in dataset.recordings] == ["bearing9_0", "bearing9_1", "bearing9_2"]
    bearing = dataset.recordings[0]
    window = bearing.window(1)
    with np.load(pronostia / "bearing9_0.npz") as stored:
        np.testing.assert_allclose(window.data, stored["acc"][1] * 0.002, rtol=1e-6)
    assert (window.seq, window.t_ns, window.rate_hz) == (1, 50 * 10**9, 25_600.0)
    assert window.data.dtype == np.float32
    assert bearing.life[0] == pytest.approx(1 / 200)
    assert bearing.life[-1] == 1.0
    assert not dataset.shareable
    assert "cite" in dataset.licence


def test_learning_lasts_at_least_fifty_snapshots(pronostia):
    # 15 % of 200 are 30; of the first 50 every fifth was kept
    assert datasets.open_folder(pronostia).recordings[0].learn_windows == 10


def test_the_learning_share_can_be_set(pronostia):
    assert reader.open_folder(pronostia, learn_share=0.5).recordings[0].learn_windows == 20


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(DataError, match=r"'elsewhere'.*pronostia"):
        datasets.open_folder(tmp_path / "elsewhere")


def test_files_are_recognised_in_a_folder_of_another_name(pronostia):
    kept_aside = pronostia.rename(pronostia.with_name("kept_aside"))
    assert datasets.open_folder(kept_aside).name == "pronostia"


def test_a_folder_of_unknown_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing measured")
    with pytest.raises(DataError, match=r"no reader .*, nor for the files in it; fix:"):
        datasets.open_folder(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        datasets.open_folder(tmp_path / "pronostia")


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "pronostia").mkdir()
    with pytest.raises(DataError, match="no bearing"):
        datasets.open_folder(tmp_path / "pronostia")


def _damage(file: Path, how: str) -> None:
    if how == "cut":
        file.write_bytes(file.read_bytes()[:1000])
        return
    if how == "text":
        file.write_text("not an archive")
        return
    with np.load(file) as stored:
        arrays = dict(stored)
    if how == "without index":
        del arrays["index"]
    elif how == "index backwards":
        arrays["index"] = arrays["index"][::-1]
    elif how == "floats":
        arrays["acc"] = arrays["acc"].astype(np.float32)
    elif how == "too long":
        arrays["n_total"] = np.int64(7)
    np.savez(file, **arrays)


@pytest.mark.parametrize(
    "how", ["cut", "text", "without index", "index backwards", "floats", "too long"]
)
def test_a_damaged_file_is_named_in_one_line_with_the_fix(pronostia, how):
    file = pronostia / "bearing9_1.npz"
    _damage(file, how)
    with pytest.raises(DataError) as refused:
        datasets.open_folder(pronostia)
    text = str(refused.value)
    assert str(file) in text
    assert "fix:" in text
    assert "\n" not in text


def test_real_bearings_are_read():
    real = Path(os.environ.get("VEDETTE_DATA", "data"), "pronostia")
    if not real.is_dir():
        pytest.skip(f"{real}: no such folder; set VEDETTE_DATA")
    for bearing in datasets.open_folder(real).recordings:
        window = bearing.window(len(bearing) - 1)
        assert window.data.shape[1] == 2
        assert 0 < bearing.learn_windows < len(bearing)
        assert np.abs(window.data).max() < 70  # g; the real recording clips near 48


def test_simulated_lives_are_the_same_for_the_same_seed():
    one, same, other = (simulate(2, seed=seed) for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest
    np.testing.assert_array_equal(
        one.recordings[1].window(3).data, same.recordings[1].window(3).data
    )
    assert one.recordings[0].onset == 0.6
    assert one.shareable
