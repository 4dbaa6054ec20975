"""Write a bundle: all of it or nothing, and only what the device itself accepts."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from contract import manifest
from contract.manifest import Manifest
from contract.spec import Array
from edge.bundle import Bundle
from training.datasets import Recording
from training.watch import Seen
from training.weights import Weight

_GOLDEN_WINDOWS = 4


def golden_recording(recording: Recording) -> Recording:
    """Four windows of a recording, from its first to its last."""
    at = np.linspace(0, len(recording) - 1, _GOLDEN_WINDOWS).astype(int)
    return replace(
        recording, life=recording.life[at], window=lambda i: recording.window(int(at[i]))
    )


def golden_vectors(recording: Recording, seen: Mapping[str, Seen]) -> dict[str, Array]:
    """What a device must reproduce before it believes a bundle.

    Args:
        recording: of the golden windows, all of one shape and rate.
        seen: what each engine, and `float`, made of it.

    Returns:
        `windows` (n, samples, channels) float32, `rate_hz`; and for each stage with a model, over
        the rows of all windows in order, `STAGE.input` and the outputs `STAGE.ENGINE`.
    """
    windows = list(recording.windows())
    arrays: dict[str, Array] = {
        "windows": np.stack([window.data for window in windows]),
        "rate_hz": np.array(windows[0].rate_hz),
    }
    for name, one in seen.items():
        for stage, passes in one.passes.items():
            arrays[f"{stage}.input"] = np.concatenate([inputs for inputs, _ in passes])
            arrays[f"{stage}.{name}"] = np.concatenate([outputs for _, outputs in passes])
    return arrays


def sha256(file: Path) -> str:
    """Hex SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def licence(sources: Mapping[str, str], weights: Iterable[Weight] = ()) -> str:
    """What may be said about a model's rights: what it was trained on, and on which terms.

    Args:
        sources: terms of each data set.
        weights: published ones that it began with or learned from.
    """
    trained = "trained on: " + "; ".join(f"{name} ({terms})" for name, terms in sources.items())
    begun = [f"from {one.name}: {one.terms}" for one in weights]
    return "; ".join([trained, *begun])


def write(
    folder: Path,
    made: Manifest,
    files: Mapping[str, Path],
    golden: Mapping[str, Array],
    learned: Mapping[str, Array] | None = None,
) -> Manifest:
    """Write a bundle beside its place, let the device's own check open it, then move it there.

    Args:
        folder: where the bundle will be; one that is there is replaced.
        made: the manifest, its hash of the golden vectors not yet known.
        files: the model files by name in the bundle.
        golden: the golden vectors.
        learned: what the models are judged with beside the operating point.

    Returns:
        the manifest as written.

    Raises:
        BundleError: the device would refuse it; nothing has changed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        for name, file in files.items():
            shutil.copyfile(file, fresh / name)
        np.savez_compressed(fresh / manifest.GOLDEN, allow_pickle=False, **golden)
        stored = msgspec.structs.replace(made, golden_sha256=sha256(fresh / manifest.GOLDEN))
        if learned:
            np.savez_compressed(fresh / manifest.LEARNED, allow_pickle=False, **learned)
            digest = sha256(fresh / manifest.LEARNED)
            stored = msgspec.structs.replace(stored, learned_sha256=digest)
        (fresh / manifest.MANIFEST).write_bytes(manifest.encode(stored))
        offered = {engine for stage in made.stages.values() for engine in stage}
        for engine in sorted(offered) or (None,):  # without a model: whichever is installed
            Bundle.open(fresh, engine)
        _put(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return stored


def _put(fresh: Path, folder: Path) -> None:
    """Move a folder into place; the old one is kept until the new one is there."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
