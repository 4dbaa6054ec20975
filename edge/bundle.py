"""Open a bundle and make it prove itself before it is believed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from contract import workloads
from contract.fold import fold
from contract.manifest import FORMAT_VERSION, GOLDEN, MANIFEST, Manifest, decode
from contract.spec import Array, Engine, Floats, Window, Workload
from edge import engines, npz
from edge.errors import BundleError, EngineError
from edge.pipeline import run_rows

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PREPROCESS_TOLERANCE = 1e-3  # Fourier transforms differ in the last digits between processors
_OTHER_RUNTIME_STEPS = 3  # tflite_runtime rounds up to 3 integer steps off LiteRT


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, loaded.

    Attributes:
        path: its directory.
        manifest: what it says about itself.
        workload: the definition it was made for.
        engine: name of the engine in use.
        engines: a loaded engine per stage with a model.
        model_id: names the models in use.
    """

    path: Path
    manifest: Manifest
    workload: Workload
    engine: str
    engines: Mapping[str, Engine]
    model_id: str

    @classmethod
    def open(cls, path: Path, engine: str | None = None) -> Bundle:
        """Check hashes, then revision, then reproduce the golden vectors on this very machine.

        Args:
            path: the bundle's directory.
            engine: `tflite` or `onnx`; None: the first one that is installed, `tflite` before.

        Raises:
            BundleError: naming the file and the reason.
        """
        manifest = _read_manifest(path)
        workload = _matching_workload(path, manifest)
        engine = engine or _installed(path, manifest)
        golden = _read_golden(path, manifest)
        loaded: dict[str, Engine] = {}
        for stage in workload.stages:
            if stage.input_shape is None:
                continue
            model = manifest.stages.get(stage.name, {}).get(engine)
            if model is None:
                raise BundleError(f"{path}: no {engine} model for stage {stage.name!r}")
            if model.input.shape[1:] != stage.input_shape:
                raise BundleError(
                    f"{path}: {model.file} takes {model.input.shape}, "
                    f"stage {stage.name!r} gives (1, *{stage.input_shape})"
                )
            _check_hash(path, model.file, model.sha256)
            loaded[stage.name] = engines.open_engine(engine, path / model.file, model)
        if unknown := sorted(manifest.stages.keys() - loaded.keys()):
            raise BundleError(f"{path}: {workload.name} has no stage {unknown[0]!r} with a model")
        bundle = cls(path, manifest, workload, engine, loaded, manifest.model_id(engine))
        try:
            bundle.reproduce(golden)
        except BundleError:
            raise
        except (KeyError, ValueError, TypeError, IndexError, EngineError) as error:
            raise BundleError(f"{path / GOLDEN}: not golden vectors: {error}") from None
        return bundle

    def reproduce(self, golden: Mapping[str, Array]) -> None:
        """Run the golden windows through this device's own preprocess and engine.

        Raises:
            BundleError: an output is not the stored one.
        """
        windows = [
            Window("golden", i, 0, 0, data, float(golden["rate_hz"]))
            for i, data in enumerate(golden["windows"])
        ]
        models = {stage: partial(run_rows, engine) for stage, engine in self.engines.items()}
        _, passes = fold(self.workload, models, windows)
        for stage, of_windows in passes.items():
            self._compare(stage, golden, np.concatenate([inputs for inputs, _ in of_windows]))

    def _compare(self, stage: str, golden: Mapping[str, Array], inputs: Floats) -> None:
        expected_inputs: Floats = golden[f"{stage}.input"]
        if inputs.shape != expected_inputs.shape or not np.allclose(
            inputs, expected_inputs, atol=_PREPROCESS_TOLERANCE
        ):
            raise BundleError(
                f"{self.path}: preprocessing of stage {stage!r} is not the one it was trained "
                "with; fix: train again, or install the version that made it"
            )
        # the stored inputs, not ours: integers must then agree to the last bit
        outputs = run_rows(self.engines[stage], expected_inputs)
        expected: Floats = golden[f"{stage}.{self.engine}"]
        step = self.manifest.stages[stage][self.engine].output.scale or 0.0
        runtime = engines.version(self.engine) or ""
        allowed = step * _OTHER_RUNTIME_STEPS if runtime.startswith("tflite-runtime") else 0.0
        if outputs.shape != expected.shape or not np.isfinite(outputs).all():
            raise BundleError(f"{self.path}: stage {stage!r} gives {outputs.shape} or NaN")
        worst = float(np.abs(outputs - expected).max())
        if worst > allowed + 1e-6:
            raise BundleError(
                f"{self.path}: golden vectors of stage {stage!r} not reproduced by {runtime}: "
                f"off by {worst:.4g}, allowed {allowed:.4g}"
            )


def _read_manifest(path: Path) -> Manifest:
    try:
        return decode((path / MANIFEST).read_bytes())
    except OSError as error:
        raise BundleError(
            f"{path}: no bundle here ({error.strerror}); fix: vedette export RUN --out {path}"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path / MANIFEST}: {error}") from None


def _matching_workload(path: Path, manifest: Manifest) -> Workload:
    if manifest.format_version != FORMAT_VERSION:
        raise BundleError(
            f"{path}: bundle format {manifest.format_version}, this version reads {FORMAT_VERSION}"
        )
    try:
        workload = workloads.load(manifest.workload)
    except LookupError as error:
        raise BundleError(f"{path}: {error}") from None
    if workload.revision != manifest.revision:
        raise BundleError(
            f"{path}: made for revision {manifest.revision} of {workload.name}, "
            f"this is revision {workload.revision}; fix: train and export again"
        )
    return workload


def _installed(path: Path, manifest: Manifest) -> str:
    offered = {engine for stage in manifest.stages.values() for engine in stage}
    for name in ("tflite", "onnx"):
        if name in offered and engines.version(name):
            return name
    raise BundleError(
        f"{path}: needs one of the engines {sorted(offered)}; fix: pip install 'vedette[edge]'"
    )


def _check_hash(path: Path, name: str, expected: str) -> None:
    if not _FILE.fullmatch(name):
        raise BundleError(f"{path}: bad file name {name!r} in the manifest")
    file = path / name
    try:
        actual = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from None
    if actual != expected:
        raise BundleError(
            f"{file}: SHA-256 is {actual[:12]}..., the manifest says {expected[:12]}...; "
            "fix: copy the bundle again"
        )


def _read_golden(path: Path, manifest: Manifest) -> Mapping[str, Any]:
    _check_hash(path, GOLDEN, manifest.golden_sha256)
    try:
        return npz.read(path / GOLDEN)
    except (ValueError, OSError) as error:
        raise BundleError(f"{path / GOLDEN}: {error}") from None
