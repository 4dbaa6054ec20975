"""Which pictures are taken of whom, and what is said of the others."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from gallery_people import FRONTAL, D, made, person, picture, shown, vector
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import gallery
from contract.gallery import Consent, GalleryError
from contract.spec import Detection
from edge import gallery_enrol, gallery_quality
from edge.errors import ConfigError
from edge.gallery_quality import look

CONSENT = Consent("Anna", "door", dt.date(2026, 1, 1))
ANNA = person("Anna", vector(0), vector(0, 2))


def enrol(name, *pictures, people=(), **more):
    return gallery_enrol.enrol(name, pictures, made(*people), CONSENT, **more)


def refused(outcome):
    return [one.refused for one in outcome.pictures]


def test_somebody_is_enrolled_from_pictures_that_go_together():
    """With their embeddings, quality and consent; into an empty gallery."""
    outcome = enrol("Anna", shown("1", 5 * vector(0), 0.7), shown("2", vector(0, 1)))
    assert refused(outcome) == [None, None]
    assert outcome.told == ()
    assert outcome.person.vectors == pytest.approx(np.stack([vector(0), vector(0, 1)]))
    assert [one.quality for one in outcome.person.pictures] == [0.7, 1.0]
    assert outcome.person.consent == CONSENT


def test_one_picture_is_enough_but_more_are_better():
    """Said, not refused."""
    outcome = enrol("Anna", shown("1", vector(0)))
    assert outcome.person.name == "Anna"
    assert outcome.told == (
        "one picture only; two or three more, on other days, make misses rarer",
    )


def test_pictures_too_bad_enrol_nobody():
    """However many."""
    outcome = enrol("Anna", shown("1", vector(0), refused=("blurred",)))
    assert outcome.person is None
    assert outcome.told == ("no picture is good enough; nobody was enrolled",)


def test_the_same_picture_twice_says_nothing_new():
    """Neither twice in a folder nor of one who is enrolled from it."""
    outcome = enrol(
        "anna", shown("1", vector(0, 1)), shown("2", 2 * vector(0, 1)), shown("3", vector(0)),
        people=[ANNA],
    )  # fmt: skip
    assert refused(outcome) == [
        None,
        "the same picture as 1; one of another moment",
        "the same picture as one that is enrolled; one of another moment",
    ]
    assert outcome.person.id == ANNA.id
    assert outcome.person.name == "Anna"
    assert len(outcome.person.pictures) == 3


def test_the_odd_one_out_is_left_out():
    """Two of one person, one of somebody else, by links of 0.9 and above."""
    outcome = enrol(
        "Anna", shown("1", vector(0)), shown("2", vector(1)), shown("3", vector(0, 2))
    )  # fmt: skip
    assert [one.is_taken for one in outcome.pictures] == [True, False, True]
    assert "not like the other pictures of Anna" in refused(outcome)[1]


def test_a_chain_of_likeness_is_one_person():
    """The first and the last are not alike, the one between is like both: as people age."""
    ends = [vector(0), vector(0, 8)]
    between = vector(0, 4)
    assert ends[0] @ ends[1] < 0.9 < min(ends[0] @ between, ends[1] @ between)
    assert enrol("Anna", shown("1", ends[0]), shown("2", ends[1])).person is None
    outcome = enrol("Anna", shown("1", ends[0]), shown("2", ends[1]), shown("3", between))
    assert refused(outcome) == [None, None, None]


def test_two_people_under_one_name_are_told():
    """As many of one as of the other; or none like those who are enrolled."""
    two = [shown("1", vector(0)), shown("2", vector(1))]
    outcome = enrol("Anna", *two)
    assert outcome.person is None
    assert outcome.told[0].startswith("two people under one name: the pictures of Anna fall into 2")
    outcome = enrol("Anna", shown("1", vector(1)), people=[ANNA])
    assert outcome.person is None
    assert outcome.told[0].startswith("two people under one name: Anna is enrolled")
    assert len(enrol("Anna", *two, is_forced=True).person.pictures) == 2


def test_one_person_under_two_names_is_told():
    """Half the pictures like somebody else, or more."""
    outcome = enrol("Ann", shown("1", vector(0, 1)), people=[ANNA])
    assert outcome.person is None
    assert outcome.told[0].startswith(
        "one person under two names: Ann looks like Anna (cosine 0.995); fix: enrol as Anna"
    )
    outcome = enrol("Ann", shown("1", vector(0, 1)), people=[ANNA], is_forced=True)
    assert outcome.person.name == "Ann"
    assert any("one person under two names" in one for one in outcome.told)


def test_a_picture_more_like_somebody_else_is_left_out():
    """0.96 to Anna and 0.9 to the others of Ben; these are not like Anna."""
    much = vector(1, like=0, much=0.95)
    close = vector(1, like=0, much=0.48)
    bens = [shown("1", vector(1)), shown("2", close), shown("4", vector(1, 1))]
    outcome = enrol(
        "Ben", *bens, shown("3", much), people=[person("Anna", vector(0, like=1, much=0.7))]
    )
    assert [one.is_taken for one in outcome.pictures] == [True, True, True, False]
    assert "more like Anna (cosine 0.98" in refused(outcome)[3]


def test_almost_like_somebody_else_is_a_warning():
    """0.908 to Anna, more to the others of Ben."""
    anna = person("Anna", vector(0, like=1, much=1.0))
    near = vector(1, like=0, much=0.37)
    assert near @ anna.vectors[0] >= 0.9
    bens = [shown("1", vector(1)), shown("2", vector(1, 1)), shown("3", near)]
    outcome = enrol("Ben", *bens, people=[anna])
    assert refused(outcome) == [None, None, None]
    assert "almost as like Anna" in outcome.pictures[2].advice[0]
    assert outcome.told == ("Ben and Anna may be mistaken for each other",)


def test_the_best_five_are_taken_and_of_one_person_ten_are_kept():
    """The others are said to be not needed."""
    marks = [0.5, 0.9, 0.6, 0.8, 0.95, 0.7, 0.55]
    seven = [shown(str(i), vector(0, i), mark) for i, mark in enumerate(marks)]
    outcome = enrol("Anna", *seven)
    assert [one.is_taken for one in outcome.pictures] == [mark > 0.55 for mark in marks]
    assert refused(outcome)[0] == "not needed: 5 better ones are taken"
    nine = person("Anna", *(vector(0, i / 2) for i in range(9)))
    assert len(enrol("Anna", *seven[5:], people=[nine]).person.pictures) == 10
    ten = person("Anna", *(vector(0, i / 2) for i in range(10)))
    outcome = enrol("Anna", shown("1", vector(0, 5.3)), people=[ten])
    assert outcome.person is None
    assert outcome.told == (
        "Anna has 10 pictures, no more are kept; fix: vedette forget, enrol anew",
    )


def test_a_name_must_be_one():
    """Before anything else."""
    with pytest.raises(GalleryError, match="is no name"):
        enrol("  ", shown("1", vector(0)))


def test_negatives_are_kept_with_the_person_they_are_not():
    """And change who a face is at once."""
    other = vector(0, like=1, much=0.4)
    before = made(ANNA)
    arrays = gallery.to_arrays(before, today=dt.date(2026, 1, 1), threshold=0.9)
    assert gallery.match(arrays, other).name == "Anna"
    outcome = gallery_enrol.rule_out("ANNA", [shown("1", other)], before)
    assert outcome.told == ()
    ben = gallery_enrol.rule_out("Anna", [shown("1", vector(1))], before)
    assert ben.told == ("none would have been taken for Anna (cosine up to 0.000)",)
    after = gallery.changed(before, outcome.person)
    arrays = gallery.to_arrays(after, today=dt.date(2026, 1, 1), threshold=0.9)
    assert gallery.match(arrays, other).name is None
    assert gallery.match(arrays, vector(0, 1)).name == "Anna"


def test_a_negative_that_would_rule_out_the_person_is_refused():
    """One of their own pictures, or one more like it than the others are."""
    own, near = shown("1", vector(0, 2)), shown("2", vector(0, 1.5))
    outcome = gallery_enrol.rule_out("Anna", [own, near], made(ANNA))
    assert outcome.person is None
    assert "the same picture as one that is enrolled" in refused(outcome)[0]
    assert "Anna would be ruled out" in refused(outcome)[1]
    assert gallery_enrol.rule_out("Anna", [near], made(ANNA), is_forced=True).person
    with pytest.raises(ConfigError, match="nobody is enrolled as 'Ben'; fix"):
        gallery_enrol.rule_out("Ben", [own], made(ANNA))


def test_who_looks_like_whom_is_told_of_everybody():
    """However they were enrolled."""
    twice = person("Ann", vector(0, 1))
    mixed = person("Ben", vector(1), vector(2))
    told = gallery_enrol.alike(made(ANNA, twice, mixed))
    assert len(told) == 2
    assert told[0].startswith("one person under two names: Anna looks like Ann (cosine 0.995)")
    assert told[1].startswith("Ben: the pictures are not all of one person")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_whoever_is_enrolled_is_one_person(drawn):
    """Whatever the pictures; and each of them is said to be taken or why not."""
    pictures = [shown(str(i), vector(who, shot)) for i, (who, shot) in enumerate(drawn)]
    outcome = enrol("X", *pictures)
    assert len(outcome.pictures) == len(pictures)
    if outcome.person is None:
        assert outcome.told
    else:
        who = outcome.person.vectors[:, : D - 1].argmax(axis=1)
        assert len(set(who.tolist())) == 1
        assert len(outcome.person.pictures) == sum(one.is_taken for one in outcome.pictures)


def face(points=FRONTAL):
    return (Detection("face", 1.0, vector=vector(0), points=np.array(points, np.float32)),)


def said(data, found):
    seen = look(data, found)
    return [one.partition(";")[0] for one in seen.refused], [
        one.partition(";")[0] for one in seen.advice
    ]


GOOD = picture(0)


def test_a_good_picture_is_good():
    """Nothing to say."""
    seen = look(GOOD, face())
    assert (seen.refused, seen.advice, seen.quality) == ((), (), 1.0)


def test_no_face_several_and_no_picture_are_told():
    """Each with what to do."""
    assert said(None, ()) == (["no picture can be read from it"], [])
    assert said(GOOD, ()) == (["no face in it"], [])
    assert said(GOOD, 2 * face()) == (["2 faces in it"], [])


def test_small_faces():
    """10 and 17 pixels between the eyes."""
    around = np.array([80, 80])
    scaled = [around + (FRONTAL - around) * apart / 56 for apart in (10, 17)]
    assert said(GOOD, face(scaled[0]))[0][0] == "small: 10 pixels between the eyes"
    assert said(GOOD, face(scaled[1]))[1][0] == "small: 17 pixels between the eyes"


@pytest.mark.parametrize(("down", "across"), [(12, 12), (0.1, 12), (12, 0.1)])
def test_blurred_faces(down, across):
    """All over, or by a hand that shook in one direction."""
    import cv2

    ramp = np.tile(np.linspace(60, 180, 160), (160, 1))
    blurred = cv2.GaussianBlur(GOOD, (0, 0), sigmaX=across, sigmaY=down)
    data = (0.5 * blurred + 0.25 * (ramp + ramp.T)[:, :, None]).astype(np.uint8)
    assert said(data, face())[0] == ["blurred"]


def test_sharpness_by_hand():
    """A wave of 10 pixels to the right and down: its second derivative is 0.382 times itself.

    (2 - 2 cos 36°) squared is 0.1459; along the diagonals the waves are longer by the root of 2, so
    it is a quarter of that. What does not change in one direction is not sharp.
    """
    across = np.tile(np.sin(2 * np.pi * np.arange(153) / 10), (153, 1))
    waves = (128 + 50 * (across + across.T)).astype(np.float32)
    assert gallery_quality.sharpness(waves) == pytest.approx(0.1459 / 4, rel=0.05)
    assert gallery_quality.sharpness(128 + 50 * across.astype(np.float32)) < 1e-9


def test_what_is_out_of_the_picture_is_no_face():
    """Detectors see faces in what is not there."""
    outside = face(FRONTAL + np.array([0, 100]))
    assert said(GOOD, outside) == (["no face in it"], [])
    assert said(GOOD, face() + outside) == ([], [])


@pytest.mark.parametrize(
    ("nose", "mouth", "words"),
    [
        ((110, 88), (90, 115), "turned away"),
        ((50, 88), (70, 115), "turned away"),
        ((80, 60), (80, 115), "looking up or down"),
        ((80, 113), (80, 115), "looking up or down"),
    ],
)
def test_turned_faces(nose, mouth, words):
    """By where the nose is."""
    assert words in said(GOOD, face([*FRONTAL[:2], nose, mouth]))[0]


@pytest.mark.parametrize(
    ("degrees", "refuses", "advises"),
    [(25, [], []), (-37, [], ["tilted"]), (55, ["tilted"], [])],
)
def test_a_tilted_head_is_not_turned(degrees, refuses, advises):
    """Eyes need not be level: the chip is. But what lies is found in another place."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    tilted = 80 + (FRONTAL - 80) @ np.array([[cos, -sin], [sin, cos]]).T
    assert said(GOOD, face(tilted)) == (refuses, advises)


