"""Faces that belong to nobody: drawn by numbers, for tests and golden windows."""

from __future__ import annotations

import numpy as np

from contract.spec import Array, Floats


class _Canvas:
    """A picture that soft ellipses are put on."""

    def __init__(self, height: int, width: int, ground: Floats) -> None:
        self._y, self._x = np.mgrid[:height, :width].astype(np.float32)
        self.pixels = ground + 40.0 * (self._y / height)[..., None]

    def put(
        self,
        centre: tuple[float, float],
        half: tuple[float, float],
        colour: Floats,
        *,
        soft: float = 1.5,
        share: float = 1.0,
    ) -> None:
        """An ellipse around `centre` with half axes `half`, its edge `soft` pixels wide."""
        away = np.hypot((self._x - centre[0]) / half[0], (self._y - centre[1]) / half[1])
        mask = share * np.clip((1.0 - away) * min(half) / soft + 0.5, 0.0, 1.0)[..., None]
        self.pixels = self.pixels * (1.0 - mask) + colour * mask


def face(seed: int, *, height: int = 240, width: int = 320) -> Array:
    """(height, width, 3) uint8 RGB: one face from the front on a plain ground.

    Args:
        seed: of place, size and colours; the same seed draws the same face.
        height: of the picture, at least 160.
        width: of the picture, at least 160.
    """
    rng = np.random.default_rng(seed)
    canvas = _Canvas(height, width, rng.uniform(60, 180, 3).astype(np.float32))
    r = float(rng.uniform(60, 75))
    cx = width / 2 + float(rng.uniform(-15, 15))
    cy = height / 2 + float(rng.uniform(-8, 8))
    skin = rng.uniform([190, 150, 120], [230, 180, 150]).astype(np.float32)
    hair = rng.uniform(20, 90, 3).astype(np.float32)
    white, iris, black = (np.array(c, np.float32) for c in ((235,) * 3, (60, 45, 35), (10,) * 3))
    lip, gap = np.array((165, 80, 80), np.float32), np.array((90, 35, 40), np.float32)
    canvas.put((cx, cy - 0.18 * r), (0.86 * r, 1.02 * r), hair)
    canvas.put((cx, cy + 1.2 * r), (0.35 * r, 0.6 * r), 0.85 * skin)
    canvas.put((cx, cy + 0.06 * r), (0.72 * r, 0.98 * r), skin)
    canvas.put((cx + 0.35 * r, cy + 0.1 * r), (0.45 * r, 0.8 * r), 0.75 * skin, soft=25, share=0.5)
    for side in (-0.3 * r, 0.3 * r):
        x, y = cx + side, cy - 0.08 * r
        canvas.put((x, y - 0.02 * r), (0.22 * r, 0.14 * r), 0.7 * skin, soft=8, share=0.7)
        canvas.put((x, y), (0.14 * r, 0.065 * r), white)
        canvas.put((x, y), (0.065 * r, 0.065 * r), iris)
        canvas.put((x, y), (0.03 * r, 0.03 * r), black)
        canvas.put((x, y - 0.2 * r), (0.19 * r, 0.035 * r), hair, soft=3)
    canvas.put((cx, cy + 0.26 * r), (0.13 * r, 0.07 * r), 0.7 * skin, soft=5, share=0.8)
    canvas.put((cx, cy + 0.08 * r), (0.05 * r, 0.2 * r), 1.1 * skin, soft=6, share=0.5)
    for side in (-0.06 * r, 0.06 * r):
        canvas.put((cx + side, cy + 0.29 * r), (0.035 * r, 0.022 * r), 0.4 * skin)
    canvas.put((cx, cy + 0.52 * r), (0.26 * r, 0.075 * r), lip, soft=3)
    canvas.put((cx, cy + 0.515 * r), (0.24 * r, 0.012 * r), gap, soft=2)
    noisy = canvas.pixels + rng.normal(0.0, 3.0, canvas.pixels.shape)
    picture: Array = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    return picture


def far(seed: int, *, height: int = 240, width: int = 320) -> Array:
    """(height, width, 3) uint8 RGB: the face of `face`, three times as far away, near a corner.

    Args:
        seed: as there.
        height: as there.
        width: as there.
    """
    near = face(seed, height=height, width=width)
    few = near[::3, ::3]
    picture = np.broadcast_to(near[:1, :1], near.shape).copy()
    top, left = height // 12, width // 12
    picture[top : top + len(few), left : left + few.shape[1]] = few
    return picture
