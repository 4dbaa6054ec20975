import pytest
from face_bench import BLACK, CYAN, GREEN, RED, REDDISH, FaceBench, save

from training import datasets
from training.datasets import DataError
from training.datasets.rfw import RACES


def make(folder, root="data"):
    """Two persons to a race, ten pairs of one and ten of two, one of each to a fold."""
    for race in RACES:
        one, two = f"m.{race[0]}1", f"m.{race[0]}2"
        for name, colour in ((one, RED), (two, GREEN)):
            for number in (1, 2):
                save(folder / root / race / name / f"{name}_{number:04d}.jpg", colour)
        lines = []
        for fold in range(10):
            lines += [f"{(one, two)[fold % 2]}\t1\t2", f"{one}\t1\t{two}\t{1 + fold % 2}"]
        (folder / "txts" / race).mkdir(parents=True)
        (folder / "txts" / race / f"{race}_pairs.txt").write_text("\n".join(lines) + "\n")
    return folder


def measured(folder, threshold=0.8):
    return datasets.open_folder(folder).measure(FaceBench(threshold))


@pytest.mark.parametrize("root", ["data", "images"])
def test_all_pairs_right(tmp_path, root):
    found = measured(make(tmp_path / "faces", root)).metrics
    for name in ("african", "asian", "caucasian", "indian", "pooled", "mean"):
        assert found[f"accuracy_{name}"] == 1.0
    assert found["accuracy_sd"] == found["accuracy_gap"] == 0.0
    assert "accuracy_ser" not in found
    assert (found["genuine_pairs"], found["impostor_pairs"]) == (40, 40)
    assert found["false_matches"] == found["false_non_matches"] == 0
    assert (found["faces"], found["persons"]) == (16, 8)


def test_each_race_has_its_own_threshold_and_all_together_one(tmp_path):
    folder = make(tmp_path / "rfw")
    # one of the Asian persons is the opposite of herself; African ones are alike by 0.893
    save(folder / "data" / "Asian" / "m.A1" / "m.A1_0002.jpg", CYAN)
    for number in (1, 2):
        save(folder / "data" / "African" / "m.A2" / f"m.A2_{number:04d}.jpg", REDDISH)
    found = measured(folder).metrics
    # no threshold saves her five pairs
    assert found["accuracy_asian"] == pytest.approx(0.75)
    assert found["accuracy_african"] == 1.0  # 1 against 0.893
    assert found["accuracy_caucasian"] == found["accuracy_indian"] == 1.0
    assert found["accuracy_mean"] == pytest.approx(0.9375)
    assert found["accuracy_sd"] == pytest.approx((3 / 16) ** 0.5 * 0.25)
    assert found["accuracy_gap"] == pytest.approx(0.25)
    # under one threshold nothing else is lost, since 0.893 lies below all that are right
    assert found["accuracy_pooled"] == pytest.approx(1 - 5 / 80)
    # at 0.8 the African pairs of two match
    assert (found["false_matches"], found["false_non_matches"]) == (10, 5)


def test_pooled_is_worse_than_the_mean_where_races_need_other_thresholds(tmp_path):
    folder = make(tmp_path / "rfw")
    for number in (1, 2):
        save(folder / "data" / "African" / "m.A2" / f"m.A2_{number:04d}.jpg", REDDISH)
    save(folder / "data" / "Indian" / "m.I1" / "m.I1_0002.jpg", REDDISH)
    found = measured(folder)
    assert found.metrics["accuracy_mean"] == 1.0
    # 0.893 is somebody else among ten African pairs, and oneself in five Indian ones
    assert found.metrics["accuracy_pooled"] == pytest.approx(1 - 5 / 80)
    rows = {row["name"]: row for row in found.rows}
    assert list(rows) == [*RACES, "two groups", "all"]
    assert (rows["African"]["false_matches"], rows["African"]["fmr"]) == (10, 1.0)
    assert rows["African"]["fmr_low"] == pytest.approx(0.025 ** (1 / 10))
    assert rows["Indian"]["false_non_matches"] == 0


def test_a_face_not_found_is_a_pair_lost(tmp_path):
    folder = make(tmp_path / "rfw")
    save(folder / "data" / "Indian" / "m.I2" / "m.I2_0002.jpg", BLACK)
    found = measured(folder).metrics
    assert found["accuracy_indian"] == pytest.approx(0.75)
    assert found["found"] == 15
    assert found["false_non_matches"] == 5


def test_pictures_in_no_pair_are_not_read(tmp_path):
    folder = make(tmp_path / "rfw")
    (folder / "data" / "Indian" / "m.I2" / "m.I2_0003.jpg").write_bytes(b"dear me")
    assert measured(folder).metrics["faces"] == 16


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda table: table.unlink(), "Asian_pairs.txt"),
        (lambda table: table.write_text("m.A1 1 2\n"), "1 pairs"),
        (lambda table: table.write_text(table.read_text() + "m.A1 1 2 3 4\n"), "is no pair"),
        (lambda table: table.write_text(table.read_text() + "m.A1 one 2\n"), "one"),
        (lambda table: table.write_text(table.read_text() + "m.A1 1 9\n"), "m.A1_0009.jpg"),
    ],
)
def test_what_is_damaged_is_named(tmp_path, spoil, named):
    folder = make(tmp_path / "rfw")
    spoil(folder / "txts" / "Asian" / "Asian_pairs.txt")
    with pytest.raises(DataError) as refused:
        datasets.open_folder(folder)
    assert named in str(refused.value)
    assert "fix:" in str(refused.value)
    assert "\n" not in str(refused.value)
