"""A few whole pictures with face boxes: a smoke test for a detector, far too small to rank any.

Photographs of PASCAL VOC 2011 with the boxes of dlib's examples (King, JMLR 10, 2009). Read from
`boxes.csv` with columns `file`, `left`, `top`, `width`, `height` in pixels and `labels.csv` with
`file`, `width`, `height`, `faces`; a picture without a box shows no person.

Protocol: boxes and detections are matched one to one, the most overlapping pair first, where they
overlap by an IoU (area of the intersection over that of the union) of at least 0.35.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from contract.spec import Array, Box
from training import face_protocols as faces
from training import people
from training.datasets import DataError, DataSet
from training.people import Person
from training.protocols import Bench, Measured, Row

NAME = "faces_detect_small"
BOXES = "boxes.csv"
COLUMNS = ("left", "top", "width", "height")
LICENCE = (
    "boxes: Boost Software License; photographs of PASCAL VOC 2011 under the terms of Flickr, not "
    "stated for each"
)
LEAST_IOU = 0.35


@dataclass(frozen=True)
class _Shown:
    """One picture.

    Attributes:
        picture: as a group of its own.
        boxes: of the faces in it.
    """

    picture: Person
    boxes: tuple[Box, ...]


def is_here(folder: Path) -> bool:
    """Whether the files in `folder` look like these."""
    return people.has_columns(folder / BOXES, ("file", *COLUMNS))


def open_folder(folder: Path) -> DataSet:
    """All pictures of a folder, each a recording of its own.

    Raises:
        DataError: a table is damaged, or a picture is missing.
    """
    boxes: dict[str, list[Box]] = {
        label["file"]: [] for label in people.table(folder / people.LABELS, ("file",))
    }
    for label in people.table(folder / BOXES, ("file", *COLUMNS)):
        if label["file"] not in boxes:
            raise DataError(
                f"{folder / BOXES}: {label['file']!r} is not in {people.LABELS}; fix: copy both "
                "files again"
            )
        boxes[label["file"]].append(_box(folder / BOXES, label))
    shown = [
        _Shown(people.person(folder, NAME, Path(file).stem, [{"file": file}]), tuple(of_file))
        for file, of_file in sorted(boxes.items())
    ]
    return people.dataset(NAME, [one.picture for one in shown], LICENCE, partial(measure, shown))


def _box(file: Path, label: Mapping[str, str]) -> Box:
    try:
        left, top, width, height = (float(label[column]) for column in COLUMNS)
    except ValueError as error:
        raise DataError(f"{file}: {error}; fix: copy this file again") from None
    return left, top, left + width, top + height


def measure(shown: Sequence[_Shown], bench: Bench) -> Measured:
    """Which boxes are found, and what is found that is none.

    Returns:
        `faces`: boxes; `found`: of them; `unmatched`: detections that match no box; `pictures`.
        What `int8_to_float` gives.
    """
    rows: list[Row] = []
    alike: list[Array] = []
    for one in bench.each(shown, lambda one: one.picture.name):
        seen = faces.see(bench, one.picture.recording)
        detected = [face.box for face in seen.found[0] if face.box is not None]
        matched = matches(one.boxes, detected)
        alike.append(faces.alike(seen.found, [faces.by_float(bench, seen, 0)]))
        rows.append(
            {
                "name": one.picture.name,
                "split": bench.split_of(one.picture.recording),
                "faces": len(one.boxes),
                "found": matched,
                "unmatched": len(detected) - matched,
            }
        )
    metrics = {
        key: float(sum(int(row[key] or 0) for row in rows))
        for key in ("faces", "found", "unmatched")
    }
    metrics["pictures"] = float(len(rows))
    return Measured(metrics | faces.int8_to_float(alike), tuple(rows))


def matches(boxes: Sequence[Box], detected: Sequence[Box]) -> int:
    """How many boxes are found: pairs one to one, the most overlapping first.

    Args:
        boxes: that should be found: left, top, right, bottom.
        detected: likewise.
    """
    overlaps = np.array([[iou(box, other) for other in detected] for box in boxes])
    found = 0
    while overlaps.size and overlaps.max() >= LEAST_IOU:
        i, j = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps[i, :] = overlaps[:, j] = 0.0
        found += 1
    return found


def iou(one: Box, other: Box) -> float:
    """Area of the intersection over that of the union, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared) if shared else 0.0
