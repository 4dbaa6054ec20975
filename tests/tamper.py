"""Change a bundle and make its hashes right again, so that only the change itself is wrong."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from contract import manifest
from contract.manifest import GOLDEN, MANIFEST

MODEL = "spectrum.onnx"


def edit(bundle, change) -> None:
    """Change the manifest's JSON and seal it again."""
    tree = json.loads((bundle / MANIFEST).read_bytes())
    change(tree)
    tree["manifest_sha256"] = "0" * 64
    (bundle / MANIFEST).write_bytes(manifest.seal(json.dumps(tree).encode()))


def flip(file, at=None, bit=2) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2 if at is None else at] ^= 1 << bit
    file.write_bytes(raw)


def sha(file) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def regolden(bundle, change) -> None:
    """Change the golden arrays and make the hash right again."""
    with np.load(bundle / GOLDEN) as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(bundle / GOLDEN, **arrays)
    rehash_golden(bundle)


def rehash_golden(bundle) -> None:
    edit(bundle, lambda tree: tree.update(golden_sha256=sha(bundle / GOLDEN)))


def remodel(bundle, raw: bytes, engine: str = "onnx") -> None:
    """Another model file, its hash right."""
    tree = json.loads((bundle / MANIFEST).read_bytes())
    file = bundle / model_of(tree, engine)["file"]
    file.write_bytes(raw)
    edit(bundle, lambda tree: model_of(tree, engine).update(sha256=sha(file)))


def model_of(tree, engine: str = "onnx") -> dict:
    return tree["stages"]["spectrum"][engine]


def network(bundle, *nodes, initializers=(), location=None) -> None:
    """A model of these nodes, from `x` to `y`, both (1, 32) float32."""
    from onnx import TensorProto, external_data_helper, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 32]) for name in "xy"]
    made = [
        helper.make_node(operator, takes, gives, **(more[0] if more else {}))
        for operator, takes, gives, *more in nodes
    ]
    graph = helper.make_graph(made, "hostile", ends[:1], ends[1:], initializers)
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    if location is not None:
        tensor = model.graph.initializer[0]
        external_data_helper.set_external_data(tensor, location=location)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    remodel(bundle, model.SerializeToString())


def numbers(name: str, values):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(values), name)
