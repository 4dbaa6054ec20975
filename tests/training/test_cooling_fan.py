import numpy as np
import pytest
from bench import FakeBench

from training import datasets
from training.datasets import DataError

SPEEDS = {"h": 0.5, "m": 0.3, "l": 0.15, "o": 0.02}


def spectra(seed, speeds, *, damage=1.0, room=1.0, n=120):
    """(n, 512) amplitudes: a slope per speed; damage makes the upper half louder while running."""
    rng = np.random.default_rng(seed)
    rows = np.empty((n, 512))
    for i in range(n):
        speed = speeds[i * len(speeds) // n]
        level = SPEEDS[speed] * np.linspace(1, 0.3, 512) * room
        if speed != "o":
            level[256:] *= damage
        rows[i] = level * np.exp(rng.normal(0, 0.2, 512))
    return np.clip(rows, 0, 1).astype(np.float16)


@pytest.fixture
def fans(tmp_path):
    folder = tmp_path / "cooling_fan"
    folder.mkdir()

    def save(name, rows):
        np.savez(folder / f"{name}.npz", spectra=rows, t_rel_s=np.arange(len(rows)) * 2.0)

    for room, gain in (("silentA", 1.0), ("noisy", 1.5)):
        for repeat in (1, 2):
            seed = 10 * repeat + int(gain)
            save(f"9cm_hmlo_normal_{room}_{repeat}", spectra(seed, "hmlo", room=gain))
            bad = spectra(seed + 5, "hmlo", room=gain, damage=1.8)
            save(f"9cm_hmlo_damage7_{room}_{repeat}", bad)
        save(f"9cm_h_normal_{room}", spectra(3, "h", room=gain))
    save("20cm_hmlo_normal_silentA_1", spectra(1, "hmlo"))
    save("20cm_hmlo_normal_silentA_2", spectra(2, "hmlo"))
    return folder


def measured(folder):
    return datasets.open_folder(folder).measure(FakeBench())


def test_every_size_and_room_is_found_from_the_names_and_learned_on_the_spot(fans):
    found = measured(fans)
    assert [row["name"] for row in found.rows] == [
        "20cm silentA (healthy)",
        "9cm noisy damage7",
        "9cm silentA damage7",
    ]
    assert {row["learned_rows"] for row in found.rows} == {120}
    # one condition per speed
    assert all(row["conditions"] == 4 for row in found.rows)
    assert found.metrics["auroc_after_learning_min"] > 0.99
    assert found.metrics["tpr_min"] > 0.9
    assert found.metrics["fpr_max"] == 0.0
    assert found.metrics["fpr_other_sessions_max"] == 0.0
    assert all(one.keys() == found.rows[0].keys() for one in found.rows)


def test_damage_of_a_fan_at_rest_is_not_expected_to_be_found(fans):
    found = measured(fans)
    assert found.metrics["tpr_all_rows_min"] == pytest.approx(0.75, abs=0.05)  # a quarter is off


def test_a_harmless_damage_is_reported_as_not_found(fans):
    for file in fans.glob("*damage*"):
        np.savez(file, spectra=spectra(99, "hmlo", room=1.5 if "noisy" in file.stem else 1.0))
    assert measured(fans).metrics["tpr_min"] == 0.0


def test_a_room_without_a_normal_fan_is_left_out(fans):
    for file in fans.glob("*normal_noisy*"):
        file.unlink()
    assert not any("noisy" in str(row["name"]) for row in measured(fans).rows)


def test_the_files_are_recognised_in_a_folder_of_another_name(fans):
    dataset = datasets.open_folder(fans.rename(fans.with_name("kept_aside")))
    assert (dataset.name, dataset.needs_bundle, dataset.recordings) == ("cooling_fan", False, ())


def test_without_a_normal_fan_nothing_can_be_learned(fans):
    for file in fans.glob("*normal*"):
        file.unlink()
    with pytest.raises(DataError, match=r"no SIZE_SPEEDS_normal_ROOM.npz in it; fix:"):
        datasets.open_folder(fans)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:500]),
        lambda file: np.savez(file, other=np.ones(3)),
        lambda file: np.savez(file, spectra=np.ones((40, 100))),
        lambda file: np.savez(file, spectra=np.full((40, 512), np.nan)),
    ],
)
def test_a_damaged_file_is_named_in_one_line_with_the_fix(fans, spoil):
    file = fans / "9cm_hmlo_damage7_noisy_1.npz"
    spoil(file)
    with pytest.raises(DataError) as refused:
        datasets.open_folder(fans)
    assert str(file) in str(refused.value)
    assert "fix:" in str(refused.value)
    assert "\n" not in str(refused.value)
