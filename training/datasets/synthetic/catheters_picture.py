"""One simulated picture of a catheter, by seed and number, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contract.spec import Array, Floats
from training.datasets.synthetic import catheters_camera as camera
from training.datasets.synthetic import catheters_parts as parts
from training.datasets.synthetic import catheters_visible as visible
from training.datasets.synthetic import catheters_walls as walls
from training.datasets.synthetic.catheters_camera import NO_FAULT, Fault, Line
from training.datasets.synthetic.catheters_defects import DEFECTS
from training.datasets.synthetic.catheters_parts import KINDS, NATIVE_PX, Part, Sight

GOOD = "good"


@dataclass(frozen=True)
class Facts:
    """What is known of a simulated picture.

    Attributes:
        item: number of the part; several pictures may show it.
        part: its kind, one of `catheters_parts.KINDS`.
        defect_type: one of `DEFECTS`, or `good`.
        defect_size_px: longest extent of the mask, 0 without a defect.
        contrast_to_noise: of the defect, 0 without one.
    """

    item: int
    part: str
    defect_type: str = GOOD
    defect_size_px: float = 0.0
    contrast_to_noise: float = 0.0


@dataclass(frozen=True, eq=False)
class Exposure:
    """What falls on the sensor.

    Attributes:
        clean: (size, size) float32 grey levels, 0 to 255, of the part as it should be.
        seen: the same of the part as it is; equal to `clean` wherever the mask is 0.
        mask: (size, size) uint8, 255 on the defect; None without one.
        facts: what is known of it.
    """

    clean: Floats
    seen: Floats
    mask: Array | None
    facts: Facts


@dataclass(frozen=True)
class Setup:
    """What is simulated.

    Attributes:
        seed: makes the line and everything on it.
        size_px: side of the pictures.
        views: pictures of each part: its print goes on, bands and balloon are seen again, turned.
        kinds: of parts that come along.
        defect_share: share of the pictures that show a defect.
        defects: that occur.
    """

    seed: int
    size_px: int = NATIVE_PX
    views: int = 1
    kinds: tuple[str, ...] = KINDS
    defect_share: float = 0.02
    defects: tuple[str, ...] = tuple(DEFECTS)


def draw(setup: Setup, number: int, fault: Fault = NO_FAULT) -> tuple[Array, Array | None, Facts]:
    """One picture; the same for the same arguments, whatever was drawn before.

    Args:
        setup: what is simulated.
        number: of the picture, from 0.
        fault: of the line at this picture.

    Returns:
        (size, size) uint8 picture; (size, size) uint8 mask, 255 on the defect, or None; facts.
    """
    shot = expose(setup, number, shift_px=fault.shift_px)
    rng = np.random.default_rng([setup.seed, 4, number])
    return camera.sensed(shot.seen, fault, rng), shot.mask, shot.facts


def expose(setup: Setup, number: int, *, shift_px: float = 0.0) -> Exposure:
    """The same before noise.

    Args:
        setup: what is simulated.
        number: of the picture, from 0.
        shift_px: how far down the part lies because of a fault.
    """
    item, view = divmod(number, setup.views)
    of_part = np.random.default_rng([setup.seed, 5, item])
    part = parts.draw(of_part, str(of_part.choice(setup.kinds)))
    rng = np.random.default_rng([setup.seed, 6, number])
    sight = parts.lie(rng, setup.size_px, shift_px)
    line = camera.line(setup.seed, number)
    light = _scene(
        part, sight, line, camera.background(line, setup.seed, number, setup.size_px), view
    )
    clean = np.clip(camera.dust(camera.exposed(light, line), rng), 0.0, 255.0)
    facts = Facts(item=item, part=part.kind)
    if not is_defective(setup, number):
        return Exposure(clean, clean, None, facts)
    scene = visible.Scene(light, clean, part, sight, line)
    rng = np.random.default_rng([setup.seed, 7, number])
    found = visible.with_defect(scene, rng, setup.defects)
    facts = Facts(item, part.kind, found.name, found.size_px, found.cnr)
    return Exposure(clean, found.seen, found.mask, facts)


def is_defective(setup: Setup, number: int) -> bool:
    """Whether the picture of that number shows a defect."""
    return bool(np.random.default_rng([setup.seed, 8, number]).random() < setup.defect_share)


def _scene(part: Part, sight: Sight, line: Line, light: Floats, view: int) -> Floats:
    light = walls.tube(light, sight, part, line.lamps, view)
    if part.balloon is not None:
        light = walls.balloon(light, sight, part, part.balloon, line.lamps)
    return light
