"""People walk past a camera; what is said of them was worked out by hand."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from fakes import POINT
from hypothesis import given, settings
from hypothesis import strategies as st
from visits_people import Camera, away, between, face, follower, learned, liveness, vector

from contract.spec import Detection, OperatingPoint, Profile
from contract.tracks import FACE
from contract.visits import OUTCOMES, Rules, follow

RATES = pytest.mark.parametrize("rate_hz", [1, 5, 30])


def walk(camera, rate_hz, seconds, *at, start=0):
    """So many seconds of pictures; each of `at` gives a face at a time, or None."""
    for number in range(start, start + int(seconds * rate_hz)):
        faces = [one(number / rate_hz) for one in at]
        camera.see(*(each for each in faces if each is not None), s=1 / rate_hz)


@RATES
def test_somebody_enrolled_walks_past_and_is_named_once(rate_hz):
    """And cleared when they have gone."""
    camera, noise = Camera("anna", "ben"), np.random.default_rng(1)
    walk(camera, rate_hz, 8, lambda s: face("anna", 100 + 60 * s, noise=noise))
    assert camera.told() == [("raised", "recognised", "anna")]
    walk(camera, rate_hz, 20)
    assert camera.told()[1:] == [("cleared", "recognised", "anna")]
    raised, cleared = camera.said
    assert (raised.level, raised.threshold, raised.visit) == ("notice", 0.8, cleared.visit)
    assert raised.score > 0.9
    assert raised.text == f"anna. {raised.hits} of {raised.of} pictures show the face well."


def test_a_visit_is_over_five_seconds_after_the_last_face():
    """In whatever picture comes then, with nobody in it."""
    camera = Camera("anna")
    walk(camera, 1, 5, lambda _: face("anna", 100))
    assert [len(camera.see(s=1.0)) for _ in range(8)] == [0, 0, 0, 0, 1, 0, 0, 0]
    assert camera.said[-1].state == "cleared"


@RATES
def test_a_stranger_walks_through_and_is_an_alarm_without_a_name(rate_hz):
    """Never named, however many are enrolled."""
    camera, noise = Camera(*map(str, range(50))), np.random.default_rng(2)
    walk(camera, rate_hz, 8, lambda s: face("nobody", 100 + 60 * s, noise=noise))
    assert camera.told() == [("raised", "stranger", None)]
    assert camera.said[0].level == "alarm"
    assert camera.said[0].score < 0.5


def test_a_name_needs_three_usable_faces_and_a_stranger_five():
    """At one picture a second: in the third, and in the fifth."""
    named, strange = Camera("anna"), Camera("anna")
    assert [len(named.see(face("anna", 100), s=1.0)) for _ in range(6)] == [0, 0, 1, 0, 0, 0]
    assert [len(strange.see(face("eve", 100), s=1.0)) for _ in range(6)] == [0, 0, 0, 0, 1, 0]
    assert (named.said[0].hits, named.said[0].of) == (3, 3)


def test_many_pictures_of_one_moment_are_no_more_than_one():
    """A name takes 0.2 s from the first usable face, a stranger one second."""
    named, strange = Camera("anna"), Camera("anna")
    walk(named, 100, 0.2, lambda _: face("anna", 100))
    walk(strange, 100, 1.0, lambda _: face("eve", 100))
    assert named.told() == strange.told() == []
    walk(named, 100, 0.03, lambda _: face("anna", 100))
    walk(strange, 100, 0.03, lambda _: face("eve", 100))
    assert named.told() == [("raised", "recognised", "anna")]
    assert strange.told() == [("raised", "stranger", None)]


@RATES
def test_two_who_cross_keep_their_names(rate_hz):
    """Each is raised once, and each visit stays on its own side."""
    camera, noise = Camera("anna", "ben"), np.random.default_rng(3)
    walk(
        camera,
        rate_hz,
        10,
        lambda s: face("anna", 100 + 60 * s, 200, noise=noise),
        lambda s: face("ben", 700 - 60 * s, 210, noise=noise),
    )
    assert sorted(camera.told()) == [
        ("raised", "recognised", "anna"),
        ("raised", "recognised", "ben"),
    ]
    assert [one.who for one in camera.found] == ["anna", "ben"]
    visits = {one.who: one.visit for one in camera.said}
    assert {one.who: one.visit for one in camera.found} == visits


def test_two_who_cross_with_their_faces_turned_away_keep_their_visits_by_how_they_walk():
    """Ten pictures a second; nothing but places while they pass each other."""
    camera = Camera("anna", "ben")

    def walker(who, x, speed):
        return lambda s: (away if 3 < s < 7 else face_of(who))(x + speed * s)

    def face_of(who):
        return lambda x: face(who, x)

    walk(camera, 10, 10, walker("anna", 100, 60), walker("ben", 700, -60))
    assert len(camera.said) == 2
    assert {one.who: one.visit for one in camera.found} == {o.who: o.visit for o in camera.said}
    assert [one.who for one in camera.found] == ["anna", "ben"]


def test_a_face_that_takes_anothers_place_is_another_person():
    """Eve's face is where Anna's was a moment ago: she does not inherit the name."""
    camera = Camera("anna")
    walk(camera, 10, 2, lambda _: face("anna", 100))
    anna = camera.found[0].visit
    walk(camera, 10, 2, lambda _: face("eve", 100))
    assert camera.told() == [("raised", "recognised", "anna"), ("raised", "stranger", None)]
    assert camera.found[0].visit != anna


@RATES
def test_a_gap_of_a_second_is_one_visit_without_any_likeness(rate_hz):
    """Faces in profile: only the place tells."""
    camera = Camera("anna")
    walk(camera, rate_hz, 4, lambda _: away(100))
    visit = camera.found[0].visit
    walk(camera, rate_hz, 1)
    walk(camera, rate_hz, 4, lambda _: away(110))
    assert camera.found[0].visit == visit
    assert camera.told() == [("raised", "unresolved", None)]


@RATES
def test_who_comes_back_within_the_minute_is_on_the_same_visit(rate_hz):
    """Named or not; after it, a new one."""
    for who, label in (("anna", "recognised"), ("eve", "stranger")):
        camera = Camera("anna")
        walk(camera, rate_hz, 6, lambda _, who=who: face(who, 100))
        walk(camera, rate_hz, 40)
        walk(camera, rate_hz, 6, lambda _, who=who: face(who, 500))
        assert [(state, said) for state, said, _ in camera.told()] == [
            ("raised", label),
            ("cleared", label),
        ]
        assert camera.found[0].visit == camera.said[0].visit
        walk(camera, rate_hz, 70)
        walk(camera, rate_hz, 6, lambda _, who=who: face(who, 100))
        assert camera.told()[2:] == [("raised", label, "anna" if who == "anna" else None)]
        assert camera.said[2].visit != camera.said[0].visit


def test_who_comes_back_with_the_face_turned_away_is_joined_once_it_shows():
    """No second message, and the follower says the old number again."""
    camera = Camera("anna")
    walk(camera, 10, 3, lambda _: face("eve", 100))
    walk(camera, 10, 20)
    walk(camera, 10, 2, lambda _: away(600))
    assert camera.found[0].visit != camera.said[0].visit
    walk(camera, 10, 3, lambda _: face("eve", 600))
    assert camera.found[0].visit == camera.said[0].visit
    assert camera.told() == [("raised", "stranger", None), ("cleared", "stranger", None)]


def test_somebody_without_a_usable_face_is_unresolved_after_five_seconds():
    """Far away, in profile, blurred: each time the same."""
    for someone in (
        away,
        lambda x: face("anna", x, size=15),
        lambda x: face("anna", x, score=0.1),
        lambda x: Detection("face", 0.9, box=(x, 0.0, x + 80, 80.0)),
    ):
        camera = Camera("anna")
        times = [s for s in range(20) if camera.see(someone(100.0), s=1.0)]
        assert times == [5]
        assert camera.told() == [("raised", "unresolved", None)]
        assert camera.said[0].level == "notice"
        assert (camera.said[0].hits, camera.said[0].of) == (0, 6)


def test_a_stranger_who_turns_to_the_camera_is_one_further_message():
    """The aggregate passes from below the threshold to above it; then it stays said."""
    camera = Camera("anna")
    walk(camera, 5, 4, lambda _: face(between("anna", "x", 0.7), 100, score=0.5))
    assert camera.told() == [("raised", "stranger", None)]
    walk(camera, 5, 20, lambda _: face("anna", 100))
    assert camera.told() == [
        ("raised", "stranger", None),
        ("cleared", "stranger", None),
        ("raised", "recognised", "anna"),
    ]
    assert len({one.visit for one in camera.said}) == 1


def test_what_counts_is_the_mean_of_the_cosines_not_the_cosine_of_the_mean():
    """Two faces on both sides of Anna's: each 0.85 to her, their mean points straight at her."""
    camera = Camera("anna", rules=Rules(same=0.4, threshold=0.9, clear_threshold=0.88))
    one = between("anna", "x", 0.85)
    other = 2 * 0.85 * vector("anna") - one
    for number in range(10):
        camera.see(face((one, other)[number % 2], 100), s=0.5)
    assert camera.told() == [("raised", "stranger", None)]
    assert camera.found[0].score == pytest.approx(0.85, abs=1e-6)
    assert camera.found[0].frames == 10


