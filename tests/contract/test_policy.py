"""Tables of scores through each policy."""

from __future__ import annotations

import math

import pytest
from fakes import POINT
from hypothesis import given
from hypothesis import strategies as st

from contract.messages import Alert, Reading
from contract.policy import Debounce, EachWindow, Latch
from contract.spec import Detection

HIGH, LOW, BETWEEN = 1.5, 0.1, 0.7  # the thresholds are 1.0 and 0.5
# long stretches of one kind, or hardly anything would ever be raised and cleared
SCORES = st.lists(
    st.tuples(
        st.sampled_from([None, HIGH, HIGH, LOW, LOW, BETWEEN, 1.0, 0.5, math.nan, math.inf]),
        st.integers(1, 8),
    ).map(lambda stretch: [stretch[0]] * stretch[1]),
    max_size=12,
).map(lambda stretches: [score for stretch in stretches for score in stretch])
SETTINGS = st.integers(1, 6).flatmap(
    lambda n: st.fixed_dictionaries(
        {"k": st.integers(1, n), "n": st.just(n), "cooldown_s": st.sampled_from([0.0, 3.0, 7.5])}
    )
)


def said(scores, *, k=3, n=4, cooldown_s=0.0, hop_s=1.0):
    """(window, state) of every message; None among the scores is a window without detections."""
    policy = Debounce(POINT, workload="w", k=k, n=n, cooldown_s=cooldown_s)
    messages = []
    for i, score in enumerate(scores):
        found = () if score is None else (Detection("x", score=score),)
        for message in policy.update(found, int(i * hop_s * 1e9)):
            assert isinstance(message, Alert)
            messages.append((i, message.state))
    return messages


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([LOW] * 20, [], id="healthy says nothing"),
        pytest.param([HIGH, HIGH, LOW, LOW] * 5, [], id="two of four are not enough"),
        pytest.param([HIGH] * 3, [(2, "raised")], id="three in a row"),
        pytest.param([HIGH, HIGH, LOW, HIGH], [(3, "raised")], id="three of four"),
        pytest.param([HIGH, LOW, HIGH, LOW, HIGH], [], id="three of five are not"),
        pytest.param([HIGH] * 30, [(2, "raised")], id="a lasting state is told once"),
        pytest.param([1.0] * 3, [(2, "raised")], id="the threshold itself is a hit"),
        pytest.param(
            [HIGH] * 3 + [LOW] * 4, [(2, "raised"), (6, "cleared")], id="cleared after n calm"
        ),
        pytest.param([HIGH] * 3 + [LOW] * 3, [(2, "raised")], id="not cleared before"),
        pytest.param([HIGH] * 3 + [BETWEEN] * 20, [(2, "raised")], id="between is not calm"),
        pytest.param([HIGH] * 3 + [0.5] * 20, [(2, "raised")], id="the clear threshold is not"),
        pytest.param(
            [HIGH] * 3 + [LOW] * 3 + [HIGH] + [LOW] * 4,
            [(2, "raised"), (10, "cleared")],
            id="one hit starts the calm anew",
        ),
        pytest.param([None] * 50, [], id="nothing found, nothing said"),
        pytest.param([HIGH, None, HIGH, None, HIGH], [(4, "raised")], id="empty windows pass by"),
    ],
)
def test_scores_give_these_messages(scores, expected):
    """k = 3 of n = 4."""
    assert said(scores) == expected


def test_after_clearing_it_is_quiet_until_the_cooldown_is_over():
    """Time is the windows' own."""
    scores = [HIGH] * 3 + [LOW] * 4 + [HIGH] * 20
    assert said(scores, cooldown_s=8.0) == [(2, "raised"), (6, "cleared"), (14, "raised")]
    assert said(scores, cooldown_s=0.0) == [(2, "raised"), (6, "cleared"), (9, "raised")]
    assert said(scores, cooldown_s=8.0, hop_s=10.0) == said(scores, cooldown_s=0.0)


def test_an_alert_tells_what_it_was_judged_by():
    """The worst detection, its score, the threshold, the hits."""
    policy = Debounce(POINT, workload="w", k=2, n=3, cooldown_s=0.0)
    policy.update((Detection("a", score=LOW), Detection("b", score=1.2)), 0)
    (alert,) = policy.update((Detection("c", score=3.0), Detection("d", score=2.0)), 1)
    assert alert == Alert(
        workload="w", state="raised", label="c", score=3.0, threshold=1.0, hits=2, of=2
    )