def test_light():
    """Too dark, too bright, from one side; each is only a hint where it is not bad."""
    assert said((GOOD * 0.03).astype(np.uint8), face())[0] == ["too dark"]
    assert said((GOOD * 0.1).astype(np.uint8), face()) == ([], ["too dark"])
    assert said(251 + (GOOD // 60), face())[0] == ["too bright"]
    side = GOOD.copy()
    side[:, :80] //= 5
    assert said(side, face()) == ([], ["lit from one side"])


@pytest.mark.parametrize(
    "name", ["\u0410nna", "\uff21nna", "ANN\u0391", "Ann\u0430", "\u0391\u039d\u039d\u0391"]
)
def test_a_name_that_only_looks_like_one_is_refused(name):
    """Cyrillic, Greek or full-width letters: an alert by that name would be believed."""
    with pytest.raises(GalleryError, match=r"looks like 'Anna', who is enrolled.*; fix: enrol as"):
        enrol(name, shown("1", vector(1)), people=[ANNA])


@pytest.mark.parametrize(
    ("known", "name"),
    [("Anna", "Anne"), ("Lena", "\u041b\u0435\u043d\u0430"), ("Ana", "An\u00e4"), ("Bob", "Bo8")],
)
def test_names_that_can_be_told_apart_are_two(known, name):
    """Also those of another alphabet."""
    outcome = enrol(name, shown("1", vector(1)), people=[person(known, vector(0))])
    assert outcome.person.name == name


@pytest.mark.parametrize(("known", "name"), [("Bob", "B0b"), ("Ill", "lll"), ("Ida", "\u0399da")])
def test_digits_and_letters_that_look_alike_are_one(known, name):
    """Whoever enrols the second means the first."""
    with pytest.raises(GalleryError, match="looks like"):
        enrol(name, shown("1", vector(1)), people=[person(known, vector(0))])


@pytest.mark.parametrize("name", ["...", "\u0301", "\U0001f600", "- -"])
def test_a_name_can_be_said(name):
    """By whoever reads the alert to others."""
    with pytest.raises(GalleryError, match="has neither letter nor digit"):
        enrol(name, shown("1", vector(1)))
