"""Where on a simulated catheter a defect lies, how large and how faint it may be, and its mask.

Two pictures are made of every defective part, as it should be and with the defect, both through the
same lens. What the defect changes fades out where it falls below a fifth of its most and ends at a
tenth, so that beyond the mask nothing is changed at all; of the smallest, which a lens spreads over
more than they are, it ends at a quarter. Where it would be too faint it is made stronger.

The contrast-to-noise ratio is the mean of the changes, as multiples of `unrest` at that place, over
the half of the mask where they are strongest. It is at least `least_cnr(size)`: 8 for large
defects, 16 for the smallest. Dust has at most 2.5 times the sensor's noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np

from contract.spec import Array
from training.datasets.synthetic import catheters_camera as camera
from training.datasets.synthetic import catheters_walls as walls
from training.datasets.synthetic.catheters_camera import Line
from training.datasets.synthetic.catheters_defects import DEFECTS, Spot
from training.datasets.synthetic.catheters_parts import Part, Sight

LEAST_PX, MOST_PX = 3.0, 60.0
_CUT, _CUT_SMALLEST = 0.1, 0.26  # of the largest change: below, nothing is changed
_MOST_GAIN = 4.0  # a defect that had to be made stronger than this is put elsewhere
# sizes at which a defect can be, in pixels, and how often beside the others
_USUAL = (LEAST_PX, MOST_PX, 1.0)
_RANGES = {
    "pinhole": (LEAST_PX, 14.0, 2.0),
    "dent": (6.0, MOST_PX, 1.2),
    "kink": (10.0, MOST_PX, 1.6),
    "delamination": (6.0, MOST_PX, 1.2),
}
_ALSO_ON_METAL = ("scratch", "fibre", "contamination")
_MOVED = "kink"  # a contour that is elsewhere; changed by more than that it would show twice
_LEAST_LEVELS = 1.3
_PLACES = 24  # tried before another kind is drawn, and kinds before another size
_REACH = 0.72  # of the radius: nearer to the contour a surface cannot be seen into

Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Scene:
    """A part as it should be.

    Attributes:
        light: (size, size) float32 before the lens.
        clean: (size, size) float32 grey levels behind it.
        part: what is seen.
        sight: where on it each pixel looks.
        line: that takes the picture.
    """

    light: Array
    clean: Array
    part: Part
    sight: Sight
    line: Line


@dataclass(frozen=True, eq=False)
class Found:
    """A part with a defect.

    Attributes:
        seen: (size, size) float32 grey levels without noise.
        mask: (size, size) uint8, 255 on the defect.
        name: of the defect.
        size_px: longest extent of the mask.
        cnr: its contrast-to-noise ratio.
    """

    seen: Array
    mask: Array
    name: str
    size_px: float
    cnr: float


def with_defect(scene: Scene, rng: np.random.Generator, defects: tuple[str, ...]) -> Found:
    """A defect of a drawn size and kind, tried at one place after another until it can be seen.

    After some places without success another kind is drawn, after many another size.

    Args:
        scene: the part as it should be.
        rng: draws all.
        defects: names of those there are; where none of them can be as small or as large as drawn,
            they are so nevertheless.
    """
    gain = camera.gain(scene.line, scene.clean.shape[0])
    disturbed = unrest(scene.clean)
    size, name = LEAST_PX, ""
    for attempt in count():
        if attempt % _PLACES**2 == 0:
            size = float(np.exp(rng.uniform(np.log(LEAST_PX), np.log(MOST_PX))))
        if attempt % _PLACES == 0:
            name = _kind(rng, defects, size)
        wanted = least_cnr(size) * (
            float(np.exp(rng.uniform(0.05, 0.9))) if name != _MOVED else 1.0
        )
        place = _place(rng, name, size, scene)
        if place is None:
            continue
        window, spot = place
        change = _fitted(spot, name, size, scene.line.blur_px, int(rng.integers(2**63)))
        if change is None:
            continue
        change = change * gain[window]
        mask, clean = _filled(change != 0.0), scene.clean[window]
        sigma = disturbed[window]
        stronger = max(1.0, wanted / _cnr(change, sigma, mask))
        seen = np.clip(clean + change * np.float32(stronger), 0.0, 255.0)
        reached = _cnr(seen - clean, sigma, mask)
        extent = longest_px(mask)
        if stronger > _MOST_GAIN or reached < least_cnr(extent):
            continue
        whole, marked = scene.clean.copy(), np.zeros(scene.clean.shape, np.uint8)
        whole[window] = seen
        marked[window][mask] = 255
        return Found(whole, marked, name, round(extent, 2), round(reached, 2))
    raise AssertionError  # pragma: no cover


def unrest(clean: Array) -> Array:
    """What a defect must stand out of, as a standard deviation at each pixel, in grey levels.

    The sensor's noise; a quarter of how far the part itself departs from its surroundings of two
    pixels, for on the edge of a print or of a streak less can be seen than on an even wall; and
    `_LEAST_LEVELS`, for in the dark the sensor tells shades apart that no eye does.

    Args:
        clean: (size, size) float32 grey levels of the part as it should be.
    """
    structure = camera.blurred(np.abs(clean - camera.blurred(clean, 2.0)), 2.0)
    noise = np.hypot(camera.noise_sigma(clean), np.float32(_LEAST_LEVELS))
    return np.hypot(noise, np.float32(0.25) * structure)


def least_cnr(size_px: float) -> float:
    """The least contrast-to-noise ratio of a defect of that size."""
    return 8.0 * (1.0 + LEAST_PX / size_px)


def longest_px(mask: Array) -> float:
    """Longest extent of what is not 0: between the middles of two pixels, and one more."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0
    hull = cv2.convexHull(np.stack([columns, rows], 1).astype(np.int32)).reshape(-1, 2)
    apart = ((hull[:, None] - hull[None]) ** 2).sum(-1)
    return float(np.sqrt(apart.max()) + 1.0)


