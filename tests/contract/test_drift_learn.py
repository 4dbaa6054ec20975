"""Limits that good parts keep: measured on them, and on parts never seen."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from drift_line import Line, profile, scores, seen

from contract.drift import FIGURES, LAST, NOT_FOLLOWED, POSITION, SCORES
from contract.drift_learn import learn
from contract.ops.looks import looks


def limits(arrays):
    return dict(zip(FIGURES, arrays["drift.limits"].T, strict=True))


def limits_of(good, **given):
    return limits(learn(good, scores(9, len(good)), **given))


@pytest.fixture(scope="module")
def good():
    return seen(1, 120)


@pytest.fixture(scope="module")
def arrays(good):
    return learn(good, scores(9, 120))


def test_arrays_are_what_they_say(arrays):
    assert {name: (a.shape, a.dtype.str) for name, a in arrays.items()} == {
        "drift.view": ((64, 64), "<f4"),
        "drift.centre": ((6,), "<f8"),
        "drift.limits": ((len(LAST), 6), "<f8"),
        "drift.steps": ((101,), "<f8"),
    }
    # the lamp's: upper half at the grey of the part; places around 0
    centre = dict(zip(FIGURES, arrays["drift.centre"], strict=True))
    assert centre["light"] == pytest.approx(np.log(1 + 125), abs=0.1)
    assert [centre["right"], centre["down"]] == pytest.approx([0.0, 0.0], abs=2 / 128)


def test_the_same_parts_give_the_same(good, arrays):
    again = learn(good, scores(9, 120))
    assert all((again[name] == arrays[name]).all() for name in arrays)


def test_more_parts_in_a_median_wander_less(good):
    light = limits_of(seen(1, 120, gain=np.random.default_rng(0).normal(1, 0.2, 120)))["light"]
    assert light[0] > light[1] > light[2] > 0.06


def test_items_that_differ_widen_the_limits():
    gains = np.repeat(np.linspace(0.7, 1.3, 12), 10)
    rows = seen(1, 120, gain=gains)
    mixed = [rows[k] for k in np.random.default_rng(0).permutation(120)]
    by_item = limits_of(rows, items=np.repeat(np.arange(12), 10).tolist())
    assert (by_item["light"] > 1.3 * limits_of(mixed)["light"]).all()


def test_few_items_widen_the_limits(good, arrays):
    """Three show less of how items differ than forty do."""
    of_few = limits_of(good, items=np.repeat(np.arange(6), 20).tolist())
    assert of_few["right"][0] > 1.1 * limits(arrays)["right"][0]


def test_parts_without_a_common_pose_have_no_place():
    anyhow = seen(1, 80, is_posed=False)
    learned = profile(anyhow)
    found = limits(learned.learned)
    assert (found["right"] == NOT_FOLLOWED).all()
    assert (found["down"] == NOT_FOLLOWED).all()
    line = Line(learned).see(seen(2, 60, is_posed=False, right=20.0))
    assert line.now[POSITION] == 0.0


def test_too_few_parts_are_refused(good):
    with pytest.raises(ValueError, match="19 good parts are too few to tell drift: at least 20"):
        learn(good[:19], scores(9, 19))


def test_scores_of_parts_that_were_learned_from_are_left_out(good):
    mine = scores(9, 120)
    mine[:60] = np.nan
    assert learn(good, mine)["drift.steps"][[0, -1]].tolist() == [mine[60:].min(), mine[60:].max()]
    half = Line(profile(good, mine)).see(seen(2, 60), scores(4, 60))
    assert half.first == {}
    half.see(seen(2, 60), scores(4, 60, rise=0.6))
    assert half.first.keys() == {SCORES}


def test_with_too_few_scores_they_are_not_followed(good):
    mine = np.full(120, np.nan)
    mine[:19] = scores(9, 19)
    line = Line(profile(good, mine)).see(seen(2, 60), np.full(60, 1e6))
    assert line.first == {}


@pytest.mark.slow
def test_real_surfaces_faded_and_blurred_are_told_and_others_of_them_not():
    """Learned on every second item, played on the others."""
    data = Path(os.environ.get("VEDETTE_DATA", "data"), "inspect_ksdd_surface")
    if not data.is_dir():
        pytest.skip(f"{data}: no such folder; set VEDETTE_DATA")
    with (data / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] == "good"]
    names = sorted({row["item"] for row in rows})
    mine = set(names[::2])

    def pictures(*, is_mine):
        return [
            cv2.cvtColor(cv2.imread(str(data / row["file"])), cv2.COLOR_BGR2RGB)
            for row in rows
            if (row["item"] in mine) == is_mine
        ]

    items = [row["item"] for row in rows if row["item"] in mine]
    good = [looks(picture) for picture in pictures(is_mine=True)]
    learned = profile(good, items=items)
    others = pictures(is_mine=False)
    assert Line(learned).see([looks(picture) for picture in others]).first == {}
    faded = [looks((picture * 0.75).astype(np.uint8)) for picture in others]
    assert "lighting" in Line(learned).see(faded).first
    soft = [looks(cv2.GaussianBlur(picture, (0, 0), 1.5)) for picture in others]
    assert "focus" in Line(learned).see(soft).first
