"""What a face is shown on: prints and screens, as light that leaves them towards a camera.

`at` is where the line of sight of each pixel of the camera meets the sheet: (height, width, 2)
float32 x, y from the middle of the face, in such pixels. Light is linear, 1.0 is white. Patterns
too fine for a pixel are integrated over it in closed form, so that what is left of them is just
what aliases: moiré.

How often the end of a sheet is in sight: a face of 180 mm with as much around it again needs
400 mm; a sheet of A4 has 210, a phone 70, a tablet 160, a laptop 310, a monitor 530.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from contract.spec import Array, Floats

Pattern = Callable[[Floats, Floats, float], Floats]  # at, light shown, fill -> light

_SCREEN_ANGLES = (15.0, 75.0, 45.0)  # degrees of cyan, magenta, black; yellow is hardly seen
_TWO = np.float32(2.0)
_TONER = 0.03  # light that it gives back
_SUBSAMPLES = 3  # along each side of a pixel, of halftone dots


@dataclass(frozen=True, eq=False)
class Medium:
    """What a face is shown on.

    Attributes:
        tone: light of a picture -> light of the sheet, evenly lit.
        pattern: adds dots, stripes or grain.
        lamps: (at, light, half the side of the sheet) -> light, lit as it is, with reflections.
        edge: what surrounds the picture, its light; None: nothing, it is cut out.
        edge_wide: (least, most), in sides of the face.
        round_: radius of the corners, likewise.
        shows_edge: share of the attacks in which the end of the sheet is in sight.
        bend: most, of a sheet that is not stiff; share of the sheet's side.
    """

    tone: Callable[[Floats], Floats]
    pattern: Pattern
    lamps: Callable[[Floats, Floats, float], Floats]
    edge: Floats | None
    edge_wide: tuple[float, float]
    round_: float
    shows_edge: float
    bend: float


def matte_print(rng: np.random.Generator) -> Medium:
    """Inkjet on plain paper: weak blacks, dull colours, drops of ink as grain, lines of the head.

    Reflectance of black 0.04 to 0.08 (density 1.1 to 1.4), of paper about 0.85.
    """
    tone = _ink(rng, black=(0.04, 0.08), crosstalk=(0.10, 0.28), gain=(0.05, 0.30))
    grain, fine = float(rng.uniform(0.02, 0.09)), float(rng.uniform(0.5, 1.6))
    lines, every = float(rng.uniform(0.0, 0.03)), float(rng.uniform(2.0, 9.0))
    texture = rng.standard_normal((256, 256, 3), dtype=np.float32)
    texture = 0.7 * texture[..., :1] + 0.5 * texture

    def pattern(at: Floats, light: Floats, _fill: float) -> Floats:
        drops = _tiled(texture, at * fine)
        # of drops that cover a share a of the paper, the deviation goes with the root of a (1 - a)
        spread = np.sqrt(np.clip(light * (1.0 - light), 0.0, 0.25))
        bands = 1.0 + lines * np.sin(at[..., 1:] * (2.0 * np.pi / every))
        return (light + grain * spread * drops) * bands

    return Medium(tone, pattern, _lit(rng, gloss=0.0), _paper(rng), (0.0, 0.3), 0.0, 0.85, 0.06)


def glossy_print(rng: np.random.Generator) -> Medium:
    """A photograph from a laboratory: deep blacks, no dots to be seen, lamps mirrored in it.

    Reflectance of black 0.008 to 0.02 (density 1.7 to 2.1).
    """
    tone = _ink(rng, black=(0.008, 0.02), crosstalk=(0.02, 0.12), gain=(-0.05, 0.15))
    gloss = float(rng.uniform(0.1, 0.9))
    lamps = _lit(rng, gloss=gloss)
    return Medium(
        tone, lambda _at, light, _fill: light, lamps, _paper(rng), (0.0, 0.2), 0.0, 0.9, 0.08
    )


def laser_print(rng: np.random.Generator) -> Medium:
    """Dots of toner on rotated screens, larger where it is darker (PostScript, section 7.4).

    85 to 150 lines an inch; a face of 60 to 200 mm across 150 pixels has 0.7 to 3 pixels a dot.
    """
    tone = _ink(rng, black=(0.03, 0.06), crosstalk=(0.05, 0.20), gain=(0.05, 0.25))
    every = float(np.exp(rng.uniform(np.log(0.6), np.log(3.0))))
    turn = float(rng.uniform(0.0, 90.0))
    is_mono = bool(rng.random() < 0.3)

    def pattern(at: Floats, light: Floats, fill: float) -> Floats:
        return _halftone(at, light, fill, every=every, turn=turn, is_mono=is_mono)

    edge = _paper(rng)
    return Medium(tone, pattern, _lit(rng, gloss=0.15), edge, (0.0, 0.3), 0.0, 0.85, 0.05)


def lcd_screen(rng: np.random.Generator) -> Medium:
    """A monitor, laptop or tablet: stripes of red, green and blue, a black level, a cold white."""
    pitch = float(np.exp(rng.uniform(np.log(0.25), np.log(1.5))))  # pixels of the camera
    order = 1.0 if rng.random() < 0.8 else -1.0
    gap_x, gap_y = float(rng.uniform(0.04, 0.12)), float(rng.uniform(0.08, 0.3))

    def pattern(at: Floats, light: Floats, fill: float) -> Floats:
        u, v = at[..., 0] / pitch, at[..., 1] / pitch
        wide = fill / pitch
        rows = _covered(v, wide, 0.5, 1.0 - gap_y)
        third = np.stack(
            [_covered(u, wide, 0.5 + order * k / 3, 1 / 3 - gap_x) for k in (-1, 0, 1)], -1
        )
        return light * third * rows[..., None]

    tone = _emitted(rng, black=(0.001, 0.012), saturation=(0.8, 1.05), cold=(0.0, 0.25))
    edge = np.float32(rng.choice([0.008, 0.02, 0.3, 0.6])) * np.ones(3, np.float32)
    return Medium(tone, pattern, _lit_screen(rng), edge, (0.05, 0.15), 0.0, 0.8, 0.0)


def oled_phone(rng: np.random.Generator) -> Medium:
    """A phone: green in each pixel, red and blue in every other one, true black, vivid colours.

    C. H. Brown Elliott et al., "Development of the PenTile Matrix color AMLCD subpixel
    architecture", Journal of the SID 11(1), 2003. At 400 dots an inch a pixel of the phone is
    smaller than one of the camera.
    """
    pitch = float(np.exp(rng.uniform(np.log(0.2), np.log(1.2))))
    size = float(rng.uniform(0.45, 0.75))

    def pattern(at: Floats, light: Floats, fill: float) -> Floats:
        u, v = at[..., 0] / np.float32(pitch), at[..., 1] / np.float32(pitch)
        wide = fill / pitch
        green = _covered(u, wide, 0.25, size * 0.6) * _covered(v, wide, 0.5, size)

        def at_every_other(first: float) -> Floats:
            seats = [
                _covered(u / _TWO, wide / 2, (first + k) / 2, size / 2)
                * _covered(v / _TWO, wide / 2, (0.5 + k) / 2, size / 2)
                for k in (0, 1)
            ]
            return np.asarray((seats[0] + seats[1]) / _TWO, np.float32)

        both = np.stack([at_every_other(0.75), green, at_every_other(1.75)], -1)
        return np.asarray(light * both, np.float32)

    tone = _emitted(rng, black=(0.0, 0.001), saturation=(1.0, 1.35), cold=(-0.05, 0.2))
    edge = np.full(3, rng.choice([0.005, 0.01, 0.03]), np.float32)
    return Medium(tone, pattern, _lit_screen(rng), edge, (0.02, 0.08), 0.12, 0.95, 0.0)


def cut_out(rng: np.random.Generator) -> Medium:
    """A matte or glossy print cut along the head, bent like a mask: no sheet is to be seen."""
    printed = matte_print(rng) if rng.random() < 0.6 else glossy_print(rng)
    return Medium(printed.tone, printed.pattern, printed.lamps, None, (0.0, 0.0), 0.0, 1.0, 0.25)


def _ink(
    rng: np.random.Generator,
    *,
    black: tuple[float, float],
    crosstalk: tuple[float, float],
    gain: tuple[float, float],
) -> Callable[[Floats], Floats]:
    """Ink on paper: each ink also absorbs what it should not, and dots spread (dot gain)."""
    low, high = float(rng.uniform(*black)), float(rng.uniform(0.7, 0.9))
    mixed, spread = float(rng.uniform(*crosstalk)), float(rng.uniform(*gain))
    matrix = ((1.0 - mixed) * np.eye(3) + mixed / 3.0).astype(np.float32)
    white = np.exp(rng.normal(0.0, 0.03, 3)).astype(np.float32)
    cast = np.exp(rng.normal(0.0, 0.06, 3)).astype(np.float32)  # inks that are out of balance

    def tone(light: Floats) -> Floats:
        inked = np.clip(light @ matrix, 0.0, 1.0) ** ((1.0 + spread) * cast)
        return (low + (high - low) * inked) * white

    return tone


def _emitted(
    rng: np.random.Generator,
    *,
    black: tuple[float, float],
    saturation: tuple[float, float],
    cold: tuple[float, float],
) -> Callable[[Floats], Floats]:
    """A screen: its gamma is not that of the file, its white is that of its lamp."""
    low, vivid, blue = (float(rng.uniform(*one)) for one in (black, saturation, cold))
    gamma = float(np.exp(rng.normal(0.05, 0.1)))
    luma = np.array([0.2126, 0.7152, 0.0722], np.float32)
    white = np.array([1.0 - 0.4 * blue, 1.0, 1.0 + 0.6 * blue], np.float32)

    def tone(light: Floats) -> Floats:
        grey = (light @ luma)[..., None]
        vivid_light = np.clip(grey + vivid * (light - grey), 0.0, 1.0)
        return np.asarray((low + (1.0 - low) * vivid_light**gamma) * white, np.float32)

    return tone


def _lit(rng: np.random.Generator, *, gloss: float) -> Callable[[Floats, Floats, float], Floats]:
    """A flat sheet is lit evenly or falls off smoothly; gloss mirrors lamps as blurred spots."""
    slope = rng.normal(0.0, 0.18, 2)
    spots = [
        (rng.uniform(-1, 1, 2), rng.uniform(0.15, 0.7, 2), rng.uniform(0, np.pi), rng.random())
        for _ in range(rng.integers(1, 3))
    ]
    veil = float(rng.uniform(0.0, 0.04)) * gloss

    def lamps(at: Floats, light: Floats, half: float) -> Floats:
        x, y = at[..., 0] / np.float32(half), at[..., 1] / np.float32(half)
        lit = light * np.exp(slope[0] * x + slope[1] * y)[..., None].astype(np.float32)
        for centre, size, turn, strength in spots if gloss > 0.0 else []:
            dx, dy = x - centre[0], y - centre[1]
            along = (np.cos(turn) * dx + np.sin(turn) * dy) / size[0]
            across = (np.cos(turn) * dy - np.sin(turn) * dx) / size[1]
            spot = np.exp(-((along**2 + across**2) ** 2))
            lit = lit + (gloss * strength * spot)[..., None].astype(np.float32)
        return lit + np.float32(veil)

    return lamps


def _lit_screen(rng: np.random.Generator) -> Callable[[Floats, Floats, float], Floats]:
    """Darker at an angle; the room and its windows mirrored; bands where shutter meets flicker."""
    slope = rng.normal(0.0, 0.12, 2)
    veil = float(rng.uniform(0.0, 0.05))
    window = float(rng.uniform(0.02, 0.25)) if rng.random() < 0.4 else 0.0
    corner, size, soft = rng.uniform(-1.2, 0.8, 2), rng.uniform(0.3, 0.9, 2), rng.uniform(8, 40)
    bands = float(rng.uniform(0.02, 0.15)) if rng.random() < 0.3 else 0.0
    every, phase = float(rng.uniform(30, 250)), float(rng.uniform(0, 2 * np.pi))

    def lamps(at: Floats, light: Floats, half: float) -> Floats:
        x, y = at[..., 0] / np.float32(half), at[..., 1] / np.float32(half)
        lit = light * np.exp(slope[0] * x + slope[1] * y)[..., None].astype(np.float32)
        if bands > 0.0:
            rows = np.arange(len(at), dtype=np.float32)[:, None, None]
            lit = lit * (1.0 + bands * np.sin(rows * (2 * np.pi / every) + phase))
        inside = np.ones_like(x)
        for one, begin, wide in ((x, corner[0], size[0]), (y, corner[1], size[1])):
            inside *= 1 / (1 + np.exp(np.clip(-soft * (one - begin), -30, 30)))
            inside *= 1 / (1 + np.exp(np.clip(soft * (one - begin - wide), -30, 30)))
        return (lit + (veil + window * inside)[..., None]).astype(np.float32)

    return lamps


def _paper(rng: np.random.Generator) -> Floats:
    return (rng.uniform(0.65, 0.9) * np.exp(rng.normal(0, 0.03, 3))).astype(np.float32)


def _covered(x: Floats, wide: float, middle: float, size: float) -> Floats:
    """Mean over a pixel of stripes once in every 1.0, as a share of their own mean.

    Args:
        x: middle of the pixel.
        wide: its side.
        middle: of a stripe.
        size: of it, below 1.
    """

    def up_to(end: Array) -> Array:  # how much stripe there is from 0 to `end`
        whole = np.floor(end)
        return whole * size + np.clip(end - whole, 0.0, size)

    begin = x.astype(np.float64) - middle + size / 2
    mean = (up_to(begin + wide / 2) - up_to(begin - wide / 2)) / (wide * size)
    return mean.astype(np.float32)


def _tiled(texture: Floats, at: Floats) -> Floats:
    """(height, width, 3) of a texture that goes on without end."""
    x, y = np.moveaxis(np.mod(at, texture.shape[0] - 1), -1, 0)
    found = cv2.remap(texture, np.ascontiguousarray(x), np.ascontiguousarray(y), cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def _halftone(
    at: Floats, light: Floats, fill: float, *, every: float, turn: float, is_mono: bool
) -> Floats:
    """Cyan, magenta and black dots over an even yellow, each pixel the mean of its subsamples."""
    ink = 1.0 - np.clip(light, 0.0, 1.0)
    # the light is linear already, so coverage is absorption (Murray and Davies, 1936)
    black = np.minimum(np.minimum(ink[..., 0], ink[..., 1]), ink[..., 2])
    if is_mono:
        black = ink.mean(axis=-1)
    rest = np.clip((ink - black[..., None]) / np.maximum(1.0 - black[..., None], 1e-3), 0, 1)
    shares = [black] if is_mono else [rest[..., 0], rest[..., 1], black]
    limits = [_limit(share) for share in shares]
    steps = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES - 0.5
    total = np.zeros_like(light)
    for dx in steps * fill:
        for dy in steps * fill:
            x, y = at[..., 0] + np.float32(dx), at[..., 1] + np.float32(dy)
            dots = [
                _spot(x, y, every, angle + turn) > limit
                for limit, angle in zip(limits, _SCREEN_ANGLES[-len(limits) :], strict=True)
            ]
            *colours, paper = (1.0 - dot.astype(np.float32) for dot in dots)
            inks = [one * paper for one in (*colours, 1.0 - rest[..., 2])]
            total += paper[..., None] if is_mono else np.stack(inks, -1)
    return np.asarray(_TONER + (1.0 - _TONER) * total / _SUBSAMPLES**2, np.float32)


def _spot(x: Floats, y: Floats, every: float, angle: float) -> Floats:
    """Round dots in the highlights, round holes in the shadows: -1 to 1."""
    per_pixel = 2.0 * np.pi / every
    c = float(per_pixel * np.cos(np.radians(angle)))
    s = float(per_pixel * np.sin(np.radians(angle)))
    return np.asarray((np.cos(c * x + s * y) + np.cos(c * y - s * x)) / 2, np.float32)


def _limit(share: Floats) -> Floats:
    """Above which value of `_spot` that share of the paper lies."""
    return np.interp(1.0 - share, np.linspace(0, 1, 257), _quantiles()).astype(np.float32)


@lru_cache(maxsize=1)
def _quantiles() -> Array:
    phase = (np.arange(128) + 0.5) / 128 * 2 * np.pi
    every = (np.cos(phase)[:, None] + np.cos(phase)[None]) / 2
    found: Array = np.quantile(every, np.linspace(0, 1, 257))
    return found
