import numpy as np
import pytest

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def test_a_layer_that_is_used_twice_has_its_weights_twice(tmp_path):
    """On x86 without VNNI the runtime does not load it otherwise."""
    import keras
    import onnx

    from contract.manifest import ModelFile
    from edge.engines.onnx import open_model
    from export import onnx as to_onnx

    given = keras.Input((8,))
    layer = keras.layers.Dense(8, activation="relu")
    model = keras.Model(given, layer(layer(given)))
    rows = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    file = tmp_path / "twice.onnx"
    to_onnx.convert(model, rows, file)

    graph = onnx.load(file).graph
    stored = {one.name for one in graph.initializer if len(one.dims) >= 1}
    needed = [
        name
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        for name in node.input
        if name in stored
    ]
    assert len(needed) > 0
    assert len(needed) == len(set(needed))
    ends = to_onnx.check(file, weights=2 * 64)
    engine = open_model(file.read_bytes(), ModelFile(file.name, "", file.stat().st_size, *ends))
    found = np.stack([engine.run(one) for one in rows])
    expected = np.asarray(model.predict(rows, verbose=0))
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