def test_near_the_threshold_nothing_flaps():
    """Noise on both sides of it for five minutes: at most one message for each outcome."""
    camera, noise = Camera("anna"), np.random.default_rng(4)
    cosines = iter(noise.uniform(0.74, 0.86, size=3000))
    walk(camera, 5, 300, lambda _: face(between("anna", "x", next(cosines)), 100))
    labels = [(label) for state, label, _ in camera.told() if state == "raised"]
    assert len(labels) == len(set(labels)) <= 2


def test_of_two_who_would_be_the_same_person_the_more_alike_is():
    """The other is no stranger either: nobody can tell who that is."""
    camera = Camera("anna")
    alike = between("anna", "x", 0.85)
    walk(camera, 5, 8, lambda _: face(alike, 100), lambda _: face("anna", 500))
    assert camera.told() == [("raised", "recognised", "anna"), ("raised", "unresolved", None)]
    assert [one.who for one in camera.found] == [None, "anna"]


def test_a_name_passes_to_who_is_more_alike_and_comes_to_this_one_visit_later():
    """Somebody alike was named first; when the right one comes, both are told."""
    camera = Camera("anna")
    alike = between("anna", "x", 0.85)
    walk(camera, 5, 3, lambda _: face(alike, 100))
    walk(camera, 5, 3, lambda _: face(alike, 100), lambda _: face("anna", 500))
    assert camera.told() == [
        ("raised", "recognised", "anna"),
        ("cleared", "recognised", "anna"),
        ("raised", "unresolved", None),
        ("raised", "recognised", "anna"),
    ]
    first, _, doubted, second = camera.said
    assert first.visit == doubted.visit != second.visit


