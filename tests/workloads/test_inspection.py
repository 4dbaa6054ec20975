"""Inspection: a picture to a decision, with a network stood in for by a rule; drift beside it."""

from __future__ import annotations

import numpy as np
import pytest

from contract import drift_learn
from contract.fold import fold
from contract.inspection import PASS, REJECT, Part
from contract.messages import Alert, Reading
from contract.ops.looks import looks
from contract.spec import OperatingPoint, Profile, Window
from contract.workloads.inspection import WORKLOAD
from training.recipes.inspection import tolerances

POINT = OperatingPoint(threshold=100.0, clear_threshold=100.0, chosen_on="nothing", measured={})


def brightest(squares):
    """(n, 32, 32, 1): the brightest pixel of each place."""
    grey = squares.mean(axis=3).reshape(len(squares), 32, 8, 32, 8)
    return grey.max(axis=(2, 4))[..., None]


def window(picture, number=0):
    return Window("camera", number, number * 10**9, 0, picture, 0.0)


def part(number, *, spot=False, gain=1.0):
    rng = np.random.default_rng(number)
    picture = 40.0 + rng.normal(0.0, 4.0, (300, 400))
    picture[100:200, 50:350] += 20.0
    if spot:
        picture[150:170, 200:220] = 200.0
    grey = (gain * picture).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def seen(picture):
    ((found,), _) = fold(WORKLOAD, {"look": brightest}, [window(picture)])
    return found


def test_a_part_is_passed_or_rejected_and_the_defect_is_where_it_is():
    profile = Profile(POINT, {}, "model", 0)
    (good,) = WORKLOAD.judge(seen(part(0)), profile)
    (bad,) = WORKLOAD.judge(seen(part(1, spot=True)), profile)
    assert (good.label, bad.label) == (PASS, REJECT)
    assert bad.heat.shape == (38, 50)
    left, top, right, bottom = bad.box
    assert left <= 200 < right
    assert top <= 150 < bottom
    assert (right, bottom) >= (220, 170)
    assert (right - left) <= 40


def test_one_reading_a_part_and_an_alert_on_a_reject():
    policy = WORKLOAD.policy(POINT)
    profile = Profile(POINT, {}, "model", 0)
    said = [
        policy.update(WORKLOAD.judge(seen(part(i, spot=i == 2)), profile), i * 10**9)
        for i in range(3)
    ]
    readings = [body for bodies in said for body in bodies if isinstance(body, Reading)]
    assert [reading.label for reading in readings] == [PASS, PASS, REJECT]
    (alert,) = [body for bodies in said for body in bodies if isinstance(body, Alert)]
    assert alert.state == "raised"
    assert alert in said[2]


def test_a_lamp_that_fades_is_told_while_parts_still_pass():
    good = [part(i) for i in range(40)]
    learned = drift_learn.learn(
        [looks(picture) for picture in good],
        np.array([WORKLOAD.judge(seen(p), Profile(POINT, {}, "m", 0))[0].score for p in good]),
    )
    profile = Profile(POINT, learned, "model", 0)
    follower = WORKLOAD.follow(profile)
    drifted = []
    for i in range(120):
        gain = 1.0 - 0.004 * max(i - 40, 0)
        judged = WORKLOAD.judge(seen(part(100 + i, gain=gain)), profile)
        found = follower.update(judged, i * 10**9)
        assert isinstance(found[0], Part)
        assert found[0].label == PASS
        drifted.append({one.label for one in found[1:] if one.score >= one.threshold})
    assert not any(drifted[:40])
    assert "lighting" in drifted[80]


def test_without_enough_good_parts_nothing_is_followed():
    follower = WORKLOAD.follow(Profile(POINT, {}, "model", 0))
    found = (Part(PASS),)
    assert follower.update(found, 0) == found
    follower.resume(follower.state())


def test_few_defects_kept_apart_tell_less_of_a_quantized_model():
    stated = {"auroc": 0.02}
    apart = {"too_close": 0.0}
    assert tolerances(stated, {"defects": 300.0, "good": 400.0, **apart}) == stated
    assert tolerances(stated, {"defects": 10.0, "good": 40.0, **apart}) == {"auroc": 0.1}
    assert tolerances(stated, {"defects": 0.0, "good": 40.0}) == {}
    undecided = tolerances(stated, {"defects": 10.0, "good": 40.0, "too_close": 0.3})
    assert undecided == {"auroc": pytest.approx(0.25)}
