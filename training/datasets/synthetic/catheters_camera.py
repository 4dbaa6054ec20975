"""The place where simulated catheters are looked at: background, lamps, lens, sensor and dust.

One seed is one line: its lamps, background and lens. They drift slowly with the number of the
picture, so that the thousandth differs a little from the first, and that picture is the same
whether the others are made or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array
from training.datasets.synthetic.catheters_walls import Lamps

FULL_WELL_E = 9_000.0  # electrons of a pixel at white
READ_NOISE_E = 14.0
_DUST_CNR = 2.5  # contrast of dust to noise, at most


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a line beyond its usual drift.

    Attributes:
        light: brightness of the lamps, 1.0 is as they were.
        blur_px: standard deviation that the lens blurs more than it should.
        shift_px: how far down the part lies.
    """

    light: float = 1.0
    blur_px: float = 0.0
    shift_px: float = 0.0


NO_FAULT = Fault()


@dataclass(frozen=True)
class Line:
    """The state of a line at one picture.

    Attributes:
        lamps: their angles.
        light: brightness beside what is right.
        blur_px: standard deviation of the lens's blur.
        ground: grey of the background, of white.
        slope: (right, down) by how much of its light the background changes across the picture.
        vignette: share of the light lost in the corners.
    """

    lamps: Lamps
    light: float
    blur_px: float
    ground: float
    slope: tuple[float, float]
    vignette: float


def line(seed: int, number: int) -> Line:
    """The line of that seed when it takes the picture of that number."""
    rng = np.random.default_rng([seed, 1])
    key, fill = -rng.uniform(0.42, 0.55), rng.uniform(0.55, 0.75)
    balance, ground = rng.uniform(0.35, 0.5), rng.uniform(0.50, 0.57)
    slope, vignette = rng.uniform(-0.06, 0.06, 2), rng.uniform(0.10, 0.18)
    slow = [_drift(rng, number) for _ in range(3)]
    now = np.random.default_rng([seed, 2, number])
    return Line(
        lamps=Lamps(
            float(key + 0.012 * slow[2] + now.normal(0, 0.006)), float(fill), float(balance)
        ),
        light=float(1.0 + 0.05 * slow[0] + now.normal(0, 0.008)),
        blur_px=float(0.72 + 0.16 * slow[1] + np.clip(now.normal(0, 0.03), -0.08, 0.08)),
        ground=float(ground),
        slope=(float(slope[0]), float(slope[1])),
        vignette=float(vignette),
    )


def background(line: Line, seed: int, number: int, size_px: int) -> Array:
    """(size, size) float32 light of the brushed plate that the part lies on, out of focus."""
    rng = np.random.default_rng([seed, 3, number])
    coarse = rng.standard_normal((20, 7), dtype=np.float32)
    fine = rng.standard_normal((64, 24), dtype=np.float32)
    texture = np.float32(0.013) * cv2.resize(
        coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC
    )
    texture += np.float32(0.008) * cv2.resize(
        fine, (size_px, size_px), interpolation=cv2.INTER_CUBIC
    )
    x = np.linspace(-1, 1, size_px, dtype=np.float32)
    ramp = 1.0 + np.float32(line.slope[0]) * x + np.float32(line.slope[1]) * x[:, None]
    return np.asarray(np.float32(line.ground) * ramp * (1.0 + texture), np.float32)


def exposed(light: Array, line: Line) -> Array:
    """Grey levels, 0 to 255 and unclipped, that the lens makes of light, without noise."""
    return blurred(light, line.blur_px) * gain(line, light.shape[0])


def gain(line: Line, size_px: int) -> Array:
    """(size, size) float32 grey levels for light of 1.0."""
    x = np.linspace(-1, 1, size_px, dtype=np.float32)
    far = 0.5 * (x * x + (x * x)[:, None])
    return np.asarray(np.float32(255.0 * line.light) * (1.0 - np.float32(line.vignette) * far))


def blurred(light: Array, sigma_px: float) -> Array:
    """Through a lens."""
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma_px), np.float32)


def noise_sigma(levels: Array) -> Array:
    """Standard deviation of the sensor's noise, in grey levels: photons and reading."""
    electrons = np.maximum(levels, 0.0) * np.float32(FULL_WELL_E / 255.0)
    sigma = np.sqrt(electrons + np.float32(READ_NOISE_E**2)) * np.float32(255.0 / FULL_WELL_E)
    return np.asarray(sigma, np.float32)


def dust(levels: Array, rng: np.random.Generator) -> Array:
    """Specks that are no defect: less than 3 pixels, at most 2.5 standard deviations of the noise.

    Args:
        levels: (size, size) float32 grey levels without noise.
        rng: of this picture.
    """
    found = levels.copy()
    size = levels.shape[0]
    for _ in range(int(rng.poisson(9.0 * (size / 256) ** 2))):
        x, y = rng.uniform(3, size - 4, 2)
        wide, contrast = rng.uniform(0.45, 0.7), rng.uniform(0.8, _DUST_CNR)
        sign = -1.0 if rng.random() < 0.6 else 1.0
        left, top = int(x) - 2, int(y) - 2
        dx = np.arange(left, left + 6) + 0.5 - x
        dy = np.arange(top, top + 6)[:, None] + 0.5 - y
        spot = np.exp(-(dx * dx + dy * dy) / (2 * wide * wide)).astype(np.float32)
        place = found[top : top + 6, left : left + 6]
        sigma = noise_sigma(place.mean(keepdims=True))
        place += np.float32(sign * contrast) * sigma * spot[: place.shape[0], : place.shape[1]]
    return found


def sensed(levels: Array, fault: Fault, rng: np.random.Generator) -> Array:
    """(size, size) uint8 that the sensor reads, with what is wrong with lamps and lens.

    Args:
        levels: (size, size) float32 grey levels without noise.
        fault: of the line.
        rng: of this picture's noise.
    """
    if fault.blur_px > 0.0:
        levels = blurred(levels, fault.blur_px)
    levels = np.clip(levels * np.float32(fault.light), 0.0, 255.0)
    noise = rng.standard_normal(levels.shape, dtype=np.float32)
    return np.clip(np.rint(levels + noise * noise_sigma(levels)), 0, 255).astype(np.uint8)


def _drift(rng: np.random.Generator, number: int) -> float:
    """Between -1 and 1: a slow wave of some thousand parts and a faster one of some hundred."""
    slow, fast = rng.uniform(1500, 4000), rng.uniform(200, 600)
    a, b = rng.uniform(0, 2 * np.pi, 2)
    wave = 0.7 * np.sin(2 * np.pi * number / slow + a) + 0.3 * np.sin(2 * np.pi * number / fast + b)
    return float(wave)
