import numpy as np
import pytest
from face_bench import (
    BLACK,
    BLUE,
    CYAN,
    GREEN,
    RED,
    REDDISH,
    FaceBench,
    FloatBench,
    save,
    write,
)

from training import datasets
from training.datasets import DataError
from training.face_groups import differences, table
from training.face_pairs import Pairs, balanced_ten_fold

WILD = ("file", "subject", "image_no", "source")
LONDON = ("file", "subject", "expression", "group")


def wild(folder, colours):
    """Pictures by person."""
    rows = []
    for name, pictures in colours.items():
        for i, colour in enumerate(pictures):
            save(folder / "images" / f"{name}_{i}.png", colour)
            rows.append((f"images/{name}_{i}.png", name, i, "set_a"))
    write(folder / "labels.csv", WILD, rows)
    return folder


def test_every_two_pictures_are_compared(tmp_path):
    folder = wild(tmp_path / "faces_wild_web", {"a": [RED, REDDISH], "b": [GREEN, GREEN, BLACK]})
    measured = datasets.open_folder(folder).measure(FaceBench(threshold=0.9))
    found = measured.metrics
    assert (found["faces"], found["found"], found["persons"]) == (5, 4, 2)
    assert (found["genuine_pairs"], found["impostor_pairs"]) == (4, 6)
    # found: genuine 0.893 and 1, impostors 0, 0, 0.450, 0.450; told apart, but not at 0.9
    assert found["eer"] == 0.0
    assert found["tar_at_fmr_1e2"] == found["tar_at_fmr_1e3"] == 1.0
    assert (found["false_matches"], found["fmr"], found["fmr_low"]) == (0, 0.0, 0.0)
    # missed: the reddish pair, and both pairs with the face that was not found
    assert (found["false_non_matches"], found["fnmr"]) == (3, 0.75)
    assert found["eer_misses_counted"] > 0.3
    assert found["threshold"] == 0.9
    assert "accuracy_10_fold" not in found
    rows = {row["name"]: row for row in measured.rows}
    assert (rows["a"]["false_non_matches"], rows["a"]["genuine_pairs"]) == (1, 1)
    assert (rows["b"]["false_non_matches"], rows["b"]["impostor_pairs"]) == (2, 6)


def test_the_float_model_has_an_eer_of_its_own(tmp_path):
    folder = wild(tmp_path / "faces_wild_web", {"a": [RED, RED], "b": [GREEN, GREEN]})
    # to this float model everything is the same blue
    found = datasets.open_folder(folder).measure(FloatBench(more_blue=1e30)).metrics
    assert (found["eer"], found["eer_float"]) == (0.0, 0.5)
    assert found["cosine_float_int8_min"] < 0.001
    assert "eer_float" not in datasets.open_folder(folder).measure(FaceBench()).metrics


def test_without_any_face_the_error_is_whole(tmp_path):
    folder = wild(tmp_path / "faces_wild_web", {"a": [BLACK, BLACK], "b": [BLACK]})
    found = datasets.open_folder(folder).measure(FaceBench()).metrics
    assert (found["eer"], found["tar_at_fmr_1e3"], found["found"]) == (1.0, 0.0, 0)
    assert found["false_non_matches"] == found["genuine_pairs"] == 1


def test_one_person_alone_cannot_be_verified(tmp_path):
    folder = wild(tmp_path / "faces_wild_web", {"a": [RED, RED]})
    with pytest.raises(DataError, match="needs two persons"):
        datasets.open_folder(folder)


def test_ten_folds_have_as_many_pairs_of_one_person_as_of_two():
    first = np.arange(300)
    second = np.where(first < 20, first, first + 1)
    apart = Pairs(np.where(first < 20, 0.9, 0.1), first, second)
    assert balanced_ten_fold(apart, seed=0) == {
        "accuracy_10_fold": 1.0,
        "accuracy_10_fold_sd": 0.0,
        "accuracy_10_fold_pairs": 40.0,
    }
    alike = Pairs(np.full(300, 0.5), first, second)
    assert balanced_ten_fold(alike, seed=0)["accuracy_10_fold"] == 0.5
    assert balanced_ten_fold(apart.only(first >= 15), seed=0) == {}


def london(folder, people):
    """Two pictures of each: (neutral, smiling, group); every neutral against every smiling."""
    rows = []
    for name, (*colours, group) in people.items():
        for kind, colour in zip(("neutral", "smiling"), colours, strict=True):
            save(folder / "images" / f"{name}_{kind}.png", colour)
            rows.append((f"images/{name}_{kind}.png", name, kind, group))
    write(folder / "labels.csv", LONDON, rows)
    pairs = [(f"images/{a}_neutral.png", f"images/{b}_smiling.png") for a in people for b in people]
    write(folder / "pairs.csv", ("enrol", "probe"), pairs)
    return folder


PEOPLE = {
    "001": (RED, RED, "white"),
    "002": (GREEN, GREEN, "white"),
    "003": (BLUE, BLUE, "black"),
    "004": (BLUE, BLACK, "black"),
    "005": (CYAN, CYAN, "mixed"),
}


