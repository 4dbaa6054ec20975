"""Since when it is not normal, and how it came to that."""

from __future__ import annotations

import numpy as np
import pytest

from edge.trend import Trend


def after(scores, *, hop_s=10.0):
    trend = Trend()
    for number, score in enumerate(scores):
        trend.note(number * hop_s, score, calm_below=0.5)
    return trend, (len(scores) - 1) * hop_s


@pytest.mark.parametrize(
    ("scores", "hop_s", "words"),
    [
        ([0.1] * 50, 10.0, ""),
        ([0.1] * 50 + [9.0, 9.0], 10.0, ""),  # too short to be anything
        (
            [0.1] * 50 + [0.6] * 60 + [1.5],
            10.0,
            "Not normal for 9.7 min; the score went from 0.30 to 0.75 times its threshold.",
        ),
        # one quiet window is no end
        (
            [0.1] * 50 + [0.6] * 30 + [0.1] + [0.6] * 30,
            3600.0,
            "Not normal for 2.4 d; the score went from 0.30 to 0.30 times its threshold.",
        ),
        # nobody saw it begin
        (
            [1.0] * 20,
            1000.0,
            "Not normal for at least 5.3 h; the score went from 0.50 to 0.50 times its threshold.",
        ),
        (
            [0.1] * 9 + [0.8] * 9,
            2.0,
            "Not normal for 12 s; the score went from 0.40 to 0.40 times its threshold.",
        ),
    ],
)
def test_words(scores, hop_s, words):
    """Of the present excursion alone."""
    trend, now_s = after(scores, hop_s=hop_s)
    assert trend.words(now_s, threshold=2.0) == words


def test_a_long_time_is_kept_in_few_points_and_no_peak_is_lost():
    """A week at a window every ten seconds."""
    scores = np.full(60_480, 0.1)
    scores[12_345] = 7.0
    trend, now_s = after(scores.tolist())
    points = trend.points(now_s, threshold=2.0)
    assert points.dtype == np.float32
    assert 256 <= len(points) < 512
    assert points[0, 0] == -now_s
    assert (np.diff(points[:, 0]) > 0).all()
    peak = points[np.argmax(points[:, 1])]
    assert peak[1] == 3.5
    assert abs(peak[0] + now_s - 123_450) <= now_s / 256