def test_two_as_likely_are_unresolved():
    """Over the threshold for both, and no margin: no name, and no stranger."""
    camera = Camera("anna", "ben", rules=Rules(same=0.6, threshold=0.6, clear_threshold=0.5))
    both = vector("anna") + vector("ben")
    walk(camera, 5, 8, lambda _: face(both / np.linalg.norm(both), 100))
    assert camera.told() == [("raised", "unresolved", None)]
    assert camera.said[0].score == pytest.approx(0.7, abs=0.1)


def test_a_failed_liveness_vetoes_the_name_and_is_told_once():
    """A photograph of Anna: never her name, though it is as alike as can be."""
    camera = Camera("anna")
    for _ in range(20):
        photo = face("anna", 100)
        camera.see(photo, liveness(photo, 0.2), s=0.2)
    assert camera.told() == [("raised", "spoof", None)]
    (alert,) = camera.said
    assert (alert.level, alert.score, alert.threshold) == ("alarm", pytest.approx(0.8), 0.5)


def test_a_living_face_is_named_and_a_picture_of_it_later_is_a_spoof_of_the_same_visit():
    """She goes; ten seconds later somebody holds up her photograph, and then she is back."""
    camera = Camera("anna")

    def stand(seconds, score):
        for _ in range(5 * seconds):
            one = face("anna", 100)
            camera.see(one, liveness(one, score), s=0.2)

    stand(4, 0.9)
    walk(camera, 5, 10)
    stand(4, 0.1)
    assert [one.label for one in camera.found] == ["spoof"]
    walk(camera, 5, 10)
    stand(4, 0.9)
    assert [(one.label, one.who) for one in camera.found] == [("recognised", "anna")]
    assert camera.told() == [
        ("raised", "recognised", "anna"),
        ("cleared", "recognised", "anna"),
        ("raised", "spoof", None),
        ("cleared", "spoof", None),
    ]


def test_where_liveness_is_tested_nobody_is_named_without_it():
    """Ben is tested and named; Anna's face is never tested."""
    camera = Camera("anna", "ben")
    for _ in range(60):
        ben = face("ben", 500)
        camera.see(face("anna", 100), ben, liveness(ben, 0.9), s=0.2)
    assert camera.told() == [("raised", "recognised", "ben"), ("raised", "unresolved", None)]


