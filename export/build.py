"""From a finished run to a bundle: convert, choose the operating point, pass the gate, write."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import Progress

from contract.fold import Model
from contract.manifest import FORMAT_VERSION, MANIFEST, Manifest, ModelFile
from contract.spec import Engine, OperatingPoint
from edge.engines import open_engine
from export import bundle, calibrate, convert, device, onnx, parity, parity_page, tflite
from export.parity import FLOAT
from training import backend, report
from training import run as runs
from training.datasets import DataError, Recording
from training.job import Job, learn
from training.splits import SPLITS
from training.watch import Seen, lean, see

_CHECKS = {"tflite": tflite.check, "onnx": onnx.check}
ENGINES = tuple(_CHECKS)
# Compared on both: with few machines, chance alone moves a metric by more than int8 does.
_APART = ("validation", "test")
Engines = Mapping[str, Mapping[str, Engine]]


def build(job: Job, out: Path, bars: Progress) -> Manifest:
    """Export a run.

    Args:
        job: a finished run, reopened.
        out: the bundle's folder; an older bundle there is replaced.
        bars: shows how far it is.

    Returns:
        the manifest of the bundle.

    Raises:
        DataError: the run is not finished, or `out` holds something else.
        ConversionError: a model could not be converted whole.
        ParityError: the gate refused.
        BundleError: the device would refuse the bundle.
    """
    check(job, out)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        task = bars.add_task("converting", total=1, note="in a process of its own")
        models, files = _convert(job, work)
        bars.update(task, completed=1, note="")
        engines = {
            engine: {
                stage: open_engine(engine, (work / by[engine].file).read_bytes(), by[engine])
                for stage, by in files.items()
            }
            for engine in ENGINES
        }
        seen = _see(job, models, engines, bars)
        given = learn(
            job.recipe,
            *(
                [one for e in ENGINES for which in splits for one in seen[which][e]]
                for splits in (("training",), job.chosen_on)
            ),
        )
        seen = {
            which: {name: [replace(one, given=given) for one in of] for name, of in by.items()}
            for which, by in seen.items()
        }
        point = job.recipe.operating_point(
            [one for e in ENGINES for which in job.chosen_on for one in seen[which][e]]
        )
        apart = {name: [one for w in _APART for one in seen[w][name]] for name in (FLOAT, *ENGINES)}
        compared = parity.compare(job.workload, job.recipe, apart, point)
        made = _manifest(job, work, files=files, point=point, compared=compared)
        page = parity_page.render(compared, parity_page.sizes(made))
        report.add_parity(job.folder, page)
        parity.gate(compared)
        golden = bundle.golden_recording(_shareable(job))
        vectors = bundle.golden_vectors(golden, _see_one(job, models, engines, golden))
        names = [model.file for by in files.values() for model in by.values()]
        return bundle.write(out, made, {name: work / name for name in names}, vectors, given)


def check(job: Job, out: Path) -> None:
    """Refuse what cannot be exported, or not to there, before anything is done.

    Raises:
        DataError: the run is not finished, a model is missing, or `out` holds something else.
    """
    if not job.run.is_finished:
        again = f"vedette train {job.run.workload} --resume {job.folder}"
        raise DataError(f"{job.folder}: not finished; fix: {again}")
    for stage in job.recipe.stages:
        if not (job.folder / f"{stage}.keras").exists():
            raise DataError(
                f"{job.folder / stage}.keras: missing; fix: vedette train {job.run.workload}"
            )
    if out.exists() and not (out / MANIFEST).exists() and any(out.iterdir()):
        raise DataError(f"{out}: holds something else than a bundle; fix: name another --out")


def _convert(job: Job, work: Path) -> tuple[dict[str, Model], dict[str, dict[str, ModelFile]]]:
    """Float models by stage, and what the converters made of them, by stage and engine."""
    for stage, recipe in job.recipe.stages.items():
        model = job.folder / f"{stage}.keras"
        (work / model.name).write_bytes(model.read_bytes())
        rows = calibrate.rows(recipe, job.recordings("training"), seed=job.run.seed)
        np.save(work / f"{stage}.npy", rows, allow_pickle=False)
    with convert.start(work) as child:  # meanwhile this process starts Keras itself
        loaded = {stage: backend.load(work / f"{stage}.keras") for stage in job.recipe.stages}
        convert.finish(child)
    files = {
        stage: {
            engine: _describe(work / f"{stage.upper()}.{engine}", weights=_weights(model))
            for engine in ENGINES
        }
        for stage, model in loaded.items()
    }
    return {stage: backend.as_model(model) for stage, model in loaded.items()}, files


def _weights(model: object) -> int:
    """How many numbers stand in a Keras model's kernels."""
    weights: Sequence[np.ndarray] = model.get_weights()  # type: ignore[attr-defined]
    return sum(weight.size for weight in weights if weight.ndim >= 2)


