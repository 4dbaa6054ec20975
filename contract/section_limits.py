"""What the sizes of a section may be, and what is decided of one picture by it.

A file says it, TOML or JSON, alike but for the notation:

    um_per_px = 2.46            # optional: then lengths are also known in micrometres

    [limits.lumens]
    low = 3
    high = 3

    [limits.outer_diameter_um]
    low = 900.0
    high = 915.0

    [limits.wall_ratio]
    low = 0.8

Names are those of `contract.section`. A limit on how the picture looks (`edge_px`,
`shoulder`, `shoulder_px`, `bright`, `dark`) refuses the picture instead of rejecting the part.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Mapping

import msgspec
import numpy as np

from contract import section
from contract.inspection import PASS, REJECT, Part
from contract.ops import section as ops
from contract.section import LUMENS, PX, UM
from contract.spec import Array, Box

REFUSED = "refused"
LABELS = (PASS, REJECT, REFUSED)
LOOKS = tuple(one.name for one in dataclasses.fields(ops.Looks))
_LENGTHS = "outer_diameter|outer_least|outer_largest|wall_least|wall_mean|septum_least|offset"
_LUMEN = r"lumen_[1-9]\d?_(diameter|longest|shortest)"
_RATIOS = f"{LUMENS}|ovality|wall_ratio|concentricity"
_NAME = re.compile(f"({_LENGTHS}|{_LUMEN})({PX}|{UM})|{_RATIOS}|{'|'.join(LOOKS)}")
_MISSING = 2.0  # excess of a size that could not be measured
_LIMIT, _SCALE = "limit.", "um_per_px"
_EXAMPLES = "outer_diameter_px, wall_least_um, ovality, lumen_1_diameter_px or shoulder"


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The least and the most that one number may be; None: whatever."""

    low: float | None = None
    high: float | None = None

    def excess(self, value: float) -> float:
        """How far out, in halves of what is allowed: at most 1 within.

        Where there is only one limit, the limit itself is what is allowed.
        """
        if self.low is not None and self.low == self.high:
            away = abs(value - self.low)
            return 1.0 + away if away else 0.0
        if self.low is not None and self.high is not None:
            return abs(2.0 * value - self.high - self.low) / (self.high - self.low)
        if self.high is not None:
            return 1.0 + (value - self.high) / max(abs(self.high), 1e-9)
        assert self.low is not None, "checked when read"
        return 1.0 + (self.low - value) / max(abs(self.low), 1e-9)

    def __str__(self) -> str:
        """In words."""
        if self.low is not None and self.high is not None:
            exact = f"must be {self.low:g}"
            return exact if self.low == self.high else f"allowed {self.low:g} to {self.high:g}"
        return f"at most {self.high:g}" if self.high is not None else f"at least {self.low:g}"


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a section must be to pass.

    Attributes:
        um_per_px: micrometres per pixel; None: sizes are known in pixels only.
        limits: by the name of a size, a ratio or a look.
    """

    um_per_px: float | None = None
    limits: dict[str, Limit] = {}


class LimitsError(ValueError):
    """A file of limits that cannot be used; the text names the file, the key and the fix."""


def read(raw: bytes, *, name: str) -> Limits:
    """Limits from the bytes of a TOML file, or of a JSON file where the name ends so.

    Raises:
        LimitsError: not readable, an unknown name, nothing limited, or low above high.
    """
    try:
        text = raw.decode()
        found = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
        limits = msgspec.convert(found, Limits)
    except (ValueError, msgspec.ValidationError) as error:
        raise LimitsError(f"{name}: {' '.join(str(error).split())}; fix: see the docs") from None
    check(limits, name=name)
    return limits


def check(limits: Limits, *, name: str) -> None:
    """Refuse limits that make no sense.

    Raises:
        LimitsError: which, in which file, and the fix.
    """
    if limits.um_per_px is not None and not limits.um_per_px > 0:
        raise LimitsError(f"{name}: um_per_px: {limits.um_per_px}; fix: a number above 0")
    for key, limit in limits.limits.items():
        if not _NAME.fullmatch(key):
            raise LimitsError(f"{name}: limits.{key}: no such size; fix: such as {_EXAMPLES}")
        if key.endswith(UM) and limits.um_per_px is None:
            raise LimitsError(
                f"{name}: limits.{key}: micrometres need a scale; fix: give um_per_px, or a limit "
                f"on {key.removesuffix(UM) + PX}"
            )
        if limit.low is None and limit.high is None:
            raise LimitsError(f"{name}: limits.{key}: limits nothing; fix: give low or high")
        if limit.low is not None and limit.high is not None and limit.low > limit.high:
            raise LimitsError(
                f"{name}: limits.{key}: low {limit.low:g} is above high {limit.high:g}; fix: swap "
                "them"
            )


def inspect(picture: Array, limits: Limits) -> Part:
    """Measure the section in a picture and decide: `measure`, then `decide`."""
    return decide(measure(picture), limits)


def measure(picture: Array) -> Part:
    """The section in a picture, not yet judged.

    Args:
        picture: (height, width, 3) uint8 RGB, or grey without the last axis.

    Returns:
        `pass` with all sizes in pixels, and how the picture looks beside them; or `refused`, why
        the picture must not be measured, without any.
    """
    try:
        found = ops.find(picture)
    except ops.UnmeasurableError as error:
        return _refused(str(error), None)
    sizes = section.sizes(found)
    if why := section.doubt(found.looks, diameter_px=sizes["outer_diameter_px"]):
        return _refused(why, found.box)
    return Part(PASS, box=found.box, sizes={**sizes, **dataclasses.asdict(found.looks)})


def decide(part: Part, limits: Limits) -> Part:
    """Pass or reject a measured part, or refuse its picture; what was refused stays so.

    The score is the largest excess: above 1 something is out; 0 where nothing is limited.
    A size that is limited and is not there rejects.
    """
    if part.label == REFUSED:
        return part
    sizes = dict(part.sizes)
    if limits.um_per_px is not None:
        lengths = {name: size for name, size in sizes.items() if name not in LOOKS}
        sizes |= section.in_um(lengths, um_per_px=limits.um_per_px)
    wrong: list[str] = []
    odd: list[str] = []
    worst = 0.0
    for name, limit in limits.limits.items():
        excess = limit.excess(sizes[name]) if name in sizes else _MISSING
        is_look = name in LOOKS
        worst = worst if is_look else max(worst, excess)
        if name not in sizes:
            wrong.append(f"{name} is missing: {sizes[LUMENS]:.0f} lumens")
        elif excess > 1.0:
            (odd if is_look else wrong).append(f"{name} {sizes[name]:.4g}, {limit}")
    if odd:
        return _refused(f"the picture is not as it should be: {'; '.join(odd)}", part.box)
    return dataclasses.replace(
        part,
        label=REJECT if wrong else PASS,
        score=worst,
        threshold=1.0,
        reason="; ".join(wrong),
        sizes=sizes,
    )


def as_arrays(limits: Limits) -> dict[str, Array]:
    """Limits as what a bundle carries: low and high by name, infinite where there is none."""
    arrays = {
        f"{_LIMIT}{name}": np.array(
            [-np.inf if one.low is None else one.low, np.inf if one.high is None else one.high]
        )
        for name, one in limits.limits.items()
    }
    return arrays if limits.um_per_px is None else {**arrays, _SCALE: np.array([limits.um_per_px])}


def from_arrays(arrays: Mapping[str, Array]) -> Limits:
    """What `as_arrays` made; no limits where there are none."""
    scale = float(arrays[_SCALE][0]) if _SCALE in arrays else None
    found = {
        name.removeprefix(_LIMIT): Limit(*(float(x) if np.isfinite(x) else None for x in ends))
        for name, ends in arrays.items()
        if name.startswith(_LIMIT)
    }
    return Limits(scale, found)


def _refused(why: str, box: Box | None) -> Part:
    return Part(REFUSED, 0.0, box=box, threshold=1.0, reason=why)
