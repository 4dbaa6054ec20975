"""The machine the demo's device watches: a bearing the model has not seen, or a simulated one."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.lives import healthy_start
from contract.ops.simulate import RunToFailure

_SIMULATED_SEED = 7_000  # far from the machines the recipe simulates to learn from


class LifeError(RuntimeError):
    """The recording cannot be read; the text names it."""


@dataclass(frozen=True)
class Life:
    """One run to failure.

    Attributes:
        name: for people.
        source_toml: the keys of `[pipeline.source]` that play it, without `speed`.
        length_s: from its first window to its last.
        learn_windows: how many windows of the start count as healthy.
        fractions: of the life, at each window.
        onset: fraction at which the damage began, where that is known.
    """

    name: str
    source_toml: str
    length_s: float
    learn_windows: int
    fractions: list[float]
    onset: float | None


def choose(run: Path, *, simulate: bool, seed: int, folder: Path) -> Life:
    """A bearing of the run's test split, or a simulated machine where the run knew no bearings.

    Args:
        run: folder of the training run; its `run.json` says which machines were kept apart.
        simulate: a simulated machine in any case.
        seed: of the simulated machine.
        folder: the demo's own.

    Raises:
        LifeError: the recording is not readable.
    """
    described = json.loads((run / "run.json").read_text(encoding="utf-8"))
    unseen = [name for name in described["splits"]["test"] if name.startswith("pronostia/")]
    if simulate or not unseen:
        return simulated(_SIMULATED_SEED + seed)
    return recorded(Path(described["data_root"]) / f"{unseen[0]}.npz", folder)


def simulated(seed: int) -> Life:
    """A machine of the built-in simulator."""
    machine = RunToFailure(seed)
    index = np.arange(1, machine.windows + 1)
    toml = f'type = "simulate"\nseed = {seed}\nwindows = {machine.windows}\nonset = {machine.onset}'
    return Life(
        name=f"simulated machine {seed}",
        source_toml=toml,
        length_s=machine.windows * machine.interval_s,
        learn_windows=healthy_start(index, machine.windows, at_least=0),
        fractions=(index / machine.windows).tolist(),
        onset=machine.onset,
    )


def recorded(path: Path, folder: Path) -> Life:
    """A bearing of the `pronostia` layout."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            index, total = stored["index"], int(stored["n_total"])
            interval_s, rate_hz = float(stored["interval_s"]), float(stored["fs"])
            samples = stored["acc"].shape[1]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise LifeError(f"{path}: not a pronostia bearing: {error}") from None
    relative = json.dumps(os.path.relpath(path, folder))  # JSON strings are TOML strings
    return Life(
        name=f"pronostia {path.stem}",
        source_toml=(
            f'type = "replay"\npath = {relative}\n'
            f"window_s = {samples / rate_hz}\nhop_s = {interval_s}"
        ),
        length_s=float(index[-1] - index[0]) * interval_s,
        learn_windows=healthy_start(index, total),
        fractions=(index / total).tolist(),
        onset=None,
    )
