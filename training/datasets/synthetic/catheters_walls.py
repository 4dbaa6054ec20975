"""How light passes a simulated tube, marker band or balloon, and how it is thrown back.

Light is linear, 1.0 is white of the sensor. What depends only on the height `t` at which a line of
sight meets the tube (-1 to 1 of its radius) is worked out once for fine steps of it and looked up.
The wall is a hollow cylinder of refractive index 1.5 around air (nylon, PEBA: 1.50 to 1.53): at
heights below its inner radius light passes both walls; above, it is totally reflected within the
wall and comes from aside: the dark edges. At each surface Fresnel's share is lost (Schlick, 1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array
from training.datasets.synthetic import catheters_surface
from training.datasets.synthetic.catheters_parts import Balloon, Part, Sight

_STEPS = 4096
_T = np.linspace(-1.0, 1.0, _STEPS, dtype=np.float64)
_COS = np.sqrt(np.maximum(1.0 - _T * _T, 0.0))
_PHI = np.arcsin(_T)
_FRESNEL = 0.04 + 0.96 * (1.0 - _COS) ** 5


@dataclass(frozen=True)
class Lamps:
    """Line lights along the part.

    Attributes:
        key, fill: radians around the part at which each is mirrored; negative is above.
        balance: strength of the second beside the first.
    """

    key: float
    fill: float
    balance: float


def tube(light: Array, sight: Sight, part: Part, lamps: Lamps, view: int) -> Array:
    """A tube before a background.

    Args:
        light: (height, width) float32 of what lies behind.
        sight: where each pixel looks.
        part: what is seen.
        lamps: that light it.
        view: number of the picture of this part.
    """
    swell = _swell(part, sight)
    radius = np.float32(part.radius) * (1.0 + swell)
    t = sight.across / radius
    inside = _soft(radius - np.abs(sight.across), sight.scale)
    through, back, streak = _wall(part, lamps)
    at = _index(t)
    around = np.take(_PHI.astype(np.float32), at)
    surface = catheters_surface.seen(part, sight, around, view)
    behind = _refracted(light, sight, t, part.radius)
    has_weld = swell > 0.0 if part.weld else None
    rough = 1.0 + 6.0 * surface.grain
    passed = behind * np.take(through, at) * (1.0 + surface.grain + 0.6 * surface.deep)
    passed *= 1.0 - surface.shines_through
    body = passed + np.take(back, at) * (1.0 + 1.5 * surface.grain)
    if has_weld is not None:
        body += _welded(part, sight, surface.grain)
    found = body * (1.0 - surface.ink)
    found += np.take(streak, at) * np.maximum(rough, 0.2) * (1.0 - 0.55 * surface.ink)
    found = light + inside * (found - light)
    for middle, half in part.bands:
        found = _band(found, sight, part, lamps, middle, half)
    return found.astype(np.float32)


def balloon(light: Array, sight: Sight, part: Part, shape: Balloon, lamps: Lamps) -> Array:
    """A balloon before its shaft, which `light` shows already.

    Args:
        light: (height, width) float32 of the shaft and what lies behind.
        sight: where each pixel looks.
        part: the shaft.
        shape: of the balloon.
        lamps: that light it.
    """
    inward = shape.side * (sight.along - np.float32(shape.shoulder))  # 0 at the shoulder
    radius, slope = outline(part, shape, inward)
    t = sight.across / radius
    inside = _soft(radius - np.abs(sight.across), sight.scale)
    end = np.float32(shape.cone + shape.bond)
    inside *= _soft(inward + end, sight.scale)
    at = _index(t)
    through, back, streak = _membrane(part, shape, lamps)
    around = np.take(_PHI.astype(np.float32), at)
    creases = _creases(shape, around, inward)
    tight = np.exp(-((slope * 1.5) ** 2))  # a cone mirrors the lamps past the camera
    grain = catheters_surface.seen(part, sight, around, 0).grain
    found = light * np.take(through, at) * (1.0 + np.minimum(creases, 0.0) + 0.4 * grain)
    found += np.take(back, at) * (1.0 + grain) * (1.0 + 0.5 * (1.0 - tight))
    found += np.take(streak, at) * tight * np.clip(1.0 + 4.0 * creases + 4.0 * grain, 0.1, 2.0)
    found += 1.1 * np.maximum(creases, 0.0) * np.take(_COS.astype(np.float32), at)
    bonded = _soft(-inward - np.float32(shape.cone), sight.scale / 8)
    found += bonded * (0.035 + 1.2 * grain)
    edge = np.exp(-(((inward + end - 1.5) / 1.8) ** 2))
    found += edge * (0.11 * np.take(_COS.astype(np.float32), at) - 0.04)
    return np.asarray(light + inside * (found - light), np.float32)


def outline(part: Part, shape: Balloon, inward: Array) -> tuple[Array, Array]:
    """Radius of a balloon and its slope.

    Args:
        part: its shaft.
        shape: of the balloon.
        inward: float32 lengths from the shoulder towards the body.
    """
    neck = np.float32(part.radius * shape.neck)
    s = np.clip(1.0 + inward / np.float32(shape.cone), 0.0, 1.0)
    # straight, rounded at both ends: the slope rises and falls over this share of the cone
    q = np.float32(0.35)
    slope = np.minimum(np.minimum(s, 1.0 - s) / q, 1.0) / (1.0 - q)
    end = np.maximum(s - (1.0 - q), 0.0)
    rise = (np.where(s < q, s * s / (2.0 * q), s - q / 2.0) - end * end / (2.0 * q)) / (1.0 - q)
    slope = slope / np.float32(shape.cone)
    wide = np.float32(shape.radius) - neck
    # the end is molten down onto the shaft
    end = np.clip(-inward - np.float32(shape.cone + 0.35 * shape.bond), 0.0, None)
    molten = np.minimum((end / np.float32(0.65 * shape.bond)) ** 2, 1.0)
    neck_there = neck - (neck - np.float32(part.radius + 0.5)) * molten
    return (neck_there + wide * rise).astype(np.float32), (wide * slope).astype(np.float32)


def _wall(part: Part, lamps: Lamps) -> tuple[Array, Array, Array]:
    """Of a tube, by `t`: what passes, what the wall throws back, what its surfaces mirror."""
    hole = 1.0 - part.wall
    chord = 2.0 * (_COS - np.sqrt(np.maximum(hole * hole - _T * _T, 0.0)))
    passes = (1.0 - part.absorbs) ** chord * (1.0 - _FRESNEL) ** 2
    beyond = 1.0 / (1.0 + np.exp(-(np.abs(_T) - hole) / 0.012))
    from_aside = 0.30 + 0.30 * np.exp(-(((np.abs(_T) - hole - 0.62 * part.wall) / 0.035) ** 2))
    passes *= 1.0 - beyond * (1.0 - from_aside)
    inner = np.exp(-(((np.abs(_T) - hole + 0.02) / 0.018) ** 2))
    passes *= 1.0 - 0.22 * inner
    lit = np.maximum(np.cos(_PHI - lamps.key), 0.0)
    lit += lamps.balance * np.maximum(np.cos(_PHI - lamps.fill), 0.0)
    back: Array = part.milk * (0.25 + 0.75 * lit) * (0.75 + 0.5 * (1.0 - np.exp(-1.5 * chord)))
    streak = np.zeros_like(_T)
    for angle, strength in ((lamps.key, 1.0), (lamps.fill, lamps.balance)):
        streak = streak + part.gloss * strength * _mirrored(_PHI - angle, part.polish)
        # the inner surface mirrors the same lamp, weaker; the far wall, hollow, on the other side
        for t, share in ((hole * np.sin(angle) * 0.96, 0.20), (-hole * np.sin(angle) * 0.8, 0.13)):
            streak += part.gloss * strength * share * np.exp(-(((_T - t) / 0.03) ** 2))
    rim = 0.10 * np.exp(-(((np.abs(_T) - 0.985) / 0.012) ** 2))
    return _f32(passes), _f32(back + rim), _f32(streak)


def _membrane(part: Part, shape: Balloon, lamps: Lamps) -> tuple[Array, Array, Array]:
    """The same of a balloon."""
    hole = 1.0 - shape.wall
    chord = 2.0 * (_COS - np.sqrt(np.maximum(hole * hole - _T * _T, 0.0)))
    passes = (1.0 - part.absorbs) ** chord * (1.0 - _FRESNEL) ** 2
    beyond = 1.0 / (1.0 + np.exp(-(np.abs(_T) - hole) / 0.006))
    passes *= 1.0 - 0.55 * beyond
    lit = np.maximum(np.cos(_PHI - lamps.key), 0.0)
    back = 0.35 * part.milk * (0.3 + 0.7 * lit) * (0.5 + np.minimum(chord / shape.wall / 6, 1.5))
    streak = np.zeros_like(_T)
    for angle, strength in ((lamps.key, 1.0), (lamps.fill, lamps.balance)):
        streak += part.gloss * strength * _mirrored(_PHI - angle, 0.6 * part.polish)
        far = -hole * np.sin(angle)
        streak += 0.3 * part.gloss * strength * np.exp(-(((_T - far) / 0.022) ** 2))
    rim = 0.14 * np.exp(-(((np.abs(_T) - 0.99) / 0.008) ** 2))
    return _f32(passes), _f32(back + rim), _f32(streak)


def _band(
    light: Array, sight: Sight, part: Part, lamps: Lamps, middle: float, half: float
) -> Array:
    """A ring of platinum-iridium swaged over the tube, with bevelled ends."""
    radius = np.float32(part.radius * 1.012 + 0.8)
    at = _index(sight.across / radius)
    along = sight.along + np.float32(sight.tilt * radius) * np.take(_f32(_COS), at)
    along = along - np.float32(middle)
    from_end = np.float32(half) - np.abs(along)
    inside = _soft(
        radius - np.abs(sight.across) - 1.2 * np.exp(-np.maximum(from_end, 0.0) / 1.5), sight.scale
    )
    inside *= _soft(from_end, sight.scale)
    metal = 0.085 + 0.08 * np.maximum(np.cos(_PHI - lamps.key), 0.0)
    for angle, strength in ((lamps.key, 1.0), (lamps.fill, lamps.balance)):
        metal += strength * (0.62 * _mirrored(_PHI - angle, 0.09))
        metal += strength * (0.20 * _mirrored(_PHI - angle, 0.30))
    metal = metal * (1.0 - 0.6 * np.abs(_T) ** 8)
    brushed = np.random.default_rng([part.grain, 7]).standard_normal(512, dtype=np.float32)
    lines = np.take(brushed, ((along + 64.0) * 3.0).astype(np.int32) % 512)
    found = np.take(_f32(metal), at) * (1.0 + 0.06 * lines)
    to_left = np.exp(-(((along + half - 2.0) / 1.3) ** 2))
    to_right = np.exp(-(((along - half + 2.0) / 1.3) ** 2))
    gleam = np.take(_f32(0.25 + 0.75 * _mirrored(_PHI - lamps.key, 0.5)), at)
    found += gleam * (0.34 * to_left + 0.16 * to_right) - 0.03 * to_right
    shade = 1.0 - 0.28 * np.exp(np.minimum(from_end, 0.0) / 3.0)
    beside = light * np.where(np.abs(sight.across) < radius, shade, 1.0)
    return np.asarray(beside + inside * (found - beside), np.float32)


def _swell(part: Part, sight: Sight) -> Array:
    """How much wider the tube is where it is welded, as a share of its radius."""
    if part.weld is None:
        return np.zeros((1, 1), np.float32)
    middle, half, bulge = part.weld
    s = np.clip(1.0 - ((sight.along - np.float32(middle)) / np.float32(half)) ** 2, 0.0, 1.0)
    return np.asarray(np.float32(bulge) * s * s, np.float32)


def _welded(part: Part, sight: Sight, grain: Array) -> Array:
    """Flow marks around a weld: melted, milky, its middle a fine line."""
    assert part.weld is not None
    middle, half, _ = part.weld
    x = (sight.along - np.float32(middle)) / np.float32(half)
    zone = np.clip(1.0 - x * x, 0.0, 1.0)
    ring = np.exp(-((np.abs(x) - 0.92) ** 2) / 0.004)
    seam = np.exp(-(((x * np.float32(half)) / 1.4) ** 2))
    return np.asarray(zone * (0.05 + 1.2 * grain) + 0.035 * ring - 0.05 * seam, np.float32)


def _creases(shape: Balloon, around: Array, inward: Array) -> Array:
    """Pleats pressed while it was folded: fine on the body, deep on the cone."""
    deep = 0.05 + 0.16 * np.exp(-((inward / np.float32(0.55 * shape.cone)) ** 2))
    found = np.zeros_like(around)
    for fold in shape.folds:
        d = (around - np.float32(fold)) / np.float32(0.045)
        found += np.exp(-d * d) - 0.7 * np.exp(-((d - 2.0) ** 2))
    return np.asarray(found * deep * np.float32(shape.crease), np.float32)


def _refracted(light: Array, sight: Sight, t: Array, radius: float) -> Array:
    """The background through the tube: walls of a hollow tube draw it towards the edges."""
    shift = np.float32(0.30 * radius * sight.scale) * np.clip(t, -1.0, 1.0) ** 3
    height, width = light.shape
    x = np.arange(width, dtype=np.float32) + shift * np.float32(np.sin(sight.turn))
    y = np.arange(height, dtype=np.float32)[:, None] - shift * np.float32(np.cos(sight.turn))
    found = cv2.remap(light, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(found, np.float32)


def _mirrored(angle: Array, width: float) -> Array:
    return np.asarray(np.exp(-((angle / width) ** 2)))


def _soft(inside: Array, scale: float) -> Array:
    """1 inside of an edge and 0 outside, over one pixel; `inside` is a length."""
    return np.clip(inside * np.float32(scale) + np.float32(0.5), 0.0, 1.0)


def _index(t: Array) -> Array:
    at = (np.clip(t, -1.0, 1.0) + np.float32(1.0)) * np.float32((_STEPS - 1) / 2)
    return at.astype(np.int32)


def _f32(x: Array) -> Array:
    return x.astype(np.float32)
