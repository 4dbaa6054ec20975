import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from contract.workloads.machine_condition import N_BANDS, levels
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


def figures(pronostia, rows, *, header="index,h_crest,v_crest,h_b0_1k,v_b0_1k", bearing=0):
    """A file of figures beside a bearing."""
    file = pronostia / f"bearing9_{bearing}_features.csv.gz"
    with gzip.open(file, "wt") as lines:
        lines.write("\n".join([header, *rows]) + "\n")
    return file


def test_figures_of_snapshots_whose_samples_were_not_kept_lie_between_the_others(pronostia):
    """Kept are 1, 6, 11 and so on; of those in between, crest factor and level are known."""
    figures(pronostia, [f"{n},{2 + n},{3 + n},0.{n},0.5" for n in range(1, 13)])
    bearing, other, _ = datasets.open_folder(pronostia).recordings
    assert [len(bearing.between(i)) for i in range(5)] == [0, 4, 4, 1, 0]
    assert not any(other.between(i) for i in range(len(other)))
    times = [t_ns for t_ns, _ in bearing.between(1)]
    assert times == [n * 10 * 10**9 for n in (1, 2, 3, 4)], "one snapshot every ten seconds"
    assert times[-1] < bearing.window(1).t_ns
    _, (horizontal, vertical) = bearing.between(1)[0]
    assert np.isnan(horizontal.vector[:N_BANDS]).all()
    np.testing.assert_allclose(horizontal.vector[N_BANDS:], np.log([4, 0.2]), rtol=1e-6)
    np.testing.assert_allclose(vertical.vector[N_BANDS:], np.log([5, 0.5]), rtol=1e-6)


def test_figures_are_those_that_the_workload_would_have_found(pronostia):
    """Those of a kept snapshot, put in for another: the same log crest factor and log level."""
    with np.load(pronostia / "bearing9_0.npz") as stored:
        x = stored["acc"][0].astype(np.float64) * stored["scale"].astype(np.float64)
    x -= x.mean(axis=0)
    crest = np.abs(x).max(axis=0) / np.sqrt(np.square(x).mean(axis=0))
    lines = np.abs(np.fft.rfft(x * np.hanning(len(x))[:, None], axis=0)) ** 2
    hz = np.fft.rfftfreq(len(x), 1 / 25_600)
    share = lines[(hz > 0) & (hz <= 1000)].sum(axis=0) / lines[1:].sum(axis=0)
    level = np.sqrt(np.square(x).mean(axis=0) * share)
    figures(pronostia, [f"2,{crest[0]},{crest[1]},{level[0]},{level[1]}"])
    bearing = datasets.open_folder(pronostia).recordings[0]
    ((_, known),) = bearing.between(1)
    seen = levels(bearing.window(0), ())
    np.testing.assert_allclose([d.vector[-2] for d in known], seen[:, -2], atol=1e-4)
    np.testing.assert_allclose([d.vector[-1] for d in known], seen[:, -1], atol=0.1)


def test_figures_after_the_last_kept_snapshot_are_left_out(pronostia):
    """There is no window that they come before."""
    with np.load(pronostia / "bearing9_0.npz") as stored:
        arrays = dict(stored) | {"n_total": np.int64(400)}
    np.savez(pronostia / "bearing9_0.npz", **arrays)
    figures(pronostia, ["199,4,4,0.1,0.1", "201,4,4,0.1,0.1", "300,4,4,0.1,0.1"])
    bearing = datasets.open_folder(pronostia).recordings[0]
    assert sum(len(bearing.between(i)) for i in range(len(bearing))) == 1


def test_a_silent_channel_has_a_level_all_the_same(pronostia):
    """The logarithm of nothing would be no number."""
    figures(pronostia, ["2,4,4,0.0,0.1"])
    ((_, known),) = datasets.open_folder(pronostia).recordings[0].between(1)
    assert np.isfinite([d.vector[N_BANDS:] for d in known]).all()


@pytest.mark.parametrize("row", ["0,4,0.1,0.1", "4,nan,0.1,0.1", "4,4,0.1,inf", "4,-1,0.1,0.1"])
def test_figures_of_a_dead_channel_are_passed_over(pronostia, row):
    """As a window that is refused on a device; its neighbours are known all the same."""
    figures(pronostia, ["2,4,4,0.1,0.1", f"3,{row}", "4,4,4,0.1,0.1"])
    between = datasets.open_folder(pronostia).recordings[0].between(1)
    assert [t_ns for t_ns, _ in between] == [10 * 10**9, 30 * 10**9]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda file: file.write_bytes(file.read_bytes()[:40]), id="cut"),
        pytest.param(lambda file: file.write_text("index,h_crest\n2,4\n"), id="not packed"),
        pytest.param(lambda file: file.write_bytes(gzip.compress(b"\xff\xfe\n1")), id="binary"),
        pytest.param(
            lambda file: figures(
                file.parent, ["2,4,4,0.1"], header="index,h_crest,v_crest,h_b0_1k"
            ),
            id="a column is missing",
        ),
        pytest.param(lambda file: figures(file.parent, ["2,4,4"]), id="a short row"),
        pytest.param(lambda file: figures(file.parent, ["2,4,4,much,0.1"]), id="a word"),
        pytest.param(lambda file: figures(file.parent, ["two,4,4,0.1,0.1"]), id="a word as number"),
        pytest.param(
            lambda file: figures(file.parent, ["2,4,4,0.1,0.1"], header="a,b,c,d,e"),
            id="another header",
        ),
    ],
)
def test_damaged_figures_are_refused_with_file_and_fix(pronostia, damage):
    """A bearing without its figures would be measured as another detector."""
    file = figures(pronostia, [f"{n},4,4,0.1,0.1" for n in range(1, 200)])
    damage(file)
    with pytest.raises(DataError) as refused:
        datasets.open_folder(pronostia)
    text = str(refused.value)
    assert str(file) in text
    assert "fix: copy this file again" in text
    assert "\n" not in text


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
