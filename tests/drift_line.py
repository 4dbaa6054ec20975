"""Simulated pictures of a line for tests of drift, and what a follower says of them."""

from __future__ import annotations

import cv2
import numpy as np

from contract.drift import KINDS, THRESHOLD, Drift
from contract.drift_learn import learn
from contract.inspection import PASS, Part
from contract.ops.looks import looks
from contract.spec import OperatingPoint, Profile

SIDE = 128
POINT = OperatingPoint(threshold=1.0, clear_threshold=0.8, chosen_on="nothing", measured={})


def part(rng, *, gain=1.0, blur_px=0.0, right=0.0, down=0.0, is_posed=True):
    """A picture of one part: light within 2 %, place within 1 px, its marks anywhere on it.

    Args:
        rng: of this part.
        gain: of the lamp.
        blur_px: standard deviation of the lens's.
        right: by how many pixels its place is off.
        down: likewise.
        is_posed: whether it lies where the others do; else all is marks.
    """
    ground = np.full((SIDE, SIDE), 80.0, np.float32)
    if is_posed:
        ground[35:95, 20:105] = 140.0
    for _ in range(6 if is_posed else 60):
        x, y = rng.integers((25, 40), (95, 85)) if is_posed else rng.integers(5, SIDE - 10, 2)
        ground[y : y + 5, x : x + 5] += rng.uniform(-40, 40)
    x, y = rng.normal((right, down), 1.0)
    at = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    there = cv2.warpAffine(ground, at, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    there = cv2.GaussianBlur(there, (0, 0), np.hypot(0.6, blur_px))
    there = there * gain * rng.normal(1.0, 0.02) + rng.normal(0.0, 1.0, there.shape)
    grey = np.clip(np.round(there), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def seen(seed, count, **drift):
    """Looks of that many parts; each of `drift` is a number, or one per part."""
    rng = np.random.default_rng(seed)
    drift = {name: np.broadcast_to(value, count) for name, value in drift.items()}
    return [
        looks(part(rng, **{name: float(values[k]) for name, values in drift.items()}))
        for k in range(count)
    ]


def scores(seed, count, *, rise=0.0):
    return np.random.default_rng(seed).lognormal(rise, 0.3, count)


def profile(good, of_good=None, **given):
    of_good = scores(9, len(good)) if of_good is None else of_good
    return Profile(POINT, learn(good, of_good, **given), "model", 0)


class Line:
    """A follower fed with parts; knows what it said and at which part it said it first."""

    def __init__(self, learned):
        self.follower = Drift(learned)
        self.first: dict[str, int] = {}
        self.texts: dict[str, str] = {}
        self.now: dict[str, float] = dict.fromkeys(KINDS, 0.0)
        self.parts = 0

    def see(self, many, of_them=None, *, label=PASS):
        of_them = scores(self.parts + 50, len(many)) if of_them is None else of_them
        for one, score in zip(many, of_them, strict=True):
            found = (Part(label, float(score), looks=one),)
            given = self.follower.update(found, 0)
            assert given[0] is found[0]
            assert [x.label for x in given[1:]] == list(KINDS)
            for drifted in given[1:]:
                self.now[drifted.label] = drifted.score
                if drifted.score >= THRESHOLD and drifted.label not in self.first:
                    self.first[drifted.label] = self.parts
                    self.texts[drifted.label] = drifted.text
            self.parts += 1
        return self
