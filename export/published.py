"""From published weights to a bundle: fetched, rebuilt, quantized, measured; nothing is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from contract import workloads
from contract.manifest import FORMAT_VERSION, Manifest, ModelFile
from contract.ops import drawn
from contract.spec import Engine, Window, Workload
from edge.engines import open_engine
from edge.pipeline import run_rows
from export import bundle, tflite
from export.device import see
from export.parity import ParityError
from training import backend
from training import run as runs
from training.datasets import DataSet, Recording
from training.face_protocols import EMBED
from training.verification import paired_cosines
from training.watch import Seen
from training.weights import Weight, faces

ENGINE = "tflite"
_WORKLOAD = "faces"
_DARK = 60  # times darker


@dataclass(frozen=True, eq=False)
class Trained:
    """An embedding that was trained here, instead of the published one.

    Attributes:
        model: Keras model, (n, 150, 150, 3) chips -> (n, d) vectors.
        splits: groups by split, as `dataset/name`; the threshold is chosen on those that are not
            in `training`.
        weights: published ones that it began with or learned from.
    """

    model: Any
    splits: Mapping[str, Sequence[str]]
    weights: Sequence[Weight] = ()


def build(
    sources: tuple[DataSet, ...], out: Path, bars: Progress, *, trained: Trained | None = None
) -> Manifest:
    """Make the bundle of `faces`.

    Args:
        sources: people to calibrate on and to choose the threshold on.
        out: the bundle's folder; an older bundle there is replaced.
        bars: shows how far it is.
        trained: another embedding.

    Returns:
        the manifest of the bundle.

    Raises:
        DataError: no data, or weights that cannot be fetched.
        ConversionError: a model lost its weights on the way.
        ParityError: int8 embeddings are too far from float ones.
        BundleError: the device would refuse the bundle.
    """
    backend.quiet()
    workload = workloads.load(_WORKLOAD)
    persons = [recording for source in sources for recording in source.recordings]
    learned = set(trained.splits["training"]) if trained else set()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        task = bars.add_task("weights", total=1, note="fetching, rebuilding")
        models = faces.models(trained.model if trained else None)
        bars.update(task, completed=1, note="")
        files = {s: _float16(work, s, models[s]) for s in models if s != EMBED}
        engines = {s: _open(work, model) for s, model in files.items()}
        float_file = work / "EMBED.float.tflite"
        tflite.convert_float16(models[EMBED], work / "EMBED.tflite")
        exact = {**engines, EMBED: _float_engine(float_file)}
        seen = _see(workload, exact, persons, bars)
        chips = faces.calibration(seen)
        task = bars.add_task("quantizing", total=1, note=f"{len(chips)} chips")
        tflite.convert(models[EMBED], chips, work / "EMBED.tflite")
        bars.update(task, completed=1, note="")
        files[EMBED] = _describe(
            work / "EMBED.tflite", tflite.check(work / "EMBED.tflite", weights=_kernels(models))
        )
        engines[EMBED] = _open(work, files[EMBED])
        quantized = [_again(one, engines[EMBED]) for one in seen]
        apart = [one for one in quantized if _name(one.recording) not in learned]
        point = faces.operating_point(apart)
        alike = np.concatenate([_alike(a, b) for a, b in zip(seen, quantized, strict=True)])
        if not 1.0 - alike.min() <= workload.tolerances["cosine_to_float"]:
            raise ParityError(
                f"cosine_to_float with {ENGINE}: {alike.min():.4f} on one of {len(alike)} faces, "
                f"tolerance {workload.tolerances['cosine_to_float']:g}: no bundle written; fix: "
                "calibrate on more faces"
            )
        metrics = {
            ENGINE: {
                "threshold": point.threshold,
                "cosine_to_float_min": float(alike.min()),
                "cosine_to_float_mean": float(alike.mean()),
            },
        }
        made = Manifest(
            format_version=FORMAT_VERSION,
            workload=workload.name,
            revision=workload.revision,
            created=runs.now(),
            stages={stage: {ENGINE: model} for stage, model in files.items()},
            golden_sha256="",
            operating_point=point,
            labels=list(workload.labels),
            metrics=metrics,
            tolerances=dict(workload.tolerances),
            float_bytes={s: (work / f"{s.upper()}.float.tflite").stat().st_size for s in models},
            data={source.name: source.digest for source in sources}
            | {
                which: ", ".join(names)
                for which, names in (trained.splits if trained else {}).items()
            },
            commit=runs.commit(),
            licence=_licences(trained),
            versions=runs.versions("ai-edge-litert"),
        )
        names = [model.file for model in files.values()]
        return bundle.write(out, made, {n: work / n for n in names}, _golden(engines))


def _name(recording: Recording) -> str:
    """As in a run's splits."""
    return f"{recording.dataset}/{recording.name}"


