"""Whether a picture is good enough to enrol somebody from, in plain words with what to do.

All limits stand here, each with what it was measured on: how many other pictures of the same person
still reach the threshold of a strict operating point (cosine 0.947) when one is enrolled from a
picture like that, with the int8 embedding of dlib's network. Strangers become no more alike by any
of it, up to that much: who is enrolled from a bad picture is missed, not mistaken for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from contract import tracks
from contract.spec import Array, Detection, Detections, Floats
from contract.visits import LIVE, SPOOF

# 54 pictures of 14 people (faces_caltech_in_out), made smaller, blurred, dark or bright:
# Between the eyes, pixels of the picture: 1.00 at 20, 0.97 at 14, 0.84 at 12, 0.67 at 10.
LEAST_EYES_PX, GOOD_EYES_PX = 14.0, 20.0
# As `sharpness` measures it, median 0.013 untouched. By a Gaussian of 1.5, 2, 3, 4 pixels of the
# chip 1.00, 0.97, 0.71, 0.23, at medians of 0.0032, 0.0019, 0.0008, 0.0004; moved by an eighth of
# the distance between the eyes 0.94 to 1.00, by a fifth 0.31 to 0.62.
LEAST_SHARPNESS, GOOD_SHARPNESS = 0.0008, 0.002
# Median grey of the face as the camera took it, 0 to 255; the light is evened afterwards: 1.00 at
# 8, 0.98 at 3, where a real camera adds noise; 0.98 at 219, 0.89 at 251, 0.46 at 255.
DARKEST, GOOD_DARK = 5.0, 20.0
BRIGHTEST, GOOD_BRIGHT = 250.0, 225.0
# 159 pictures of 16 people (faces_orl), few of them turned:
# Nose off the middle of the eyes, in distances between them: 0.92 below 0.2, 0.46 at 0.25 to 0.3, 0
# of 7 at 0.56.
GOOD_TURNED, MOST_TURNED = 0.2, 0.35
# Nose off its height between eyes (0) and mouth (1), 0.55 to the front: 0.93 below 0.15, 0.66 at
# 0.15 to 0.2, 0 of 14 above 0.3.
NOSE_HEIGHT, GOOD_NODDED, MOST_NODDED = 0.55, 0.15, 0.3
# Between the medians of both sides of the face, over their sum; only a hint.
GOOD_SIDES = 0.45


@dataclass(frozen=True, eq=False)
class Look:
    """What a picture is good for.

    Attributes:
        face: the one in it; None: none, or not one.
        refused: why it is not taken, with what to do; empty: it may be.
        advice: what would be better, with what to do.
        quality: 0 to 1, of its weakest side.
    """

    face: Detection | None
    refused: tuple[str, ...]
    advice: tuple[str, ...] = ()
    quality: float = 0.0


def told_apart(found: Detections, *, least_live: float) -> Detections:
    """The faces alone; those that are less living than that are labelled `spoof`."""
    live = {one.box: one.score for one in found if one.label == LIVE}
    return tuple(
        replace(one, label=SPOOF) if live.get(one.box, least_live) < least_live else one
        for one in found
        if one.label != LIVE
    )


def look(picture: Array | None, found: Detections) -> Look:
    """Judge one picture.

    Args:
        picture: (height, width, 3) uint8 RGB; None: not readable.
        found: the faces in it, with points and vector.
    """
    if picture is None:
        return Look(None, ("no picture can be read from it; save it as JPEG or PNG",))
    faces = [one for one in found if _is_inside(one, *picture.shape[:2])]
    if not faces:
        return Look(None, ("no face in it; show the whole face, from the front, well lit",))
    if len(faces) > 1:
        return Look(None, (f"{len(faces)} faces in it; cut out the one that is meant",))
    (face,) = faces
    refused, advice, marks = [], [], []
    for why, is_bad, mark in _sides(picture, face):
        marks.append(mark)
        if is_bad:
            refused.append(why)
        elif mark < 1.0:
            advice.append(why)
    return Look(face, tuple(refused), tuple(advice), round(float(np.clip(min(marks), 0, 1)), 3))


def _is_inside(one: Detection, height: int, width: int) -> bool:
    """Whether it is a face of which most is in the picture."""
    if one.points is None or one.vector is None:
        return False
    x, y = one.points.mean(axis=0).tolist()
    return bool(0 <= x < width and 0 <= y < height)


def _sides(picture: Array, face: Detection) -> list[tuple[str, bool, float]]:
    """Each side of quality: what to say, whether it is too bad, and how good from 0 to 1."""
    from contract.ops import image
    from contract.workloads.faces import CHIP, PLACES

    points = face.points
    assert points is not None
    chip = image.warp(picture, image.similarity(points, PLACES), size=CHIP, edge_goes_on=True)
    grey = chip @ np.array([0.299, 0.587, 0.114], np.float32)
    eyes_px = float(np.linalg.norm(points[1] - points[0]))
    turned, nodded = _pose(points)
    upright = tracks.uprightness(points)
    sharp = sharpness(grey)
    inner = grey[CHIP // 5 : -CHIP // 6, CHIP // 5 : -CHIP // 5]
    light = float(np.median(inner))
    sides = _unevenness(inner)
    return [
        (
            f"small: {eyes_px:.0f} pixels between the eyes; come closer, or the whole picture",
            eyes_px < LEAST_EYES_PX,
            eyes_px / GOOD_EYES_PX,
        ),
        (
            "blurred; hold still, in more light, and wipe the lens",
            sharp < LEAST_SHARPNESS,
            sharp / GOOD_SHARPNESS,
        ),
        (
            "turned away; look into the camera",
            turned > MOST_TURNED,
            _less(turned, GOOD_TURNED, MOST_TURNED),
        ),
        (
            "looking up or down; hold the camera at the height of the eyes",
            nodded > MOST_NODDED,
            _less(nodded, GOOD_NODDED, MOST_NODDED),
        ),
        ("tilted; turn the picture, or hold the head straight", upright <= 0.0, upright),
        ("too dark; more light on the face", light < DARKEST, light / GOOD_DARK),
        (
            "too bright; less light on the face, or a shorter exposure",
            light > BRIGHTEST,
            _less(light, GOOD_BRIGHT, BRIGHTEST),
        ),
        (
            "lit from one side; turn towards the light",
            False,
            _less(sides, GOOD_SIDES, 1.0),
        ),
    ]


def sharpness(grey: Floats) -> float:
    """Variance of the second derivative over the variance of grey, in the dullest direction.

    A derivative and not the Laplacian, because a hand that shakes blurs in one direction; smoothed
    before, because a camera's noise is sharp; divided, because contrast is no sharpness. After the
    modified Laplacian of S. K. Nayar, Y. Nakagawa, "Shape from focus", IEEE PAMI 16(8), 1994.

    Args:
        grey: (n, n) float32, an aligned chip.
    """
    edge = len(grey) // 5
    x = _smoothed(_smoothed(grey[edge:-edge, edge:-edge].astype(np.float64)).T).T
    middle = 2.0 * x[1:-1, 1:-1]
    down, across = x[:-2, 1:-1] + x[2:, 1:-1], x[1:-1, :-2] + x[1:-1, 2:]
    falling, rising = x[:-2, :-2] + x[2:, 2:], x[2:, :-2] + x[:-2, 2:]
    # the diagonal neighbours are further away, by the root of 2
    derivatives = (down - middle, across - middle, (falling - middle) / 2, (rising - middle) / 2)
    return float(min(one.var() for one in derivatives) / max(x.var(), 1.0))


def _smoothed(rows: Array) -> Array:
    """Along the first axis, by a Gaussian of one pixel, as far as it is whole."""
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2)
    window = np.lib.stride_tricks.sliding_window_view(rows, 7, axis=0)
    smoothed: Array = window @ (weights / weights.sum())
    return smoothed


def _pose(points: Floats) -> tuple[float, float]:
    """How far a face is turned, and how far it looks up or down; 0 to the front."""
    left, right, nose, mouth = points.astype(np.float64)
    across = right - left
    apart = max(float(np.linalg.norm(across)), 1e-6)
    across = across / apart
    down = np.array([-across[1], across[0]])
    middle = (left + right) / 2.0
    # the mouth shares the tilt that the axis of the eyes has by mistake
    turned = abs(float((nose - middle) @ across - (mouth - middle) @ across * NOSE_HEIGHT)) / apart
    off = abs(float((nose - middle) @ across)) / apart
    height = float((mouth - middle) @ down)
    nodded = abs(float((nose - middle) @ down) / height - NOSE_HEIGHT) if height > 0 else 1.0
    return max(turned, off), nodded


def _unevenness(grey: Floats) -> float:
    """Between the two sides of a face, 0: alike, 1: one is black."""
    half = grey.shape[1] // 2
    left, right = float(np.median(grey[:, :half])), float(np.median(grey[:, -half:]))
    return abs(left - right) / max(left + right, 1.0)


def _less(value: float, good: float, most: float) -> float:
    """1 up to `good`, falling to 0.2 at `most`, where it ends."""
    return 1.0 if value <= good else max(1.0 - 0.8 * (value - good) / (most - good), 0.0)
