"""Small crops of parts, good and defective, for the study of attacks.

At the resolution they were taken in (`training.part_crops` says why); a defective crop lies around
its defect. Items are dealt out whole: none is in two splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from contract.spec import Array, Floats
from training.datasets import DataError, DataSet
from training.parts import DEFECT, DOUBTFUL, Item, items

SPLITS = {"train": 0.5, "validation": 0.2, "test": 0.3}
_FEWEST = 8  # crops of each class in each split


@dataclass(frozen=True, eq=False)
class Crops:
    """Crops of one split.

    Attributes:
        pixels: (n, side, side, 3) float32, whole numbers from 0 to 255.
        is_defect: (n,) int64, 1 where a defect is in view.
    """

    pixels: Floats
    is_defect: Array

    def __len__(self) -> int:
        return len(self.pixels)


def cut(dataset: DataSet, *, side: int, most: int, seed: int) -> Mapping[str, Crops]:
    """Crops of every split, as many of good parts as of defective ones.

    A defect whose mask nobody has drawn is somewhere in its picture: of a data set without masks
    whole pictures are taken, made as small as a crop.

    Args:
        dataset: of pictures of parts.
        side: of a crop, pixels.
        most: crops over all splits.
        seed: of the split and of where crops lie.

    Raises:
        DataError: too few pictures of a class in a split.
    """
    every = items(dataset.recordings)
    rng = np.random.default_rng(seed)
    has_masks = any(one.mask is not None for item in every for one in item.shown)
    order = rng.permutation(len(every))
    ends = np.round(np.cumsum(list(SPLITS.values())) * len(every)).astype(int)
    found = {}
    for name, numbers in zip(SPLITS, np.split(order, ends[:-1]), strict=True):
        rows = round(most * SPLITS[name])
        crops = _split([every[i] for i in numbers], side, rows, rng, has_masks=has_masks)
        found[name] = crops
        fewest = min(int(crops.is_defect.sum()), int((1 - crops.is_defect).sum()))
        if fewest < _FEWEST:
            raise DataError(
                f"{dataset.name}: {fewest} crops of one class for {name}, at least {_FEWEST} are "
                "needed; fix: more pictures of good and of defective parts"
            )
    return found


def _split(
    of: Sequence[Item], side: int, rows: int, rng: np.random.Generator, *, has_masks: bool
) -> Crops:
    """As many good crops as defective ones, at most `rows` together."""
    places = [(item, i) for item in of for i, one in enumerate(item.shown) if one.label != DOUBTFUL]
    is_defect = np.array([item.shown[i].label == DEFECT for item, i in places], bool)
    drawn = np.array([item.shown[i].mask is not None for item, i in places], bool)
    of_class = [np.flatnonzero(~is_defect), np.flatnonzero(is_defect & (drawn | (not has_masks)))]
    each = min(rows // 2, *(len(numbers) for numbers in of_class))
    pixels, labels = [], []
    for label, numbers in enumerate(of_class):
        for number in rng.permutation(numbers)[:each]:
            item, i = places[number]
            crop = _crop(item, i, side, rng, is_whole=not has_masks)
            if crop is not None:
                pixels.append(crop)
                labels.append(label)
    shape = (len(pixels), side, side, 3)
    return Crops(np.array(pixels, np.float32).reshape(shape), np.array(labels, np.int64))


def _crop(
    item: Item, i: int, side: int, rng: np.random.Generator, *, is_whole: bool
) -> Array | None:
    """(side, side, 3) uint8; None where the drawn mask is empty."""
    picture = item.window(i).data
    if is_whole:
        return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    at = np.array([rng.integers(0, height), rng.integers(0, width)])
    if item.shown[i].label == DEFECT:
        mask = item.mask(i)
        if mask is None:
            return None
        rows, columns = np.nonzero(mask)
        k = rng.integers(len(rows))
        at = np.array([rows[k], columns[k]]) + rng.integers(-side // 4, side // 4 + 1, 2)
    top, left = np.clip(at - side // 2, 0, np.maximum(np.array([height, width]) - side, 0))
    crop = picture[top : top + side, left : left + side]
    below, right = side - crop.shape[0], side - crop.shape[1]
    return cv2.copyMakeBorder(crop, 0, below, 0, right, cv2.BORDER_REFLECT_101)
