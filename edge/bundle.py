"""Open a bundle and make it prove itself before it is believed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from contract import npz, workloads
from contract.fold import fold
from contract.manifest import GOLDEN, LEARNED, Manifest
from contract.spec import (
    Array,
    Detections,
    Engine,
    Floats,
    ImageSpec,
    Stage,
    Window,
    Workload,
)
from edge import bundle_files, engines
from edge.bundle_files import Files
from edge.errors import BundleError, EngineError
from edge.pipeline import run_rows
from edge.profile import ProfileMemory

_MAX_GOLDEN_BYTES = 96 << 20  # unpacked
_MAX_LEARNED_BYTES = 256 << 20
_PREPROCESS_TOLERANCE = 1e-3  # Fourier transforms differ in the last digits between processors
# Mean over all pixels, of 255: OpenCV rounds places to 1/32 pixel, so a last digit that differs in
# the box of a face moves single pixels by hundredths and more. Another way to prepare a picture
# differs by 1 and more.
_PICTURE_TOLERANCE = 0.05
# Of detectors' outputs, from 0 to 6 and no integers: processors sum in another order
_FLOAT_TOLERANCE = 0.01
_OTHER_RUNTIME_STEPS = 3  # tflite_runtime rounds up to 3 integer steps off LiteRT
# What comes up from a workload's own code when the golden vectors are not what it takes.
_WRONG = (KeyError, ValueError, TypeError, IndexError, ArithmeticError, AttributeError)


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, loaded.

    Attributes:
        path: its directory, links followed.
        manifest: what it says about itself.
        workload: the definition it was made for.
        engine: name of the engine in use.
        engines: a loaded engine per stage with a model.
        model_id: names the models in use.
        window_s: how long a window takes on this device, seconds; 0 before it was tried.
        learned: arrays by name that its models are judged with, learned where they were made.
    """

    path: Path
    manifest: Manifest
    workload: Workload
    engine: str
    engines: Mapping[str, Engine]
    model_id: str
    window_s: float = 0.0
    learned: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, engine: str | None = None) -> Bundle:
        """Check hashes, then revision, then reproduce the golden vectors on this very machine.

        A model that crashes or hangs its runtime takes this process with it; `proof.prove` lets it
        try in another one before.

        Args:
            path: the bundle's directory, or a link to it.
            engine: `tflite` or `onnx`; None: the first one that is installed, `tflite` before.

        Raises:
            BundleError: naming the file and the reason.
        """
        files = bundle_files.read(path)
        workload = _matching_workload(files)
        _check_point(files)
        engine = engine or _installed(files)
        loaded = {
            stage.name: _load(files, stage, engine)
            for stage in workload.stages
            if stage.input_shape is not None
        }
        if unknown := sorted(files.manifest.stages.keys() - loaded.keys()):
            raise BundleError(
                f"{files.path}: {workload.name} has no stage {unknown[0]!r} with a model"
            )
        model_id = files.manifest.model_id(engine)
        learned = _learned(files)
        bundle = cls(
            files.path, files.manifest, workload, engine, loaded, model_id, learned=learned
        )
        try:
            golden = npz.loads(files.raw[GOLDEN], max_bytes=_MAX_GOLDEN_BYTES)
            return replace(bundle, window_s=bundle.reproduce(golden))
        except BundleError:
            raise
        except EngineError as error:
            raise BundleError(f"{files.path}: fails on its golden windows: {error}") from None
        except _WRONG as error:
            raise BundleError(f"{files.path / GOLDEN}: not golden vectors: {error}") from None

    def reproduce(self, golden: Mapping[str, Array]) -> float:
        """Run the golden windows through this device's own preprocess, engine and judge.

        Returns:
            seconds that the fastest of them took, without the judge.

        Raises:
            BundleError: an output is not the stored one.
        """
        models = {stage: partial(run_rows, engine) for stage, engine in self.engines.items()}
        found: list[Detections] = []
        inputs: dict[str, list[Floats]] = {stage: [] for stage in self.engines}
        took_ns = []
        for i, data in enumerate(golden["windows"]):
            window = Window("golden", i, 0, 0, data, float(golden["rate_hz"]))
            if reason := self.workload.input.refuse(window):
                raise BundleError(f"{self.path}: golden window {i} cannot be judged: {reason}")
            start_ns = time.perf_counter_ns()
            (one,), passes = fold(self.workload, models, [window])
            took_ns.append(time.perf_counter_ns() - start_ns)
            found.append(one)
            for stage, ((rows, _),) in passes.items():
                inputs[stage].append(rows)
        for stage, rows_of_windows in inputs.items():
            self._compare(stage, golden, np.concatenate(rows_of_windows))
        self._judge(found)
        return min(took_ns) / 1e9

    def _compare(self, stage: str, golden: Mapping[str, Array], inputs: Floats) -> None:
        expected_inputs: Floats = golden[f"{stage}.input"]
        if inputs.shape != expected_inputs.shape or not self._is_same(inputs, expected_inputs):
            raise BundleError(
                f"{self.path}: preprocessing of stage {stage!r} is not the one it was exported "
                "with; fix: export it again, or install the version that made it"
            )
        # the stored inputs, not ours: integers must then agree to the last bit, floats nearly
        outputs = run_rows(self.engines[stage], expected_inputs)
        expected: Floats = golden[f"{stage}.{self.engine}"]
        step = self.manifest.stages[stage][self.engine].output.scale
        runtime = engines.version(self.engine) or ""
        allowed = _FLOAT_TOLERANCE if step is None and self._takes_pictures else 0.0
        if step is not None and runtime.startswith("tflite-runtime"):
            allowed = step * _OTHER_RUNTIME_STEPS
        if outputs.shape != expected.shape or not np.isfinite(outputs).all():
            raise BundleError(f"{self.path}: stage {stage!r} gives {outputs.shape} or NaN")
        worst = float(np.abs(outputs - expected).max())
        if not worst <= allowed + 1e-6:  # so that NaN is refused
            raise BundleError(
                f"{self.path}: golden vectors of stage {stage!r} not reproduced by {runtime}: "
                f"off by {worst:.4g}, allowed {allowed:.4g}"
            )

    @property
    def _takes_pictures(self) -> bool:
        return isinstance(self.workload.input, ImageSpec)

    def _is_same(self, inputs: Floats, expected: Floats) -> bool:
        if self._takes_pictures:
            differences = np.abs(inputs - expected)
            return not differences.size or float(differences.mean()) <= _PICTURE_TOLERANCE
        return np.allclose(inputs, expected, atol=_PREPROCESS_TOLERANCE)

    def _judge(self, found: Sequence[Detections]) -> None:
        """The operating point must be one that the workload can judge by."""
        point = self.manifest.operating_point
        memory = ProfileMemory(
            self.workload, self.model_id, point, learn_windows=len(found), given=self.learned
        )
        try:
            for one in found:
                if memory.profile is None:
                    memory.add(one)
            assert memory.profile is not None
            judged = [self.workload.judge(one, memory.profile) for one in found]
            if memory.follower is not None:
                judged = [memory.follower.update(one, 0) for one in judged if one]
        except _WRONG as error:
            raise BundleError(
                f"{self.path}: its operating point is not one to judge by "
                f"({type(error).__name__}: {error}); fix: export again"
            ) from None
        if not all(np.isfinite(d.score) for one in judged for d in one):
            raise BundleError(f"{self.path}: judges its golden windows to be NaN or infinity")


