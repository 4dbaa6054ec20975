"""Nine defects of catheters, each drawn into the light of a small patch around it.

Every function takes a `Spot`, a generator and `length_px`, the longest extent to aim at, and gives
the patch's light with the defect in it. Called again with a generator in the same state and another
length it draws the same defect larger or smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from contract.spec import Array


@dataclass(frozen=True, eq=False)
class Spot:
    """A place on a part.

    Attributes:
        light: (h, w) float32, as it would be without a defect.
        along, across: (h, w) float32 pixels from the defect's middle, along the part and across.
        seen: cosine between surface and camera: what lies on it is seen that much narrower.
        lamp: -1 where the lamp stands above, +1 below.
        outward: -1 where the nearer contour is above, +1 below.
    """

    light: Array
    along: Array
    across: Array
    seen: float
    lamp: float
    outward: float


Defect = Callable[[Spot, np.random.Generator, float], Array]


def bubble(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """Air in the wall: drawn out along it, dark where light is totally reflected, a lens within."""
    slim = float(rng.uniform(0.55, 1.0)) * (0.5 + 0.5 * spot.seen)
    depth, shine = float(rng.uniform(0.45, 0.75)), float(rng.uniform(0.35, 0.6))
    a, c = spot.along / np.float32(length_px / 2), spot.across / np.float32(length_px / 2 * slim)
    r = np.hypot(a, c)
    inside = _step(1.0 - r, length_px / 2)
    # a weak diverging lens: what lies behind is seen smaller
    lensed = _moved(spot, a * r * r * (0.25 * length_px), c * r * r * (0.25 * length_px * slim))
    ring = np.exp(-(((r - 0.86) / 0.16) ** 2))
    core = np.exp(-((r / 0.45) ** 2))
    found = lensed * (1.0 - depth * ring + 0.16 * core)
    at = -0.5 * spot.lamp
    glint = np.exp(-(((a + 0.2) / 0.16) ** 2) - ((c + at) / 0.16) ** 2)
    crescent = np.exp(-(((r - 0.66) / 0.1) ** 2)) * np.clip(c * -spot.lamp, 0.0, 1.0)
    found = found + shine * glint + 0.2 * crescent
    return spot.light + inside * (found - spot.light)


def scratch(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """A line torn into the surface: one flank mirrors the lamp, one is dark; with a burr."""
    angle, curve = rng.uniform(-np.pi / 2, np.pi / 2), rng.normal(0.0, 0.06)
    wide = float(rng.uniform(0.55, 0.95)) * min(1.0, 0.6 + length_px / 50)
    bright, dark = float(rng.uniform(0.14, 0.30)), float(rng.uniform(0.10, 0.22))
    phases = rng.uniform(0, 2 * np.pi, 2)
    burrs = rng.uniform(-0.45, 0.45, 3)
    u, v = _turned(spot, angle)
    s = u / np.float32(length_px)
    v = v - np.float32(curve * length_px) * (4.0 * s * s - 1.0)
    taper = np.clip((0.5 - np.abs(s)) * min(length_px, 12.0) / 2.0, 0.0, 1.0)
    uneven = 0.75 + 0.15 * np.sin(23.0 * s + phases[0]) + 0.1 * np.sin(51.0 * s + phases[1])
    flank = np.exp(-(((v - 0.35) / wide) ** 2))
    shadow = np.exp(-(((v + 0.75) / (1.2 * wide)) ** 2))
    found = bright * flank - dark * shadow * spot.light / 0.4
    if length_px > 8.0:
        for at in burrs:
            found = found + 0.7 * bright * np.exp(
                -((u - at * length_px) ** 2 + (v - 1.3 * wide) ** 2) / 1.1
            )
    return np.asarray(spot.light + taper * uneven * found, np.float32)


def fibre(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """A thread lying over the part: dark against the light, a bright line along it, its shadow."""
    turns = rng.normal(0.0, 1.0, 2) * np.array([1.1, 0.5])
    angle, wide = rng.uniform(-np.pi, np.pi), float(rng.uniform(0.7, 1.15))
    is_bright = rng.random() < 0.25
    s = np.linspace(-0.5, 0.5, 33)
    heading = angle + turns[0] * 2 * s + turns[1] * np.sin(2 * np.pi * s)
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0)
    points -= (points.max(0) + points.min(0)) / 2
    points *= length_px / max(_extent(points), 1e-6)
    d = _distance(spot, points)
    thread = np.exp(-((d / wide) ** 4))
    core = np.exp(-((d / (0.45 * wide)) ** 2))
    shadow = np.exp(-((_distance(spot, points + np.array([0.8, -1.6 * spot.lamp])) / 1.7) ** 2))
    found = spot.light * (1.0 - (0.16 * shadow if length_px > 8.0 else 0.0))
    body = 0.62 + 0.12 * core if is_bright else 0.10 + 0.09 * core
    return np.asarray(found + 0.85 * thread * (body - found), np.float32)


def gel(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """A lump of unmolten polymer: smooth and clear, a lens, brighter towards the lamp."""
    slim, power = float(rng.uniform(0.5, 0.9)), float(rng.uniform(0.5, 0.9))
    milky, shine = float(rng.uniform(-0.03, 0.06)), float(rng.uniform(0.10, 0.22))
    a = spot.along / np.float32(length_px / 2)
    c = spot.across / np.float32(length_px / 2 * slim)
    h = np.clip(1.0 - a * a - c * c, 0.0, 1.0)
    found = _moved(spot, -a * h * power * length_px / 3, -c * h * power * length_px / 3 * slim)
    slope = 2.0 * c * np.sqrt(h) * spot.lamp
    found = found * (1.0 + 0.24 * slope) + milky * np.sqrt(h)
    glint = np.exp(-(((a + 0.15) / 0.3) ** 2) - ((c - 0.38 * spot.lamp) / 0.13) ** 2)
    edge = np.exp(-(((a * a + c * c - 0.75) / 0.2) ** 2))
    found = found + shine * glint - 0.13 * edge * spot.light
    return np.asarray(spot.light + np.minimum(2.5 * h, 1.0) * (found - spot.light), np.float32)


def dent(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """The surface pressed in: the flank away from the lamp bright, the other dark, streaks bent."""
    slim, deep = (
        float(rng.uniform(0.5, 0.9)) * (0.6 + 0.4 * spot.seen),
        float(rng.uniform(0.7, 1.3)),
    )
    turn = rng.normal(0.0, 0.35)
    u, v = _turned(spot, turn)
    a, c = u / np.float32(length_px / 2), v / np.float32(length_px / 2 * slim)
    h = np.clip(1.0 - a * a - c * c, 0.0, 1.0)
    slope = c * h**1.3 * np.float32(spot.lamp * deep)  # of (1 - r^2)^2, towards the lamp
    found = _moved(spot, 0 * h, h * h * np.float32(-spot.lamp * 0.11 * deep * length_px))
    found = found * (1.0 - 0.95 * slope) - 0.10 * slope
    return np.asarray(spot.light + np.minimum(8.0 * h, 1.0) * (found - spot.light), np.float32)


def kink(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """The wall buckled inwards at the contour, with a bright crease where it folded."""
    deep, lean = float(rng.uniform(0.13, 0.2)), float(rng.normal(0.0, 0.3))
    bright = float(rng.uniform(0.25, 0.42))
    a = spot.along / np.float32(length_px / 2)
    d = -spot.outward * spot.across / np.float32(length_px / 2)  # depth below the contour
    bay = np.clip(1.0 - a * a, 0.0, 1.0) ** 2
    h = bay * np.clip(1.0 - d * d, 0.0, 1.0)
    found = _moved(spot, 0 * h, h * np.float32(spot.outward * deep * length_px))
    inside = _step(d - 2.0 * deep * bay, length_px / 2)
    line = (a - lean * d) * np.float32(length_px / 2)
    fades = np.clip((1.0 - d) * 1.6, 0.0, 1.0) * np.minimum(4.0 * bay, 1.0)
    crease = np.exp(-((line / 0.9) ** 2)) - 0.5 * np.exp(-(((line - 2.2) / 1.5) ** 2))
    shade = 1.0 - 0.30 * np.sin(np.pi * np.clip(1.5 * a, -1.0, 1.0)) * h
    folded = found * shade + bright * crease * fades
    return np.asarray(found + inside * (folded - found), np.float32)


def pinhole(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """A hole through the wall: no light comes back from it, its molten rim mirrors the lamp."""
    slim, bright = float(rng.uniform(0.8, 1.0)), float(rng.uniform(0.16, 0.28))
    dark = float(rng.uniform(0.6, 0.85))
    radius = length_px / 2
    r = np.hypot(spot.along, spot.across / np.float32(slim))
    hole = _step(1.0 - r / np.float32(0.62 * radius), 0.62 * radius)
    rim = np.exp(-(((r - 0.78 * radius) / max(0.2 * radius, 0.5)) ** 2))
    lit = 0.7 + 0.3 * np.clip(spot.across * spot.lamp / np.float32(radius), -1.0, 1.0)
    return np.asarray(
        spot.light * (1.0 - dark * hole) + bright * rim * lit * (1 - hole), np.float32
    )


def delamination(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """Layers that came apart: air between them scatters, milky and mottled, with a sharp edge."""
    waves = rng.normal(0.0, 1.0, (2, 6)) / np.arange(2, 8) ** 0.8
    slim, dense = float(rng.uniform(0.45, 0.85)), float(rng.uniform(0.35, 0.6))
    milk = float(rng.uniform(0.78, 0.9))
    mottle = _cloud(rng, spot.light.shape, 2.2)
    u, v = _turned(spot, float(rng.normal(0.0, 0.4)))
    u, v = u / np.float32(length_px / 2), v / np.float32(length_px / 2 * slim)
    angle = np.arctan2(v, u)
    reach = np.full_like(u, 0.78)
    for k, (cos, sin) in enumerate(waves.T, start=2):
        reach += np.float32(0.10 * cos) * np.cos(k * angle) + np.float32(0.10 * sin) * np.sin(
            k * angle
        )
    gap = (np.clip(reach, 0.3, 1.0) - np.hypot(u, v)) * np.float32(length_px / 2 * slim)
    inside = _step(gap, 1.0)
    edge = np.exp(-(((gap - 0.9) / 0.9) ** 2))
    found = spot.light + (milk - spot.light) * (dense * (1.0 + 0.3 * mottle)) + 0.04 * edge
    found = found - 0.07 * np.exp(-(((gap + 0.8) / 0.8) ** 2)) * spot.light
    outer = _step(gap + 2.2, 1.0)
    return np.asarray(
        spot.light
        + outer * ((1 - inside) * (spot.light * (1 - 0.1 * edge)) + inside * found - spot.light),
        np.float32,
    )


def contamination(spot: Spot, rng: np.random.Generator, length_px: float) -> Array:
    """Grains of dirt, dark and of many sizes, with a speck of light on the larger ones."""
    count = int(rng.integers(4, 8) + min(length_px, 60.0) * rng.uniform(0.25, 0.6))
    angle, away = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, 1, count) ** 0.7
    away[:2], angle[1] = 1.0, angle[0] + np.pi  # so that they reach as far as they should
    sizes = np.exp(rng.normal(0.0, 0.45, count))
    slim, turn = float(rng.uniform(0.45, 0.95)), float(rng.uniform(-1.2, 1.2))
    u, v = _turned(spot, turn)
    radii = np.clip(sizes * (0.55 + length_px / 40), 0.5, 0.16 * length_px + 0.4)
    reach = np.maximum(length_px / 2 - radii, 0.1)
    at_u, at_v = away * reach * np.cos(angle), away * reach * np.sin(angle) * slim
    if length_px > 5.0:
        at_u[:2], at_v[:2] = reach[:2] * (1.0, -1.0), at_v[:2] * 0.2
    cover, glint = np.zeros_like(u), np.zeros_like(u)
    rough = _cloud(rng, u.shape, 1.0)
    for x, y, radius in zip(at_u, at_v, radii, strict=True):
        r = np.hypot(u - np.float32(x), v - np.float32(y)) / np.float32(radius)
        cover = np.maximum(cover, _step(1.0 + 0.16 * rough - r, radius))
        if radius > 1.6:
            glint += np.exp(
                -((u - x + 0.3 * radius) ** 2 + (v - y - 0.3 * radius * spot.lamp) ** 2)
            )
    dirt = 0.10 + 0.03 * rough + 0.12 * np.minimum(glint, 1.0)
    return np.asarray(spot.light + 0.85 * cover * (dirt - spot.light), np.float32)


DEFECTS: Mapping[str, Defect] = {
    "bubble": bubble,
    "scratch": scratch,
    "fibre": fibre,
    "gel": gel,
    "dent": dent,
    "kink": kink,
    "pinhole": pinhole,
    "delamination": delamination,
    "contamination": contamination,
}


def _turned(spot: Spot, angle: float) -> tuple[Array, Array]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return spot.along * cos + spot.across * sin, spot.across * cos - spot.along * sin


def _step(inside: Array, unit_px: float) -> Array:
    """1 inside of an edge and 0 outside, over one pixel."""
    return np.clip(inside * np.float32(unit_px) + np.float32(0.5), 0.0, 1.0)


def _moved(spot: Spot, along: Array, across: Array) -> Array:
    """The light that lies so far away from each pixel, along the part and across, in pixels."""
    # how a pixel to the right changes (along, across): the patch is turned as the part is
    cos = spot.along[0, 1] - spot.along[0, 0]
    sin = -(spot.across[0, 1] - spot.across[0, 0])
    height, width = spot.light.shape
    x = np.arange(width, dtype=np.float32) + along * cos - across * sin
    y = np.arange(height, dtype=np.float32)[:, None] + along * sin + across * cos
    found = cv2.remap(
        np.ascontiguousarray(spot.light),
        x.astype(np.float32),
        y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(found, np.float32)


def _cloud(rng: np.random.Generator, shape: tuple[int, ...], fine_px: float) -> Array:
    """Smooth noise of mean 0 and deviation near 1."""
    found = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), fine_px)
    return np.asarray(found * np.float32(2.0 * np.sqrt(np.pi) * fine_px), np.float32)


def _extent(points: Array) -> float:
    return float(np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1)).max())


def _distance(spot: Spot, points: Array) -> Array:
    """Pixels to the nearest of the stretches between the points."""
    least = np.full_like(spot.along, np.inf)
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = np.float32(x1 - x0), np.float32(y1 - y0)
        px, py = spot.along - np.float32(x0), spot.across - np.float32(y0)
        s = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + np.float32(1e-9)), 0.0, 1.0)
        least = np.minimum(least, (px - s * dx) ** 2 + (py - s * dy) ** 2)
    return np.sqrt(least)
