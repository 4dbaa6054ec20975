"""Faces given to tracks, and how far a face can be believed: every figure by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from visits_people import FRONT, PROFILE, away, between, face, liveness, vector

from contract.spec import Detection
from contract.tracks import Track, assign, frontality, quality, uprightness

SAME, GAP_S = 0.8, 2.5
BOX = np.array([100.0, 100.0, 180.0, 180.0])


def track(box=BOX, *, unit=None, at_s=0.0):
    """Seen once."""
    made = Track(1, np.zeros(4), np.zeros(2), np.zeros(0), last_s=at_s, appeared_s=at_s)
    made.see(np.array(box), at_s, gap_s=GAP_S)
    if unit is not None:
        made.add(unit, 1.0)
    return made


def given(tracks, *faces, now_s=0.1):
    """Which track each (box, unit) gets."""
    boxes = np.array([box for box, _ in faces], np.float64)
    units = [unit for _, unit in faces]
    return assign(tracks, boxes, units, now_s, same=SAME, gap_s=GAP_S)


class TestQuality:
    """Size, certainty and pose, multiplied."""

    def test_a_large_certain_face_from_the_front(self):
        # the nose of FRONT lies 0.25 / 0.45 of the way from eyes to mouth, 0.56 is straight
        straight = 1 - (0.56 - 0.25 / 0.45) / 0.45
        assert frontality(FRONT) == pytest.approx(straight, abs=1e-6)
        assert quality(face("a", 200, score=0.9)) == pytest.approx(0.9 * straight, abs=1e-5)
        assert quality(face("a", 200, size=40, score=0.9)) == pytest.approx(
            0.45 * straight, abs=1e-5
        )
        assert quality(face("a", 500, size=400, score=1.0)) == pytest.approx(straight, abs=1e-4)

    def test_the_score_of_a_face_that_was_judged_is_no_certainty(self):
        judged = replace(face("a", 200), label="stranger", score=-1.0)
        assert quality(judged) == pytest.approx(frontality(FRONT), abs=1e-5)

    def test_half_turned_is_half_as_good(self):
        # a nose a quarter of the eyes' distance off the middle: half of what is too much
        turned = FRONT.copy()
        turned[2, 0] += 0.25 * 0.4
        assert frontality(turned) == pytest.approx(0.5 * frontality(FRONT), abs=1e-6)

    @pytest.mark.parametrize("degrees", [-60, -20, 20, 60, 90])
    def test_tilted_in_the_picture_it_is_as_good(self, degrees):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turned = FRONT @ np.array([[cos, sin], [-sin, cos]], np.float32)
        assert frontality(turned) == pytest.approx(frontality(FRONT), abs=1e-5)

    @pytest.mark.parametrize(
        ("degrees", "share"), [(-24, 1.0), (30, 1.0), (-40, 0.5), (50, 0.0), (90, 0.0), (180, 0.0)]
    )
    def test_but_one_that_lies_is_not_compared(self, degrees, share):
        """Further than a head leans; the embedding is another one."""
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        points = face("a", 200).points @ np.array([[cos, sin], [-sin, cos]], np.float32)
        leaning = replace(face("a", 200), points=points)
        assert uprightness(points) == pytest.approx(share, abs=1e-3)
        assert quality(leaning) == pytest.approx(share * quality(face("a", 200)), abs=1e-3)

    def test_what_is_no_view_of_a_face_is_worth_nothing(self):
        upside_down = FRONT.copy()
        upside_down[2:, 1] = 0.7 - upside_down[2:, 1]
        one_eye = FRONT.copy()
        one_eye[1] = one_eye[0]
        looking_down = FRONT.copy()
        looking_down[2, 1] = 0.81
        for points in (PROFILE, upside_down, one_eye, looking_down):
            assert frontality(points) == 0.0
        good = face("a", 200)
        for bad in (
            replace(good, points=None),
            replace(good, vector=None),
            replace(good, box=None),
            replace(good, vector=np.full(128, np.nan, np.float32)),
            replace(good, points=np.full((4, 2), np.inf, np.float32)),
            replace(good, box=(5.0, 5.0, 5.0, 9.0)),
            replace(good, score=-1.0),
            Detection("face", 0.9),
        ):
            assert quality(bad) == 0.0


class TestTrack:
    """What is kept of one person."""

    def test_speed_is_smoothed_and_unknown_after_a_gap(self):
        one = track()
        one.see(BOX + 10, 1.0, gap_s=GAP_S)
        assert one.speed.tolist() == [10.0, 10.0]
        one.see(BOX + 40, 2.0, gap_s=GAP_S)
        assert one.speed.tolist() == [20.0, 20.0]
        one.see(BOX + 40, 5.0, gap_s=GAP_S)
        assert one.speed.tolist() == [0.0, 0.0]
        assert (one.frames, one.present_s, one.appeared_s) == (4, 1.0 + 1.0 + GAP_S, 5.0)

    def test_the_mean_is_by_quality(self):
        one = track()
        one.add(np.array([1.0, 0.0]), 0.6)
        one.add(np.array([0.0, 1.0]), 0.2)
        assert one.mean.tolist() == pytest.approx([0.75, 0.25])
        assert (one.usable, one.weight) == (2, pytest.approx(0.8))

    def test_who_stays_for_hours_may_still_change(self):
        one = track()
        for _ in range(10_000):
            one.add(np.array([1.0, 0.0]), 1.0)
        for _ in range(60):
            one.add(np.array([0.0, 1.0]), 1.0)
        assert one.weight == 30.0
        # each takes 1/31 of what was there
        assert one.mean[0] == pytest.approx((30 / 31) ** 60, rel=1e-6)

    def test_the_oldest_liveness_fades(self):
        one = track()
        for _ in range(100):
            one.note_liveness(1.0)
        one.note_liveness(0.0)
        assert (one.live, one.live_frames) == (pytest.approx(14.0), 15)

    def test_joined_it_goes_on_where_the_other_is_with_the_others_liveness(self):
        old, new = track(unit=vector("a"), at_s=0.0), track(BOX + 300, at_s=20.0)
        old.note_liveness(1.0)
        new.note_liveness(0.25)
        new.see(BOX + 310, 21.0, gap_s=GAP_S)
        new.add(vector("b"), 3.0)
        old.join(new)
        assert old.mean == pytest.approx((vector("a") + 3 * vector("b")) / 4)
        assert (old.live, old.live_frames) == (0.25, 1)
        assert (old.frames, old.usable, old.last_s, old.appeared_s) == (3, 2, 21.0, 20.0)
        assert old.box.tolist() == (BOX + 310).tolist()


class TestAssign:
    """By place, by likeness, and by both."""

    def test_a_place_is_enough(self):
        assert given([track()], (BOX + 5, None)) == [0]
        assert given([track()], (BOX + 200, None)) == [None]

    def test_a_likeness_is_enough_however_far_and_long_ago(self):
        known = track(unit=vector("a"))
        assert given([known], (BOX + 500, vector("a")), now_s=50.0) == [0]
        assert given([known], (BOX + 500, between("a", "b", 0.79)), now_s=50.0) == [None]

    def test_after_a_gap_a_place_is_nobodys(self):
        assert given([track()], (BOX, None), now_s=GAP_S) == [0]
        assert given([track()], (BOX, None), now_s=GAP_S + 0.1) == [None]

    def test_the_longer_ago_the_farther_somebody_may_have_walked(self):
        # 80 px at 1.5 sizes a second: 12 px on each side after 0.1 s, 240 after two
        for now_s, farthest in ((0.1, 69), (2.0, 373)):
            assert given([track()], (BOX + [farthest, 0] * 2, None), now_s=now_s) == [0]
            assert given([track()], (BOX + [farthest + 10, 0] * 2, None), now_s=now_s) == [None]

    def test_who_walks_is_expected_further_on(self):
        walking = track()
        walking.see(BOX + [40, 0] * 2, 0.1, gap_s=GAP_S)
        assert given([walking], (BOX + [80, 0] * 2, None), (BOX, None), now_s=0.2) == [0, None]

    def test_another_face_in_the_same_place_is_another_person(self):
        known = track(unit=vector("a"))
        # likeness -1 is as far below 0.8 as 1 is above it: 0.6
        assert given([known], (BOX, between("a", "b", 0.61))) == [0]
        assert given([known], (BOX, between("a", "b", 0.59))) == [None]

    def test_of_two_the_more_alike_gets_the_place(self):
        known = [track(unit=vector("a")), track(BOX + 20, unit=vector("b"))]
        assert given(known, (BOX, vector("b")), (BOX + 20, vector("a"))) == [1, 0]
        assert given(known, (BOX, None), (BOX + 20, None)) == [0, 1]

    def test_nobody_and_nothing(self):
        assert given([], (BOX, None)) == [None]
        assert assign([track()], np.zeros((0, 4)), [], 1.0, same=SAME, gap_s=GAP_S) == []


def test_the_people_of_these_tests_are_what_they_are_said_to_be():
    """A face in profile is not usable, and its liveness has its box."""
    assert quality(away(100.0)) < 0.2 < quality(face("a", 100))
    assert liveness(face("a", 100), 0.3).box == face("a", 100).box
