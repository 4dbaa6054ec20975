import json
import os
from pathlib import Path

import numpy as np
import pytest

from contract.ops import drawn
from contract.spec import Detection, Window
from training import backend, face_baselines, face_compare
from training.face_baselines import Baseline, fisherfaces, lbp_network
from training.face_compare import Rates, Result, Shown

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]
POINTS = np.array([(40, 50), (80, 50), (60, 75), (60, 95)], np.float32)
FACE = Detection("face", 0.9, box=(20.0, 10.0, 100.0, 90.0), points=POINTS)


def test_a_code_says_which_neighbours_are_at_least_as_bright():
    grey = np.array([[5, 9, 1], [5, 5, 7], [2, 5, 4]], np.float32)
    # clockwise from the top left: 5, 9 and (not 1) 7; not 4, then 5, not 2, then 5
    expected = (0b11010101) / 255 * lbp_network._ellipse(1)
    np.testing.assert_allclose(lbp_network.patterns(grey), expected)


def test_codes_do_not_depend_on_brightness_and_are_masked():
    grey = np.random.default_rng(0).uniform(0, 100, (48, 48)).astype(np.float32)
    codes = lbp_network.patterns(grey)
    assert codes.shape == (46, 46)
    np.testing.assert_array_equal(codes, lbp_network.patterns(2.0 * grey + 10.0))
    inside = np.argwhere(lbp_network._ellipse(46) > 0)
    assert inside[:, 1].min() == 9  # 0.30 of 46 to the left of the middle
    assert inside[:, 1].max() == 36
    assert inside[:, 0].min() == 0
    assert inside[:, 0].max() == 45  # 0.40 + 0.60
    assert codes[0, 0] == 0.0
    assert codes[18, 23] > 0.0


def test_the_crop_is_the_box_in_grey():
    picture = np.zeros((120, 120, 3), np.uint8)
    picture[10:90, 20:100] = (100, 200, 50)
    grey = lbp_network.crop(picture, FACE)
    assert grey.shape == (48, 48)
    np.testing.assert_allclose(grey, 0.299 * 100 + 0.587 * 200 + 0.114 * 50, rtol=1e-4)
    assert fisherfaces.see_aligned(picture, FACE).shape == (48, 48)


def test_the_network_is_the_published_one():
    backend.quiet()
    model = lbp_network.network(6)
    assert model.count_params() == lbp_network.PARAMETERS == 552_026
    shapes = [layer.output.shape[1:] for layer in model.layers]
    assert shapes == [
        (42, 42, 20), (14, 14, 20), (10, 10, 100), (5, 5, 100), (2500,), (200,), (6,)
    ]  # fmt: skip
    # the weights of the two dense layers are part of the loss, those of the others are not
    squares = sum((layer.kernel.numpy() ** 2).sum() for layer in model.layers[-2:])
    assert float(sum(model.losses)) == pytest.approx(0.001 * squares, rel=1e-4)


