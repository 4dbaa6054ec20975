"""int8 against float: time per call and size of the file."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import stats

from contract.manifest import ModelFile
from contract.spec import Engine
from edge.bundle import Bundle
from edge.engines import open_engine


def measure(run: Path, bundle_path: Path, work: Path, *, quick: bool) -> str:
    repeats, rounds = (2, 300) if quick else (7, 3000)
    # in a process of its own: TensorFlow's threads would disturb what is timed
    subprocess.run([sys.executable, __file__, str(run), str(work)], check=True)
    opened: dict[str, Engine] = {}
    sizes: dict[str, int] = {}
    for engine in ("tflite", "onnx"):
        bundle = Bundle.open(bundle_path, engine)
        (stage,) = bundle.engines
        model = bundle.manifest.stages[stage][engine]
        float_file = work / f"float.{engine}"
        opened |= {
            f"{engine} float": open_float(engine, float_file, model),
            f"{engine} int8": bundle.engines[stage],
        }
        sizes |= {f"{engine} float": float_file.stat().st_size, f"{engine} int8": model.bytes}
    row = np.random.default_rng(0).normal(size=model.input.shape[1:]).astype(np.float32)
    calls = {name: (lambda e=engine: e.run(row)) for name, engine in opened.items()}
    stats.alternate(calls, rounds=50)
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        for name, us in stats.alternate(calls, rounds=rounds).items():
            found[name].append(us)
    rows = []
    for engine in ("tflite", "onnx"):
        slow, fast = f"{engine} float", f"{engine} int8"
        ratio = [f / s for f, s in zip(found[fast], found[slow], strict=True)]
        rows += [
            [slow, stats.spread(found[slow]), f"{sizes[slow]:,}", "1", "1"],
            [
                fast,
                stats.spread(found[fast]),
                f"{sizes[fast]:,}",
                stats.spread(ratio, 2),
                f"{sizes[fast] / sizes[slow]:.2f}",
            ],
        ]
    head = ["model", "microseconds per call", "bytes", "time / float", "size / float"]
    return f"""## 2. int8 against float

The stage `{stage}` through the device's engines, quantization included, one call of each in turn, \
{repeats} repeats of {rounds} rounds.

{stats.table(head, rows)}

int8 is not for speed here: running a network of this size takes a few microseconds at most, and
int8 adds the rounding of inputs and outputs, in NumPy around TFLite and inside the graph of ONNX.
In ONNX the added nodes even outweigh the smaller weights. int8 pays on networks that are limited by
arithmetic or memory, and on accelerators that take nothing else."""


def open_float(engine: str, file: Path, model: ModelFile) -> Engine:
    """The float model in the device's own engine: same shapes, no quantization."""
    import hashlib

    from contract.manifest import Tensor

    ends = [Tensor(end.shape, "float32") for end in (model.input, model.output)]
    raw = file.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    return open_engine(engine, raw, ModelFile(file.name, digest, len(raw), *ends))


def convert(run: Path, work: Path) -> None:
    """What the child does: the run's only stage to float TFLite and float ONNX."""
    import keras
    import onnx

    from export import tflite
    from training import backend

    (file,) = run.glob("*.keras")
    model = backend.load(file)
    shape = model.input_shape[1:]
    tflite.convert(model, np.zeros((8, *shape), np.float32), work / "model.tflite")
    (work / "model.float.tflite").rename(work / "float.tflite")
    signature = [keras.InputSpec(shape=(1, *shape), dtype="float32")]
    target = work / "float.onnx"
    model.export(
        str(target), format="onnx", input_signature=signature, opset_version=17, verbose=False
    )
    made = onnx.load(target)
    made.ir_version = min(made.ir_version, 8)
    onnx.save(made, target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
