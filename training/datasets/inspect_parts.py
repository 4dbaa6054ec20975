"""Pictures of good and of defective parts, in any of three layouts.

- A table `labels.csv` with columns `file` and `label`, and perhaps `defect_type`, `mask` (a picture
  as large, 255 where the defect is) and one that says which pictures belong together: `item`,
  `tile_group`, `block`, `part` or `group`. Labels: `good` (or `ok`, `normal`), `doubtful`, and
  anything that names a defect.
- As the MVTec sets: `train/good/`, `test/good/`, `test/KIND/` and `ground_truth/KIND/NAME_mask.png`
  (Bergmann et al., "MVTec AD", CVPR 2019).
- A folder `good/` and one for each kind of defect beside it, with `masks/KIND/NAME.png` or without.

Protocol: every part through the bundle as on a device; see `training.inspection_metrics`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from training import inspection_metrics, parts, people
from training.datasets import DataError, DataSet
from training.parts import DEFECT, DOUBTFUL, GOOD, Shown

NAME = "inspect_parts"
LICENCE = "unknown: see the data set's own README"
GROUPS = ("item", "tile_group", "block", "part", "group")
_GOOD = (GOOD, "ok", "normal")
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
_MASKS = ("masks", "ground_truth")


def is_here(folder: Path) -> bool:
    """Whether `folder` has such a table, or a folder of good parts."""
    if (folder / people.LABELS).exists():
        return people.has_columns(folder / people.LABELS, ("file", "label"))
    return bool(_good_folders(folder))


def open_folder(folder: Path) -> DataSet:
    """All items of a folder.

    Raises:
        DataError: the table is damaged, a picture is missing, or no part is good.
    """
    groups = _from_table(folder) if (folder / people.LABELS).exists() else _from_folders(folder)
    name = folder.resolve().name
    found = tuple(parts.item(name, group, shown) for group, shown in sorted(groups.items()))
    if not any(one.label == GOOD for each in found for one in each.shown):
        raise DataError(f"{folder}: no good part; fix: pictures of good parts, labelled {GOOD!r}")
    measure = partial(inspection_metrics.measure, found)
    return DataSet(name, found, LICENCE, shareable=False, measure=measure)


def _from_table(folder: Path) -> dict[str, list[Shown]]:
    groups = defaultdict(list)
    for row in people.table(folder / people.LABELS, ("file", "label")):
        group = next((row[name] for name in GROUPS if row.get(name)), row["file"])
        mask = folder / row["mask"] if row.get("mask") else None
        label = row["label"].strip().lower()
        if label not in (DOUBTFUL, *_GOOD):
            kind = row.get("defect_type") or ("" if label == DEFECT else label)
            groups[group].append(Shown(folder / row["file"], DEFECT, kind, mask))
        else:
            label = DOUBTFUL if label == DOUBTFUL else GOOD
            groups[group].append(Shown(folder / row["file"], label))
    return groups


def _from_folders(folder: Path) -> dict[str, list[Shown]]:
    """Every picture an item of its own: nobody has said which belong together."""
    groups = {}
    for good in _good_folders(folder):
        for of_kind in sorted(one for one in good.parent.iterdir() if one.is_dir()):
            if of_kind.name in _MASKS:
                continue
            for file in _pictures(of_kind):
                name = str(file.relative_to(folder))
                if of_kind.name == good.name:
                    groups[name] = [Shown(file, GOOD)]
                else:
                    mask = _mask(folder, of_kind.name, file.stem)
                    groups[name] = [Shown(file, DEFECT, of_kind.name, mask)]
    return groups


def _good_folders(folder: Path) -> list[Path]:
    places = [folder, folder / "train", folder / "test"]
    known = [place / name for place in places for name in _GOOD]
    return [one for one in known if one.is_dir() and next(_pictures(one), None)]


def _mask(folder: Path, kind: str, stem: str) -> Path | None:
    names = [f"{stem}_mask.png", f"{stem}.png"]
    files = [folder / masks / kind / name for masks in _MASKS for name in names]
    return next((file for file in files if file.exists()), None)


def _pictures(folder: Path) -> Iterator[Path]:
    return (one for one in sorted(folder.iterdir()) if one.suffix.lower() in _ENDINGS)
