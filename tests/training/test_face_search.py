import numpy as np
import pytest
from face_bench import (
    BLACK,
    BLUE,
    CYAN,
    GREEN,
    MAGENTA,
    ORANGE,
    RED,
    REDDISH,
    YELLOW,
    FaceBench,
    FloatBench,
    save,
    write,
)

from training import datasets
from training.datasets import DataError

GREY = (128, 128, 128)  # like nobody


def tree(folder, heading, rows):
    """A data set: rows of a file's name, its colours and its labels."""
    for file, colours, *_ in rows:
        save(folder / "images" / file, *colours)
    write(folder / "labels.csv", heading, [[f"images/{row[0]}", *row[2:]] for row in rows])
    return folder


ORL = ("file", "subject", "image_no", "role_closed", "role_open")


@pytest.fixture
def orl(tmp_path):
    """Red and green are known, blue is not; green's second enrolment is like red, not green."""
    rows = [
        ("r_1.png", [RED], "r", 1, "enrol", "enrol"),
        ("r_2.png", [RED], "r", 2, "enrol", "enrol"),
        ("r_3.png", [REDDISH], "r", 3, "probe", "probe_known"),
        ("r_4.png", [BLACK], "r", 4, "probe", "probe_known"),
        ("g_1.png", [GREEN], "g", 1, "enrol", "enrol"),
        ("g_2.png", [CYAN], "g", 2, "enrol", "enrol"),
        ("g_3.png", [GREEN], "g", 3, "probe", "probe_known"),
        ("g_4.png", [CYAN], "g", 4, "probe", "probe_known"),
        ("b_1.png", [BLUE], "b", 1, "enrol", "probe_unknown"),
        ("b_2.png", [GREEN], "b", 2, "probe", "probe_unknown"),
    ]
    return tree(tmp_path / "faces_orl", ORL, rows)


def test_orl_closed_and_open_set(orl):
    bench = FaceBench(threshold=0.8)
    found = datasets.open_folder(orl).measure(bench).metrics
    assert bench.shown == ["b", "g", "r"]
    # closed: b's only probe is green, r's second has no face; 3 of 5
    assert (found["closed_set_accuracy"], found["closed_set_probes"]) == (0.6, 5)
    # from one picture g's cyan is like nobody: equally unlike green and blue
    assert found["closed_set_accuracy_one_picture"] == 0.4
    # open: 3 of 4 known right; of both pictures of the stranger the green one is named
    assert (found["open_set_correct"], found["open_set_known"]) == (0.75, 4)
    assert (found["strangers_accepted"], found["strangers"]) == (1, 2)
    assert found["open_set_correct_one_picture"] == 0.5
    assert found["strangers_accepted_one_picture"] == 1
    # no stranger may be named: nobody is more alike than the stranger in green
    assert found["fnir_at_fpir_1pct"] == 1.0
    assert (found["persons"], found["faces"], found["found"]) == (3, 10, 9)
    assert "cosine_float_int8_min" not in found


def test_the_threshold_is_the_shipped_one(orl):
    found = datasets.open_folder(orl).measure(FaceBench(threshold=0.95)).metrics
    assert found["open_set_correct"] == 0.5  # the reddish face is 0.893 like red
    assert found["closed_set_accuracy"] == 0.6


def test_where_the_table_names_no_stranger_every_third_person_is_one(orl):
    labels = orl / "labels.csv"
    labels.write_text(labels.read_text().replace("probe_unknown", "probe_known"))
    measured = datasets.open_folder(orl).measure(FaceBench())
    assert [row["name"] for row in measured.rows if row["is_stranger"]] == ["r"]
    assert measured.metrics["strangers"] == 4  # all of r's
    assert measured.metrics["strangers_accepted"] == 0  # the reddish one is 0.45 like green


def test_every_person_has_a_row(orl):
    by_name = {row["name"]: row for row in datasets.open_folder(orl).measure(FaceBench()).rows}
    assert by_name["r"] == {
        "name": "r",
        "split": "unseen",
        "pictures": 4,
        "found": 3,
        "is_stranger": False,
        "probes": 2,
        "right": 1,
        "right_one_picture": 1,
    }


def test_float_and_int8_are_compared_face_by_face(orl):
    found = datasets.open_folder(orl).measure(FloatBench()).metrics
    # (127, 0, 0) and (127, 0, 127): 45 degrees; blue stays what it is
    assert found["cosine_float_int8_min"] == pytest.approx(np.sqrt(0.5))
    assert found["cosine_float_int8_faces"] == 9
    same = datasets.open_folder(orl).measure(FloatBench(more_blue=0.0)).metrics
    assert same["cosine_float_int8_min"] == pytest.approx(1.0)
    assert same["cosine_float_int8_mean"] == pytest.approx(1.0)