def test_a_picture_of_a_face_held_up_by_somebody_who_was_named_takes_the_name_away():
    """Liveness of the same face fails in the middle of a visit."""
    camera = Camera("anna")
    for number in range(60):
        one = face("anna", 100)
        camera.see(one, liveness(one, 0.9 if number < 20 else 0.0), s=0.2)
    assert camera.told() == [
        ("raised", "recognised", "anna"),
        ("cleared", "recognised", "anna"),
        ("raised", "spoof", None),
    ]
    assert camera.found[0].who is None


def test_a_negative_takes_a_name_back_at_the_next_picture():
    """ "Not this person": from then on a stranger, on the same visit."""
    camera, eve = Camera("anna"), between("anna", "eve", 0.9)
    walk(camera, 5, 4, lambda _: face(eve, 100))
    assert camera.told() == [("raised", "recognised", "anna")]
    told = follower("anna", negatives={"anna": [eve]})
    told.resume(camera.visits.state())
    camera.visits = told
    camera.see(face(eve, 100), s=0.2)
    assert camera.told()[1:] == [("cleared", "recognised", "anna"), ("raised", "stranger", None)]
    walk(camera, 5, 10, lambda _: face(eve, 100))
    assert len(camera.said) == 3


@RATES
def test_a_crowd_of_thirty_is_told_apart(rate_hz):
    """Fifteen enrolled, fifteen not, walking in rows: everybody once, under the right name."""
    enrolled = [f"friend {i}" for i in range(15)]
    everybody = [*enrolled, *(f"other {i}" for i in range(15))]
    camera, noise = Camera(*enrolled), np.random.default_rng(5)

    def walker(i, who):
        x, y, speed = 100 + 300 * (i % 6), 100 + 150 * (i // 6), 30 * (-1) ** i
        return lambda s: face(who, x + speed * s, y, noise=noise)

    walk(camera, rate_hz, 8, *(walker(i, who) for i, who in enumerate(everybody)))
    assert sorted(one.who for one in camera.said if one.who) == sorted(enrolled)
    assert sorted(one.label for one in camera.said) == 15 * ["recognised"] + 15 * ["stranger"]
    assert len({one.visit for one in camera.said}) == 30


def test_of_more_than_64_faces_the_best_seen_are_followed():
    """And nothing grows."""
    visits = follower("anna")
    for second in range(5):
        crowd = [face(f"{i}", 100 * i, score=0.5 + 0.004 * i) for i in range(100)]
        found = visits.update(tuple(crowd), second * 10**9)
        assert [one.box for one in found] == [one.box for one in crowd[36:]]
    assert len(visits.state()["visits"]) == 64


def traced_bytes():
    gc.collect()  # what waits to be collected does not grow either
    held, _ = tracemalloc.get_traced_memory()
    return held


def test_an_empty_scene_costs_nothing_and_ends_every_visit():
    """Ten thousand people pass in a day and a half; then six hours of nobody."""
    camera, noise = Camera("anna"), np.random.default_rng(6)

    def pass_by(count):
        for _ in range(count):
            someone = noise.normal(size=128)
            for _ in range(5):
                camera.see(face(someone / np.linalg.norm(someone), 100), s=2.0)
            camera.see(s=3.0)
        camera.said.clear()

    pass_by(50)
    tracemalloc.start()
    pass_by(50)
    before = traced_bytes()
    pass_by(300)
    after = traced_bytes()
    tracemalloc.stop()
    assert after - before < 100_000
    for _ in range(6 * 60):
        camera.see(s=60.0)
    assert len(camera.policy.state()) < 100
    assert all(alert.state == "cleared" for alert in camera.said)


def test_a_clock_that_goes_back_or_ahead_neither_repeats_nor_hangs():
    """Backwards no time passes; hours ahead everybody has gone."""
    camera = Camera("anna")
    walk(camera, 5, 4, lambda _: face("anna", 100))
    camera.t_s = 0.0
    walk(camera, 5, 20, lambda _: face("anna", 100))
    assert camera.told() == [("raised", "recognised", "anna")]
    camera.t_s += 7200.0
    walk(camera, 5, 4, lambda _: face("anna", 100))
    assert camera.told()[1:] == [
        ("cleared", "recognised", "anna"),
        ("raised", "recognised", "anna"),
    ]
    assert camera.said[0].visit != camera.said[-1].visit


def test_it_is_made_from_a_profile():
    """The arrays of a gallery, and the operating point."""
    known = learned("anna")
    point = OperatingPoint(0.8, 0.7, "nothing", {}, scales={"least_quality": 0.99})
    visits = follow(Profile(point, known, "m", 0))
    for t_s in range(4):
        (found,) = visits.update((face("anna", 100),), t_s * 10**9)
    assert (found.label, found.usable) == (FACE, 0)
    point = OperatingPoint(0.8, 0.7, "nothing", {})
    strict = follow(Profile(point, learned("anna", threshold=0.97), "m", 0))
    for t_s in range(8):
        (found,) = strict.update((face(between("anna", "x", 0.95), 100),), t_s * 10**9)
    assert (found.label, found.threshold) == ("stranger", 0.97)
    nobody = follow(Profile(POINT, {}, "m", 0))
    for t_s in range(8):
        (found,) = nobody.update((face("anna", 100),), t_s * 10**9)
    assert (found.label, found.score) == ("stranger", -1.0)


PEOPLE = ("anna", "ben", "eve", "mia")
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.03, 0.2, 1.0, 1.0, 3.0, 20.0, 90.0, -5.0]),
        st.lists(
            st.tuples(
                st.sampled_from([*PEOPLE, None]),
                st.sampled_from([100.0, 130.0, 200.0, 500.0]),
                st.sampled_from([0.5, 0.7, 0.78, 0.82, 0.9, 1.0]),
                st.sampled_from([None, None, 0.1, 0.9]),
            ),
            max_size=4,
        ),
        st.integers(1, 6),
    ),
    max_size=12,
)