def _licences(trained: Trained | None) -> str:
    """Of each file: by which stages it is used, its terms and where it is from."""
    used: dict[Weight, list[str]] = {}
    for stage, one in faces.STAGES.items():
        if stage != EMBED or trained is None:
            used.setdefault(one.weight, []).append(stage)
    said = [f"{', '.join(s)}: {one.terms}" for one, s in used.items()]
    if trained is not None:
        said.append(f"{EMBED}: trained here, on the data named")
        said += [f"{EMBED}, from {one.name}: {one.terms}" for one in trained.weights]
    return "; ".join(said)


def _float16(work: Path, stage: str, model: Any) -> ModelFile:
    file = work / f"{stage.upper()}.tflite"
    tflite.convert_float16(model, file)
    return _describe(file, tflite.ends(file))


def _describe(file: Path, ends: tuple[Any, Any]) -> ModelFile:
    return ModelFile(file.name, bundle.sha256(file), file.stat().st_size, *ends)


def _float_engine(file: Path) -> Engine:
    return open_engine(ENGINE, file.read_bytes(), _describe(file, tflite.ends(file)))


def _open(work: Path, model: ModelFile) -> Engine:
    return open_engine(ENGINE, (work / model.file).read_bytes(), model)


def _kernels(models: Mapping[str, Any]) -> int:
    """How many numbers stand in the kernels of the embedding."""
    return sum(w.size for w in models[EMBED].get_weights() if w.ndim >= 2)


def _see(
    workload: Workload, engines: Mapping[str, Engine], persons: list[Recording], bars: Progress
) -> list[Seen]:
    task = bars.add_task("float embedding", total=len(persons), note="")
    found = []
    for person in persons:
        bars.update(task, note=f"{person.dataset} {person.name}")
        one = see(workload, {ENGINE: engines}, person)[ENGINE]
        # the squares of the detectors are not needed again, and are many
        found.append(Seen(one.recording, one.t_ns, one.found, {EMBED: one.passes[EMBED]}))
        bars.advance(task)
    bars.update(task, note="")
    return found


def _again(seen: Seen, engine: Engine) -> Seen:
    """The same chips through another model of the embedding."""
    stage = next(s for s in workloads.load(_WORKLOAD).stages if s.name == EMBED)
    passes = tuple((chips, run_rows(engine, chips)) for chips, _ in seen.passes[EMBED])
    found = tuple(
        stage.postprocess(seen.recording.window(i), faces_there, chips, vectors)
        for i, (faces_there, (chips, vectors)) in enumerate(zip(seen.found, passes, strict=True))
    )
    return Seen(seen.recording, seen.t_ns, found, {EMBED: passes})


def _alike(one: Seen, other: Seen) -> Any:
    """(faces,) cosines of the embeddings of the same faces."""
    pairs = [
        (a.vector, b.vector)
        for first, second in zip(one.found, other.found, strict=True)
        for a, b in zip(first, second, strict=True)
    ]
    if not pairs:
        return np.zeros(0)
    return paired_cosines(*(np.stack(vectors) for vectors in zip(*pairs, strict=True)))


def _golden(engines: Mapping[str, Engine]) -> dict[str, Any]:
    """Drawn faces through every stage: what a device must reproduce.

    One is so dark that nothing is certain, and one so far away that there may be a crowd, so that
    all are used.
    """
    pictures = [drawn.face(0), drawn.face(1) // _DARK, drawn.far(2)]
    life = np.linspace(0.5, 1.0, len(pictures), dtype=np.float32)
    recording = Recording(
        "drawn", "drawn", life, 0, None, "", lambda i: Window("drawn", i, i, 0, pictures[i], 0.0)
    )
    return bundle.golden_vectors(
        recording, see(workloads.load(_WORKLOAD), {ENGINE: engines}, recording)
    )
