"""Tables of scores through each policy."""

from __future__ import annotations

import pytest
from fakes import POINT

from contract.messages import Alert, Reading
from contract.policy import Debounce, EachWindow
from contract.spec import Detection

HIGH, LOW, BETWEEN = 1.5, 0.1, 0.7  # the thresholds are 1.0 and 0.5


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
