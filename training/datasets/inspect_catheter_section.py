"""Cross-sections of catheters: three products with two, three and four lumens, photographed.

JaeJin Hwang, 2026: whole frames, reduced by two, and the section at the camera's own resolution.
Read from `labels.csv` with columns `file`, `lumens`, and perhaps `crop` (the same at the camera's
resolution; sizes are measured there), `product` and `source_name`.

Protocol: every picture by `contract.section_limits` without any limits, so without a bundle. How
well one section repeats is known where `source_name` tells a section (`S17`) from its pictures
(`_11`, `_22`): it was photographed again at another angle. Of other names it is not known. Then the
same pictures again with more light than the camera could take and out of focus, which must be
refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from contract import section_limits
from contract.inspection import Part
from contract.ops import section as ops
from contract.section import LUMENS
from contract.section_limits import REFUSED, Limits
from contract.spec import Array
from training import people, pictures
from training.datasets import DataError, DataSet
from training.protocols import Bench, Measured, Row

NAME = "inspect_catheter_section"
LICENCE = "MIT (repository catheter-defect-inspection of JaeJin Hwang)"
COLUMNS = ("file", LUMENS)
OVER_EXPOSED = (1.3, 1.6)  # times the light
BLURRED = (2.0, 3.0)  # sigma in pixels
_DIAMETER = "outer_diameter_px"
_AGAIN = re.compile(r"(?P<section>[^_]+_s\d+)_\d+\.\w+", re.IGNORECASE)
_SHOWN = (_DIAMETER, "wall_least_px", "septum_least_px", "ovality")


@dataclass(frozen=True)
class Shown:
    """One picture of a section.

    Attributes:
        name: of its row.
        file: measured: at the camera's own resolution where there is such a one.
        frame: the whole picture.
        lumens: how many there are.
        section: pictures of the same name show the same section.
    """

    name: str
    file: Path
    frame: Path
    lumens: int
    section: str


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return people.has_columns(folder / people.LABELS, COLUMNS)


def open_folder(folder: Path) -> DataSet:
    """All pictures of a folder.

    Raises:
        DataError: the table is damaged.
    """
    rows = people.table(folder / people.LABELS, COLUMNS)
    shown = [_shown(folder, row) for row in rows]
    measure = partial(_measure, shown)
    return DataSet(NAME, (), LICENCE, shareable=False, measure=measure, needs_bundle=False)


def _shown(folder: Path, row: Mapping[str, str]) -> Shown:
    if not row[LUMENS].isdigit():
        raise DataError(
            f"{folder / people.LABELS}: lumens: {row[LUMENS]!r} of {row['file']}; fix: a number"
        )
    frame = folder / row["file"]
    again = _AGAIN.fullmatch(row.get("source_name") or "")
    name = again["section"].upper() if again else frame.stem
    file = folder / row["crop"] if row.get("crop") else frame
    return Shown(row["file"], file, frame, int(row[LUMENS]), name)


def _measure(shown: Sequence[Shown], bench: Bench) -> Measured:
    """Every picture as it is, and spoilt.

    Returns:
        `files`; `lumens_right`, also of pictures whose sizes are refused, and `frames_lumens_right`
        in the whole frames; `refused`; `repeatability_px`, the standard deviation of the outer
        diameter of one section photographed again, pooled over `repeated` sections, and
        `wall_repeatability_px`, both only where there are such; `over_exposed_refused_at_N` and
        `blurred_refused_at_N`, shares.
    """
    parts, rows = [], []
    right = frames_right = 0
    spoilt: dict[str, list[bool]] = defaultdict(list)
    for one in bench.each(shown, lambda one: one.name):
        picture = pictures.read(one.file)
        part = section_limits.inspect(picture, Limits())
        parts.append(part)
        count = lumens(picture)
        right += count == one.lumens
        frames_right += lumens(pictures.read(one.frame)) == one.lumens
        for name, again in _spoilt(picture).items():
            spoilt[name].append(section_limits.inspect(again, Limits()).label == REFUSED)
        rows.append(_row(one, part, count))
    metrics = {
        "files": float(len(shown)),
        "lumens_right": float(right),
        "frames_lumens_right": float(frames_right),
        "refused": float(sum(part.label == REFUSED for part in parts)),
    }
    metrics |= _repeatability(shown, parts)
    metrics |= {name: float(np.mean(was)) for name, was in spoilt.items()}
    return Measured(metrics, tuple(rows))


def lumens(picture: Array) -> int | None:
    """How many lumens the section in a picture has; None: no section can be told.

    A count needs no sharp edges, so it is known where sizes are refused.
    """
    try:
        return len(ops.find(picture).lumens)
    except ops.UnmeasurableError:
        return None


def _spoilt(picture: Array) -> dict[str, Array]:
    """The picture over-exposed and out of focus, by the name of the metric."""
    brighter = {
        f"over_exposed_refused_at_{gain:g}": np.clip(np.round(picture * gain), 0, 255)
        for gain in OVER_EXPOSED
    }
    softer = {
        f"blurred_refused_at_{sigma:g}": cv2.GaussianBlur(picture, (0, 0), sigma)
        for sigma in BLURRED
    }
    return {name: made.astype(np.uint8) for name, made in (brighter | softer).items()}


def _repeatability(shown: Sequence[Shown], parts: Sequence[Part]) -> dict[str, float]:
    by_section = defaultdict(list)
    for one, part in zip(shown, parts, strict=True):
        if part.sizes:
            by_section[one.section].append(part.sizes)
    again = [sizes for sizes in by_section.values() if len(sizes) > 1]
    if not again:
        return {}
    return {
        "repeated": float(len(again)),
        "repeatability_px": pooled([[s[_DIAMETER] for s in sizes] for sizes in again]),
        "wall_repeatability_px": pooled([[s["wall_least_px"] for s in sizes] for sizes in again]),
    }


def pooled(groups: Sequence[Sequence[float]]) -> float:
    """The standard deviation within groups, each of at least two values around its own mean."""
    squares = sum(float(np.square(np.subtract(group, np.mean(group))).sum()) for group in groups)
    return float(np.sqrt(squares / sum(len(group) - 1 for group in groups)))


def _row(one: Shown, part: Part, count: int | None) -> Row:
    return {
        "name": one.name,
        "section": one.section,
        "lumens": count,
        "lumens_right": count == one.lumens,
        "decided": part.label,
        "reason": part.reason,
        **{name: part.sizes.get(name) for name in _SHOWN},
    }