def test_pairs_of_the_table_over_all_and_by_group(tmp_path):
    folder = london(tmp_path / "faces_london_groups", PEOPLE)
    measured = datasets.open_folder(folder).measure(FaceBench(threshold=0.8))
    found, rows = measured.metrics, {row["name"]: row for row in measured.rows}
    assert (found["genuine_pairs"], found["impostor_pairs"]) == (5, 20)
    # blue of 004 against blue of 003; the smile of 004 is not found
    assert (found["false_matches"], found["false_non_matches"]) == (1, 1)
    assert (found["faces"], found["found"]) == (10, 9)
    assert list(rows) == ["black", "mixed", "white", "two groups", "all"]
    assert (rows["black"]["impostor_pairs"], rows["black"]["false_matches"]) == (2, 1)
    assert rows["black"]["fmr"] == 0.5
    assert (rows["black"]["fmr_low"], rows["black"]["fmr_high"]) == pytest.approx(
        (0.0126, 0.9874), abs=1e-4
    )
    assert (rows["white"]["false_matches"], rows["white"]["fmr_high"]) == (
        0,
        pytest.approx(1 - 0.025 ** (1 / 2)),
    )
    assert (rows["mixed"]["impostor_pairs"], rows["mixed"]["fmr"]) == (0, None)
    assert (rows["two groups"]["genuine_pairs"], rows["two groups"]["impostor_pairs"]) == (0, 16)
    for kind in ("genuine_pairs", "impostor_pairs", "false_matches", "false_non_matches"):
        assert sum(row[kind] for name, row in rows.items() if name != "all") == rows["all"][kind]
    assert (rows["all"]["persons"], rows["black"]["persons"]) == (5, 2)


def groups_of(false_matches, *, persons=(30, 10)):
    """Two groups; so many impostor pairs of each score high; genuine pairs always do."""
    first, second, scores, start = [], [], [], 0
    for high, number in zip(false_matches, persons, strict=True):
        pairs = [(i, j) for i in range(number) for j in range(number)]
        impostors = [pair for pair in pairs if pair[0] != pair[1]]
        for pair in pairs:
            first.append(start + pair[0])
            second.append(start + pair[1])
            is_high = pair[0] == pair[1] or impostors.index(pair) < high
            scores.append(0.9 if pair[0] == pair[1] else 0.5 if is_high else 0.1)
        start += number
    return Pairs(np.array(scores), np.array(first), np.array(second)), ["a"] * 30 + ["b"] * 10


def test_how_far_groups_are_apart_at_one_threshold():
    # 870 + 90 impostor pairs: nine may match; 1 of 870 and 8 of 90 do
    pairs, groups = groups_of((1, 8))
    found = differences(pairs, groups)
    assert found["fmr_at_1pct"] == pytest.approx(9 / 960)
    assert 0.1 < found["threshold_at_1pct"] < 0.5
    assert found["fmr_max"] == pytest.approx(8 / 90)
    assert found["fmr_max_over_overall"] == pytest.approx((8 / 90) / (9 / 960))
    error_a, error_b = 1 / 870 / 2, 8 / 90 / 2
    assert found["group_accuracy_gap"] == pytest.approx(error_b - error_a)
    assert found["group_accuracy_sd"] == pytest.approx((error_b - error_a) / 2)
    assert found["group_ser"] == pytest.approx(error_b / error_a)


def test_no_ratio_is_made_up_where_nothing_matches():
    pairs, groups = groups_of((0, 10))  # ten alike, nine allowed: none matches
    found = differences(pairs, groups)
    assert found["fmr_at_1pct"] == 0.0
    assert "fmr_max_over_overall" not in found
    assert "group_ser" not in found


def test_intervals_over_persons_are_wider_than_those_over_pairs():
    pairs, groups = groups_of((1, 8))  # all of the first person of its group
    row = next(row for row in table(pairs, groups, 0.8) if row["name"] == "b")
    assert (row["false_matches"], row["false_matches_at_1pct"]) == (0, 8)
    assert row["fmr_at_1pct"] == pytest.approx(8 / 90)
    assert row["fmr_at_1pct_low"] == pytest.approx(0.0392, abs=1e-3)
    assert row["fmr_at_1pct_persons_low"] == 0.0
    assert row["fmr_at_1pct_persons_high"] > row["fmr_at_1pct_high"]
    assert (row["fnmr"], row["fnmr_at_1pct_persons_high"]) == (0.0, 0.0)


def test_a_pair_with_an_unknown_picture_is_refused(tmp_path):
    folder = london(tmp_path / "faces_london_groups", PEOPLE)
    pairs = folder / "pairs.csv"
    pairs.write_text(pairs.read_text() + "images/001_neutral.png,images/009_smiling.png\n")
    with pytest.raises(DataError) as refused:
        datasets.open_folder(folder)
    assert "pairs.csv" in str(refused.value)
    assert "009_smiling.png" in str(refused.value)


def test_a_table_without_pairs_of_one_person_is_refused(tmp_path):
    folder = london(tmp_path / "faces_london_groups", PEOPLE)
    write(
        folder / "pairs.csv",
        ("enrol", "probe"),
        [("images/001_neutral.png", "images/002_smiling.png")],
    )
    with pytest.raises(DataError, match="pairs of one person and pairs of two"):
        datasets.open_folder(folder)


def test_both_are_known_by_their_tables_whatever_the_folder_is_called(tmp_path):
    first = wild(tmp_path / "one", {"a": [RED, RED], "b": [GREEN]})
    second = london(tmp_path / "two", PEOPLE)
    assert datasets.open_folder(first).name == "faces_wild_web"
    assert datasets.open_folder(second).name == "faces_london_groups"
