"""Data sets. A file in this folder IS a data set, recognised by the name of its folder.

Such a file defines `open_folder(folder) -> DataSet`. Data that can only be made lies in
`synthetic/`.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contract.spec import Floats, Window

if TYPE_CHECKING:
    from training.metrics import Alarms


class DataError(ValueError):
    """A data set that is missing, unknown or damaged; the text names the file and the fix."""


@dataclass(frozen=True, eq=False)
class Recording:
    """The windows of one group (a machine, a person, a page) in order: what is never split.

    Attributes:
        name: of the group, unique within its data set.
        dataset: name of the data set.
        life: (windows,) float32 in (0, 1], fraction of the group's life at each window.
        learn_windows: how many windows at the start a device learns its healthy state from.
        onset: fraction of life at which the fault starts, where it is known.
        digest: hex SHA-256 of what the windows are made of.
        window: the window of a number from 0 to `len(life) - 1`.
    """

    name: str
    dataset: str
    life: Floats
    learn_windows: int
    onset: float | None
    digest: str
    window: Callable[[int], Window]

    def __len__(self) -> int:
        return len(self.life)

    def windows(self) -> Iterator[Window]:
        """All windows in order."""
        return (self.window(i) for i in range(len(self)))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Recordings of one kind, and how a detector is measured on them.

    Attributes:
        name: of the data set.
        recordings: sorted by name.
        licence: what its authors allow and how they want to be cited.
        shareable: whether raw windows of it may travel inside a bundle.
        measure: what the alarms of every recording amount to, by metric.
    """

    name: str
    recordings: tuple[Recording, ...]
    licence: str
    shareable: bool
    measure: Callable[[Sequence[Alarms]], dict[str, float]]

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the digests of all recordings."""
        text = "\n".join(f"{r.name} {r.digest}" for r in self.recordings)
        return hashlib.sha256(text.encode()).hexdigest()


def names() -> list[str]:
    """Names of all data sets that are read from a folder, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def open_folder(folder: Path) -> DataSet:
    """The data set in `folder`, recognised by the folder's name.

    Raises:
        DataError: no such folder, no reader for its name, or its files are damaged.
    """
    name = folder.resolve().name
    if name not in names():
        raise DataError(
            f"no reader for a data set called {name!r}; fix: name the folder one of "
            f"{', '.join(names())}, or add training/datasets/{name}.py"
        )
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; fix: give the folder that holds the files")
    dataset = importlib.import_module(f"{__name__}.{name}").open_folder(folder)
    assert isinstance(dataset, DataSet)
    return dataset
