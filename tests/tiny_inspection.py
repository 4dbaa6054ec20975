"""A real bundle of inspection without any training: the network says how bright each place is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from contract import manifest, workloads
from contract.manifest import GOLDEN, MANIFEST, Manifest, ModelFile, Tensor
from contract.ops import tiles
from contract.spec import OperatingPoint, Window

SIDE, PLACES = tiles.SIDE, tiles.SIDE // tiles.STEP


def make(path: Path, *, threshold: float, clear_threshold: float) -> Path:
    """A bundle in the folder `path`, which is made.

    Args:
        path: of the bundle.
        threshold: brightness of a place, 0 to 1, from which a part is rejected.
        clear_threshold: below which it passes.
    """
    pytest.importorskip("onnx", reason="onnx is not installed: the tiny bundle cannot be built")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    workload = workloads.load("inspection")
    path.mkdir(parents=True)
    model = _brightness(path / "look.onnx")
    seen = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.uint8)
    (look,) = workload.stages
    inputs = np.concatenate(
        [look.preprocess(Window("golden", i, 0, 0, one, 0.0), ()) for i, one in enumerate(seen)]
    )
    blocks = inputs.reshape(-1, PLACES, tiles.STEP, PLACES, tiles.STEP, 3)
    maps = blocks.mean(axis=(2, 4, 5), dtype=np.float64)[..., None] / 255.0
    np.savez(
        path / GOLDEN,
        windows=seen,
        rate_hz=np.array(0.0),
        **{"look.input": inputs, "look.onnx": maps.astype(np.float32)},
    )
    made = Manifest(
        format_version=manifest.FORMAT_VERSION,
        workload=workload.name,
        revision=workload.revision,
        created="2026-01-01T00:00:00Z",
        stages={"look": {"onnx": model}},
        golden_sha256=hashlib.sha256((path / GOLDEN).read_bytes()).hexdigest(),
        operating_point=OperatingPoint(
            threshold=threshold, clear_threshold=clear_threshold, chosen_on="nothing", measured={}
        ),
        labels=list(workload.labels),
        metrics={},
        tolerances={},
        float_bytes={"look": model.bytes},
        data={"name": "none"},
        commit="unknown",
        licence="Apache-2.0",
        versions={},
    )
    (path / MANIFEST).write_bytes(manifest.encode(made))
    return path


def _brightness(path: Path) -> ModelFile:
    """(1, 256, 256, 3) float32 pixels -> (1, 32, 32, 1), the mean brightness from 0 to 1."""
    from onnx import TensorProto, helper

    shapes = {"x": [1, SIDE, SIDE, 3], "y": [1, PLACES, PLACES, 1]}
    ends = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    step = [tiles.STEP, tiles.STEP]
    nodes = [
        helper.make_node("Transpose", ["x"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["planes"], ["means"], kernel_shape=step, strides=step),
        helper.make_node("Conv", ["means", "third"], ["grey"]),
        helper.make_node("Transpose", ["grey"], ["y"], perm=[0, 2, 3, 1]),
    ]
    third = helper.make_tensor("third", TensorProto.FLOAT, [1, 3, 1, 1], [1 / 3 / 255.0] * 3)
    graph = helper.make_graph(nodes, "tiny", [ends["x"]], [ends["y"]], [third])
    model = helper.make_model(
        graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)], producer_name="fakes"
    )
    raw = model.SerializeToString()
    path.write_bytes(raw)
    given, made = (Tensor(tuple(shape), "float32") for shape in shapes.values())
    return ModelFile(path.name, hashlib.sha256(raw).hexdigest(), len(raw), given, made)