def test_of_several_faces_the_largest_is_taken(orl):
    save(orl / "images" / "r_3.png", BLUE, REDDISH, REDDISH)
    found = datasets.open_folder(orl).measure(FloatBench()).metrics
    assert found["closed_set_accuracy"] == 0.6
    assert found["several_found"] == 1
    assert found["cosine_float_int8_faces"] == 10
    save(orl / "images" / "r_3.png", BLUE, BLUE, REDDISH)
    assert datasets.open_folder(orl).measure(FloatBench()).metrics["closed_set_accuracy"] == 0.4


YALE = ("file", "subject", "light_subset", "role")


def test_yale_by_subset_of_light(tmp_path):
    rows = [
        ("a_1.png", [RED], "a", 1, "enrol"),
        ("a_2.png", [REDDISH], "a", 2, "probe"),
        ("a_3.png", [BLACK], "a", 5, "probe"),
        ("a_4.png", [RED], "a", 5, "probe"),
        ("b_1.png", [GREEN], "b", 1, "enrol"),
        ("b_2.png", [GREEN], "b", 2, "probe"),
        ("b_3.png", [RED], "b", 5, "probe"),
        ("b_4.png", [GREEN], "b", 5, "probe"),
    ]
    folder = tree(tmp_path / "faces_yaleb_light", YALE, rows)
    measured = datasets.open_folder(folder).measure(FaceBench(threshold=0.9))
    found = measured.metrics
    assert (found["accuracy_subset_2"], found["accepted_subset_2"]) == (1.0, 0.5)
    assert (found["accuracy_subset_5"], found["accepted_subset_5"]) == (0.5, 0.5)
    assert (found["found_subset_5"], found["pictures_subset_5"]) == (3, 4)
    assert "accuracy_subset_1" not in found
    assert [row["right_subset_5"] for row in measured.rows] == [1, 1]


CALTECH = ("file", "subject", "source_index", "place", "face_covered")
COLOURS = (RED, GREEN, BLUE, CYAN, MAGENTA, YELLOW, ORANGE)


def caltech_rows(people=COLOURS, *, last=None):
    """Four indoor pictures of each, one outdoors; `last` replaces somebody's fourth."""
    for number, colour in enumerate(people):
        for i in range(5):
            seen = (last or {}).get(number, colour) if i == 3 else colour
            place = "outdoor" if i == 4 else "indoor"
            yield f"c{number:02d}_{i}.png", [seen], f"c{number:02d}", i, place, 0


@pytest.fixture
def caltech(tmp_path):
    return lambda rows: tree(tmp_path / "faces_caltech_in_out", CALTECH, list(rows))


def test_caltech_indoors_and_outdoors(caltech):
    # one face is not found, another looks like somebody else, one like nobody
    rows = list(caltech_rows(last={0: BLACK, 1: RED, 6: GREY}))
    rows.append(("c00_9.png", [RED], "c00", 9, "unclear", 0))
    measured = datasets.open_folder(caltech(rows)).measure(FaceBench(threshold=0.8))
    found = measured.metrics
    assert (found["indoor_pictures"], found["indoor_accepted"], found["indoor_right"]) == (7, 5, 4)
    assert found["indoor_accuracy"] == pytest.approx(4 / 5)
    assert found["indoor_accuracy_at_0"] == pytest.approx(4 / 6)
    assert (found["outdoor_accuracy"], found["outdoor_pictures"]) == (1.0, 7)
    assert found["enrolment_rate"] == pytest.approx(12 / 14)
    assert found["enrolment_rate_at_0"] == pytest.approx(13 / 14)
    assert found["unclear"] == 1
    # blue and yellow are strangers, and like nobody else
    assert [row["name"] for row in measured.rows if row["is_stranger"]] == ["c02", "c05"]
    assert (found["strangers_accepted"], found["strangers"]) == (0, 10)
    assert found["open_set_correct"] == pytest.approx(7 / 10)
    # the one orange person is left to choose the threshold on: that is too few
    assert found["six_person_groups"] == 1
    assert (found["six_person_accepted"], found["six_person_right"]) == (11, 10)
    assert found["six_person_accuracy"] == pytest.approx(10 / 11)
    assert found["six_person_enrolment_rate"] == pytest.approx(11 / 12)
    assert [row["six_person_p0"] for row in measured.rows] == [0.8] * 6 + [None]


