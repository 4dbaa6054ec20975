"""What drifts is told, each kind in its words; what is broken once is not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from drift_line import Line, part, profile, scores, seen

from contract.drift import FOCUS, KINDS, LIGHTING, POSITION, SCORES, Drift, ranks
from contract.inspection import REJECT, REVIEW, Part
from contract.ops.looks import looks
from contract.spec import Detection

PARTS = 200  # over which something drifts


@pytest.fixture(scope="module")
def learned():
    return profile(seen(1, 120))


@pytest.fixture
def line(learned):
    return Line(learned)


def number(text):
    return float(re.search(r"[\d.]+", text).group())


class TestDrift:
    """Each thing that goes wrong on a line, slowly."""

    def test_nothing_is_said_of_other_good_parts(self, line):
        line.see(seen(2, 600))
        assert line.first == {}

    def test_a_lamp_that_fades(self, line):
        line.see(seen(3, PARTS, gain=np.linspace(1.0, 0.5, PARTS)))
        assert line.first.keys() == {LIGHTING}
        assert line.first[LIGHTING] < 70  # gain 0.83
        assert re.fullmatch(r"light \d+% dimmer than when it was learned", line.texts[LIGHTING])
        assert 6 <= number(line.texts[LIGHTING]) <= 15

    def test_a_lens_that_goes_soft(self, line):
        line.see(seen(4, PARTS, blur_px=np.linspace(0.0, 3.0, PARTS)))
        assert min(line.first, key=line.first.get) == FOCUS
        assert line.first[FOCUS] < 80  # 1.2 px
        assert line.texts[FOCUS].startswith("picture softer: edges 0.9")

    @pytest.mark.parametrize(
        ("drift", "words"), [("right", "px right, 0 px"), ("down", "right|left, [1-6] px down")]
    )
    def test_a_part_that_shifts(self, line, drift, words):
        line.see(seen(5, PARTS, **{drift: np.linspace(0.0, 20.0, PARTS)}))
        assert line.first.keys() == {POSITION}
        assert line.first[POSITION] < 60  # 6 px
        assert re.search(words, line.texts[POSITION])

    @pytest.mark.parametrize(("rise", "word"), [(0.5, "risen"), (-0.5, "fallen")])
    def test_scores_that_move(self, line, rise, word):
        line.see(seen(6, 60), scores(7, 60, rise=rise))
        assert line.first.keys() == {SCORES}
        assert line.texts[SCORES].startswith(f"scores of passed parts have {word}: half are above")

    def test_it_is_over_when_the_lamp_is_new(self, line):
        line.see(seen(3, 40, gain=0.5))
        assert line.now[LIGHTING] > 1.0
        line.see(seen(4, 60))
        assert line.now[LIGHTING] < 1.0


class TestSudden:
    """How many parts it takes."""

    def test_seven_broken_pictures_say_nothing_eight_do(self, line):
        black = [looks(np.zeros((128, 128, 3), np.uint8))]
        line.see(seen(2, 30)).see(black * 7)
        assert line.first == {}
        line.see(black)
        assert line.first[LIGHTING] == 37

    def test_one_in_ten_broken_says_nothing(self, line):
        rng = np.random.default_rng(8)
        for _ in range(30):
            line.see(seen(int(rng.integers(1000)), 9)).see(seen(0, 1, gain=0.05))
        assert line.first == {}


class TestParts:
    """Which of them count, and for what."""

    def test_rejects_count_for_looks_alone(self, line):
        line.see(seen(3, 20, gain=0.5), np.full(20, 1e6), label=REJECT)
        assert line.first.keys() == {LIGHTING}
        assert line.now[SCORES] == 0.0

    def test_parts_sent_to_a_person_likewise(self, line):
        line.see(seen(2, 20), np.full(20, 1e6), label=REVIEW)
        assert line.now[SCORES] == 0.0

    def test_what_is_no_part_goes_through(self, learned):
        found = (Detection("other"), Part("pass"))
        assert Drift(learned).update(found, 0) is found

    def test_what_is_said_is_a_notice_judged_against_one(self, learned):
        picture = looks(part(np.random.default_rng(0)))
        given = Drift(learned).update((Part("pass", 1.0, looks=picture),), 0)
        assert [(one.label, one.level, one.threshold) for one in given[1:]] == [
            (kind, "notice", 1.0) for kind in KINDS
        ]
        assert all(0.0 <= one.score < 1.0 and one.text for one in given[1:])


class TestState:
    """A restart forgets nothing."""

    def test_goes_on_where_it_was(self, learned):
        through, before, after = (Line(learned) for _ in range(3))
        faded = seen(3, 12, gain=0.6)
        through.see(faded[:6]).see(faded[6:])
        before.see(faded[:6])
        after.parts = 6
        after.follower.resume(before.follower.state())
        after.see(faded[6:])
        assert after.first == through.first == {LIGHTING: 7}
        assert after.now == through.now

    def test_of_another_shape_is_refused_and_changes_nothing(self, line):
        line.see(seen(3, 20, gain=0.5))
        before = line.follower.state()
        with pytest.raises(ValueError, match=r"scores of \(4,\) were kept, \(60,\) are followed"):
            line.follower.resume(before | {"looks": before["looks"] * 0, "scores": np.zeros(4)})
        with pytest.raises(KeyError):
            line.follower.resume({})
        assert all((line.follower.state()[name] == before[name]).all() for name in before)


def test_ranks_are_normal_whatever_the_unit():
    steps = np.linspace(0.0, 1.0, 101) ** 3
    # between the 90th and the 91st of 101, in the middle, and beyond both ends
    found = ranks(np.array([0.905**3, 0.5**3, -1.0, 2.0]), steps)
    assert found == pytest.approx([1.29, 0.0, -2.81, 2.81], abs=0.03)
    assert ranks(np.full(1, 3.0), np.full(101, 3.0)) == pytest.approx([0.0])