def test_each_window_gives_a_reading_per_detection():
    """None for an empty one."""
    policy = EachWindow(POINT, workload="w")
    found = (Detection("a", score=0.25), Detection("b", score=0.5))
    assert policy.update(found, 0) == (
        Reading(workload="w", label="a", score=0.25),
        Reading(workload="w", label="b", score=0.5),
    )
    assert policy.update((), 1) == ()


def expected(scores, *, k, n, cooldown_s):
    """The docstring of `Debounce` word for word, with all of the past at hand."""
    messages, seen, quiet_until_s = [], [], 0.0
    for i, score in enumerate(scores):
        if score is None:
            continue
        seen.append(score)
        last = seen[-n:]
        is_raised = bool(messages) and messages[-1][1] == "raised"
        if is_raised and len(last) == n and all(score < 0.5 for score in last):
            messages.append((i, "cleared"))
            quiet_until_s = i + cooldown_s
        elif not is_raised and i >= quiet_until_s and sum(score >= 1.0 for score in last) >= k:
            messages.append((i, "raised"))
    return messages


@given(SCORES, SETTINGS)
def test_it_says_what_it_promises_and_nothing_else(scores, settings):
    """Numbers that are none are neither hits nor calm."""
    messages = said(scores, **settings)
    assert messages == expected(scores, **settings)
    assert len({i for i, _ in messages}) == len(messages), "at most one per window"
    states = [state for _, state in messages]
    assert states == ["raised", "cleared"] * (len(states) // 2) + ["raised"] * (len(states) % 2)


@given(SCORES, SCORES, SETTINGS)
def test_a_restart_at_any_point_raises_nothing_twice_and_leaves_nothing_raised(
    before, after, settings
):
    """The windows before it are forgotten, what was said is not."""
    first = Debounce(POINT, workload="w", **settings)
    states = []
    for i, score in enumerate(before):
        found = () if score is None else (Detection("x", score=score),)
        states += [message.state for message in first.update(found, i * 10**9)]
    second = Debounce(POINT, workload="w", **settings)
    second.resume(first.state())
    assert second.state() == first.state()
    calm = [LOW] * settings["n"]
    for i, score in enumerate([*after, *calm]):  # on a clock of its own
        found = () if score is None else (Detection("x", score=score),)
        states += [message.state for message in second.update(found, i * 10**9)]
    assert states == ["raised", "cleared"] * (len(states) // 2)


@given(st.lists(st.lists(st.floats(), max_size=4), max_size=8))
def test_every_window_stands_for_itself(windows):
    """As many readings as detections, in their order, before and after a restart."""
    policy = EachWindow(POINT, workload="w")
    for i, scores in enumerate(windows):
        found = tuple(Detection(f"{j}", score=score) for j, score in enumerate(scores))
        readings = policy.update(found, i)
        assert [reading.label for reading in readings] == [each.label for each in found]
        policy.resume(policy.state())


LEVELS = ("notice", "alarm")
CALM_S, COOLDOWN_S = 5.0, 7.0


def latch():
    return Latch(POINT, workload="w", calm_s=CALM_S, cooldown_s=COOLDOWN_S)


def told(policy, scores, *, start_s=0, level="notice"):
    """(second, level, state) of every message, one window a second."""
    messages = []
    for t_s, score in enumerate(scores, start=start_s):
        found = () if score is None else (Detection("x", score=score, level=level),)
        said = policy.update(found, t_s * 10**9)
        messages += [(t_s, alert.level, alert.state) for alert in said]
    return messages


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        pytest.param([LOW] * 20, [], id="healthy says nothing"),
        pytest.param([BETWEEN] * 20, [], id="below the threshold is no hit"),
        pytest.param([LOW, HIGH], [(1, "raised")], id="the first hit raises"),
        pytest.param([1.0], [(0, "raised")], id="the threshold itself is a hit"),
        pytest.param([HIGH] * 30, [(0, "raised")], id="a lasting state is told once"),
        pytest.param([HIGH] + [LOW] * 5, [(0, "raised")], id="not calm for long enough"),
        pytest.param([HIGH] + [LOW] * 6, [(0, "raised"), (6, "cleared")], id="calm: cleared"),
        pytest.param([HIGH] + [BETWEEN] * 20, [(0, "raised")], id="between is not calm"),
        pytest.param([HIGH] + [0.5] * 20, [(0, "raised")], id="the clear threshold is not"),
        pytest.param(
            [HIGH] + [LOW] * 4 + [BETWEEN] + [LOW] * 6,
            [(0, "raised"), (11, "cleared")],
            id="the calm starts anew",
        ),
        pytest.param(
            [HIGH] + [LOW] * 6 + [HIGH] * 8,
            [(0, "raised"), (6, "cleared"), (13, "raised")],
            id="silent until the cooldown is over",
        ),
        pytest.param([None] * 20, [], id="nothing found, nothing said"),
        pytest.param([HIGH] + [None] * 20 + [LOW], [(0, "raised")], id="a stop is no calm"),
    ],
)
def test_each_level_is_latched(level, scores, expected):
    """Calm is five seconds, the cooldown seven."""
    wanted = [(t_s, level, state) for t_s, state in expected]
    assert told(latch(), scores, level=level) == wanted


