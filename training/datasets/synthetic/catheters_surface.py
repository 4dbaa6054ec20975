"""What lies on a simulated tube, unrolled: its grain from extrusion, and what is printed on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array
from training.datasets.synthetic.catheters_parts import Part, Print, Sight

_DIGITS = (  # five by seven dots each, row by row
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111",
    "11111 00010 00100 00010 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)
_ADVANCE = 0.9  # from one digit to the next, of their height
_MARGIN = 40.0  # of the unrolled surface beyond what a picture shows, for shift and tilt


@dataclass(frozen=True, eq=False)
class Surface:
    """What each pixel sees on the near and the far side of the wall.

    Attributes:
        grain: (height, width) float32 around 0: lines of the die and haze, near side.
        deep: the same, of the far side.
        ink: (height, width) float32, 0 to 1: share of the light that ink takes on the near side.
        shines_through: the same, of the far side.
    """

    grain: Array
    deep: Array
    ink: Array
    shines_through: Array


def seen(part: Part, sight: Sight, around: Array, view: int) -> Surface:
    """The surface of a tube as it is seen.

    Args:
        part: whose surface.
        sight: where each pixel looks.
        around: (height, width) float32 radians around the tube, 0 towards the camera.
        view: number of the picture of this part; each shows the next stretch of its surface.
    """
    long = sight.along.shape[1] / sight.scale + 2 * _MARGIN
    near_along = sight.along + np.float32(sight.tilt * part.radius) * np.cos(around)
    far_along = sight.along - np.float32(sight.tilt * part.radius) * np.cos(around)
    grain = _grain(np.random.default_rng([part.grain, view]), long)
    columns, rows = grain.shape[1] / long, grain.shape[0] / np.pi
    y = (around + np.float32(np.pi / 2)) * np.float32(rows)
    half = np.float32(long / 2)
    near = _looked_up(grain, (near_along + half) * np.float32(columns), y)
    deep = _looked_up(grain[::-1], (half - far_along) * np.float32(columns), y)
    nothing = np.zeros_like(around)
    if part.print_ is None:
        return Surface(near, deep, nothing, nothing)
    is_far = abs(part.print_.angle) > np.pi / 2
    fine = 1.5 * sight.scale
    ink = _printed(part, part.print_, long, view * (long - 2 * _MARGIN), fine)
    if is_far:
        ink = cv2.GaussianBlur(ink, (0, 0), 2.2 * fine)[::-1]
    y = (around + np.float32(np.pi / 2)) * np.float32(part.radius * fine)
    along = far_along if is_far else near_along
    inked = _looked_up(ink, (along + half) * np.float32(fine), y)
    inked *= 1.0 + 0.35 * np.clip(near * 12.0, -1.0, 0.3)  # ink is thinner on a rough surface
    return Surface(near, deep, *((nothing, 0.45 * inked) if is_far else (inked, nothing)))


def _grain(rng: np.random.Generator, long: float) -> Array:
    """(rows around half of the tube, columns along it): lines of the die, and haze."""
    lines: Array = rng.standard_normal((160, 5), dtype=np.float32)
    lines = cv2.resize(lines, (int(long / 4), 160), interpolation=cv2.INTER_CUBIC)
    haze: Array = rng.standard_normal((10, int(long / 16)), dtype=np.float32)
    haze = cv2.resize(haze, (int(long / 4), 160), interpolation=cv2.INTER_CUBIC)
    fine = rng.standard_normal(lines.shape, dtype=np.float32)
    found: Array = np.float32(0.010) * lines + np.float32(0.022) * haze + np.float32(0.008) * fine
    return found


def _printed(part: Part, mark: Print, long: float, start: float, fine: float) -> Array:
    """(rows around half of the tube, columns along it), `fine` pixels for a length of 1."""
    radius = part.radius
    shape = int(np.pi * radius * fine), int(long * fine)
    ink = np.zeros(shape, np.float32)
    middle = shape[0] / 2 + (mark.angle - np.pi * round(mark.angle / np.pi)) * radius * fine
    origin = long / 2 - start
    first = int(np.floor((start - long / 2 - mark.start) / mark.every))
    for k in range(first, first + int(long / mark.every) + 3):
        at = (mark.start + k * mark.every + origin) * fine
        wide, high = mark.tick[0] * fine / 2, mark.tick[1] * fine / 2
        text = 5 + 2 * _ADVANCE * mark.digit if mark.digit and k % 2 == 0 else 0.0
        if _meets_band(part, at / fine - long / 2, mark.tick[0] + text):
            continue
        _fill(ink, at - wide, at + wide, middle - high, middle + high)
        if text:
            _write(
                ink, at + wide + 5 * fine, middle, (mark.number + k // 2) % 100, mark.digit * fine
            )
    soft: Array = cv2.GaussianBlur(ink, (0, 0), 0.7 * fine) * np.float32(mark.density)
    return soft


def _meets_band(part: Part, at: float, long: float) -> bool:
    """Nobody prints where a band will be: whether that much ink would lie below one."""
    return any(
        at - 8.0 < middle + half and at + long + 4.0 > middle - half for middle, half in part.bands
    )


def _fill(ink: Array, left: float, right: float, top: float, bottom: float) -> None:
    x0, x1 = max(round(left), 0), max(round(right), 0)
    y0, y1 = max(round(top), 0), max(round(bottom), 0)
    ink[y0:y1, x0:x1] = 1.0


def _write(ink: Array, left: float, middle: float, number: int, high: float) -> None:
    """A number of one or two digits, its dots grown together as an inkjet's do."""
    dot = high / 7
    for digit in str(number):
        rows = _DIGITS[int(digit)].split()
        dots = np.array([[float(one) for one in row] for row in rows], np.float32)
        size = round(5 * dot), round(7 * dot)
        glyph = cv2.resize(np.pad(dots, 1), (round(7 * dot), round(9 * dot)))
        glyph = np.clip((glyph - 0.25) * 3.0, 0.0, 1.0)
        x, y = round(left - dot), round(middle - size[1] / 2 - dot)
        place = ink[max(y, 0) : y + glyph.shape[0], max(x, 0) : max(x + glyph.shape[1], 0)]
        cut = glyph[max(-y, 0) :, max(-x, 0) :][: place.shape[0], : place.shape[1]]
        np.maximum(place, cut, out=place)
        left += _ADVANCE * high


def _looked_up(texture: Array, x: Array, y: Array) -> Array:
    found = cv2.remap(
        np.ascontiguousarray(texture), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(found, np.float32)
