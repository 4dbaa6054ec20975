"""Our side of `inspection`: `BUNDLE ENGINE PICTURES.npz THREADS`, timed in turns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import inspection_turns
import numpy as np

from contract.manifest import ModelFile
from contract.spec import Engine, Window
from edge.bundle import Bundle
from edge.engines import onnx, tflite
from edge.pipeline import Pipeline, run_rows
from edge.profile import ProfileMemory


def main(path: Path, engine: str, pictures: Path, threads: int) -> None:
    cv2.setNumThreads(threads)
    bundle = Bundle.open(path, engine)
    engines = dict(bundle.engines)
    if threads > 1:
        engines = {
            stage: in_threads(engine, path, by_engine[engine], threads)
            for stage, by_engine in bundle.manifest.stages.items()
        }
    point = bundle.manifest.operating_point
    memory = ProfileMemory(
        bundle.workload, bundle.model_id, point, learn_windows=0, given=bundle.learned
    )
    pipeline = Pipeline(bundle.workload, engines, memory)
    with np.load(pictures) as file:
        windows = [Window("bench", i, 0, 0, one, 0.0) for i, one in enumerate(file["apart"])]
    (stage,) = bundle.workload.stages
    rows = [stage.preprocess(window, ()) for window in windows]

    def whole(number: int) -> object:
        """From a picture in memory to a decision."""
        return pipeline(windows[number % len(windows)])

    def network(number: int) -> object:
        """Every look at it through the engine."""
        return run_rows(engines[stage.name], rows[number % len(rows)])

    inspection_turns.serve({"whole": whole, "network": network}, looks=len(rows[0]))


def in_threads(engine: str, path: Path, model: ModelFile, threads: int) -> Engine:
    """The device's own engine, which uses one thread, with as many as asked for."""
    file = str(path / model.file)
    if engine == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter: Any = Interpreter(model_path=file, num_threads=threads)
        interpreter.allocate_tensors()
        return tflite.TfliteEngine(interpreter, model)
    import onnxruntime

    session = onnxruntime.InferenceSession(
        file, onnx.options(threads=threads), providers=["CPUExecutionProvider"]
    )
    return onnx.OnnxEngine(session, model)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