def _describe(file: Path, *, weights: int) -> ModelFile:
    """A converted file, checked, in the manifest's words."""
    given, made = _CHECKS[file.suffix[1:]](file, weights=weights)
    return ModelFile(file.name, bundle.sha256(file), file.stat().st_size, given, made)


def _see(
    job: Job, models: Mapping[str, Model], engines: Engines, bars: Progress
) -> dict[str, dict[str, list[Seen]]]:
    """Every recording through the device's code: by split, then by engine and for `float`."""
    total = sum(len(job.recordings(which)) for which in SPLITS)
    task = bars.add_task("on the device's code", total=total, note="")
    seen: dict[str, dict[str, list[Seen]]] = {
        which: {name: [] for name in (FLOAT, *ENGINES)} for which in SPLITS
    }
    for which, by_name in seen.items():
        for recording in job.recordings(which):
            bars.update(task, note=recording.name)
            # the float model only where it is compared
            compared = models if which in _APART else {}
            for name, one in _see_one(job, compared, engines, recording).items():
                by_name[name].append(lean(one) if job.recipe.sections else one)
            bars.advance(task)
    bars.update(task, note="")
    return seen


def _see_one(
    job: Job, models: Mapping[str, Model], engines: Engines, recording: Recording
) -> dict[str, Seen]:
    """One recording through every engine, and through the float models if there are any."""
    exact = {FLOAT: see(job.workload, models, recording)} if models else {}
    return exact | device.see(job.workload, engines, recording)


def _shareable(job: Job) -> Recording:
    """A recording whose raw windows may travel in a bundle; the workload's example without one."""
    for dataset in job.datasets:
        for recording in dataset.recordings:
            if dataset.shareable and recording in job.recordings("test"):
                return recording
    life = np.linspace(0, 1, 5, dtype=np.float32)[1:]
    return Recording("example", "example", life, 0, None, "", job.workload.input.example)


def _manifest(
    job: Job,
    work: Path,
    *,
    files: Mapping[str, Mapping[str, ModelFile]],
    point: OperatingPoint,
    compared: parity.Comparison,
) -> Manifest:
    """What the bundle says about itself; the hash of its golden vectors comes with them."""
    run = job.run
    data = {source.name: source.digest for source in run.sources}
    return Manifest(
        format_version=FORMAT_VERSION,
        workload=run.workload,
        revision=run.revision,
        created=runs.now(),
        stages=msgspec.convert(msgspec.to_builtins(files), dict[str, dict[str, ModelFile]]),
        golden_sha256="",
        operating_point=point,
        labels=list(job.workload.labels),
        metrics=compared.metrics,
        tolerances=compared.tolerances,
        float_bytes={
            stage: (work / f"{stage.upper()}.float.tflite").stat().st_size for stage in files
        },
        data=data | {which: ", ".join(names) for which, names in run.splits.items()},
        commit=run.commit,
        licence=bundle.licence(
            {source.name: source.licence for source in run.sources},
            {weight: None for stage in job.recipe.stages.values() for weight in stage.weights},
        ),
        versions=run.versions | runs.versions("onnx", "onnxruntime", "ai-edge-litert", "tf2onnx"),
    )
