"""What lasts is told, what passes is not; on vectors as they come after the last stage."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from msgspec.structs import replace

from contract.condition import IMPULSES_S, PARTS, Condition, count_crest, reached_by
from contract.spec import Detection, OperatingPoint, Profile
from contract.workloads.machine_condition import (
    N_BANDS,
    distance,
    healthy_baseline,
    partly_known,
)

HOP_NS = 10 * 10**9
LEARN, HOUR = 200, 360  # windows, ten seconds apart
NOISE = 0.15  # nepers
POINT = OperatingPoint(
    threshold=1.0,
    clear_threshold=0.8,
    chosen_on="nothing",
    measured={},
    scales={"spectrum": 1.0, "impulses": 0.2, "level": float(np.log(2.5)), "novelty": 1.5},
)
BANDS, CREST, LEVEL = slice(0, N_BANDS), N_BANDS, N_BANDS + 1


def machine(seed, windows, *, steps=0.0):
    """(windows, 2, N_BANDS + 2) of a healthy machine; every 50 windows its load steps."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0.0, NOISE, (windows, 2, N_BANDS + 2))
    rows[..., CREST] = 1.4 + 0.1 * rng.gumbel(size=(windows, 2))
    is_loaded = (np.arange(windows) // 50) % 2 == 1
    rows[is_loaded, :, BANDS] += steps * np.linspace(-2, 2, N_BANDS)
    rows[is_loaded, :, LEVEL] += steps
    return rows.astype(np.float32)


def profile(rows, **scales):
    point = replace(POINT, scales=POINT.scales | scales)
    return Profile(point, healthy_baseline(rows), "model", len(rows))


@pytest.fixture(scope="module")
def learned():
    return profile(machine(1, LEARN))


def vectors(row):
    return tuple(Detection("channel", vector=one) for one in row)


class Follow:
    """A condition fed with rows; keeps what was said of each."""

    def __init__(self, of, state=None):
        self.of, self.condition = of, Condition(of)
        if state is not None:
            self.condition.resume(state)
        self.parts = {part: [] for part in PARTS}
        self.scores, self.labels = {"notice": [], "alarm": []}, {"notice": [], "alarm": []}
        self.t_ns = 0

    def __call__(self, rows, hop_ns=HOP_NS):
        for row in rows:
            found = row if isinstance(row, tuple) else vectors(row)
            for said in self.condition.update(distance(found, self.of), self.t_ns):
                self.scores[said.level].append(said.score)
                self.labels[said.level].append(said.label)
            for part in PARTS:
                self.parts[part].append(self.condition.parts[part])
            self.t_ns += hop_ns
        return self

    def most(self, level):
        return max(self.scores[level])


@pytest.mark.parametrize("steps", [0.0, 1.0])
def test_thousands_of_healthy_windows_are_silent(steps):
    follow = Follow(profile(machine(1, LEARN, steps=steps)))(machine(2, 3000, steps=steps))
    assert follow.most("notice") < 1.0
    assert follow.most("alarm") < 1.0
    assert len(follow.scores["notice"]) == len(follow.scores["alarm"]) == 3000


def test_a_lasting_change_of_many_bands_raises_the_spectrum(learned):
    rows = machine(2, 3 * HOUR)
    rows[HOUR:, 0, : N_BANDS // 2] += 1.0  # of one channel
    follow = Follow(profile(machine(1, LEARN), novelty=1e9))(rows)
    notices = np.array(follow.scores["notice"])
    assert notices[:HOUR].max() < 1.0 < notices[2 * HOUR : 3 * HOUR].min()
    assert follow.labels["notice"][-1] == "spectrum"


def test_a_change_of_few_bands_is_no_change_of_the_spectrum(learned):
    rows = machine(2, 2 * HOUR)
    rows[HOUR:, :, :4] += 1.0
    assert max(Follow(learned)(rows).parts["spectrum"]) < 1.0


@pytest.mark.parametrize("hop_s", [1, 10])
def test_a_short_burst_does_not_count_as_a_change_of_the_spectrum(learned, hop_s):
    rows = machine(2, 3000 // hop_s)
    rows[1500 // hop_s : 1800 // hop_s, :, BANDS] += 3.0  # five minutes
    assert max(Follow(learned)(rows, hop_ns=hop_s * 10**9).parts["spectrum"]) < 1.0


def watched_for_long(of):
    """As many crest factors have been counted as in ten hours, so that it takes a while until new
    ones become usual."""
    counts = of.learned["crest_counts"]
    return dataclasses.replace(of, learned={**of.learned, "crest_counts": 20 * counts})


def impulsive(rows, share, seed=5):
    """A share of the windows is twice as impulsive as usual."""
    rows = rows.copy()
    hit = np.random.default_rng(seed).random(len(rows)) < share
    rows[hit, 0, CREST] += np.log(2.0)
    return rows


def test_impulses_are_a_share_of_the_last_while(learned):
    rows = machine(2, 2 * HOUR)
    rows[HOUR:] = impulsive(rows[HOUR:], 0.6)
    parts = np.array(Follow(watched_for_long(learned))(rows).parts["impulses"])
    assert parts[:HOUR].max() < 0.2
    assert parts[HOUR + round(IMPULSES_S / 10)] == pytest.approx(0.6, abs=0.12)


def test_impulses_alone_are_no_notice_and_borne_out_by_the_spectrum_they_are(learned):
    of = watched_for_long(profile(machine(1, LEARN), novelty=1e9))
    alone = impulsive(machine(2, HOUR), 0.9)
    borne_out = alone.copy()
    borne_out[:, :, BANDS] += of.learned["spread"][0, :, BANDS]  # by itself too little
    bare, both = Follow(of)(alone), Follow(of)(borne_out)
    assert bare.parts["impulses"][-1] / 0.2 > 2.0, "they are there"
    assert bare.most("notice") < 1.0
    assert bare.most("alarm") < 1.0
    assert both.parts["spectrum"][-1] < 1.0
    assert both.scores["notice"][-1] > 1.0
    assert both.labels["notice"][-1] == "impulses"


def test_what_is_impulsive_for_hours_becomes_usual(learned):
    """Only what is more so than all before counts; else a machine that hammers would for ever."""
    rows = impulsive(machine(2, 4 * HOUR), 1.0)
    shares = Follow(watched_for_long(learned))(rows).parts["impulses"]
    assert max(shares) > 0.9
    assert shares[-1] < 0.2


def test_impulses_that_have_stopped_are_no_notice_much_longer(learned):
    """Of the last 45 minutes they are still a part, and borne out by the spectrum."""
    rows, stops = machine(2, HOUR), HOUR // 2
    rows[:stops] = impulsive(rows[:stops], 0.9)
    rows[:, :, BANDS] += 0.8 * NOISE
    follow = Follow(watched_for_long(profile(machine(1, LEARN), novelty=1e9, spectrum=0.8)))(rows)
    notices = np.array(follow.scores["notice"])
    assert notices[stops - 1 : stops + 30].min() >= 1.0
    assert notices[stops + 90 :].max() < 1.0
    assert min(follow.parts["impulses"][stops + 90 : stops + 120]) > 0.4


def hammering(*shares):
    """An hour with each share of the windows and a calm one after it; the spectrum has changed."""
    rows = machine(2, 2 * HOUR * len(shares))
    for number, share in enumerate(shares):
        began = 2 * HOUR * number
        rows[began : began + HOUR] = impulsive(rows[began : began + HOUR], share)
    rows[:, :, BANDS] += 0.8 * NOISE
    return rows


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ((0.3, 0.3, 0.3), [True, False, False]),
        ((0.3, 0.45), [True, True]),
        ((0.3, 0.45, 0.3), [True, True, False]),
        ((0.9, 0.9), [True, True]),
    ],
    ids=["as often as before", "more often", "less often again", "most of the time"],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_impulses_that_were_told_and_passed_are_told_again_only_when_there_are_more(
    learned, shares, told, restarted
):
    of = watched_for_long(watched_for_long(profile(machine(1, LEARN), novelty=1e9, spectrum=0.4)))
    follow, notices = Follow(of), []
    for hours in np.split(hammering(*shares), len(shares)):
        if restarted:
            follow = Follow(of, over_a_file(follow.condition.state()))
        before = len(follow.scores["notice"])
        follow(hours)
        said = zip(follow.scores["notice"][before:], follow.labels["notice"][before:], strict=True)
        notices.append(any(score >= 1.0 and label == "impulses" for score, label in said))
    assert notices == told


def test_level_alone_is_a_notice_and_no_alarm():
    of = profile(machine(1, LEARN), novelty=1e9)
    rows = machine(2, HOUR)
    rows[60:, :, LEVEL] += np.log(4.0)
    follow = Follow(of)(rows)
    assert follow.parts["level"][-1] == pytest.approx(np.log(4.0), abs=0.2)
    assert follow.labels["notice"][-1] == "level"
    assert follow.scores["notice"][-1] > 1.0
    assert follow.most("alarm") < 1.0


def test_level_in_a_changed_spectrum_is_an_alarm():
    of = profile(machine(1, LEARN), novelty=1e9)
    rows = machine(2, HOUR)
    rows[60:, :, LEVEL] += np.log(4.0)
    rows[60:, :, BANDS] += 1.0
    follow = Follow(of)(rows)
    assert follow.scores["alarm"][-1] > 1.0
    assert follow.labels["alarm"][-1] == "level"


def test_impulses_in_a_changed_spectrum_are_an_alarm(learned):
    rows = impulsive(machine(2, HOUR), 0.9)
    rows[:, :, BANDS] += 1.0
    follow = Follow(watched_for_long(learned))(rows)
    assert follow.scores["alarm"][-1] > 1.0
    assert follow.labels["alarm"][-1] == "impulses"


def test_one_loud_window_is_no_rise_of_the_level(learned):
    rows = machine(2, HOUR)
    rows[100, :, LEVEL] += 3.0
    assert max(Follow(learned)(rows).parts["level"][50:]) < np.log(2.5)


def test_a_lower_level_is_no_news(learned):
    rows = machine(2, HOUR)
    rows[:, :, LEVEL] -= 1.5
    follow = Follow(learned)(rows)
    assert follow.most("alarm") < 1.0
    assert max(follow.parts["level"]) < 0.0


def test_slow_drift_is_followed_and_a_jump_is_not():
    """Both end three spreads away; the drift takes the logarithm of the age, as run-in does."""
    of = profile(machine(1, LEARN), novelty=1e9)
    windows, away = 10 * HOUR, 3.0 * of.learned["spread"][0, :, BANDS]
    aging = np.log1p(np.arange(windows) / LEARN) / np.log1p(windows / LEARN)
    slow, jump = machine(2, windows), machine(2, windows)
    slow[:, :, BANDS] += aging[:, None, None] * away
    jump[windows // 2 :, :, BANDS] += away
    drifted, jumped = Follow(of)(slow).parts["spectrum"], Follow(of)(jump).parts["spectrum"]
    assert max(drifted) < 0.75 * 3.0
    assert max(jumped) > 0.9 * 3.0
    assert jumped[-1] > 0.6 * 3.0, "a fault is not learned as normal"


def test_one_wild_window_cannot_pull_the_healthy_state(learned):
    rows = machine(2, HOUR)
    wild = rows.copy()
    wild[5, :, BANDS] += 50.0
    calm, pulled = (Follow(learned)(x).condition.state()["drift"] for x in (rows, wild))
    np.testing.assert_allclose(pulled, calm, atol=0.02)


def test_bands_that_were_not_measured_are_passed_over(learned):
    """Only crest factor and level are known of four windows in five."""
    rows = machine(2, 2 * HOUR)
    rows[HOUR:, 0, : N_BANDS // 2] += 1.0
    some = [
        vectors(row) if number % 5 == 0 else partly_known(row[:, CREST], row[:, LEVEL])
        for number, row in enumerate(rows)
    ]
    whole, partly = Follow(learned)(rows), Follow(learned)(some)
    assert np.isfinite([partly.scores["notice"], partly.scores["alarm"]]).all()
    assert partly.parts["level"] == pytest.approx(whole.parts["level"], abs=1e-6)
    assert partly.parts["impulses"] == pytest.approx(whole.parts["impulses"], abs=1e-6)
    assert partly.parts["spectrum"][-1] > 1.0
    assert partly.parts["spectrum"][-1] == pytest.approx(whole.parts["spectrum"][-1], rel=0.25)


def test_a_clock_that_begins_anew_costs_nothing(learned):
    rows = machine(2, 3 * HOUR)
    rows[HOUR:, :, BANDS] += 1.0
    steady, anew = Follow(learned)(rows), Follow(learned)
    anew(rows[: 2 * HOUR])
    anew.t_ns = 0
    anew(rows[2 * HOUR :])
    assert anew.scores == steady.scores


def test_a_clock_that_jumps_ahead_is_a_gap(learned):
    """After a week without a window only the latest count."""
    rows = machine(2, 2 * HOUR)
    rows[:HOUR, :, LEVEL] += 2.0
    follow = Follow(learned)(rows[:HOUR])
    assert follow.condition.parts["level"] > 1.5
    follow.t_ns += 7 * 24 * HOUR * HOP_NS
    follow(rows[HOUR:])
    assert max(follow.parts["level"][HOUR + 3 :]) < 1.0


def over_a_file(state):
    """As it comes back from a device's disk: read-only."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        arrays = dict(stored)
    for array in arrays.values():
        array.setflags(write=False)
    return arrays


@pytest.mark.parametrize("at", [0, 1, 2, 40, 250, 500])
def test_a_restart_in_mid_life_changes_nothing(learned, at):
    rows = impulsive(machine(2, 2 * HOUR), 0.3)
    rows[HOUR // 2 :, :, BANDS] += 0.6
    rows[HOUR:, :, LEVEL] += 1.2
    whole, before = Follow(learned)(rows), Follow(learned)(rows[:at])
    after = Follow(learned, over_a_file(before.condition.state()))(rows[at:])
    for part in PARTS:
        np.testing.assert_allclose(after.parts[part], whole.parts[part][at:], rtol=2e-3, atol=2e-3)
    assert after.labels["notice"][5:] == whole.labels["notice"][at + 5 :]


def test_a_state_is_a_copy(learned):
    follow = Follow(learned)(machine(2, 100))
    state = follow.condition.state()
    before = {name: array.copy() for name, array in state.items()}
    follow(machine(3, 100))
    for name, array in state.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("name", ["usual", "drift", "age", "late", "recent", "level.means"])
def test_a_state_without_an_array_is_refused_and_changes_nothing(learned, name):
    follow, other = Follow(learned)(machine(2, 100)), Follow(learned)(machine(3, 300))
    state, before = other.condition.state(), follow.condition.state()
    del state[name]
    with pytest.raises(KeyError):
        follow.condition.resume(state)
    for array, same in zip(follow.condition.state().values(), before.values(), strict=True):
        np.testing.assert_array_equal(array, same)


def test_a_state_from_before_it_was_noted_what_was_told_is_taken_up(learned):
    rows = machine(2, 2 * HOUR)
    whole, before = Follow(learned)(rows), Follow(learned)(rows[:HOUR])
    state = before.condition.state()
    del state["told"]
    after = Follow(learned, over_a_file(state))(rows[HOUR:])
    np.testing.assert_allclose(after.parts["spectrum"], whole.parts["spectrum"][HOUR:], atol=2e-3)


def test_a_state_of_other_channels_is_refused(learned):
    one_channel = profile(machine(1, LEARN)[:, :1])
    state = Follow(one_channel)(machine(2, 50)[:, :1]).condition.state()
    follow = Follow(learned)(machine(2, 50))
    with pytest.raises(ValueError, match="bands"):
        follow.condition.resume(state)
    follow(machine(3, 50))


@pytest.mark.parametrize(("hop_s", "windows"), [(1, 8000), (10, 10_000), (3600, 1000)])
def test_its_memory_is_bounded(learned, hop_s, windows):
    rows = machine(2, windows // 10)
    follow, sizes = Follow(learned), []
    for _ in range(10):
        follow(rows, hop_ns=hop_s * 10**9)
        sizes.append({name: a.size for name, a in follow.condition.state().items()})
    assert sizes[-1] == sizes[4]
    assert sum(sizes[-1].values()) < 30_000


def test_windows_that_come_a_hundred_times_a_second_are_forgotten_too(learned):
    """Of ten minutes that would be sixty thousand."""
    follow = Follow(learned)
    follow(machine(2, 7000), hop_ns=10**7)
    assert len(follow.condition.state()["late"]) <= 6000


def test_too_few_windows_for_novelty_are_followed_all_the_same():
    of = profile(machine(1, 8))
    assert not any(name.startswith("novelty") for name in of.learned)
    follow = Follow(of)(machine(2, 100))
    assert set(follow.parts["novelty"]) == {0.0}
    Follow(of, over_a_file(follow.condition.state()))(machine(3, 10))


def test_crest_factors_are_counted_per_channel_whatever_they_are():
    crest = np.float32([[0.0, 9.9], [0.001, -9.9], [0.5, np.nan]])
    counts = count_crest(crest)
    assert counts.sum(axis=1).tolist() == [3, 3]
    assert counts[0].max() == 2
    assert counts[1, [0, -1]].tolist() == [2, 1], "what is no number is no impulse"


def test_what_a_share_of_the_bands_reaches():
    x = np.float32([[5, 1, 2, 4, 3], [0, 0, 9, 0, 9]])
    assert reached_by(x, 0.4).tolist() == [4, 9]
    assert reached_by(x, 0.6).tolist() == [3, 0]