def test_the_threshold_of_six_persons_is_chosen_on_the_others(caltech):
    # orange and reddish are 0.95 alike; the six have one face that is 0.893 like its own
    rows = caltech_rows((*COLOURS, REDDISH), last={0: REDDISH})
    measured = datasets.open_folder(caltech(rows)).measure(FaceBench(threshold=0.5))
    found, p0 = measured.metrics, measured.rows[0]["six_person_p0"]
    assert p0 == pytest.approx(0.9497, abs=1e-4)
    assert found["six_person_enrolment_rate"] == pytest.approx(11 / 12)
    assert found["six_person_accuracy"] == 1.0
    assert found["six_person_enrolment_rate_at_0"] == 1.0


def test_everybody_is_in_one_six_while_there_are_enough(caltech):
    rows = caltech_rows(
        (*COLOURS, REDDISH, (255, 128, 255), (128, 255, 255), (1, 1, 128), (1, 1, 1))
    )
    measured = datasets.open_folder(caltech(rows)).measure(FaceBench())
    assert measured.metrics["six_person_groups"] == 2
    assert measured.metrics["six_person_pictures"] == 24
    assert all(row["six_person_p0"] is not None for row in measured.rows)


def test_with_fewer_than_six_persons_the_protocol_is_left_out(caltech):
    found = datasets.open_folder(caltech(caltech_rows(COLOURS[:5]))).measure(FaceBench()).metrics
    assert not [name for name in found if name.startswith("six")]


def test_who_has_no_face_in_any_enrolment_picture_is_not_enrolled(caltech):
    rows = [
        (file, [BLACK] if name == "c00" and i < 3 else colours, name, i, *rest)
        for file, colours, name, i, *rest in caltech_rows()
    ]
    found = datasets.open_folder(caltech(rows)).measure(FaceBench()).metrics
    # red is like nobody but orange, by 0.707
    assert found["enrolment_rate"] == pytest.approx(12 / 14)
    assert found["indoor_accuracy"] == 1.0


def test_without_any_face_nothing_is_named_and_everything_counted(caltech):
    rows = caltech_rows([BLACK] * 7)
    found = datasets.open_folder(caltech(rows)).measure(FloatBench()).metrics
    assert found["indoor_accuracy"] == found["enrolment_rate_at_0"] == found["found"] == 0
    assert (found["faces"], found["strangers_accepted"], found["fnir_at_fpir_1pct"]) == (35, 0, 1)
    assert "cosine_float_int8_min" not in found


@pytest.mark.parametrize(
    ("name", "heading"),
    [("faces_orl", ORL), ("faces_yaleb_light", YALE), ("faces_caltech_in_out", CALTECH)],
)
def test_a_set_is_known_by_its_table_whatever_its_folder_is_called(tmp_path, name, heading):
    row = ["a_1.png", [RED], "a", *["1"] * (len(heading) - 2)]
    dataset = datasets.open_folder(tree(tmp_path / "kept_aside", heading, [row]))
    assert dataset.name == name
    assert not dataset.shareable


def spoil_table(folder):
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00")


def empty_table(folder):
    (folder / "labels.csv").write_text(",".join(ORL) + "\n")


def lose_a_column(folder):
    labels = folder / "labels.csv"
    labels.write_text(labels.read_text().replace(",enrol,enrol", ",enrol", 1))


def lose_a_picture(folder):
    (folder / "images" / "g_1.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoil_table, "labels.csv"),
        (empty_table, "labels.csv"),
        (lose_a_column, "labels.csv: line 2: no 'role_open'"),
        (lose_a_picture, "g_1.png"),
    ],
)
def test_what_is_damaged_is_named_in_one_line_with_the_fix(orl, spoil, named):
    spoil(orl)
    with pytest.raises(DataError) as refused:
        datasets.open_folder(orl)
    assert named in str(refused.value)
    assert "fix:" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_picture_is_named_when_its_turn_comes(orl):
    (orl / "images" / "g_1.png").write_bytes(b"dear me")
    dataset = datasets.open_folder(orl)
    with pytest.raises(DataError, match=r"g_1\.png"):
        dataset.measure(FaceBench())


def test_the_digest_tells_of_every_byte_of_every_picture(orl):
    before = datasets.open_folder(orl)
    save(orl / "images" / "g_2.png", MAGENTA)
    after = datasets.open_folder(orl)
    changed = [
        one.name
        for one, other in zip(before.recordings, after.recordings, strict=True)
        if one.digest != other.digest
    ]
    assert changed == ["g"]
    assert before.digest != after.digest


def test_a_person_is_a_recording_and_a_picture_its_window(orl):
    person = datasets.open_folder(orl).recordings[2]
    window = person.window(2)
    assert (person.name, person.dataset, len(person)) == ("r", "faces_orl", 4)
    assert (window.source, window.seq, window.t_ns) == ("r_3.png", 2, 2 * 10**9)
    assert window.data[0, 0].tolist() == list(REDDISH)