def test_levels_know_nothing_of_each_other():
    """Both may be said in one window; each from its own worst detection."""
    policy = latch()
    found = (
        Detection("a", score=1.2, level="notice"),
        Detection("b", score=3.0, level="notice"),
        Detection("c", score=1.1, level="alarm"),
    )
    notice, alarm = policy.update(found, 0)
    assert notice == Alert(
        workload="w",
        state="raised",
        label="b",
        score=3.0,
        threshold=1.0,
        hits=1,
        of=1,
        level="notice",
    )
    assert (alarm.level, alarm.label, alarm.score) == ("alarm", "c", 1.1)
    for t_s in range(1, 20):
        found = (
            Detection("b", score=HIGH, level="notice"),
            Detection("c", score=LOW, level="alarm"),
        )
        said = [(one.level, one.state) for one in policy.update(found, t_s * 10**9)]
        assert said == ([("alarm", "cleared")] if t_s == 6 else [])


def test_a_clock_that_goes_back_neither_clears_early_nor_hangs():
    """How long it has been calm is counted on the new clock."""
    policy = latch()
    assert told(policy, [HIGH] + [LOW] * 3, start_s=1000) == [(1000, "notice", "raised")]
    assert told(policy, [LOW] * 20, start_s=0) == [(5, "notice", "cleared")]


def test_a_cooldown_on_a_clock_that_went_back_is_over():
    """Or nothing would be said for as long as the old clock had run."""
    policy = latch()
    told(policy, [HIGH] + [LOW] * 6, start_s=10**6)
    assert told(policy, [HIGH], start_s=0) == [(0, "notice", "raised")]


def latched(scores):
    """The docstring of `Latch` word for word, of one level, on a clock of whole seconds."""
    messages, calm, quiet_until_s, is_raised = [], [], -1, False
    for t_s, score in enumerate(scores):
        if score is None:
            continue
        if is_raised:
            calm = [*calm, t_s] if score < 0.5 else []
            if calm and t_s - calm[0] >= CALM_S:
                is_raised, calm, quiet_until_s = False, [], t_s + COOLDOWN_S
                messages.append((t_s, "notice", "cleared"))
        elif score >= 1.0 and t_s >= quiet_until_s:
            is_raised = True
            messages.append((t_s, "notice", "raised"))
    return messages


FINITE = SCORES.map(lambda scores: [s for s in scores if s is None or not math.isnan(s)])


@given(FINITE)
def test_a_latch_says_what_it_promises_and_nothing_else(scores):
    """A pipeline refuses scores that are no numbers before any policy sees them."""
    assert told(latch(), scores) == latched(scores)


@given(FINITE, FINITE, st.sampled_from(LEVELS))
def test_a_latch_after_a_restart_raises_nothing_twice_and_can_be_cleared(before, after, level):
    """On a clock of its own."""
    first, second = latch(), latch()
    states = [state for _, _, state in told(first, before, level=level)]
    second.resume(first.state())
    assert second.state() == first.state()
    calm = [LOW] * 10
    states += [state for _, _, state in told(second, [*after, *calm], level=level)]
    assert states == ["raised", "cleared"] * (len(states) // 2)


def test_both_levels_are_kept_over_a_restart():
    """And only those that are raised."""
    for levels in ((), ("notice",), ("alarm",), LEVELS):
        first, second = latch(), latch()
        first.update(tuple(Detection("x", score=HIGH, level=level) for level in levels), 0)
        second.resume(first.state())
        again = tuple(Detection("x", score=HIGH, level=level) for level in LEVELS)
        assert {one.level for one in second.update(again, 0)} == set(LEVELS) - set(levels)


def test_what_an_earlier_version_had_raised_is_an_alarm_that_can_be_cleared():
    """It knew one level, and its collector waits for the end of what it was told."""
    old = Debounce(POINT, workload="w", k=1, n=1, cooldown_s=0.0)
    calm, raised = latch(), latch()
    calm.resume(old.state())
    assert calm.state() == b""
    old.update((Detection("x", score=HIGH),), 0)
    raised.resume(old.state())
    assert told(raised, [HIGH], level="alarm") == []
    assert told(raised, [LOW] * 10, start_s=1, level="alarm") == [(6, "alarm", "cleared")]
