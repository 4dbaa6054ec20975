"""People in front of a camera, made of boxes, four points and noisy unit vectors."""

from __future__ import annotations

import datetime as dt
import zlib
from functools import partial

import numpy as np
from fakes import POINT

from contract import gallery
from contract.gallery import Consent, Person, Picture
from contract.spec import Detection
from contract.visits import LIVE, Rules, Visits
from contract.visits_policy import EachVisit

LENGTH = 128
NOISE = 0.02  # of each of the 128 numbers: two pictures of one person have cosines around 0.95
RULES = Rules(same=0.8, threshold=0.8, clear_threshold=0.7)
# eyes, nose, mouth of a face from the front, in shares of its box
FRONT = np.array([(0.3, 0.35), (0.7, 0.35), (0.5, 0.6), (0.5, 0.8)], np.float32)
PROFILE = np.array([(0.1, 0.35), (0.2, 0.35), (0.02, 0.6), (0.1, 0.8)], np.float32)
TODAY = dt.date(2026, 11, 22)


def vector(name: str) -> np.ndarray:
    """(128,) of length 1; different people's have cosines around 0."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).normal(size=LENGTH)
    return drawn / np.linalg.norm(drawn)


def between(one: str, other: str, cosine: float) -> np.ndarray:
    """Somebody with that cosine to `one`, leaning towards `other`."""
    away = vector(other) - vector(one) * (vector(one) @ vector(other))
    return cosine * vector(one) + np.sqrt(1 - cosine**2) * away / np.linalg.norm(away)


def face(
    who: str | np.ndarray,
    x: float,
    y: float = 200.0,
    *,
    size: float = 80.0,
    points: np.ndarray = FRONT,
    score: float = 0.95,
    noise: np.random.Generator | None = None,
) -> Detection:
    """A face with its middle at `x`, `y`."""
    unit = vector(who) if isinstance(who, str) else who
    if noise is not None:
        unit = unit + NOISE * noise.normal(size=LENGTH)
    left, top = x - size / 2, y - size / 2
    corner = np.array([left, top], np.float32)
    return Detection(
        "face",
        score,
        vector=(1.4 * unit).astype(np.float32),
        box=(left, top, left + size, top + size),
        points=corner + size * points,
    )


def away(x: float, y: float = 200.0, **about) -> Detection:
    """A face in profile: it is there, and cannot be told; its vector is anybody's."""
    noise = np.random.default_rng(int(1e6 * (x + 7 * y)) % 2**32).normal(size=LENGTH)
    return face(noise / np.linalg.norm(noise), x, y, points=PROFILE, **about)


def liveness(of: Detection, score: float) -> Detection:
    """What a stage that tests for life says of a face."""
    return Detection(LIVE, score, box=of.box)


def learned(
    *names: str,
    negatives: dict[str, list[np.ndarray]] | None = None,
    threshold: float = RULES.threshold,
) -> dict:
    """A gallery of these people, one perfect picture each."""
    made = gallery.begin("model", same=threshold)
    for name in names:
        person = Person(
            id=f"{zlib.crc32(name.encode()):08x}",
            name=name,
            consent=Consent("test", "test", TODAY),
            pictures=(Picture(gallery.to_text(vector(name)), 1.0),),
            negatives=tuple(map(gallery.to_text, (negatives or {}).get(name, []))),
        )
        made = gallery.changed(made, person)
    return gallery.to_arrays(made, today=TODAY, threshold=threshold, margin=0.05)


def follower(*names: str, rules: Rules = RULES, **about) -> Visits:
    """Follows, with these people enrolled."""
    known = learned(*names, threshold=rules.threshold, **about)
    return Visits(partial(gallery.match, known), rules)


class Camera:
    """Follower and policy together; keeps what was said and checks what must always hold."""

    def __init__(self, *names: str, rules: Rules = RULES) -> None:
        self.visits = follower(*names, rules=rules)
        self.policy = EachVisit(POINT, workload="faces", away_s=5.0, return_s=60.0)
        self.t_s = 0.0
        self.said: list = []
        self.found: tuple = ()

    def see(self, *faces: Detection, s: float | None = None) -> list:
        """One picture; `s` seconds after the one before."""
        self.t_s += 0.0 if s is None else s
        t_ns = round(self.t_s * 1e9)
        self.found = self.visits.update(faces, t_ns) if faces else ()
        names = [one.who for one in self.found if one.who]
        assert len(set(names)) == len(names)
        bodies = list(self.policy.update(self.found, t_ns))
        self.said += bodies
        return bodies

    def told(self) -> list[tuple[str, str, str | None]]:
        """State, label and name of all that was said."""
        return [(one.state, one.label, one.who) for one in self.said]
