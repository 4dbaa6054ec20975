"""Labelled pictures of parts: an item is a recording, its pictures are the windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.spec import Array
from training import people, pictures
from training.datasets import DataError, DataSet, Recording

GOOD, DEFECT, DOUBTFUL = "good", "defect", "doubtful"
_LIT = 127  # of a mask's 255


@dataclass(frozen=True)
class Shown:
    """What is known of one picture.

    Attributes:
        file: of the picture.
        label: `good`, `defect` or `doubtful`: people could not say, so it is neither learned from
            nor counted as an error.
        kind: of the defect, as the data set calls it; empty: not said.
        mask: file that shows where the defect is; None: there is none.
    """

    file: Path
    label: str
    kind: str = ""
    mask: Path | None = None


@dataclass(frozen=True, eq=False)
class Item(Recording):
    """One physical thing, or whatever must not be in two splits.

    Attributes:
        shown: of each window.
    """

    shown: tuple[Shown, ...] = ()

    def mask(self, i: int) -> Array | None:
        """(height, width) bool, where the defect of a picture is; None: nobody has drawn it.

        Raises:
            DataError: the file cannot be read, or is of another size than the picture.
        """
        file = self.shown[i].mask
        if file is None:
            return None
        drawn: Array = pictures.read(file)[..., 0] > _LIT
        size = self.window(i).data.shape[:2]
        if drawn.shape != size:
            raise DataError(
                f"{file}: a mask of {drawn.shape} rows and columns for a picture of {size}; "
                "fix: draw it anew, as large as the picture"
            )
        return drawn if drawn.any() else None


def item(dataset: str, name: str, shown: Sequence[Shown]) -> Item:
    """One item.

    Args:
        dataset: its name.
        name: of the item.
        shown: its pictures, at least one.

    Raises:
        DataError: a picture is not there.
    """
    of_pictures = people.person(
        Path(), dataset, name, [{"file": str(one.file)} for one in shown]
    ).recording
    return Item(
        name=name,
        dataset=dataset,
        life=of_pictures.life,
        learn_windows=0,
        onset=None,
        digest=of_pictures.digest,
        window=of_pictures.window,
        classes=Counter(one.label for one in shown),
        shown=tuple(shown),
    )


def items(recordings: Sequence[Recording]) -> list[Item]:
    """The same recordings, known to be items.

    Raises:
        DataError: one of them is none.
    """
    found = [one for one in recordings if isinstance(one, Item)]
    if len(found) < len(recordings):
        raise DataError("no pictures of parts; fix: a data set with labels of good and defect")
    return found


def labels(of: Sequence[Item]) -> Array:
    """(pictures,) labels of all pictures, item after item."""
    return np.array([one.label for each in of for one in each.shown], dtype=object)


def count(dataset: DataSet, label: str) -> int:
    """Pictures with a label."""
    return int((labels(items(dataset.recordings)) == label).sum())
