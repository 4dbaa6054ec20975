"""MediaPipe's face detectors, rebuilt: compared with their own files run by LiteRT."""

import cv2
import numpy as np
import pytest
from weights_files import fetched, pictures

from contract.ops import decode
from training import backend
from training.datasets import DataError
from training.weights import BACK, FULL_RANGE, FULL_RANGE_SPARSE, blazeface, tflite_graph

pytestmark = [
    pytest.mark.training,
    # Keras and TensorFlow are behind NumPy
    pytest.mark.filterwarnings(r"ignore::DeprecationWarning:(tensorflow|keras|google|numpy)\b"),
]

SPANS = {BACK: blazeface.BACK_SPANS}
ANCHORS = {BACK: 896}


@pytest.fixture(scope="module", params=[FULL_RANGE_SPARSE, FULL_RANGE, BACK], ids=lambda w: w.name)
def weight(request):
    return request.param


@pytest.fixture(scope="module")
def network(weight):
    return blazeface.model(fetched(weight))


@pytest.fixture(scope="module")
def inputs(network):
    """(n, size, size, 3) float32 pixels: pictures, noise, black and white."""
    size = network.input_shape[1]
    rng = np.random.default_rng(0)
    made = [cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for one in pictures(3)]
    made += [rng.integers(0, 256, (size, size, 3), np.uint8) for _ in range(3)]
    made += [np.full((size, size, 3), grey, np.uint8) for grey in (0, 255)]
    return np.stack(made).astype(np.float32)


@pytest.fixture(scope="module")
def published(weight, inputs):
    """What the file itself gives, run by LiteRT: (n, anchors, 17), the score first."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(fetched(weight)), num_threads=1)
    interpreter.allocate_tensors()
    (given,), ends = interpreter.get_input_details(), interpreter.get_output_details()
    ends = [end["index"] for end in sorted(ends, key=lambda end: end["shape"][-1])]
    rows = []
    for pixels in inputs:
        interpreter.set_tensor(given["index"], pixels[None] / np.float32(127.5) - np.float32(1))
        interpreter.invoke()
        rows.append(np.concatenate([interpreter.get_tensor(end)[0] for end in ends], -1))
    return np.stack(rows)


def test_outputs_are_those_of_the_file(weight, network, inputs, published):
    found = network.predict(inputs, verbose=0)
    assert found.shape == (len(inputs), ANCHORS.get(weight, 2304), 17)
    near = published[..., 0] > -20
    assert np.abs(found - published)[near].max() < 1e-3
    # where there is nothing, logits fall to thousands, and float32 sums keep fewer digits of them
    assert np.allclose(found, published, atol=1e-3, rtol=1e-4)
    assert (published[..., 0] > 0).any()  # there are faces among the pictures


def test_a_saved_model_is_the_same(network, inputs, tmp_path):
    network.save(tmp_path / "find.keras")
    again = backend.load(tmp_path / "find.keras").predict(inputs[:3], verbose=0)
    assert np.array_equal(again, network.predict(inputs[:3], verbose=0))


def test_spread_outputs_are_the_same_wherever_they_matter(weight, inputs, published):
    spans = SPANS.get(weight, blazeface.FULL_RANGE_SPANS)
    rows = blazeface.model(fetched(weight), spans).predict(inputs, verbose=0)
    assert rows.min() >= 0
    assert rows.max() <= 6
    found = decode.as_published(rows, spans)
    faces = published[..., 0] > 0
    assert np.allclose(found[faces], published[faces], atol=0.01)
    # and nothing else becomes a face
    assert ((found[..., 0] > 0) == faces).all()


def test_spread_rows_are_undone():
    spans = np.stack([np.arange(17), np.arange(17) + 12]).astype(np.float32)
    rows = np.full((2, 17), 3, np.float32)
    assert np.array_equal(decode.as_published(rows, spans)[0], np.arange(17) + 6)
    assert decode.as_published(rows, spans).dtype == np.float32


def test_another_file_is_refused(tmp_path):
    file = tmp_path / "other.tflite"
    file.write_bytes(b"no such thing")
    with pytest.raises(DataError, match=r"other.tflite: no TFLite file; fix: "):
        blazeface.model(file)


def test_sparse_weights_become_dense():
    graph = tflite_graph.read(fetched(FULL_RANGE_SPARSE))
    kernels = [graph.constants[one.inputs[1]] for one in graph.operators if "CONV" in one.kind]
    empty = [float(np.mean(one == 0)) for one in kernels]
    assert len(kernels) == 91
    assert sum(share > 0.5 for share in empty) == 46