def _kind(rng: np.random.Generator, defects: tuple[str, ...], size: float) -> str:
    ranges = {name: _RANGES.get(name, _USUAL) for name in defects}
    fitting = {name: often for name, (a, b, often) in ranges.items() if a <= size <= b}
    names = list(fitting or ranges)
    weights = np.array([fitting.get(name, 1.0) for name in names])
    return str(rng.choice(names, p=weights / weights.sum()))


def _place(
    rng: np.random.Generator, name: str, size: float, scene: Scene
) -> tuple[Window, Spot] | None:
    """A place on the part; None where such a defect cannot be at the one that was drawn."""
    part, sight, side = scene.part, scene.sight, scene.clean.shape[0]
    room = side / 2 - size / 2 - 8
    along = float(rng.uniform(-room, room)) / sight.scale
    height = float(rng.uniform(-_REACH, _REACH))
    outward = 1.0 if height > 0 else -1.0
    radius, slope = _outline(part, along)
    if name == "kink":
        height = outward
    reach = size / 2 / sight.scale
    on_metal = any(abs(along - at) < half + reach for at, half in part.bands)
    if on_metal and part.balloon is None and name not in _ALSO_ON_METAL:
        return None
    x, y = sight.pixel(along, height * radius)
    edge = size / 2 + 4
    if not (edge <= x <= side - edge and edge <= y <= side - edge):
        return None
    half = int(np.ceil(0.8 * size + 8))
    left, top = max(int(x) - half, 0), max(int(y) - half, 0)
    right, bottom = min(int(x) + half, side), min(int(y) + half, side)
    turn = sight.turn + np.arctan(2 * sight.bend * along)
    turn += np.arctan(slope) * (outward if name == "kink" else height)
    dx = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    window = slice(top, bottom), slice(left, right)
    spot = Spot(
        light=scene.light[window],
        along=dx * cos + dy * sin,
        across=dy * cos - dx * sin,
        seen=float(np.sqrt(1.0 - height * height)),
        lamp=-1.0,
        outward=outward,
    )
    return window, spot


def _outline(part: Part, along: float) -> tuple[float, float]:
    """Radius of the part at that place and how it grows along it."""
    if part.balloon is None:
        return part.radius, 0.0
    inward = part.balloon.side * (along - part.balloon.shoulder)
    if inward < -(part.balloon.cone + part.balloon.bond):
        return part.radius, 0.0
    radius, slope = walls.outline(part, part.balloon, np.array([inward], np.float32))
    return float(radius[0]), float(slope[0]) * part.balloon.side


def _fitted(spot: Spot, name: str, size: float, blur_px: float, state: int) -> Array | None:
    """What the defect changes behind the lens, drawn so that its mask is as long as it should be.

    None where it cannot be: a defect that is hardly seen there has no length.
    """
    length = size
    for _ in range(6):
        light = DEFECTS[name](spot, np.random.default_rng(state), length)
        change = _cut(camera.blurred(light - spot.light, blur_px), size)
        found = longest_px(_filled(change != 0.0))
        if abs(found - size) <= max(0.45, 0.05 * size) and LEAST_PX <= found <= MOST_PX:
            return change
        length = max(length + size - found, 0.5)
    return None


def _cut(change: Array, size: float) -> Array:
    """Nothing where it is small, all of it where it is twice that: no edge is left behind."""
    cut = _CUT + (_CUT_SMALLEST - _CUT) * (LEAST_PX / size) ** 2
    share = np.abs(change) / np.float32(cut * max(float(np.abs(change).max()), 1e-9))
    return np.asarray(change * np.clip(share - 1.0, 0.0, 1.0), np.float32)


def _filled(changed: Array) -> Array:
    """With what lies within, such as the clear middle of a bubble."""
    mask = changed.astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(mask, contours, -1, 1, cv2.FILLED) > 0)


def _cnr(change: Array, sigma: Array, mask: Array) -> float:
    """Mean of the changes over the half of the mask where they are strongest, in noise."""
    ratio = np.sort(np.abs(change[mask] / sigma[mask]))
    return float(ratio[len(ratio) // 2 :].mean())
