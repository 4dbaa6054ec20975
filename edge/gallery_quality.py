"""Whether a picture is good enough to enrol somebody from, in plain words with what to do.

All limits stand here. A picture is refused where its embedding would be more like a stranger's than
the person's own, and advised about where a better one is easily taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contract.spec import Array, Detection, Detections, Floats

# Between the eyes, pixels of the picture. The network takes 55; what is enlarged has no detail.
LEAST_EYES_PX, GOOD_EYES_PX = 14.0, 30.0
# Variance of the Laplacian over the variance of grey, both of the aligned chip: the share of the
# finest detail, whatever the contrast.
LEAST_SHARPNESS, GOOD_SHARPNESS = 0.0006, 0.002
# Nose off the middle of the eyes, in distances between them: 0 to the front, about 0.5 at 45°.
MOST_TURNED, GOOD_TURNED = 0.45, 0.25
# Height of the nose between eyes (0) and mouth (1): 0.55 to the front.
NOSE_HEIGHT, MOST_NODDED, GOOD_NODDED = 0.55, 0.35, 0.2
# Median grey of the chip as the camera took it, 0 to 255.
DARKEST, BRIGHTEST = 25.0, 235.0
GOOD_DARK, GOOD_BRIGHT = 50.0, 215.0
# Between the medians of both sides of the face, over their sum.
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


def look(picture: Array | None, found: Detections) -> Look:
    """Judge one picture.

    Args:
        picture: (height, width, 3) uint8 RGB; None: not readable.
        found: the faces in it, with points and vector.
    """
    if picture is None:
        return Look(None, ("no picture can be read from it; save it as JPEG or PNG",))
    faces = [one for one in found if one.points is not None and one.vector is not None]
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
    """Variance of the Laplacian over the variance of grey, of a chip's middle.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000, who do not
    divide, and so measure contrast as well.

    Args:
        grey: (n, n) float32, an aligned chip.
    """
    edge = len(grey) // 5
    x = grey[edge:-edge, edge:-edge].astype(np.float64)
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4.0 * x[1:-1, 1:-1]
    return float(laplacian.var() / max(x.var(), 1.0))


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