def test_every_epoch_is_distorted_anew():
    codes = np.full((50, 46, 46, 1), 0.5, np.float32)
    rng = np.random.default_rng(0)
    one, persons = lbp_network.distorted(codes, np.arange(50.0, dtype=np.float32), rng)
    other, _ = lbp_network.distorted(codes, persons, rng)
    assert persons.tolist() == list(range(50))
    assert not np.array_equal(one, other)
    middle = one[:, 10:36, 10:36]
    assert (middle == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert set(np.unique(middle).round(4).tolist()) == {0.0, 0.5}


def faces(people, each):
    """(n, 48, 48) noise around a pattern of each person, and whose it is."""
    patterns = np.random.default_rng(0).normal(0, 1, (people, 48, 48))
    noise = np.random.default_rng(1).normal(0, 0.5, (people * each, 48, 48))
    persons = np.repeat(np.arange(people), each)
    return (patterns[persons] + noise).astype(np.float32), persons


@pytest.mark.parametrize("name", ["fisherfaces", "fisherfaces_aligned"])
def test_fisherfaces_tell_people_apart(name):
    rows, persons = faces(6, 8)
    is_learned = np.arange(48) % 8 < 3
    fitted = face_baselines.load()[name].fit(rows[is_learned], persons[is_learned], 0)
    said = fitted.classify(rows[~is_learned])
    assert said.shape == (30, 6)
    assert 0 < said.min() <= said.max() <= 1
    assert (said.argmax(axis=1) == persons[~is_learned]).mean() > 0.95
    assert fitted.classify(rows[is_learned]).max(axis=1) == pytest.approx(1.0, abs=1e-6)


def test_the_network_learns_two_people(monkeypatch):
    monkeypatch.setattr(lbp_network, "_BATCHES", 60)
    pictures = [drawn.face(seed, height=160, width=160) for seed in (0, 0, 1, 1)]
    box = Detection("face", 0.9, box=(20.0, 20.0, 140.0, 140.0))
    light = [p if i % 2 else p // 2 for i, p in enumerate(pictures)]
    rows = np.stack([lbp_network.see(picture, box) for picture in light])
    fitted = lbp_network.fit(rows, np.array([0, 0, 1, 1]), 0)
    said = fitted.classify(rows)
    np.testing.assert_allclose(said.sum(axis=1), 1.0, rtol=1e-5)
    assert said.argmax(axis=1).tolist() == [0, 0, 1, 1]
    again = lbp_network.fit(rows, np.array([0, 0, 1, 1]), 0)
    np.testing.assert_array_equal(said, again.classify(rows))


# --- the protocol, on people who are directions


def person(number, places, *, angle=0.0, missing=()):
    """Pictures of somebody whose embedding is the axis of that number, turned by an angle."""
    window = Window("made", 0, 0, 0, np.zeros((4, 4, 3), np.uint8), 0.0)
    vector = np.zeros(32, np.float32)
    vector[number], vector[(number + 1) % 32] = np.cos(angle), np.sin(angle)
    face = Detection("face", 0.9, vector=vector, box=(0.0, 0.0, 1.0, 1.0))
    return [
        Shown(number, place, window, None if i in missing else face)
        for i, place in enumerate(places)
    ]


INDOORS = ["indoor"] * 4


def result(pictures, *, own=()):
    *steps, found = face_compare.compare(face_compare.shipped, pictures, 3, own=own, seed=0)
    assert all(isinstance(step, str) for step in steps)
    assert isinstance(found, Result)
    return found


def test_sixes_are_people_with_pictures_left_to_search_with():
    pictures = [
        one
        for number in range(14)
        for one in person(number, INDOORS if number != 2 else ["indoor"] * 3 + ["outdoor"])
    ]
    assert face_compare.sixes(pictures, 3) == [(0, 1, 3, 4, 5, 6), (7, 8, 9, 10, 11, 12)]


def test_a_closed_set_names_strangers_and_a_threshold_does_not():
    pictures = [one for n in range(12) for one in person(n, [*INDOORS, "outdoor"])]
    found = result(pictures, own=[0.5])
    assert found.groups == 2
    # two pictures of each of twelve searched for; each six meets five pictures of the other six
    assert found.at_0 == Rates(24, 24, 24, 60, 60)
    assert found.at_own == {0.5: Rates(24, 24, 24, 60, 0)}
    row = found.row()
    assert (row["accuracy_at_0"], row["enrolment_rate_at_0"]) == (1.0, 1.0)
    assert (row["strangers_accepted_at_0.5"], row["strangers"]) == (0, 60)


def test_p0_is_chosen_on_others_among_them_strangers():
    # the last is in no six, and turned half-way to the first of the second six
    pictures = [one for n in range(12) for one in person(n, INDOORS)]
    pictures += [
        Shown(12, one.place, one.window, one.face) for one in person(5, ["indoor"] * 3, angle=0.6)
    ]
    found = result(pictures)
    # shown to the second six they look like its first, person 6: cosine sin(0.6)
    assert found.p0[0] == pytest.approx(np.sin(0.6), abs=1e-6)
    # shown to the first six like person 5, cosine cos(0.6)
    assert found.p0[1] == pytest.approx(np.cos(0.6), abs=1e-6)
    assert found.at_p0.strangers_accepted == 3  # the first six accept whom only they know
    assert found.at_p0.right == found.at_p0.accepted == 12


def test_a_face_that_is_not_found_is_not_named():
    pictures = [one for n in range(6) for one in person(n, INDOORS, missing={3} if n == 0 else ())]
    found = result(pictures)
    assert found.at_0 == Rates(6, 5, 5, 0, 0)
    assert found.at_p0 is None  # nobody is left to choose a threshold on
    assert "accuracy" not in found.row()


def test_what_was_published_is_kept_as_it_was():
    known = face_baselines.load()
    assert set(known) == {"lbp_network", "fisherfaces", "fisherfaces_aligned"}
    figures = {(name, one.p0): one for name, kind in known.items() for one in kind.published}
    network = figures["lbp_network", 0.85]
    assert (network.accuracy, network.accepted, network.pictures) == (0.9959, 250, 278)
    assert (network.classify_ms, network.total_ms) == (105.0, 529.0)
    assert figures["fisherfaces_aligned", 0.0].accepted == 192
    assert all(isinstance(kind, Baseline) for kind in known.values())


# --- the command


def real():
    folder = Path(os.environ.get("VEDETTE_DATA", "data"), "faces_caltech_in_out")
    if not folder.is_dir():
        pytest.skip(f"{folder}: no such folder; set VEDETTE_DATA")
    return folder


@pytest.mark.slow
def test_one_table_of_real_faces(capsys):
    from export.evaluate import main

    arguments = ["faces", "--data", str(real()), "--compare", "fisherfaces_aligned,shipped"]
    assert main("evaluate", [*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    rows = {(row["method"], row["enrolled_from"]): row for row in said["compare"]}
    shipped, aligned = rows["shipped", 3], rows["fisherfaces_aligned", 3]
    assert shipped["pictures"] == aligned["pictures"] == 232
    assert shipped["accuracy_at_0"] > 0.99 > aligned["accuracy_at_0"] > 0.5
    assert shipped["strangers"] == 572
    assert shipped["face_ms"] > 0
    assert said["published"]["fisherfaces_aligned"][0]["accuracy"] == 0.9687
    assert "published:" in captured.err


def test_an_unknown_method_and_another_data_set_are_one_line(tmp_path, capsys):
    from export.evaluate import main

    arguments = ["faces", "--data", str(real()), "--compare", "no"]
    assert main("evaluate", arguments) == 1
    said = capsys.readouterr().err
    assert "--compare: no method 'no'; fix: all, or some of fisherfaces" in said
    with pytest.raises(SystemExit):
        main("evaluate", [*arguments, "--out", str(tmp_path / "page.html")])
