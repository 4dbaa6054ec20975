"""Sizes of a tube's cross-section from its edges, and whether its picture lets them be believed.

Names end in their unit: `_px`, and `_um` where the picture's scale is known; ratios have none.

`outer_diameter`: mean over all directions of the two-point diameter through the centre;
`outer_least`, `outer_largest`: of these diameters. `ovality`: (largest - least) / mean; the
numerator is the out-of-roundness of ISO 11922-1.
`wall_least`: shortest way from any lumen to the outside. `wall_mean`: mean of the wall as seen from
the centre, in all directions in which a lumen lies. `wall_ratio`: least / mean, 1 where it is even.
`septum_least`: shortest way from one lumen to another.
`offset`: from the centre of the outer edge to the centroid of all lumens together: eccentricity.
`concentricity`: 1 - 2 offset / outer diameter, 1 where both centres are one.
`lumen_N_diameter`: of the circle of the same area, 1 is the largest; `lumen_N_longest`,
`lumen_N_shortest`: between parallel tangents. `lumens`: how many.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from contract.ops.section import Looks, Section, area
from contract.spec import Array

PX, UM = "_px", "_um"
LUMENS = "lumens"
_DIRECTIONS = 360
_WAVES = 16  # around the outer edge: what is finer is roughness
_EVERY = 2  # points of an outline, for a first look
_NEAR, _DENSE = 6, 0.25  # points to each side of what was found then, and the step between them

# What was measured on pictures of real sections, and with exposure and blur added (docs).
EDGE_SHARE = 0.0145  # of the diameter, between:
LEAST_EDGE_PX, MOST_EDGE_PX = 2.7, 6.4
LEAST_SHOULDER = 0.42
LEAST_SHOULDER_PX, FULL_SHOULDER = 1.95, 0.48


def sizes(section: Section) -> dict[str, float]:
    """All sizes in pixels, and ratios, by name; those of lumens only where there are any."""
    centre = centroid(section.outer)
    angles = np.arange(_DIRECTIONS) * (2.0 * np.pi / _DIRECTIONS)
    radii = _outer_radii(section.outer - centre, angles)
    diameters = (radii + np.roll(radii, _DIRECTIONS // 2))[: _DIRECTIONS // 2]
    mean, least, largest = diameters.mean(), diameters.min(), diameters.max()
    found = {
        LUMENS: float(len(section.lumens)),
        "outer_diameter_px": float(mean),
        "outer_least_px": float(least),
        "outer_largest_px": float(largest),
        "ovality": float((largest - least) / mean),
    }
    if section.lumens:
        found |= _walls(section, centre, angles, radii) | _lumens(section, centre, float(mean))
    return found


def in_um(measured: Mapping[str, float], *, um_per_px: float) -> dict[str, float]:
    """The same, and every length in micrometres too."""
    lengths = {
        name.removesuffix(PX) + UM: value * um_per_px
        for name, value in measured.items()
        if name.endswith(PX)
    }
    return {**measured, **lengths}


def doubt(seen: Looks, *, diameter_px: float) -> str:
    """Why sizes of a picture that looks so must not be believed, in plain words; empty: they may.

    Args:
        seen: of the picture.
        diameter_px: of the section.
    """
    widest = float(np.clip(EDGE_SHARE * diameter_px, LEAST_EDGE_PX, MOST_EDGE_PX))
    if seen.edge_px > widest:
        return (
            f"out of focus: its sharpest edges are {seen.edge_px:.1f} px wide, at most "
            f"{widest:.1f} px in a section of {diameter_px:.0f} px; fix: focus"
        )
    is_cut_short = seen.shoulder_px < LEAST_SHOULDER_PX and seen.shoulder < FULL_SHOULDER
    if seen.shoulder < LEAST_SHOULDER or is_cut_short:
        return (
            f"over-exposed: the bright half of its edges is cut off at 255 ({seen.shoulder:.2f} of "
            f"the dark half, {seen.shoulder_px:.1f} px); fix: less light or a shorter exposure"
        )
    return ""


def centroid(outline: Array) -> Array:
    """(2,) of the area within a closed outline (n, 2)."""
    start = outline[0]
    x, y = (outline - start).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    middle = np.array([((x + np.roll(x, -1)) * cross).sum(), ((y + np.roll(y, -1)) * cross).sum()])
    return np.asarray(middle / (3.0 * cross.sum()) + start)


def _outer_radii(points: Array, angles: Array) -> Array:
    """(directions,) radius of an outline around 0, 0, without what is finer than `_WAVES`."""
    around = np.arctan2(points[:, 1], points[:, 0])
    order = np.argsort(around)
    radii = np.interp(angles, around[order], np.hypot(*points[order].T), period=2.0 * np.pi)
    waves = np.fft.rfft(radii)
    waves[_WAVES + 1 :] = 0.0
    smooth: Array = np.fft.irfft(waves, len(angles))
    return smooth


def _walls(section: Section, centre: Array, angles: Array, radii: Array) -> dict[str, float]:
    least = min(_least_distance(one, section.outer) for one in section.lumens)
    far = np.max([_far_radii(one[::_EVERY] - centre, angles) for one in section.lumens], axis=0)
    mean = float((radii - far)[far > 0.0].mean())
    found = {"wall_least_px": least, "wall_mean_px": mean, "wall_ratio": least / mean}
    if len(section.lumens) > 1:
        pairs = itertools.combinations(section.lumens, 2)
        found["septum_least_px"] = min(_least_distance(*pair) for pair in pairs)
    return found


def _lumens(section: Section, centre: Array, diameter: float) -> dict[str, float]:
    areas = np.array([area(one) for one in section.lumens])
    middles = np.array([centroid(one) for one in section.lumens])
    offset = float(np.hypot(*(areas @ middles / areas.sum() - centre)))
    found = {"offset_px": offset, "concentricity": 1.0 - 2.0 * offset / diameter}
    ranked = sorted(zip(areas, section.lumens, strict=True), key=lambda one: -one[0])
    for number, (within, outline) in enumerate(ranked, start=1):
        half_turn = np.arange(_DIRECTIONS // 2) * (2.0 * np.pi / _DIRECTIONS)
        across = np.ptp(outline @ np.vstack([np.cos(half_turn), np.sin(half_turn)]), axis=0)
        found |= {
            f"lumen_{number}_diameter_px": float(2.0 * np.sqrt(within / np.pi)),
            f"lumen_{number}_longest_px": float(across.max()),
            f"lumen_{number}_shortest_px": float(across.min()),
        }
    return found


def _far_radii(points: Array, angles: Array) -> Array:
    """(directions,) where a ray from 0, 0 leaves an outline for good; 0 where it misses it."""
    rays = np.vstack([np.cos(angles), np.sin(angles)])
    ends = np.roll(points, -1, axis=0)
    beside = points @ np.vstack([-rays[1], rays[0]])  # (points, directions)
    beside_end = np.roll(beside, -1, axis=0)
    crosses = (beside < 0.0) != (beside_end < 0.0)
    part = beside / np.where(crosses, beside - beside_end, 1.0)
    radii = points @ rays + part * ((ends - points) @ rays)
    far: Array = np.where(crosses, radii, 0.0).max(axis=0)
    return np.maximum(far, 0.0)


def _least_distance(first: Array, second: Array) -> float:
    """Between two closed outlines: the nearest points, then finer around these."""
    some, others = first[::_EVERY], second[::_EVERY]
    # squares, as a product of matrices: ten times as fast as differences
    apart = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2.0 * some @ others.T
    i, k = (_EVERY * int(n) for n in np.unravel_index(apart.argmin(), apart.shape))
    fine, finer = _around(first, i), _around(second, k)
    return float(np.hypot(fine[:, None, 0] - finer[:, 0], fine[:, None, 1] - finer[:, 1]).min())


def _around(outline: Array, middle: int) -> Array:
    """(m, 2) points of an outline near one of them, much closer to one another."""
    at = np.arange(-_NEAR, _NEAR + _DENSE / 2, _DENSE)
    near = np.arange(-_NEAR, _NEAR + 1)
    points = outline[(middle + near) % len(outline)]
    return np.column_stack([np.interp(at, near, points[:, axis]) for axis in (0, 1)])
