"""How a picture of a face is held up: the end of the sheet, the hand, what is behind.

`at` as in `replays_media`; lengths of a sheet in the same pixels of the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array, Floats
from training.datasets.synthetic import replays_camera
from training.datasets.synthetic.replays_media import Medium


@dataclass(frozen=True, eq=False)
class Sheet:
    """Where a picture on a medium ends.

    Attributes:
        ends: (4,) left, top, right, bottom of the picture.
        edge: light of what surrounds it: white paper, a bezel.
        wide: of that edge.
        round_: radius of its corners.
        outline: (n,) radius of a sheet that is cut along the head, by angle; None: it is not cut.
        shadow: how much darker it makes what is behind it.
    """

    ends: Array
    edge: Floats
    wide: float
    round_: float
    outline: Floats | None
    shadow: float

    def over(self, behind: Floats, light: Floats, at: Floats) -> Floats:
        """The sheet before what is behind it, (height, width, 3)."""
        away = self._away(at)
        whole = np.clip(0.5 - (away - self.wide), 0.0, 1.0)[..., None]
        inner = np.clip(0.5 - away, 0.0, 1.0)[..., None]
        soft = max(0.02 * float(np.ptp(self.ends[::2])), 1.0)
        moved = np.roll(whole[..., 0], (int(soft), int(soft)), axis=(0, 1))
        dark = 1.0 - self.shadow * replays_camera.blurred(moved, 2.0 * soft)[..., None]
        edge = inner * light + (1.0 - inner) * self.edge
        found: Floats = whole * edge + (1.0 - whole) * behind * dark
        return found.astype(np.float32)

    def _away(self, at: Floats) -> Floats:
        """How far each pixel is outside of the picture; negative inside."""
        if self.outline is not None:
            angle = np.arctan2(at[..., 1], at[..., 0]) / (2 * np.pi) % 1.0 * len(self.outline)
            closed = np.append(self.outline, self.outline[0])
            radius = np.interp(angle, np.arange(len(closed)), closed)
            cut: Floats = (np.hypot(at[..., 0], at[..., 1]) - radius).astype(np.float32)
            return cut
        left, top, right, bottom = self.ends.tolist()
        x = np.abs(at[..., 0] - (left + right) / 2) - ((right - left) / 2 - self.round_)
        y = np.abs(at[..., 1] - (top + bottom) / 2) - ((bottom - top) / 2 - self.round_)
        if self.round_ == 0.0:
            return np.maximum(x, y)
        outside = np.hypot(np.maximum(x, 0.0), np.maximum(y, 0.0))
        found: Floats = outside + np.minimum(np.maximum(x, y), 0.0) - np.float32(self.round_)
        return found


def sheet(rng: np.random.Generator, medium: Medium, side: float, *, shown: Array) -> Sheet:
    """Some sheet of a medium.

    Args:
        rng: draws it.
        medium: of the sheet.
        side: of the face on it.
        shown: (4,) left, top, right, bottom of what the picture shows.
    """
    ends = side * np.array([-1.0, -1.0, 1.0, 1.0]) * rng.uniform(0.55, 1.15, 4)
    ends = np.sign(ends) * np.minimum(np.abs(ends), np.maximum(np.abs(shown), 0.3 * side))
    wide = side * float(rng.uniform(*medium.edge_wide))
    edge = medium.edge
    outline = None
    if edge is None:
        outline = _along_the_head(rng, side)
        edge, wide = np.full(3, 0.8, np.float32), side * float(rng.choice([0.0, 0.0, 0.02]))
    return Sheet(ends, edge, wide, side * medium.round_, outline, float(rng.uniform(0, 0.5)))


def _along_the_head(rng: np.random.Generator, side: float) -> Floats:
    """(90,) radii around a face and its hair, cut by hand, the neck left on or not."""
    angle = np.arange(90) / 90 * 2 * np.pi
    radius = 1.0 / np.hypot(np.cos(angle) / rng.uniform(0.5, 0.62), np.sin(angle) / 0.72)
    if rng.random() < 0.5:  # down is a quarter of a turn
        radius = radius + 0.5 * np.exp(-(((angle - np.pi / 2) / 0.5) ** 2))
    for k in range(2, 9):
        radius = radius * (1.0 + 0.02 * rng.normal() * np.sin(k * angle + rng.uniform(0, 6)))
    found: Floats = (side * radius).astype(np.float32)
    return found


def hand(
    rng: np.random.Generator, held: Sheet, side: float
) -> list[tuple[Array, Array, float, Floats]]:
    """Fingers at an edge of the sheet: from where to where, how thick, and their light."""
    skin = np.array([0.42, 0.23, 0.15]) * np.exp(rng.normal(-0.3, 0.5) + rng.normal(0, 0.08, 3))
    left, _, right, bottom = held.ends
    fingers = []
    corner = rng.choice([left, right])
    for k in range(int(rng.integers(1, 4))):
        if rng.random() < 0.5:
            tip = np.array([corner * 0.85, bottom * (0.75 - 0.22 * k)])
            root = tip + np.array([np.sign(corner) * side, 0.1 * side])
        else:
            tip = np.array([corner * (0.7 - 0.2 * k), bottom * 0.9])
            root = tip + np.array([0.1 * side, side])
        fingers.append((tip, root, 0.12 * side, skin.astype(np.float32)))
    return fingers


def with_hand(
    light: Floats, at: Floats, fingers: list[tuple[Array, Array, float, Floats]]
) -> Floats:
    """The hand before the sheet."""
    for tip, root, thick, skin in fingers:
        along = (root - tip).astype(np.float32)
        from_tip = at - tip.astype(np.float32)
        t = np.clip(from_tip @ (along / float(along @ along)), 0.0, 1.0)
        across = from_tip - t[..., None] * along
        away = np.hypot(across[..., 0], across[..., 1])
        round_ = np.sqrt(np.clip(1.0 - (away / thick) ** 2, 0.0, 1.0))
        cover = np.clip(thick - away + 0.5, 0.0, 1.0)[..., None]
        finger = skin * (0.5 + 0.5 * round_[..., None])
        light = (cover * finger + (1.0 - cover) * light).astype(np.float32)
    return light


def background(
    rng: np.random.Generator, like: Floats, side: float, shape: tuple[int, int]
) -> Floats:
    """What is behind: something like the picture itself, out of focus; or walls and furniture.

    Args:
        rng: draws it.
        like: light of a picture, for surroundings as the same cameras see them.
        side: of the face.
        shape: height and width.
    """
    height, width = shape
    if rng.random() < 0.5:
        turned = like[::-1] if rng.random() < 0.7 else like[:, ::-1]
        room = cv2.resize(turned, (width, height), interpolation=cv2.INTER_AREA)
        blur = side * float(rng.uniform(0.04, 0.2))
    else:
        room = np.zeros((height, width, 3), np.float32)
        room += (rng.uniform(0.02, 0.8) * np.exp(rng.normal(0, 0.15, 3))).astype(np.float32)
        for _ in range(rng.integers(0, 6)):
            (x, x2), (y, y2) = (
                np.sort(rng.integers(-n // 2, n + n // 2, 2)) for n in (width, height)
            )
            grey = rng.uniform(0.01, 0.9) * np.exp(rng.normal(0, 0.2, 3))
            room[max(y, 0) : max(y2, 0), max(x, 0) : max(x2, 0)] = grey
        x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
        room = room * np.exp(rng.normal(0, 0.3) * x + rng.normal(0, 0.3) * y)[..., None]
        blur = side * float(rng.uniform(0.005, 0.08))
    soft = replays_camera.blurred(np.ascontiguousarray(room, np.float32), max(blur, 0.3))
    return soft * np.float32(np.exp(rng.normal(0, 0.4)))
