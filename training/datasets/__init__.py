"""Data sets. A file in this folder IS a data set, recognised by its folder's name or by its files.

Such a file defines `is_here(folder) -> bool`, whether the files in a folder are of its kind, and
`open_folder(folder) -> DataSet`. Data that can only be made lies in `synthetic/`.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from contract.spec import Detections, Floats, Window

if TYPE_CHECKING:
    from training.protocols import Bench, Measured


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
        between: what the data set kept of the moments after the window before one and before that
            one, where it did not keep their samples: (t_ns, what the last stage would have found).
        learn_until_ns: a device also learns from these moments up to here.
        classes: how many of the windows are of each class, where every split needs some of each.
    """

    name: str
    dataset: str
    life: Floats
    learn_windows: int
    onset: float | None
    digest: str
    window: Callable[[int], Window]
    between: Callable[[int], Sequence[tuple[int, Detections]]] = lambda _: ()
    learn_until_ns: int = -1
    classes: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.life)

    def learned_after(self) -> Sequence[tuple[int, Detections]]:
        """The moments after the last window learned from that are learned from too."""
        if self.learn_windows >= len(self):
            return ()
        after = self.between(self.learn_windows)
        return [one for one in after if one[0] <= self.learn_until_ns]

    def windows(self) -> Iterator[Window]:
        """All windows in order."""
        return (self.window(i) for i in range(len(self)))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Recordings of one kind, and how a detector is measured on them.

    Attributes:
        name: of the data set.
        recordings: sorted by name; empty where the set holds no raw windows of one machine after
            another, so that nothing can be trained on it.
        licence: what its authors allow and how they want to be cited.
        shareable: whether raw windows of it may travel inside a bundle.
        measure: the protocol: a device on the test bench -> metrics, and a row per recording.
        needs_bundle: whether the protocol runs recordings through a bundle.
        compared: lives to compare methods on where `recordings` is empty; empty where the set
            holds no raw windows at all.
    """

    name: str
    recordings: tuple[Recording, ...]
    licence: str
    shareable: bool
    measure: Callable[[Bench], Measured]
    needs_bundle: bool = True
    compared: tuple[Recording, ...] = ()

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the digests of all recordings."""
        text = "\n".join(f"{r.name} {r.digest}" for r in self.recordings)
        return hashlib.sha256(text.encode()).hexdigest()


def names() -> list[str]:
    """Names of all data sets that are read from a folder, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def open_folder(folder: Path) -> DataSet:
    """The data set in `folder`, recognised by the folder's name, or else by the files in it.

    Raises:
        DataError: no such folder, no reader for it, or its files are damaged.
    """
    dataset = _reader(folder).open_folder(folder)
    assert isinstance(dataset, DataSet)
    return dataset


def _reader(folder: Path) -> ModuleType:
    """The module that reads `folder`."""
    name = folder.resolve().name
    if name not in names() and not folder.is_dir():
        raise DataError(_no_reader(name))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; fix: give the folder that holds the files")
    if name in names():
        return _module(name)
    fitting = [one for one in names() if _module(one).is_here(folder)]
    if len(fitting) > 1:
        raise DataError(
            f"{folder}: may be {' or '.join(fitting)}; fix: give the folder the right name"
        )
    if not fitting:
        raise DataError(_no_reader(name))
    return _module(fitting[0])


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def _no_reader(name: str) -> str:
    return (
        f"no reader for a data set called {name!r}, nor for the files in it; fix: name the folder "
        f"one of {', '.join(names())}, or add training/datasets/{name}.py"
    )