def play(camera, steps):
    """Each step a scene that is seen a few times."""
    for pause_s, scene, times in steps:
        for _ in range(times):
            faces = []
            for who, x, cosine, live in scene:
                one = away(x) if who is None else face(between(who, f"{who}'s twin", cosine), x)
                faces += [one] if live is None else [one, liveness(one, live)]
            camera.see(*faces, s=max(pause_s, -camera.t_s))


@given(STEPS)
@settings(deadline=None)
def test_whatever_comes_each_outcome_is_raised_once_a_visit_and_cleared_once(steps):
    """And no name stands twice in a picture, which `Camera.see` checks."""
    camera = Camera(*PEOPLE[:3])
    play(camera, steps)
    for _ in range(3):
        camera.see(s=100.0)
    of_visit = {}
    for alert in camera.said:
        of_visit.setdefault(alert.visit, []).append(alert)
    for alerts in of_visit.values():
        assert [one.state for one in alerts] == ["raised", "cleared"] * (len(alerts) // 2)
        for raised, cleared in zip(alerts[::2], alerts[1::2], strict=True):
            assert (raised.label, raised.who) == (cleared.label, cleared.who)
            assert (raised.who is not None) == (raised.label == "recognised")
        labels = [one.label for one in alerts[::2]]
        assert len(set(labels)) == len(labels)
        assert set(labels) <= set(OUTCOMES)


@given(STEPS, STEPS)
@settings(deadline=None)
def test_going_on_from_a_state_is_as_if_nothing_had_happened(before, after):
    """Follower and policy, to the last digit."""
    first, second = Camera(*PEOPLE[:3]), Camera(*PEOPLE[:3])
    play(first, before)
    second.visits.resume(first.visits.state())
    second.policy.resume(first.policy.state())
    second.t_s = first.t_s
    first.said.clear()
    play(first, after)
    play(second, after)
    assert second.said == first.said
    told, again = first.visits.state(), second.visits.state()
    assert all(np.array_equal(told[name], again[name]) for name in told)
    assert first.policy.state() == second.policy.state()


def test_a_state_that_does_not_fit_is_refused_and_changes_nothing():
    """As the profile's file may be damaged."""
    camera = Camera("anna")
    walk(camera, 5, 4, lambda _: face("anna", 100))
    state, own = camera.visits.state(), follower("anna")
    nothing = own.state()
    for name in state:
        with pytest.raises(KeyError):
            own.resume({key: array for key, array in state.items() if key != name})
    for name in ("boxes", "floats", "counts", "labels", "visits", "clock_s", "names"):
        with pytest.raises(ValueError):  # noqa: PT011 -- any reason
            own.resume(state | {name: np.full(5, 200)})
    assert all(np.array_equal(own.state()[name], nothing[name]) for name in nothing)


def test_a_named_visit_goes_on_over_a_restart_that_forgot_the_faces():
    """The policy's state is committed with every alert, the follower's is not: by name, then."""
    camera = Camera("anna")
    walk(camera, 5, 4, lambda _: face("anna", 100))
    again = Camera("anna")
    again.policy.resume(camera.policy.state())
    again.t_s = camera.t_s + 20.0
    walk(again, 5, 4, lambda _: face("anna", 100))
    assert again.told() == [("cleared", "recognised", "anna")]
    walk(again, 5, 10)
    assert again.told() == [("cleared", "recognised", "anna")]
