"""What a simulated catheter is like: tube, tube with marker bands, or balloon; and how it lies.

Lengths without a unit are pixels of a picture 256 wide, 10 micrometres each: a tube of 110 has an
outer diameter of 1.1 mm (3.3 French). In a larger picture the part is as much larger; its defects
and the camera's noise are not, and their lengths end in `_px`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contract.spec import Floats

KINDS = ("tube", "bands", "balloon")
NATIVE_PX = 256


@dataclass(frozen=True)
class Print:
    """What is printed along a tube: a row of depth ticks and a number behind every second one.

    Attributes:
        every: between two ticks.
        start: of the first tick, from the middle of the first view.
        tick: (along, around) its size.
        number: at the first tick; one more at each that follows.
        digit: height of the digits, 0: ticks alone.
        angle: where around the tube, in radians from the camera; beyond a quarter turn it is on
            the far side and shows through.
        density: share of the light that the ink takes.
    """

    every: float
    start: float
    tick: tuple[float, float]
    number: int
    digit: float
    angle: float
    density: float


@dataclass(frozen=True)
class Balloon:
    """A thin balloon around the tube, bonded to it at its neck.

    Attributes:
        radius: of its body.
        neck: radius where it is bonded, the tube's times this.
        shoulder: where the cone ends and the body begins.
        cone, bond: their lengths.
        side: +1 where the body lies to the right of the shoulder, -1 to the left.
        folds: radians around at which pleats were pressed.
        crease: how strongly the folds are still seen.
        wall: thickness, as a share of the radius.
    """

    radius: float
    neck: float
    shoulder: float
    cone: float
    bond: float
    side: float
    folds: tuple[float, ...]
    crease: float
    wall: float


@dataclass(frozen=True)
class Part:
    """One simulated part.

    Attributes:
        kind: one of `KINDS`.
        radius: outer, of the tube.
        wall: its thickness, as a share of the radius.
        absorbs: share of the light that one radius of wall takes.
        milk: light that the wall scatters back, of white.
        gloss: strength of its specular streaks.
        polish: their width, in radians.
        print_: what is printed on it.
        bands: (middle, half length) of each marker band.
        weld: (middle, half length, bulge as a share of the radius), None without one.
        balloon: None without one.
        grain: seed of its surface.
    """

    kind: str
    radius: float
    wall: float
    absorbs: float
    milk: float
    gloss: float
    polish: float
    print_: Print | None
    bands: tuple[tuple[float, float], ...]
    weld: tuple[float, float, float] | None
    balloon: Balloon | None
    grain: int


@dataclass(frozen=True, eq=False)
class Sight:
    """Where on the part each pixel of the camera looks.

    Attributes:
        along: (height, width) float32 lengths along the axis of the part, 0 in the middle.
        across: (height, width) float32 lengths from its axis, downwards.
        scale: pixels of the picture for a length of 1.
        turn: radians between the axis and the rows of the picture, in the middle.
        middle: (x, y) of the picture where the axis passes.
        bend: how far the axis deviates for a length of 1 along it; with the square of it.
        tilt: slope of the axis towards the camera: circles around the part are seen as ellipses.
    """

    along: Floats
    across: Floats
    scale: float
    turn: float
    middle: tuple[float, float]
    bend: float
    tilt: float

    def pixel(self, along: float, across: float) -> tuple[float, float]:
        """x, y where a place of the part is seen."""
        v = across + self.bend * along * along
        cos, sin = self.scale * np.cos(self.turn), self.scale * np.sin(self.turn)
        return (
            float(self.middle[0] + along * cos - v * sin),
            float(self.middle[1] + along * sin + v * cos),
        )


def draw(rng: np.random.Generator, kind: str) -> Part:
    """A part of that kind as it should be."""
    is_balloon = kind == "balloon"
    radius = float(rng.uniform(21, 27) if is_balloon else rng.uniform(48, 60))
    bands: tuple[tuple[float, float], ...] = ()
    if kind == "bands":
        first, gap = rng.uniform(-95, -45), rng.uniform(85, 125)
        half = float(rng.uniform(13, 19))
        bands = tuple((float(first + k * gap), half) for k in range(2))
    if is_balloon:
        bands = ((float(rng.uniform(-10, 10)), float(rng.uniform(12, 17))),)
    has_weld = kind == "tube" and rng.random() < 0.3
    weld = (
        (float(rng.uniform(-70, 70)), float(rng.uniform(14, 26)), float(rng.uniform(0.01, 0.03)))
        if has_weld
        else None
    )
    has_print = kind == "tube" or (kind == "bands" and rng.random() < 0.4)
    return Part(
        kind=kind,
        radius=radius,
        wall=float(rng.uniform(0.15, 0.22)),
        absorbs=float(rng.uniform(0.14, 0.24)),
        milk=float(rng.uniform(0.10, 0.17)),
        gloss=float(rng.uniform(0.34, 0.48)),
        polish=float(rng.uniform(0.045, 0.075)),
        print_=_print(rng) if has_print else None,
        bands=bands,
        weld=weld,
        balloon=_balloon(rng) if is_balloon else None,
        grain=int(rng.integers(2**31)),
    )


def _print(rng: np.random.Generator) -> Print:
    is_far = rng.random() < 0.2
    return Print(
        every=float(rng.uniform(62, 84)),
        start=float(rng.uniform(-130, -70)),
        tick=(float(rng.uniform(4, 6)), float(rng.uniform(26, 40))),
        number=int(rng.integers(4, 90)),
        digit=float(rng.uniform(20, 28)) if rng.random() < 0.75 else 0.0,
        angle=float(rng.uniform(-0.45, 0.45) + (np.pi if is_far else 0.0)),
        density=float(rng.uniform(0.6, 0.8)),
    )


def _balloon(rng: np.random.Generator) -> Balloon:
    pleats = int(rng.integers(4, 7))
    first = rng.uniform(0, 2 * np.pi / pleats)
    around = (first + 2 * np.pi * np.arange(pleats) / pleats + np.pi) % (2 * np.pi) - np.pi
    return Balloon(
        radius=float(rng.uniform(74, 86)),
        neck=float(rng.uniform(1.10, 1.18)),
        shoulder=float(rng.uniform(-30, 10)),
        cone=float(rng.uniform(52, 78)),
        bond=float(rng.uniform(20, 34)),
        side=float(rng.choice([-1.0, 1.0])),
        folds=tuple(float(one) for one in around),
        crease=float(rng.uniform(0.5, 1.0)),
        wall=float(rng.uniform(0.035, 0.055)),
    )


def lie(rng: np.random.Generator, size_px: int, shift_px: float) -> Sight:
    """How the part lies before the camera this time.

    Args:
        rng: of this picture.
        size_px: side of the picture.
        shift_px: the holder has moved down by that many pixels.
    """
    scale = size_px / NATIVE_PX
    turn = float(np.radians(np.clip(rng.normal(0.0, 1.3), -3.5, 3.5)))
    x0 = size_px / 2 + float(np.clip(rng.normal(0.0, 3.0), -8, 8)) * scale
    y0 = size_px / 2 + float(np.clip(rng.normal(0.0, 3.0), -8, 8)) * scale + shift_px
    bend = float(np.clip(rng.normal(0.0, 1.8), -4.5, 4.5)) / 128**2
    tilt = float(rng.uniform(-0.06, 0.06))
    x = (np.arange(size_px, dtype=np.float32) + np.float32(0.5 - x0)) / np.float32(scale)
    y = (np.arange(size_px, dtype=np.float32)[:, None] + np.float32(0.5 - y0)) / np.float32(scale)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along = x * cos + y * sin
    across = y * cos - x * sin - np.float32(bend) * along * along
    return Sight(along, across, scale, turn, (x0, y0), bend, tilt)
