"""Liveness: examples, thresholds and rates, worked out by hand; training on a few drawn faces."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from contract.ops import drawn
from contract.spec import Detection, OperatingPoint, Window
from contract.visits import LIVE
from training import face_protocols, liveness, liveness_protocol
from training.datasets import Recording
from training.datasets.synthetic.replays import KINDS
from training.liveness import LABELS, LIVING, Looks, Portrait
from training.watch import Seen

BOX = (90.0, 50.0, 230.0, 190.0)
needs_keras = [
    pytest.mark.training,
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]


def portrait(number, dataset="drawn"):
    return Portrait(dataset, f"{dataset}/p{number:02d}", drawn.face(number), BOX)


def looks_of(labels, visits):
    n = len(labels)
    return Looks(
        np.zeros((n, 80, 80, 6), np.uint8),
        np.array(labels),
        np.array(["p"] * n),
        np.array(["drawn"] * n),
        np.array(visits),
    )


def recording(name, pictures, dataset="drawn"):
    life = np.linspace(1 / len(pictures), 1, len(pictures), dtype=np.float32)
    return Recording(
        name, dataset, life, 0, None, "", lambda i: Window(name, i, i * 10**9, 0, pictures[i], 0.0)
    )


def test_every_portrait_is_living_before_three_cameras_and_once_in_each_attack():
    looks = liveness.examples([portrait(0), portrait(1)], seed=0)
    assert looks.rows.shape == (2 * (3 + len(KINDS)), 80, 80, 6)
    for person in ("drawn/p00", "drawn/p01"):
        own = looks.labels[looks.persons == person].tolist()
        assert sorted(own) == sorted([LIVING] * 3 + list(KINDS))
    again = liveness.examples([portrait(0), portrait(1)], seed=0)
    np.testing.assert_array_equal(looks.rows, again.rows)


def test_a_visit_is_one_person_before_one_camera_in_one_way():
    looks = liveness.visits([portrait(0), portrait(1)], seed=0, frames=2, of_each=1)
    assert len(looks) == 2 * len(LABELS) * 2
    for visit in np.unique(looks.visits):
        own = looks.only(looks.visits == visit)
        assert len(own) == 2
        assert len(set(own.labels)) == len(set(own.persons)) == 1
        assert (own.rows[0] != own.rows[1]).any()


def test_the_mean_over_each_visit():
    looks = looks_of([LIVING, LIVING, "cut_out", "cut_out"], [0, 0, 7, 7])
    firsts, means = liveness.means(looks, np.array([0.2, 0.4, 0.5, 0.7]))
    assert firsts.labels.tolist() == [LIVING, "cut_out"]
    np.testing.assert_allclose(means, [0.3, 0.6])


def test_at_most_one_living_visit_in_a_hundred_is_below_the_threshold():
    scores = np.random.default_rng(0).permutation(np.linspace(0.1, 1.0, 250))
    least = liveness.least_live(scores)
    assert (scores < least).sum() == 2
    assert liveness.least_live(np.array([0.9, 0.4])) == 0.4


def test_rates_by_hand():
    labels = np.array([LIVING] * 4 + ["lcd_screen"] * 2 + ["cut_out"] * 5)
    scores = np.array([0.9, 0.8, 0.5, 0.4, 0.6, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1])
    assert liveness_protocol.rates(labels, scores, 0.5) == {
        "apcer_lcd_screen": 0.5,
        "apcer_cut_out": 0.2,
        "apcer": 0.5,
        "bpcer": 0.25,
        "acer": 0.375,
    }
    assert liveness_protocol.rates(labels[:4], scores[:4], 0.5) == {"bpcer": 0.25}


def test_of_many_pictures_of_a_person_sixteen_are_shown_each_by_its_largest_face():
    small, large = (0.0, 0.0, 4.0, 4.0), (2.0, 2.0, 9.0, 9.0)
    pictures = [np.full((12, 12, 3), i, np.uint8) for i in range(40)]
    found = [(Detection("face", box=small), Detection("face", box=large))] * 39 + [()]
    seen = Seen(recording("anna", pictures), tuple(range(40)), tuple(found), {})
    shown = liveness.portraits([seen])
    assert [one.picture[0, 0, 0] for one in shown[:2]] == [0, 2]
    assert len(shown) == 15  # in the last picture no face was found
    assert {(one.person, one.box) for one in shown} == {("drawn/anna", large)}


class Bench:
    """Finds the face of every picture at once, and takes for living what is as bright as drawn."""

    workload = SimpleNamespace(stages=[SimpleNamespace(name="live")])

    def __init__(self, score):
        self._score = score

    def see(self, seen):
        found = []
        for window in seen.windows():
            face = Detection("face", 0.9, box=BOX)
            score = self._score(window)
            live = [] if score is None else [face, Detection(LIVE, score, box=BOX)]
            found.append(tuple(live))
        return Seen(seen, tuple(range(len(found))), tuple(found), {})

    def point(self, _recording):
        return OperatingPoint(0.9, 0.9, "", {}, {"least_live": 0.3})

    def each(self, things, named):
        return (thing for thing in things if named(thing))


def test_a_bundle_is_measured_on_people_as_they_are_and_on_replays():
    """It takes everything for living but what comes from no camera of the data set."""
    people = [recording("anna", [drawn.face(0)] * 9), recording("bert", [drawn.face(1)])]
    bench = Bench(lambda window: 0.2 if window.source == "replay" else 0.3)
    found = liveness_protocol.measure(bench, people)
    assert found["bpcer_as_is"] == 0.0
    assert found["bpcer_taken"] == found["bpcer"] == found["bpcer_visit"] == 1.0
    assert found["apcer"] == found["apcer_cut_out_visit"] == 0.0
    assert found["acer"] == 0.5
    assert found["least_live"] == 0.3
    assert (found["attacks"], found["attacks_without_face"]) == (2 * len(KINDS) * 5, 0.0)


def test_an_attack_without_a_face_is_counted_and_left_out():
    people = [recording("anna", [drawn.face(0)])]
    bench = Bench(lambda window: None if window.source == "replay" else 0.9)
    found = liveness_protocol.measure(bench, people)
    assert found["attacks"] == found["attacks_without_face"] == len(KINDS) * 5
    assert "apcer" not in found


def test_of_a_bundle_without_the_stage_nothing_is_measured():
    bench = Bench(lambda _window: 0.5)
    bench.workload = SimpleNamespace(stages=[SimpleNamespace(name="embed")])
    assert liveness_protocol.measure(bench, [recording("anna", [drawn.face(0)])]) == {}


class TestTraining:
    pytestmark = needs_keras

    def test_a_few_faces_are_learned_by_heart(self):
        from training import backend

        looks = liveness.examples([portrait(i) for i in range(4)], seed=1)
        often = looks.only(np.tile(np.arange(len(looks)), 16))
        model = liveness.train(often, looks, seed=0, epochs=16)
        scores = liveness.scores(backend.as_model(model), looks)
        assert ((scores > 0.5) == looks.living).mean() > 0.9

    def test_without_each_data_set_in_turn(self):
        from training import backend

        shown = [portrait(i, dataset) for dataset in ("a", "b") for i in range(5)]
        folds = liveness_protocol.leave_one_out(
            shown,
            by="dataset",
            quantize=lambda model, _rows: backend.as_model(model),
            seed=0,
            epochs=1,
        )
        assert [fold.left_out for fold in folds] == ["a", "b"]
        of_kinds = {f"apcer_{kind}" for kind in KINDS}
        for fold in folds:
            assert {"bpcer", "apcer", "acer", *of_kinds} == set(fold.frame)
        worst = liveness_protocol.worst(folds)
        assert worst["acer_frame_max"] == max(fold.frame["acer"] for fold in folds)


def test_calibration_shows_every_kind_from_black_to_white():
    looks = liveness.examples([portrait(0)], seed=0)
    rows = liveness.calibration(looks)
    assert rows.shape == (9, 80, 80, 6)
    assert (rows.min(), rows.max()) == (0.0, 255.0)


def test_what_measures_faces_passes_over_what_is_said_of_their_liveness():
    near = Detection("face", 0.9, np.ones(2, np.float32), box=BOX)
    far = Detection("face", 0.9, np.ones(2, np.float32), box=(0.0, 0.0, 9.0, 9.0))
    found = (Detection(LIVE, 0.1, box=BOX), far, near)
    assert face_protocols.largest(found) == 2
    assert face_protocols.largest(found[:1]) is None
    shown = recording("anna", [drawn.face(0)])
    bench = SimpleNamespace(see=lambda seen: Seen(seen, (0,), (found,), {}))
    assert face_protocols.see(bench, shown).found == ((far, near),)


def test_a_shipped_threshold_is_chosen_on_persons_it_was_not_trained_on():
    shown = [portrait(i) for i in range(10)]
    apart = liveness_protocol.apart(shown, 0)
    assert len(apart) == 2
    others = [one for one in shown if one.person in apart]
    seen = []

    def run(rows):
        seen.append(len(rows))
        lowest = 0.5 if len(seen) == 1 else as_they_are
        return np.linspace(lowest, 1.0, len(rows))[:, None]

    as_they_are = 0.9
    least = liveness_protocol.chosen(run, others, seed=0)
    # as ten cameras see them, and their one picture as it is
    assert seen == [2 * 10 * liveness.FRAMES, 2 * liveness.FRAMES]
    assert least == pytest.approx(0.5 + 0.5 / (seen[0] - 1))  # mean of the first visit
    as_they_are = 0.3
    seen.clear()
    least = liveness_protocol.chosen(run, others, seed=0)
    assert least == pytest.approx(0.3 + 0.7 / (seen[1] - 1))
