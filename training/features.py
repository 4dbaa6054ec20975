"""The contract's own preprocess over recordings, cached on disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from contract.spec import Array, Detections, Floats, Window, Workload
from training.datasets import Recording


def rows(workload: Workload, stage: str, recording: Recording, *, windows: int) -> Floats:
    """Inputs of one stage for the first windows of a recording, from the cache where it has them.

    Args:
        workload: what will watch.
        stage: name of a stage with a model and none with a model before it.
        recording: one group.
        windows: how many windows from its start.

    Returns:
        (n, *input_shape) float32, the rows of all windows in order.
    """
    # the example's features stand for the code: a changed transform makes a new key
    example = _prepare(workload, stage, workload.input.example(0))
    key = f"{workload.name} {workload.revision} {stage} {recording.digest} {windows}"
    return cached(
        key.encode() + example.tobytes(),
        lambda: np.concatenate(
            [_prepare(workload, stage, recording.window(i)) for i in range(windows)]
        ),
    )


def cached(key: bytes, make: Callable[[], Array], *, is_mapped: bool = False) -> Array:
    """An array from the cache where it is there, else made and put there.

    Args:
        key: all that it depends on.
        make: makes it.
        is_mapped: read from the disk where it is asked for, not whole.
    """
    file = _folder() / f"{hashlib.sha256(key).hexdigest()[:32]}.npy"
    try:
        stored: Array = np.load(file, mmap_mode="r" if is_mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        made = make()
        _write(file, made)
        return made
    return stored


def _prepare(workload: Workload, stage: str, window: Window) -> Floats:
    """Inputs of one stage for one window, after the stages before it, which have no model."""
    found: Detections = ()
    for step in workload.stages:
        inputs = step.preprocess(window, found)
        if step.name == stage:
            return inputs
        if step.input_shape is not None:
            break
        found = step.postprocess(window, found, inputs, inputs)
    raise ValueError(f"stage {stage!r} of {workload.name} is unknown or follows a model")


def _folder() -> Path:
    """Where features are kept; safe to delete at any time."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "vedette" / "features"


def _write(file: Path, array: Array) -> None:
    """Store whole or not at all; a cache that cannot be written is done without."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".tmp", delete=False) as temporary:
            np.save(temporary, array, allow_pickle=False)
        Path(temporary.name).replace(file)
    except OSError:
        return
