"""Simulated catheters as a folder of pictures: `images/`, `masks/` and `labels.csv`.

A row of `labels.csv` is written once its picture and mask are: what has no row is not there yet.
`catheters.json` beside it says what is being made, so that the same command goes on where it was
interrupted and any other leaves the folder alone.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from contract.spec import Array
from training.datasets import DataError
from training.datasets.synthetic import catheters_picture
from training.datasets.synthetic.catheters_camera import NO_FAULT, Fault
from training.datasets.synthetic.catheters_picture import GOOD, Facts, Setup

COLUMNS = (
    "file", "label", "defect_type", "mask", "item", "part",
    "defect_size_px", "contrast_to_noise", "width", "height",
)  # fmt: skip
_VERSION = 1  # of the pictures: with another, the same seed gives others
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class Plan:
    """A folder of pictures.

    Attributes:
        setup: what is simulated.
        parts: how many.
        suffix: `.png` or `.jpg`.
        fault: of the line at the last picture; it comes on evenly from the first.
    """

    setup: Setup
    parts: int
    suffix: str = ".png"
    fault: Fault = NO_FAULT

    @property
    def pictures(self) -> int:
        """How many there are."""
        return self.parts * self.setup.views

    def fault_at(self, number: int) -> Fault:
        """What is wrong with the line at a picture."""
        share = number / max(self.pictures - 1, 1)
        return Fault(
            light=1.0 + share * (self.fault.light - 1.0),
            blur_px=share * self.fault.blur_px,
            shift_px=share * self.fault.shift_px,
        )


def write(plan: Plan, folder: Path) -> Iterator[int]:
    """The pictures of a plan; yields how many there are, first those of an earlier time.

    Args:
        plan: what to make.
        folder: new, empty, or of the same plan.

    Raises:
        DataError: the folder holds anything else.
    """
    done = _begun(plan, folder)
    yield done
    with (folder / "labels.csv").open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        for number in range(done, plan.pictures):
            fault = plan.fault_at(number)
            picture, mask, facts = catheters_picture.draw(plan.setup, number, fault)
            name = f"images/{number:05d}{plan.suffix}"
            _save(folder / name, picture)
            mask_name = ""
            if mask is not None:
                mask_name = f"masks/{number:05d}.png"
                _save(folder / mask_name, mask)
            rows.writerow(_row(name, mask_name, picture, facts))
            file.flush()
            yield number + 1


def counted(folder: Path) -> dict[str, Any]:
    """What a folder holds: pictures, parts, and how many there are of each defect."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kinds = Counter(row["defect_type"] for row in rows)
    good = kinds.pop(GOOD, 0)
    return {
        "pictures": len(rows),
        "parts": len({row["item"] for row in rows}),
        "good": good,
        "defects": len(rows) - good,
        "by_defect": dict(sorted(kinds.items())),
    }


def _begun(plan: Plan, folder: Path) -> int:
    """How many pictures are there already; makes the folder where there are none."""
    meant = json.dumps({"version": _VERSION, **asdict(plan)}, indent=2) + "\n"
    described = folder / "catheters.json"
    if described.is_file():
        if described.read_text(encoding="utf-8") != meant:
            raise DataError(
                f"{folder}: holds pictures of another command ({described.name} says which); "
                "give the same options to go on with it, or another folder"
            )
        return _kept(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DataError(f"{folder}: is in use and holds no {described.name}; give another folder")
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "labels.csv").write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    described.write_text(meant, encoding="utf-8")
    return 0


def _kept(folder: Path) -> int:
    """How many whole rows there are; half a row of an interrupted time is taken away."""
    file = folder / "labels.csv"
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole, encoding="utf-8")
    return max(whole.count("\n") - 1, 0)


def _row(name: str, mask_name: str, picture: Array, facts: Facts) -> list[Any]:
    label = GOOD if facts.defect_type == GOOD else "defect"
    height, width = picture.shape
    return [
        name, label, facts.defect_type, mask_name, f"p{facts.item:05d}", facts.part,
        facts.defect_size_px, facts.contrast_to_noise, width, height,
    ]  # fmt: skip


def _save(file: Path, picture: Array) -> None:
    """Written whole or not at all."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if file.suffix == ".jpg" else []
    _, data = cv2.imencode(file.suffix, np.ascontiguousarray(picture), options)
    partial = file.with_suffix(file.suffix + ".part")
    partial.write_bytes(data.tobytes())
    partial.replace(file)