def _learned(files: Files) -> dict[str, Array]:
    if LEARNED not in files.raw:
        return {}
    try:
        arrays = npz.loads(files.raw[LEARNED], max_bytes=_MAX_LEARNED_BYTES)
    except ValueError as error:
        raise BundleError(f"{files.path / LEARNED}: {error}; fix: export again") from None
    for name, array in arrays.items():
        if array.dtype.kind != "f" or np.isnan(array).any():
            raise BundleError(f"{files.path / LEARNED}: {name!r} holds no numbers, or NaN")
    return arrays


def _load(files: Files, stage: Stage, engine: str) -> Engine:
    model = files.manifest.stages.get(stage.name, {}).get(engine)
    if model is None:
        raise BundleError(f"{files.path}: no {engine} model for stage {stage.name!r}")
    assert stage.input_shape is not None
    if model.input.shape != (1, *stage.input_shape):
        raise BundleError(
            f"{files.path}: {model.file} takes {model.input.shape}, "
            f"stage {stage.name!r} gives {(1, *stage.input_shape)}"
        )
    try:
        return engines.open_engine(engine, files.raw[model.file], model)
    except BundleError as error:
        raise BundleError(f"{files.path}: {error}") from None


def _matching_workload(files: Files) -> Workload:
    manifest = files.manifest
    try:
        workload = workloads.load(manifest.workload)
    except LookupError as error:
        raise BundleError(f"{files.path}: {error}") from None
    if workload.revision != manifest.revision:
        raise BundleError(
            f"{files.path}: made for revision {manifest.revision} of {workload.name}, "
            f"this is revision {workload.revision}; fix: train and export again"
        )
    if manifest.labels != list(workload.labels):
        raise BundleError(
            f"{files.path}: its {len(manifest.labels)} labels {manifest.labels} are not the "
            f"{len(workload.labels)} of {workload.name}; fix: train and export again"
        )
    return workload


def _check_point(files: Files) -> None:
    """JSON knows neither NaN nor infinity; what is left to check is sense."""
    point = files.manifest.operating_point
    if point.clear_threshold > point.threshold:
        raise BundleError(
            f"{files.path}: clears below {point.clear_threshold}, raises at {point.threshold}: an "
            "alert would come and go with every window; fix: export again"
        )
    if wrong := {name: scale for name, scale in point.scales.items() if scale <= 0}:
        raise BundleError(f"{files.path}: scales must be above 0, not {wrong}; fix: export again")


def _installed(files: Files) -> str:
    offered = {engine for stage in files.manifest.stages.values() for engine in stage}
    for name in ("tflite", "onnx"):
        # where no stage has a model, any will do: it has nothing to run
        if (name in offered or not offered) and engines.version(name):
            return name
    raise BundleError(
        f"{files.path}: needs one of the engines {sorted(offered)}; "
        "fix: pip install 'vedette[edge]'"
    )
